"""The review pages over published tasks: an app in this process, and people who are signed in to it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.collector.sink import Sink
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.log.writer import SegmentWriter
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.review.pages import review_routes
from onlineeval_dagster.review.published import publish
from onlineeval_dagster.review.tasks import plan_tasks
from onlineeval_dagster.settings import Settings
from tests.collector.collectors import app_with
from tests.review.task_worlds import CATALOG, put, selected
from tests.worlds import answer, lake_of, settings_at

SAME = {"sec-fetch-site": "same-origin"}


def published_at(folder: Path, answers: Sequence[LogEvent], *, now: datetime) -> Settings:
    """A home whose audit drew every one of `answers`, with its tasks published."""
    settings = settings_at(folder)
    lake = lake_of(settings, answers, now=now)
    drawn: list[Any] = [selected(a.response_id[1:], at=a.occurred_at) for a in answers]  # type: ignore[attr-defined]
    put(lake, "selections", drawn)
    plan_tasks(lake, CATALOG, now=now)
    publish(settings.review_tasks_file, lake, CATALOG, now=now, redact=load_privacy(settings).clean_text)
    return settings


def asked_today(count: int, *, now: datetime, **more: Any) -> list[LogEvent]:
    return [answer(n, at=now - timedelta(hours=1), **({"response": f"answer {n}"} | more)) for n in range(count)]


@dataclass
class Person:
    """Somebody at a browser: keeps cookies, follows redirects, sends what a browser says of its own forms."""

    app: Any
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def get(self, path: str = "/review") -> httpx.Response:
        return self._ask("GET", path)

    def post(self, path: str, *, headers: dict[str, str] = SAME, **form: Any) -> httpx.Response:
        return self._ask("POST", path, data={name: str(value) for name, value in form.items()}, headers=headers)

    def sign_in(self, key: str) -> httpx.Response:
        return self.post("/review/in", key=key)

    def lease(self) -> str:
        """Of the task on the page."""
        return self.get().text.partition('name="lease" value="')[2].partition('"')[0]

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def asking() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://test", cookies=self.cookies, follow_redirects=True
            ) as client:
                said = await client.request(method, path, **request)
                self.cookies = client.cookies
                return said

        return asyncio.run(asking())


@dataclass
class Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now


def pages_at(settings: Settings, clock: Clock, **sink: Any) -> Any:
    """The collector's app with the review pages, as `onlineeval serve` builds it."""
    keys = ApiKeys(settings.keys_file)
    writer = SegmentWriter(settings.log_folder, door="collector", **sink)
    door = Sink(writer, queue_bytes=settings.serve_queue_bytes)
    routes = review_routes(settings, sink=door, keys=keys, cleaner=load_privacy(settings), clock=clock)
    return app_with(settings, door, keys, routes)


def reviewer_key(settings: Settings, name: str) -> str:
    return ApiKeys(settings.keys_file).add(name, environment=None, scope="review", now=datetime.now(UTC))
