"""What runs a session on asyncio: its requests, its bytes, its timer. What the application sees is in asyncio.py."""

from __future__ import annotations

import abc
import asyncio
import inspect
import ssl as _ssl
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, cast

from mimc_proto.session import (
    Acknowledged,
    ClientSession,
    CloseLink,
    Failed,
    FetchToken,
    OpenLink,
    Rejected,
    Resolve,
    SessionEvent,
    SessionRequest,
    Verdict,
)

from ._providers import fetch_resolver_async
from ._shared import Token, verdict_error

__all__ = ["AsyncTokenProvider", "Driver", "TokenSource"]

_VERDICTS = (Acknowledged, Rejected, Failed)


class AsyncTokenProvider(Protocol):
    """Something like `HttpTokenProvider`."""

    async def fetch_async(self) -> Token:
        """A token answer."""


TokenSource = Token | AsyncTokenProvider | Callable[[], Token | Awaitable[Token]]
"""Where tokens come from: an answer itself, a provider, or a function or coroutine function that gives an answer."""


class Driver(abc.ABC):
    """Runs a session. `_pump` is called after everything that was done to it but for queueing sends."""

    def __init__(
        self, session: ClientSession, token: TokenSource, tls: _ssl.SSLContext | None, server_hostname: str | None
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._now = loop.time
        self._session = session
        self._token = token
        self._tls, self._server_hostname = tls, server_hostname
        self._link: _Link | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flush_due = False
        self._unsettled: dict[str, asyncio.Future[Acknowledged]] = {}
        self._changes: deque[asyncio.Future[None]] = deque()
        self._room: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    @abc.abstractmethod
    def _on_verdict(self, verdict: Verdict) -> None:
        """A verdict that nobody awaits."""

    @abc.abstractmethod
    def _on_event(self, event: SessionEvent) -> None:
        """Any other event."""

    # ------------------------------------------------------------------------------------------ events and requests

    def _pump(self) -> None:
        """Hand out events, do what is asked for, write, set the timer."""
        session = self._session
        events = session.events()
        if events:
            self._dispatch(events)
        for request in session.requests():
            self._perform(request)
        if not self._flush_due:
            self._flush()

    def _dispatch(self, events: list[SessionEvent]) -> None:
        unsettled, changed = self._unsettled, False
        for event in events:
            if not isinstance(event, _VERDICTS):
                changed = True
                self._on_event(event)
                continue
            future = unsettled.pop(event.packet_id, None) if unsettled else None
            if future is None:
                self._on_verdict(event)
            elif future.done():
                pass  # cancelled a moment ago
            elif type(event) is Acknowledged:
                future.set_result(event)
            else:
                future.set_exception(verdict_error(event))  # type: ignore[arg-type]  # acknowledgements have no error
        if self._room and self._session.room_for(0):
            self._wake(self._room)
        if changed:
            self._wake(self._changes)

    def _perform(self, request: SessionRequest) -> None:
        match request:
            case FetchToken(request_id=request_id):
                self._start(self._answer(self._fetch_token(), self._session.token_fetched, request_id))
            case Resolve(request_id=request_id, url=url):
                self._start(self._answer(fetch_resolver_async(url), self._session.resolved, request_id))
            case OpenLink():
                self._link = _Link(self, request.link_id)
                self._start(self._link.open(request.host, request.port, self._tls, self._server_hostname))
            case CloseLink(link_id=link_id):
                if self._link is not None and self._link.link_id == link_id:
                    self._link.close()
                    self._link = None

    async def _answer(self, work: Awaitable[Token], answer: Callable[[int, Any, float], None], request_id: int) -> None:
        got: Token | Exception
        try:
            got = await work
        except Exception as error:  # whatever the application's function raises
            got = error
        answer(request_id, got, self._now())
        self._pump()

    async def _fetch_token(self) -> Token:
        source = self._token
        if hasattr(source, "fetch_async"):
            return await source.fetch_async()
        if not callable(source):
            return source
        # A function that is no coroutine function may block, so it gets a thread; what it returns may be awaitable.
        got = source() if inspect.iscoroutinefunction(source) else await asyncio.to_thread(source)
        return await got if inspect.isawaitable(got) else got

    # ------------------------------------------------------------------------------------------- writing and timers

    def _flush_soon(self) -> None:
        """Write at the end of this turn of the loop: what is sent in one turn goes out in one write."""
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        session = self._session
        if self._link is not None:
            self._link.flush(session)
        when, timer = session.get_timer(), self._timer
        if when is not None and (timer is None or when < timer.when()):  # a timer that fires early looks again
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(when, self._on_timer)
        elif when is None and timer is not None:
            timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        when = self._session.get_timer()
        if when is not None and when <= self._now():
            # Bytes that wait are fed before. After a stall asyncio has polled for them by now, but uvloop polls only
            # after its timers and the callbacks that are ready: two turns later both have.
            self._loop.call_soon(self._loop.call_soon, self._handle_timer)
        else:
            self._flush()

    def _handle_timer(self) -> None:
        self._session.handle_timer(self._now())
        self._pump()

    # -------------------------------------------------------------------------------------------------------- waiting

    def _change(self) -> asyncio.Future[None]:
        """Done at the next event that is no verdict."""
        return self._waiter(self._changes)

    def _waiter(self, waiting: deque[asyncio.Future[None]]) -> asyncio.Future[None]:
        while waiting and waiting[0].done():  # cancelled
            waiting.popleft()
        waiter: asyncio.Future[None] = self._loop.create_future()
        waiting.append(waiter)
        return waiter

    @staticmethod
    def _wake(waiting: deque[asyncio.Future[None]]) -> None:
        while waiting:
            future = waiting.popleft()
            if not future.done():
                future.set_result(None)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self) -> None:
        """End all that runs."""
        self._pump()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tasks:
            task.cancel()


class _Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, driver: Driver, link_id: int) -> None:
        self._driver = driver
        self.link_id = link_id
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._given_up = False

    async def open(self, host: str, port: int, tls: _ssl.SSLContext | None, server_hostname: str | None) -> None:
        """Connect; the session hears how that went."""
        driver = self._driver
        name = (server_hostname or host) if tls is not None else None
        try:
            await driver._loop.create_connection(lambda: self, host, port, ssl=tls, server_hostname=name)
        except OSError as error:  # of the network, of names, of certificates
            driver._session.link_lost(self.link_id, error, driver._now())
            driver._pump()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one
        driver = self._driver
        if self._given_up:
            self._transport.abort()
        else:
            driver._session.link_opened(self.link_id, driver._now())
            driver._pump()

    def data_received(self, data: bytes) -> None:
        driver = self._driver
        driver._session.receive_data(self.link_id, data, driver._now())
        driver._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        driver = self._driver
        if not self._given_up:
            driver._session.link_lost(self.link_id, exc, driver._now())
            driver._pump()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._driver._flush()

    def flush(self, session: ClientSession) -> None:
        """Write what waits, as far as the transport takes it."""
        transport = self._transport
        while self._writable and transport is not None and (frames := session.data_to_send(self.link_id)):
            transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def close(self) -> None:
        """Give it up; what the session still had to say was written before."""
        self._given_up = True
        if self._transport is not None:
            self._transport.abort()
