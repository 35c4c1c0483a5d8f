"""What a judge and people said of the same answers of the audit, a row a verdict and label; from the lake."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine
from onlineeval_dagster.review.totals import PEOPLE_SQL
from onlineeval_dagster.review.windows import DAYS

Floats = NDArray[np.float64]

LENGTHS = ("under 500 characters", "500 to 2,000 characters", "over 2,000 characters")
SLICES = ("prompt_version", "language", "length")

_PAIRS_SQL = """
with said as (
    -- The last attempt with a score; the same verdict twice is one.
    select
        response_id,
        judge,
        judge_version,
        max_by(score, attempt) as judge_score,
        max_by(model, attempt) as judge_model
    from verdicts
    where replicate = 0 and score is not null and axis = $axis
    group by all
),
asked as (
    select
        response_id,
        min_by(coalesce(user_id, session_id, response_id), received_at) as user_key,
        min_by(prompt_version, received_at) as prompt_version,
        min_by(language, received_at) as language,
        min_by(model, received_at) as model,
        min_by(length(response), received_at) as characters
    from responses
    group by response_id
),
final as (
    select
        people.*,
        judge,
        judge_version,
        judge_score,
        judge_model,
        user_key,
        prompt_version,
        language,
        model,
        characters,
        -- Several people of one answer share its weight.
        1 / probability / count(*) over (partition by judge, judge_version, response_id) as weight
    from people join said using (response_id) join asked using (response_id)
)
select * from final order by judge, judge_version, response_id, reviewer
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Of one judge version, or a part of it: (N,) each. recent: of the last 7 days; users: numbers of their keys."""

    judge: Floats
    people: Floats
    weights: Floats
    users: NDArray[np.int64]
    characters: Floats
    own_family: Floats
    recent: Floats
    slices: dict[str, NDArray[np.object_]]

    @property
    def count(self) -> int:
        return len(self.judge)

    @property
    def user_count(self) -> int:
        return len(np.unique(self.users))

    def where(self, name: str, value: str) -> "Pairs":
        """Those of one slice."""
        these = self.slices[name] == value
        names = ("judge", "people", "weights", "users", "characters", "own_family", "recent")
        cut = {column: getattr(self, column)[these] for column in names}
        return Pairs(**cut, slices={key: column[these] for key, column in self.slices.items()})

    def parts(self) -> Iterator[tuple[str, str, "Pairs"]]:
        """Everything, then each slice's values."""
        yield "all", "all", self
        for name, column in self.slices.items():
            yield from (
                (name, value, self.where(name, value)) for value in sorted({v for v in column if v is not None})
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Labels of the audit of one axis in a window (PEOPLE_SQL, and user_key), and the pairs by judge and version."""

    labels: pa.Table
    pairs: dict[tuple[str, str], Pairs]


def said_of_audit(lake: Lake, axis: str, *, now: datetime) -> Said:
    """Of answers of the 28 days up to `now`."""
    first = now.date() - timedelta(days=DAYS - 1)
    days = {day for day in lake.days("responses") if first <= day <= now.date()}
    with engine(lake, dict.fromkeys(("labels", "verdicts", "responses"), days)) as connection:
        people = connection.sql(PEOPLE_SQL, params={"axis": axis}).to_arrow_table()
        connection.register("people", people)
        table = connection.sql(_PAIRS_SQL, params={"axis": axis}).to_arrow_table()
        labels = connection.sql(
            "select people.*, coalesce(user_key, response_id) as user_key from people left join (select response_id, "
            "min_by(coalesce(user_id, session_id, response_id), received_at) as user_key from responses group by all) "
            "using (response_id) order by response_id, reviewer"
        ).to_arrow_table()
    keys = sorted(set(zip(table.column("judge").to_pylist(), table.column("judge_version").to_pylist(), strict=True)))
    of_each = {
        (judge, version): table.filter((pc.field("judge") == judge) & (pc.field("judge_version") == version))
        for judge, version in keys
    }
    return Said(labels=labels, pairs={key: _pairs(found, now) for key, found in of_each.items()})


def _pairs(table: pa.Table, now: datetime) -> Pairs:
    characters = _floats(table, "characters")
    band = np.array(LENGTHS, dtype=object)[np.digitize(characters, [500, 2001])]
    families = ([_family(name) for name in table.column(column).to_pylist()] for column in ("judge_model", "model"))
    own = [
        np.nan if answer is None or judge is None else float(answer == judge)
        for judge, answer in zip(*families, strict=True)
    ]
    week_ago = now.date() - timedelta(days=7)
    return Pairs(
        judge=_floats(table, "judge_score"),
        people=_floats(table, "score"),
        weights=_floats(table, "weight"),
        users=np.unique(np.array(table.column("user_key").to_pylist(), dtype=object), return_inverse=True)[1],
        characters=characters,
        own_family=np.array(own, dtype=np.float64),
        recent=np.array([float(day > week_ago) for day in table.column("day").to_pylist()]),
        slices={
            **{name: np.array(table.column(name).to_pylist(), dtype=object) for name in ("prompt_version", "language")},
            "length": band,
        },
    )


def _family(model: str | None) -> str | None:
    """`gpt` of `openai/gpt-4o-mini`: the first word of a model's own name."""
    if not model:
        return None
    name = model.rsplit("/", 1)[-1].lower()
    return name.replace("_", "-").split("-")[0].rstrip("0123456789.") or name


def _floats(table: pa.Table, name: str) -> Floats:
    return table.column(name).cast(pa.float64()).to_numpy()
