"""MIMC on asyncio (and uvloop): `connect` gives a `User`."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import ssl as _ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from random import SystemRandom
from typing import Any, Literal, Self

from mimc_proto import LocalProtocolError, SessionConfig, Trace
from mimc_proto.errors import QueueFull
from mimc_proto.session import (
    Acknowledged,
    Address,
    ClientSession,
    Ended,
    MessagesDelivered,
    Offline,
    Online,
    SessionEvent,
    TooManyWaiting,
    Verdict,
)
from mimc_proto.session import Message as Message  # what handlers get

from ._asyncio_driver import Driver, TokenSource
from ._shared import REFUSED, AnyMessage, Inflow, ended_error, login_error, problem_of

__all__ = ["TokenSource", "User", "connect"]

LOGIN_TIMEOUT = 30.0
CLOSE_TIMEOUT = 5.0
MOST_EVENTS = 8192
"""Events that a slow reader of `User.events` may leave unread; then the oldest are dropped."""

_log = logging.getLogger("mimc.asyncio")


Handler = Callable[[Any], object]


def connect(
    app_id: int,
    account: str,
    token: TokenSource,
    *,
    resource: str | None = None,
    addresses: Iterable[Address] = (),
    resolver: str | None = None,
    ssl: _ssl.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    joined_groups: Iterable[int] = (),
    login_timeout: float = LOGIN_TIMEOUT,
    close_timeout: float = CLOSE_TIMEOUT,
    auto_acknowledge: bool = True,
    on_message: Handler | None = None,
    on_verdict: Handler | None = None,
    on_status: Handler | None = None,
    on_handler_error: Literal["close", "ack"] = "close",
    config: SessionConfig | None = None,
    trace: Trace | None = None,
) -> User:
    """A user, to be entered (``async with connect(...) as user``) or awaited: online when that returns.

    ``token`` gives token answers: a function (run in a thread), a coroutine function, a provider, or one answer.
    ``addresses`` are frontends as (host, port); without any the resolver is asked, which needs the extra ``[http]``.
    ``ssl`` is True or a context; certificates are checked against ``server_hostname`` or the address. Leaving the
    block normally logs out, waiting up to ``close_timeout`` seconds for what was sent; leaving it by an exception
    closes at once.

    Messages are iterated over, or given to ``on_message``; a handler may be a coroutine function. ``on_verdict`` gets
    the verdicts of `User.send_nowait`, ``on_status`` gets `Online`, `Offline` and `Ended`. An ``on_message`` that
    raises ends the user with that error, and its message comes again at the next login; with
    ``on_handler_error="ack"`` that is logged, and the message counts as consumed.

    Entering raises `LoginError` at a refusal that is not about the token, `LoginTimeout` when nobody is online after
    ``login_timeout`` seconds.
    """
    return User(
        app_id,
        account,
        token,
        {
            "resource": resource,
            "addresses": tuple(addresses),
            "joined_groups": tuple(joined_groups),
            "config": config,
            "trace": trace,
            **({} if resolver is None else {"resolver": resolver}),
        },
        (_ssl.create_default_context() if ssl is True else ssl or None, server_hostname),
        (login_timeout, close_timeout),
        auto_acknowledge,
        (on_message, on_verdict, on_status),
        on_handler_error,
    )


class User(Driver):
    """A user who is logged in, and again after every interruption; made by `connect`.

    Iterating gives messages; asking for the next one says that the one before is consumed. One task iterates, any
    may send. All methods are for the task's own loop.
    """

    def __init__(
        self,
        app_id: int,
        account: str,
        token: TokenSource,
        options: dict[str, Any],
        tls: tuple[_ssl.SSLContext | None, str | None],
        timeouts: tuple[float, float],
        auto_acknowledge: bool,
        handlers: tuple[Handler | None, Handler | None, Handler | None],
        on_handler_error: str,
    ) -> None:
        now = asyncio.get_running_loop().time()
        super().__init__(ClientSession(app_id, account, rng=SystemRandom(), now=now, **options), token, *tls)
        self._login_timeout, self._close_timeout = timeouts
        self._message_handler, self._verdict_handler, self._status_handler = handlers
        self._on_handler_error = on_handler_error
        self._inflow = Inflow(self._consumed, self._skipped, automatic=auto_acknowledge)
        self._listeners: list[deque[SessionEvent]] = []
        self._status: Online | Offline | Ended = Offline()
        self._iterating = False
        self._problem = ""
        self._error: BaseException | None = None

    # ------------------------------------------------------------------------------------------------------- lifetime

    async def __aenter__(self) -> Self:
        try:
            self._session.connect(self._now())
            self._pump()
            async with asyncio.timeout(self._login_timeout):
                while not self._session.online and self._session.ended is None:
                    await self._change()
        except TimeoutError:
            self.abort()
            raise login_error(None, self._login_timeout, self._problem) from None
        except BaseException:
            self.abort()
            raise
        if self._session.ended is not None:
            raise login_error(self._session.ended, self._login_timeout, "")
        if self._message_handler is not None:
            self._start(self._handle_messages(self._message_handler))
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.abort()
        else:
            await self.logout(drain=self._close_timeout)
        if self._error is not None and kind is None:
            raise self._error

    async def logout(self, *, drain: float = 0.0) -> None:
        """Log out and wait until that is done; for up to ``drain`` seconds first for the verdicts of what was sent."""
        try:
            self._session.logout(self._now(), drain)
            self._pump()
            while self._session.ended is None:
                await self._change()
        finally:
            self.abort()
        others = self._tasks - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)

    def abort(self) -> None:
        """End everything at once, without a word to the server: what is under way fails. Never waits."""
        self._session.close(self._now())
        self._stop()

    @property
    def session(self) -> ClientSession:
        """The state machine underneath, to look at."""
        return self._session

    @property
    def online(self) -> bool:
        """Whether the user is logged in now."""
        return self._session.online

    @property
    def status(self) -> Online | Offline | Ended:
        """Logged in, not (any more), or ended."""
        return self._status

    async def wait_online(self) -> None:
        """Wait until the user is logged in. Raises `SessionEnded` if that will not happen any more."""
        while not self._session.online:
            self._check_alive()
            await self._change()

    # ---------------------------------------------------------------------------------------------------------- sending

    async def send(self, account: str, payload: bytes, **options: Any) -> Acknowledged:
        """Send a message to a user and wait for the server's acknowledgement.

        Options: ``biz_type``, ``is_store``, ``packet_id``, ``timeout`` (seconds), as in `ClientSession.send`. Waits
        for room when too many sends wait already. Raises `SendRejected`, `SendTimeout`, `SendFailed`. Cancelling
        withdraws the message if it is still queued.
        """
        return await self._sent(self._session.send, account, payload, options)

    async def send_group(self, group_id: int, payload: bytes, **options: Any) -> Acknowledged:
        """Send a message to a normal group; otherwise like `send`."""
        return await self._sent(self._session.send_group, group_id, payload, options)

    async def send_online(self, account: str, payload: bytes, **options: Any) -> Acknowledged:
        """Send a message to whoever of a user's resources is online, and wait until one of them has it."""
        return await self._sent(self._session.send_online, account, payload, options)

    async def send_unlimited(self, group_id: int, payload: bytes, **options: Any) -> Acknowledged:
        """Send a message to an unlimited group; otherwise like `send`."""
        return await self._sent(self._session.send_unlimited, group_id, payload, options)

    async def join_unlimited(self, group_id: int, *, timeout: float | None = None) -> Acknowledged:
        """Join an unlimited group, also for all later logins of this user object."""
        join = self._session.join_unlimited
        return await self._sent(lambda group, _, **more: join(group, **more), group_id, b"", {"timeout": timeout})

    async def quit_unlimited(self, group_id: int, *, timeout: float | None = None) -> Acknowledged:
        """Leave an unlimited group."""
        leave = self._session.quit_unlimited
        return await self._sent(lambda group, _, **more: leave(group, **more), group_id, b"", {"timeout": timeout})

    def send_nowait(self, account: str, payload: bytes, **options: Any) -> str:
        """Queue a message to a user; its verdict comes to ``on_verdict`` and `events`. Returns its packet id.

        Raises `QueueFull` when too many sends wait for their verdict: `wait_room`.
        """
        packet_id = self._session.send(account, payload, now=self._now(), **options)
        if not self._flush_due:
            self._flush_soon()
        return packet_id

    def send_group_nowait(self, group_id: int, payload: bytes, **options: Any) -> str:
        """Queue a message to a normal group; otherwise like `send_nowait`."""
        packet_id = self._session.send_group(group_id, payload, now=self._now(), **options)
        self._flush_soon()
        return packet_id

    async def wait_room(self, size: int = 0) -> None:
        """Wait until a payload of ``size`` bytes can be sent."""
        while not self._session.room_for(size):
            self._check_alive()
            await self._waiter(self._room)

    async def _sent(
        self, queue: Callable[..., str], target: str | int, payload: bytes, options: dict[str, Any]
    ) -> Acknowledged:
        self._check_alive()
        while True:
            try:
                packet_id = queue(target, payload, now=self._now(), **options)
                break
            except QueueFull:
                if self._session.room_for(len(payload)):
                    raise  # it is not the number of sends
                await self.wait_room(len(payload))
        verdict = self._unsettled[packet_id] = self._loop.create_future()
        if not self._flush_due:
            self._flush_soon()
        try:
            acknowledged: Acknowledged = await verdict
            return acknowledged
        except asyncio.CancelledError:
            if self._unsettled.pop(packet_id, None) is not None:
                self._session.withdraw(packet_id, self._now())
                self._pump()
            raise

    # -------------------------------------------------------------------------------------------------------- receiving

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyMessage:
        if self._iterating:
            raise LocalProtocolError("expected one consumer at a time; another task is waiting for messages already")
        inflow = self._inflow
        inflow.finish()
        self._iterating = True
        try:
            while not inflow:
                ended = self._session.ended
                if ended is not None:
                    if ended.reason in REFUSED:
                        raise ended_error(ended)
                    raise StopAsyncIteration
                await self._change()
            return inflow.next()
        finally:
            self._iterating = False

    def acknowledge(self, message: AnyMessage) -> None:
        """With ``auto_acknowledge=False``: this message is consumed. Its list is acknowledged when all of it is."""
        self._inflow.acknowledge(message)

    def skip(self, notice: TooManyWaiting) -> None:
        """Do without all that a limit notice speaks of; not answered, it is pulled."""
        self._inflow.skip(notice)

    def pull(self) -> None:
        """Ask the server for what waits; it pushes that by itself after a login."""
        self._session.pull(self._now())
        self._flush_soon()

    async def events(self) -> AsyncIterator[SessionEvent]:
        """Everything but messages, from now on: verdicts of `send_nowait`, `Online`, `Offline`, `LinkLost`, ...

        Ends after `Ended`. Of more than 8 192 unread events the oldest are dropped.
        """
        events: deque[SessionEvent] = deque(maxlen=MOST_EVENTS)
        self._listeners.append(events)
        try:
            while True:
                while events:
                    event = events.popleft()
                    yield event
                    if isinstance(event, Ended):
                        return
                if self._session.ended is not None:
                    return
                await self._change()
        finally:
            self._listeners = [other for other in self._listeners if other is not events]

    def _consumed(self, receipt: int) -> None:
        self._session.consumed(receipt, self._now())
        self._flush_soon()

    def _skipped(self, receipt: int) -> None:
        self._session.skip(receipt, self._now())
        self._flush_soon()

    async def _handle_messages(self, handler: Handler) -> None:
        """The one consumer when there is a handler."""
        with contextlib.suppress(asyncio.CancelledError):
            try:
                async for message in self:
                    await self._handle(handler, message)
            except Exception as error:
                self._fail(error)

    async def _handle(self, handler: Handler, message: AnyMessage) -> None:
        try:
            result = handler(message)
            if inspect.isawaitable(result):
                await result
        except Exception:
            if self._on_handler_error != "ack":
                raise
            _log.exception("the handler of a message failed; the message counts as consumed")

    # ----------------------------------------------------------------------------------------------------- for Driver

    def _on_verdict(self, verdict: Verdict) -> None:
        self._call(self._verdict_handler, verdict)
        if self._listeners:
            self._tell(verdict)
            self._wake(self._changes)

    def _on_event(self, event: SessionEvent) -> None:
        if isinstance(event, (MessagesDelivered, TooManyWaiting)):
            self._inflow.add(event)
            return
        self._problem = problem_of(event) or self._problem
        if isinstance(event, (Online, Offline, Ended)):
            self._status = event
            self._call(self._status_handler, event)
        self._tell(event)

    def _call(self, handler: Handler | None, event: SessionEvent) -> None:
        if handler is None:
            return
        try:
            handler(event)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """A handler raised: the user ends with that error, once the events of this turn are handed out."""
        self._error = self._error or error
        self._loop.call_soon(self.abort)

    def _tell(self, event: SessionEvent) -> None:
        for listener in self._listeners:
            listener.append(event)

    def _check_alive(self) -> None:
        if self._session.ended is not None:
            raise ended_error(self._session.ended)
