"""Answers that an old version of a remote judge judged, for the tests of versions."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.newcomer.files import REMOTE
from tests.worlds import NOON, NOW

AGREED = f"\n[budget]\nmonthly_cap_usd = 5\nconfirmed_at = {NOON.isoformat()}\njudge_history = true\n"


def said(number: int, *, version: str = "old", judge: str = "tone", **more: Any) -> Verdict:
    """What a version said of answer `number`, which is of so many hours before noon."""
    at = NOON - timedelta(hours=number)
    fields = {"score": 3.0, "inclusion_probability": 0.25, "stratum": "normal", "axis": "tone", "response_at": at}
    fields |= {"occurred_at": NOW, "received_at": NOW} | more
    return Verdict(
        event_id=f"v{judge}{version}{number}{fields.get('attempt', 0)}",
        response_id=f"r{number}",
        judge=judge,
        judge_version=version,
        **fields,
    )


def catalog_in(folder: Path, *, judge: str = REMOTE, agreed: str = AGREED) -> Path:
    """A catalog with a remote judge of tone."""
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "sampling.toml").write_text((folder / "sampling.toml").read_text(encoding="utf-8") + agreed)
    (folder / "judges" / "tone.md").write_text(judge, encoding="utf-8")
    return folder
