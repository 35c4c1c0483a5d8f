"""Who was erased: salted hashes that ingest asks, so that the same lines do not come back. Never an id in clear."""

import hashlib
import os
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import duckdb
import orjson
import pyarrow as pa

from onlineeval_dagster.contracts.arrow import INSTANT, to_table
from onlineeval_dagster.contracts.rows import Tombstone
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.errors import LakeError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import Settings

Kind = Literal["user", "session", "guest", "response", "trace"]
ID_COLUMNS = ("user_id", "session_id", "response_id", "unit_id", "trace_id")
"""Columns that say of whom a row speaks."""

_DOOMED = pa.schema([("kind", pa.string()), ("id", pa.string()), ("before", INSTANT)])
# What may be an id in a line that cannot be read: a quoted text, or what stands between blanks and brackets.
_WORD = re.compile(r'"([^"\\]{1,256})"|([^\s"\',;:|{}\[\]()]{1,256})')


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """Ids in clear of what must go, each with the time before which: by kind. Lives as long as an erasure does."""

    before: Mapping[tuple[Kind, str], datetime] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.before)

    def __or__(self, other: "Doomed") -> "Doomed":
        return Doomed(before={**other.before, **self.before})

    def ids(self, kind: Kind) -> set[str]:
        return {name for of, name in self.before if of == kind}

    def table(self) -> pa.Table:
        """Columns kind, id, before."""
        kinds, names = [kind for kind, _ in self.before], [name for _, name in self.before]
        return pa.table([kinds, names, list(self.before.values())], schema=_DOOMED)

    def speaks_of(self, said: Mapping[str, object]) -> bool:
        """Whether a line of the log, as read from JSON, must go."""
        if any((kind, _text(said.get(f"{kind}_id"))) in self.before for kind in ("response", "trace")):
            return True
        user, unit = said.get("user_id"), said.get("unit_id")
        named = [("user", user), ("session", said.get("session_id"))]
        named += [("guest", said.get("session_id"))] if user is None else []
        named += [("user", unit)] if said.get("unit", "user") == "user" else [("session", unit), ("guest", unit)]
        occurred = _instant(said.get("occurred_at"))
        keys = [cast("tuple[Kind, str]", (kind, _text(name))) for kind, name in named]
        limits = [self.before[key] for key in keys if key in self.before]
        return any(occurred is None or occurred < limit for limit in limits)

    def is_named_in(self, text: str) -> bool:
        """Whether a text that is no event, a bad line, has one of the ids as a word."""
        every = {name for _, name in self.before}
        return any(word in every for word in words_of(text))


def doomed_sql(columns: Collection[str], *, row: str) -> str:
    """SQL that holds for the rows of `row`, a relation's name, that the table `doomed` says must go; of its columns."""
    has = [column for column in ID_COLUMNS if column in columns]
    when = f"{row}.occurred_at" if "occurred_at" in columns else "null"

    def before(kind: str, column: str) -> str:
        limit = f"(select max(before) from doomed where kind = '{kind}' and id = {row}.{column})"
        return f"coalesce({when} < {limit}, {limit} is not null and {when} is null)"

    rules = ["false"]
    for kind in ("response", "trace"):
        if f"{kind}_id" in has:
            rules.append(f"coalesce({row}.{kind}_id in (select id from doomed where kind = '{kind}'), false)")
    if "user_id" in has:
        rules.append(before("user", "user_id"))
    if "session_id" in has:
        rules.append(before("session", "session_id"))
        nobody = f"{row}.user_id is null" if "user_id" in has else "false"
        rules.append(f"({nobody} and {before('guest', 'session_id')})")
    if "unit_id" in has:
        rules.append(f"({row}.unit = 'user' and {before('user', 'unit_id')})")
        rules += [f"({row}.unit = 'session' and {before(kind, 'unit_id')})" for kind in ("session", "guest")]
    return "(" + " or ".join(rules) + ")"


def words_of(text: str) -> set[str]:
    """What may be an id in a text."""
    return {quoted or bare for quoted, bare in _WORD.findall(text)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstones:
    """All tombstones of a home. Empty ones cost nothing; `salt` is "" then."""

    salt: str = ""
    stones: pa.Table = field(default_factory=lambda: TABLES["tombstones"].schema.empty_table())

    def __len__(self) -> int:
        return self.stones.num_rows

    def among(self, engine: duckdb.DuckDBPyConnection, table: pa.Table) -> Doomed:
        """Which ids of `table`'s rows have a tombstone. Hashes each distinct id once, in the engine."""
        found: dict[tuple[Kind, str], datetime] = {}
        for column in ID_COLUMNS:
            if len(self) and column in table.column_names:
                found |= self._known(engine, table.select([column]), column)
        return Doomed(before=found)

    def among_words(self, words: Iterable[str]) -> Doomed:
        """Which of some words are the ids of what was erased."""
        stones = {row["subject"]: row for row in self.stones.to_pylist()}
        hashed = ((word, stones.get(subject_of(self.salt, word))) for word in words)
        return Doomed(before={(stone["kind"], word): stone["before"] for word, stone in hashed if stone})

    def _known(self, engine: duckdb.DuckDBPyConnection, ids: pa.Table, column: str) -> dict[tuple[Kind, str], datetime]:
        engine.register("named", ids)
        engine.register("stones", self.stones)
        salt = self.salt.replace("'", "''")
        found = engine.execute(
            f"select kind, id, before from (select distinct {column} as id from named where {column} is not null) "
            f"join stones on stones.subject = sha256('{salt}:' || id)"
        ).fetchall()
        engine.unregister("named")
        engine.unregister("stones")
        return {(kind, name): before.astimezone(UTC) for kind, name, before in found}


def load_tombstones(settings: Settings, lake: Lake) -> Tombstones:
    """The tombstones of this home. Raises LakeError where there are some and their salt is gone."""
    if not lake.days("tombstones"):
        return Tombstones()
    latest = "select * from tombstones qualify row_number() over (partition by subject, kind order by before desc) = 1"
    stones = rows(lake, latest, {"tombstones": None}).select(TABLES["tombstones"].schema.names)
    return Tombstones(salt=_salt(settings, make=False), stones=stones)


def bury(settings: Settings, lake: Lake, doomed: Doomed, *, now: datetime) -> int:
    """Put up a tombstone for each id that has none as late; returns how many. One commit, or none."""
    salt = _salt(settings, make=True)
    have = {(row["kind"], row["subject"]): row["before"] for row in load_tombstones(settings, lake).stones.to_pylist()}
    wanted: dict[tuple[Kind, str], datetime] = {
        (kind, subject_of(salt, name)): before for (kind, name), before in doomed.before.items()
    }
    new: list[Any] = [
        Tombstone(subject=subject, kind=kind, before=before, requested_at=now)
        for (kind, subject), before in wanted.items()
        if (kind, subject) not in have or have[kind, subject] < before
    ]
    if new:
        stones = to_table(new, Tombstone).append_column("day", pa.array([now.astimezone(UTC).date()] * len(new)))
        lake.append("tombstones", stones)
    return len(new)


def adopt(settings: Settings, lake: Lake, stones: Tombstones, of: Settings, *, now: datetime) -> int:
    """Put up here the tombstones `stones` of the home `of` that are not here; returns how many.

    Raises LakeError where this home hashes its own with another salt.
    """
    file = salt_file(settings)
    if not file.exists():
        _write_salt(file, stones.salt)
    elif _salt(settings, make=False) != stones.salt:
        raise LakeError(f"tombstones of {of.home}: {file} is another salt than theirs; name the home that this one was")
    have = {(row["kind"], row["subject"]): row["before"] for row in load_tombstones(settings, lake).stones.to_pylist()}
    new = [
        row | {"day": now.astimezone(UTC).date()}
        for row in stones.stones.to_pylist()
        if (key := (row["kind"], row["subject"])) not in have or have[key] < row["before"]
    ]
    if new:
        lake.append("tombstones", pa.Table.from_pylist(new, schema=TABLES["tombstones"].schema))
    return len(new)


def subject_of(salt: str, name: str) -> str:
    """What stands on a tombstone.

    >>> subject_of("s", "u1")[:8]
    '9e711e22'
    """
    return hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()


def salt_file(settings: Settings) -> Path:
    """Where the secret is kept that turns ids into tombstones; without it they cannot be told from noise."""
    return settings.home / "keys" / "tombstones.salt"


def _salt(settings: Settings, *, make: bool) -> str:
    file = salt_file(settings)
    try:
        return file.read_text().strip()
    except FileNotFoundError as error:
        if not make:
            raise LakeError(
                f"tombstones: {file} is gone; put it back from a backup: without it what was erased can come back"
            ) from error
    return _write_salt(file, secrets.token_hex(32))


def _write_salt(file: Path, salt: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}.part")
    draft.touch(mode=0o600)
    draft.write_text(salt)
    draft.replace(file)
    return salt


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _instant(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def read_json(line: bytes) -> object:
    """What a line says, or None where it is no JSON."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
