"""The commands of docs/keeping.md do what the page says."""

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.catalog.retention import load_retention
from onlineeval_dagster.keeping.backup import known_backups
from tests.keeping.homes import tables
from tests.keeping.test_verbs import run
from tests.worlds import answer, lake_of, settings_at

PAGE = Path(__file__).parents[2] / "docs" / "keeping.md"
YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def blocks(kind: str) -> list[str]:
    return [part.split("```")[0] for part in PAGE.read_text().split(f"```{kind}\n")[1:]]


def commands() -> list[list[str]]:
    return [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]


def test_the_commands_of_the_page_run_in_their_order(tmp_path):
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    people = {"1": "anna-17", "2": "ben", "3": "carl", "4": "dora"}
    events = [answer(n, at=YESTERDAY, user_id=user, session_id=f"s{n}") for n, user in people.items()]
    events[1] = events[1].model_copy(update={"session_id": "s-20931"})
    events[2] = events[2].model_copy(update={"response_id": "r-20931"})
    lake_of(settings, events, now=datetime.now(UTC))
    verbs = []
    for words in commands():
        home, words = settings, list(words)
        if words[0].startswith("ONLINEEVAL_HOME="):
            home, words = settings_at(tmp_path / "restored"), words[1:]
        assert words.pop(0) == "onlineeval"
        verbs.append(words[0])
        made = known_backups(settings)
        real = {"/backups": str(tmp_path / "backups"), "/home-as-it-last-was": str(settings.home)}
        real |= {word: str(made[-1][0]) for word in words if word.startswith("/backups/") and made}
        run(home, *(real.get(word, word) for word in words))
    assert verbs == ["erase", "erase", "erase", "retention", "retention", "backup", "restore"]
    restored = settings_at(tmp_path / "restored")
    assert [row["user_id"] for row in tables(restored, ("responses",))["responses"]] == ["dora"]


def test_the_retention_file_of_the_page_is_one(tmp_path):
    (block,) = blocks("toml")
    (tmp_path / "retention.toml").write_text(block)
    kept = load_retention(tmp_path)
    assert (kept.of("responses").days, kept.of("actions").text_days) == (400, 90)
