"""A backup is one moment of a living home; its way back is checked, and brings back nobody who was erased."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.errors import KeepingError, LakeError
from onlineeval_dagster.keeping.backup import back_up, known_backups
from onlineeval_dagster.keeping.erasure import ask, work
from onlineeval_dagster.keeping.restore import restore
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.tombstones import load_tombstones
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.privacy.salt import user_salt
from onlineeval_dagster.quality.closing import close
from onlineeval_dagster.quality.coverage import count_coverage
from onlineeval_dagster.settings import Settings
from tests.keeping.homes import MARK, USER, holding_files, home_with_a_person, tables, their_events
from tests.worlds import NOW, answer, lake_of, log_events, settings_at

ALL = ("responses", "actions", "exposures", "labels", "verdicts", "signals", "selections", "quarantine")
ALL += ("ingested_parts", "spans")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return home_with_a_person(tmp_path / "home")


def elsewhere(settings: Settings, name: str = "new") -> Settings:
    return settings.model_copy(update={"home": settings.home.with_name(name)})


def erase(settings: Settings, name: str = USER) -> None:
    work(settings, ask(settings, "user", [name], now=NOW), now=NOW)


def test_a_restored_home_has_the_same_tables_and_goes_on(settings, tmp_path):
    user_salt(settings)
    erase(settings, "somebody")
    with open_log(settings, door="sdk") as log:
        log.append(encode(answer("open")))
        made = back_up(settings, tmp_path / "backups", now=NOW)
    there = elsewhere(settings)
    found = restore(made.folder, there, now=NOW)
    assert (found.files, found.versions) == (made.files, made.versions)
    assert tables(there, ALL) == tables(settings, ALL)
    for name in ("state/salt", "keys/tombstones.salt"):
        assert (there.home / name).read_bytes() == (settings.home / name).read_bytes()
    assert len(load_tombstones(there, Lake(there.lake_folder))) == 1
    for home in (settings, there):
        log_events(home, [answer("next")])
        taken = ingest(home, Lake(home.lake_folder), now=NOW + timedelta(hours=1))
        assert taken.accepted == {"responses": 2}, home


def test_a_backup_is_noted_in_the_home_and_forgotten_once_it_is_deleted(settings, tmp_path):
    made = back_up(settings, tmp_path / "backups", now=NOW)
    assert known_backups(settings) == [(made.folder, NOW)]
    made.folder.rename(tmp_path / "elsewhere")
    assert known_backups(settings) == []


@pytest.mark.parametrize("below", [".", "backups", "state/backups", "../home/backups"])
def test_a_backup_into_the_home_itself_is_refused_and_leaves_nothing(tmp_path, below):
    settings = settings_at(tmp_path / "home")
    (settings.home / "state").mkdir(parents=True)
    before = sorted(settings.home.rglob("*"))
    with pytest.raises(KeepingError, match=r"lies in the home .*; name one outside"):
        back_up(settings, settings.home / below, now=NOW)
    assert sorted(settings.home.rglob("*")) == before


def test_a_backup_that_is_taken_while_events_come_in_is_one_moment(settings, tmp_path):
    settings = settings.model_copy(update={"warehouse_wait_seconds": 30})
    lake, stop, failed = Lake(settings.lake_folder), threading.Event(), []
    rounds = threading.Semaphore(0)

    def go_on() -> None:
        for number in range(1000):
            log_events(settings, [answer(f"{number}-{n}") for n in range(20)])
            try:
                ingest(settings, lake, now=NOW + timedelta(hours=number))
            except LakeError as error:
                failed.append(error)
            rounds.release()
            if stop.wait(0.2):  # who waits for the ingest's lock looks ten times a second
                return

    living = threading.Thread(target=go_on)
    living.start()
    try:
        backups = []
        for number in range(3):
            assert rounds.acquire(timeout=30)
            backups.append(back_up(settings, tmp_path / "backups", now=NOW + timedelta(seconds=number)))
    finally:
        stop.set()
        living.join()
    assert not failed
    assert backups[0].versions != backups[-1].versions, "it was taken while the home lived"
    for number, made in enumerate(backups):
        there = elsewhere(settings, f"new{number}")
        restore(made.folder, there, now=NOW)
        there_lake = Lake(there.lake_folder)
        count_coverage(there_lake)
        assert close(there, there_lake).failures == ()
        ingest(there, there_lake, now=NOW + timedelta(days=100))
        answers = [row["response_id"] for row in tables(there, ("responses",))["responses"]]
        assert len(answers) == len(set(answers)), "no line is taken in twice"


@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_a_damaged_backup_is_refused_with_the_name_of_the_file(settings, tmp_path, harm):
    made = back_up(settings, tmp_path / "backups", now=NOW)
    file = next((made.folder / "lake" / "responses").rglob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content) if harm == "flip" else file.unlink()
    with pytest.raises(KeepingError, match=file.name):
        restore(made.folder, elsewhere(settings), now=NOW)
    assert not elsewhere(settings).home.exists()


def test_a_home_that_is_not_empty_is_not_overwritten(settings, tmp_path):
    made = back_up(settings, tmp_path / "backups", now=NOW)
    before = tables(settings, ALL)
    with pytest.raises(KeepingError, match="is not empty"):
        restore(made.folder, settings, now=NOW)
    assert tables(settings, ALL) == before


def test_a_folder_that_is_no_backup_is_refused(settings, tmp_path):
    with pytest.raises(KeepingError, match="no whole backup"):
        restore(tmp_path, elsewhere(settings), now=NOW)


def test_who_was_erased_since_does_not_come_back_with_the_tombstones_of_the_home(settings, tmp_path):
    """Not even from a backup that was made before the first erasure, when there was no salt yet."""
    made = back_up(settings, tmp_path / "backups", now=NOW)
    erase(settings)
    there = elsewhere(settings)
    restore(made.folder, there, now=NOW, buried_at=settings)
    assert holding_files(there.home) == []
    assert tables(there, ("responses", "verdicts")) == tables(settings, ("responses", "verdicts"))
    log_events(there, [*their_events(), answer("other")])
    done = ingest(there, Lake(there.lake_folder), now=NOW)
    assert (done.accepted, done.erased) == ({"responses": 1}, len(their_events()))


def test_without_them_they_do(settings, tmp_path):
    made = back_up(settings, tmp_path / "backups", now=NOW)
    erase(settings)
    restore(made.folder, elsewhere(settings), now=NOW)
    assert holding_files(elsewhere(settings).home, MARK) != []


def test_tombstones_of_another_home_are_refused(settings, tmp_path):
    erase(settings, "somebody")
    made = back_up(settings, tmp_path / "backups", now=NOW)
    other = settings_at(tmp_path / "other", warehouse_wait_seconds=1)
    lake_of(other, [answer("1")])
    erase(other, "somebody")
    with pytest.raises(LakeError, match="another salt"):
        restore(made.folder, elsewhere(settings), now=NOW, buried_at=other)
    assert not elsewhere(settings).home.exists()
