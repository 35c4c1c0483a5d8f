"""Phoenix's spans and annotations by its API, of one project: http://host:6006/projects/shop.

Annotations are asked for by their spans only, and people give them hours later: so each pull lists the spans of the
last day (of `lag`, where that is longer) again and asks what is said of them; only what is new is sent. An annotation
of an older span is not met.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.settings import with_environment
from onlineeval_dagster.sources.files import as_text
from onlineeval_dagster.sources.pages import Server, credentials, server
from onlineeval_dagster.sources.phoenix import Place, event_of, place_of
from onlineeval_dagster.sources.place import Cursor, Item, Opened
from onlineeval_dagster.sources.rows import BadRow, Row
from onlineeval_dagster.sources.sent import Sent, begins, sent
from onlineeval_dagster.sources.values import digest

ANNOTATED_SECONDS = 86_400.0
_LIMIT, _SPANS_A_QUESTION = 1_000, 100


def read_project(opened: Opened, cursor: Cursor) -> Iterator[Item]:
    """Events of a project's spans and their annotations beyond the cursor, and how far they reach."""
    lag = max(opened.source.lag, ANNOTATED_SECONDS)
    before = sent(cursor)
    phoenix, project = _server(opened)
    since = before.since(begins(opened), lag)
    asked = {
        "limit": _LIMIT,
        "start_time": None if since is None else since.isoformat(),
        "end_time": opened.defaults.now.isoformat(),
    }
    path = f"/v1/projects/{project}/spans"
    for page in phoenix.pages(path, _next, **asked):
        found = phoenix.rows(page, path)
        yield from _new(opened, before, found, {})
        # Page by page, so that what is held is a page, whatever the day's traffic.
        places = dict(place for value in found if (place := place_of(value)) is not None)
        yield from _annotations(phoenix, project, before, places)
    yield from before.reached(lag)


def _annotations(phoenix: Server, project: str, before: Sent, places: dict[str, Place]) -> Iterator[Item]:
    path, ids = f"/v1/projects/{project}/span_annotations", list(places)
    for start in range(0, len(ids), _SPANS_A_QUESTION):
        some = ids[start : start + _SPANS_A_QUESTION]
        for page in phoenix.pages(path, _next, limit=_LIMIT, span_ids=some):
            yield from _new(phoenix.opened, before, phoenix.rows(page, path), places)


def _new(opened: Opened, before: Sent, found: list[dict[str, Any]], places: dict[str, Place]) -> Iterator[Item]:
    for number, value in enumerate(found, start=1):
        row = Row(file=opened.place, number=number, value=value, text=as_text(value))
        event = event_of(row, opened, places.get)
        if isinstance(event, BadRow):
            mark, at = digest(value)[:16], None
        else:
            mark, at = event.event_id[-32:], _met_at(event, places) or event.occurred_at
        if before.is_new(mark, at):
            yield event


def _met_at(event: Any, places: dict[str, Place]) -> datetime | None:
    """An annotation is met again as long as its span is listed, whenever it was given itself."""
    there = places.get(event.span_id or "") if event.record == "log" else None
    return None if there is None else there.began_at


def _next(page: dict[str, Any]) -> Any:
    return page.get("next_cursor")


def _server(opened: Opened) -> tuple[Server, str]:
    """The server and the project's name, with the key of the url (its password) or of PHOENIX_API_KEY, if any."""
    _, key = credentials(opened)
    if key is None:
        try:
            key = with_environment("${PHOENIX_API_KEY}", place=opened.place)
        except SettingsError:
            key = None  # Phoenix on one's own machine asks for none
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    path = urlsplit(str(opened.source.url)).path
    prefix, _, project = path.partition("/projects/")
    whole = server(opened, headers=headers, secrets={key} if key else set(), path=prefix)
    return whole, quote(project.strip("/") or "default", safe="%")
