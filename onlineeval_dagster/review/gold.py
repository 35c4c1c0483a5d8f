"""Answers whose right score is known: found once, kept as they were found, mixed in among people's tasks.

    gold.toml ───────────────────────────────────────────┐
    audit labels on which two people or more all agree ──┴─▶ gold_answers (append only)

A label on one has stream `gold` and no chance: it says how well a person does, and is in no estimate.
"""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import INSTANT, to_table
from onlineeval_dagster.contracts.review import GOLD, GoldAnswer
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows
from onlineeval_dagster.review.tasks import asked_axes
from onlineeval_dagster.sampling.chance import unit_interval_sql

MOST = 100
"""Answers of an axis that people's agreement makes gold. They stay it: judges are watched on the same set."""

_AGREED_SQL = f"""
with last_word as (
    select * from ({first_rows("labels")})
    where stream = 'audit'
    qualify row_number() over (partition by response_id, axis, reviewer order by occurred_at desc, event_id) = 1
),
agreed as (
    select response_id, axis, any_value(score) as score, count(*) as people
    from last_word
    group by response_id, axis
    having count(*) >= 2 and min(score) = max(score)
),
kept as (
    select response_id, min(occurred_at) as response_at, min(day) as day
    from responses
    where text_erased_at is null
    group by response_id
),
room as (select axis, {MOST} - count(response_id) as places from asked left join gold using (axis) group by axis)
select response_id, response_at, axis, score, 'people' as source, people, $now::timestamptz as frozen_at, day
from agreed join kept using (response_id) join room using (axis)
where not exists (select 1 from gold where gold.response_id = agreed.response_id and gold.axis = agreed.axis)
qualify row_number() over (partition by axis order by {unit_interval_sql("response_id", GOLD)}) <= places
order by response_id, axis
"""


def freeze_gold(lake: Lake, catalog: Catalog, *, now: datetime) -> int:
    """Add what became gold since the last call: new items of the catalog, answers that people came to agree on."""
    known = rows(lake, "select response_id, axis, source from gold_answers", {"gold_answers": None})
    there = set(known.column("response_id").to_pylist())
    made = [
        GoldAnswer(
            response_id=item.response_id,
            response_at=now,
            axis=item.axis,
            score=float(item.score),
            source="catalog",
            people=0,
            frozen_at=now,
        )
        for item in catalog.gold
        if item.response_id not in there
    ]
    today = pa.array([now.date()] * len(made), DAY.type)
    new = [to_table(list(made), GoldAnswer).append_column(DAY, today)]
    labels = lake.changes("labels", lake.read_through("gold_answers", "labels"))
    if labels.days:
        new.append(_agreed(lake, catalog, known, now=now))
    table = pa.concat_tables(new)
    if table.num_rows or labels.days:
        lake.append("gold_answers", table, reads={"labels": labels.version})
    return table.num_rows


def _agreed(lake: Lake, catalog: Catalog, known: pa.Table, *, now: datetime) -> pa.Table:
    asked = pa.table({"axis": pa.array(list(asked_axes(catalog.live_judges)), pa.string())})
    of_people = known.filter(pc.field("source") == "people")
    days = lake.days("labels")
    sql = _AGREED_SQL.replace("$now", f"'{now.isoformat()}'")
    found = rows(lake, sql, {"labels": days, "responses": days}, gold=of_people, asked=asked)
    return found.select(TABLES["gold_answers"].schema.names).cast(TABLES["gold_answers"].schema)


def gold_texts(lake: Lake, catalog: Catalog) -> pa.Table:
    """Every gold answer that still has its texts: response_id, axis, score, source, day, response_at, environment, app,
    query, response, context, conversation, reference. Items that the catalog no longer has are left out.
    """
    items = [item.model_dump() | {"response_id": item.response_id} for item in catalog.gold]
    names = ("response_id", "query", "response", "context", "conversation", "reference")
    made = pa.table({name: pa.array([item[name] for item in items], pa.string()) for name in names})
    days = lake.days("gold_answers")
    found = rows(lake, _TEXTS_SQL, {"gold_answers": days, "responses": days}, made=made)
    return found.cast(_with_instants(found.schema))


def gold_labellers(lake: Lake) -> pa.Table:
    """Who labelled a gold answer, in whatever stream: response_id, axis, reviewer."""
    sql = "select distinct response_id, axis, reviewer from labels semi join gold_answers using (response_id, axis)"
    return rows(lake, sql, {"labels": None, "gold_answers": None})


def _with_instants(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, INSTANT) if pa.types.is_timestamp(f.type) else f for f in schema])


_TEXTS_SQL = f"""
with texts as (
    select response_id, environment, app, query, response, context, conversation, reference
    from ({first_rows("responses")})
    where text_erased_at is null
    union all
    select response_id, 'production', 'default', query, response, context, conversation, reference from made
)
select
    response_id, axis, score, source, day, response_at, environment, app, query, response, context, conversation,
    reference
from gold_answers join texts using (response_id)
order by response_id, axis
"""
