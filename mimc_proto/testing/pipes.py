"""A connection without a network: two streams, and the two ends that drivers have."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import LocalProtocolError
from ..framing import Framing
from .clock import VirtualClock
from .streams import Conditions, Ending, PipeUser, Side, Stream

__all__ = ["FaultyPipe", "PipeEnd"]


class PipeEnd:
    """What a driver has of a connection: it writes here, and is told as a `PipeUser` what happens."""

    def __init__(self, out: Stream, into: Stream) -> None:
        self._out = out
        self._into = into
        self.closed = False
        """Whether this end was closed or reset by its own side."""

    @property
    def writable(self) -> bool:
        """Whether to write now; if not, `PipeUser.writing_resumed` tells when."""
        return not self.closed and self._out.writable

    @property
    def room(self) -> int:
        """Bytes that fit before the end is no longer writable, at least 1: what to ask ``data_to_send`` for."""
        return max(1, self._out.capacity - self._out.buffered)

    def attach(self, user: PipeUser) -> None:
        """Have ``user`` told what happens here; nothing arrives before."""
        self._out.source = user
        self._into.read_by(user)

    def write(self, frames: Iterable[bytes]) -> None:
        """Write frames (on WebSocket each is a message).

        Raises `LocalProtocolError` while the end is not `writable`: a driver that ignores that would need memory
        without bounds.
        """
        if not self.writable:
            problem = "expected no writing after close()" if self.closed else "expected a wait for writing_resumed()"
            raise LocalProtocolError(problem, where="PipeEnd.write")
        for frame in frames:
            self._out.write(frame)

    def close(self) -> None:
        """Close: the other side sees the end of input behind what was written. This side is told nothing more."""
        self._leave(Ending.EOF, discard=False)

    def reset(self) -> None:
        """Abort: what is under way in either direction is lost, and the other side sees a broken connection."""
        self._leave(Ending.LOST, discard=True)

    def _leave(self, ending: Ending, *, discard: bool) -> None:
        if not self.closed:
            self.closed = True
            self._out.source = None
            self._into.read_by(None)
            self._out.end(ending, discard=discard)
            self._into.end(None, discard=True)

    def pause_reading(self) -> None:
        """Read nothing, so that the other side soon has to wait."""
        self._into.pause(True)

    def resume_reading(self) -> None:
        """Read again."""
        self._into.pause(False)

    def pump(self) -> None:
        """Deliver what has arrived by now, before anything else: a driver does so before it handles a timer."""
        while self._into.deliver():
            pass


class FaultyPipe:
    """A connection between two ends, faithful until told otherwise.

    ``up`` carries what the client writes, ``down`` what the server writes; each takes its faults. ``client`` and
    ``server`` are the ends, for drivers::

        pipe = FaultyPipe(clock, conditions=Conditions(latency=0.05))
        pipe.up.cut(after_bytes=17)                        # in the middle of a frame
        pipe.down.stall()
    """

    def __init__(
        self, clock: VirtualClock, *, framing: Framing = Framing.TCP, conditions: Conditions | None = None
    ) -> None:
        conditions = conditions if conditions is not None else Conditions()
        self.framing = framing
        self.up = Stream(clock, framing, conditions, Side.CLIENT, self._break)
        self.down = Stream(clock, framing, conditions, Side.SERVER, self._break)
        self.client = PipeEnd(self.up, self.down)
        self.server = PipeEnd(self.down, self.up)

    def cut(self, *, unaware: Side | None = None) -> None:
        """Break the connection now: both sides, but for one that is ``unaware``, see it broken; what is under way is
        lost."""
        self.up.end(Ending.LOST if unaware is not Side.SERVER else None, discard=True)
        self.down.end(Ending.LOST if unaware is not Side.CLIENT else None, discard=True)

    def stall(self) -> None:
        """Hold back everything in both directions, until `resume`."""
        self.up.stall()
        self.down.stall()

    def resume(self) -> None:
        """End a `stall`."""
        self.up.resume()
        self.down.resume()

    def drop(self) -> None:
        """From now on everything vanishes, in both directions, and nobody learns of it."""
        self.up.drop()
        self.down.drop()

    def _break(self, at: Stream, unaware: Side | None) -> None:
        other = self.down if at is self.up else self.up
        at.end(Ending.EOF if unaware is not other.writer else None, discard=False)
        other.end(Ending.LOST if unaware is not at.writer else None, discard=True)
