"""The review pages of `onlineeval serve`: sign in by key, one answer at a time, three keys, a label in the log.

    GET  /review         sign in, or the task in hand, or the next
    POST /review/in      key → cookie       POST /review/label  a score: contract, redaction, log, fsync, then the next
    POST /review/out                        POST /review/skip, /review/undo

What users and products wrote is shown as text: escaped by the template, and were that ever lost, the policy of the page
loads nothing and runs no script but our own file. Reviewers see no verdict, no label of others, and not why a task is
there. The warehouse and the lake are never opened: tasks come from the file that a run publishes.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onlineeval_dagster.collector.intake import Cleaner, Terms, judge
from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.collector.limits import RateLimit
from onlineeval_dagster.collector.sink import Sink
from onlineeval_dagster.errors import RequestRefused, ReviewError, TaskRefused
from onlineeval_dagster.review.desk import Desk
from onlineeval_dagster.review.sessions import COOKIE, LASTS, Sessions
from onlineeval_dagster.review.shown import Task
from onlineeval_dagster.settings import Settings

PER_SECOND = 2.0
"""What one person may send on average, with twenty at once: nobody reads faster, a script does."""
NOTE_CHARACTERS = 2_000

_BODY_BYTES = 64 * 2**10
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    # With no-referrer browsers would send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
_STATIC = {"review.js": "text/javascript", "review.css": "text/css"}
Form = dict[str, str]
Step = Callable[[Request, Form, str], Awaitable[str | None]]
"""What a signed-in person does: a notice for the next page, or None."""


def review_routes(
    settings: Settings,
    *,
    sink: Sink,
    keys: ApiKeys,
    cleaner: Cleaner,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Sequence[BaseRoute]:
    """The routes over the published tasks and the review's state in the home; labels go through `sink`."""
    return _Pages(settings, sink, keys, cleaner, clock).routes()


class _Pages:
    def __init__(
        self, settings: Settings, sink: Sink, keys: ApiKeys, cleaner: Cleaner, clock: Callable[[], datetime]
    ) -> None:
        self._sink, self._cleaner, self._clock = sink, cleaner, clock
        self._desk = Desk(settings.review_state_file, settings.review_tasks_file)
        self._sessions = Sessions(self._desk.connection, keys)
        self._rate = RateLimit(PER_SECOND)
        self._terms = Terms(
            event_bytes=settings.serve_event_bytes, batch_events=1, retention_days=settings.retention_days
        )
        self._templates = Environment(
            loader=PackageLoader("onlineeval_dagster.review", "web"), autoescape=True, undefined=StrictUndefined
        )

    def routes(self) -> list[BaseRoute]:
        steps = {"label": self._label, "skip": self._skip, "undo": self._undo}
        return [
            Route("/review", self._show, methods=["GET"]),
            Route("/review/static/{name}", _static, methods=["GET"]),
            Route("/review/in", self._guarded(self._sign_in), methods=["POST"]),
            Route("/review/out", self._guarded(self._sign_out), methods=["POST"]),
            *(
                Route(f"/review/{name}", self._guarded(self._stepping(step)), methods=["POST"])
                for name, step in steps.items()
            ),
        ]

    async def _show(self, request: Request) -> Response:
        try:
            reviewer = self._sessions.reviewer(request.cookies.get(COOKIE), now=self._clock())
            return self._page(reviewer) if reviewer else self._entry()
        except ReviewError as error:
            return self._broken(error)

    def _page(self, reviewer: str, notice: str | None = None, *, status: int = 200) -> Response:
        now = self._clock()
        task = self._desk.take(reviewer, now=now)
        progress = self._desk.progress(reviewer, now=now)
        said = {"reviewer": reviewer, "task": task, "progress": progress, "notice": notice, "most": NOTE_CHARACTERS}
        return self._rendered("task.html.j2", status, **said)

    def _entry(self, notice: str | None = None, *, status: int = 200) -> Response:
        return self._rendered("sign_in.html.j2", status, reviewer=None, notice=notice)

    def _broken(self, error: ReviewError) -> Response:
        logging.getLogger("onlineeval").warning("%s", error)
        told = "The review's files cannot be read now; who runs this finds the reason where the server says it."
        return self._told(told, status=503)

    def _told(self, notice: str, *, status: int) -> Response:
        return self._rendered("page.html.j2", status, reviewer=None, notice=notice)

    def _rendered(self, name: str, status: int, **said: object) -> Response:
        text = self._templates.get_template(name).render(**said)
        return Response(text, status_code=status, media_type="text/html", headers=_HEADERS)

    def _guarded(self, work: Callable[[Request, Form], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
        """A form from one of our own pages, read; whatever is refused is told on a page."""

        async def answer(request: Request) -> Response:
            try:
                _refuse_foreign_pages(request)
                return await work(request, await _form(request))
            except RequestRefused as error:
                response = self._told(str(error), status=error.status)
                if error.retry_seconds is not None:
                    response.headers["retry-after"] = str(max(1, round(error.retry_seconds)))
                return response
            except ReviewError as error:
                return self._broken(error)

        return answer

    def _stepping(self, step: Step) -> Callable[[Request, Form], Awaitable[Response]]:
        """A step of who is signed in, within the rate; then the next page."""

        async def work(request: Request, form: Form) -> Response:
            reviewer = self._sessions.reviewer(request.cookies.get(COOKIE), now=self._clock())
            if reviewer is None:
                return self._entry("You are signed out. Nothing was kept; sign in again.", status=401)
            self._enter(reviewer)
            try:
                notice = await step(request, form, reviewer)
            except TaskRefused as error:
                return self._page(reviewer, str(error), status=error.status)
            return self._page(reviewer, notice) if notice else RedirectResponse("/review", status_code=303)

        return work

    def _enter(self, name: str) -> None:
        try:
            self._rate.enter(name)
        except RequestRefused as error:
            wait = error.retry_seconds or 1.0
            told = f"More than {PER_SECOND:g} answers a second came from you: a script, or a key that hangs"
            raise RequestRefused(
                f"{told}. The last one was not kept; go back in {wait:.0f} s.", status=429, retry_seconds=wait
            ) from error
        self._rate.pay(name, 1)

    async def _sign_in(self, request: Request, form: Form) -> Response:
        cookie = self._sessions.sign_in(form.get("key", ""), now=self._clock())
        if cookie is None:
            return self._entry("That is no reviewer's key in use. Look whether all of it was copied.", status=401)
        response = RedirectResponse("/review", status_code=303)
        response.set_cookie(
            COOKIE,
            cookie,
            max_age=int(LASTS.total_seconds()),
            path="/review",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    async def _sign_out(self, request: Request, form: Form) -> Response:  # noqa: ARG002
        self._sessions.sign_out(request.cookies.get(COOKIE))
        response = RedirectResponse("/review", status_code=303)
        response.delete_cookie(COOKIE, path="/review")
        return response

    async def _label(self, request: Request, form: Form, reviewer: str) -> str | None:  # noqa: ARG002
        now, note = self._clock(), form.get("note", "").strip()
        if len(note) > NOTE_CHARACTERS:
            raise TaskRefused(f"A note has {NOTE_CHARACTERS:,} characters at most. Nothing was kept.", status=422)
        task = self._desk.check(form.get("lease", ""), reviewer, _score(form), now=now)
        if task is None:
            return None
        score = int(_score(form))
        taken = judge([_event(task, reviewer, score, note, now)], terms=self._terms, cleaner=self._cleaner, now=now)
        if taken.refused:
            raise TaskRefused(f"Not kept: {taken.refused[0][1]}", status=422)
        await self._sink.keep(taken.lines[0])
        self._desk.rated(task, reviewer, score, now=now)
        return None

    async def _skip(self, request: Request, form: Form, reviewer: str) -> str | None:  # noqa: ARG002
        self._desk.skip(form.get("lease", ""), reviewer, now=self._clock())
        return None

    async def _undo(self, request: Request, form: Form, reviewer: str) -> str | None:  # noqa: ARG002
        if self._desk.undo(reviewer, now=self._clock()):
            return None
        return "There is nothing before this one that can still be changed."


def _event(task: Task, reviewer: str, score: int, note: str, now: datetime) -> dict[str, object]:
    """The label as an event. Its id is the lease's: sent twice, it counts once."""
    return {
        "kind": "label",
        "event_id": f"label:{task.lease}",
        "environment": task.environment,
        "app": task.app,
        "response_id": task.response_id,
        "response_at": task.response_at.isoformat(),
        "axis": task.axis,
        "score": float(score),
        "reviewer": reviewer,
        "stream": task.stream,
        "inclusion_probability": task.probability,
        "note": note or None,
        "attributes": {"source": "review", "seconds": round((now - task.taken_at).total_seconds(), 1)},
    }


def _score(form: Form) -> float:
    try:
        return float(form.get("score", ""))
    except ValueError as error:
        raise TaskRefused("No score came with it. Nothing was kept.", status=422) from error


async def _form(request: Request) -> Form:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _BODY_BYTES:
            raise RequestRefused(f"More than {_BODY_BYTES:,} bytes; shorten the note.", status=413)
    try:
        said = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise RequestRefused("That is no form of ours.", status=400) from error
    return {name: values[-1] for name, values in said.items()}


def _refuse_foreign_pages(request: Request) -> None:
    """A page from elsewhere must not act for who is signed in here. Browsers say where a form comes from."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_ours = site == "same-origin" or (site is None and _host(origin) == request.headers.get("host"))
    if not is_ours:
        raise RequestRefused("This came from a page elsewhere. Nothing was kept.", status=403)


def _host(origin: str | None) -> str | None:
    try:
        return urlsplit(origin).netloc if origin else None
    except ValueError:
        return None


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        return Response("not found", status_code=404, media_type="text/plain")
    text = files("onlineeval_dagster.review").joinpath("web", name).read_text(encoding="utf-8")
    return Response(text, media_type=_STATIC[name], headers=_HEADERS | {"cache-control": "max-age=300"})
