"""MIMC on trio: `connect` gives a `User`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Self

try:
    import trio
except ImportError as error:
    raise ImportError("the adapter on trio needs trio: pip install 'mimc-proto[trio]'") from error

from mimc_proto.session import Acknowledged, CloseLink, Failed, OpenLink, Rejected, Verdict

from ._async_user import AsyncUser
from ._link import Link
from ._proxy import connect_trio
from ._shared import TokenSource, verdict_error

__all__ = ["TokenSource", "User", "connect"]

PIECE = 65536
LINGER = 0.1
"""Seconds for the last words of WebSocket, of which nothing depends."""


class User(AsyncUser):
    """A `BaseUser` on trio, to be entered: ``async with connect(...) as user``. What it runs lives in that block.

    Asking for the next message says that the one before is consumed. One task iterates, any may send.
    """

    _event = trio.Event
    _open_tcp_stream: Any = staticmethod(trio.open_tcp_stream)
    _manager: contextlib.AbstractAsyncContextManager[trio.Nursery, bool | None]
    _nursery: trio.Nursery

    async def __aenter__(self) -> Self:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        self._start(self._handle_timers())
        try:
            await self._login()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            await super().__aexit__(kind, *rest)
        finally:
            await self._end()

    async def _end(self) -> None:
        """Leave the nursery. What left the block is none of its business, so it is not wrapped in a group."""
        self.abort()
        self._nursery.cancel_scope.shield = True  # all that is in it is cancelled, and waited for
        self._nursery.cancel_scope.cancel()
        await self._manager.__aexit__(None, None, None)

    # ------------------------------------------------------------------------------------------- writing and timers

    def _prepare(self) -> Callable[[], float]:
        self._prepare_waiting()
        self._link: _Link | None = None
        self._scopes: set[trio.CancelScope] = set()
        self._stopped = False
        self._timer_at = math.inf
        self._alarm = trio.CancelScope()
        return trio.current_time

    def _flush_soon(self) -> None:
        self._flush()  # the writer runs after whoever is running now

    def _flush(self) -> None:
        if self._link is not None:
            self._link.wake()
        self._set_alarm()

    def _set_alarm(self) -> None:
        when = self._session.get_timer()
        if when is not None and when < self._timer_at:
            self._timer_at = when
            self._alarm.deadline = when

    async def _handle_timers(self) -> None:
        """Call `ClientSession.handle_timer` in time. An alarm that comes early looks again."""
        while True:
            self._timer_at = math.inf
            self._alarm = trio.CancelScope()
            self._set_alarm()
            with self._alarm:
                await trio.sleep_forever()
            await trio.lowlevel.checkpoint()  # after a stall bytes that wait are fed before
            self._session.handle_timer(self._now())
            self._pump()

    # --------------------------------------------------------------------------------------------------- connections

    def _open_link(self, request: OpenLink) -> None:
        self._link = _Link(self, request)
        self._start(self._link.run(request))

    def _close_link(self, request: CloseLink) -> None:
        if self._link is not None and self._link.link_id == request.link_id:
            self._link.close()
            self._link = None

    # -------------------------------------------------------------------------------------------- waiting and tasks

    def _new_waiter(self) -> _Waiter:
        return _Waiter()

    def _settle(self, waiter: _Waiter, verdict: Verdict) -> None:
        waiter.settle(verdict)

    async def _within(self, seconds: float, work: Awaitable[None]) -> bool:
        with trio.move_on_after(seconds) as scope:
            await work
        return not scope.cancelled_caught

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)

    def _soon(self, callback: Callable[[], None]) -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(callback)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._nursery.start_soon(self._run, work)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        with trio.CancelScope() as scope:  # the nursery's own is around the user's block as well
            self._scopes.add(scope)
            if self._stopped:
                scope.cancel()
            try:
                await work
            finally:
                self._scopes.discard(scope)

    def _stop(self) -> None:
        self._stopped = True
        for scope in self._scopes:
            scope.cancel()

    async def _all_ended(self) -> None:
        """The block's end waits for that."""


connect = User
"""A user, to be entered; what it takes is said at `BaseUser`."""


class _Waiter:
    """Where a verdict arrives: awaiting it gives the acknowledgement, or raises what came instead."""

    __slots__ = ("_event", "_verdict")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._verdict: Verdict | None = None

    def settle(self, verdict: Verdict) -> None:
        """It is here."""
        self._verdict = verdict
        self._event.set()

    def __await__(self) -> Generator[Any, None, Acknowledged]:
        yield from self._event.wait().__await__()
        verdict = self._verdict
        if isinstance(verdict, (Rejected, Failed)):
            raise verdict_error(verdict)
        assert verdict is not None  # it was set
        return verdict


class _Link(Link):
    """One connection: a task that reads, and one that writes."""

    _user: User

    def __init__(self, user: User, request: OpenLink) -> None:
        super().__init__(user, request)
        self._scope = trio.CancelScope()
        self._work = trio.Event()
        self._last_words = b""

    async def run(self, request: OpenLink) -> None:
        """From the connecting to the end; the session hears how that went."""
        with self._scope:
            try:
                stream = await self._connect(request)
            except (OSError, ValueError) as error:  # of the network, of names, of certificates, of a proxy
                self.lost(error)
                return
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, stream)
                    self.connected()
                    await self._read(stream)
                    nursery.cancel_scope.cancel()
            finally:
                if self._last_words:
                    with trio.move_on_after(LINGER, shield=True), contextlib.suppress(trio.BrokenResourceError):
                        await stream.send_all(self._last_words)
                await trio.aclose_forcefully(stream)

    async def _connect(self, request: OpenLink) -> trio.abc.Stream:
        user = self._user
        host, port = request.host, request.port
        if user._proxy is not None:
            stream: trio.abc.Stream = trio.SocketStream(await connect_trio(user._proxy, host, port))
        else:
            stream = await user._open_tcp_stream(host, port)
        if user._tls is None:
            return stream
        name = user._server_hostname or host
        secure = trio.SSLStream(stream, user._tls, server_hostname=name, https_compatible=True)
        try:
            await secure.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(stream)
            if isinstance(error, trio.BrokenResourceError):
                raise OSError(str(error.__cause__ or error)) from error
            raise
        return secure

    async def _read(self, stream: trio.abc.Stream) -> None:
        while not self._given_up:
            try:
                data = bytes(await stream.receive_some(PIECE))
            except trio.BrokenResourceError as error:
                self.lost(error.__cause__ or error)
                return
            self.received(data)
            if not data:
                return

    async def _write(self, stream: trio.abc.Stream) -> None:
        """The only one that writes: whoever sends is cancelled without tearing a frame."""
        while True:
            data = self.data_to_send()
            if not data:
                self._user._set_alarm()  # taking may have started a deadline
                await self._work.wait()
                self._work = trio.Event()
                continue
            try:
                await stream.send_all(data)
            except trio.BrokenResourceError:
                return  # the reader hears of it, after what came before

    def wake(self) -> None:
        """There may be something to write."""
        self._work.set()

    def close(self) -> None:
        """Give it up; what the session still had to say was handed over before."""
        self._last_words = self.give_up()
        self._scope.cancel()
