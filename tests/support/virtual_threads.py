"""Threads, sockets and selectors on a `VirtualClock` and a `Network`, for the blocking adapter: always alike.

How threads take turns is in `virtual_scheduler`.
"""

from __future__ import annotations

import errno
import math
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest import mock

from mimc_transports import _blocking_io, _blocking_threads, blocking
from support.virtual_scheduler import Scheduler, Strand, Threading

from mimc_proto.testing import Attempt, FaultyPipe, Network, PipeEnd, Scheduled, VirtualClock

MOST_TURNS = 10_000
"""How often a selector may return within one moment."""

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_ERRORS: dict[type[Exception], int] = {ConnectionRefusedError: errno.ECONNREFUSED, TimeoutError: errno.ETIMEDOUT}


class _Watched:
    """Something that a selector can wait for."""

    def __init__(self) -> None:
        self.on_change: Callable[[], object] = lambda: None

    def setblocking(self, flag: bool) -> None:
        assert not flag, "the adapter's sockets never block"

    def setsockopt(self, *_: object) -> None:
        """None makes a difference here."""


class _Wakeful(_Watched):
    """Both ends of the pair that wakes the thread."""

    def __init__(self) -> None:
        super().__init__()
        self._woken = False

    def send(self, data: bytes) -> int:
        self._woken = True
        self.on_change()
        return len(data)

    def recv(self, size: int) -> bytes:
        self._woken = False
        return b"\0"

    def ready(self) -> int:
        return _READ if self._woken else 0

    def close(self) -> None:
        """Nothing has to be."""


class VirtualSocket(_Watched):
    """A socket over one end of a pipe, which it gets by connecting."""

    def __init__(self, scheduler: Scheduler, network: Network, *_: object) -> None:
        super().__init__()
        self.closed = False
        self._scheduler, self._network = scheduler, network
        self._attempt: Scheduled | None = None
        self._end: PipeEnd | None = None
        self._error: Exception | None = None
        self._received = bytearray()
        self._ended = self._broken = False

    def connect(self, address: tuple[str, int]) -> None:
        self._attempt = self._network.connect(*address, self._opened, self._failed)
        raise BlockingIOError(errno.EINPROGRESS, "it takes a while")

    def connect_at_last(self, address: tuple[str, int]) -> Self:
        """Connect, blocking."""
        waiting = self._scheduler.current
        self.on_change = lambda: self._scheduler.unpark(waiting)
        self._attempt = self._network.connect(*address, self._opened, self._failed)
        while self._end is None and self._error is None:
            self._scheduler.park()
        if self._error is not None:
            self.close()
            raise self._error
        return self

    def getsockopt(self, *_: object) -> int:
        """What connecting came to."""
        return 0 if self._error is None else _ERRORS.get(type(self._error), errno.EIO)

    def recv(self, size: int) -> bytes:
        if self._error is not None:
            raise self._error
        if not self._received:
            if self._broken:
                raise ConnectionResetError(errno.ECONNRESET, "the connection broke")
            if not self._ended:
                raise BlockingIOError
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def send(self, data: bytes | bytearray) -> int:
        if self._error is not None:
            raise self._error
        if self._broken:
            raise BrokenPipeError(errno.EPIPE, "the connection broke")
        if self._end is None or not self._end.writable:
            raise BlockingIOError
        piece = bytes(data[: self._end.room])
        self._end.write([piece])
        return len(piece)

    def close(self) -> None:
        self.closed = True
        if self._attempt is not None:
            self._attempt.cancel()
        if self._end is not None:
            self._end.close()

    def ready(self) -> int:
        """For what a selector need not wait."""
        if self._end is None:
            return _READ | _WRITE if self._error is not None else 0
        readable = self._received or self._ended or self._broken
        return (_READ if readable else 0) | (_WRITE if self._end.writable or self._broken else 0)

    def _opened(self, pipe: FaultyPipe) -> None:
        self._end = pipe.client
        self._end.attach(self)
        self.on_change()

    def _failed(self, error: Exception) -> None:
        self._error = error
        self.on_change()

    # ------------------------------------------------------------------------------------------------- for the pipe

    def data_received(self, data: bytes) -> None:
        self._received += data
        self.on_change()

    def eof_received(self) -> None:
        self._ended = True
        self.on_change()

    def connection_lost(self) -> None:
        self._broken = True
        self.on_change()

    def writing_resumed(self) -> None:
        self.on_change()


class _Selector:
    """Waits until one of its sockets is ready, or for the time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._wanted: dict[Any, int] = {}
        self._waiting: Strand | None = None
        self._turns = (0.0, 0)

    def register(self, watched: Any, mask: int) -> None:
        self._wanted[watched] = mask
        watched.on_change = self._look

    def unregister(self, watched: Any) -> None:
        del self._wanted[watched]
        watched.on_change = lambda: None

    def select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        clock = self._scheduler.clock
        deadline = math.inf if timeout is None else clock.now + timeout
        while not (ready := self._ready()) and clock.now < deadline:
            self._waiting = self._scheduler.current
            self._scheduler.park(deadline)
        at, turns = self._turns
        self._turns = (clock.now, turns + 1 if at == clock.now else 0)
        assert turns < MOST_TURNS, "it waits for what is there already, and does not take it"
        return ready

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        found = [(watched, wanted & watched.ready()) for watched, wanted in self._wanted.items()]
        return [(selectors.SelectorKey(watched, -1, 0, None), mask) for watched, mask in found if mask]

    def _look(self) -> None:
        if self._waiting is not None and self._ready():
            self._scheduler.unpark(self._waiting)

    def close(self) -> None:
        """It holds nothing."""


class _Sockets:
    """What the adapter takes for ``socket``."""

    socket = VirtualSocket

    def socketpair(self) -> tuple[_Wakeful, _Wakeful]:
        one = _Wakeful()
        return one, one

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


class VirtualThreads:
    """The blocking adapter's world: `User` is a class of users who live in it, inside the block of `installed`."""

    def __init__(self, clock: VirtualClock, network: Network) -> None:
        self.scheduler = Scheduler(clock)
        self.sockets: list[VirtualSocket] = []
        self._clock, self._network = clock, network
        self._threading = Threading(self.scheduler)

    @property
    def user(self) -> type[blocking.User]:
        seams: dict[str, Any] = {"_getaddrinfo": staticmethod(self._look_up), "_socket": staticmethod(self.socket)}
        seams["_monotonic"] = property(lambda _: lambda: self._clock.now)
        return type("VirtualUser", (blocking.User,), seams)

    def socket(self, *kind: object) -> VirtualSocket:
        """A new one."""
        self.sockets.append(VirtualSocket(self.scheduler, self._network, *kind))
        return self.sockets[-1]

    def _look_up(self, host: str, port: int, **_: object) -> list[Any]:
        """A name stands for itself; a host that is refused with an error of look-ups fails here."""
        fault = self._network._place(host, port).fault
        if isinstance(fault, (socket.gaierror, UnicodeError)):
            self._network.attempts.append(Attempt(at=self._clock.now, host=host, port=port))
            raise fault
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]

    def start(self, work: Callable[[], object]) -> Any:
        """Run it in a thread."""
        thread = self._threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def sleep(self, seconds: float) -> None:
        """Let time pass for the thread that runs."""
        until = self._clock.now + seconds
        self.scheduler.park(until)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Have the adapter run on this. Nothing may be left at the end."""
        with ExitStack() as stack:
            for module in (_blocking_io, _blocking_threads, blocking):
                stack.enter_context(mock.patch.object(module, "threading", self._threading))
            stack.enter_context(mock.patch.object(_blocking_io, "socket", _Sockets()))
            selecting = mock.Mock(DefaultSelector=lambda: _Selector(self.scheduler))
            stack.enter_context(mock.patch.object(_blocking_io, "selectors", selecting))
            yield
        left = [thread for thread in self.scheduler.threads if not thread.ended]
        assert not left, f"threads were left: {left}"
        assert all(one.closed for one in self.sockets), "sockets were left"
