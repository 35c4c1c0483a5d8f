from datetime import UTC, datetime

from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.reports.model import MetricWords
from onlineeval_dagster.reports.people import people_lines, people_table

WORDS = MetricWords(title="Answers were good")
DAY = datetime(2026, 11, 22, tzinfo=UTC)


def point(grain: str, **more: object) -> CorrectedPoint:
    key = {
        "metric": "good_answers",
        "judge_version": "v1",
        "metric_version": "m1",
        "slice": "all",
        "slice_value": "all",
    }
    said = {"as_of": DAY, "window_start": DAY, "labels_from": DAY, "labels": 450, "raw": 0.79, "method": "beta-cells"}
    return CorrectedPoint(**key, **said, grain=grain, **more)  # type: ignore[arg-type]


def known(grain: str) -> CorrectedPoint:
    return point(grain, value=0.86, low=0.83, high=0.89, error=0.015, power=1.0)


def test_the_corrected_number_stands_beside_what_the_ai_alone_says():
    (line,) = people_lines([known("day"), known("days28")], WORDS, headline="good_answers")
    assert line.startswith("By people's word: over 28 days 86 %, likely 83–89 % (the AI reviewer alone 79 %, 450 human")
    assert line.index("over 28 days") < line.index("on this day")


def test_too_few_human_checks_are_told_as_that_and_no_labels_at_all_as_nothing():
    (line,) = people_lines([point("days28", reason="too few labels")], WORDS, headline="good_answers")
    assert line == "By people's word: not enough yet (too few labels)."
    assert people_lines([], WORDS, headline="good_answers") == ()
    assert people_lines([known("day")], WORDS, headline="other") == ()


def test_the_table_has_every_number_and_its_method():
    table = people_table([known("day"), point("week", reason="too few labels")], {"good_answers": WORDS})
    assert [row[-2:] for row in table.rows] == [("beta-cells", ""), ("beta-cells", "too few labels")]
    assert all(len(row) == len(table.columns) for row in table.rows)
