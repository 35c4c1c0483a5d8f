"""`onlineeval erase`, `retention`, `backup` and `restore`: what leaves this home, and what is kept of it elsewhere."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from onlineeval_dagster.errors import KeepingError
from onlineeval_dagster.settings import Settings, load_settings
from onlineeval_dagster.terminal import printed_on

if TYPE_CHECKING:
    from onlineeval_dagster.keeping.erasure import Erased
    from onlineeval_dagster.keeping.retention import Due
    from onlineeval_dagster.lake.tombstones import Kind


def erase(
    user: Annotated[str | None, typer.Option(help="All that one user sent or caused.")] = None,
    session: Annotated[str | None, typer.Option(help="One session.")] = None,
    response: Annotated[str | None, typer.Option(help="One answer, with all that was said of it.")] = None,
) -> None:
    """Erase a person, a session or an answer from log, lake, warehouse and reports, and keep it from coming back."""
    from onlineeval_dagster.keeping.backup import known_backups
    from onlineeval_dagster.keeping.erasure import ask, resume, work

    out, settings, now = _out(), load_settings(), datetime.now(UTC)
    if not settings.home.is_dir():
        raise KeepingError(f"erase: no home at {settings.home}; set ONLINEEVAL_HOME to the one to erase from")
    kind, names = _whom(settings, user=user, session=session, response=response)
    resume(settings, now=now)  # what was asked for before goes first
    done = work(settings, ask(settings, kind, names, now=now), now=now)
    for line in _told(done, kind):
        out.print(line)
    backups = known_backups(settings)
    if backups:
        oldest = min(made_at for _, made_at in backups)
        out.print(f"Not touched: {_number(len(backups), 'backup')} of this home, the oldest of {oldest:%Y-%m-%d}:")
        for folder, _ in backups:
            out.print(f"· {folder}", markup=False)
        out.print("Delete them when they are due; a restore with --tombstones leaves out who was erased since.")
    else:
        out.print("No backup of this home is known. Copies made by other means, and a message queue, are not touched.")


def _whom(
    settings: Settings, *, user: str | None, session: str | None, response: str | None
) -> tuple["Kind", list[str]]:
    """What one option asks for, with each form in which its id may be kept."""
    from onlineeval_dagster.privacy.policy import load_privacy

    asked: dict[Kind, str | None] = {"user": user, "session": session, "response": response}
    given: list[tuple[Kind, str]] = [(kind, name) for kind, name in asked.items() if name is not None]
    if len(given) != 1:
        raise KeepingError(f"erase: {len(given)} options given; say one of --user ID, --session ID, --response ID")
    kind, name = given[0]
    # Kept as it came before user ids were hashed, and as its key since.
    return kind, [name, load_privacy(settings).user_key(name)] if kind == "user" and name else [name]


def _told(done: "Erased", kind: "Kind") -> Iterable[str]:
    if not done.found_something:
        yield f"Nothing of this {kind} is here. If it comes in from before now, it will not be taken in."
        return
    yield f"Erased, with a tombstone so that it does not come back. Receipt: erasures/{done.name}.receipt.json"
    yield f"· log: {_number(done.lines, 'line')}"
    counted = ", ".join(f"{count:,} of {name}" for name, count in sorted(done.rows.items()))
    yield f"· lake: {_number(sum(done.rows.values()), 'row')}" + (f" ({counted})" if counted else "")
    yield f"· warehouse: {_number(done.warehouse_rows, 'row')}"
    days = f": {', '.join(done.pages)}" if done.pages else ""
    yield f"· reports: {_number(len(done.pages), 'day')} written again{days}"
    yield "Numbers of the past stay as they were counted: they name nobody."


def retention(
    apply_: Annotated[
        bool, typer.Option("--apply", help="Let it go now; otherwise this only says what would.")
    ] = False,
) -> None:
    """What is older than retention.toml allows. It goes each night; with --apply, now."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.keeping.retention import apply, due
    from onlineeval_dagster.lake.delta import Lake

    out, settings, now = _out(), load_settings(), datetime.now(UTC)
    if not settings.home.is_dir():
        raise KeepingError(f"retention: no home at {settings.home}; set ONLINEEVAL_HOME to the one to look through")
    kept, lake = load_catalog(settings.catalog).retention, Lake(settings.lake_folder)
    found = apply(settings, lake, kept, now=now) if apply_ else due(settings, lake, kept, now=now)
    for each in found:
        out.print(_of_due(each, verb="went" if apply_ else "would go"))
    if not found:
        out.print("Nothing is older than retention.toml allows.")
    elif not apply_:
        out.print("Nothing was touched. To let it go now: onlineeval retention --apply")


def _of_due(each: "Due", *, verb: str) -> str:
    unit = {"days": "rows", "texts": "texts", "pages": "pages", "segments": "segments"}[each.goes]
    return f"· {each.what}: {each.count:,} {unit} from before {each.before} {verb}"


def backup(
    to: Annotated[Path, typer.Argument(help="Folder for backups; each gets one of its own there.", metavar="DEST")],
) -> None:
    """Copy this home while it lives: log, lake, state, reports, catalog. The warehouse is built again from the lake."""
    from onlineeval_dagster.keeping.backup import back_up

    made = back_up(load_settings(), to.absolute(), now=datetime.now(UTC))
    out = _out()
    out.print(f"{made.folder}: {made.files:,} files, {made.size:,} bytes, {len(made.versions)} tables")
    out.print("It holds user data, keys and salts: keep it where only you can read it.")


def restore(
    source: Annotated[
        Path, typer.Argument(help="A folder onlineeval-<time> that onlineeval backup made.", metavar="SRC")
    ],
    tombstones: Annotated[
        Path | None,
        typer.Option(help="The home as it last was: who was erased there is erased here too.", metavar="HOME"),
    ] = None,
) -> None:
    """Put a backup into the empty home that ONLINEEVAL_HOME names, each file checked by its hash."""
    from onlineeval_dagster.keeping.restore import restore as put_back

    out, settings, now = _out(), load_settings(), datetime.now(UTC)
    buried_at = None if tombstones is None else load_settings(home=tombstones)
    found = put_back(source.absolute(), settings, now=now, buried_at=buried_at)
    out.print(f"{settings.home}: {found.files:,} files of {found.made_at:%Y-%m-%d %H:%M} UTC, each as it was backed up")
    if buried_at is not None:
        out.print(f"Who was erased from {buried_at.home} since then was left out.")
    else:
        out.print("Who was erased since then is back. To leave them out: --tombstones HOME (the home as it last was).")
    out.print("Next: onlineeval run builds the warehouse again")


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _out() -> Console:
    return printed_on()
