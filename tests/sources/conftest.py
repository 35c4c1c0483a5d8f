"""What the tests of sources share."""

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes the log that it reads."""
    return tmp_path / "log.jsonl"
