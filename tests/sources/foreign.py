"""Foreign rows on a disk, and what the dialect `jsonl` makes of them."""

import json
from datetime import UTC, datetime
from pathlib import Path

from onlineeval_dagster.sources.registry import read_source

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
FLAT = {"question": "Where is my kettle?", "answer": "On its way.", "created_at": "2026-11-20T10:00:00+01:00", "id": 7}


def lines(file: Path, *rows: object) -> Path:
    file.write_text("".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return file


def read(*files: Path, **options) -> list:
    return list(read_source("jsonl", list(files), now=NOW, **options))


def one(file: Path, *rows: object, **options) -> list:
    return read(lines(file, *rows), **options)
