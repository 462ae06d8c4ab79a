"""A pipe: what each end sees of the other's doings, and of the faults between them."""

from __future__ import annotations

import pytest

from mimc_proto import LocalProtocolError
from mimc_proto.testing import Conditions, FaultyPipe, PipeEnd, Side, VirtualClock


class User:
    """Holds an end and writes down what it is told."""

    def __init__(self, end: PipeEnd) -> None:
        self.end = end
        self.told: list[bytes | str] = []
        end.attach(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.told.append(data)

    def eof_received(self) -> None:
        """The end."""
        self.told.append("eof")

    def connection_lost(self) -> None:
        """The break."""
        self.told.append("lost")

    def writing_resumed(self) -> None:
        """Room."""
        self.told.append("room")


class Both:
    """A pipe, its users and its clock."""

    def __init__(self, **conditions: float) -> None:
        self.clock = VirtualClock()
        self.pipe = FaultyPipe(self.clock, conditions=Conditions(**conditions))  # type: ignore[arg-type]
        self.client, self.server = User(self.pipe.client), User(self.pipe.server)

    def run(self) -> tuple[list[bytes | str], list[bytes | str]]:
        """What client and server were told within a minute."""
        self.clock.run_for(60.0)
        return self.client.told, self.server.told


def test_what_one_end_writes_arrives_at_the_other() -> None:
    both = Both()
    both.pipe.client.write([b"up", b"wards"])
    both.pipe.server.write([b"downwards"])
    assert both.run() == ([b"downwards"], [b"upwards"])


def test_closing_tells_the_other_end_behind_what_was_written() -> None:
    both = Both()
    both.pipe.server.write([b"never read"])
    both.pipe.client.write([b"bye"])
    both.pipe.client.close()
    both.pipe.client.close()
    assert both.run() == ([], [b"bye", "eof"])
    assert both.pipe.client.closed


def test_what_is_written_to_an_end_that_closed_vanishes() -> None:
    both = Both()
    both.pipe.client.close()
    both.pipe.server.write([b"hello?"])
    assert both.run() == ([], ["eof"])


def test_an_end_that_was_reset_loses_what_is_under_way() -> None:
    both = Both(latency=1)
    both.pipe.client.write([b"lost"])
    both.pipe.server.write([b"lost"])
    both.pipe.server.reset()
    assert both.run() == (["lost"], [])


def test_an_end_that_closed_learns_nothing_more() -> None:
    both = Both()
    both.pipe.client.close()
    both.pipe.server.reset()
    assert both.run() == ([], [])


def test_a_cut_in_one_stream_breaks_the_connection_for_both() -> None:
    both = Both(latency=1)
    both.pipe.server.write([b"under way"])
    both.pipe.up.cut(after_bytes=4)
    both.pipe.client.write([b"half a frame"])
    assert both.run() == (["lost"], [b"half", "eof"])


@pytest.mark.parametrize(
    ("unaware", "client", "server"),
    [(Side.CLIENT, [], ["eof"]), (Side.SERVER, ["lost"], []), (None, ["lost"], ["eof"])],
)
def test_a_half_open_connection_is_known_to_one_side(unaware: Side, client: list[str], server: list[str]) -> None:
    both = Both()
    both.pipe.up.cut(unaware=unaware)
    assert both.run() == (client, server)


def test_a_cut_downwards_is_seen_by_the_client_as_the_end() -> None:
    both = Both()
    both.pipe.down.cut()
    assert both.run() == (["eof"], ["lost"])


@pytest.mark.parametrize(
    ("unaware", "client", "server"),
    [(Side.CLIENT, [], ["lost"]), (Side.SERVER, ["lost"], []), (None, ["lost"], ["lost"])],
)
def test_a_pipe_that_is_cut_loses_everything(unaware: Side, client: list[str], server: list[str]) -> None:
    both = Both()
    both.pipe.client.write([b"lost"])
    both.pipe.cut(unaware=unaware)
    assert both.run() == (client, server)


def test_a_dropping_pipe_tells_nobody() -> None:
    both = Both()
    both.pipe.drop()
    both.pipe.client.write([b"hello?"])
    both.pipe.server.write([b"hello?"])
    assert both.run() == ([], [])


def test_a_stalled_pipe_delivers_when_it_is_resumed() -> None:
    both = Both()
    both.pipe.stall()
    both.pipe.client.write([b"late"])
    both.pipe.server.write([b"late"])
    assert both.run() == ([], [])
    both.pipe.resume()
    assert both.run() == ([b"late"], [b"late"])


def test_an_end_that_is_full_refuses_to_be_written_to() -> None:
    both = Both(capacity=4)
    assert both.pipe.client.room == 4
    both.pipe.client.write([b"12"])
    assert both.pipe.client.room == 2
    both.pipe.client.write([b"3456"])
    assert (both.pipe.client.writable, both.pipe.client.room) == (False, 1)
    with pytest.raises(LocalProtocolError, match=r"PipeEnd.write: expected a wait for writing_resumed\(\)"):
        both.pipe.client.write([b"7"])
    assert both.run() == (["room"], [b"123456"])


def test_an_end_that_closed_cannot_be_written_to() -> None:
    both = Both()
    both.pipe.client.close()
    with pytest.raises(LocalProtocolError, match=r"expected no writing after close\(\)"):
        both.pipe.client.write([b"more"])


def test_an_end_that_pauses_reading_makes_the_other_wait() -> None:
    both = Both(capacity=3)
    both.pipe.server.pause_reading()
    both.pipe.client.write([b"123"])
    assert both.run() == ([], [])
    assert not both.pipe.client.writable
    both.pipe.server.resume_reading()
    assert both.run() == (["room"], [b"123"])


def test_pumping_delivers_what_has_arrived_and_no_more() -> None:
    both = Both(latency=1)
    both.pipe.client.write([b"early"])
    both.clock.advance(2.0)
    both.pipe.client.write([b"late"])
    both.pipe.server.pump()
    assert both.server.told == [b"early"]
