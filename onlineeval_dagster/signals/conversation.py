"""Implicit signals that nobody sent: what the next turn of a conversation, or its absence, says of an answer.

The grammar. A conversation is a session's turns (its user's where no session id came, in one app and environment) with
at most the idle time between them; `next` is the following turn of the same conversation.

    retry        next asks the same or nearly the same again; raw_value: how similar, 0 to 1
    correction   next says that the answer was wrong, in one of the catalog's phrases; raw_value: 1
    abandonment  there is no next, and no act that speaks well of the answer; raw_value: idle time, seconds
    dwell        seconds until next; no score: long may be reading or rereading
    kept_share   of an answer that the user edited, how much stayed as it was, 0 to 1 (action `edited`, its text)

Each is known once next has arrived, or once the idle time is over. Turns without session and user have no conversation.
Where retention emptied the texts of a turn it is a turn still (dwell, abandonment), and its words are compared with
nothing: what was said of them while they were there stays.
"""

import pyarrow as pa

from onlineeval_dagster.catalog.signals_file import Signals
from onlineeval_dagster.signals.versions import derived_versions

COMPARED = 400
"""Characters of a question that are compared."""
EDITED = 1000
"""Characters of an answer that are compared with what the user kept: the distance costs their product."""

# Words shared of all words, over 0.6: "cancel my order" and "please cancel my order now" are one question.
# Or spelling, over 0.95: typing errors mended, and scripts that do not part their words.
SAME_WORDS, SAME_LETTERS = 0.6, 0.95


def _words(text: str) -> str:
    return f"list_filter(string_split_regex({text}, '[^\\pL\\pN]+'), lambda word: word <> '')"


CONVERSATION_SQL = f"""
with wanted_id as (
    -- Of the days around only what may come next.
    select response_id from responses
    where day in (select day from wanted) or (day - 1 in (select day from wanted) and occurred_at <= day + $idle)
),
asked as (
    -- All their copies: one may tell that an answer is of an earlier day.
    select * from responses semi join wanted_id using (response_id)
),
turn as (
    select
        response_id,
        min(day) as day,
        min(occurred_at) as occurred_at,
        min(received_at) as received_at,
        any_value(environment) as environment,
        any_value(app) as app,
        coalesce('session ' || any_value(session_id), 'user ' || any_value(user_id)) as who,
        trim(lower(left(any_value(query) filter (text_erased_at is null), {COMPARED}))) as query
    from asked
    group by response_id
),
sequel as (
    select
        * exclude (environment, app, who),
        lead(occurred_at) over conversation as next_at,
        lead(received_at) over conversation as next_received_at,
        lead(query) over conversation as next_query
    from turn
    where who is not null
    window conversation as (partition by environment, app, who order by occurred_at, response_id)
),
judged as (
    select
        *,
        next_at - occurred_at <= $idle as goes_on,
        occurred_at + $idle as idle_at
    from sequel
    where day in (select day from wanted)
),
worded as (
    select *, list_distinct({_words("query")}) as words, list_distinct({_words("next_query")}) as next_words
    from judged
    where goes_on
),
compared as (
    select
        *,
        len(list_intersect(words, next_words)) as shared,
        len(words) + len(next_words) - len(list_intersect(words, next_words)) as all_words,
        jaro_winkler_similarity(query, next_query) as letters
    from worded
),
emptied as (
    select response_id from responses
    where day in (select day from wanted)
    group by response_id
    having count(text_erased_at) = count(*)
),
edited as (
    select response_id, max_by(text, (occurred_at, received_at)) as kept, max(occurred_at) as occurred_at,
        max_by(received_at, (occurred_at, received_at)) as arrived_at
    from actions where action = 'edited' and text is not null
    group by response_id
),
said as (
    select
        response_id, occurred_at as response_at, 'retry' as signal,
        greatest(if(all_words = 0, 0, shared / all_words), if(letters >= {SAME_LETTERS}, letters, 0)) as raw_value,
        next_at as occurred_at, next_received_at as arrived_at, day
    from compared
    where query <> '' and (shared >= {SAME_WORDS} * all_words or letters >= {SAME_LETTERS})
    union all by name
    select
        response_id, occurred_at as response_at, 'correction' as signal, 1 as raw_value,
        next_at as occurred_at, next_received_at as arrived_at, day
    from judged
    where goes_on and regexp_matches(next_query, $corrections)
    union all by name
    select
        response_id, occurred_at as response_at, 'abandonment' as signal, epoch($idle) as raw_value,
        idle_at as occurred_at, idle_at as arrived_at, day
    from judged
    anti join liked using (response_id)
    where not coalesce(goes_on, false) and idle_at <= $until
    union all by name
    select
        response_id, occurred_at as response_at, 'dwell' as signal, epoch(next_at - occurred_at) as raw_value,
        next_at as occurred_at, next_received_at as arrived_at, day
    from judged
    where goes_on
    union all by name
    select
        response_id, answered.occurred_at as response_at, 'kept_share' as signal,
        1 - levenshtein(left(response, {EDITED}), left(kept, {EDITED}))
            / greatest(1, length(left(response, {EDITED})), length(left(kept, {EDITED}))) as raw_value,
        edited.occurred_at, edited.arrived_at, day
    from (
        select response_id, any_value(response) as response, min(occurred_at) as occurred_at, min(day) as day
        from responses semi join edited using (response_id)
        where day in (select day from wanted) and text_erased_at is null
        group by response_id
    ) as answered
    join edited using (response_id)
    union all by name
    select response_id, response_at, signal, raw_value, occurred_at, arrived_at, day
    from signals
    semi join emptied using (response_id)
    semi join derived using (signal, version)
    where signal in ('retry', 'correction', 'kept_share')
)
select
    said.response_id, said.response_at, said.signal, 'implicit' as kind,
    case
        when derived.scaled then greatest(-1, least(1, 2 * said.raw_value - 1))
        else derived.score
    end as score,
    said.raw_value, derived.flag as flagged, derived.version, said.occurred_at, said.arrived_at, said.day
from said
join derived using (signal)
"""
"""Signals of the responses on the days in the Arrow table `wanted`, from the views `responses` (those days and one each
side: an idle time is at most a day), `actions` and `signals` (those of the days as they are), the Arrow tables `liked`
(response_id, of answers that an act speaks well of) and `derived`; `$idle` is an interval, `$until` the time up to
which silence is known, `$corrections` a pattern.
"""


def derived_table(signals: Signals) -> pa.Table:
    """The catalog's derived signals as columns: signal, score, scaled, flag, version."""
    entries = signals.derived.items()
    return pa.table(
        {
            "signal": pa.array([name for name, _ in entries], pa.string()),
            "score": pa.array([entry.score for _, entry in entries], pa.float64()),
            "scaled": pa.array([entry.scaled for _, entry in entries], pa.bool_()),
            "flag": pa.array([entry.flag for _, entry in entries], pa.bool_()),
            "version": pa.array(list(derived_versions(signals).values()), pa.string()),
        }
    )


def correction_pattern(signals: Signals) -> str:
    """One pattern for the correcting phrases of all languages: people often write in another one than the row says."""
    phrases = [phrase for language in signals.corrections.values() for phrase in language]
    return "^(?:" + "|".join(phrases) + ")" if phrases else "^\\b$"
