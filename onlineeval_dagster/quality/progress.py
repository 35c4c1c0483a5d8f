"""How far each table has been checked: a version a table, moved on only when the check passed."""

import json
import os
from pathlib import Path


def checked_through(folder: Path, table: str) -> int | None:
    """The lake version of `table` whose days all passed; None before the first check."""
    return _read(folder).get(table)


def passed(folder: Path, table: str, version: int) -> None:
    """Record that every day of `table` up to `version` has passed."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"checked.{os.getpid()}.part"
    draft.write_text(json.dumps(_read(folder) | {table: version}))
    draft.replace(folder / "checked.json")


def _read(folder: Path) -> dict[str, int]:
    file = folder / "checked.json"
    return json.loads(file.read_text()) if file.exists() else {}
