"""What a judge's selections of a day cost so far, and what earlier days let expect of its windows, in calls."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.sampling_file import Sampling, Stratum
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.sampling.draw import Cell, Pacing
from onlineeval_dagster.sampling.pace import Wanted, pace_day

LOOK_BACK_DAYS = 7


def calls_of_day(lake: Lake, judge: Judge, day: date) -> int:
    """Selections of a day that the judge is asked for, those that late flags opened among them."""
    sql = f"select count(*) as calls from selections where judge = '{judge.name}' and state = 'selected'"
    return rows(lake, sql, {"selections": [day]}).column("calls")[0].as_py()


def paced_windows(
    lake: Lake, sampling: Sampling, judge: Judge, rules: Mapping[str, Stratum], cells: Iterable[Cell], *, now: datetime
) -> dict[datetime, Pacing]:
    """The pacing of the windows that have no rows yet; none where no budget is set."""
    if sampling.pace is None:
        return {}
    cells = list(cells)
    decided = {cell.window_start for cell in cells if cell.frozen is not None}
    opening: dict[date, dict[datetime, Wanted]] = {}
    for cell in cells:
        if cell.window_start not in decided and cell.seen:
            of_day = opening.setdefault(cell.window_start.date(), {})
            before = of_day.get(cell.window_start, Wanted())
            of_day[cell.window_start] = _plus(before, _wanted(cell.stratum, cell.seen, rules))
    paced: dict[datetime, Pacing] = {}
    for day, windows in sorted(opening.items()):
        paced |= pace_day(
            windows,
            forecast=_forecast(lake, sampling, judge, rules, day),
            spent=calls_of_day(lake, judge, day),
            calls=sampling.pace.calls_a_day,
            window_minutes=sampling.window_minutes,
            now=now,
        )
    return paced


def _forecast(
    lake: Lake, sampling: Sampling, judge: Judge, rules: Mapping[str, Stratum], day: date
) -> dict[datetime, Wanted]:
    """The mean week before: of each window, what its answers would have cost at full rates."""
    days = lake.days("selections") & {day - timedelta(days=back) for back in range(1, LOOK_BACK_DAYS + 1)}
    if not days:
        return {}
    sql = f"""
    select
        (date '{day}'::timestamptz + (window_start - date_trunc('day', window_start))) as window_start,
        stratum,
        sum(answers) / {len(days)} as answers
    from (
        select
            time_bucket(to_minutes({sampling.window_minutes}), response_at) as window_start,
            stratum,
            count(*) as answers
        from selections
        where judge = '{judge.name}' and inclusion_probability is not null
        group by all
    )
    group by all
    """
    expected: dict[datetime, Wanted] = {}
    for row in rows(lake, sql, {"selections": days}).to_pylist():
        before = expected.get(row["window_start"], Wanted())
        expected[row["window_start"]] = _plus(before, _wanted(row["stratum"], row["answers"], rules))
    return expected


def _wanted(stratum: str, answers: float, rules: Mapping[str, Stratum]) -> Wanted:
    rule = rules.get(stratum, rules["normal"])
    if rule.rate is None:
        return Wanted(fixed=min(answers, rule.at_least))
    calls = min(answers, max(answers * rule.rate, rule.at_least))
    return Wanted(flagged=calls) if stratum == "flagged" else Wanted(others=calls)


def _plus(one: Wanted, other: Wanted) -> Wanted:
    return Wanted(flagged=one.flagged + other.flagged, others=one.others + other.others, fixed=one.fixed + other.fixed)
