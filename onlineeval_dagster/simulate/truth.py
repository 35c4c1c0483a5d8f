"""What is true of simulated traffic. For the demo's summary and for tests; the pipeline never reads it."""

from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from onlineeval_dagster.contracts.base import Contract, Count, Finite, Instant, Key, Share
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.simulate.texts import QUALITIES, Quality
from onlineeval_dagster.simulate.world import DAY_SECONDS, Served, World, intraclass_correlation


class DayTruth(Contract):
    """One day of production: how many answers, how many of them good, and the chance each had (its mean).

    The two rates are null on a day without answers.
    """

    day: date
    responses: Count
    good: Count
    pass_rate: Share | None
    expected_rate: Share | None


class PlantedRegression(Contract):
    """The deploy that made answers worse, and by how much: `size` = after - before, below zero."""

    deploy_id: Key
    deployed_at: Instant
    size: Finite


class Truth(Contract):
    """What is true of one simulated period. `qualities` has each production response; staging is not in it.

    icc_user, icc_session  intraclass correlation of good/bad within users and within sessions, as drawn
    """

    label: Literal["simulated traffic"] = "simulated traffic"
    seed: Count
    regression: PlantedRegression | None
    days: tuple[DayTruth, ...]
    icc_user: Finite
    icc_session: Finite
    qualities: dict[str, Quality]


def truth_of(world: World, served: Served, response_ids: list[str], *, deploy_id: str) -> Truth:
    """The truth about a draw; `response_ids` in the order of its rows, `deploy_id` of the planted regression."""
    real = served.production
    names = [QUALITIES[index] for index in served.quality.tolist()]
    planted = PlantedRegression(deploy_id=deploy_id, deployed_at=world.p3_at, size=-world.regression)
    return Truth(
        seed=world.seed,
        regression=planted if world.regression > 0 else None,
        days=tuple(_day(world, served, number) for number in range(world.days)),
        icc_user=intraclass_correlation(served.good[real], served.user[real]),
        icc_session=intraclass_correlation(served.good[real], served.session[real]),
        qualities={key: name for key, name, counts in zip(response_ids, names, real.tolist(), strict=True) if counts},
    )


def write_truth(truth: Truth, file: Path) -> None:
    """Keep the truth beside the log and the lake, in neither. Replaces the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(truth.model_dump_json(), encoding="utf-8")


def read_truth(file: Path) -> Truth:
    """The truth as written. Raises SourceError when the file is missing or is not a truth."""
    try:
        return Truth.model_validate_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SourceError(f"{file}: cannot read the truth of simulated traffic ({error}); simulate again") from error


def _day(world: World, served: Served, number: int) -> DayTruth:
    there = served.production & (served.seconds // DAY_SECONDS == number)
    responses, good = int(there.sum()), int(served.good[there].sum())
    return DayTruth(
        day=(world.start + timedelta(days=number)).date(),
        responses=responses,
        good=good,
        pass_rate=good / responses if responses else None,
        expected_rate=float(np.mean(served.rate[there])) if responses else None,
    )
