"""trio on a `VirtualClock` and a `Network`: no sockets, no waiting, every fault of a pipe.

Time passes only when no task can run, and then at once. A program that waits for what cannot happen ends in `Stuck`
instead of hanging. Tasks are scheduled alike in every run.
"""

from __future__ import annotations

import errno
import math
import random
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from mimc_proto.testing import FaultyPipe, Network, PipeEnd, Stuck, VirtualClock

FAR = 1e6
"""Seconds that trio would sleep: long enough that the pump is asked first."""

_HAIR = 1e-9
"""Seconds by which a deadline is passed, so that it counts as due."""


class _Clock(trio.abc.Clock):
    """trio's view of the clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def start_clock(self) -> None:
        """It runs already."""

    def current_time(self) -> float:
        return self._clock.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return 0.0 if deadline <= self._clock.now else FAR


class _Pump:
    """Lets time pass where trio would sleep."""

    def __init__(self, clock: VirtualClock, scope: trio.CancelScope) -> None:
        self._clock, self._scope = clock, scope
        self.stuck: Stuck | None = None

    async def run(self) -> None:
        while True:
            await trio.testing.wait_all_tasks_blocked()
            seconds = trio.lowlevel.current_statistics().seconds_to_next_deadline
            try:
                self._pass(seconds)
            except Stuck as error:
                self.stuck = error
                self._scope.cancel()
                return

    def _pass(self, seconds: float) -> None:
        """Run the clock until a task can run, for so many seconds at most; all that is due by then happens together."""
        clock = self._clock
        if seconds == math.inf:
            clock.run_until(_runnable, what="anything a task could do")
        else:
            deadline = clock.now + max(0.0, seconds)
            try:
                clock.run_until(_runnable, timeout=deadline - clock.now)
            except Stuck:  # nothing came before the deadline
                clock.run_until(max(deadline, clock.now) + _HAIR)
        clock.run_for(0.0)


def _runnable() -> bool:
    return trio.lowlevel.current_statistics().tasks_runnable > 0


class PipeStream(trio.abc.Stream):
    """A stream over one end of a pipe. As a socket's, its sending can be cut off anywhere, and its writes are small."""

    def __init__(self, end: PipeEnd) -> None:
        self._end = end
        self._received = bytearray()
        self._ended = self._broken = False
        self._readable, self._writable = trio.Event(), trio.Event()
        end.attach(self)

    # ------------------------------------------------------------------------------------------ for the program

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        left = memoryview(bytes(data))
        while True:
            while not self._end.writable and not self._broken:
                await self.wait_send_all_might_not_block()
            if self._broken:
                raise trio.BrokenResourceError from ConnectionResetError(errno.ECONNRESET, "the connection broke")
            room = self._end.room
            self._end.write([bytes(left[:room])])
            left = left[room:]
            if not left:
                return

    async def wait_send_all_might_not_block(self) -> None:
        self._check_open()
        if not self._end.writable:
            self._writable = trio.Event()
            await self._writable.wait()
            self._check_open()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._received and not self._ended and not self._broken:
            self._check_open()
            self._readable = trio.Event()
            await self._readable.wait()
        if self._received:
            size = len(self._received) if max_bytes is None else max_bytes
            data = bytes(self._received[:size])
            del self._received[:size]
            return data
        if self._broken:
            raise trio.BrokenResourceError from ConnectionResetError(errno.ECONNRESET, "the connection broke")
        return b""

    async def aclose(self) -> None:
        self._end.close()
        self._readable.set()
        self._writable.set()
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self._end.closed:
            raise trio.ClosedResourceError("this stream was closed")

    # ------------------------------------------------------------------------------------------------- for the pipe

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._readable.set()

    def eof_received(self) -> None:
        self._ended = True
        self._readable.set()

    def connection_lost(self) -> None:
        self._broken = True
        self._readable.set()
        self._writable.set()

    def writing_resumed(self) -> None:
        self._writable.set()


async def open_stream(network: Network, host: str, port: int) -> PipeStream:
    """`trio.open_tcp_stream` over the network of the test."""
    pipes: list[FaultyPipe] = []
    errors: list[Exception] = []
    done = trio.Event()

    def opened(pipe: FaultyPipe) -> None:
        pipes.append(pipe)
        done.set()

    def failed(error: Exception) -> None:
        errors.append(error)
        done.set()

    attempt = network.connect(host, port, opened, failed)
    try:
        await done.wait()
    except trio.Cancelled:
        attempt.cancel()
        for pipe in pipes:
            pipe.client.close()
        raise
    if errors:
        raise errors[0]
    return PipeStream(pipes[0].client)


def run(clock: VirtualClock, work: Callable[[], Awaitable[object]]) -> None:
    """Run a program to its end. (trio sees to it that it leaves no task behind.)"""
    core = trio._core._run
    core._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    core._r = random.Random(0)

    async def whole() -> None:
        with trio.CancelScope() as scope:
            pump = _Pump(clock, scope)
            trio.lowlevel.spawn_system_task(pump.run)
            await work()
        if pump.stuck is not None:
            raise pump.stuck

    trio.run(whole, clock=_Clock(clock))
