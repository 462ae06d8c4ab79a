"""An asyncio event loop on a `VirtualClock` and a `Network`: no sockets, no waiting, every fault of a pipe.

Time passes only when nothing is ready to run, and then at once. A coroutine that waits for what cannot happen ends in
`Stuck` instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mimc_proto.testing import FaultyPipe, Network, PipeEnd, Stuck, VirtualClock

T = TypeVar("T")

HIGH_WATER = 64 * 1024


class _ClockSelector(selectors.SelectSelector):
    """Watches nothing but the clock: where a loop would sleep, time passes."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        clock, ready = self.loop.clock, self.loop.ready
        if timeout is not None and timeout <= 0:
            clock.run_for(0.0)
        elif timeout is None:
            clock.run_until(ready, what="anything the loop could do")
        else:
            try:
                clock.run_until(ready, timeout=timeout)
            except Stuck:  # nothing came before the loop's own timer
                clock.run_for(max(0.0, self.loop.limit - clock.now))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Run coroutines with `run_until_complete`, connect to what listens on the `Network`."""

    def __init__(self, clock: VirtualClock, network: Network) -> None:
        self.clock, self.network = clock, network
        selector = _ClockSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.clock.now

    def ready(self) -> bool:
        """Whether callbacks wait for the next turn."""
        return bool(self._ready)  # type: ignore[attr-defined]

    @property
    def timers(self) -> int:
        """How many callbacks wait for their time."""
        return sum(not handle.cancelled() for handle in self._scheduled)  # type: ignore[attr-defined]

    @property
    def limit(self) -> float:
        """The time of the loop's next timer, a little more so that it counts as due."""
        scheduled = self._scheduled  # type: ignore[attr-defined]
        return scheduled[0].when() + 1e-9 if scheduled else self.clock.now

    async def create_connection(  # type: ignore[override]
        self,
        factory: Any,
        host: Any = None,
        port: Any = None,
        *,
        sock: FaultyPipe | None = None,
        ssl: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> Any:
        """Connect over the network of the test; ``sock`` is a pipe that a proxy made."""
        pipe = sock if sock is not None else await self.open_pipe(host, port)
        protocol = factory()
        if ssl is None:
            transport = PipeTransport(self, pipe.client, protocol)
            protocol.connection_made(transport)
            pipe.client.attach(transport)
            return transport, protocol
        shaken: asyncio.Future[None] = self.create_future()
        secure = SSLProtocol(self, protocol, ssl, shaken, server_side=False, server_hostname=server_hostname)
        transport = PipeTransport(self, pipe.client, secure)
        secure.connection_made(transport)
        pipe.client.attach(transport)
        await shaken
        return secure._app_transport, protocol

    async def open_pipe(self, host: str, port: int) -> FaultyPipe:
        """A connection over the network of the test."""
        opened: asyncio.Future[FaultyPipe] = self.create_future()
        attempt = self.network.connect(
            host,
            port,
            lambda pipe: None if opened.done() else opened.set_result(pipe),
            lambda error: None if opened.done() else opened.set_exception(error),
        )
        try:
            return await opened
        finally:
            attempt.cancel()


class PipeTransport(asyncio.Transport):
    """A transport over one end of a pipe."""

    def __init__(self, loop: VirtualLoop, end: PipeEnd, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._loop, self._end, self._protocol = loop, end, protocol
        self._buffer: list[bytes] = []
        self._closing = self._paused = self._lost = False

    # ------------------------------------------------------------------------------------------ for the protocol

    def write(self, data: Any) -> None:
        if self._lost:
            return
        self._buffer.append(bytes(data))
        self._flush()
        if sum(map(len, self._buffer)) > HIGH_WATER and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._flush()

    def abort(self) -> None:
        self._closing = True
        self._buffer.clear()
        self._end.reset()
        self._end_of_connection(None)

    # ------------------------------------------------------------------------------------------------- for the pipe

    def data_received(self, data: bytes) -> None:
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            self._soon(_feed, self._protocol, data)
        else:
            self._soon(self._protocol.data_received, data)

    def _force_close(self, error: Exception | None) -> None:
        """What asyncio's TLS does when the handshake failed: what it has to say about that still goes out."""
        self.close()

    def eof_received(self) -> None:
        self._end.close()
        self._end_of_connection(None)

    def connection_lost(self) -> None:
        self._end_of_connection(ConnectionResetError("the connection broke"))

    def writing_resumed(self) -> None:
        self._flush()
        if self._paused and not self._buffer:
            self._paused = False
            self._soon(self._protocol.resume_writing)

    def _soon(self, callback: Callable[..., object], *arguments: object) -> None:
        if not self._lost:
            self._loop.call_soon(callback, *arguments)

    def _flush(self) -> None:
        while self._buffer and self._end.writable:
            data, room = self._buffer[0], self._end.room
            self._end.write([data[:room]])
            self._buffer[:1] = [data[room:]] if len(data) > room else []
        if self._closing and not self._buffer:
            self._end.close()
            self._end_of_connection(None)

    def _end_of_connection(self, error: Exception | None) -> None:
        if not self._lost:
            self._loop.call_soon(self._protocol.connection_lost, error)
            self._lost = True


def _feed(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """As asyncio's transports read."""
    while data:
        room = memoryview(protocol.get_buffer(len(data))).cast("B")
        size = min(len(room), len(data))
        room[:size], data = data[:size], data[size:]
        protocol.buffer_updated(size)


def run(clock: VirtualClock, network: Network, work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own. Fails if it leaves a task behind."""
    loop = VirtualLoop(clock, network)
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(work)
        loop.run_until_complete(asyncio.sleep(0))
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks were left: {left}"
        return result
    finally:
        asyncio.set_event_loop(None)
        loop.close()
