"""One day of the simulated shop as events: the sessions begun on it, and all that follows from them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Action, Exposure, Label, Response
from onlineeval_dagster.sampling.chance import unit_interval
from onlineeval_dagster.simulate.behaviour import HABITS, act
from onlineeval_dagster.simulate.people import People
from onlineeval_dagster.simulate.texts import QUALITIES, Corpus, Exchange, Quality, Tone, exchange, follow_up
from onlineeval_dagster.simulate.world import Served, World

APP = "shop-assistant"
MODEL = "shop-llm-1"
AUDIT_RATE = 0.01
AUDIT_COHORT = "cohort-1"  # the packaged sampling.toml's: what people see was judged as well
REVIEWER_ACCURACY = 0.98
DUPLICATE_SHARE = 0.002
REVIEWER_SCORE: dict[Quality, float] = {"good": 3, "cut_off": 2, "unsupported": 2, "off_topic": 1, "refusal": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that stays the same over the days. `ids` has one response id a row of `served`."""

    world: World
    served: Served
    ids: list[str]
    corpus: Corpus
    people: People


def day_of_events(scene: Scene, day: int) -> list[LogEvent]:
    """All that the sessions begun on one day bring, in no order; some of it arrives days later."""
    rows = np.nonzero(scene.served.day == day)[0].tolist()
    rng = random.Random(f"texts:{scene.world.seed}:{day}")
    turns: dict[int, list[Exchange]] = {}
    said: list[Exchange] = []
    answers: list[Response] = []
    events: list[LogEvent] = []
    for row in rows:
        earlier = turns.setdefault(int(scene.served.session[row]), [])
        said.append(_said(scene, row, earlier, rng))
        answers.append(_response(scene, row, said[-1], earlier, rng))
        earlier.append(said[-1])
        if scene.served.production[row]:
            events.extend(_exposure(scene, row, answers[-1]))
            events.extend(_label(scene, row, answers[-1], rng))
    events.extend(answers)
    events.extend(_actions(scene, rows, answers, said, day, rng))
    return events + _sent_twice(events, rng)


def _said(scene: Scene, row: int, earlier: list[Exchange], rng: random.Random) -> Exchange:
    user = int(scene.served.user[row])
    tone: Tone = "warm" if user >= 0 and scene.people.variant[user] == "warm" else "plain"
    return exchange(
        scene.corpus,
        language=scene.people.language[user] if user >= 0 else "en",
        quality=QUALITIES[scene.served.quality[row]],
        tone=tone,
        previous=earlier[-1] if earlier else None,
        rng=rng,
    )


def _response(scene: Scene, row: int, said: Exchange, earlier: list[Exchange], rng: random.Random) -> Response:
    occurred_at = scene.world.start + timedelta(microseconds=round(float(scene.served.seconds[row]) * 1e6))
    cut_off = QUALITIES[scene.served.quality[row]] == "cut_off"
    return Response(
        event_id=f"{scene.ids[row]}:response",
        occurred_at=occurred_at,
        received_at=occurred_at + timedelta(milliseconds=rng.randrange(2, 900)),
        app=APP,
        attributes={"simulated": True},
        response_id=scene.ids[row],
        session_id=f"s{scene.world.seed}-{int(scene.served.session[row]):06d}",
        query=said.query,
        response=said.response,
        context=said.context,
        conversation="\n".join(f"User: {e.query}\nAssistant: {e.response}" for e in earlier[-2:]) or None,
        prompt_version=_prompt_version(scene.world, occurred_at),
        # Some products cut at a limit of their own, of which the model does not know.
        finish_reason="length" if cut_off and rng.random() < 0.6 else "stop",
        **_call(said, earlier, rng),
        **_who(scene, row),
    )


def _call(said: Exchange, earlier: list[Exchange], rng: random.Random) -> dict[str, Any]:
    """What the call took: four characters a token, 0.15 and 0.60 dollars a million of them."""
    input_tokens = 350 + (len(said.query) + len(said.context) + sum(len(e.response) for e in earlier[-2:])) // 4
    output_tokens = 2 + len(said.response) // 4
    return {
        "model": MODEL,
        "provider": "simulated",
        "latency_ms": round(rng.lognormvariate(6.2, 0.35) + 9.0 * output_tokens, 1),
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_usd": round(input_tokens * 15e-8 + output_tokens * 6e-7, 9),
    }


def _who(scene: Scene, row: int) -> dict[str, Any]:
    user, people = int(scene.served.user[row]), scene.people
    if user < 0:
        team = {"user_id": "qa-team", "device": "desktop", "location": "DE", "language": "en", "new_user": False}
        return {"environment": "staging", **team}
    return {
        "user_id": people.name[user],
        "variant": people.variant[user],
        "device": people.device[user],
        "location": people.place[user],
        "language": people.language[user],
        "new_user": bool(scene.served.new_user[row]),
    }


def _prompt_version(world: World, moment: datetime) -> str:
    return "p1" if moment < world.p2_at else "p2" if moment < world.p3_at else "p3"


def _exposure(scene: Scene, row: int, answer: Response) -> Iterator[LogEvent]:
    """At a user's first answer of the period."""
    user = int(scene.served.user[row])
    if user in scene.people.exposed:
        return
    scene.people.exposed.add(user)
    yield Exposure(
        event_id=f"{answer.response_id}:exposure",
        occurred_at=answer.occurred_at,
        received_at=answer.received_at,
        experiment="tone",
        variant=scene.people.variant[user],
        unit_id=scene.people.name[user],
        propensity=0.5,
        response_id=answer.response_id,
        **_shared(answer),
    )


def _label(scene: Scene, row: int, answer: Response, rng: random.Random) -> Iterator[LogEvent]:
    """One answer in a hundred is audited within a day; the reviewer errs one time in fifty."""
    if unit_interval(answer.response_id, AUDIT_COHORT) >= AUDIT_RATE:
        return
    score = REVIEWER_SCORE[QUALITIES[scene.served.quality[row]]]
    if rng.random() >= REVIEWER_ACCURACY:
        score = rng.choice([other for other in (1.0, 2.0, 3.0) if other != score])
    labelled_at = answer.occurred_at + timedelta(hours=rng.uniform(1, 20))
    yield Label(
        event_id=f"{answer.response_id}:label",
        occurred_at=labelled_at,
        received_at=labelled_at + timedelta(seconds=1),
        response_id=answer.response_id,
        axis="relevance",
        score=score,
        reviewer=f"reviewer-{rng.randint(1, 3)}",
        response_at=answer.occurred_at,
        inclusion_probability=AUDIT_RATE,
        stream="audit",
        **_shared(answer),
    )


def _actions(
    scene: Scene, rows: list[int], answers: list[Response], said: list[Exchange], day: int, rng: random.Random
) -> Iterator[Action]:
    good = scene.served.good[rows]
    done = act(good, scene.served.last_turn[rows], np.random.default_rng([scene.world.seed, day, 1]))
    columns = (done.row, done.habit, done.after_s, done.delay_s, done.stars)
    for row, habit, after_s, delay_s, stars in zip(*(column.tolist() for column in columns), strict=True):
        answer, name = answers[row], HABITS[habit].action
        satisfied = bool(good[row])
        occurred_at = answer.occurred_at + timedelta(seconds=after_s)
        yield Action(
            event_id=f"{answer.response_id}:{name}",
            occurred_at=occurred_at,
            received_at=max(occurred_at + timedelta(seconds=delay_s), answer.received_at),
            response_id=answer.response_id,
            action=name,
            value=float(stars) if name == "star_rating" else None,
            text=follow_up(scene.corpus, said[row], satisfied=satisfied, rng=rng) if name == "follow_up" else None,
            session_id=answer.session_id,
            user_id=answer.user_id,
            **_shared(answer),
        )


def _sent_twice(events: list[LogEvent], rng: random.Random) -> list[LogEvent]:
    """Retries of a client that missed the reply: the same event, received again."""
    again = rng.sample(events, k=round(len(events) * DUPLICATE_SHARE))
    return [e.model_copy(update={"received_at": e.received_at + timedelta(seconds=rng.uniform(1, 30))}) for e in again]


def _shared(answer: Response) -> dict[str, Any]:
    return {"environment": answer.environment, "app": APP, "attributes": {"simulated": True}}
