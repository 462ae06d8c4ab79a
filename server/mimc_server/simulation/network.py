"""Connections as TCP has them: bytes in order or not at all, late, held back, and ends that one side learns nothing of.

TCP loses no bytes. A lost segment comes later, by ever longer timeouts, and everything behind it waits; one that is
lost too often ends the connection.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from mimc_proto.testing import FaultyPipe, PipeEnd, Scheduled, Side, VirtualClock

__all__ = ["Attempt", "Line", "Listener", "Network", "Wire"]

RETRANSMIT = 0.2
"""Seconds until a segment is sent again; doubles each time."""

MOST_LOST = 8
"""Losses of a segment in a row that end a connection: after 51 seconds."""

OPEN_AGAIN = 1.0
"""Seconds until a SYN is sent again; doubles each time."""

GIVE_UP = 127.0
"""Seconds after which the system gives up connecting (Linux, tcp_syn_retries 6)."""

Listener = Callable[["Wire"], bool | None]
"""Takes a connection (True), refuses it (False), or does not answer (None: the machine is not there)."""


class Line:
    """The way between one device and the service: ``latency`` in seconds, ``jitter`` in parts of it, ``loss`` of
    segments from 0 to 1. What is ``held`` does not get through."""

    def __init__(self, latency: float, jitter: float, loss: float) -> None:
        self.latency, self.jitter, self.loss = latency, jitter, loss
        self.held = False
        self.wires: dict[Wire, None] = {}
        """Connections that one side at least believes in, the newest last."""

    def hold(self, held: bool) -> None:
        """Let nothing pass, or let what was held pass now."""
        self.held = held
        for wire in self.wires:
            (wire.pipe.stall if held else wire.pipe.resume)()


class Wire:
    """One TCP connection. ``pipe`` takes the faults; drivers write here, so that each piece takes its own time."""

    def __init__(self, network: Network, line: Line) -> None:
        self.pipe = FaultyPipe(network.clock)
        self.line = line
        self._network = network
        self._believers = {Side.CLIENT, Side.SERVER}
        self._forgotten = False
        line.wires[self] = None

    def end(self, side: Side) -> PipeEnd:
        """What one side has of it."""
        return self.pipe.client if side is Side.CLIENT else self.pipe.server

    def write(self, side: Side, frames: list[bytes]) -> None:
        """Send frames on their way; the end has to be writable."""
        if self._forgotten:
            self._network.clock.call_later(self.line.latency, self._reset, "a reset of a forgotten connection")
        delay, dead = self._network.delay(self.line)
        stream = self.pipe.up if side is Side.CLIENT else self.pipe.down
        stream.latency = delay
        self._network.written(frames)
        self.end(side).write(frames)
        if dead:
            unaware = Side.SERVER if side is Side.CLIENT else Side.CLIENT
            self._network.clock.call_later(
                delay, lambda: self.pipe.cut(unaware=unaware), "the end of a connection that loses too much"
            )

    def vanish(self, side: Side) -> None:
        """One side's machine is gone, and the other does not learn of it."""
        end = self.end(side)
        self.pipe.drop()
        end.pause_reading()
        self.over(side)

    def forget(self) -> None:
        """A side that vanished is back and knows nothing of this connection: it answers with a reset."""
        self._forgotten = True

    def over(self, side: Side) -> None:
        """One side is through with it."""
        self._believers.discard(side)
        if not self._believers:
            self.line.wires.pop(self, None)

    def _reset(self) -> None:
        self.pipe.cut()


class Attempt:
    """Somebody is connecting; `cancel` to stop."""

    def __init__(self) -> None:
        self.cancelled = False
        self.waits: Scheduled | None = None

    def cancel(self) -> None:
        """Give up."""
        self.cancelled = True
        if self.waits is not None:
            self.waits.cancel()


class Network:
    """Carries connections of lines to a listener. ``written`` is called with all that is written, by either side."""

    def __init__(
        self, clock: VirtualClock, rng: random.Random, listener: Listener, written: Callable[[list[bytes]], object]
    ) -> None:
        self.clock = clock
        self.written = written
        self._rng = rng
        self._listener = listener

    def delay(self, line: Line) -> tuple[float, bool]:
        """How long the next piece takes, and whether it is lost for good then, and its connection with it."""
        rng = self._rng
        delay = line.latency * (1.0 + line.jitter * rng.random())
        lost = 0
        while lost < MOST_LOST and rng.random() < line.loss:
            lost += 1
        return delay + RETRANSMIT * ((1 << lost) - 1), lost == MOST_LOST

    def connect(self, line: Line, opened: Callable[[Wire], object], failed: Callable[[Exception], object]) -> Attempt:
        """Connect, and call ``opened(wire)`` or ``failed(error)``, never from within."""
        attempt = Attempt()
        self._try(attempt, line, opened, failed, self.clock.now + GIVE_UP, OPEN_AGAIN)
        return attempt

    def _try(
        self,
        attempt: Attempt,
        line: Line,
        opened: Callable[[Wire], object],
        failed: Callable[[Exception], object],
        until: float,
        again: float,
    ) -> None:
        def arrive() -> None:
            wire = None
            if not line.held:
                wire = Wire(self, line)
                taken = self._listener(wire)
                if taken:
                    opened(wire)
                    return
                line.wires.pop(wire)
                if taken is False:
                    failed(ConnectionRefusedError("refused"))
                    return
            if self.clock.now + again >= until:
                failed(TimeoutError("nobody answered"))
                return
            attempt.waits = self.clock.call_later(
                again, lambda: self._try(attempt, line, opened, failed, until, again * 2), "a second SYN"
            )

        delay, dead = self.delay(line)
        there_and_back = delay + line.latency
        attempt.waits = self.clock.call_later(GIVE_UP if dead else there_and_back, arrive, "connecting")
