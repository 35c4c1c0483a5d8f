"""Langfuse's scores by its API: GET /api/public/v3/scores, page by page, from a little before the last one read.

A score that is changed long after it was given keeps its time and is not met again: a longer `lag` (in seconds) looks
further back. Traces come by the files of its export, or as OpenTelemetry; a score joins its answer by the trace's id.
"""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from onlineeval_dagster.settings import secret
from onlineeval_dagster.sources.files import as_text
from onlineeval_dagster.sources.langfuse import export_score
from onlineeval_dagster.sources.pages import Server, credentials, server
from onlineeval_dagster.sources.place import Cursor, Item, Opened
from onlineeval_dagster.sources.rows import Row, Unusable, bad
from onlineeval_dagster.sources.sent import begins, sent
from onlineeval_dagster.sources.values import digest, moment

PATH = "/api/public/v3/scores"
LATE_SECONDS = 1_800.0  # its API may show a score some ten minutes late
_LIMIT = 100
_NAMES = {
    "dataType": "data_type",
    "configId": "config_id",
    "authorUserId": "author_user_id",
    "queueId": "queue_id",
    "projectId": "project_id",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}


def read_scores(opened: Opened, cursor: Cursor) -> Iterator[Item]:
    """Events of the scores beyond the cursor, and how far they reach. Raises SourceError without the keys."""
    before, lag = sent(cursor), max(opened.source.lag, LATE_SECONDS)
    since = before.since(begins(opened), lag)
    asked = {
        "fields": "details,subject,annotation",
        "limit": _LIMIT,
        "fromTimestamp": None if since is None else since.isoformat(),
        "toTimestamp": opened.defaults.now.isoformat(),
    }
    langfuse = _server(opened)
    number = 0
    for page in langfuse.pages(PATH, _next, **asked):
        for value in langfuse.rows(page, PATH):
            number += 1
            row = Row(file=opened.place, number=number, value=_as_exported(value), text=as_text(value))
            if not before.is_new(digest(value)[:16], _said_at(value)):
                continue
            try:
                yield from list(export_score(row, opened, None))
            except Unusable as error:
                yield bad(row, str(error))
    yield from before.reached(lag)


def _next(page: dict[str, Any]) -> Any:
    meta = page.get("meta")
    return meta.get("cursor") if isinstance(meta, dict) else None


def _said_at(value: dict[str, Any]) -> datetime | None:
    try:
        return moment(value.get("timestamp"), "timestamp", UTC)
    except Unusable:
        return None


def _as_exported(value: dict[str, Any]) -> dict[str, Any]:
    """The score with the names of the blob export, so that both ways give the same events."""
    subject = value.get("subject")
    subject = subject if isinstance(subject, dict) else {}
    found = {_NAMES.get(name, name): said for name, said in value.items() if name != "subject"}
    if subject.get("kind") == "trace":
        found["trace_id"] = subject.get("id")
    elif subject.get("kind") == "observation":
        found |= {"trace_id": subject.get("traceId"), "observation_id": subject.get("id")}
    return found


def _server(opened: Opened) -> Server:
    """With the keys of the url, else those that Langfuse's own SDK reads."""
    public, key = credentials(opened)
    public, key = public or secret("LANGFUSE_PUBLIC_KEY"), key or secret("LANGFUSE_SECRET_KEY")
    if public is None or key is None:
        missing = "LANGFUSE_PUBLIC_KEY" if public is None else "LANGFUSE_SECRET_KEY"
        remedy = "set it, or write the keys into the url, as https://${PUBLIC}:${SECRET}@cloud.langfuse.com"
        raise opened.failure(f"the environment variable {missing} is not set", remedy)
    basic = base64.b64encode(f"{public}:{key}".encode()).decode()
    return server(opened, headers={"Authorization": f"Basic {basic}"}, secrets={key, basic})
