"""MIMC for programs that block: `connect` gives a `User` that any thread may use."""

from __future__ import annotations

import inspect
import math
import socket
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Self

from mimc_proto import LocalProtocolError
from mimc_proto.errors import QueueFull
from mimc_proto.session import (
    Acknowledged,
    CloseLink,
    Ended,
    Failed,
    FetchToken,
    OpenLink,
    Rejected,
    Resolve,
    SessionEvent,
    TooManyWaiting,
    Verdict,
)

from ._blocking_io import IoThread, SocketLink
from ._providers import fetch_resolver
from ._shared import REFUSED, AnyMessage, Token, TokenSource, ended_error, login_error, verdict_error
from ._user import MOST_EVENTS, BaseUser, Handler

__all__ = ["TokenSource", "User", "connect"]


class User(BaseUser):
    """A `BaseUser` for programs that block, to be entered: ``with connect(...) as user``, or ended with `logout`.

    Any thread may send, iterate (one at a time) and end it. A thread of its own reads, another one runs handlers; the
    sender writes. Asking for the next message says that the one before is consumed. A ``token`` function and the
    resolver are called in a thread of their own as well.
    """

    _monotonic: Any = staticmethod(time.monotonic)
    _getaddrinfo: Any = staticmethod(socket.getaddrinfo)
    _socket: Any = staticmethod(socket.socket)

    _io: IoThread
    """Once it is entered."""
    _handlers: threading.Thread | None
    _iterating: int
    """The thread that waits for a message, 0 for none."""

    # ------------------------------------------------------------------------------------------------------- lifetime

    def __enter__(self) -> Self:
        with self._lock:
            self._session.connect(self._now())
            self._io = IoThread(self)
            self._entered = True
            self._io.thread.start()
            self._pump()
        try:
            if not self._wait(lambda: self.online or self._session.ended is not None, self._login_timeout):
                raise login_error(None, self._login_timeout, self._problem)
            if self._session.ended is not None:
                raise login_error(self._session.ended, self._login_timeout, "")
        except BaseException:
            self._close()
            raise
        if self._message_handler or self._verdict_handler or self._status_handler:
            self._handlers = threading.Thread(target=self._run_handlers, name="mimc handlers", daemon=True)
            self._handlers.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._close()
        else:
            self.logout(drain=self._close_timeout)
        if self._error is not None and kind is None:
            raise self._error

    def logout(self, *, drain: float = 0.0) -> None:
        """Log out and wait until that is done; for up to ``drain`` seconds first for the verdicts of what was sent."""
        try:
            with self._lock:
                self._session.logout(self._now(), drain)
                self._pump()
            self._wait(lambda: self._session.ended is not None, None)
        finally:
            self._close()

    def abort(self) -> None:
        """End everything at once, without a word to the server: what is under way fails. Never waits."""
        with self._lock:
            super().abort()

    def _close(self) -> None:
        """Abort, and wait until nothing runs any more."""
        self.abort()
        for thread in (self._io.thread if self._entered else None, self._handlers):
            if thread is not None and thread is not threading.current_thread():
                thread.join()

    def __del__(self) -> None:
        io: IoThread | None = getattr(self, "_io", None)
        if io is not None and self._session.ended is None:
            warnings.warn(f"{self!r} was not closed", ResourceWarning, stacklevel=2, source=self)
            if self._link is not None:
                self._link.close()
            io.stop()

    def wait_online(self, *, timeout: float | None = None) -> None:
        """Wait until the user is logged in. Raises `SessionEnded` if that will not happen any more, `TimeoutError`."""

        def online() -> bool:
            if not self._session.online:
                self._check_alive()
            return self._session.online

        if not self._wait(online, timeout):
            raise TimeoutError(f"not online within {timeout:g} s")

    # ---------------------------------------------------------------------------------------------------------- sending

    def send(self, account: str, payload: bytes, **options: Any) -> Acknowledged:
        """Send a message to a user and wait for the server's acknowledgement.

        Options: ``biz_type``, ``is_store``, ``packet_id``, ``timeout`` (seconds), as in `ClientSession.send`. Waits
        for room when too many sends wait already. Raises `SendRejected`, `SendTimeout`, `SendFailed`.
        """
        return self._sent(self._session.send, account, payload, options)

    def send_group(self, group_id: int, payload: bytes, **options: Any) -> Acknowledged:
        """Send a message to a normal group; otherwise like `send`."""
        return self._sent(self._session.send_group, group_id, payload, options)

    def send_online(self, account: str, payload: bytes, **options: Any) -> Acknowledged:
        """Send a message to whoever of a user's resources is online, and wait until one of them has it."""
        return self._sent(self._session.send_online, account, payload, options)

    def send_unlimited(self, group_id: int, payload: bytes, **options: Any) -> Acknowledged:
        """Send a message to an unlimited group; otherwise like `send`."""
        return self._sent(self._session.send_unlimited, group_id, payload, options)

    def join_unlimited(self, group_id: int, *, timeout: float | None = None) -> Acknowledged:
        """Join an unlimited group, also for all later logins of this user object."""
        join = self._session.join_unlimited
        return self._sent(lambda group, _, **more: join(group, **more), group_id, b"", {"timeout": timeout})

    def quit_unlimited(self, group_id: int, *, timeout: float | None = None) -> Acknowledged:
        """Leave an unlimited group."""
        leave = self._session.quit_unlimited
        return self._sent(lambda group, _, **more: leave(group, **more), group_id, b"", {"timeout": timeout})

    def send_nowait(self, account: str, payload: bytes, **options: Any) -> str:
        with self._lock:
            if len(self._calls) >= MOST_EVENTS:
                raise QueueFull(f"{MOST_EVENTS} verdicts and states wait for slow handlers", where="send_nowait")
            return super().send_nowait(account, payload, **options)

    def send_group_nowait(self, group_id: int, payload: bytes, **options: Any) -> str:
        with self._lock:
            if len(self._calls) >= MOST_EVENTS:
                raise QueueFull(f"{MOST_EVENTS} verdicts and states wait for slow handlers", where="send_group_nowait")
            return super().send_group_nowait(group_id, payload, **options)

    def wait_room(self, size: int = 0, *, timeout: float | None = None) -> None:
        """Wait until a payload of ``size`` bytes can be sent. Raises `TimeoutError`."""

        def room() -> bool:
            if not self._session.room_for(size):
                self._check_alive()
                self._room_wanted = True
                return False
            return True

        if not self._wait(room, timeout):
            raise TimeoutError(f"no room for {size} bytes within {timeout:g} s")

    def _sent(
        self, queue: Callable[..., str], target: str | int, payload: bytes, options: dict[str, Any]
    ) -> Acknowledged:
        waiter = _Waiter()
        while True:
            try:
                with self._lock:
                    self._check_alive()
                    packet_id = queue(target, payload, now=self._now(), **options)
                    self._unsettled[packet_id] = waiter
                    self._flush()
                break
            except QueueFull:
                if self._session.room_for(len(payload)):
                    raise  # it is not the number of sends
                self.wait_room(len(payload))
        try:
            return waiter.wait()
        finally:
            if waiter.verdict is None:  # interrupted
                with self._lock:
                    if self._unsettled.pop(packet_id, None) is not None:
                        self._session.withdraw(packet_id, self._now())
                        self._pump()

    # -------------------------------------------------------------------------------------------------------- receiving

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AnyMessage:
        message = self._next_message(None)
        if message is None:
            raise StopIteration
        return message

    def receive(self, *, timeout: float | None = None) -> AnyMessage:
        """The next message; asking for it says that the one before is consumed.

        Raises `SessionEnded`, and `TimeoutError` after ``timeout`` seconds.
        """
        message = self._next_message(timeout)
        if message is None:
            assert self._session.ended is not None  # or there would be one
            raise ended_error(self._session.ended)
        return message

    def _next_message(self, timeout: float | None) -> AnyMessage | None:
        """None when the session has ended as the application wanted it."""
        inflow = self._inflow
        with self._lock:
            me = threading.get_ident()
            if self._iterating not in (0, me):  # one that was interrupted may go on
                raise LocalProtocolError("expected one consumer at a time; another thread is waiting for messages")
            inflow.finish()
            try:
                self._iterating = me
                if not self._wait(lambda: bool(inflow) or self._session.ended is not None, timeout):
                    raise TimeoutError(f"no message within {timeout:g} s")
                if inflow:
                    return inflow.next()
                ended = self._session.ended
                if ended is not None and ended.reason in REFUSED:
                    raise ended_error(ended)
                return None
            finally:
                self._iterating = 0

    def acknowledge(self, message: AnyMessage) -> None:
        with self._lock:
            super().acknowledge(message)

    def skip(self, notice: TooManyWaiting) -> None:
        with self._lock:
            super().skip(notice)

    def pull(self) -> None:
        with self._lock:
            super().pull()

    def events(self) -> Iterator[SessionEvent]:
        """Everything but messages, from now on: verdicts of `send_nowait`, `Online`, `Offline`, `LinkLost`, ...

        Ends after `Ended`. Of more than 8 192 unread events the oldest are dropped.
        """
        events: deque[SessionEvent] = deque(maxlen=MOST_EVENTS)
        with self._lock:
            self._listeners.append(events)
        return self._events(events)

    def _events(self, events: deque[SessionEvent]) -> Iterator[SessionEvent]:
        try:
            while True:
                self._wait(lambda: bool(events) or self._session.ended is not None, None)
                if not events:
                    return
                event = events.popleft()
                yield event
                if isinstance(event, Ended):
                    return
        finally:
            with self._lock:
                self._listeners = [other for other in self._listeners if other is not events]

    # -------------------------------------------------------------------------------------------------------- handlers

    def _call(self, handler: Handler | None, event: SessionEvent) -> None:
        if handler is not None:
            self._calls.append((handler, event))
            self._wake()

    def _run_handlers(self) -> None:
        """Call handlers one after the other, until the user has ended and all are called."""
        while (call := self._next_call()) is not None:
            handler, argument, is_message = call
            try:
                handler(argument)
            except Exception as error:
                if not (is_message and self._forgiven(error)):
                    self._fail(error)
                    return

    def _next_call(self) -> tuple[Handler, Any, bool] | None:
        handler, inflow = self._message_handler, self._inflow
        with self._lock:
            inflow.finish()
            while True:
                if self._calls:
                    return (*self._calls.popleft(), False)
                if handler is not None and inflow and not self._stopped:
                    return handler, inflow.next(), True
                if self._session.ended is not None:
                    return None
                self._changed.wait()

    # ---------------------------------------------------------------------------------------------- tokens, addresses

    def _fetch_token(self, request: FetchToken) -> None:
        self._in_thread(self._token_answer, self._token_fetched, request.request_id)

    def _resolve(self, request: Resolve) -> None:
        self._in_thread(lambda: fetch_resolver(request.url), self._session.resolved, request.request_id)

    def _in_thread(self, work: Callable[[], Token], answer: Callable[[int, Any, float], None], request_id: int) -> None:
        def run() -> None:
            got: Token | Exception
            try:
                got = work()
            except Exception as error:  # whatever the application's function raises
                got = error
            with self._lock:
                answer(request_id, got, self._now())
                self._pump()

        threading.Thread(target=run, name="mimc request", daemon=True).start()

    def _token_answer(self) -> Token:
        source: Any = self._token
        if hasattr(source, "fetch"):
            source = source.fetch
        got = source() if callable(source) else source
        if inspect.isawaitable(got):
            if inspect.iscoroutine(got):
                got.close()
            raise LocalProtocolError("expected a function that returns a token answer, got one to await", where="token")
        answer: Token = got
        return answer

    # ------------------------------------------------------------------------------------------------ what differs

    def _prepare(self) -> Callable[[], float]:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._deadlines: list[float] = []
        self._link: SocketLink | None = None
        self._handlers = None
        self._calls: deque[tuple[Handler, SessionEvent]] = deque()
        self._entered = self._stopped = False
        self._iterating = 0
        clock: Callable[[], float] = self._monotonic
        return clock

    def _wait(self, done: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until it is done, looking after each event; whether that was in time."""
        with self._lock:
            deadline = math.inf if timeout is None else self._now() + timeout
            if timeout is not None:
                self._deadlines.append(deadline)
                self._look_by(deadline)
            try:
                while not done():
                    if self._now() >= deadline:
                        return False
                    self._changed.wait()
            finally:
                if deadline in self._deadlines:
                    self._deadlines.remove(deadline)
            return True

    def _next_deadline(self) -> float:
        """When something is due: the session's timer, or the end of somebody's patience."""
        when = self._session.get_timer()
        return min(self._deadlines, default=math.inf) if when is None else min([when, *self._deadlines])

    def _look_by(self, when: float) -> None:
        """Have the thread look again at that time at the latest."""
        if self._entered and when < self._io.sleeps_until:
            self._io.wake()

    def _on_time(self) -> None:
        """Do what is due."""
        now = self._now()
        when = self._session.get_timer()
        if when is not None and when <= now:
            self._session.handle_timer(now)
        self._pump()
        if any(deadline <= now for deadline in self._deadlines):
            self._deadlines = [deadline for deadline in self._deadlines if deadline > now]
            self._wake()

    def _open_link(self, request: OpenLink) -> None:
        self._link = SocketLink(self, request)
        timeout = self._config.connect_timeout
        work = (request.host, request.port, timeout)
        threading.Thread(target=self._link.look_up, args=work, name="mimc look-up", daemon=True).start()

    def _close_link(self, request: CloseLink) -> None:
        if self._link is not None and self._link.link_id == request.link_id:
            self._link.close()
            self._link = None

    def _flush(self) -> None:
        if self._link is not None:
            self._link.flush()
        when = self._session.get_timer()
        if when is not None:
            self._look_by(when)

    def _flush_soon(self) -> None:
        self._flush()

    def _settle(self, waiter: _Waiter, verdict: Verdict) -> None:
        waiter.settle(verdict)

    def _wake(self) -> None:
        self._changed.notify_all()

    def _wake_for_room(self) -> None:
        self._changed.notify_all()

    def _soon(self, callback: Callable[[], None]) -> None:
        callback()  # handlers do not run in the middle of anything

    def _stop(self) -> None:
        self._stopped = True
        self._wake()
        if self._entered:
            self._io.stop()


connect = User
"""A user, to be entered; what it takes is said at `BaseUser`."""


class _Waiter:
    """Where a verdict arrives."""

    __slots__ = ("_arrived", "verdict")

    def __init__(self) -> None:
        self._arrived = threading.Lock()
        self._arrived.acquire()
        self.verdict: Verdict | None = None

    def settle(self, verdict: Verdict) -> None:
        """It is here."""
        self.verdict = verdict
        self._arrived.release()

    def wait(self) -> Acknowledged:
        """Wait for it. Raises the error that it is."""
        with self._arrived:
            verdict = self.verdict
        if isinstance(verdict, (Rejected, Failed)):
            raise verdict_error(verdict)
        assert verdict is not None  # it was set
        return verdict
