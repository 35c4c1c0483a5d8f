import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.catalog.load import load_privacy_file
from onlineeval_dagster.catalog.privacy_file import PrivacyFile
from onlineeval_dagster.contracts.events import EVENTS
from onlineeval_dagster.errors import CatalogError, SettingsError
from onlineeval_dagster.privacy.policy import CUT, load_privacy, make_privacy
from onlineeval_dagster.settings import PACKAGED_CATALOG, load_settings

SALT = b"a salt for tests only"
PRIVACY = make_privacy(PrivacyFile(), salt=SALT)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("anna@example.com"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["user.id", "user_id"]), inner, max_size=3)
    ),
    max_leaves=12,
)
FIELDS = sorted({name for contract in EVENTS.values() for name in contract.model_fields})


def test_texts_are_redacted_and_ids_stay():
    said = {"kind": "response", "response_id": "r-1", "session_id": "s@x.example", "query": "I am anna@example.com"}
    assert PRIVACY.clean(said) == said | {"query": "I am [e-mail]"}


def test_an_event_with_nothing_in_it_is_the_same_object():
    said = {"kind": "response", "query": "Where is it?", "response": "On its way.", "attributes": {"page": "a"}}
    assert PRIVACY.clean(said) is said


def test_the_event_that_came_in_is_not_changed():
    inner = {"note": "anna@example.com"}
    said = {"kind": "action", "text": "x", "attributes": inner, "user_id": "anna"}
    PRIVACY.clean(said)
    assert said == {"kind": "action", "text": "x", "attributes": {"note": "anna@example.com"}, "user_id": "anna"}


def test_fields_that_no_contract_knows_are_looked_at_like_attributes():
    assert PRIVACY.clean({"kind": "response", "remark": ["by anna@example.com"]})["remark"] == ["by [e-mail]"]


def test_the_user_of_an_exposure_and_of_attributes_is_the_user_of_the_response():
    key = PRIVACY.user_key("anna")
    assert key.startswith("u_") and len(key) == 28
    assert PRIVACY.clean({"kind": "response", "user_id": "anna"})["user_id"] == key
    assert PRIVACY.clean({"kind": "exposure", "unit_id": "anna"})["unit_id"] == key
    assert PRIVACY.clean({"kind": "exposure", "unit": "session", "unit_id": "s-1"})["unit_id"] == "s-1"
    for attributes in ({"user.id": "anna"}, {"enduser.id": "anna"}, {"user": {"id": "anna"}}):
        cleaned = PRIVACY.clean({"kind": "span", "attributes": attributes})["attributes"]
        assert key in str(cleaned) and "anna" not in str(cleaned)


def test_another_salt_gives_other_keys():
    assert make_privacy(PrivacyFile(), salt=b"another salt 123456").user_key("anna") != PRIVACY.user_key("anna")


def test_messages_carried_as_json_text_stay_json():
    text = '[{"role":"user","content":"hi\\nanna@example.com\\nsk-abcdefghij1234567890XYZ"}]'
    cleaned = PRIVACY.clean({"kind": "span", "attributes": {"gen_ai.input.messages": text}})
    assert cleaned["attributes"]["gen_ai.input.messages"] == ('[{"role":"user","content":"hi\\n[e-mail]\\n[secret]"}]')


def test_what_is_nested_too_deep_is_cut_not_passed():
    value: object = "anna@example.com"
    for _ in range(1000):
        value = [value]
    cleaned = str(PRIVACY.clean({"kind": "response", "attributes": {"deep": value}}))
    assert "anna" not in cleaned and CUT in cleaned


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "other"]), JSON, max_size=6), st.sampled_from([*EVENTS, "new", None]))
def test_any_types_pass_and_cleaning_twice_changes_nothing(fields, kind):
    once = PRIVACY.clean({**fields, "kind": kind})
    assert PRIVACY.clean(once) is once


def test_the_packaged_file_says_what_a_catalog_without_one_does(tmp_path):
    packaged, default = load_privacy_file(PACKAGED_CATALOG), load_privacy_file(tmp_path)
    assert packaged.redact.kinds == default.redact.kinds == ("secret", "e-mail", "phone", "card")
    assert packaged.user_ids == default.user_ids
    assert {kind: packaged.redact.fields_of(kind) for kind in EVENTS} == {
        kind: default.redact.fields_of(kind) for kind in EVENTS
    }
    assert set(packaged.redact.fields) == set(EVENTS)


def test_own_patterns_are_taken_out_and_kinds_can_be_chosen(tmp_path):
    (tmp_path / "privacy.toml").write_text(
        '[redact]\nkinds = ["IP"]\n[[redact.patterns]]\nname = "order_id"\npattern = \'\\bORD-[0-9]{6,10}\\b\'\n'
        "[user_ids]\nhash = false\n"
    )
    privacy = make_privacy(load_privacy_file(tmp_path), salt=b"")
    said = {"kind": "action", "text": "ORD-1234567 from 10.0.0.1 or 2001:db8::1 by a@b.example", "user_id": "anna"}
    assert privacy.clean(said)["text"] == "[order_id] from [IP] or [IP] by a@b.example"
    assert privacy.clean(said)["user_id"] == privacy.user_key("anna") == "anna"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[redact]\nkinds = ["fax"]', "privacy.toml: redact.kinds.0: .*fax"),
        ("[redact.fields]\nresponse = ['qeury']", "response has no text field 'qeury'; there are query"),
        ("[redact.fields]\nreply = []", "'reply' is no kind of event; there are response"),
        ("[[redact.patterns]]\nname='a'\npattern='('", "no regular expression"),
        ("[[redact.patterns]]\nname='a'\npattern='x{0,3}'", "matches the empty text"),
        ("[[redact.patterns]]\nname='a'\npattern='(a+)+b'", "repeats without a bound"),
        ("[[redact.patterns]]\nname='a'\npattern='(a{1,30}){1,30}b'", "repeats what repeats already"),
        ("[redact]\nkind = ['card']", "redact.kind is not a known key; did you mean 'kinds'"),
        ("[[redact.patterns]]\nname='a'\npattern='a{0,60}a{0,60}a{0,60}a{0,60}b'", "too slow"),
        ("[[redact.patterns]]\nname='a'\npattern='(a)\\1'", "reference back"),
        ("[[redact.patterns]]\nname='mail'\npattern='mail'", "matches .*mail.*put in its place"),
        ("[user_ids]\nhsah = true", "did you mean 'hash'"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, text, message):
    (tmp_path / "privacy.toml").write_text(text)
    with pytest.raises(CatalogError, match=message):
        load_privacy_file(tmp_path)


def test_bounded_groups_and_classes_of_signs_are_allowed(tmp_path):
    pattern = r"\bK[+*]?-(?:[0-9]{2}\.){1}[0-9]{4}(?:-[A-Z])?\b"
    (tmp_path / "privacy.toml").write_text(f"[[redact.patterns]]\nname='customer'\npattern='''{pattern}'''\n")
    with pytest.raises(CatalogError, match="repeats what repeats"):
        load_privacy_file(tmp_path)
    (tmp_path / "privacy.toml").write_text(
        "[[redact.patterns]]\nname='customer'\npattern='''\\bK[+*]?-[0-9]{2}\\.[0-9]{4}(?:-[A-Z])?\\b'''\n"
    )
    assert make_privacy(load_privacy_file(tmp_path), salt=b"").clean({"kind": "action", "text": "K+-12.3456-A"}) == {
        "kind": "action",
        "text": "[customer]",
    }


def test_the_salt_is_made_once_and_for_its_owner_only(tmp_path):
    first = load_privacy(load_settings(home=tmp_path, user_salt=None))
    again = load_privacy(load_settings(home=tmp_path, user_salt=None))
    assert first.user_key("anna") == again.user_key("anna")
    assert stat.S_IMODE((tmp_path / "state" / "salt").stat().st_mode) == 0o600
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["salt"]


def test_processes_that_start_together_share_one_salt(tmp_path):
    code = (
        "from onlineeval_dagster.settings import load_settings; from onlineeval_dagster.privacy.salt import user_salt;"
        f"print(user_salt(load_settings(home={str(tmp_path)!r})).decode())"
    )
    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(lambda _: subprocess.check_output([sys.executable, "-c", code]), range(3)))
    assert len(set(said)) == 1 and len(said[0].strip()) == 64


def test_a_short_salt_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="ONLINEEVAL_USER_SALT: 4 characters"):
        load_privacy(load_settings(home=tmp_path, user_salt="abcd"))
