"""Keep the lake's `signals` in step with responses and actions: each touched day is a pure function of the lake."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, rows, scan_files
from onlineeval_dagster.signals.automated import automated_signals
from onlineeval_dagster.signals.behaviour import ATTRIBUTION_DAYS, BEHAVIOUR_SQL, SKEW_DAYS, score_table
from onlineeval_dagster.signals.conversation import CONVERSATION_SQL, correction_pattern, derived_table

# What a commit's days say is sorted and joined in memory, so that a commit has a size, not only a number of days: ten
# days of 40,000 answers at once took 1.5 GB. A day is never divided.
_DAYS_A_COMMIT = 10
_ANSWERS_A_COMMIT = 50_000
_BATCH = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What a stage rewrote: the days and the number of rows now in them."""

    days: tuple[date, ...]
    rows: int


def touched_days(lake: Lake, catalog: Catalog, *, now: datetime) -> tuple[frozenset[date], dict[str, int]]:
    """Days whose signals are out of date, and the versions of the inputs that make them so.

    One input is the clock (a version a second): an answer that nobody followed is abandoned once its idle time is over.
    """
    idle = _idle(catalog)
    responses = lake.changes("responses", lake.read_through("signals", "responses"))
    actions = lake.changes("actions", lake.read_through("signals", "actions"))
    days = responses.days | _answer_days(lake, actions.files, actions.days)
    days |= _days_before(lake, responses.files, idle) | _days_gone_silent(lake, idle, now=now)
    return days, {"responses": responses.version, "actions": actions.version, "clock": int(now.timestamp())}


def derive_signals(lake: Lake, catalog: Catalog, *, now: datetime, days: Collection[date] | None = None) -> Derived:
    """Derive the signals of the touched days again (or of `days`, for a backfill) and put them in place.

    `now` is how far silence is known, aware UTC. Days go in groups of some 50,000 answers and ten days at the most, one
    commit each; the last one records what was read, so a kill in between repeats.
    """
    touched, reads = touched_days(lake, catalog, now=now)
    wanted = sorted(touched if days is None else days)
    groups = _groups(wanted, lake.rows_by_day("responses", wanted))
    for group in groups:
        last = days is None and group is groups[-1]
        lake.replace_days("signals", group, _signals(lake, catalog, group, now=now), reads=reads if last else None)
    return Derived(days=tuple(wanted), rows=sum(lake.rows_by_day("signals", wanted).values()))


def _groups(days: list[date], answers: Mapping[date, int]) -> list[list[date]]:
    """Days in their order, as many together as a commit holds; a day alone where it holds more."""
    groups: list[list[date]] = []
    held = 0
    for day in days:
        held += answers.get(day, 0)
        if groups and len(groups[-1]) < _DAYS_A_COMMIT and held <= _ANSWERS_A_COMMIT:
            groups[-1].append(day)
        else:
            groups.append([day])
            held = answers.get(day, 0)
    return groups


def _signals(lake: Lake, catalog: Catalog, days: list[date], *, now: datetime) -> Iterator[pa.Table]:
    """All signals of `days`, some thousand at a time."""
    behaviour = _behaviour(lake, catalog, days)
    yield behaviour
    liked = rows(lake, "select distinct response_id from behaviour where score > 0", {}, behaviour=behaviour)
    del behaviour
    yield from _conversation(lake, catalog, days, liked, until=now)
    yield from automated_signals(lake, catalog, days)


def _behaviour(lake: Lake, catalog: Catalog, days: list[date]) -> pa.Table:
    near = _window(days, before=SKEW_DAYS, after=ATTRIBUTION_DAYS) & lake.days("actions")
    table = rows(lake, BEHAVIOUR_SQL, {"responses": days, "actions": near}, score_table=score_table(catalog.signals))
    return _as_signals(table)


def _conversation(
    lake: Lake, catalog: Catalog, days: list[date], liked: pa.Table, *, until: datetime
) -> Iterator[pa.Table]:
    """What the turns around the answers of `days` say, `liked` being those that an act of a user speaks well of.

    An idle time is at most a day: one day each side is enough.
    """
    if not catalog.signals.derived:
        return
    edits = _window(days, before=SKEW_DAYS, after=ATTRIBUTION_DAYS) & lake.days("actions")
    responses = _window(days, before=1, after=1) & lake.days("responses")
    tables: dict[str, Collection[date]] = {"responses": responses, "actions": edits, "signals": days}
    with engine(lake, tables) as connection:
        connection.register("wanted", pa.table({"day": pa.array(days, pa.date32())}))
        connection.register("liked", liked)
        connection.register("derived", derived_table(catalog.signals))
        parameters = {"idle": _idle(catalog), "until": until, "corrections": correction_pattern(catalog.signals)}
        for batch in connection.sql(CONVERSATION_SQL, params=parameters).to_arrow_reader(_BATCH):
            yield _as_signals(pa.Table.from_batches([batch]))


def _as_signals(table: pa.Table) -> pa.Table:
    return table.select(TABLES["signals"].schema.names).cast(TABLES["signals"].schema)


def _idle(catalog: Catalog) -> timedelta:
    return timedelta(minutes=catalog.signals.sessions.idle_minutes)


def _days_before(lake: Lake, files: Collection[str], idle: timedelta) -> frozenset[date]:
    """The days before, of answers that a new turn soon after midnight follows."""
    sql = f"select distinct cast(occurred_at - $idle as date) as day from ({scan_files('responses', list(files))})"
    with engine(lake, {}) as connection:
        found = {row[0] for row in connection.execute(sql, {"idle": idle}).fetchall()}
    return frozenset(found) & lake.days("responses")


def _days_gone_silent(lake: Lake, idle: timedelta, *, now: datetime) -> frozenset[date]:
    """The days of answers whose idle time ended since the signals were last derived."""
    seconds = lake.read_through("signals", "clock")
    if seconds is None:
        return frozenset()
    since, until = datetime.fromtimestamp(seconds, UTC) - idle, now - idle
    days = {day for day in lake.days("responses") if since.date() <= day <= until.date()}
    sql = "select distinct day from responses where occurred_at > $since and occurred_at <= $until"
    with engine(lake, {"responses": days}) as connection:
        return frozenset(row[0] for row in connection.execute(sql, {"since": since, "until": until}).fetchall())


def _answer_days(lake: Lake, files: Collection[str], days: Collection[date]) -> frozenset[date]:
    """The days of the responses that new actions, in `files` and of `days`, speak of. Memory holds a day of them."""
    answered: set[date] = set()
    for day in sorted(days) if files else ():
        sql = f"select distinct response_id from ({scan_files('actions', list(files))}) where day = date '{day}'"
        answered |= _days_of(lake, rows(lake, sql, {}), day)
    return frozenset(answered)


def _days_of(lake: Lake, ids: pa.Table, day: date) -> set[date]:
    """The days of the responses with these ids, spoken of on `day`; looks at near days first, then at the others."""
    have, found = lake.days("responses"), set[date]()
    near = _window([day], before=1, after=SKEW_DAYS) & have
    far = (_window([day], before=ATTRIBUTION_DAYS, after=SKEW_DAYS) & have) - near
    for span in (near, far):
        if not ids.num_rows:
            break
        sql = "select response_id, min(day) as day from responses semi join ids using (response_id) group by all"
        answered = rows(lake, sql, {"responses": span}, ids=ids)
        found |= set(answered.column("day").to_pylist())
        sql = "select response_id from ids anti join answered using (response_id)"
        ids = rows(lake, sql, {}, ids=ids, answered=answered)
    return found


def _window(days: Collection[date], *, before: int, after: int) -> set[date]:
    return {day + timedelta(days=shift) for day in days for shift in range(-before, after + 1)}
