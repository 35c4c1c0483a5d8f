"""What the signals of some days say, as counts: for the person who looks at the asset in Dagster. Reads no text."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows

LOOKED_AT = 7
"""Days of a run that are counted, the latest: a rebuild of years must not read them all again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One signal on the days looked at.

    answers  that have a row of it
    told     of these, those of which it could say something: a null value of a detector means that it cannot tell
    flagged  of these, those that the sampler always selects
    score    mean of the rows that have one; None where none has
    """

    signal: str
    kind: str
    answers: int
    told: int
    flagged: int
    score: float | None


def heard(lake: Lake, days: Collection[date]) -> list[Heard]:
    """Every signal of the latest seven of `days`, by kind and name."""
    latest = sorted(days)[-LOOKED_AT:]
    return [Heard(**row) for row in rows(lake, _SQL, {"signals": latest}).to_pylist()]


def markdown(found: Collection[Heard]) -> str:
    """A table for Dagster's metadata."""
    if not found:
        return "nothing was heard of any answer"
    head = [
        "| signal | kind | answers | could tell | flagged | mean score |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join([*head, *map(_line, found)])


_SQL = """
select
    signal, kind, count(*) as answers,
    count(*) filter (where kind <> 'automated' or raw_value is not null) as told,
    count(*) filter (where flagged) as flagged,
    avg(score) as score
from signals
group by signal, kind
order by array_position(['explicit', 'implicit', 'automated'], kind), signal
"""


def _line(row: Heard) -> str:
    score = "–" if row.score is None else f"{row.score:+.2f}"
    told = f"{100 * row.told / row.answers:.1f} %"
    return f"| {row.signal.replace('_', ' ')} | {row.kind} | {row.answers:,} | {told} | {row.flagged:,} | {score} |"
