"""Runs a service on asyncio (and uvloop): sockets, timers and the store around the machine that decides."""

from __future__ import annotations

import asyncio
import functools
import math
import socket
import ssl as _ssl
import time
from collections.abc import Callable
from typing import cast

from .router import Router
from .service import Service, ServiceEvent, TooManyLinks
from .sockets import listening_socket
from .store import Store

__all__ = ["ServiceRunner", "unix_ms"]

BACKLOG = 1024
"""Connections that the system keeps for us while there is no room for more links."""

MOST_HANDSHAKES = 256
"""TLS handshakes at a time on one listener."""

HANDSHAKE_TIMEOUT = 10.0
ACCEPT_PAUSE = 1.0
"""Seconds to wait when the system has no file descriptors left, as asyncio does."""

HIGH_WATER = 64 * 1024
"""Bytes in a transport's buffer above which it gets no more."""

LINGER = 1.0
"""Seconds that the system gets, beyond what the link allows, to take what was written before a connection is cut."""

MOST_ROUNDS = 16
"""Rounds of store requests in one turn; then sockets get their chance."""


def unix_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class ServiceRunner:
    """Runs a `Service` on the running event loop::

        runner = ServiceRunner(service, MemoryStore())
        host, port = await runner.listen("0.0.0.0", 5222)
        ...
        await runner.close()

    What arrives in one turn of the loop is committed together at its end, and what is to be written goes out in one
    write for each link. The store is called on the loop's thread: right for `MemoryStore`, which never waits.

    ``router`` is this node's place among others (`MemoryRouter.join`, whose ``wake`` is `wake`); without one there are
    no others. ``now`` gives seconds (default: the loop's time), ``wall_ms`` Unix time in milliseconds. ``on_event``
    gets every `ServiceEvent`, for logs and metrics; it must not raise.
    """

    def __init__(
        self,
        service: Service,
        store: Store,
        *,
        router: Router | None = None,
        now: Callable[[], float] | None = None,
        wall_ms: Callable[[], int] = unix_ms,
        on_event: Callable[[ServiceEvent], object] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.service = service
        self.store = store
        self.now = now if now is not None else self.loop.time
        self.wall_ms = wall_ms
        self._router = router
        self._on_event = on_event
        self._connections: dict[int, _Connection] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._room = asyncio.Event()
        self._reserved = 0
        self._listeners: list[_Listener] = []
        self._turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False
        self.wake()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def listen(self, host: str, port: int, ssl: _ssl.SSLContext | None = None) -> tuple[str, int]:
        """Accept connections at an address, beside those before; port 0 takes a free one. Returns host and port.

        With ``ssl`` connections are TLS. Raises `OSError` if the address cannot be used. While the service has no room
        for more links, connections wait: a client that is closed at once comes back at once (clients.md rule 15).
        """
        sock, address = await listening_socket(host, port, BACKLOG)
        self._listeners.append(_Listener(self, sock, ssl))
        return address

    async def close(self, timeout: float = 5.0) -> None:
        """Listen no more, close all connections once what waits for them is written, and have the store told.

        Connections that take longer than ``timeout`` seconds are cut. It may be called again while it runs; the
        shortest timeout counts.
        """
        for listener in self._listeners:
            await listener.close()
        self._turn()
        for connection in list(self._connections.values()):
            connection.close(timeout)
        await self._empty.wait()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._turn()

    def wake(self) -> None:
        """Look after the service at the end of this turn of the loop: call it after its verbs (`Service.kick`, ...)."""
        if not self._turn_due:
            self._turn_due = True
            self.loop.call_soon(self._turn)

    # ------------------------------------------------------------------------------------------------------ one turn

    def _turn(self) -> None:
        """All that the service wants, until it wants nothing more."""
        self._turn_due = False
        service, now, wall_ms = self.service, self.now(), self.wall_ms()
        for _ in range(MOST_ROUNDS):
            stored = service.run_store(self.store, now, wall_ms)
            hinted = self._exchange_hints(now, wall_ms)
            links = service.writable()
            for link_id in links:
                connection = self._connections.get(link_id)
                if connection is not None:
                    connection.flush()
            if not (stored or hinted or links):
                break
        else:
            self.wake()
        events = service.events()
        if self._on_event is not None:
            for event in events:
                self._on_event(event)
        self._arm(service.get_timer(), now)

    def _exchange_hints(self, now: float, wall_ms: int) -> bool:
        """Whether any came from other nodes."""
        hints, router = self.service.hints(), self._router
        if router is None:
            return False
        for hint in hints:
            router.publish(hint)
        received = router.received()
        for hint in received:
            self.service.hinted(hint, now, wall_ms)
        return bool(received)

    def _arm(self, due: float | None, now: float) -> None:
        """Deadlines that move later cost nothing: a timer that rings early looks again."""
        if due is not None and not self._closed and (self._timer is None or due < self._timer_at):
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = due
            self._timer = self.loop.call_later(max(0.0, due - now), self._ring)

    def _ring(self) -> None:
        # Bytes that wait are fed before. Those that came since the loop has last polled are fed in its next turn, after
        # what is ready by then: two turns later they have been.
        self.loop.call_soon(self.loop.call_soon, self._handle_timer)

    def _handle_timer(self) -> None:
        if self._timer is not None:  # another one may have been set meanwhile
            self._timer.cancel()
            self._timer = None
        self.service.handle_timer(self.now(), self.wall_ms())
        self._turn()

    # ---------------------------------------------------------------------------------- what connections tell

    def opened(self, connection: _Connection, peer: str) -> int | None:
        """The id of the new connection's link; None if there is no room."""
        try:
            link_id = self.service.link_opened(self.now(), peer=peer)
        except TooManyLinks:
            return None
        self._connections[link_id] = connection
        self._empty.clear()
        self.wake()
        return link_id

    def lost(self, link_id: int) -> None:
        """A connection is gone."""
        del self._connections[link_id]
        self.service.link_lost(link_id, self.now(), self.wall_ms())
        self._room.set()
        if not self._connections:
            self._empty.set()
        self.wake()

    async def reserve(self) -> None:
        """Wait until the service takes another link, and keep the place for whoever asked, until `release`."""
        while not self._has_room():
            self._room.clear()
            await self._room.wait()
        self._reserved += 1

    def release(self) -> None:
        """A place that was reserved is taken by a link, or not needed."""
        self._reserved -= 1
        self._room.set()

    def _has_room(self) -> bool:
        most = self.service.config.max_links
        return self.service.accepting and len(self._connections) + self._reserved < most


class _Connection(asyncio.Protocol):
    """One connection and its link."""

    def __init__(self, runner: ServiceRunner, peer: str) -> None:
        self._runner = runner
        self._peer = peer
        self._link_id: int | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._cut: asyncio.TimerHandle | None = None
        self._cut_at = math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._link_id = self._runner.opened(self, self._peer)
        if self._link_id is None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        runner = self._runner
        if self._link_id is not None:
            runner.service.receive_data(self._link_id, data, runner.now(), runner.wall_ms())
            runner.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._cut is not None:
            self._cut.cancel()
        if self._link_id is not None:
            self._runner.lost(self._link_id)

    def pause_writing(self) -> None:
        """Who does not read is not read: its acknowledgements would only pile up."""
        self._writable = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._runner.loop.call_soon(self.flush)  # asyncio's transport must not be closed from within this call
        self._runner.wake()

    # ------------------------------------------------------------------------------------------------------- writing

    def flush(self) -> None:
        """Write what waits, as far as the transport takes it; close if the link is at its end."""
        transport, service, link_id = self._transport, self._runner.service, self._link_id
        if transport is None or link_id is None:
            return
        while self._writable and (frames := service.data_to_send(link_id)):
            transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        close_at = service.close_expected(link_id)
        if close_at is not None:
            self.close(max(0.0, close_at - self._runner.now()) + LINGER)
        elif self._cut is not None and self._writable:
            transport.close()

    def close(self, within: float) -> None:
        """Close as soon as what waits is written, and at the latest in so many seconds; of several calls the one that
        is due first counts."""
        transport = self._transport
        if transport is None:
            return
        loop = self._runner.loop
        cut_at = loop.time() + within
        if cut_at < self._cut_at:
            if self._cut is not None:
                self._cut.cancel()
            self._cut_at = cut_at
            self._cut = loop.call_later(within, transport.abort)
        if self._writable:
            transport.close()


class _Listener:
    """Accepts connections at one address."""

    def __init__(self, runner: ServiceRunner, sock: socket.socket, ssl: _ssl.SSLContext | None) -> None:
        self._runner = runner
        self._socket = sock
        self._ssl = ssl
        self._handshakes: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(MOST_HANDSHAKES)
        self._loop = asyncio.get_running_loop()
        self._accepting = self._loop.create_task(self._accept())

    async def close(self) -> None:
        """Accept nothing more, and break off handshakes. May be called again, also while it runs."""
        tasks = [self._accepting, *self._handshakes]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._socket.close()

    async def _accept(self) -> None:
        while True:
            try:
                sock, address = await self._loop.sock_accept(self._socket)
            except OSError:  # no file descriptors, or the peer has gone already
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            try:
                await self._free.acquire()
                await self._runner.reserve()  # last: a place that is kept is kept from all listeners
            except asyncio.CancelledError:
                sock.close()
                raise
            task = self._loop.create_task(self._open(sock, str(address[0])))
            self._handshakes.add(task)
            task.add_done_callback(functools.partial(self._opened, sock))
            if self._ssl is None:
                await asyncio.wait([task])  # of many at once each is served before the next one is accepted

    async def _open(self, sock: socket.socket, peer: str) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.connect_accepted_socket(
            lambda: _Connection(self._runner, peer),
            sock,
            ssl=self._ssl,
            ssl_handshake_timeout=None if self._ssl is None else HANDSHAKE_TIMEOUT,
        )

    def _opened(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        self._free.release()
        self._runner.release()
        if task.cancelled() or task.exception() is not None:  # TLS that fails, or a peer that is gone already
            sock.close()
