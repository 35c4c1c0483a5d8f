"""A judge of sessions reads the whole conversation, and its one verdict lies on the last answer."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.judge_reading import load_judge
from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.judges.first_look import own_answers
from onlineeval_dagster.judges.rubric import LONGEST_SESSION, messages
from onlineeval_dagster.judges.sessions import idle_for
from onlineeval_dagster.judges.stage import items_of, pending_work
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.keeping.erasure import ask, work
from onlineeval_dagster.lake.rewrite import take_out
from onlineeval_dagster.newcomer.cost import item_cost
from onlineeval_dagster.review.tasks import asked_axes
from onlineeval_dagster.sampling.select import select_responses
from tests.fake_endpoint import completion, serving
from tests.judges.judge_worlds import catalog_in
from tests.judges.test_stage import one_run
from tests.newcomer.files import REMOTE
from tests.pipeline import table
from tests.worlds import NOON, NOW, answer, lake_of, settings_at

SOLVED = REMOTE.replace('axis = "tone"', 'axis = "resolution"\nunit = "session"\nrate = 1.0').replace(
    "Is it kind? {response}", "Was it solved in the end?\n{conversation}"
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A catalog with one judge of sessions, that judges all of them."""
    found = load_catalog(catalog_in(tmp_path / "catalog", judge=SOLVED)).whole()
    assert [judge.name for judge in found.judges if judge.is_of_sessions] == ["tone"]
    return found


def turn(session: str, number: int, **more: Any) -> Any:
    texts = {"query": f"Question {number} of {session}?", "response": f"Answer {number} to {session}."}
    at = NOON + timedelta(minutes=5 * number)
    return answer(f"{session}-{number}", at=at, session_id=session, user_id=f"u{session}", **texts | more)


EVENTS = [
    *(turn("a", n) for n in range(3)),
    turn("b", 0, conversation="User: Hello\nAssistant: Hello to you"),
    turn("b", 1, error="HTTP 500", response=""),
    turn("b", 2),
]


def test_the_whole_conversation_is_shown_once_and_the_verdict_lies_on_its_last_answer(
    tmp_path: Path, catalog: Catalog
) -> None:
    settings = settings_at(tmp_path / "home")
    lake_of(settings, EVENTS)
    with serving(lambda number, body: completion('{"score": 3}')) as fake, JudgeState() as state:
        one_run(settings, catalog, fake, state)
        one_run(settings, catalog, fake, state)
    shown = sorted(call["messages"][1]["content"] for call in fake.calls)
    assert len(shown) == 2, "a call a session"
    told = [f"User: Question {n} of a?\nAssistant: Answer {n} to a." for n in range(3)]
    assert "conversation>>\n" + "\n".join(told) + "\n<<" in next(one for one in shown if "of a?" in one)
    other = next(one for one in shown if "of b?" in one)
    for part in ("User: Hello\nAssistant: Hello to you\nUser: Question 0", "Assistant: (no answer: an error)\nUser: Q"):
        assert part in other
    verdicts = [row for row in table(settings, "verdicts") if row["judge"] == "tone"]
    assert {row["response_id"] for row in verdicts} == {"ra-2", "rb-2"}
    assert {row["inclusion_probability"] for row in verdicts} == {1.0}


def test_who_is_erased_takes_the_verdicts_on_their_sessions_along(tmp_path: Path, catalog: Catalog) -> None:
    settings = settings_at(tmp_path / "home")
    lake_of(settings, EVENTS)
    with serving(lambda number, body: completion('{"score": 3}')) as fake, JudgeState() as state:
        one_run(settings, catalog, fake, state)
        work(settings, ask(settings, "user", ["ua"], now=NOW + timedelta(hours=1)), now=NOW + timedelta(hours=1))
        left = {row["response_id"] for row in table(settings, "verdicts") if row["judge"] == "tone"}
        assert left == {"rb-2"}
        one_run(settings, catalog, fake, state)
        assert len(fake.calls) == 2, "and nobody is asked again"


def test_a_turn_whose_text_is_gone_is_a_turn_still(tmp_path: Path, catalog: Catalog) -> None:
    lake = lake_of(settings_at(tmp_path / "home"), [turn("a", 0), turn("a", 1)])
    gone = {"query": "''", "response": "''", "text_erased_at": "timestamptz '2026-11-19 00:00:00Z'"}
    take_out(lake, "responses", "response_id = 'ra-0'", now=NOW, replace=gone)
    select_responses(lake, catalog, now=NOW)
    judge = next(judge for judge in catalog.judges if judge.is_of_sessions)
    (item,) = items_of(lake, pending_work(lake, catalog).of(judge), idle=idle_for(catalog, judge))
    assert (item.response_id, item.response) == ("ra-1", "Answer 1 to a.")
    assert item.conversation == "User: (no longer kept)\nAssistant: (no longer kept)"


def test_a_single_answer_is_a_conversation_too_and_a_very_long_one_loses_its_middle(catalog: Catalog) -> None:
    judge = next(judge for judge in catalog.judges if judge.is_of_sessions)
    item = WorkItem(response_id="r", response_at=NOON, query="Why?", response="So.")
    assert "User: Why?\nAssistant: So.\n" in messages(judge, item, boundary="b0")[1]["content"]
    long = WorkItem(response_id="r", response_at=NOON, query="Why?", response="So.", conversation="x" * 10**6)
    user = messages(judge, long, boundary="b0")[1]["content"]
    assert 4 * LONGEST_SESSION < len(user) < 4 * LONGEST_SESSION + 500
    assert user.endswith("Assistant: So.\n<<b0:end>>") and "characters left out" in user
    assert item_cost(judge, [long]).input_tokens > LONGEST_SESSION


def test_the_first_look_is_at_sessions(tmp_path: Path, catalog: Catalog) -> None:
    lake = lake_of(settings_at(tmp_path / "home"), EVENTS)
    judge = next(judge for judge in catalog.judges if judge.is_of_sessions)
    items = own_answers(lake, catalog, judge)
    assert sorted(item.response_id for item in items) == ["ra-2", "rb-2"]
    assert all("User: Question 0" in (item.conversation or "") for item in items)


def test_people_are_not_asked_about_single_answers_on_an_axis_of_sessions(catalog: Catalog) -> None:
    assert "resolution" not in asked_axes(catalog.live_judges)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SOLVED.replace("{conversation}", "{response}"), r"tone.md: the prompt never names \{conversation\}"),
        (SOLVED.replace('"session"', '"sessions"'), "unit must be one of response, session, got 'sessions'"),
        (
            SOLVED.replace("gpt-4o-mini", "local/overlap"),
            "tone.md: unit is \"session\", and 'local/overlap' reads single",
        ),
    ],
)
def test_a_wrong_unit_is_said_with_its_remedy(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "tone.md").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError, match=said):
        load_judge(tmp_path / "tone.md")


def test_one_axis_has_one_unit_and_the_other_judges_go_on(tmp_path: Path) -> None:
    text = SOLVED.replace('"resolution"', '"relevance"')
    found = load_catalog(catalog_in(tmp_path / "catalog", judge=text))
    assert "relevance.md scores 'relevance' of single answers" in str(found.broken["tone"])
    assert "relevance" in {judge.name for judge in found.live_judges}


def test_what_is_private_does_not_leave_within_a_conversation(tmp_path: Path) -> None:
    folder = catalog_in(tmp_path / "catalog", judge=SOLVED)
    privacy = folder / "privacy.toml"
    privacy.write_text(privacy.read_text(encoding="utf-8").replace("private = []", 'private = ["query"]'))
    with pytest.raises(CatalogError, match=r"the prompt shows \{query\} to 'gpt-4o-mini'"):
        load_catalog(folder).whole()


def test_the_unit_is_in_the_version_and_older_judges_keep_theirs(tmp_path: Path) -> None:
    both = []
    for unit in ("response", "session"):
        text = SOLVED.replace('unit = "session"', f'unit = "{unit}"') + "{response}"
        (tmp_path / "tone.md").write_text(text, encoding="utf-8")
        both.append(load_judge(tmp_path / "tone.md").version)
    (tmp_path / "tone.md").write_text(SOLVED.replace('unit = "session"\n', "") + "{response}", encoding="utf-8")
    assert load_judge(tmp_path / "tone.md").version == both[0] != both[1]
