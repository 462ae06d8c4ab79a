"""Frames on a byte stream and packets in binary messages: what goes in comes out, and nothing else is let through."""

from __future__ import annotations

import itertools
import sys
import zlib
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import mutated

from mimc_proto.errors import LocalProtocolError, RemoteProtocolError
from mimc_proto.framing import (
    EMPTY_FRAME,
    Framing,
    TcpDecoder,
    decode_websocket_packet,
    encode_tcp_frame,
    encode_websocket_packet,
    frame_header_error,
    join_body,
    split_body,
)

LIMIT = 1000
Outcome = tuple[list[bytes], str]

bodies = st.lists(st.binary(max_size=40), max_size=5)
streams = bodies.map(lambda bodies: b"".join(map(encode_tcp_frame, bodies)))
packets = st.builds(encode_websocket_packet, st.binary(max_size=40), st.binary(max_size=40))


def decode(pieces: Iterable[bytes], max_body: int = LIMIT) -> Outcome:
    """The bodies in a stream that comes in pieces, and the error that ended it."""
    decoder = TcpDecoder(max_body)
    found: list[bytes] = []
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (body := decoder.next_body()) is not None:
                found.append(body)
    except RemoteProtocolError as error:
        return found, str(error)
    return found, ""


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Data in pieces that begin at these places."""
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def single_bytes(data: bytes) -> list[bytes]:
    return [data[n : n + 1] for n in range(len(data))]


def refusal(function: Any, *arguments: Any) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        function(*arguments)
    return caught.value


def stream_refusal(data: bytes, max_body: int = LIMIT) -> RemoteProtocolError:
    decoder = TcpDecoder(max_body)
    decoder.feed(data)
    return refusal(decoder.next_body)


def with_checksum(covered: bytes) -> bytes:
    return covered + zlib.adler32(covered).to_bytes(4, "big")


# ----------------------------------------------------------------------------------------------------- TCP: encoding


def test_a_frame_is_magic_version_length_body_and_checksum() -> None:
    assert encode_tcp_frame(b"abc") == bytes.fromhex("c2fe0005 00000003 616263 14cb02ef")


def test_the_bare_ping_is_a_frame_without_a_body() -> None:
    assert encode_tcp_frame(b"") == EMPTY_FRAME


def test_a_body_is_payload_type_lengths_header_and_payload() -> None:
    assert join_body(b"head", b"payload") == bytes.fromhex("0002 0004 00000007") + b"headpayload"


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_body_splits_into_the_header_and_payload_it_was_joined_from(header: bytes, payload: bytes) -> None:
    assert split_body(join_body(header, payload)) == (header, payload)


def test_the_longest_header_can_be_joined() -> None:
    header = bytes(0xFFFF)
    assert split_body(join_body(header, b"p")) == (header, b"p")
    assert decode_websocket_packet(encode_websocket_packet(header, b"p"), 0x10000) == (header, b"p")


@pytest.mark.parametrize("encode", [join_body, encode_websocket_packet])
def test_a_header_too_long_for_its_length_field_is_a_mistake_of_the_caller(encode: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encode(bytes(0x10000), b"")
    assert str(caught.value) == "ClientHeader: expected at most 65535 bytes, got 65536"


# ------------------------------------------------------------------------------------------------- TCP: plain bodies


@pytest.mark.parametrize("size", range(8))
def test_a_body_too_short_for_its_lengths_is_refused(size: int) -> None:
    error = refusal(split_body, bytes(size))
    assert str(error) == f"body at byte 0: expected the 8 bytes of type and lengths, got {size}"


def test_another_payload_type_is_refused() -> None:
    error = refusal(split_body, bytes.fromhex("0003 0000 00000000"))
    assert str(error) == "body at byte 0: expected payload type 2, got 3"


@pytest.mark.parametrize("body", ["0002000000000001", "0002000100000000", "000200000000000000", "0002ffffffffffff"])
def test_lengths_that_do_not_add_up_are_refused(body: str) -> None:
    error = refusal(split_body, bytes.fromhex(body))
    assert (error.where, error.offset) == ("body", 2)
    assert f"the body's {len(body) // 2} bytes" in error.problem


@given(st.binary(max_size=40))
def test_a_body_is_split_or_refused_and_loses_nothing(body: bytes) -> None:
    try:
        header, payload = split_body(body)
    except RemoteProtocolError:
        return
    assert join_body(header, payload) == body


# ----------------------------------------------------------------------------------------------------- TCP: decoding


@given(bodies)
def test_a_stream_of_frames_gives_their_bodies(bodies: list[bytes]) -> None:
    assert decode([b"".join(map(encode_tcp_frame, bodies))]) == (bodies, "")


@given(mutated(streams) | streams | st.binary(max_size=60), st.lists(st.integers(0, 200)))
def test_any_cut_of_a_stream_gives_the_same_bodies_and_the_same_error(stream: bytes, places: list[int]) -> None:
    assert decode(cut(stream, [place % (len(stream) + 1) for place in places])) == decode([stream])


@given(mutated(streams) | streams)
def test_a_stream_byte_by_byte_gives_the_same_bodies_and_the_same_error(stream: bytes) -> None:
    assert decode(single_bytes(stream)) == decode([stream])


def test_a_long_stream_byte_by_byte_is_read_in_one_go() -> None:
    body = bytes(range(256)) * 400
    assert decode(single_bytes(encode_tcp_frame(body) * 2), len(body)) == ([body, body], "")


@given(st.binary(max_size=200).filter(lambda garbage: garbage[:4] != EMPTY_FRAME[:4]))
def test_garbage_is_refused_or_waited_on_but_never_taken_for_a_frame(garbage: bytes) -> None:
    found, problem = decode([garbage])
    assert found == []
    assert bool(problem) == (len(garbage) >= 8)


@given(bodies.filter(bool), st.data())
def test_a_flipped_bit_is_never_taken_for_a_body(bodies: list[bytes], data: st.DataObject) -> None:
    stream = bytearray().join(map(encode_tcp_frame, bodies))
    place = data.draw(st.integers(0, len(stream) * 8 - 1))
    stream[place // 8] ^= 1 << place % 8
    found, _ = decode([bytes(stream)])
    assert found == bodies[: len(found)]
    assert len(found) < len(bodies)


@given(bodies, st.data())
def test_a_cut_off_stream_gives_the_whole_frames_and_waits(bodies: list[bytes], data: st.DataObject) -> None:
    frames = [encode_tcp_frame(body) for body in bodies]
    stream = b"".join(frames)
    end = data.draw(st.integers(0, len(stream)))
    whole = sum(1 for total in itertools.accumulate(map(len, frames)) if total <= end)
    decoder = TcpDecoder(LIMIT)
    decoder.feed(stream[:end])
    assert [decoder.next_body() for _ in range(whole + 1)] == [*bodies[:whole], None]
    assert decoder.pending == end - sum(map(len, frames[:whole]))


def test_nothing_fed_is_nothing_to_read() -> None:
    decoder = TcpDecoder(LIMIT)
    assert decoder.pending == 0
    assert decoder.next_body() is None
    decoder.feed(b"")
    assert decoder.next_body() is None


def test_an_empty_frame_is_an_empty_body_and_not_the_end() -> None:
    assert decode([EMPTY_FRAME * 2]) == ([b"", b""], "")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("c2ff0005", "frame at byte 0: expected magic c2fe, got c2ff (is this a MIMC connection?)"),
        ("47455420", "frame at byte 0: expected magic c2fe, got 4745 (is this a MIMC connection?)"),
        ("c2fe0004", "frame at byte 2: expected version 5, got 4"),
    ],
)
def test_another_start_is_refused(start: str, message: str) -> None:
    assert str(stream_refusal(bytes.fromhex(start) + bytes(4))) == message


def test_the_magic_is_named_before_other_mistakes() -> None:
    assert "magic" in str(stream_refusal(b"\xff" * 8))


def test_a_wrong_checksum_is_refused_where_it_stands() -> None:
    frame = bytearray(encode_tcp_frame(b"abc"))
    frame[-1] ^= 1
    assert str(stream_refusal(bytes(frame))) == "checksum at byte 11: expected Adler-32 14cb02ef, got 14cb02ee"


def test_a_wrong_checksum_in_a_later_frame_counts_from_its_own_start() -> None:
    decoder = TcpDecoder(LIMIT)
    decoder.feed(EMPTY_FRAME + EMPTY_FRAME[:-1] + b"\0")
    assert decoder.next_body() == b""
    assert refusal(decoder.next_body).offset == 8


@pytest.mark.parametrize("size", [0, 1, 17])
def test_a_body_of_exactly_the_limit_is_accepted(size: int) -> None:
    assert decode([encode_tcp_frame(bytes(size))], size) == ([bytes(size)], "")


@given(st.integers(1, 0xFFFFFFFF), st.data())
def test_a_body_over_the_limit_is_refused_at_its_eighth_byte(size: int, data: st.DataObject) -> None:
    limit = data.draw(st.integers(0, size - 1))
    head = bytes.fromhex("c2fe0005") + size.to_bytes(4, "big")
    decoder = TcpDecoder(limit)
    decoder.feed(head[:7])
    assert decoder.next_body() is None
    decoder.feed(head[7:])
    error = refusal(decoder.next_body)
    assert str(error) == f"frame at byte 4: expected a body of at most {limit} bytes, got {size}"
    assert decoder.pending == 8


def test_a_body_over_the_limit_is_refused_even_when_it_is_all_there() -> None:
    assert "at most 16 bytes, got 17" in str(stream_refusal(encode_tcp_frame(bytes(17)), 16))


def test_the_limit_may_change_between_frames() -> None:
    decoder = TcpDecoder(1)
    decoder.feed(encode_tcp_frame(b"a") + encode_tcp_frame(b"bb"))
    assert decoder.next_body() == b"a"
    decoder.max_body = 2
    assert decoder.next_body() == b"bb"


def test_the_bytes_of_a_part_of_a_frame_are_pending() -> None:
    decoder = TcpDecoder(LIMIT)
    decoder.feed(EMPTY_FRAME + b"\xc2\xfe")
    assert decoder.pending == len(EMPTY_FRAME) + 2
    decoder.next_body()
    assert decoder.pending == 2


def test_an_idle_decoder_keeps_nothing_of_what_it_was_fed() -> None:
    data = encode_tcp_frame(b"x" * 100)
    before = sys.getrefcount(data)
    decoder = TcpDecoder(LIMIT)
    decoder.feed(data)
    assert decoder.next_body() == b"x" * 100
    assert decoder.next_body() is None
    assert sys.getrefcount(data) == before
    assert decoder.pending == 0


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_buffer_can_be_fed(kind: Any) -> None:
    frame = encode_tcp_frame(b"abc")
    assert decode([kind(frame[:5]), kind(frame[5:]), kind(frame)]) == ([b"abc", b"abc"], "")


def test_a_buffer_may_be_used_again_after_it_was_fed() -> None:
    buffer = bytearray(EMPTY_FRAME)
    decoder = TcpDecoder(LIMIT)
    decoder.feed(buffer)
    buffer[:] = bytes(len(buffer))
    assert decoder.next_body() == b""


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2]])
@pytest.mark.parametrize("already", [b"", EMPTY_FRAME[:5], EMPTY_FRAME * 2 + b"\xc2"])
def test_what_is_no_bytes_is_refused_and_changes_nothing(wrong: Any, already: bytes) -> None:
    decoder = TcpDecoder(LIMIT)
    decoder.feed(already)
    decoder.next_body()
    before = decoder.pending
    with pytest.raises(TypeError, match="bytes-like object is required"):
        decoder.feed(wrong)
    assert decoder.pending == before


def test_a_body_is_bytes_whatever_was_fed() -> None:
    decoder = TcpDecoder(LIMIT)
    for piece in single_bytes(encode_tcp_frame(b"abc")):
        decoder.feed(bytearray(piece))
    assert type(decoder.next_body()) is bytes


@pytest.mark.parametrize(
    ("head", "offset"), [((1, 5, 0), 0), ((0xC2FE, 4, 0), 2), ((0xC2FE, 5, 11), 4)], ids=["magic", "version", "size"]
)
def test_the_first_eight_bytes_can_be_judged_alone(head: tuple[int, int, int], offset: int) -> None:
    assert frame_header_error(*head, 10).offset == offset


# --------------------------------------------------------------------------------------------------------- WebSocket


def test_a_websocket_packet_is_its_own_header_both_parts_and_a_checksum() -> None:
    expected = bytes.fromhex("c2fe 0004 0003 0002 0004 00000007") + b"headpayload"
    assert encode_websocket_packet(b"head", b"payload") == with_checksum(expected)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_websocket_packet_gives_the_header_and_payload_it_was_made_of(header: bytes, payload: bytes) -> None:
    assert decode_websocket_packet(encode_websocket_packet(header, payload), LIMIT) == (header, payload)


@pytest.mark.parametrize("size", [0, 1, 17])
def test_a_message_too_short_for_a_packet_is_refused(size: int) -> None:
    error = refusal(decode_websocket_packet, bytes(size), LIMIT)
    assert str(error) == f"packet at byte {size}: expected at least 18 bytes, got {size}"


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (0, "packet at byte 0: expected magic c2fe, got c2ff (is this a MIMC connection?)"),
        (2, "packet at byte 2: expected version 4, got 5"),
        (4, "packet at byte 4: expected header type 3, got 2"),
        (6, "packet at byte 6: expected payload type 2, got 3"),
    ],
)
def test_another_start_of_a_packet_is_refused(offset: int, message: str) -> None:
    packet = bytearray(encode_websocket_packet(b"head", b"payload"))
    packet[offset + 1] ^= 1
    assert str(refusal(decode_websocket_packet, bytes(packet), LIMIT)) == message


def test_a_packet_of_exactly_the_limit_is_accepted() -> None:
    assert decode_websocket_packet(encode_websocket_packet(b"head", b"payload"), 11) == (b"head", b"payload")


def test_a_packet_over_the_limit_is_refused() -> None:
    error = refusal(decode_websocket_packet, encode_websocket_packet(b"head", b"payload"), 10)
    assert str(error) == "packet at byte 8: expected header and payload of at most 10 bytes, got 11"


def test_a_packet_that_announces_too_much_is_refused_by_the_limit() -> None:
    head = bytes.fromhex("c2fe 0004 0003 0002 ffff ffffffff")
    error = refusal(decode_websocket_packet, with_checksum(head), LIMIT)
    assert "at most 1000 bytes, got 4295032830" in str(error)


def test_a_second_packet_in_the_message_is_refused() -> None:
    packet = encode_websocket_packet(b"head", b"payload")
    error = refusal(decode_websocket_packet, packet * 2, LIMIT)
    assert str(error) == "packet at byte 29: expected one packet of 29 bytes in the message, got 58 bytes"


def test_a_cut_off_packet_is_refused_where_it_ends() -> None:
    packet = encode_websocket_packet(b"head", b"payload")
    error = refusal(decode_websocket_packet, packet[:-1], LIMIT)
    assert str(error) == "packet at byte 28: expected one packet of 29 bytes in the message, got 28 bytes"


def test_a_wrong_checksum_of_a_packet_is_refused_where_it_stands() -> None:
    packet = bytearray(encode_websocket_packet(b"head", b"payload"))
    packet[-1] ^= 1
    error = refusal(decode_websocket_packet, bytes(packet), LIMIT)
    assert (error.where, error.offset) == ("checksum", 25)
    assert error.problem.startswith("expected Adler-32 ")


@given(mutated(packets) | st.binary(max_size=60))
def test_a_message_is_one_whole_packet_or_refused(message: bytes) -> None:
    try:
        header, payload = decode_websocket_packet(message, LIMIT)
    except RemoteProtocolError:
        return
    assert encode_websocket_packet(header, payload) == message


@given(packets, st.data())
def test_a_flipped_bit_of_a_packet_is_refused(packet: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(packet) * 8 - 1))
    broken = bytearray(packet)
    broken[place // 8] ^= 1 << place % 8
    refusal(decode_websocket_packet, bytes(broken), LIMIT)


@given(packets, st.data())
def test_a_truncated_packet_is_refused(packet: bytes, data: st.DataObject) -> None:
    refusal(decode_websocket_packet, packet[: data.draw(st.integers(0, len(packet) - 1))], LIMIT)


def test_there_are_two_framings() -> None:
    assert [framing.value for framing in Framing] == ["tcp", "websocket"]
