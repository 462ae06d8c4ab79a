"""Every frame made by, or captured from, an official client is decoded to its end."""

from __future__ import annotations

from typing import Any

import pytest
from mimc_cli.decoding import decode_plain
from support import vectors
from support.decoding import decode, decode_one, leaves, notes

GO, JAVA, WEBJS = vectors.load("go"), vectors.load("java"), vectors.load("webjs")

GO_FRAMES = [
    pytest.param(kind, frame, id=f"{kind}-{number}")
    for group in ("client_packets", "server_packets")
    for kind, frames in GO[group].items()
    for number, frame in enumerate(frames)
]
COMMANDS = {"PONG_WITH_HEADER": "PING"}
FLAGS = {2: "CS_REQ", 4: "SC_ONEWAY", 6: "SC_RESP"}


def go(frame: dict[str, Any], **options: Any) -> dict[str, Any]:
    key = bytes.fromhex(frame["body_key_hex"]) or None
    security_key = frame["in"]["security_key"]
    return decode_one(bytes.fromhex(frame["frame_hex"]), body_key=key, security_key=security_key, **options)


@pytest.mark.parametrize(("kind", "frame"), GO_FRAMES)
def test_a_frame_of_the_go_client_shows_its_header_and_sizes(kind: str, frame: dict[str, Any]) -> None:
    shown = go(frame)
    assert shown["command"] == COMMANDS.get(kind, kind.partition("_")[0])
    expected = {**frame["header"], "dir_flag": FLAGS[frame["header"]["dir_flag"]]}
    assert {name: expected[name] for name in shown["header"]} == shown["header"]
    assert shown["direction"] == ("up" if frame["header"]["dir_flag"] == 2 else "down")
    assert shown["checksum"] == {"adler32": f"{frame['adler32']:08x}", "valid": True}
    assert shown["payload_type"] == 2
    assert shown["sizes"] == {
        "frame": frame["body_len"] + 12,
        "body": frame["body_len"],
        "header": len(frame["header_hex"]) // 2,
        "payload": len(frame["payload_plain_hex"]) // 2,
    }


@pytest.mark.parametrize(("kind", "frame"), GO_FRAMES)
def test_a_frame_of_the_go_client_is_not_broken(kind: str, frame: dict[str, Any]) -> None:
    shown = go(frame)
    assert "broken" not in shown
    assert ("notes" in shown) == (kind == "KICK")  # Go reads it as another message


@pytest.mark.parametrize("frame", GO["client_packets"]["SECMSG_P2P"])
def test_a_message_of_the_go_client_is_shown_down_to_its_payload(frame: dict[str, Any]) -> None:
    message = go(frame)["payload"]["MIMCPacket"]["payload"]["MIMCP2PMessage"]
    assert message["to"]["appAccount"] == frame["to"]
    assert message["from"]["appAccount"] == frame["in"]["account"]
    assert message["from"]["appId"] == frame["in"]["app_id"]
    assert message["isStore"] == frame["is_store"]
    assert message["payload"]["size"] == len(frame["msg_hex"]) // 2
    if "text" in message["payload"]:
        assert message["payload"]["text"] == bytes.fromhex(frame["msg_hex"]).decode()


ASCII_BINDS = [frame for frame in GO["client_packets"]["BIND"] if frame["in"]["challenge"].isascii()]


@pytest.mark.parametrize("frame", ASCII_BINDS)  # Go cuts another challenge in another place
def test_a_bind_of_the_go_client_has_a_valid_signature(frame: dict[str, Any]) -> None:
    challenge = frame["in"]["challenge"]
    shown = decode_one(
        bytes.fromhex(frame["frame_hex"]), challenge=challenge, security_key=frame["in"]["security_key"], udid=""
    )
    assert shown["signature"] == "valid"


@pytest.mark.parametrize("frame", GO["client_packets"]["CONN"])
def test_the_fields_of_a_conn_are_shown_without_any_key(frame: dict[str, Any]) -> None:
    [shown] = decode(bytes.fromhex(frame["frame_hex"]))
    fields = shown["payload"]["XMMsgConn"]
    assert fields["udid"] == frame["xmmsg_conn"]["udid"]
    assert fields["version"] == 106


def test_an_empty_frame_is_a_ping() -> None:
    shown = decode_one(bytes.fromhex(GO["empty_ping"]["frame_hex"]))
    assert shown["command"] == "PING"
    assert shown["sizes"] == {"frame": 12, "body": 0}
    assert "broken" not in shown


def test_the_frame_captured_from_the_cloud_is_decoded_down_to_its_text() -> None:
    captured = GO["captured_push"]
    shown = decode_one(
        bytes.fromhex(captured["frame_hex"]),
        body_key=bytes.fromhex(captured["body_key_hex"]),
        security_key=captured["security_key"],
    )
    [packet] = shown["payload"]["MIMCPacket"]["payload"]["MIMCPacketList"]["packets"]
    message = packet["payload"]["MIMCP2PMessage"]
    assert message["payload"] == {"size": 7, "text": "I'm OK!"}
    assert message["from"]["appAccount"] == "linbin"
    assert packet["sequence"] == "15263541607720001"
    assert "notes" not in shown
    assert "broken" not in shown


def test_the_cut_packet_of_the_cloud_ends_in_a_clear_error() -> None:
    data = bytes.fromhex(GO["captured_plain_truncated"]["hex"])
    shown = decode_plain("MIMCPacket", data)
    message = shown["payload"]["MIMCPacket"]
    assert (message["packetId"], message["sequence"], message["type"]) == (
        "09d11706a70a",
        "15263040872000001",
        "PACKET_ACK",
    )
    assert shown["broken"] == {
        "where": "MIMCPacket",
        "offset": data.rindex(b"\x2a\x61") + 1,  # the length that announces too much
        "input_offset": data.rindex(b"\x2a\x61") + 1,
        "problem": f"field 5 announces 97 bytes, only {len(data) - data.rindex(b'*a') - 2} are left",
    }


def test_a_packet_without_a_frame_gets_a_hint() -> None:
    shown = decode_one(bytes.fromhex(GO["captured_plain_truncated"]["hex"]))
    assert shown["broken"]["problem"] == "expected magic c2fe, got 0a0c"
    assert shown["broken"]["offset"] == 0
    assert "--plain" in notes(shown)


def test_a_session_of_the_java_client_needs_the_security_key_alone() -> None:
    session = b"".join(bytes.fromhex(frame["frame"]) for frame in JAVA["frames"])
    objects = decode(session, security_key=JAVA["securityKey"])
    assert [shown["command"] for shown in objects] == [frame["cmd"] for frame in JAVA["frames"]]
    ways = {"IN": "up", "OUT": "down"}
    assert [shown["direction"] for shown in objects] == [ways[frame["dir"]] for frame in JAVA["frames"]]
    assert [shown["sizes"]["payload"] for shown in objects] == [
        len(frame["payload_plain"]) // 2 for frame in JAVA["frames"]
    ]
    assert [shown["input_offset"] for shown in objects][:3] == [0, 74, 149]
    assert not any("broken" in shown or "notes" in shown for shown in objects)
    assert list(leaves(objects, "text")) == ["hello", "grp", "now", "big", "big"]
    assert [shown["signature"] for shown in objects if "signature" in shown] == ["valid"]
    assert "body key: from the challenge in frame 2 and the udid in frame 1" in objects[2]["assumed"]


@pytest.mark.parametrize("packet", [pytest.param(packet, id=packet["name"]) for packet in WEBJS])
def test_a_packet_of_the_webjs_client_is_decoded_as_what_it_is(packet: dict[str, Any]) -> None:
    way, command, *types = packet["name"].replace(" ", "/").split("/")
    shown = decode_one(bytes.fromhex(packet["hex"]), security_key=packet["rc4_key_base64"])
    assert shown["framing"] == "websocket"
    assert shown["command"] == command
    assert "broken" not in shown
    assert list(leaves(shown["payload"], "type"))[: len(types)] == types
    if command not in ("PING", "WHAT", "UBND"):  # which nothing tells apart
        assert shown["direction"] == {"C2S": "up", "S2C": "down"}[way]


def test_the_webjs_client_sends_its_payloads_plain() -> None:
    packet = next(packet for packet in WEBJS if packet["name"] == "C2S SECMSG/P2P_MESSAGE")
    shown = decode_one(bytes.fromhex(packet["hex"]))
    assert shown["encryption"] == {"body": "none", "payload": "none"}
    assert list(leaves(shown, "text")) == ["hello"]


def test_the_webjs_client_signs_a_kick_that_it_leaves_empty() -> None:
    packet = next(packet for packet in WEBJS if packet["name"] == "C2S BIND")
    shown = decode_one(bytes.fromhex(packet["hex"]), challenge=packet["challenge"], security_key=packet["security_key"])
    assert shown["payload"]["XMMsgBind"]["kick"] == ""
    assert shown["signature"] == "valid"


def test_both_framings_may_be_mixed_in_one_input() -> None:
    frames = [bytes.fromhex(GO["empty_ping"]["frame_hex"]), bytes.fromhex(WEBJS[0]["hex"])] * 2
    objects = decode(b"".join(frames))
    assert [shown["framing"] for shown in objects] == ["tcp", "websocket"] * 2
    assert not any("broken" in shown for shown in objects)
