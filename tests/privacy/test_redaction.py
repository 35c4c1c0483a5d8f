import doctest
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.privacy import redaction
from onlineeval_dagster.privacy.redaction import redact

PRIVATE = [
    ("mail anna.b+shop@mail.example.co.uk now", "mail [e-mail] now"),
    ("straße@münchen.example!", "[e-mail]!"),
    ("call +49 30 1234567.", "call [phone]."),
    ("(202) 555-0143 or 202-555-0143", "[phone] or [phone]"),
    ("030 1234567, 0170-1234567, 00493012345678", "[phone], [phone], [phone]"),
    ("card 4111 1111 1111 1111", "card [card]"),
    ("card 5500-0000-0000-0004, thanks", "card [card], thanks"),
    ("378282246310005", "[card]"),
    ("pay to DE89 3704 0044 0532 0130 00 Bank", "pay to [IBAN] Bank"),
    ("GB82WEST12345698765432", "[IBAN]"),
    ("key sk-proj-abcdefghij1234567890XYZ", "key [secret]"),
    ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[secret]"),
    ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
    ('api_key: "ABCD1234efgh5678"', 'api_key: "[secret]"'),
    ("Authorization: Bearer abcdef1234567890", "Authorization: Bearer [secret]"),
]

ORDINARY = [
    "It costs 1,299.00 EUR or 49.90, 5 % off, 1 234 567 in stock.",
    "On 2026-11-23 at 08:00:15, 23.11.2026, 11/23/2026, 2024-2025.",
    "Order 12345678, order 0123-4567, part 1234-5678, 10 x 20 x 30 cm.",
    "Version 1.2.3, address 10.0.0.1, ISBN 978-3-16-148410-0.",
    "2026-11-23T08:00:00.123456Z 550e8400-e29b-41d4-a716-446655440000",
    "4111 1111 1111 1112 fails its check digit and is no card.",
    "GB00WEST12345698765432 fails its check digits and is no account.",
    "Choose 'forgot password' on the sign-in page; a new password needs at least 10 characters.",
    "pi is 3.141592653589793",
]


@pytest.mark.parametrize(("text", "shown"), PRIVATE)
def test_personal_data_and_secrets_are_taken_out(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_numbers_and_words_stay(text):
    assert redact(text) == text


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([text for text, _ in PRIVATE] + ORDINARY)
        | st.text("0123456789 +-()./@a.:DE[]", max_size=40)
        | st.text(max_size=20),
        max_size=5,
    ).map("".join)
)
def test_redacting_twice_changes_nothing_more(text):
    assert redact(redact(text)) == redact(text)


@given(st.integers(0, 99_999_999), st.sampled_from(["order {}", "#{}.", "{} EUR", "No. {}, please", "{}"]))
def test_order_numbers_of_up_to_eight_digits_stay(number, frame):
    assert redact(frame.format(number)) == frame.format(number)


@given(st.dates(), st.sampled_from(["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%d %m %Y", "%Y%m%d"]))
def test_dates_stay(day, form):
    assert redact(day.strftime(form)) == day.strftime(form)


@given(st.decimals(0, 9_999_999, places=2), st.sampled_from(["{} EUR", "EUR {:,}", "-{}", "{}%"]))
def test_prices_stay(price, frame):
    assert redact(frame.format(price)) == frame.format(price)


@pytest.mark.parametrize("piece", ["a", "1 ", "a.", "0 ", "AB12 ", "eyJ", "a-", "x@b.", "-----BEGIN PRIVATE KEY-----"])
def test_a_hostile_text_takes_no_time(piece):
    begun = time.perf_counter()
    redact(piece * (20_000 // len(piece)))
    assert time.perf_counter() - begun < 2


def test_the_examples_in_the_docstring_hold():
    assert doctest.testmod(redaction).failed == 0 and doctest.testmod(redaction).attempted > 0
