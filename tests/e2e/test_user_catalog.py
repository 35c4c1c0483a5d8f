"""A user's own catalog: metrics, an action, a judge and a rate that the package does not know reach the numbers."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.warehouse.dry_run import check_metrics
from tests.pipeline import run_in, table
from tests.worlds import action, answer, log_events, settings_at

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
DAYS = [NOON - timedelta(days=back) for back in (2, 1)]
A_DAY = 120
METRICS = """
[metrics.spanish_copied]
title = "Spanish answers copied"
kind = "rate"
numerator = "copy_seen"
filter = "language = 'es'"
unit = "share"
direction = "up"

[metrics.saved]
title = "Answers saved to the notes, on phones"
kind = "rate"
numerator = "saved_to_notes_seen"
denominator = "device = 'mobile'"
unit = "share"
direction = "up"

[metrics.notes_mood]
title = "What saving says"
kind = "mean"
numerator = "saved_to_notes_score"
unit = "score"
direction = "none"

[metrics.complete_answers]
title = "Answers were complete"
kind = "rate"
judge = "completeness-strict"
numerator = "completeness_strict_good"
unit = "share"
direction = "up"
"""
SIGNAL = """
[actions.saved_to_notes]
kind = "implicit"
score = 0.9
"""
JUDGE = """---
axis = "completeness"
model = "local/overlap"
good_from = 2
rate = 0.5

[scale]
1 = "leaves the question open"
2 = "answers a part"
3 = "answers all of it"
---
Is every part of the question answered?

{query}

{response}
"""


def edit(catalog: Path, file: str, change: Callable[[str], str]) -> None:
    path = catalog / file
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def own_catalog(folder: Path) -> Path:
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    edit(folder, "metrics.toml", lambda text: text + METRICS)
    edit(folder, "signals.toml", lambda text: SIGNAL + text)
    edit(folder, "sampling.toml", lambda text: text.replace("rate = 0.1", "rate = 0.25"))
    (folder / "judges" / "completeness-strict.md").write_text(JUDGE, encoding="utf-8")
    return folder


def traffic() -> list[LogEvent]:
    """Every third answer Spanish, every second on a phone, some copied, some saved, some beside the point."""
    events: list[LogEvent] = []
    for day, at in enumerate(DAYS):
        for n in range(A_DAY):
            number, when = f"{day}-{n}", at + timedelta(minutes=n)
            said = "Your parcel is on its way." if n % 4 else "Bananas are yellow."
            device, language = ("mobile", "desktop")[n % 2], "es" if n % 3 == 0 else "en"
            events.append(answer(number, at=when, response=said, device=device, language=language))
            if n % 5 == day:
                events.append(action(number, "copy", at=when))
            if n % 7 == 0:
                events.append(action(number, "saved_to_notes", at=when))
    return events


class World:
    """A home with its catalog, and what it said before and after a metric was changed."""

    def __init__(self, folder: Path) -> None:
        self.catalog_folder = own_catalog(folder / "catalog")
        self.settings: Settings = settings_at(folder / "home", catalog=self.catalog_folder)
        log_events(self.settings, traffic())
        self.catalog, self.before = self.run()
        edit(
            self.catalog_folder,
            "metrics.toml",
            lambda text: text.replace("denominator = \"device = 'mobile'\"", "denominator = \"device = 'desktop'\""),
        )
        self.changed, self.after = self.run()

    def run(self) -> tuple[Catalog, list[dict[str, Any]]]:
        assert run_in(self.settings.home, ONLINEEVAL_CATALOG=str(self.catalog_folder)).success
        return load_catalog(self.catalog_folder), table(self.settings, "metric_points")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("user_catalog"))


def by_day(points: list[dict[str, Any]], metric: str, slice_: str = "all") -> list[tuple[float, int]]:
    found = [p for p in points if (p["metric"], p["grain"], p["slice"]) == (metric, "day", slice_)]
    return [(point["value"], point["n"]) for point in sorted(found, key=lambda point: point["day"])]


def share(day: int, counted: Callable[[int], bool], good: Callable[[int], bool]) -> tuple[float, int]:
    rows = [n for n in range(A_DAY) if counted(n)]
    return pytest.approx(sum(good(n) for n in rows) / len(rows)), len(rows)  # pyright: ignore


def test_a_metric_that_the_package_does_not_know_has_its_numbers(world: World) -> None:
    copied = [share(day, lambda n: n % 3 == 0, lambda n, day=day: n % 5 == day) for day in (0, 1)]
    assert by_day(world.before, "spanish_copied") == copied


def test_an_action_that_the_package_does_not_know_is_a_signal_and_a_column(world: World) -> None:
    assert by_day(world.before, "saved") == [share(day, lambda n: n % 2 == 0, lambda n: n % 7 == 0) for day in (0, 1)]
    saved = [row for row in table(world.settings, "signals") if row["signal"] == "saved_to_notes"]
    assert len(saved) == 2 * len(range(0, A_DAY, 7))
    assert {(row["kind"], row["score"]) for row in saved} == {("implicit", 0.9)}


def test_a_rate_of_the_users_own_is_the_chance_on_every_selection(world: World) -> None:
    chances = {(row["judge"], row["inclusion_probability"]) for row in table(world.settings, "selections")}
    assert chances == {("relevance", 0.25), ("completeness-strict", 0.5)}


def test_a_second_judge_has_its_own_sample_and_its_own_numbers(world: World) -> None:
    judge = next(judge for judge in world.catalog.judges if judge.name == "completeness-strict")
    verdicts = [row for row in table(world.settings, "verdicts") if row["judge"] == judge.name]
    selected = [row for row in table(world.settings, "selections") if row["judge"] == judge.name]
    assert len(verdicts) == sum(row["state"] == "selected" for row in selected) > 60
    expected = []
    for at in DAYS:
        scores = [row["score"] for row in verdicts if row["day"] == at.date()]
        expected.append((pytest.approx(sum(score >= 2 for score in scores) / len(scores)), len(scores)))
    assert by_day(world.before, "complete_answers") == expected
    versions = {p["judge_version"] for p in world.before if p["metric"] == "complete_answers"}
    assert versions == {judge.version}


def test_a_metric_without_a_judge_rests_on_none(world: World) -> None:
    assert {p["judge_version"] for p in world.before if p["metric"] == "saved"} == {"none"}


def test_a_changed_metric_is_a_new_version_for_every_day(world: World) -> None:
    old, new = world.catalog.metrics.metrics["saved"].version, world.changed.metrics.metrics["saved"].version
    assert old != new
    assert {p["metric_version"] for p in world.before if p["metric"] == "saved"} == {old}
    assert {p["metric_version"] for p in world.after if p["metric"] == "saved"} == {new}
    assert by_day(world.after, "saved") == [share(day, lambda n: n % 2 == 1, lambda n: n % 7 == 0) for day in (0, 1)]


def test_the_other_metrics_keep_their_version_and_their_numbers(world: World) -> None:
    def others(points: list[dict[str, Any]]) -> list[tuple]:
        return sorted(
            (p["metric"], p["metric_version"], p["grain"], p["slice"], p["slice_value"], str(p["window_start"]), p["n"])
            for p in points
            if p["metric"] != "saved"
        )

    assert others(world.after) == others(world.before)


def test_a_changed_metric_asks_no_judge_again(world: World) -> None:
    judged = [(row["response_id"], row["judge"]) for row in table(world.settings, "verdicts")]
    assert len(judged) == len(set(judged))
    decided = [(row["response_id"], row["judge"]) for row in table(world.settings, "selections")]
    assert len(decided) == len(set(decided)) == 2 * 2 * A_DAY


def test_the_catalog_check_accepts_it(world: World) -> None:
    check_metrics(world.catalog)
