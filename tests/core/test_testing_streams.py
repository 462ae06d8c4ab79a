"""One direction of a pipe: how bytes travel, and what can befall them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimc_proto import Framing
from mimc_proto.testing import Conditions, Side, Stream, VirtualClock
from mimc_proto.testing.streams import Ending


class Reader:
    """Writes down what arrives, and when there is room to write."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.told: list[str] = []

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.pieces.append(data)
        self.times.append(self.clock.now)

    def eof_received(self) -> None:
        """The end."""
        self.told.append("eof")

    def connection_lost(self) -> None:
        """The break."""
        self.told.append("lost")

    def writing_resumed(self) -> None:
        """Room."""
        self.told.append("room")


class Line:
    """A stream upwards, whoever is at its ends, and the cuts that it asked for."""

    def __init__(self, framing: Framing = Framing.TCP, **conditions: Any) -> None:
        self.clock = VirtualClock()
        self.breaks: list[tuple[Stream, Side | None]] = []
        self.stream = Stream(
            self.clock,
            framing,
            Conditions(**conditions),
            Side.CLIENT,
            lambda stream, unaware: self.breaks.append((stream, unaware)),
        )
        self.reader, self.writer = Reader(self.clock), Reader(self.clock)
        self.stream.read_by(self.reader)
        self.stream.source = self.writer

    def write(self, *messages: bytes) -> list[bytes]:
        """What arrives of these within a minute."""
        for message in messages:
            self.stream.write(message)
        self.clock.run_for(60.0)
        return self.reader.pieces


def test_bytes_arrive_after_the_latency() -> None:
    line = Line(latency=0.25)
    line.stream.write(b"hello")
    assert line.stream.buffered == 5
    line.clock.run_for(0.2)
    assert not line.reader.pieces
    line.clock.run_for(0.1)
    assert (line.reader.pieces, line.reader.times) == ([b"hello"], [0.25])
    assert (line.stream.written, line.stream.delivered, line.stream.buffered) == (5, 5, 0)


def test_bytes_stay_in_order_when_the_latency_falls() -> None:
    line = Line(latency=5.0)
    line.stream.write(b"first ")
    line.stream.latency = 1.0
    assert line.write(b"second") == [b"first second"]


def test_what_arrives_together_is_read_together() -> None:
    assert Line().write(b"one", b"two") == [b"onetwo"]


def test_one_read_takes_no_more_than_drivers_of_sockets_do() -> None:
    assert [len(piece) for piece in Line().write(bytes(100_000))] == [65_536, 34_464]


def test_pieces_have_the_size_that_was_asked_for() -> None:
    assert Line(chunk=3).write(b"12345", b"6789") == [b"123", b"456", b"789"]


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=10), st.integers(1, 9), st.integers())
def test_pieces_of_chance_are_the_same_stream_and_the_same_again(messages: list[bytes], chunk: int, seed: int) -> None:
    once = Line(chunk=chunk, rng=Random(seed)).write(*messages)
    assert b"".join(once) == b"".join(messages)
    assert all(1 <= len(piece) <= chunk for piece in once)
    assert once == Line(chunk=chunk, rng=Random(seed)).write(*messages)


def test_messages_stay_whole_on_websocket() -> None:
    assert Line(Framing.WEBSOCKET, chunk=2).write(b"first", b"second") == [b"first", b"second"]


def test_nothing_arrives_before_somebody_reads() -> None:
    line = Line()
    line.stream.read_by(None)
    line.stream.write(b"early")
    line.clock.run_for(1.0)
    line.stream.read_by(line.reader)
    line.clock.run_for(1.0)
    assert line.reader.times == [1.0]


def test_a_full_stream_is_not_writable_until_half_of_it_was_delivered() -> None:
    line = Line(capacity=10, chunk=1, latency=1.0)
    seen: list[bool] = []
    line.stream.write(b"123456789")
    seen.append(line.stream.writable)
    line.stream.write(b"0")
    seen.append(line.stream.writable)
    line.clock.run_until(lambda: line.stream.delivered == 4)
    seen.append(line.stream.writable)
    line.clock.run_for(10.0)
    seen.append(line.stream.writable)
    assert seen == [True, False, False, True]
    assert line.writer.told == ["room"]


def test_a_writer_that_left_is_not_told_of_room() -> None:
    line = Line(capacity=3)
    line.stream.source = None
    line.write(b"12345")
    assert line.writer.told == []
    assert line.stream.writable


def test_a_stall_holds_everything_back() -> None:
    line = Line(capacity=5)
    line.stream.stall()
    assert line.write(b"12345") == []
    assert not line.stream.writable
    line.stream.resume()
    line.clock.run_for(0.0)
    assert line.reader.pieces == [b"12345"]


def test_a_reader_that_pauses_gets_nothing_meanwhile() -> None:
    line = Line()
    line.stream.pause(True)
    line.stream.write(b"12345")
    assert not line.stream.deliver()
    line.stream.pause(False)
    assert line.stream.deliver()
    assert line.reader.pieces == [b"12345"]


def test_a_byte_is_corrupted_where_the_test_says() -> None:
    line = Line()
    line.stream.write(b"ab")
    line.stream.corrupt(1)
    line.stream.corrupt(4, mask=0x20)
    assert b"".join(line.write(b"aaa", b"aaa")) == b"aba`aaAa"


def test_bytes_vanish_where_the_test_says() -> None:
    line = Line()
    line.stream.drop(3, after_bytes=1)
    line.stream.drop(1, after_bytes=7)
    assert b"".join(line.write(b"0123", b"456789")) == b"045689"


def test_everything_vanishes_from_now_on() -> None:
    line = Line()
    line.stream.write(b"gone before")
    line.stream.drop()
    assert line.write(b"gone", b"for ever") == [b"gone before"]
    assert line.stream.buffered == 0


def test_a_message_that_would_lose_a_byte_vanishes_whole() -> None:
    line = Line(Framing.WEBSOCKET)
    line.stream.drop(1, after_bytes=5)
    assert line.write(b"first", b"second", b"third") == [b"first", b"third"]


def test_a_cut_lets_pass_what_was_written_before() -> None:
    line = Line()
    line.stream.write(b"12")
    line.stream.cut(after_bytes=3, unaware=Side.SERVER)
    line.stream.write(b"3")
    assert not line.breaks
    assert b"".join(line.write(b"4567")) == b"12345"
    assert line.breaks == [(line.stream, Side.SERVER)]


def test_a_cut_without_bytes_is_at_once() -> None:
    line = Line()
    line.stream.cut()
    assert line.breaks == [(line.stream, None)]


def test_a_message_is_cut_away_whole() -> None:
    line = Line(Framing.WEBSOCKET)
    line.stream.cut(after_bytes=7)
    assert line.write(b"first", b"second") == [b"first"]


@pytest.mark.parametrize("framing", Framing)
def test_a_cut_behind_a_message_lets_it_pass(framing: Framing) -> None:
    line = Line(framing)
    line.stream.cut(after_bytes=5)
    assert line.write(b"first") == [b"first"]
    assert line.breaks


def test_the_end_comes_behind_the_bytes() -> None:
    line = Line(latency=1.0)
    line.stream.write(b"last")
    line.stream.end(Ending.EOF, discard=False)
    line.stream.end(Ending.LOST, discard=False)  # it has ended already
    assert line.write(b"too late") == [b"last"]
    assert line.reader.told == ["eof"]


def test_a_break_loses_what_is_under_way() -> None:
    line = Line(latency=1.0, capacity=2)
    line.stream.write(b"lost")
    line.stream.end(Ending.LOST, discard=True)
    line.clock.run_for(10.0)
    assert (line.reader.pieces, line.reader.told) == ([], ["lost"])
    assert line.stream.writable


def test_a_silent_end_says_nothing() -> None:
    line = Line()
    line.stream.end(None, discard=True)
    assert line.write(b"into the void") == []
    assert line.reader.told == []
