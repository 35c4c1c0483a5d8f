"""What stands in the tables on one day of a long past, as SQL. What looks random is a hash of the row's id."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.sampling.select import policy_version
from onlineeval_dagster.signals.detectors.registry import known_detectors

TICKS_A_DAY = 288
"""A tick in five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """`days` days of `responses` responses each, the last one ending at `until` (midnight UTC).

    fresh_days  the last days lie as their ticks left them, `parts` parts a table; older ones are one part
    derived     whether signals, selections and verdicts are there as well
    """

    days: int
    responses: int
    until: datetime
    fresh_days: int = 0
    parts: int = TICKS_A_DAY
    derived: bool = True

    @property
    def dates(self) -> list[date]:
        last = self.until.date() - timedelta(days=1)
        return [last - timedelta(days=back) for back in reversed(range(self.days))]


# Ten thousand answers of some 1,100 characters and as many questions: Parquet keeps each once a part.
TEXTS = """
select
    i,
    'Could you tell me ' || repeat('how the parcel of my ' || i || '. order is doing ', 3) || '?' as query,
    repeat('Parcel ' || i || ' left the house and is on its way to you. ', 14)
        || 'It should arrive in ' || i % 9 || ' days; the ' || i || '. order is then complete.' as response
from range(10000) as numbers(i)
"""


def day_sql(catalog: Catalog, past: Past, day: date) -> dict[str, str]:
    """One select a table, over the tables before it."""
    first = (day - date(2000, 1, 1)).days * past.responses
    sql = {"responses": _responses(past, day, first), "actions": _ACTIONS}
    if not past.derived:
        return sql
    judge = catalog.live_judges[0]
    detectors = ", ".join(
        f"('{name}', '{used.version}+{catalog.signals.detectors[name].version}')"
        for name, used in known_detectors(catalog).items()
    )
    actions = ", ".join(
        f"('{name}', '{entry.kind}', {'null' if entry.score is None else entry.score}, {entry.flag}, '{entry.version}')"
        for name, entry in catalog.signals.actions.items()
    )
    policy = policy_version(catalog.sampling, judge)
    fields = {"judge": judge.name, "axis": judge.axis, "version": judge.version, "policy": policy}
    return sql | {
        "signals": _SIGNALS.format(detectors=detectors, actions=actions),
        "selections": _SELECTIONS.format(rate=catalog.sampling.normal.rate, **fields),
        "verdicts": _VERDICTS.format(model=judge.model, **fields),
    }


def _responses(past: Past, day: date, first: int) -> str:
    start = datetime.combine(day, time(), tzinfo=UTC).isoformat()
    return f"""
with drawn as (
    select
        n,
        n - {first} as i,
        hash('user:' || n) / 2.0 ** 64 as of_user,
        hash('time:' || n) / 2.0 ** 64 as of_time,
        hash('speed:' || n) / 2.0 ** 64 as of_speed
    from range({first}, {first + past.responses}) as numbers(n)
),
placed as (
    -- A few users ask a lot; the traffic of a day rises and falls.
    select
        *,
        'user-' || (of_user ** 1.5 * {past.responses * 3 // 10})::int as user_id,
        '{start}'::timestamptz + to_microseconds(
            (86_400e6 * least(greatest(of_time + 0.12 * sin(6.283 * of_time), 0), 0.999999))::bigint
        ) as occurred_at
    from drawn
)
select
    'e-' || md5('event:' || n) as event_id,
    occurred_at,
    occurred_at + interval 1 second as received_at,
    'production' as environment,
    'shop' as app,
    '{{}}' as attributes,
    'response' as kind,
    'r-' || md5('response:' || n) as response_id,
    's-' || substr(md5(user_id || date_trunc('hour', occurred_at)), 1, 16) as session_id,
    user_id,
    texts.query,
    texts.response,
    'p{(day - date(2000, 1, 1)).days // 7}' as prompt_version,
    case when hash(user_id) % 2 = 0 then 'a' else 'b' end as variant,
    'model-' || hash('model:' || n) % 3 as model,
    'own' as provider,
    round(300 - 900 * ln(1 - of_speed), 3) as latency_ms,
    (40 + hash('in:' || n) % 900)::bigint as input_tokens,
    (20 + hash('out:' || n) % 600)::bigint as output_tokens,
    (1 + hash('cost:' || n) % 1000) / 1e6 as cost_usd,
    'stop' as finish_reason,
    case when hash('error:' || n) % 500 = 0 then 'timeout' end as error,
    case when hash('device:' || user_id) % 2 = 0 then 'mobile' else 'desktop' end as device,
    'en' as language,
    hash('new:' || n) % 9 = 0 as new_user,
    'past-{day}-' || (placed.i // 350) as log_segment,
    placed.i * 1400 as log_offset,
    date '{day}' as day
from placed
join texts on texts.i = placed.n % 10000
"""


_ACTIONS = """
with done as (
    select *, unnest(['copy', 'regenerate', 'thumbs_up', 'thumbs_down', 'abandon']) as action
    from responses
),
drawn as (
    select *, hash(action || response_id) % 1000 as permille from done
)
select
    'e-' || md5(response_id || action) as event_id,
    occurred_at + interval 20 second as occurred_at,
    received_at + interval 20 second as received_at,
    environment,
    app,
    attributes,
    'action' as kind,
    response_id,
    action,
    session_id,
    user_id,
    log_segment,
    log_offset + 1 + length(action) as log_offset,
    day
from drawn
where permille < case action when 'copy' then 300 when 'thumbs_up' then 50 else 30 end
"""

_SIGNALS = """
with detectors as (from (values {detectors}) as d(signal, version)),
scores as (from (values {actions}) as a(action, kind, score, flag, version)),
seen as (
    select
        response_id,
        occurred_at,
        received_at,
        day,
        signal,
        version,
        hash(signal || response_id) % 200 = 0 as flagged
    from responses
    cross join detectors
)
select
    response_id,
    occurred_at as response_at,
    signal,
    'automated' as kind,
    case when flagged then -0.5 end as score,
    flagged::int::double as raw_value,
    flagged,
    version,
    occurred_at,
    received_at as arrived_at,
    day
from seen
union all
select
    actions.response_id,
    actions.occurred_at - interval 20 second,
    action,
    scores.kind,
    scores.score,
    null,
    flag,
    version,
    actions.occurred_at,
    actions.received_at,
    actions.day
from actions
join scores using (action)
"""

_SELECTIONS = """
with flagged as (select distinct response_id from signals where flagged),
placed as (
    select
        *,
        case when response_id in (from flagged) then 'flagged' else 'normal' end as stratum,
        hash('chance:' || response_id) / 2.0 ** 64 as drawn
    from responses
)
select
    response_id,
    occurred_at as response_at,
    '{judge}' as judge,
    '{axis}' as axis,
    '{version}' as judge_version,
    stratum,
    case when error is null then case stratum when 'flagged' then 1.0 else {rate} end end as inclusion_probability,
    case
        when error is not null then 'filtered'
        when stratum = 'flagged' or drawn < {rate} then 'selected'
        else 'not_selected'
    end as state,
    '{policy}' as policy_version,
    received_at as selected_at,
    day
from placed
"""

_VERDICTS = """
select
    'e-' || md5('verdict:' || response_id) as event_id,
    selected_at + interval 60 second as occurred_at,
    selected_at + interval 60 second as received_at,
    'production' as environment,
    'shop' as app,
    '{{}}' as attributes,
    'verdict' as kind,
    response_id,
    response_at,
    '{axis}' as axis,
    '{judge}' as judge,
    '{version}' as judge_version,
    0 as replicate,
    0 as attempt,
    case when hash('good:' || response_id) % 100 < 80 then 3.0 else 1.0 end as score,
    inclusion_probability,
    stratum,
    '{model}' as model,
    'past-verdicts-' || day as log_segment,
    row_number() over () * 700 as log_offset,
    day
from selections
where state = 'selected'
"""
