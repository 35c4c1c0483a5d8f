"""The door to OpenAI's Batch API: a file of requests in, half the price, answers within a day."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from onlineeval_dagster.catalog.judge_file import API_KEY_ENV, Judge
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.client import key_of, place_of
from onlineeval_dagster.settings import Settings

KEY = "onlineeval_key"
"""Name of our own key in a batch's metadata: by it a batch is found again whose id was never written down."""

_SECONDS = 120.0  # of one request: a file of results may be large
_OVER = {"completed", "failed", "expired", "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How a batch stands. `reason` is the endpoint's word on why all of it failed."""

    batch_id: str
    status: str
    files: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def is_over(self) -> bool:
        return self.status in _OVER


class BatchEndpoint:
    """One endpoint's `/files` and `/batches`. Use as `with`. Raises JudgeError where it refuses or is not reached."""

    def __init__(self, *, base_url: str, api_key: str | None, key_name: str = API_KEY_ENV) -> None:
        if not api_key or not api_key.strip():
            raise JudgeError(f"{key_name}: not set, and a batch needs it; set it")
        self._place, self._key_name = place_of(base_url, "OPENAI_BASE_URL"), key_name
        self._base_url, self._api_key = base_url, api_key.strip()

    @classmethod
    def of(cls, settings: Settings, judge: Judge) -> Self:
        """Where the judge's own calls go too. Raises JudgeError without its key."""
        base_url = judge.base_url or settings.openai_base_url
        return cls(base_url=base_url, api_key=key_of(settings, judge), key_name=judge.api_key_env)

    def __enter__(self) -> Self:
        from openai import OpenAI

        # Reading again is harmless and tried again; what makes something is not: two batches would be paid.
        self._client = OpenAI(api_key=self._api_key, base_url=self._base_url, timeout=_SECONDS, max_retries=2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def submit(self, key: str, lines: bytes) -> str:
        """Upload the requests and make a batch of them that carries `key`; its id. Never tried twice by itself."""
        once = self._client.with_options(max_retries=0)
        with self._named("submitting a batch"):
            file = once.files.create(file=("onlineeval.jsonl", lines), purpose="batch")
            batch = once.batches.create(
                completion_window="24h",
                endpoint="/v1/chat/completions",
                input_file_id=file.id,
                metadata={KEY: key},
            )
        return batch.id

    def find(self, key: str, *, since: datetime) -> str | None:
        """The id of the batch that carries `key`, among those made after `since`, newest first."""
        with self._named("listing batches"):
            for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get(KEY) == key:
                    return batch.id
                if batch.created_at < since.timestamp() - 3600:  # clocks differ
                    return None
        return None

    def look(self, batch_id: str) -> Seen:
        """How the batch stands now."""
        with self._named(f"looking at {batch_id}"):
            batch = self._client.batches.retrieve(batch_id)
        told = [error.message for error in (batch.errors.data or []) if error.message] if batch.errors else []
        files = tuple(file for file in (batch.output_file_id, batch.error_file_id) if file)
        return Seen(batch_id=batch_id, status=batch.status, files=files, reason="; ".join(told)[:500] or None)

    def lines(self, file_id: str) -> Iterator[str]:
        """The lines of a result file."""
        with self._named(f"reading {file_id}"):
            yield from (line for line in self._client.files.content(file_id).iter_lines() if line.strip())

    @contextmanager
    def _named(self, doing: str) -> Iterator[None]:
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            remedies: dict[int, str] = {
                401: f"correct {self._key_name}",
                403: f"correct {self._key_name}, or its rights",
                404: "this endpoint has no Batch API, or the batch is gone; run the backfill without --batch",
            }
            remedy = remedies.get(error.status_code, "try again later")
            raise JudgeError(f"{doing}: HTTP {error.status_code} from {self._place}; {remedy}") from error
        except openai.APIError as error:
            raise JudgeError(f"{doing}: {type(error).__name__} at {self._place}; try again later") from error


def request_line(custom_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """One line of a batch's input file."""
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
