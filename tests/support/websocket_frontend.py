"""A frontend for WebSocket: a `ScriptedServer` behind the asyncio server of `websockets`, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import ssl
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from mimc_proto import Framing, RemoteProtocolError
from mimc_proto.testing import ScriptedServer, VirtualClock

__all__ = ["CLOSE", "WebSocketFrontend", "binary"]

T = TypeVar("T")

TIMEOUT = 10.0
"""Seconds after which a thread that hangs is given up."""

CLOSE = b"\x88\x02\x03\xe9"
"""A Close frame that says: going away."""

_silent = logging.Logger("tests.websocket", level=logging.CRITICAL)


def binary(message: bytes) -> bytes:
    """A message as one frame."""
    size = len(message)
    return b"\x82" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2)) + message


class WebSocketFrontend:
    """Runs inside its block. ``server`` says what it does; use it by way of `do` only, it lives in another thread.

    ``answers`` are HTTP statuses for the next who come, before all others are let in. ``requests`` are theirs.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.server = ScriptedServer(VirtualClock(), framing=Framing.WEBSOCKET)
        self.answers: deque[int] = deque()
        self.farewells = 0
        """So many links get a Close frame together with their first answer."""
        self.requests: list[Request] = []
        self.sockets: list[ServerConnection] = []
        self.gone = 0
        """Connections that have ended."""
        self._changed = threading.Condition()
        self._waits: set[asyncio.Task[None]] = set()
        self.tls = tls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="frontend", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(TIMEOUT), "the frontend does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "the frontend hangs"

    def do(self, work: Callable[[], T]) -> T:
        """Call it in the frontend's thread."""

        async def call() -> T:
            return work()

        return self.wait(call)

    def wait(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await it in the frontend's thread."""

        async def call() -> T:
            async with asyncio.timeout(TIMEOUT):
                return await work()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(TIMEOUT)

    def wait_gone(self, count: int) -> None:
        """Wait until so many connections have ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.gone >= count, TIMEOUT), "a connection was left open"

    def frames_of(self, push: Callable[[], object]) -> list[bytes]:
        """What the newest link would send because of this: it is not sent."""
        link = self.server.link
        push()
        return link.data_to_send()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(
            self._serve,
            "127.0.0.1",
            0,
            ssl=self.tls,
            compression=None,
            ping_interval=None,
            close_timeout=None,  # who does not answer is waited for
            process_request=self._process_request,
            logger=_silent,
        ) as server:
            self.address: tuple[str, int] = next(iter(server.sockets)).getsockname()[:2]
            self._ready.set()
            await self._stop.wait()
            for one in self.sockets:
                one.transport.abort()

    def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if not self.answers:
            return None
        self._waits.add(asyncio.ensure_future(self._wait_gone(socket)))
        return socket.respond(http.HTTPStatus(self.answers.popleft()), "no\n")

    async def _wait_gone(self, socket: ServerConnection) -> None:
        await socket.wait_closed()
        with self._changed:
            self.gone += 1
            self._changed.notify_all()

    async def _serve(self, socket: ServerConnection) -> None:
        work = asyncio.Event()
        link = self.server.accept(0.0, work.set)
        self.sockets.append(socket)

        async def write() -> None:
            while True:
                for frame in link.data_to_send():
                    if self.farewells:
                        self.farewells -= 1
                        socket.transport.write(binary(frame) + CLOSE)
                    else:
                        await socket.send(frame)
                if link.close_expected() is not None:
                    await socket.close()
                    return
                await work.wait()
                work.clear()

        writer = asyncio.ensure_future(write())
        try:
            async for message in socket:
                assert isinstance(message, bytes)
                link.receive_data(message, 0.0)
                work.set()
        except (ConnectionClosed, RemoteProtocolError):
            pass
        finally:
            link.receive_eof(0.0)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await writer
            await self._wait_gone(socket)

    # -------------------------------------------------------------------------------------------- of the newest link

    def send(self, message: Any) -> None:
        """Send a message of any kind: a list is sent in fragments."""
        self.wait(lambda: self.sockets[-1].send(message))

    def raw(self, data: bytes) -> None:
        """Send bytes that are no WebSocket, perhaps."""
        self.do(lambda: self.sockets[-1].transport.write(data))

    def ping(self) -> None:
        """Send a ping and wait for its answer."""

        async def ping() -> None:
            await (await self.sockets[-1].ping())

        self.wait(ping)

    def close(self, code: int = 1001) -> None:
        """Send a Close frame, and wait for the other one and the end of the connection."""
        self.wait(lambda: self.sockets[-1].close(code))
