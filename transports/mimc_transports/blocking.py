"""MIMC for programs that block: `connect` gives a `User` that any thread may use."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Self, Unpack

from mimc_proto import LocalProtocolError
from mimc_proto.errors import QueueFull
from mimc_proto.session import (
    Acknowledged,
    Ended,
    SessionEvent,
    TooManyWaiting,
)

from ._blocking_io import IoThread
from ._blocking_threads import ThreadUser, Waiter
from ._shared import REFUSED, AnyMessage, OnlineOptions, SendOptions, TokenSource, ended_error, login_error
from ._user import MOST_EVENTS

__all__ = ["TokenSource", "User", "connect"]


class User(ThreadUser):
    """A `BaseUser` for programs that block, to be entered: ``with connect(...) as user``, or ended with `logout`.

    Any thread may send, iterate (one at a time) and end it. A thread of its own reads, another one runs handlers; the
    sender writes. Asking for the next message says that the one before is consumed. A ``token`` function and the
    resolver are called in a thread of their own as well.
    """

    # ------------------------------------------------------------------------------------------------------- lifetime

    def __enter__(self) -> Self:
        with self._lock:
            self._check_alive()
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

    def send(self, account: str, payload: bytes, **options: Unpack[SendOptions]) -> Acknowledged:
        """Send a message to a user and wait for the server's acknowledgement.

        Options: ``biz_type``, ``is_store``, ``packet_id``, ``timeout`` (seconds), as in `ClientSession.send`. Waits
        for room when too many sends wait already. Raises `SendRejected`, `SendTimeout`, `SendFailed`,
        `SessionEnded`.
        """
        return self._sent(self._session.send, account, payload, options)

    def send_group(self, group_id: int, payload: bytes, **options: Unpack[SendOptions]) -> Acknowledged:
        """Send a message to a normal group; otherwise like `send`."""
        return self._sent(self._session.send_group, group_id, payload, options)

    def send_online(self, account: str, payload: bytes, **options: Unpack[OnlineOptions]) -> Acknowledged:
        """Send a message to whoever of a user's resources is online, and wait until one of them has it."""
        return self._sent(self._session.send_online, account, payload, options)

    def send_unlimited(self, group_id: int, payload: bytes, **options: Unpack[SendOptions]) -> Acknowledged:
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

    def send_nowait(self, account: str, payload: bytes, **options: Unpack[SendOptions]) -> str:
        with self._lock:
            if len(self._calls) >= MOST_EVENTS:
                raise QueueFull(f"{MOST_EVENTS} verdicts and states wait for slow handlers", where="send_nowait")
            return super().send_nowait(account, payload, **options)

    def send_group_nowait(self, group_id: int, payload: bytes, **options: Unpack[SendOptions]) -> str:
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
        self, queue: Callable[..., str], target: str | int, payload: bytes, options: SendOptions | OnlineOptions
    ) -> Acknowledged:
        waiter = Waiter()
        deadline = self._deadline(options)
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
                with contextlib.suppress(TimeoutError):
                    self.wait_room(len(payload), timeout=deadline - self._now())
                self._shorten(options, deadline)
            except LocalProtocolError as error:
                raise self._send_error(error) from None
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
            if self._message_handler is not None:
                raise LocalProtocolError("expected one consumer: messages go to on_message", where="receive")
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


connect = User
"""A user, to be entered; what it takes is said at `BaseUser`."""
