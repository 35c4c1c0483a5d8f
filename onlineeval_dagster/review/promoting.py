"""A promotion: the shadow's text goes into the active judge's file, the active one's into the shadow's, retired.

    event in the log ──▶ both new texts beside the files ──▶ active file replaced ──▶ shadow file replaced

Metrics name a judge by its file, so they go on under the same name with the new version, and break there. Each file is
replaced in one step; a kill in between leaves both under the new version, and the same command finishes.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.events import Event
from onlineeval_dagster.contracts.promotion import PromotionEvidence
from onlineeval_dagster.errors import CatalogError, JudgeError
from onlineeval_dagster.settings import PACKAGED_CATALOG

PROMOTED = "judge_promoted"
"""Name of the event that a promotion leaves in the log."""
_WAITING = ".promoting"
_FRONT = re.compile(r"\A(?P<begin>\ufeff?---[ \t]*\n)(?P<front>.*?)(?P<rest>^---.*)\Z", re.DOTALL | re.MULTILINE)
_STATUS = re.compile(r"^status[ \t]*=.*$", re.MULTILINE)


def shadow_named(catalog: Catalog, name: str) -> Judge:
    """The shadow judge of this name. Raises CatalogError where it is none."""
    judge = next((one for one in catalog.judges if one.name == name), None)
    shadows = ", ".join(one.name for one in catalog.judges if one.status == "shadow") or "none"
    if judge is None:
        raise CatalogError(f"judge {name!r} is no file in judges/; shadows are: {shadows}")
    if judge.status != "shadow":
        raise CatalogError(f"judges/{name}.md: status is {judge.status}; only a shadow is promoted: {shadows}")
    return judge


def may_promote(evidence: PromotionEvidence, *, override: bool, reason: str | None) -> None:
    """Raises JudgeError where the evidence is not ready and nobody overrides it with a reason."""
    if override and not (reason and reason.strip()):
        raise JudgeError('--override needs --reason "…": it is recorded with your promotion')
    if not evidence.ready and not override:
        raise JudgeError(
            f"{evidence.judge} is not promoted, {len(evidence.missing)} condition(s) do not hold: "
            + "; ".join(evidence.missing)
            + '; wait for more, or --override --reason "…"'
        )


def promotion_event(evidence: PromotionEvidence, *, override: bool, reason: str | None, now: datetime) -> Event:
    """What the log keeps of it. On one day the same promotion counts once, however often it was tried."""
    key = f"{evidence.judge_version}:{evidence.incumbent_version}:{now.date()}:{override}"
    return Event(
        event_id=f"{PROMOTED}:{hashlib.sha256(key.encode()).hexdigest()[:24]}",
        occurred_at=now,
        received_at=now,
        name=PROMOTED,
        description=reason or "every condition of the gate held",
        attributes={
            "judge": evidence.judge,
            "judge_version": evidence.judge_version,
            "incumbent": evidence.incumbent,
            "incumbent_version": evidence.incumbent_version,
            "axis": evidence.axis,
            "override": override,
            "ready": evidence.ready,
            "missing": list[JsonValue](evidence.missing),
            "labels": evidence.labels,
            "kappa_low": evidence.kappa_low,
            "difference_low": evidence.difference_low,
        },
    )


def promote(catalog: Catalog, judge: Judge, incumbent: Judge | None, *, record: Callable[[], None]) -> tuple[Path, ...]:
    """Record it, then write the catalog; the files written. Raises CatalogError where the outcome would not load."""
    if catalog.folder.resolve() == PACKAGED_CATALOG.resolve():
        raise CatalogError("the packaged catalog is not written; copy it and set ONLINEEVAL_CATALOG to the copy")
    own = _file_of(catalog, judge)
    if incumbent is None:
        texts = {own: _with_status(own.read_text(encoding="utf-8"), "active")}
    else:
        theirs = _file_of(catalog, incumbent)
        texts = {
            theirs: _with_status(own.read_text(encoding="utf-8"), "active"),
            own: _old_text(own, theirs, is_half_done=incumbent.version == judge.version),
        }
    _try_out(catalog, texts)
    record()
    for file, text in texts.items():
        _beside(file).write_text(text, encoding="utf-8")
    for file in texts:
        _beside(file).replace(file)
    return tuple(texts)


def _old_text(own: Path, theirs: Path, *, is_half_done: bool) -> str:
    """What the shadow's file will hold. After a kill half-way the active one's old text waits beside the file."""
    if is_half_done and _beside(own).exists():
        return _beside(own).read_text(encoding="utf-8")
    return _with_status(theirs.read_text(encoding="utf-8"), "retired")


def _beside(file: Path) -> Path:
    return file.with_name(file.name + _WAITING)


def _file_of(catalog: Catalog, judge: Judge) -> Path:
    return next((catalog.folder / "judges").rglob(f"{judge.name}.md"))


def _with_status(text: str, status: str) -> str:
    """The judge's file with this status in its front matter, all else as it is."""
    match = _FRONT.match(text)
    if match is None:
        raise CatalogError("a judge's file lost its front matter while it was read; look at it and promote again")
    front = match["front"]
    line = f'status = "{status}"'
    front = _STATUS.sub(line, front, count=1) if _STATUS.search(front) else f"{line}\n{front}"
    return match["begin"] + front + match["rest"]


def _try_out(catalog: Catalog, texts: Mapping[Path, str]) -> None:
    """Load the catalog as it would be, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(catalog.folder, Path(folder) / "catalog"))
        for file, text in texts.items():
            (copy / file.relative_to(catalog.folder)).write_text(text, encoding="utf-8")
        load_catalog(copy)
