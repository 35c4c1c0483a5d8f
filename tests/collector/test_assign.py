"""The SDK and the collector give a unit the same variant, and the log knows who met what, at which chance."""

from pathlib import Path

from onlineeval_dagster.collector.client import Client
from tests.catalog.test_experiment_file import TOML
from tests.collector.collectors import app_at, ask, logged

STARTED = TOML.replace("2026-11-30", "2020-01-06")


def experiments(tmp_path: Path) -> Path:
    file = tmp_path / "catalog" / "experiments.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(STARTED)
    return file


def asked(app, **said):
    return ask(app, "POST", "/v1/assign", json=said)


def test_the_collector_and_the_sdk_agree_and_both_write_the_exposure(tmp_path: Path) -> None:
    file = experiments(tmp_path)
    app = app_at(tmp_path / "served", catalog=file.parent)
    client = Client(home=tmp_path / "own", experiments=file)
    for n in range(30):
        (told,) = asked(app, unit_id=f"u{n}").json()["assignments"]
        assert client.assign("short", f"u{n}") == told["variant"]
        assert told["propensity"] == 0.5
    client.close()
    names = ("experiment", "variant", "unit", "unit_id", "propensity", "assignment_version")
    served, own = ([{n: e[n] for n in names} for e in logged(tmp_path / at)] for at in ("served", "own"))
    assert served == own
    assert {exposure["variant"] for exposure in own} == {"control", "short"}


def test_an_exposure_is_told_once_a_unit_and_not_where_it_is_not_wanted(tmp_path: Path) -> None:
    with Client(home=tmp_path, experiments=experiments(tmp_path)) as client:
        assert (
            client.assign("short", "u1", expose=False) == client.assign("short", "u1") == client.assign("short", "u1")
        )
        client.assign("short", "u2", expose=False)
    assert [event["unit_id"] for event in logged(tmp_path)] == ["u1"]


def test_a_product_never_feels_a_mistake_in_the_experiments(tmp_path: Path) -> None:
    file = experiments(tmp_path)
    with Client(home=tmp_path) as none, Client(home=tmp_path, experiments=file) as client:
        assert none.assign("short", "u1") is None
        assert none.counters.errors == 1
        assert client.assign("unheard_of", "u1") is None
        assert client.counters.errors == 0
    file.write_text("[experiments.short]\nvariants = 3")
    with Client(home=tmp_path, experiments=file) as broken:
        assert broken.assign("short", "u1") is None
        assert broken.counters.errors == 1


def test_what_cannot_be_assigned_is_refused_with_its_reason(tmp_path: Path) -> None:
    file = experiments(tmp_path)
    app = app_at(tmp_path, catalog=file.parent)
    refused = [
        ({"unit_id": ""}, 422, "unit_id: "),
        ({"unit_id": 7}, 422, "unit_id: "),
        ({"unit": "user"}, 422, "unit_id: "),
        ({"unit_id": "u", "unit": "device"}, 422, "unit: "),
        ({"unit_id": "u", "unit": "session", "experiment": "short"}, 422, "unit: short is on users"),
        ({"unit_id": "u", "expose": "no"}, 422, "expose: "),
        ({"unit_id": "u", "experiment": ["short"]}, 422, "experiment: "),
        ({"unit_id": "u", "user": "x"}, 422, "body: "),
        ({"unit_id": "u", "experiment": "long"}, 404, "there are short"),
        ({"unit_id": "u", "environment": 7}, 422, "environment"),
    ]
    for said, status, told in refused:
        answer = asked(app, **said)
        assert (answer.status_code, told in answer.json()["error"]) == (status, True), (said, answer.text)
    assert logged(tmp_path) == []
    assert asked(app, unit_id="u", unit="session").json() == {"assignments": []}
    file.write_text("[experiments")
    assert asked(app_at(tmp_path, catalog=file.parent), unit_id="u").status_code == 503


def test_the_key_sets_the_environment_of_an_exposure(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    from onlineeval_dagster.collector.keys import ApiKeys
    from onlineeval_dagster.settings import load_settings

    keys = ApiKeys(load_settings(home=tmp_path).keys_file)
    key = keys.add("shop", environment="staging", scope="write", now=datetime(2026, 11, 24, tzinfo=UTC))
    app = app_at(tmp_path, catalog=experiments(tmp_path).parent)
    assert asked(app, unit_id="u1").status_code == 401
    answer = ask(app, "POST", "/v1/assign", json={"unit_id": "u1"}, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    assert [event["environment"] for event in logged(tmp_path)] == ["staging"]
