"""The threads of a blocking user: one reads, one calls handlers, and some ask for tokens and addresses."""

from __future__ import annotations

import inspect
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from mimc_proto import LocalProtocolError
from mimc_proto.session import (
    Acknowledged,
    CloseLink,
    Failed,
    FetchToken,
    OpenLink,
    Rejected,
    Resolve,
    SessionEvent,
    Verdict,
)

from ._blocking_io import IoThread, SocketLink
from ._providers import fetch_resolver
from ._shared import Token, verdict_error
from ._user import BaseUser, Handler

__all__ = ["ThreadUser", "Waiter"]


class ThreadUser(BaseUser):
    """What runs a blocking user. Everything happens under one lock, and all who wait, wait for one condition."""

    _monotonic: Any = staticmethod(time.monotonic)
    _getaddrinfo: Any = staticmethod(socket.getaddrinfo)
    _socket: Any = staticmethod(socket.socket)

    _io: IoThread
    """Once it is entered."""
    _handlers: threading.Thread | None
    _entered: bool
    _iterating: int
    """The thread that waits for a message, 0 for none."""

    # -------------------------------------------------------------------------------------------------------- handlers

    def _call(self, handler: Handler, event: SessionEvent) -> None:
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

    def _settle(self, waiter: Waiter, verdict: Verdict) -> None:
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


class Waiter:
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
