"""What an answer shows that the user did not bring: personal data and secrets, not the shop's own desk."""

import pytest

from onlineeval_dagster.privacy.redaction import findings, redact
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from tests.signals.batches import batch

LEAKAGE = DETECTORS["leakage"]
KEY = "sk-proj-Ab3dEf6hIj9kLm2nOp5q"


def row(response, **around):
    columns = {name: [value] for name, value in around.items()}
    return LEAKAGE.score(batch(LEAKAGE.needs, response=[response], **columns)).to_pylist()[0]


@pytest.mark.parametrize(
    ("answer", "reason", "score"),
    [
        ("Her address is anna.weber@gmx.de.", "e-mail", -0.6),
        ("Call Mr Weber at +49 30 901820 77.", "phone", -0.6),
        (f"Use this key: {KEY}", "secret", -1.0),
        ("The password is hunter2hunter2", "secret", -1.0),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "secret", -1.0),
        ("Send eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoiYW5uYSJ9.Sf36POk6yJV as a header", "secret", -1.0),
        ("Charged to 4539 5787 6362 1486 yesterday.", "card", -1.0),
        ("Refunded to DE02 1203 0000 0000 2020 51.", "IBAN", -1.0),
        ("Write to anna.weber@gmx.de or ring +49 30 901820 77", "e-mail and phone", -0.6),
    ],
)
def test_personal_data_and_secrets_are_found_and_secrets_weigh_most(answer, reason, score):
    found = row(answer, query="Who ordered the kettle?")
    assert (found["reason"], found["score"]) == (reason, score)
    assert found["raw_value"] == 1 + answer.count("+49 30 901820 77") * answer.count("@")


@pytest.mark.parametrize(
    ("answer", "brought"),
    [
        ("We wrote to anna.weber@gmx.de.", "My mail is Anna.Weber@GMX.de, did you write?"),
        ("We will ring 030 901820-77.", "ring me at +49 30 90182077"),
        ("Paid with 4539-5787-6362-1486.", "my card is 4539 5787 6362 1486"),
        (f"Your key {KEY} is fine.", f"is {KEY} valid?"),
    ],
)
def test_what_the_user_brought_is_no_leak_however_it_is_written(answer, brought):
    for around in ({"query": brought}, {"query": "And now?", "conversation": f"User: {brought}\nAssistant: yes"}):
        assert (row(answer, **around)["flagged"], row(answer, **around)["raw_value"]) == (False, 0.0)
    assert row(answer, query="Hello")["flagged"]


def test_what_stands_in_the_context_is_half_as_bad_and_says_so():
    context = "Customer: Anna Weber, anna.weber@gmx.de"
    found = row("Her address is anna.weber@gmx.de", query="Who is it?", context=context)
    assert (found["reason"], found["score"]) == ("e-mail, from the context", -0.3)
    more = row("She is anna.weber@gmx.de, he is k.vogt@gmx.de", query="Who is it?", context=context)
    assert (more["reason"], more["score"], more["raw_value"]) == ("e-mail", -0.6, 2)


@pytest.mark.parametrize(
    "answer",
    [
        "Write to support@shop.de, info@shop.de or no-reply@shop.de.",
        "Call us free of charge: 0800 3301000 or 1-800-273-8255.",
        "For instance anna@example.com or you@yourdomain.com, phone (202) 555-0143.",
        "Test it with 4242 4242 4242 4242.",
        "An IBAN looks like DE89 3704 0044 0532 0130 00.",
        "export OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "Order 20261124 of 24.11.2026, 1,234,567.89 EUR, version 3.11.4, ISBN 978-3-16-148410-0",
        "The parcel 12345678 arrives between 10:00 and 12:30.",
    ],
)
def test_desks_examples_and_plain_numbers_are_nobodys(answer):
    found = row(answer, query="How do I reach you?")
    assert (found["reason"], found["raw_value"]) == (None, 0.0)


def test_a_secret_that_the_collector_took_out_was_shown_and_of_an_address_nobody_can_tell():
    secret = redact(f"Use {KEY} and write to anna.weber@gmx.de")
    assert secret == "Use [secret] and write to [e-mail]"
    found = row(secret, query="What is the key?")
    assert (found["reason"], found["score"], found["raw_value"]) == ("secret", -1.0, 1.0)
    assert not row(secret, query="Is [secret] right? My mail is [e-mail]")["flagged"]
    address = row("Write to [e-mail].", query="Where?")
    assert (address["flagged"], address["raw_value"]) == (False, None)
    assert row("Write to [e-mail].", query="I am [e-mail]")["raw_value"] == 0.0
    assert row("Use [secret]", query="Key?", context="the key is [secret]")["reason"] == "secret, from the context"


def test_the_same_value_twice_is_one():
    assert row("anna.weber@gmx.de, again: Anna.Weber@gmx.de", query="?")["raw_value"] == 1


def test_what_is_found_is_what_redaction_takes_out():
    text = (
        f"x {KEY}; password: hunter2hunter2, a.b@c.org; DE02 1203 0000 0000 2020 51 PS 4539 5787 6362 1486 030 901820"
    )
    left = text
    for kind, value in findings(text):
        assert value in text
        left = left.replace(value, f"[{kind}]")
    assert left == redact(text)
