"""The driver of a service: has it served at the end of each turn of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl as _ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from mimc_proto import Framing

from ..router import Router
from ..service import Service, ServiceEvent, TooManyLinks
from ..sockets import listening_socket
from ..store import Store, StoreError
from .admission import Admission
from .config import FrontendConfig
from .connection import Connection, TcpConnection, WebSocketConnection
from .listener import Listener
from .storing import Committed, StoreThread, Work

__all__ = ["ServiceRunner", "unix_ms"]

T = TypeVar("T")

BACKLOG = 1024
"""Connections that the system keeps for us while there is no room for more links."""

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
    write for each link. The store is called on the loop's thread, which is right for `MemoryStore`, which never waits;
    with ``threaded`` on a thread of its own, and nobody but that uses it any more: `perform` is for everybody else.

    ``config`` are the limits of its connections (`ServiceConfig` has those of the service).
    ``router`` is this node's place among others (`MemoryRouter.join`, whose ``wake`` is `wake`); without one there are
    no others. ``now`` gives seconds (default: the loop's time), ``wall_ms`` Unix time in milliseconds. ``on_event``
    gets every `ServiceEvent`, for logs and metrics; it must not raise, nor must ``on_commit``, which with ``threaded``
    gets the requests that were performed together, and the seconds that they took.
    """

    def __init__(
        self,
        service: Service,
        store: Store,
        *,
        threaded: bool = False,
        config: FrontendConfig | None = None,
        router: Router | None = None,
        now: Callable[[], float] | None = None,
        wall_ms: Callable[[], int] = unix_ms,
        on_event: Callable[[ServiceEvent], object] | None = None,
        on_commit: Committed = lambda *_: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.service = service
        self.store = store
        self.config = config if config is not None else FrontendConfig()
        self.now = now if now is not None else self.loop.time
        self.wall_ms = wall_ms
        self._router = router
        self._on_event = on_event
        self._thread = StoreThread(store, wall_ms, self._answered, on_commit) if threaded else None
        self._works: deque[Work[Any]] = deque()
        self._connections: dict[Connection, None] = {}
        self._links: dict[int, Connection] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._admission = Admission(self.config, self._has_room)
        self._listeners: list[Listener] = []
        self._turn_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False
        self.wake()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def listen(
        self, host: str, port: int, ssl: _ssl.SSLContext | None = None, framing: Framing = Framing.TCP
    ) -> tuple[str, int]:
        """Accept connections at an address, beside those before; port 0 takes a free one. Returns host and port.

        With ``ssl`` connections are TLS. With `Framing.WEBSOCKET` they are WebSocket, at the path ``/``. Raises
        `OSError` if the address cannot be used. While there is no room for more links, connections wait: a client that
        is closed at once comes back at once (clients.md rule 15).
        """
        sock, address = await listening_socket(host, port, BACKLOG)
        make = TcpConnection if framing is Framing.TCP else WebSocketConnection
        listener = Listener(sock, self._admission, functools.partial(make, self), ssl, self.config.handshake_timeout)
        self._listeners.append(listener)
        return address

    async def close(self, timeout: float = 5.0) -> None:
        """Listen no more, take in no more, answer what came, and close all connections once that is written.

        Connections that take longer than ``timeout`` seconds are cut; the store has all the time it takes. It may be
        called again while it runs; the shortest timeout counts.
        """
        cut_at = self.loop.time() + timeout
        self._admission.close()
        for listener in self._listeners:
            await listener.close()
        self._turn()
        if self._thread is not None:
            for connection in list(self._connections):
                connection.stop_reading()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(cut_at):
                    await self._thread.idle()
        for connection in list(self._connections):
            connection.close(cut_at - self.loop.time())
        await self._empty.wait()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._turn()
        if self._thread is not None:
            await self._thread.close()

    async def perform(self, work: Callable[[], T]) -> T:
        """Do something with the store, after all that the service has asked of it before; gives or raises what it does.

        The work must not touch the service: it may be done on another thread. Who is cancelled before its turn has come
        has not had it done. Raises `StoreError` once the runner is closed.
        """
        if self._closed:
            raise StoreError("expected a runner that runs, and this one is closed")
        done: asyncio.Future[T] = self.loop.create_future()
        self._works.append(Work(work, done))
        self.wake()
        return await done

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
            stored = self._use_store(now, wall_ms)
            hinted = self._exchange_hints(now, wall_ms)
            links = service.writable()
            for link_id in links:
                connection = self._links.get(link_id)
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

    def _use_store(self, now: float, wall_ms: int) -> bool:
        """Whether anything was done here and now."""
        works, self._works = self._works, deque()
        if self._thread is not None:
            self._thread.ask([*self.service.store_requests(), *works])
            return False
        stored = self.service.run_store(self.store, now, wall_ms)
        for work in works:
            if work.awaited:
                work.run()
                work.finish()
        return stored

    def _answered(self, answers: list[tuple[int, object]]) -> None:
        """The thread has done what it was asked."""
        now, wall_ms = self.now(), self.wall_ms()
        for request_id, answer in answers:
            self.service.store_answered(request_id, answer, now, wall_ms)
        self._turn()

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

    def joined(self, connection: Connection) -> None:
        """There is another connection."""
        self._connections[connection] = None
        self._empty.clear()

    def left(self, connection: Connection) -> None:
        """A connection is gone, if it was there."""
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    def opened(self, connection: Connection, peer: str, framing: Framing) -> int | None:
        """The id of the new link of a connection; None if there is no room."""
        try:
            link_id = self.service.link_opened(self.now(), framing=framing, peer=peer)
        except TooManyLinks:
            return None
        self._links[link_id] = connection
        self.wake()
        return link_id

    def received(self, link_id: int, data: bytes) -> None:
        """Bytes of a link came, or a message; `wake` is to follow."""
        self.service.receive_data(link_id, data, self.now(), self.wall_ms())

    def lost(self, link_id: int, *, failed: bool) -> None:
        """The connection of a link is gone, or will not be read any more; ``failed``: it could not be written to."""
        del self._links[link_id]
        self.service.link_lost(link_id, self.now(), self.wall_ms(), failed=failed)
        self.wake()

    def _has_room(self, taken: int) -> bool:
        return self.service.accepting and taken < self.service.config.max_links
