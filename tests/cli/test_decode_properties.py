"""Laws that hold for every input: no exception, one JSON object per line, an exit status that fits."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_cli.decoding import PLAIN_MESSAGES, decode_plain
from support import vectors
from support.decoding import SECURITY_KEY, Shown, decode, header, run, sealed, tcp, websocket
from support.strategies import records

from mimc_proto.packets import Packet

GO, JAVA, WEBJS = vectors.load("go"), vectors.load("java"), vectors.load("webjs")
JAVA_KEYS = {"body_key": bytes.fromhex(JAVA["rc4Key"]), "security_key": JAVA["securityKey"]}


def _vector_frames() -> list[tuple[bytes, dict[str, Any]]]:
    found: list[tuple[bytes, dict[str, Any]]] = []
    for group in ("client_packets", "server_packets"):
        for frames in GO[group].values():
            for frame in frames:
                key = bytes.fromhex(frame["body_key_hex"]) or None
                keys = {"body_key": key, "security_key": frame["in"]["security_key"]}
                found.append((bytes.fromhex(frame["frame_hex"]), keys))
    found += [(bytes.fromhex(frame["frame"]), JAVA_KEYS) for frame in JAVA["frames"]]
    found += [(bytes.fromhex(packet["hex"]), {"security_key": packet["rc4_key_base64"]}) for packet in WEBJS]
    return found


FRAMES = _vector_frames()
frames = st.sampled_from(FRAMES)
directions = st.sampled_from([None, "up", "down"])


def check(objects: list[Shown], size: int) -> None:
    """What holds for every output; `decode` already took it through JSON."""
    position = 0
    for shown in objects:
        assert shown["input_offset"] >= position
        position = shown["input_offset"]
        if "broken" in shown:
            fault = shown["broken"]
            assert 0 <= fault["input_offset"] <= size
            assert fault["input_offset"] == shown["input_offset"] + fault["offset"]
            assert fault["problem"]


@given(st.binary(max_size=400), directions)
def test_any_bytes_are_decoded(data: bytes, direction: str | None) -> None:
    objects = decode(data, direction=direction, body_key=b"k", security_key=SECURITY_KEY)
    assert bool(objects) == bool(data)
    check(objects, len(data))


@given(st.lists(st.sampled_from([b"\xc2\xfe", b"\0\5", b"\0\4", b"\0\0\0\x10", b"\0\2", b"\0", b"CONN", b"\x2a\4"])))
def test_any_mixture_of_familiar_bytes_is_decoded(parts: list[bytes]) -> None:
    data = b"".join(parts)
    check(decode(data), len(data))


@given(frames, st.data(), directions)
def test_any_damage_to_a_real_frame_is_decoded_and_called_broken(
    frame: tuple[bytes, dict[str, Any]], data: st.DataObject, direction: str | None
) -> None:
    encoded, keys = frame
    position = data.draw(st.integers(0, len(encoded) - 1))
    damaged = bytearray(encoded)
    damaged[position] ^= data.draw(st.integers(1, 255))
    objects = decode(bytes(damaged), direction=direction, **keys)
    check(objects, len(encoded))
    assert any("broken" in shown for shown in objects)


@given(frames, st.data())
def test_any_cut_of_a_real_frame_is_broken_where_it_ends(
    frame: tuple[bytes, dict[str, Any]], data: st.DataObject
) -> None:
    encoded, keys = frame
    size = data.draw(st.integers(1, len(encoded) - 1))
    [shown] = decode(encoded[:size], **keys)
    assert shown["broken"]["offset"] == size


@given(frames, st.data(), directions)
def test_any_damage_under_a_right_checksum_is_decoded(
    frame: tuple[bytes, dict[str, Any]], data: st.DataObject, direction: str | None
) -> None:
    encoded, keys = frame
    damaged = bytearray(encoded)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(encoded) - 5))
        damaged[position] ^= data.draw(st.integers(1, 255))
    damaged[-4:] = zlib.adler32(damaged[:-4]).to_bytes(4, "big")
    check(decode(bytes(damaged), direction=direction, **keys), len(encoded))


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_no_byte_of_an_encrypted_frame_makes_the_decoder_fail(mask: int) -> None:
    encoded, keys = FRAMES[0]
    for position in range(len(encoded) - 4):
        damaged = bytearray(encoded)
        damaged[position] ^= mask
        damaged[-4:] = zlib.adler32(damaged[:-4]).to_bytes(4, "big")
        check(decode(bytes(damaged), **keys), len(encoded))


CAPTURED = bytes.fromhex(GO["captured_push"]["mimc_packet_hex"])


@given(st.integers(0, len(CAPTURED) - 1), st.integers(0, 255))
def test_any_byte_of_the_plain_contents_may_be_wrong(position: int, byte: int) -> None:
    """Damage below the encryptions, where protobuf sees it."""
    payload = bytearray(CAPTURED)
    payload[position] = byte
    encoded = websocket(header(dir_flag=4), sealed(bytes(payload)))
    check(decode(encoded, security_key=SECURITY_KEY), len(encoded))


@given(st.sampled_from(PLAIN_MESSAGES), st.binary(max_size=100))
def test_any_bytes_are_read_as_any_bare_message(name: str, data: bytes) -> None:
    shown = decode_plain(name, data)
    assert json.loads(json.dumps(shown)) == shown
    if "broken" in shown:
        assert 0 <= shown["broken"]["offset"] <= len(data)


@given(records(Packet))
def test_a_packet_that_the_core_writes_is_never_broken(packet: Packet) -> None:
    assert "broken" not in decode_plain("MIMCPacket", packet.encode())


@given(st.lists(frames, min_size=1, max_size=4), st.binary(max_size=10))
def test_good_frames_are_found_after_any_garbage(chosen: list[tuple[bytes, dict[str, Any]]], garbage: bytes) -> None:
    encoded = [frame for frame, _ in chosen]
    data = b"".join(b"\xc3" + garbage.replace(b"\xc2", b"") + frame for frame in encoded)
    good = [shown for shown in decode(data) if "broken" not in shown]
    assert [shown["sizes"]["frame"] for shown in good] == [len(frame) for frame in encoded]


@given(st.binary(max_size=200))
def test_the_exit_status_of_the_command_fits_its_output(data: bytes) -> None:
    result = run("decode", stdin=data)
    if result.exit_code == 2:  # an odd number of hex digits
        assert "hex digits" in result.stderr
        return
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == int(any("broken" in shown for shown in objects))
    assert result.exception is None or isinstance(result.exception, SystemExit)


@given(frames, st.binary(min_size=1, max_size=16))
def test_a_wrong_body_key_is_broken_or_not_needed(frame: tuple[bytes, dict[str, Any]], key: bytes) -> None:
    encoded, keys = frame
    [shown] = decode(encoded, body_key=key)
    if shown["framing"] == "websocket" or shown["command"] == "CONN":
        assert "broken" not in shown
    elif key != keys["body_key"]:
        assert shown["broken"]["offset"] == 8


def test_the_frames_of_one_connection_are_decoded_one_by_one() -> None:
    data = b"".join(tcp(header("PING", id=f"id_{n}"), key=b"key") for n in range(100))
    objects = decode(data, body_key=b"key")
    assert [shown["header"]["id"] for shown in objects] == [f"id_{n}" for n in range(100)]
