"""`/files` and `/batches` of the fake endpoint, with real JSONL: a batch is worked on when the test says so."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
"""From the body of one request to the status and body of its response."""


def scored(score: int) -> Answer:
    """Every request gets this score, for 100 tokens in and 10 out."""
    message = {"role": "assistant", "content": json.dumps({"score": score})}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "served-model-1"}
    return lambda asked: (200, {**body, "choices": [choice], "usage": usage})


@dataclass(slots=True, kw_only=True)
class FakeBatches:
    """The desk: files and batches by id, and how often a request of each custom id was paid for.

    before_reply  called when a batch has been made and its id not yet said: where a kill hurts most
    """

    answer: Answer = field(default_factory=lambda: scored(1))
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    paid: list[str] = field(default_factory=list)
    before_reply: Callable[[], None] = lambda: None
    hidden: bool = False

    def work(self, *, status: str = "completed", most: int | None = None) -> None:
        """End every open batch: answer its first `most` requests, all by default; the others expire."""
        for batch in self.batches.values():
            if batch["status"] not in ("validating", "in_progress"):
                continue
            batch["status"] = status
            if status == "failed":
                batch["errors"] = {"object": "list", "data": [{"code": "invalid", "message": "the model is unknown"}]}
                continue
            lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
            good, bad = [], []
            for place, line in enumerate(lines):
                if most is not None and place >= most:
                    error = {"code": "batch_expired", "message": "not done in time"}
                    bad.append({"custom_id": line["custom_id"], "response": None, "error": error})
                    continue
                code, body = self.answer(line["body"])
                response = {"status_code": code, "request_id": f"req-{place}", "body": body}
                (good if code == 200 else bad).append(
                    {"custom_id": line["custom_id"], "response": response, "error": None}
                )
                self.paid += [line["custom_id"]] if code == 200 else []
            for name, said in (("output_file_id", good), ("error_file_id", bad)):
                if said:
                    batch[name] = self._keep("".join(json.dumps(line) + "\n" for line in said).encode())

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}/content", self._content),
            web.post("/v1/batches", self._create),
            web.get("/v1/batches", self._list),
            web.get("/v1/batches/{id}", self._look),
        ]

    def _keep(self, body: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = body
        return name

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        part = form["file"]
        assert isinstance(part, web.FileField) and form["purpose"] == "batch"
        body = part.file.read()
        made = {"object": "file", "bytes": len(body), "created_at": 1, "filename": "f", "purpose": "batch"}
        return web.json_response({"id": self._keep(body), "status": "processed", **made})

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["id"]])

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        batch = {
            **{"id": f"batch_{len(self.batches)}", "object": "batch", "status": "validating", "created_at": 2**31},
            **asked,
        }
        self.batches[batch["id"]] = batch
        self.before_reply()
        return web.json_response(batch)

    async def _list(self, request: web.Request) -> web.Response:
        newest = [] if self.hidden else list(reversed(self.batches.values()))
        return web.json_response({"object": "list", "data": newest, "has_more": False})

    async def _look(self, request: web.Request) -> web.Response:
        found = self.batches.get(request.match_info["id"])
        return web.json_response(found or {"error": {"message": "no"}}, status=200 if found else 404)
