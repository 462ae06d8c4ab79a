"""Simulated connections: late, held back, lost now and then, but never with a hole in their bytes."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from mimc_server.simulation.network import GIVE_UP, MOST_LOST, RETRANSMIT, Line, Network, Wire

from mimc_proto.testing import Side, VirtualClock


class End:
    """Who holds an end of a connection."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.got: list[tuple[float, bytes]] = []
        self.end = ""

    def data_received(self, data: bytes) -> None:
        self.got.append((round(self.clock.now, 6), data))

    def eof_received(self) -> None:
        self.end = "eof"

    def connection_lost(self) -> None:
        self.end = "lost"

    def writing_resumed(self) -> None:
        """Nothing waits."""


class Bed:
    """A line to a listener that takes connections, or not."""

    def __init__(self, line: Line, takes: bool | None = True) -> None:
        self.clock = VirtualClock()
        self.line, self.takes = line, takes
        self.client, self.server = End(self.clock), End(self.clock)
        self.wires: list[Wire] = []
        self.opened: list[float] = []
        self.errors: list[tuple[float, Exception]] = []
        self.written: list[bytes] = []
        self.network = Network(self.clock, Random(1), self.accept, self.written.extend)

    def accept(self, wire: Wire) -> bool | None:
        if self.takes:
            wire.pipe.server.attach(self.server)
        return self.takes

    def connect(self) -> None:
        self.attempt = self.network.connect(self.line, self._opened, self._failed)

    def _opened(self, wire: Wire) -> None:
        wire.pipe.client.attach(self.client)
        self.wires.append(wire)
        self.opened.append(self.clock.now)

    def _failed(self, error: Exception) -> None:
        self.errors.append((self.clock.now, error))

    def wire(self) -> Wire:
        self.connect()
        self.clock.run_for(1.0)
        [wire] = self.wires
        return wire


def steady(loss: float = 0.0) -> Line:
    return Line(latency=0.1, jitter=0.0, loss=loss)


def test_connecting_takes_a_round_trip_and_bytes_half_of_one() -> None:
    bed = Bed(steady())
    wire = bed.wire()
    assert bed.opened == [0.2]
    wire.write(Side.CLIENT, [b"hi", b"there"])
    wire.write(Side.SERVER, [b"you"])
    bed.clock.run_for(1.0)
    assert bed.server.got == [(1.1, b"hithere")]
    assert bed.client.got == [(1.1, b"you")]
    assert bed.written == [b"hi", b"there", b"you"]


def test_jitter_changes_no_order() -> None:
    bed = Bed(Line(latency=0.1, jitter=3.0, loss=0.0))
    wire = bed.wire()
    for number in range(200):
        wire.write(Side.CLIENT, [b"%d " % number])
        bed.clock.run_for(0.01)
    bed.clock.run_for(5.0)
    assert b"".join(data for _, data in bed.server.got) == b"".join(b"%d " % number for number in range(200))
    times = [at for at, _ in bed.server.got]
    assert len({round(b - a, 6) for a, b in itertools.pairwise(times)}) > 20


def test_what_is_lost_comes_later_and_all_behind_it_waits() -> None:
    bed = Bed(steady())
    wire = bed.wire()
    bed.network._rng = Losses([True, False, False])  # type: ignore[assignment]  # the first segment, once
    bed.line.loss = 0.5
    wire.write(Side.CLIENT, [b"first"])
    wire.write(Side.CLIENT, [b"second"])
    bed.clock.run_for(1.0)
    assert bed.server.got == [(round(1.1 + RETRANSMIT, 6), b"firstsecond")]


class Losses:
    """Says which segments are lost."""

    def __init__(self, lost: list[bool]) -> None:
        self.lost = lost
        self.jitter = True

    def random(self) -> float:
        self.jitter = not self.jitter
        if not self.jitter:
            return 0.0
        lost = self.lost.pop(0)
        if lost:
            self.jitter = False  # the same segment once more
        return 0.0 if lost else 0.9


def test_a_segment_that_is_lost_too_often_ends_the_connection_for_its_sender() -> None:
    bed = Bed(steady())
    wire = bed.wire()
    bed.line.loss = 1.0
    wire.write(Side.CLIENT, [b"hi"])
    bed.clock.run_for(RETRANSMIT * (2**MOST_LOST - 1) + 1.0)
    assert (bed.client.end, bed.server.end) == ("lost", "")


def test_what_is_held_passes_when_it_is_let_go() -> None:
    bed = Bed(steady())
    wire = bed.wire()
    bed.line.hold(True)
    wire.write(Side.CLIENT, [b"hi"])
    wire.pipe.client.close()
    wire.over(Side.CLIENT)
    bed.clock.run_for(60.0)
    assert (bed.server.got, bed.server.end) == ([], "")
    bed.line.hold(False)
    bed.clock.run_for(1.0)
    assert ([data for _, data in bed.server.got], bed.server.end) == ([b"hi"], "eof")


def test_who_connects_over_a_held_line_tries_on_until_it_is_let_go() -> None:
    bed = Bed(steady())
    bed.line.hold(True)
    bed.connect()
    bed.clock.run_for(10.0)
    bed.line.hold(False)
    bed.clock.run_for(10.0)
    assert len(bed.opened) == 1
    assert 10.0 < bed.opened[0] < 17.0


def test_connecting_is_refused_or_given_up_or_cancelled() -> None:
    bed = Bed(steady(), takes=False)
    bed.connect()
    bed.clock.run_for(1.0)
    assert [type(error) for _, error in bed.errors] == [ConnectionRefusedError]
    assert not bed.line.wires
    bed = Bed(steady(), takes=None)
    bed.connect()
    bed.clock.run_for(2 * GIVE_UP)
    [(at, error)] = bed.errors
    assert isinstance(error, TimeoutError)
    assert GIVE_UP / 2 < at <= GIVE_UP
    bed = Bed(steady())
    bed.attempt = bed.network.connect(bed.line, bed._opened, bed._failed)
    bed.attempt.cancel()
    bed.clock.run_for(GIVE_UP)
    assert (bed.opened, bed.errors) == ([], [])


def test_of_a_machine_that_vanished_nobody_learns_until_it_is_back_and_is_written_to() -> None:
    bed = Bed(steady())
    wire = bed.wire()
    wire.vanish(Side.SERVER)
    wire.write(Side.CLIENT, [b"hi"])
    bed.clock.run_for(100.0)
    assert (bed.client.end, bed.server.got) == ("", [])
    wire.forget()
    bed.clock.run_for(100.0)
    assert bed.client.end == ""
    wire.write(Side.CLIENT, [b"hi"])
    bed.clock.run_for(1.0)
    assert bed.client.end == "lost"


def test_a_connection_is_kept_until_both_sides_are_through_with_it() -> None:
    bed = Bed(steady())
    wire = bed.wire()
    wire.over(Side.CLIENT)
    wire.over(Side.CLIENT)
    assert list(bed.line.wires) == [wire]
    wire.over(Side.SERVER)
    assert not bed.line.wires


@pytest.mark.parametrize("side", Side)
def test_each_side_has_its_end(side: Side) -> None:
    wire = Bed(steady()).wire()
    assert wire.end(side) is (wire.pipe.client if side is Side.CLIENT else wire.pipe.server)
