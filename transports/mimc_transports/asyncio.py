"""MIMC on asyncio (and uvloop): `connect` gives a `User`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Self, cast

from mimc_proto.session import Acknowledged, CloseLink, OpenLink, Verdict

from ._async_user import AsyncUser
from ._link import Link
from ._proxy import connect_asyncio
from ._shared import TokenSource, verdict_error

__all__ = ["TokenSource", "User", "connect"]


class User(AsyncUser):
    """A `BaseUser` on asyncio, to be entered (``async with connect(...) as user``) or awaited: it is online then.

    Asking for the next message says that the one before is consumed. One task iterates, any may send.
    """

    _event = asyncio.Event

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    # ------------------------------------------------------------------------------------------- writing and timers

    def _prepare(self) -> Callable[[], float]:
        self._prepare_waiting()
        self._loop = asyncio.get_running_loop()
        self._link: _Link | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_at = math.inf
        self._tasks: set[asyncio.Task[None]] = set()
        return self._loop.time

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._link is not None:
            self._link.flush()
        when = self._session.get_timer()
        if when is None:
            self._no_timer()
        elif when < self._timer_at:  # a timer that fires early looks again
            self._no_timer()
            self._timer_at = when
            self._timer = self._loop.call_at(when, self._on_timer)

    def _no_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_at = math.inf

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
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

    # --------------------------------------------------------------------------------------------------- connections

    def _open_link(self, request: OpenLink) -> None:
        self._link = _Link(self, request)
        self._start(self._link.open(request.host, request.port))

    def _close_link(self, request: CloseLink) -> None:
        if self._link is not None and self._link.link_id == request.link_id:
            self._link.close()
            self._link = None

    # -------------------------------------------------------------------------------------------- waiting and tasks

    def _new_waiter(self) -> asyncio.Future[Acknowledged]:
        return self._loop.create_future()

    def _settle(self, waiter: asyncio.Future[Acknowledged], verdict: Verdict) -> None:
        if waiter.done():
            return  # cancelled a moment ago
        if isinstance(verdict, Acknowledged):
            waiter.set_result(verdict)
        else:
            waiter.set_exception(verdict_error(verdict))

    async def _within(self, seconds: float, work: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(seconds if seconds < math.inf else None):  # uvloop has no such timers
                await work
        except TimeoutError:
            return False
        return True

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(function)

    def _soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop(self) -> None:
        self._no_timer()
        for task in self._tasks:
            task.cancel()

    async def _all_ended(self) -> None:
        others = self._tasks - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)


connect = User
"""A user, to be entered or awaited; what it takes is said at `BaseUser`."""


class _Link(Link, asyncio.Protocol):
    """One connection."""

    _user: User

    def __init__(self, user: User, request: OpenLink) -> None:
        super().__init__(user, request)
        self._transport: asyncio.Transport | None = None
        self._writable = True

    async def open(self, host: str, port: int) -> None:
        """Connect; the session hears how that went."""
        user = self._user
        options: dict[str, Any] = {"ssl": user._tls}
        if user._tls is not None:
            options["server_hostname"] = user._server_hostname or host
        try:
            if user._proxy is None:
                options |= {"host": host, "port": port}
            else:
                options["sock"] = await connect_asyncio(user._proxy, host, port)
            await user._loop.create_connection(lambda: self, **options)
        except (OSError, ValueError) as error:  # of the network, of names, of certificates
            self.lost(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one
        if self._given_up:
            self._transport.abort()
        else:
            self.connected()

    def data_received(self, data: bytes) -> None:
        self.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost(exc)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._user._flush()

    def flush(self) -> None:
        """Write what waits, as far as the transport takes it."""
        transport = self._transport
        while self._writable and transport is not None and (data := self.data_to_send()):
            transport.write(data)

    def close(self) -> None:
        """Give it up; what the session still had to say was written before."""
        last_words = self.give_up()
        if self._transport is not None:
            if last_words and self._writable:
                self._transport.write(last_words)
            self._transport.abort()
