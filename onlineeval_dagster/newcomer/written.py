"""The door to a new catalog folder: a copy of one that works, with what was learned of a log file."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.catalog.load import Catalog, load_catalog, load_sources
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.newcomer.lines import toml, with_value
from onlineeval_dagster.settings import PACKAGED_CATALOG

_LEFT_OUT = shutil.ignore_patterns("*.py", "__pycache__")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What goes into the catalog.

    source        an entry of sources.toml, or None where the file's rows have no time of their own
    rate          the highest share of answers that any judge may see; None keeps the rates there are
    environments  that metrics count; None keeps them
    confirmed_at  when somebody agreed to the cost; None where no remote judge was estimated
    """

    source_name: str
    source: Mapping[str, Any] | None
    profile: str
    rate: float | None = None
    environments: tuple[str, ...] | None = None
    cap_usd: float = 0.0
    confirmed_at: datetime | None = None
    judge_history: bool = False


def check_target(target: Path, *, force: bool) -> None:
    """Raise CatalogError where the catalog cannot go there."""
    if target.exists() and not target.is_dir():
        raise CatalogError(f"--to {target}: is a file; name a folder")
    if target.resolve() == PACKAGED_CATALOG.resolve():
        raise CatalogError(f"--to {target}: is the packaged catalog, which is copied; name a folder of your own")
    if target.is_dir() and any(target.iterdir()) and not force:
        raise CatalogError(
            f"--to {target}: is there already and is not overwritten; name another folder with --to, "
            "or change this one with --force"
        )


@contextmanager
def draft(start: Path, target: Path, *, force: bool) -> Iterator[Path]:
    """A folder to work in, filled from `start`, or from `target` where that is a catalog already.

    Raises CatalogError where `target` is there and `force` is not.
    """
    check_target(target, force=force)
    start = target if (target / "sampling.toml").exists() else start
    try:
        with tempfile.TemporaryDirectory(prefix="onlineeval-init-") as folder:
            staged = Path(folder) / "catalog"
            shutil.copytree(start, staged, ignore=_LEFT_OUT)
            yield staged
    except (OSError, shutil.Error) as error:
        raise CatalogError(f"--to {target}: cannot be written ({error}); name a folder you may write to") from error


def put_in_place(staged: Path, target: Path) -> Catalog:
    """Copy the draft to where it belongs once it loads. Raises CatalogError, before anything was copied."""
    load_catalog(staged).whole()
    load_sources(staged)
    shutil.copytree(staged, target, dirs_exist_ok=True)
    return load_catalog(target)


def ask_model(staged: Path, judges: tuple[Judge, ...], model: str, price: Price) -> None:
    """Let the local judges of a draft ask `model`. Raises CatalogError."""
    for judge in judges:
        (file,) = (staged / "judges").rglob(f"{judge.name}.md")
        place = f"judges/{file.name}"
        parts = re.split(r"^---[ \t]*\n", file.read_text(encoding="utf-8"), maxsplit=2, flags=re.MULTILINE)
        if len(parts) != 3:
            raise CatalogError(f"{place}: its front matter has no end; close it with a line ---")
        head, front, body = parts
        front = with_value(front, None, "model", toml(model), place=place)
        said = {name: getattr(price, name) for name in Price.__dataclass_fields__}
        front = with_value(front, None, "price", toml(said), place=place)
        file.write_text("---\n".join([head, front, body]), encoding="utf-8")


def write_learned(staged: Path, learned: Learned) -> None:
    """Change the draft's files line by line, so that their comments stay. Raises CatalogError."""
    _change(staged / "sampling.toml", _sampling(learned, load_catalog(staged)))
    _change(staged / "metrics.toml", [(None, "profile", toml(learned.profile))])
    if learned.source is not None:
        table = f"sources.{learned.source_name}"
        _change(staged / "sources.toml", [(table, key, toml(value)) for key, value in learned.source.items()])


def _sampling(learned: Learned, catalog: Catalog) -> list[tuple[str | None, str, str]]:
    """Changes of sampling.toml: table, key and value."""
    changes: list[tuple[str | None, str, str]] = []
    if learned.environments is not None:
        changes.append((None, "environments", toml(learned.environments)))
    strata = [name for name in catalog.sampling.strata if name not in catalog.sampling.segments]
    for stratum in strata if learned.rate is not None else ():
        rate = learned.rate
        if learned.profile == "standard":
            rate = min(rate or 1.0, catalog.sampling.strata[stratum].rate or 1.0)
        changes.append((stratum, "rate", toml(rate)))
    if learned.confirmed_at is not None:
        changes += [
            ("budget", "monthly_cap_usd", toml(learned.cap_usd)),
            ("budget", "confirmed_at", learned.confirmed_at.astimezone(UTC).isoformat(timespec="seconds")),
            ("budget", "judge_history", toml(learned.judge_history)),
        ]
    return changes


def _change(file: Path, changes: list[tuple[str | None, str, str]]) -> None:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    for table, key, value in changes:
        text = with_value(text, table, key, value, place=file.name)
    file.write_text(text, encoding="utf-8")
