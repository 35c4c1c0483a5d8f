"""Implicit and explicit signals: what users did with an answer, on one scale, by the catalog's score table."""

import pyarrow as pa

from onlineeval_dagster.catalog.signals_file import Signals

BEHAVIOUR_SQL = """
with answered as (
    select response_id, min(occurred_at) as response_at, min(day) as day
    from responses
    group by response_id
),
placed as (
    -- At the same instant the later in the log counts.
    select
        response_id,
        action,
        value,
        {'occurred_at': occurred_at, 'received_at': received_at, 'segment': log_segment, 'place': log_offset} as moment
    from actions
    semi join answered using (response_id)  -- of a month of actions few are about these days
),
last_action as (
    -- A changed rating: the last one counts. Duplicates of one event say the same twice.
    select response_id, action, max_by(value, moment) as raw_value, max(moment) as moment
    from placed
    group by response_id, action
),
standing as (
    -- Of the actions of one opinion the last one stands; one that takes it back leaves none.
    select last_action.*, moment.occurred_at as occurred_at, moment.received_at as arrived_at
    from last_action
    join score_table using (action)
    qualify opinion is null or row_number() over (partition by response_id, opinion order by moment desc) = 1
)
select
    standing.response_id,
    answered.response_at,
    standing.action as signal,
    score_table.kind,
    case
        when score_table.score is not null then score_table.score
        when worst is null then null
        -- Not a number: the action is there, its score is unknown. (greatest and least pass over nulls.)
        when raw_value is null then null
        else greatest(-1, least(1, 2 * (raw_value - worst) / (best - worst) - 1))
    end as score,
    raw_value,
    score_table.flag as flagged,
    score_table.version,
    standing.occurred_at,
    standing.arrived_at,
    answered.day
from standing
join answered using (response_id)
join score_table on score_table.action = standing.action
where not score_table.withdraws
"""
"""One row per (response, action) from views `responses`, `actions` and the Arrow table `score_table`."""

# Days after a response during which an action on it still counts; and the clock skew of one day before it.
ATTRIBUTION_DAYS = 30
SKEW_DAYS = 1


def score_table(signals: Signals) -> pa.Table:
    """The catalog's actions as columns: action, kind, score, worst, best, opinion, withdraws, flag, version."""
    entries = signals.actions.items()
    return pa.table(
        {
            "action": pa.array([name for name, _ in entries], pa.string()),
            "kind": pa.array([entry.kind for _, entry in entries], pa.string()),
            "score": pa.array([entry.score for _, entry in entries], pa.float64()),
            "worst": pa.array([entry.range[0] if entry.range else None for _, entry in entries], pa.float64()),
            "best": pa.array([entry.range[1] if entry.range else None for _, entry in entries], pa.float64()),
            "opinion": pa.array([entry.opinion for _, entry in entries], pa.string()),
            "withdraws": pa.array([entry.withdraws for _, entry in entries], pa.bool_()),
            "flag": pa.array([entry.flag for _, entry in entries], pa.bool_()),
            "version": pa.array([entry.version for _, entry in entries], pa.string()),
        }
    )
