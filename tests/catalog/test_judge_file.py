"""A judge file is right, or one clear error says what to write instead."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from onlineeval_dagster.catalog import judge_file
from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.catalog.judge_reading import load_judge, load_judges
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG

FRONT = """axis = "tone"
model = "gpt-5-mini"
good_from = 3
rate = 0.1
owner = "team:support"
status = "shadow"
max_in_flight = 20
timeout_seconds = 30
scale = { 1 = "rude", 2 = "neutral", 3 = "kind" }
parameters = { temperature = 0, max_tokens = 200 }
price = { input_usd_per_million = 0.25, output_usd_per_million = 2 }
"""
BODY = 'Is {response} a kind answer to {query}? Reply as in {"score": 1}.'


def written(folder: Path, front: str = FRONT, body: str = BODY, name: str = "tone.md") -> Path:
    path = folder / "judges" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{front}---\n{body}\n", encoding="utf-8")
    return path


def changed(**lines: str | None) -> str:
    """FRONT with some lines replaced, and left out where None."""
    kept = [line for line in FRONT.splitlines() if line.split(" =")[0] not in lines]
    return "\n".join([*kept, *(line for line in lines.values() if line is not None)]) + "\n"


def test_a_judge_file_becomes_a_judge(tmp_path: Path) -> None:
    judge = load_judge(written(tmp_path))
    assert (judge.name, judge.axis, judge.model, judge.good_from) == ("tone", "tone", "gpt-5-mini", 3)
    assert judge.scale == {1: "rude", 2: "neutral", 3: "kind"}
    assert judge.parameters == {"temperature": 0, "max_tokens": 200}
    assert judge.price == Price(input_usd_per_million=0.25, output_usd_per_million=2.0)
    assert (judge.rate, judge.status, judge.owner) == (0.1, "shadow", "team:support")
    assert (judge.max_in_flight, judge.timeout_seconds, judge.prompt) == (20, 30.0, BODY)
    assert not judge.is_local


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    front = 'axis = "tone"\nmodel = "local/overlap"\ngood_from = 2\nscale = { 1 = "no", 2 = "yes" }\n'
    judge = load_judge(written(tmp_path, front))
    assert (judge.status, judge.rate, judge.price, judge.owner) == ("active", None, None, None)
    assert judge.is_local


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = load_judge(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_judge(path) == before


def test_the_packaged_judges_run_without_a_key() -> None:
    judges = [judge for judge in load_judges(PACKAGED_CATALOG / "judges")[0] if judge.status != "retired"]
    assert [judge.name for judge in judges] == ["relevance"]
    assert all(judge.is_local and judge.status == "active" and judge.owner for judge in judges)


@pytest.mark.parametrize("name", ["groundedness", "harmlessness", "helpfulness", "instruction-following"])
def test_a_packaged_judge_that_costs_money_is_whole_and_asleep(name: str) -> None:
    """Woken by its status alone: priced, bounded a day, one axis on 1–3, and shown the answer and its question."""
    judge = load_judge(PACKAGED_CATALOG / "judges" / f"{name}.md")
    assert (judge.status, judge.axis, list(judge.scale), judge.good_from) == ("retired", name, [1, 2, 3], 3)
    assert judge.price is not None and judge.daily_budget_usd == 1.0 and judge.most_output_tokens == 200
    assert {"query", "response"} <= set(judge_file.PLACEHOLDER.findall(judge.prompt))
    assert judge.owner and not judge.is_local


def test_every_packaged_judge_can_be_woken_at_once(tmp_path: Path) -> None:
    """No name or column of theirs meets another's, or a signal's."""
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder)
    for path in (folder / "judges").glob("*.md"):
        path.write_text(path.read_text(encoding="utf-8").replace('"retired"', '"active"'), encoding="utf-8")
    catalog = load_catalog(folder)
    assert len(catalog.live_judges) == 5
    assert [judge.name for judge in catalog.asked_judges] == ["relevance"]


def test_a_field_kept_private_wakes_no_complaint_of_a_judge_that_sleeps(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder)
    (folder / "privacy.toml").write_text('[judges]\nprivate = ["context"]\n', encoding="utf-8")
    assert load_catalog(folder).live_judges
    path = folder / "judges" / "groundedness.md"
    path.write_text(path.read_text(encoding="utf-8").replace('"retired"', '"shadow"'), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"judges/groundedness\.md: the prompt shows \{context\}"):
        load_catalog(folder).whole()


def test_a_packaged_prompt_works_with_a_real_model_by_changing_the_model_alone(tmp_path: Path) -> None:
    text = (PACKAGED_CATALOG / "judges" / "relevance.md").read_text(encoding="utf-8")
    price = "price = { input_usd_per_million = 1, output_usd_per_million = 5 }"
    path = tmp_path / "relevance.md"
    path.write_text(text.replace('"local/overlap"', f'"gpt-5-mini"\n{price}'), encoding="utf-8")
    judge = load_judge(path)
    assert not judge.is_local
    assert judge.version != load_judge(PACKAGED_CATALOG / "judges" / "relevance.md").version


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"rate": "rate = 10"}, r"judges/tone\.md: rate must be in \(0, 1\], got 10; write 0\.1 for ten percent"),
        ({"rate": "rate = 0"}, r"rate must be in \(0, 1\], got 0"),
        ({"rate": "rate = nan"}, r"rate must be in \(0, 1\], got nan"),
        ({"rate": 'rate = "1"'}, r"rate must be in \(0, 1\], got '1'"),
        ({"rate": "rates = 0.1"}, r"unknown key 'rates'; did you mean 'rate'\?"),
        ({"rate": "zzz = 0.1"}, r"unknown key 'zzz'; known are axis, scale"),
        ({"axis": None}, r"axis is missing"),
        ({"axis": 'axis = ["tone", "style"]'}, r"one axis per judge.*one file for each"),
        ({"model": None}, r"model is missing"),
        ({"model": 'model = "local/overlop"'}, r"'local/overlop' is not an embedded judge; known are local/overlap"),
        ({"scale": None}, r"scale must be a table"),
        ({"scale": 'scale = { 3 = "kind" }'}, r"scale has 1 value\(s\), two or more"),
        ({"scale": 'scale = { 1 = "rude", 3 = "" }'}, r"the anchor of 3 is missing"),
        ({"scale": "scale = { 1 = 1, 3 = 3 }"}, r"the anchor of 1 is missing"),
        ({"scale": 'scale = { bad = "rude", 3 = "kind" }'}, r"a score must be a whole number, got 'bad'"),
        ({"scale": 'scale = { 1 = "a", 01 = "b" }'}, r"one score is there twice"),
        ({"good_from": "good_from = 1"}, r"good_from must be 2 or 3 .*got 1"),
        ({"good_from": None}, r"good_from must be 2 or 3 .*got None"),
        ({"price": None}, r"price is missing; write price = .*0 for your own model"),
        (
            {"price": "price = { input_usd_per_milion = 1, output_usd_per_million = 1 }"},
            r"did you mean 'input_usd_per_million'",
        ),
        (
            {"price": "price = { input_usd_per_million = -1, output_usd_per_million = 1 }"},
            r"US dollars, 0 or more, got -1",
        ),
        ({"status": 'status = "live"'}, r"status must be one of active, shadow, retired, got 'live'"),
        ({"max_in_flight": "max_in_flight = 0"}, r"max_in_flight must be a whole number from 1 to 10000, got 0"),
        (
            {"timeout_seconds": "timeout_seconds = inf"},
            r"timeout_seconds must be a number from 0\.001 to 3600, got inf",
        ),
        ({"parameters": "parameters = { stream = true }"}, r"parameters may not set stream; remove it"),
        ({"parameters": "parameters = { until = 2026-01-01 }"}, r"parameters must be plain JSON values"),
        ({"labels": "labels = { yes = 4 }"}, r"labels: 'yes' = 4 is no word for a score of the scale \[1, 2, 3\]"),
        ({"axis": "axis = tone"}, r"front matter is not TOML"),
    ],
)
def test_a_wrong_value_is_one_error_with_place_value_and_remedy(
    tmp_path: Path, line: dict[str, str | None], message: str
) -> None:
    with pytest.raises(CatalogError, match=message) as raised:
        load_judge(written(tmp_path, changed(**line)))
    assert str(raised.value).startswith("judges/tone.md: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "the prompt is empty"),
        (
            "Is {answer} kind?",
            r"names \{answer\}, which is not a field of a response; there are \{query\}, \{response\}",
        ),
        ("{response} of {user_id}", r"names \{user_id\}, which is not shown to judges"),
        ("Is this kind?", r"never names \{response\}"),
    ],
)
def test_a_prompt_can_only_name_what_a_judge_is_shown(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        load_judge(written(tmp_path, body=body))


@pytest.mark.parametrize("raw", [b"", b"Just a prompt", b"---\naxis = 1\nno end", b"\xff\xfe\x00binary"])
def test_a_file_that_is_no_judge_is_named(tmp_path: Path, raw: bytes) -> None:
    path = written(tmp_path)
    path.write_bytes(raw)
    with pytest.raises(CatalogError, match=r"^judges/tone\.md: "):
        load_judge(path)


def test_two_judges_with_one_name_are_an_error(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path, name="support/tone.md")
    written(tmp_path, name="other.md")
    judges, broken = load_judges(tmp_path / "judges")
    assert [judge.name for judge in judges] == ["other"]
    told = "judges/: two judges with the name 'tone' (support/tone.md and tone.md); rename one file"
    assert str(broken["tone"]) == told


def test_judges_come_sorted_and_a_missing_folder_holds_none(tmp_path: Path) -> None:
    for name in ("b.md", "c.md", "a.md"):
        written(tmp_path, name=name)
    assert [judge.name for judge in load_judges(tmp_path / "judges")[0]] == ["a", "b", "c"]
    assert load_judges(tmp_path / "nowhere") == ((), {})


def variants(judge: Judge) -> dict[str, Judge]:
    return {
        "prompt": dataclasses.replace(judge, prompt=judge.prompt + " Think."),
        "model": dataclasses.replace(judge, model="gpt-5"),
        "parameters": dataclasses.replace(judge, parameters={"temperature": 1}),
        "anchor": dataclasses.replace(judge, scale={**judge.scale, 3: "very kind"}),
        "scale": dataclasses.replace(judge, scale={**judge.scale, 4: "lovely"}),
        "labels": dataclasses.replace(judge, labels={"kind": 3}),
        "axis": dataclasses.replace(judge, axis="style"),
    }


def test_whatever_can_change_an_answer_changes_the_version(tmp_path: Path) -> None:
    judge = load_judge(written(tmp_path))
    versions = {name: variant.version for name, variant in variants(judge).items()} | {"": judge.version}
    assert len(set(versions.values())) == len(versions), versions
    assert all(len(version) == 12 and int(version, 16) >= 0 for version in versions.values())


def test_what_cannot_change_an_answer_leaves_the_version(tmp_path: Path) -> None:
    judge = load_judge(written(tmp_path))
    same = dataclasses.replace(
        judge,
        name="other",
        rate=0.5,
        status="active",
        owner="me",
        max_in_flight=1,
        price=None,
        timeout_seconds=1.0,
        good_from=2,
        repeat_rate=0.5,
    )
    assert same.version == judge.version


def test_a_new_algorithm_of_an_embedded_judge_is_a_new_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = dataclasses.replace(load_judge(written(tmp_path)), model="local/overlap")
    monkeypatch.setitem(judge_file.LOCAL_ALGORITHMS, "overlap", "next")
    assert dataclasses.replace(local).version != local.version


def test_a_price_is_per_million_tokens() -> None:
    price = Price(input_usd_per_million=3.0, output_usd_per_million=15.0)
    assert price.of(1_000_000, 100_000) == pytest.approx(4.5)
    assert price.of(None, None) == 0


OWN = 'base_url = "https://api.anthropic.com/v1/"\napi_key_env = "ANTHROPIC_API_KEY"\n'


def test_a_judge_may_have_an_endpoint_and_a_key_of_its_own(tmp_path: Path) -> None:
    judge = load_judge(written(tmp_path, FRONT + OWN))
    plain = load_judge(written(tmp_path, name="plain.md"))
    assert (judge.base_url, judge.api_key_env) == ("https://api.anthropic.com/v1/", "ANTHROPIC_API_KEY")
    assert (plain.base_url, plain.api_key_env) == (None, "OPENAI_API_KEY")
    assert judge.version != plain.version, "the same name may be another model there"
    assert dataclasses.replace(plain, api_key_env="OTHER_KEY").version == plain.version


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('base_url = "anthropic.com"', r"base_url is no address, got 'anthropic\.com'; write it as https://host/v1"),
        ('base_url = "https://me:pass@host/v1"', r"base_url holds a password; keys come from the environment"),
        ("base_url = 1", r"base_url must be a text"),
        ('api_key_env = "sk-ant-1234"', r"api_key_env must be the name of an environment variable .*, never the key"),
    ],
)
def test_an_endpoint_that_makes_no_sense_is_one_error_without_the_secret(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(CatalogError, match=rf"judges/tone\.md: {told}") as raised:
        load_judge(written(tmp_path, FRONT + line + "\n"))
    assert "pass@" not in str(raised.value) and "sk-ant" not in str(raised.value)


LIMITS = """reply = "json"
requests_per_minute = 500
tokens_per_minute = 200_000
daily_budget_usd = 2.5
"""


def test_a_judge_file_says_what_the_account_and_the_day_allow(tmp_path: Path) -> None:
    judge = load_judge(written(tmp_path, FRONT + LIMITS))
    assert (judge.requests_per_minute, judge.tokens_per_minute, judge.daily_budget_usd) == (500, 200_000, 2.5)
    assert (judge.reply, judge.most_output_tokens) == ("json", 200)
    plain = load_judge(written(tmp_path, name="plain.md"))
    assert (plain.requests_per_minute, plain.tokens_per_minute, plain.daily_budget_usd) == (None, None, None)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("requests_per_minute = 0", r"requests_per_minute must be a number from 1 to .*, got 0"),
        ('tokens_per_minute = "many"', r"tokens_per_minute must be a number from 1 to .*, got 'many'"),
        ("repeat_rate = 2", r"repeat_rate must be a number from 0 to 1, got 2; 0.02 is the default"),
        ("daily_budget_usd = -1", r"daily_budget_usd must be a number from 0 to .*, got -1"),
        ('reply = "xml"', r"reply must be one of json, text, got 'xml'"),
        ('bare = "yes"', r"bare must be true or false, got 'yes'"),
        ('system = "You judge."', r"system is the system message of a judge with bare = true"),
    ],
)
def test_a_limit_or_form_that_makes_no_sense_is_one_clear_error(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(CatalogError, match=rf"judges/tone\.md: {told}"):
        load_judge(written(tmp_path, FRONT + line + "\n"))


def test_a_hard_budget_needs_replies_that_end(tmp_path: Path) -> None:
    front = changed(parameters="parameters = { temperature = 0 }") + "daily_budget_usd = 1\n"
    with pytest.raises(CatalogError, match="daily_budget_usd can be kept only where a reply has an end; write param"):
        load_judge(written(tmp_path, front))


def test_a_schema_of_ones_own_and_ours_exclude_each_other(tmp_path: Path) -> None:
    own = changed(parameters='parameters = { response_format = { type = "json_object" } }')
    assert load_judge(written(tmp_path, own)).parameters["response_format"] == {"type": "json_object"}
    with pytest.raises(CatalogError, match="parameters may not set response_format"):
        load_judge(written(tmp_path, own + 'reply = "json"\n'))


def test_how_a_judge_is_asked_changes_its_version_and_what_it_may_spend_does_not(tmp_path: Path) -> None:
    judge = load_judge(written(tmp_path))
    forms = [{"reply": "json"}, {"bare": True}, {"bare": True, "system": "You judge."}]
    versions = {dataclasses.replace(judge, **form).version for form in forms}  # type: ignore[arg-type]
    assert len({judge.version, *versions}) == 4
    same = dataclasses.replace(judge, requests_per_minute=1.0, tokens_per_minute=1.0, daily_budget_usd=1.0)
    assert same.version == judge.version


def test_a_private_text_is_never_shown_to_a_model_outside(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    privacy = folder / "privacy.toml"
    privacy.write_text(privacy.read_text().replace("private = []", 'private = ["context"]'))
    load_catalog(folder)  # the packaged judge is shown the context, and does not leave this machine
    written(folder, body="Is {response} right, given {context}?")
    with pytest.raises(CatalogError, match=r"judges/tone\.md: the prompt shows \{context\} to 'gpt-5-mini'"):
        load_catalog(folder).whole()
    written(folder, body="Is {response} kind?")
    load_catalog(folder)
    privacy.write_text(privacy.read_text().replace('["context"]', '["reference"]'))
    written(folder, body="Is {response} the same as {reference}?")
    with pytest.raises(CatalogError, match=r"the prompt shows \{reference\} to 'gpt-5-mini'"):
        load_catalog(folder).whole()
