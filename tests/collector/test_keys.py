"""A key is shown once and kept as a hash; only its own secret opens, until it is revoked."""

import hmac
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onlineeval_dagster.collector import keys as keys_module
from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.errors import SettingsError

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


def add(keys: ApiKeys, name: str = "shop", environment: str | None = "production") -> str:
    return keys.add(name, environment=environment, scope="write", now=NOW)


def read(file: Path) -> ApiKeys:
    """As a collector that is started now sees them."""
    keys = ApiKeys(file)
    keys.all()
    return keys


def test_the_file_is_its_owners_and_holds_no_secret(file: Path) -> None:
    key = add(ApiKeys(file))
    _, key_id, secret = key.split("_", 2)
    text = file.read_text()
    assert key_id in text
    assert secret not in text and key not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(secret) >= 43  # 256 bits


def test_only_the_whole_key_opens(file: Path) -> None:
    key = add(ApiKeys(file))
    keys = read(file)
    found = keys.find(key)
    assert found is not None
    assert (found.name, found.environment, found.scope) == ("shop", "production", "write")
    other = add(ApiKeys(file), "other")
    mixed = "_".join([*key.split("_", 2)[:2], other.split("_", 2)[2]])
    for wrong in ("", "oe", "oe_", "oe__", key[:-1], key + "x", key.upper(), key[3:], "xx" + key[2:], mixed, "é\ud800"):
        assert read(file).find(wrong) is None, wrong
    assert keys.find(f"oe_nobody00_{key}") is None


def test_a_wrong_secret_and_an_unknown_key_are_compared_in_constant_time(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add(ApiKeys(file))
    keys, compared = read(file), list[tuple[str, str]]()

    class Watched:
        @staticmethod
        def compare_digest(one: str, other: str) -> bool:
            compared.append((one, other))
            return hmac.compare_digest(one, other)

    monkeypatch.setattr(keys_module, "hmac", Watched)
    for said in (key, key + "x", "oe_00000000_x", ""):
        keys.find(said)
    assert len(compared) == 4
    assert {len(side) for pair in compared for side in pair} == {64}


def test_a_revoked_key_is_out_at_once_for_a_running_collector(file: Path) -> None:
    time = [0.0]
    key = add(ApiKeys(file))
    running = ApiKeys(file, clock=lambda: time[0])
    assert running.are_asked_for and running.find(key)
    ApiKeys(file).revoke("shop", now=NOW)
    time[0] = 2
    assert running.are_asked_for  # the door stays shut
    assert running.find(key) is None
    assert running.all()[0].revoked_at == NOW
    with pytest.raises(SettingsError, match="no key in use"):
        ApiKeys(file).revoke("shop", now=NOW)
    again = add(ApiKeys(file))  # the name is free again
    assert read(file).find(again)


def test_a_new_key_is_seen_within_a_second(file: Path) -> None:
    time = [0.0]
    running = ApiKeys(file, clock=lambda: time[0])
    assert not running.are_asked_for
    key = add(ApiKeys(file))
    time[0] = 0.9
    assert not running.are_asked_for
    time[0] = 1.1
    assert running.are_asked_for and running.find(key)


def test_a_file_that_is_gone_or_broken_opens_nothing(file: Path) -> None:
    time = [0.0]
    key = add(ApiKeys(file))
    running = ApiKeys(file, clock=lambda: time[0])
    assert running.are_asked_for
    for time[0], change in ((2.0, lambda: file.write_text("{")), (4.0, file.unlink)):
        change()
        assert running.are_asked_for and running.find(key)
    file.write_text("{")
    with pytest.raises(SettingsError, match="cannot be read; put back a good copy"):
        ApiKeys(file).all()


def test_names_are_used_once_and_bounded(file: Path) -> None:
    add(ApiKeys(file))
    with pytest.raises(SettingsError, match="there is one of that name"):
        add(ApiKeys(file))
    with pytest.raises(SettingsError, match="name"):
        add(ApiKeys(file), "x" * 300)
    with pytest.raises(SettingsError, match="environment"):
        add(ApiKeys(file), "other", environment="")


def test_keys_made_at_the_same_time_are_all_there(file: Path) -> None:
    threads = [threading.Thread(target=add, args=(ApiKeys(file), f"k{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {key.name for key in ApiKeys(file).all()} == {f"k{number}" for number in range(8)}
    assert sorted(path.name for path in file.parent.iterdir()) == ["keys.json", "keys.json.lock"]
