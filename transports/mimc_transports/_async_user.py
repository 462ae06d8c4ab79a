"""What a user does by waiting, on any async library: `AsyncUser`, given a few things that the library has."""

from __future__ import annotations

import abc
import functools
import inspect
import warnings
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol, Self, Unpack

from mimc_proto import LocalProtocolError
from mimc_proto.errors import QueueFull
from mimc_proto.session import Acknowledged, Ended, FetchToken, Resolve, SessionEvent

from ._providers import fetch_resolver_async
from ._shared import REFUSED, AnyMessage, OnlineOptions, SendOptions, Token, ended_error, login_error
from ._user import MOST_EVENTS, BaseUser, Handler

__all__ = ["AsyncUser", "Event"]


class Event(Protocol):
    """`asyncio.Event` and `trio.Event` are such."""

    def set(self) -> object:
        """Wake all who wait."""

    async def wait(self) -> object:
        """Until it is set."""


class AsyncUser(BaseUser):
    """A `BaseUser` whose methods are awaited. All of them are for the loop it was made on."""

    _event: Callable[[], Event]

    def _prepare_waiting(self) -> None:
        """What `_prepare` does first."""
        self._changed, self._room = self._event(), self._event()
        self._entered = self._iterating = False

    # ------------------------------------------------------------------------------------------------------- lifetime

    async def __aenter__(self) -> Self:
        await self._login()
        return self

    def __del__(self) -> None:
        if getattr(self, "_entered", False) and self._session.ended is None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.abort()
        else:
            await self.logout(drain=self._close_timeout)
        if self._error is not None and kind is None:
            raise self._error

    async def _login(self) -> None:
        self._check_alive()
        self._entered = True
        try:
            self._session.connect(self._now())
            self._pump()
            in_time = await self._within(self._login_timeout, self._online_or_ended())
        except BaseException:
            self.abort()
            raise
        if not in_time:
            self.abort()
            raise login_error(None, self._login_timeout, self._problem)
        if self._session.ended is not None:
            raise login_error(self._session.ended, self._login_timeout, "")
        if self._message_handler is not None:
            self._start(self._handle_messages(self._message_handler))

    async def _online_or_ended(self) -> None:
        while not self._session.online and self._session.ended is None:
            await self._changed.wait()

    async def logout(self, *, drain: float = 0.0) -> None:
        """Log out and wait until that is done; for up to ``drain`` seconds first for the verdicts of what was sent."""
        try:
            self._session.logout(self._now(), drain)
            self._pump()
            while self._session.ended is None:
                await self._changed.wait()
        finally:
            self.abort()
        await self._all_ended()

    async def wait_online(self) -> None:
        """Wait until the user is logged in. Raises `SessionEnded` if that will not happen any more."""
        while not self._session.online:
            self._check_alive()
            await self._changed.wait()

    # ---------------------------------------------------------------------------------------------------------- sending

    async def send(self, account: str, payload: bytes, **options: Unpack[SendOptions]) -> Acknowledged:
        """Send a message to a user and wait for the server's acknowledgement.

        Options: ``biz_type``, ``is_store``, ``packet_id``, ``timeout`` (seconds), as in `ClientSession.send`. Waits
        for room when too many sends wait already. Raises `SendRejected`, `SendTimeout`, `SendFailed`, `SessionEnded`.
        Cancelling withdraws the message if it is still queued.
        """
        return await self._sent(self._session.send, account, payload, options)

    async def send_group(self, group_id: int, payload: bytes, **options: Unpack[SendOptions]) -> Acknowledged:
        """Send a message to a normal group; otherwise like `send`."""
        return await self._sent(self._session.send_group, group_id, payload, options)

    async def send_online(self, account: str, payload: bytes, **options: Unpack[OnlineOptions]) -> Acknowledged:
        """Send a message to whoever of a user's resources is online, and wait until one of them has it."""
        return await self._sent(self._session.send_online, account, payload, options)

    async def send_unlimited(self, group_id: int, payload: bytes, **options: Unpack[SendOptions]) -> Acknowledged:
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

    async def wait_room(self, size: int = 0) -> None:
        """Wait until a payload of ``size`` bytes can be sent."""
        while not self._session.room_for(size):
            self._check_alive()
            self._room_wanted = True
            await self._room.wait()

    async def _sent(
        self, queue: Callable[..., str], target: str | int, payload: bytes, options: SendOptions | OnlineOptions
    ) -> Acknowledged:
        self._check_alive()
        deadline = self._deadline(options)
        while True:
            try:
                packet_id = queue(target, payload, now=self._now(), **options)
                break
            except QueueFull:
                if self._session.room_for(len(payload)):
                    raise  # it is not the number of sends
                await self._within(deadline - self._now(), self.wait_room(len(payload)))
                self._shorten(options, deadline)
            except LocalProtocolError as error:
                raise self._send_error(error) from None
        waiter = self._unsettled[packet_id] = self._new_waiter()
        if not self._flush_due:
            self._flush_soon()
        try:
            return await waiter
        finally:
            if packet_id in self._unsettled:  # cancelled
                del self._unsettled[packet_id]
                self._session.withdraw(packet_id, self._now())
                self._pump()

    # -------------------------------------------------------------------------------------------------------- receiving

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyMessage:
        if self._message_handler is not None:
            raise LocalProtocolError("expected one consumer: messages go to on_message", where="receive")
        if not self._iterating:
            inflow = self._inflow
            inflow.finish()
            if inflow:  # what is there already needs no second coroutine
                return inflow.next()
        return await self._next_message()

    async def receive(self) -> AnyMessage:
        """The next message; asking for it says that the one before is consumed. Raises `SessionEnded`."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            assert self._session.ended is not None  # or there would be a message
            raise ended_error(self._session.ended) from None

    async def _next_message(self) -> AnyMessage:
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
                await self._changed.wait()
            return inflow.next()
        finally:
            self._iterating = False

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
                await self._changed.wait()
        finally:
            self._listeners = [other for other in self._listeners if other is not events]

    async def _handle_messages(self, handler: Handler) -> None:
        """The one consumer when there is a handler."""
        try:
            while True:
                message = await self._next_message()
                try:
                    result = handler(message)
                    if inspect.isawaitable(result):
                        await result
                except Exception as error:
                    if not self._forgiven(error):
                        raise
        except StopAsyncIteration:
            return
        except Exception as error:
            self._fail(error)

    # ---------------------------------------------------------------------------------------------- tokens, addresses

    def _fetch_token(self, request: FetchToken) -> None:
        self._start(self._answer(self._token_answer, self._token_fetched, request.request_id))

    def _resolve(self, request: Resolve) -> None:
        ask = functools.partial(fetch_resolver_async, request.url)
        self._start(self._answer(ask, self._session.resolved, request.request_id))

    async def _answer(
        self, work: Callable[[], Awaitable[Token]], answer: Callable[[int, Any, float], None], request_id: int
    ) -> None:
        got: Token | Exception
        try:
            got = await work()  # made here: a task that is cancelled before it begins would never await it
        except Exception as error:  # whatever the application's function raises
            got = error
        answer(request_id, got, self._now())
        self._pump()

    async def _token_answer(self) -> Token:
        source = self._token
        if hasattr(source, "fetch_async"):
            return await source.fetch_async()
        if not callable(source):
            return source
        # A function that is no coroutine function may block, so it gets a thread; what it returns may be awaitable.
        got = source() if inspect.iscoroutinefunction(source) else await self._in_thread(source)
        answer: Token = await got if inspect.isawaitable(got) else got
        return answer

    # ------------------------------------------------------------------------------------------------ what differs

    def _wake(self) -> None:
        self._changed.set()
        self._changed = self._event()

    def _wake_for_room(self) -> None:
        self._room.set()
        self._room = self._event()

    @abc.abstractmethod
    async def _within(self, seconds: float, work: Awaitable[None]) -> bool:
        """Whether that was done in time."""

    @abc.abstractmethod
    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        """Call a function that may block."""

    @abc.abstractmethod
    def _new_waiter(self) -> Awaitable[Acknowledged]:
        """What a verdict is waited for with: `_settle` gives it the verdict, or the error that it is."""

    @abc.abstractmethod
    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside everything else, until it or the user ends."""

    @abc.abstractmethod
    async def _all_ended(self) -> None:
        """Wait until nothing runs any more."""
