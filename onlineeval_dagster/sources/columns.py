"""Which of their columns is which of our fields: the user's map first, then names that logs commonly use."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.rows import at_path

ALIASES: dict[str, tuple[str, ...]] = {
    "query": ("query", "question", "prompt", "input", "user_input", "user_message", "instruction", "user_query"),
    "response": ("response", "answer", "output", "completion", "reply", "assistant", "generation", "model_output"),
    "occurred_at": (
        "occurred_at",
        "timestamp",
        "created_at",
        "created",
        "time",
        "ts",
        "datetime",
        "start_time",
        "date",
    ),
    "response_id": ("response_id", "id", "request_id", "message_id", "trace_id", "run_id", "uuid"),
    "session_id": ("session_id", "session", "conversation_id", "thread_id", "chat_id", "dialog_id"),
    "user_id": ("user_id", "user", "customer_id", "end_user_id", "uid"),
    "context": ("context", "contexts", "retrieved_context", "documents", "passages"),
    "conversation": ("conversation", "history", "chat_history"),
    "reference": ("reference", "reference_answer", "ground_truth", "expected_answer", "expected_output", "gold_answer"),
    "prompt_version": ("prompt_version", "prompt_id", "template_version"),
    "variant": ("variant", "experiment_variant", "arm"),
    "model": ("model", "model_name", "engine"),
    "provider": ("provider", "vendor"),
    "latency_ms": ("latency_ms", "duration_ms", "response_time_ms", "elapsed_ms"),
    "input_tokens": ("input_tokens", "prompt_tokens", "usage.prompt_tokens", "usage.input_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens", "usage.completion_tokens", "usage.output_tokens"),
    "cost_usd": ("cost_usd", "total_cost_usd", "price_usd"),
    "finish_reason": ("finish_reason", "stop_reason"),
    "error": ("error", "error_message", "exception"),
    "device": ("device", "device_type", "platform"),
    "location": ("location", "country", "region"),
    "language": ("language", "lang", "locale"),
    "new_user": ("new_user", "is_new_user"),
    "environment": ("environment", "env"),
    "app": ("app", "application"),
    "rating": ("rating", "stars", "star_rating", "user_rating"),
    "thumbs": ("thumbs", "thumb", "vote", "liked", "feedback", "user_feedback"),
    "comment": ("comment", "feedback_text", "feedback_comment"),
    "feedback_at": ("feedback_at", "feedback_time", "rated_at"),
}
"""Our fields, and the names a foreign column may have to be taken for one without being told; the first there wins.

Names that hide a unit are left out: `latency` may be seconds, `cost` may be euros. Map them.
"""

OPINIONS = ("rating", "thumbs", "comment")
"""Fields that become actions of the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """How to pick our fields from a row. `mapped`: our field → their column or dotted path."""

    mapped: Mapping[str, str]

    def pick(self, value: dict[str, Any], field: str) -> tuple[str | None, Any]:
        """Their column and its value; (None, None) where the row has none. A column mapped elsewhere is not taken."""
        if field in self.mapped:
            return self.mapped[field], at_path(value, self.mapped[field])
        for name in ALIASES[field]:
            if name not in self.mapped.values() and (found := at_path(value, name)) is not None:
                return name, found
        return None, None

    def leftovers(self, value: dict[str, Any], taken: set[str]) -> dict[str, Any]:
        """The row's columns that became no field, to be kept as attributes."""
        return {name: kept for name, kept in value.items() if name not in taken and kept is not None}


def columns(column_map: Mapping[str, str]) -> Columns:
    """The user's map, checked. Raises SourceError on a field we do not have."""
    for field in column_map:
        if field not in ALIASES:
            near = get_close_matches(field, ALIASES, n=1, cutoff=0.3) or ["query"]
            raise SourceError(
                f"--map {field}={column_map[field]}: there is no field {field!r}; did you mean {near[0]!r}? "
                f"The fields are {', '.join(ALIASES)}"
            )
    return Columns(mapped=dict(column_map))


def check_names(place: str, names: Collection[str], columns: Columns, *, dated: bool) -> None:
    """Raise SourceError unless a table with these column names has all mapped columns and what a flat row needs.

    dated  that rows without a time of their own get one
    """
    for field, column in columns.mapped.items():
        if column not in names and column.split(".")[0] not in names:
            raise absent_column(place, field, column, names)
    if {"kind", "event_id"} <= set(names) or "request" in names:
        return
    for field in ("query", "response", *(() if dated else ("occurred_at",))):
        if field not in columns.mapped and not any(alias.split(".")[0] in names for alias in ALIASES[field]):
            raise absent_column(place, field, None, names)


def absent_column(place: str, field: str, column: str | None, seen: Iterable[str]) -> SourceError:
    """The error for a column that no row has; names the columns there are, nearest first."""
    wanted = column or field
    near = sorted(seen, key=lambda name: -SequenceMatcher(None, wanted.lower(), name.lower()).ratio())
    have = ", ".join(near) or "none"
    if column is not None:
        return SourceError(f"{place}: --map {field}={column}: no row has {column!r}; the columns are {have}")
    remedy = f"say which with --map {field}=COLUMN"
    if field == "occurred_at":
        remedy += ", or date all rows with --at 2026-11-23T08:00:00Z"
    return SourceError(f"{place}: no column for {field!r}; {remedy}. The columns are {have}")
