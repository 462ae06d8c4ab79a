"""Broken frames: the first broken byte is named, and what follows is found again."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_cli.decoding.cut import Checksums, cut
from support.decoding import BODY_KEY, decode, decode_one, header, notes, tcp, websocket

from mimc_proto.crypto import rc4
from mimc_proto.framing import EMPTY_FRAME, encode_tcp_frame, join_body
from mimc_proto.packets import Conn

CONN = tcp(header("CONN"), Conn(version=106, udid="").encode())
PACKET = websocket(header("PING"))


def flipped(data: bytes, position: int, mask: int = 1) -> bytes:
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def resealed(frame: bytes) -> bytes:
    """The frame with the checksum that its bytes need."""
    return frame[:-4] + zlib.adler32(frame[:-4]).to_bytes(4, "big")


def frame_of(body: bytes) -> bytes:
    return encode_tcp_frame(body)


def test_a_wrong_magic_is_at_the_first_byte() -> None:
    shown = decode_one(b"\xc3" + CONN[1:])
    assert shown["broken"]["where"] == "frame.magic"
    assert (shown["broken"]["offset"], shown["broken"]["problem"]) == (0, "expected magic c2fe, got c3fe")


def test_a_frame_behind_a_wrong_magic_is_decoded_if_its_length_fits() -> None:
    assert decode_one(b"\xc3" + CONN[1:])["command"] == "CONN"


@pytest.mark.parametrize("version", [0, 3, 6, 0xFFFF])
def test_a_wrong_version_is_at_the_third_byte(version: int) -> None:
    shown = decode_one(resealed(CONN[:2] + version.to_bytes(2, "big") + CONN[4:]))
    assert shown["broken"]["where"] == "frame.version"
    assert shown["broken"]["offset"] == 2
    assert shown["broken"]["problem"] == f"expected version 5 (TCP) or 4 (WebSocket), got {version}"
    assert shown["command"] == "CONN"


def test_a_wrong_checksum_is_at_its_field_and_the_rest_is_shown() -> None:
    shown = decode_one(CONN[:-4] + b"\0\1\2\3")
    assert shown["broken"]["where"] == "checksum"
    assert shown["broken"]["offset"] == len(CONN) - 4
    assert f"expected Adler-32 {CONN[-4:].hex()}, got 00010203" in shown["broken"]["problem"]
    assert shown["checksum"] == {"adler32": "00010203", "valid": False}
    assert shown["payload"]["XMMsgConn"]["version"] == 106


@given(st.data())
def test_one_wrong_byte_before_the_checksum_is_named(data: st.DataObject) -> None:
    position = data.draw(st.integers(16, len(CONN) - 5))
    mask = data.draw(st.integers(1, 255))
    shown = decode_one(flipped(CONN, position, mask))
    told = [
        fault["problem"] for fault in [shown["broken"], *shown.get("also_broken", [])] if "Adler" in fault["problem"]
    ]
    right, wrong = CONN[position], CONN[position] ^ mask
    assert told[0].endswith(f"(it would fit if byte {position} were {right:02x} and not {wrong:02x})")


@given(st.integers(1, 4), st.integers(1, 255))
def test_a_wrong_byte_of_the_checksum_itself_is_not_blamed_on_another(back: int, mask: int) -> None:
    shown = decode_one(flipped(CONN, len(CONN) - back, mask))
    assert "it would fit" not in shown["broken"]["problem"]


@given(st.integers(1, len(CONN) - 1))
def test_a_cut_frame_is_broken_where_the_input_ends(size: int) -> None:
    shown = decode_one(CONN[:size])
    assert (shown["broken"]["where"], shown["broken"]["offset"]) == ("frame", size)
    assert "the input ends here" in shown["broken"]["problem"]
    assert "also_broken" not in shown
    if size >= 8:
        assert f"{len(CONN) - size} are missing" in shown["broken"]["problem"]


@given(st.integers(1, len(PACKET) - 1))
def test_a_cut_packet_is_broken_where_the_input_ends(size: int) -> None:
    assert decode_one(PACKET[:size])["broken"]["offset"] == size


def test_what_is_there_of_a_cut_frame_is_shown() -> None:
    shown = decode_one(CONN[:-6])
    assert shown["command"] == "CONN"
    assert shown["payload"]["XMMsgConn"]["version"] == 106
    assert shown["sizes"]["available"] == len(CONN) - 6


@pytest.mark.parametrize("length", [0, 30, 60, 0x10000, 0xFFFFFFFF])
def test_a_wrong_length_is_found_by_the_checksum(length: int) -> None:
    body = len(CONN) - 12
    wrong = CONN[:4] + struct.pack(">I", length) + CONN[8:]
    for following in (b"", EMPTY_FRAME):
        shown, *others = decode(wrong + following)
        assert shown["broken"]["where"] == "frame.length"
        assert shown["broken"]["offset"] == 4
        assert shown["broken"]["problem"] == f"expected length {body}, with which the checksum fits, got {length}"
        assert shown["command"] == "CONN"
        assert [other["command"] for other in others] == ["PING"] * bool(following)


@pytest.mark.parametrize(("offset", "width"), [(8, 2), (10, 4)])
def test_either_length_of_a_packet_is_found_by_the_checksum(offset: int, width: int) -> None:
    wrong = PACKET[:offset] + b"\x77" * width + PACKET[offset + width :]
    shown = decode_one(wrong)
    assert shown["broken"]["where"] == "frame.length"
    assert shown["broken"]["offset"] == offset
    assert shown["command"] == "PING"


def test_a_length_that_no_receiver_takes_is_broken_itself() -> None:
    shown = decode_one(bytes.fromhex("c2fe0005 7fffffff 0002"))
    assert shown["broken"]["where"] == "frame.length"
    assert shown["broken"]["offset"] == 4


def test_a_wrong_header_type_of_a_packet_is_at_its_field() -> None:
    shown = decode_one(resealed(flipped(PACKET, 5)))
    assert shown["broken"]["problem"] == "expected header type 3, got 2"
    assert shown["broken"]["offset"] == 4
    assert shown["command"] == "PING"


def test_a_wrong_payload_type_of_a_packet_is_at_its_field() -> None:
    shown = decode_one(resealed(flipped(PACKET, 7)))
    assert shown["broken"]["problem"] == "expected payload type 2, got 3"
    assert shown["broken"]["offset"] == 6
    assert shown["payload_type"] == 3


@pytest.mark.parametrize("key", [None, BODY_KEY])
def test_a_wrong_payload_type_of_a_body_is_at_its_field(key: bytes | None) -> None:
    body = join_body(header("CONN" if key is None else "PING"), b"")
    body = b"\0\7" + body[2:]
    frame = frame_of(body) if key is None else tcp_encrypted(body)
    shown = decode_one(frame, body_key=key)
    assert shown["broken"]["where"] == "body.payload_type"
    assert (shown["broken"]["offset"], shown["broken"]["problem"]) == (8, "expected payload type 2, got 7")


def tcp_encrypted(body: bytes) -> bytes:
    return frame_of(rc4(BODY_KEY, body))


@pytest.mark.parametrize("key", [None, BODY_KEY])
def test_lengths_that_do_not_add_up_are_at_their_fields(key: bytes | None) -> None:
    head = header("CONN" if key is None else "PING")
    body = struct.pack(">HHI", 2, len(head), 5) + head
    shown = decode_one(frame_of(body) if key is None else tcp_encrypted(body), body_key=key)
    assert shown["broken"]["where"] == "body.lengths"
    assert shown["broken"]["offset"] == 10
    assert f"8 + {len(head)} + 5 = {len(body) + 5}" in shown["broken"]["problem"]
    assert shown["header"]["resource"] == "pc"


@pytest.mark.parametrize("size", range(1, 8))
def test_a_body_too_short_for_its_lengths_is_broken_without_a_key(size: int) -> None:
    shown = decode_one(frame_of(bytes(size)))
    assert shown["broken"]["where"] == "body"
    assert shown["broken"]["offset"] == 8
    assert shown["broken"]["problem"].endswith(f"got {size}")


def test_bytes_between_frames_are_one_object_and_the_next_frame_is_found() -> None:
    objects = decode(EMPTY_FRAME + b"garbage \xc2\xfe is no frame" + CONN)
    assert [shown.get("command") for shown in objects] == ["PING", None, "CONN"]
    garbage = objects[1]
    assert garbage["sizes"] == {"skipped": 22}
    assert garbage["input_offset"] == garbage["broken"]["input_offset"] == 12
    assert objects[2]["input_offset"] == 34


def test_a_frame_after_a_cut_one_is_found() -> None:
    first, second = decode(CONN[:40] + CONN)
    assert first["broken"]["offset"] == 40
    assert (
        first["broken"]["problem"] == f"expected a frame of {len(CONN)} bytes, got another one that begins 40 bytes on"
    )
    assert "broken" not in second
    assert second["input_offset"] == 40


def test_a_frame_after_one_with_a_wrong_checksum_is_found() -> None:
    first, second = decode(CONN[:-1] + b"\xff" + CONN)
    assert first["broken"]["where"] == "checksum"
    assert "broken" not in second


def test_the_offset_in_the_input_counts_from_its_start() -> None:
    shown = decode(EMPTY_FRAME * 3 + CONN[:-1])[-1]
    assert shown["input_offset"] == 36
    assert shown["broken"]["input_offset"] == 36 + shown["broken"]["offset"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_end_after_the_last_frame_is_only_a_note(end: bytes) -> None:
    shown = decode_one(CONN + end)
    assert "broken" not in shown
    assert "line end" in notes(shown)


def test_other_bytes_after_the_last_frame_are_broken() -> None:
    _, trailing = decode(CONN + b"\n\n\n")
    assert trailing["broken"]["problem"] == "expected magic c2fe, got 0a0a"


def test_text_that_is_no_hex_is_called_so() -> None:
    assert "text, but not hex" in notes(decode_one(b"hello"))


def test_a_frame_larger_than_any_legal_one_gets_a_note() -> None:
    assert "stays under 32768" in notes(decode_one(websocket(header("XYZ"), bytes(40_000))))


@given(st.lists(st.sampled_from([EMPTY_FRAME, CONN, PACKET, CONN[:30], b"\xc2\xfe", b"\0\5", b"x" * 5]), max_size=12))
def test_the_pieces_of_an_input_cover_it_without_gaps(parts: list[bytes]) -> None:
    data = b"".join(parts)
    position = 0
    for piece in cut(data):
        assert piece.start == position
        assert piece.end > position
        position = piece.end
    assert position == len(data)


@given(st.binary(max_size=300), st.integers(0, 12_000), st.integers(0, 12_000))
def test_the_checksum_of_any_range_is_that_of_zlib(pattern: bytes, start: int, size: int) -> None:

    data = (pattern or b"\xff") * 200
    start = min(start, len(data))
    end = min(start + size, len(data))
    assert Checksums(data).of(start, end) == zlib.adler32(data[start:end])


@pytest.mark.parametrize(
    "pattern",
    ["c2fe0005ffffffff", "c2fe0005000c3500", "c2fe00090000000061626364", "c2fe0004000300020000000c3500", "c2fe"],
)
def test_hostile_lengths_cost_no_more_than_their_input(pattern: str) -> None:
    """Frames that announce most of the input each: a decoder that believes them reads it thousands of times."""
    data = bytes.fromhex(pattern) * 50_000
    touched = sum(len(piece.data) for piece in cut(data))
    assert touched <= len(data)
