"""What is found and what is left alone, counted on a small list made by hand in several languages."""

import pytest

from onlineeval_dagster.privacy.redaction import redact

PERSONAL = [
    ("Bitte an jörg.müller@firma.example schreiben", "[e-mail]"),
    ("Écrivez à zoé@exemple.example, merci", "[e-mail]"),
    ("Пишите на ivan.petrov@pochta.example", "[e-mail]"),
    ("メールは taro@example.jp まで", "[e-mail]"),
    ("contact=ana+news@mail.example.com;ok", "[e-mail]"),
    ("<mailto:a.b@c.example>", "[e-mail]"),
    ("Rückruf unter 0151 23456789 bitte", "[phone]"),
    ("Tel. +49\u00a030\u00a01234567", "[phone]"),
    ("Téléphone : +33 6 12 34 56 78", "[phone]"),
    ("teléfono +34 612 345 678", "[phone]"),
    ("telefono +39 06 1234 5678", "[phone]"),
    ("call (415) 555‑2671 today", "[phone]"),
    ("ring 020 7946 0958", "[phone]"),
    ("電話 +81-90-1234-5678", "[phone]"),
    ("هاتف +٩٧١ ٥٠ ١٢٣ ٤٥٦٧", "[phone]"),
    ("फ़ोन +९१ ९८७६५ ४३२१०", "[phone]"),
    ("number 00442079460958", "[phone]"),
    ("Karte 4111-1111-1111-1111 gültig", "[card]"),
    ("carte 5500\u202f0000\u202f0000\u202f0004", "[card]"),
    ("amex 3782 822463 10005", "[card]"),
    ("visa 4012888888881881.", "[card]"),
    ("mein Schlüssel ist sk-proj-Ab3dEf6hIj9kLm2nOp5q", "[secret]"),
    ("token=ghp_0123456789abcdefghijABCDEFGHIJ012345", "[secret]"),
    ("AWS AKIAIOSFODNN7EXAMPLE", "[secret]"),
    ("password: hunter2hunter2X", "[secret]"),
    ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF", "[secret]"),
    ("IBAN DE89 3704 0044 0532 0130 00", "[IBAN]"),
]
MISSED = ["anna at example dot com", "plus four nine thirty one two three", "Anna Schmidt, Hauptstraße 5, 10115 Berlin"]

HARMLESS = [
    "order 4500012345678",  # thirteen digits, no issuer's prefix and length with its check digit
    "Bestellung Nr. 20261123, Rechnung RE-2026-00123",
    "1.234.567,89 €, 12,50 €, $1,299.00, 1 299,00 kr",
    "vom 01.01.2026 bis 31.12.2026, 2024–2026, 08:00–17:30",
    "Python 3.11.7, node v20.11.1, 1.2.3-beta.4",
    "550e8400-e29b-41d4-a716-446655440000",
    "d41d8cd98f00b204e9800998ecf8427e",
    "gpt-4o-2024-08-06, claude-3-5-sonnet-20241022, llama-3.1-70b",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "1732406400123 milliseconds, 1732406400 seconds",
    "ISBN 978-3-16-148410-0, EAN 4006381333931.5",
    "risk-assessment, task-oriented, desk-booking, a week-end",
    "@anna mentioned you; see @types/node and user@localhost",
    "Das Passwort muss 12 Zeichen haben; reset your password via the link",
    "lat 52.520008, lon 13.404954; 10 x 20 x 30 cm; 1,000,000,000 users",
]


@pytest.mark.parametrize(("text", "mark"), PERSONAL)
def test_it_is_found_in_any_language(text, mark):
    assert mark in redact(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_nobodys_secret_stays(text):
    assert redact(text) == text


@pytest.mark.parametrize("text", MISSED)
def test_what_is_spelled_out_in_words_is_missed_as_the_docs_say(text):
    assert redact(text) == text
