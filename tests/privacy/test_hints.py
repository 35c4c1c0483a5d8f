"""Where a hint is silent its rule finds nothing: what makes the collector fast must never let something through."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.catalog.privacy_file import PrivacyFile
from onlineeval_dagster.privacy.policy import make_privacy
from onlineeval_dagster.privacy.redaction import _SHAPES, KINDS
from tests.privacy.test_redaction import ORDINARY, PRIVATE

PIECES = [text for text, _ in PRIVATE] + ORDINARY
NEAR = st.text("0123456789٣۴५７ +-()./\u00a0\u2011\u2013@a.:,DE[]\n\t'\"=", max_size=30)
SECRETS = st.builds(
    lambda word, between, token: word + between + token,
    st.sampled_from(
        (
            *("sk-", "sk_live_", "pk-", "ghp_", "github_pat_", "xoxb-", "AKIA", "AIza", "eyJ"),
            *("-----BEGIN PRIVATE KEY-----", "api key", "API_KEY", "access-token", "ſecret", "Secret", "PASSWORD"),
            *("passwd", "Bearer", "authorızation"),
        )
    ),
    st.text(" :='\"is\n\u00a0\x1c.", max_size=5),
    st.text("abcXYZ0189-_.=/+é", max_size=48),
)
TEXTS = st.lists(st.sampled_from(PIECES) | NEAR | SECRETS | st.text(max_size=20), max_size=6).map("".join)


@settings(max_examples=1500, deadline=None)
@given(TEXTS)
def test_a_silent_hint_means_that_its_rule_changes_nothing(text):
    for kind, rules in KINDS.items():
        for rule in rules:
            if not rule.hint(text):
                assert rule.replace(text) == text, kind


def _with_check_digit(digits: str) -> str:
    """The digits and the one that makes them a card's number (Luhn)."""
    doubled = [int(d) * 2 if place % 2 == 0 else int(d) for place, d in enumerate(reversed(digits))]
    return digits + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def _spaced(digits: str, between: list[str]) -> str:
    return "".join(digit + sign for digit, sign in zip(digits, [*between, ""], strict=False))


BETWEEN = st.lists(st.sampled_from(["", "", "", " ", "-", "\u00a0", "\u2011"]), min_size=18, max_size=18)
CARDS = st.builds(
    lambda prefix, rest, between: _spaced(_with_check_digit(prefix + rest), between),
    st.sampled_from([*"3456", "22", "23", "27"]),
    st.text("0123456789", min_size=11, max_size=16),
    BETWEEN,
)
PHONES = st.from_regex(_SHAPES["phone"][0][0].pattern.replace(r"(?<![\w.,/+-])", ""), fullmatch=True)
SCRIPTS = st.sampled_from(["0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "０１２３４５６７８９"])
AROUND = st.sampled_from(["", " ", "(", ":", "#", "\n", "\x00", "é", "a", "5", ", ", "2026-11-23 ", " 49.90"])
NUMBERS = st.builds(
    lambda before, number, after, script: before + number.translate(str.maketrans("0123456789", script)) + after,
    AROUND,
    CARDS | PHONES,
    AROUND,
    SCRIPTS | st.just("0123456789"),
)


@settings(max_examples=400, deadline=None)
@given(NUMBERS)
def test_no_form_of_a_telephone_or_card_number_is_hidden_by_its_hint(text):
    for rule in (*KINDS["card"], *KINDS["phone"]):
        if rule.replace(text) != text:
            assert rule.hint(text)


@pytest.mark.parametrize(
    "text",
    [
        "On 2026-11-23 49.90 EUR, on 2026-11-24 59.90 EUR",
        "2026-11-23 2026-11-24",
        "from 2026-11-23 08:00 to 10.12.2026",
    ],
)
def test_dates_and_prices_do_not_set_off_the_slow_rules(text):
    assert not KINDS["phone"][0].hint(text)


@settings(max_examples=500, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_texts_looked_at_together_hide_nothing_that_one_of_them_holds(texts):
    privacy = make_privacy(PrivacyFile(), salt=b"a salt for tests")
    event = {"kind": "response", **dict(zip(("query", "response", "context", "error"), texts, strict=False))}
    cleaned = privacy.clean(event)
    for name, text in event.items():
        if name != "kind":
            assert cleaned[name] == privacy.clean({"kind": "response", "query": text})["query"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, st.text(max_size=4), st.none() | st.lists(TEXTS)), max_size=45))
def test_events_cleaned_together_come_out_as_each_by_itself(said):
    privacy = make_privacy(PrivacyFile(), salt=b"a salt for tests")
    names = ("query", "response", "user_id", "context")
    events = [{"kind": "response", **dict(zip(names, values, strict=True))} for values in said]
    alone = [privacy.clean(event) for event in events]
    assert privacy.clean_alike(events) == alone


def test_half_a_surrogate_pair_hides_nothing():
    privacy = make_privacy(PrivacyFile(), salt=b"a salt for tests")
    assert "[phone]" in privacy.clean({"kind": "action", "text": "\ud800 +49 30 1234567"})["text"]


def _shared_texts() -> list[Path]:
    folder = Path(__file__).parents[3] / "shared" / "data"
    return [file for file in folder.rglob("*") if file.suffix in (".jsonl", ".json", ".csv", ".gz", ".txt")]


@pytest.mark.skipif(not _shared_texts(), reason="no shared data beside the repository")
def test_hints_miss_nothing_in_real_texts():
    for file in _shared_texts():
        raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for line in raw[: 2**20].decode("utf-8", "replace").splitlines():
            text = line[:20_000]
            for kind, rules in KINDS.items():
                for rule in rules:
                    assert rule.hint(text) or rule.replace(text) == text, (file.name, kind)
