"""Look for what keeps a pipeline from working, and say how to mend it."""

import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import OnlineEvalError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.lock import holder
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.warehouse.dry_run import check_metrics
from onlineeval_dagster.warehouse.duckdb import lock_file

# Known not to work together with the rest: see pyproject.toml.
_BELOW = {"dbt-core": "1.12", "duckdb": "3", "pandas": "4", "protobuf": "7"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `mend` says what to do where it is not in order."""

    what: str
    problem: str | None = None
    mend: str | None = None


def examine(settings: Settings, *, mend: bool, out: Console) -> int:
    """Look at everything and print a line each; returns the number of problems left."""
    findings = [
        _python(),
        *_versions(),
        _home(settings),
        _catalog(settings),
        *_locks(settings),
        _slots(settings, mend=mend),
        *_parts(settings, mend=mend),
    ]
    for finding in findings:
        if finding.problem is None:
            out.print(f"[green]✓[/] {finding.what}")
        else:
            out.print(f"[red]✗[/] {finding.what}: {finding.problem}\n  → {finding.mend}")
    return sum(finding.problem is not None for finding in findings)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < (3, 11)
    return Finding(
        what=f"Python {found}",
        problem="older than 3.11" if old else None,
        mend="make a virtual environment with Python 3.11 or newer" if old else None,
    )


def _versions() -> list[Finding]:
    findings = []
    for name, limit in _BELOW.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            findings.append(Finding(what=name, problem="not installed", mend="pip install -e . (or make setup)"))
            continue
        wrong = _number(found) >= _number(limit)
        findings.append(
            Finding(
                what=f"{name} {found}",
                problem=f"does not work here from {limit} on" if wrong else None,
                mend=f"pip install '{name}<{limit}'" if wrong else None,
            )
        )
    return findings


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _home(settings: Settings) -> Finding:
    what = f"home {settings.home}"
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".probe"
        probe.write_text("x")
        probe.unlink()
    except OSError as error:
        return Finding(what=what, problem=str(error), mend="set ONLINEEVAL_HOME to a folder that can be written")
    return Finding(what=what)


def _catalog(settings: Settings) -> Finding:
    try:
        catalog = load_catalog(settings.catalog).whole()
        check_metrics(catalog)
    except OnlineEvalError as error:
        return Finding(what="catalog", problem=str(error), mend="edit the file, then: onlineeval catalog check")
    return Finding(what=f"catalog {catalog.folder}, version {catalog.version}")


def _locks(settings: Settings) -> list[Finding]:
    files = [*sorted((settings.home / "locks").glob("*.lock")), lock_file(settings.warehouse_file)]
    held = [(file, by) for file in files if (by := holder(file))]
    if not held:
        return [Finding(what="locks: none is held (a lock goes with its process, so none can be stale)")]
    return [
        Finding(what=f"lock {file.name}", problem=f"held by {by}", mend="wait for it to end, or stop that process")
        for file, by in held
    ]


def _slots(settings: Settings, *, mend: bool) -> Finding:
    from onlineeval_dagster.defs.launch import leaked_slots

    leaked = leaked_slots(settings, free=mend)
    what = "concurrency slots"
    if leaked and not mend:
        return Finding(
            what=what,
            problem=f"{len(leaked)} held by runs that have ended: {', '.join(leaked)}",
            mend="onlineeval doctor --mend",
        )
    return Finding(what=f"{what}: {len(leaked)} freed" if leaked else f"{what}: none leaked")


def _parts(settings: Settings, *, mend: bool) -> list[Finding]:
    """Days in very many parts make every scan slow; the nightly run merges them."""
    lake = Lake(settings.lake_folder)
    findings = []
    for table in ("responses", "actions", "verdicts", "selections"):
        days, parts = len(lake.days(table)), len(lake.files(table))
        if days and parts > 100 * days and not mend:
            findings.append(
                Finding(what=f"lake {table}", problem=f"{parts} parts on {days} days", mend="onlineeval doctor --mend")
            )
        elif days and parts > 100 * days:
            lake.compact(table)
            findings.append(Finding(what=f"lake {table}: merged"))
    return findings or [Finding(what="lake: days are in few parts")]
