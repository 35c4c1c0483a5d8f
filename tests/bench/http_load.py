"""The load of the benchmarks of servers: kept-alive connections, requests in an open loop."""

import asyncio
from time import perf_counter


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._had = b""
        self._answer: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._had += data
        head, gap, body = self._had.partition(b"\r\n\r\n")
        if not gap or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0]):
            return
        self._had = b""
        assert self._answer is not None
        if head.startswith(b"HTTP/1.1 200"):
            self._answer.set_result(None)
        else:
            self._answer.set_exception(RuntimeError((head + gap + body)[:500].decode()))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RuntimeError("the server closed the connection"))

    def ask(self, request: bytes) -> "asyncio.Future[None]":
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        self._transport.close()


async def open_loop(port: int, requests: list[bytes], seconds: float, *, rate: int) -> list[float]:
    """Seconds from when each request was due to its answer; they fall due `rate` a second, whatever came before."""
    free = [await connected(port) for _ in range(8)]
    took: list[float] = []
    began = perf_counter() + 0.1

    async def ask(number: int) -> None:
        connection = free.pop() if free else await connected(port)
        await connection.ask(requests[number % len(requests)])
        took.append(perf_counter() - began - number / rate)
        free.append(connection)

    tasks = []
    for number in range(int(seconds * rate)):
        wait = began + number / rate - perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(ask(number)))
    await asyncio.gather(*tasks)
    for connection in free:
        connection.close()
    return took


async def connected(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection
