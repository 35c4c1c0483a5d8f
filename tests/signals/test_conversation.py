"""What the next turn, or its absence, says of an answer: retry, correction, abandonment, dwell, kept share."""

from datetime import timedelta

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.retention import Kept, Retention
from onlineeval_dagster.keeping.retention import apply
from onlineeval_dagster.lake.rewrite import drop_days
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.stage import derive_signals, touched_days
from tests.worlds import NOON, NOW, action, answer, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
DERIVED = set(CATALOG.signals.derived)
IDLE = timedelta(minutes=CATALOG.signals.sessions.idle_minutes)
MINUTE = timedelta(minutes=1)
ASKED = "Where is my parcel?"


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def derived(lake):
    table = rows(lake, "select * from signals", {"signals": None})
    return {(row["response_id"], row["signal"]): row for row in table.to_pylist() if row["signal"] in DERIVED}


def turns(*queries, gap=MINUTE, **more):
    """One person's questions, `gap` apart, the first at noon."""
    who = {"user_id": "u1"} | more
    return [answer(number, query=query, at=NOON + number * gap, **who) for number, query in enumerate(queries, 1)]


def signals_of(settings, events, *, now=NOW):
    lake = lake_of(settings, events)
    derive_signals(lake, CATALOG, now=now)
    return derived(lake)


FOLLOWED = [
    ("Cancel my order", "cancel my order", True),
    ("Cancel my order 77 please", "Please cancel my order 77", True),
    ("How do I cancel my ordre", "How do I cancel my order", True),
    ("我想取消我的订单", "我想取消我的订单!", True),
    ("Cancel my order", "And what about the refund?", False),
    ("Where is parcel 1", "Thanks a lot", False),
    ("", "", False),
    ("🙂", "🙂", True),
]
CORRECTED = [
    ("No, that's not what I asked", True),
    ("Actually, I meant the other one", True),
    ("That is wrong.", True),
    ("Nein, das stimmt nicht", True),
    ("Eso no es correcto", True),
    ("C'est faux", True),
    ("No problem, thank you!", False),
    ("Can you actually do that for me?", False),
    ("Danke, das war alles", False),
    ("No, intendevo un altro", True),
    ("Isso está errado", True),
    ("No grazie, basta così", False),
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Signals of each case's first and second turn: r0 and r0-next, each case a person."""
    questions = [(first, second) for first, second, _ in FOLLOWED] + [(ASKED, said) for said, _ in CORRECTED]
    events = [
        answer(f"{place}{part}", query=query, at=NOON + at * MINUTE, user_id=f"u{place}")
        for place, pair in enumerate(questions)
        for at, (part, query) in enumerate(zip(("", "-next"), pair, strict=True), 1)
    ]
    return signals_of(settings_at(tmp_path_factory.mktemp("pairs")), events)


@pytest.mark.parametrize("place", range(len(FOLLOWED)), ids=[f"{first}, {second}" for first, second, _ in FOLLOWED])
def test_the_same_or_nearly_the_same_question_again_is_a_retry(pairs, place):
    assert ((f"r{place}", "retry") in pairs) == FOLLOWED[place][2]
    assert (f"r{place}-next", "retry") not in pairs


@pytest.mark.parametrize("case", range(len(CORRECTED)), ids=[said for said, _ in CORRECTED])
def test_a_turn_that_says_the_answer_was_wrong_is_a_correction_and_flags_it(pairs, case):
    key = (f"r{len(FOLLOWED) + case}", "correction")
    assert (key in pairs) == CORRECTED[case][1]
    if key in pairs:
        assert pairs[key]["flagged"]
        assert pairs[key]["arrived_at"] == NOON + 2 * MINUTE + timedelta(seconds=1)


def test_an_answer_is_abandoned_when_the_idle_time_is_over_and_nothing_spoke_well_of_it(settings):
    found = signals_of(settings, turns("One", "Two"))
    assert ("r1", "abandonment") not in found
    assert found["r2", "abandonment"]["occurred_at"] == NOON + 2 * MINUTE + IDLE


def test_an_answer_that_was_copied_is_not_abandoned_and_one_that_was_regenerated_is(settings):
    found = signals_of(settings, [*turns("One"), action(1, "copy")])
    assert ("r1", "abandonment") not in found
    found = signals_of(settings, [answer(5, query="x", at=NOON), action(5, "regenerate")])
    assert ("r5", "abandonment") in found


def test_silence_is_known_only_once_the_idle_time_is_over_and_then_the_day_is_touched_once(settings):
    lake = lake_of(settings, turns("One"))
    early, late = NOON + 5 * MINUTE, NOON + MINUTE + IDLE
    derive_signals(lake, CATALOG, now=early)
    assert ("r1", "abandonment") not in derived(lake)
    assert touched_days(lake, CATALOG, now=late - MINUTE)[0] == frozenset()
    assert touched_days(lake, CATALOG, now=late)[0] == {NOON.date()}
    derive_signals(lake, CATALOG, now=late)
    assert ("r1", "abandonment") in derived(lake)
    assert touched_days(lake, CATALOG, now=NOW)[0] == frozenset()


def test_a_turn_after_the_idle_time_begins_another_conversation(settings):
    found = signals_of(settings, turns("Where is it?", "Where is it?", gap=IDLE + MINUTE))
    assert set(found) == {("r1", "abandonment"), ("r2", "abandonment")}


@pytest.mark.parametrize(
    "other", [{"user_id": "u2"}, {"session_id": "other"}, {"app": "second"}, {"environment": "staging"}]
)
def test_other_people_sessions_and_apps_are_other_conversations(settings, other):
    first = answer(1, query="Same words here", user_id="u1", session_id="s1")
    fields = {"user_id": "u1", "session_id": "s1"} | other
    if "user_id" in other:
        first, fields = first.model_copy(update={"session_id": None}), fields | {"session_id": None}
    second = answer(2, query="Same words here", at=NOON + MINUTE, **fields)
    assert ("r1", "retry") not in signals_of(settings, [first, second])


def test_a_conversation_across_midnight_changes_the_day_before(settings):
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    lake = lake_of(settings, [answer(1, at=midnight - 2 * MINUTE, user_id="u", query="Where is it")])
    derive_signals(lake, CATALOG, now=midnight)
    lake_of(settings, [answer(2, at=midnight + MINUTE, user_id="u", query="Where is it")])
    assert touched_days(lake, CATALOG, now=midnight + 2 * MINUTE)[0] == {NOON.date(), midnight.date()}
    derive_signals(lake, CATALOG, now=midnight + 2 * MINUTE)
    assert derived(lake)["r1", "retry"]["day"] == NOON.date()


def test_a_turn_that_arrives_late_moves_the_right_rows(settings):
    lake = lake_of(settings, [turn for turn in turns("One", "Two", "Three") if turn.response_id != "r2"])
    derive_signals(lake, CATALOG, now=NOW)
    assert derived(lake)["r1", "dwell"]["raw_value"] == 120
    lake_of(settings, [turns("One", "One more")[1].model_copy(update={"received_at": NOON + timedelta(days=2)})])
    derive_signals(lake, CATALOG, now=NOW)
    assert derived(lake)["r1", "dwell"]["raw_value"] == 60
    assert derived(lake)["r1", "dwell"]["arrived_at"] == NOON + timedelta(days=2)


def test_an_answer_told_twice_is_no_retry_of_itself(settings):
    twice = turns("Where is it")[0]
    found = signals_of(settings, [twice, twice.model_copy(update={"received_at": NOON + 9 * MINUTE})])
    assert set(found) == {("r1", "abandonment")}


def test_an_answer_of_the_day_before_that_is_told_again_the_day_after_follows_nothing(settings):
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    last = answer(1, at=midnight - 2 * MINUTE, user_id="u", query=ASKED)
    copies = [answer(2, at=at, user_id="u", query=ASKED) for at in (NOON - timedelta(days=1), midnight + MINUTE)]
    lake = lake_of(settings, [last, *copies])
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    assert {name for number, name in derived(lake) if number == "r1"} == {"abandonment"}


def test_nobody_is_followed_where_neither_session_nor_user_is_known(settings):
    assert signals_of(settings, turns("Same", "Same", user_id=None)) == {}


@pytest.mark.parametrize(("kept", "share", "score"), [("abcdefghij", 1.0, 1.0), ("abcde", 0.5, 0.0), ("", 0.0, -1.0)])
def test_what_the_user_kept_of_an_answer_is_a_share_on_the_scale(settings, kept, share, score):
    events = [answer(1, response="abcdefghij"), action(1, "edited", text="zz"), action(1, "edited", key="2", text=kept)]
    events[2] = events[2].model_copy(update={"occurred_at": NOON + MINUTE, "received_at": NOON + MINUTE})
    row = signals_of(settings, events)["r1", "kept_share"]
    assert (row["raw_value"], row["score"]) == (share, score)


def emptied(settings):
    """The lake of three turns and an edit whose texts retention has emptied."""
    edit = action(1, "edited", text="abc", at=NOON + MINUTE)
    lake = lake_of(settings, [*turns("Same", "Same", "That is wrong", response="abcdefghij"), edit])
    derive_signals(lake, CATALOG, now=NOW)
    apply(settings, lake, Retention(kept={"responses": Kept(text_days=5)}), now=NOW)
    assert set(rows(lake, "select query from responses", {"responses": None}).column("query").to_pylist()) == {""}
    return lake


def test_a_turn_whose_text_is_gone_is_a_turn_still_and_its_words_say_nothing(settings):
    lake = emptied(settings)
    drop_days(lake, "signals", before=NOW.date(), now=NOW)
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    assert set(derived(lake)) == {("r1", "dwell"), ("r2", "dwell"), ("r3", "abandonment")}


def test_what_was_said_of_words_stays_when_they_are_gone(settings):
    lake = emptied(settings)
    before = derived(lake)
    assert {("r1", "retry"), ("r2", "correction"), ("r1", "kept_share")} < set(before)
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    assert [{**row, "file_name": ""} for row in derived(lake).values()] == [
        {**before[key], "file_name": ""} for key in derived(lake)
    ]
    assert set(derived(lake)) == set(before)


def test_a_signal_that_the_catalog_does_not_name_is_not_derived(settings):
    less = CATALOG.signals.model_copy(update={"derived": {"dwell": CATALOG.signals.derived["dwell"]}})
    lake = lake_of(settings, turns("Same", "Same"))
    catalog = type(CATALOG)(
        folder=CATALOG.folder,
        judges=CATALOG.judges,
        signals=less,
        sampling=CATALOG.sampling,
        metrics=CATALOG.metrics,
    )
    derive_signals(lake, catalog, now=NOW)
    assert set(derived(lake)) == {("r1", "dwell")}
