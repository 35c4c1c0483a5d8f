from datetime import UTC, datetime

from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.reports.model import MetricWords
from onlineeval_dagster.reports.people import change_told, people_lines, people_row, people_table
from tests.reports.report_worlds import good_week

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
    said = "over 28 days 86 %, likely 83–89 % (uncorrected, the AI reviewer alone: 79 %; 450 human checks)"
    assert line.startswith(f"Corrected by people: {said}")
    assert line.index("over 28 days") < line.index("on this day")


def test_too_few_human_checks_are_told_as_that_and_no_labels_at_all_as_nothing():
    (line,) = people_lines([point("days28", reason="too few labels")], WORDS, headline="good_answers")
    assert line == (
        "Corrected by people: not enough yet (too few labels); the AI reviewer's numbers stand uncorrected."
    )
    assert people_lines([], WORDS, headline="good_answers") == ()
    assert people_lines([known("day")], WORDS, headline="other") == ()


def test_the_table_has_every_number_and_its_method():
    table = people_table([known("day"), point("week", reason="too few labels")], {"good_answers": WORDS})
    assert [row[-2:] for row in table.rows] == [("beta-cells", ""), ("beta-cells", "too few labels")]
    assert all(len(row) == len(table.columns) for row in table.rows)


def moved(low: float, high: float) -> CorrectedPoint:
    return known("day").model_copy(update={"change": (low + high) / 2, "change_low": low, "change_high": high})


def test_the_change_of_a_week_is_told_with_its_range_or_as_unclear_or_not_at_all():
    assert change_told(moved(-0.05, -0.01), WORDS) == "down 3 points, likely 1–5"
    assert change_told(moved(0.01, 0.05), WORDS) == "up 3 points, likely 1–5"
    assert change_told(moved(-0.01, 0.05), WORDS) == "no clear change"
    assert change_told(known("day"), WORDS) is None
    (line,) = people_lines([moved(-0.05, -0.01)], WORDS, headline="good_answers")
    assert "likely 83–89 %, down 3 points, likely 1–5 on the same days a week earlier (uncorrected" in line


def test_the_numbers_of_the_day_say_which_is_the_ai_reviewers_own_and_which_is_corrected():
    def titles(*corrected: CorrectedPoint) -> list[str]:
        report = good_week().report(corrected=list(corrected))
        assert "the value by the AI reviewer alone, uncorrected;" in report.by_day.caption
        return [row.title for row in report.numbers]

    alone = "Answers were good: by the AI reviewer alone, uncorrected"
    assert titles()[:2] == [alone, "Answers copied"]
    assert titles(moved(-0.05, -0.01))[:2] == [alone, "Answers were good: corrected by people"]
    row = people_row([moved(-0.05, -0.01)], WORDS, metric="good_answers")
    assert row is not None and (row.value, row.likely, row.change) == ("86 %", "83–89 %", "down 3 points, likely 1–5")
    few = people_row([point("day", reason="too few labels")], WORDS, metric="good_answers")
    assert few is not None and few.value == "not enough yet"
