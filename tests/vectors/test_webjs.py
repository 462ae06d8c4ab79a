"""Packets that the official WebJS client exchanges over WebSocket: read, compared with its own view, written again."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.vectors import load

from mimc_proto.crypto import bind_signature, payload_key, rc4, verify_bind_signature
from mimc_proto.framing import decode_websocket_packet, encode_websocket_packet
from mimc_proto.packets import (
    Bind,
    Command,
    Conn,
    Header,
    Packet,
    PacketList,
    PacketType,
    UcMessageList,
    UcPacket,
    UcPing,
    UcType,
    WireRecord,
)
from mimc_proto.packets.fast import decode_packet

WEBJS: list[dict[str, Any]] = load("webjs")
BY_NAME = {entry["name"]: entry for entry in WEBJS}

every_packet = pytest.mark.parametrize("entry", WEBJS, ids=lambda entry: entry["name"])
with_contents = pytest.mark.parametrize(
    "entry", [entry for entry in WEBJS if "SECMSG" in entry["name"]], ids=lambda entry: entry["name"]
)


def parts(entry: dict[str, Any]) -> tuple[Header, bytes]:
    """The header and the plain payload of a packet."""
    header_bytes, payload = decode_websocket_packet(bytes.fromhex(entry["hex"]), 1 << 20)
    header = Header.decode(header_bytes)
    if entry["rc4_key_base64"]:
        payload = rc4(payload_key(entry["rc4_key_base64"], header.id or ""), payload)
    return header, payload


def record_of(entry: dict[str, Any]) -> WireRecord | None:
    header, payload = parts(entry)
    records: dict[str, type[WireRecord]] = {"CONN": Conn, "BIND": Bind, "SECMSG": Packet}
    return records[header.cmd].decode(payload) if header.cmd in records else None


# A message as a list of (path, value), made of a record and made of what protobuf prints.

Leaves = list[tuple[str, object]]


def leaves(record: WireRecord, path: str = "") -> Leaves:
    """The fields of a record; the body of an envelope by its type and bytes."""
    found: Leaves = []
    for field, value in zip(record.wire_fields, record, strict=False):
        for item in value if field.repeated else (value,):
            place = f"{path}{field.wire_name}"
            if isinstance(item, WireRecord):
                found += leaves(item, f"{place}.")
            elif isinstance(item, str):
                found.append((place, item.encode()))
            elif item is not None:
                found.append((place, item))
    if isinstance(record, (Packet, UcPacket)):
        body, types = record.body, PacketType if isinstance(record, Packet) else UcType
        payload = body.encode() if isinstance(body, WireRecord) else body.payload
        found += [(f"{path}type", types(record.numbers[type(body)]).name), (f"{path}payload", payload)]
    return sorted(found, key=str)


def levels(record: Any) -> list[Leaves]:
    """A record, and then what is in it, as the client prints them line by line."""
    if not isinstance(record, WireRecord):
        return []
    inner: tuple[Any, ...] = ()
    if isinstance(record, (Packet, UcPacket)):
        inner = (record.body,)
    elif isinstance(record, PacketList):
        inner = record.packets
    return [leaves(record), *(level for item in inner for level in levels(item))]


PRINTED = re.compile(r'(?P<open>\w+) \{|(?P<close>\})|(?P<name>\w+): (?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>[\w.-]+))')


def printed_leaves(text: str) -> Leaves:
    """The fields of a message as protobuf prints it on one line."""
    found: Leaves = []
    path: list[str] = []
    for part in PRINTED.finditer(text):
        if part["open"]:
            path.append(part["open"])
        elif part["close"]:
            path.pop()
        else:
            found.append((".".join([*path, part["name"]]), printed_value(part["text"], part["word"])))
    return sorted(found, key=str)


def printed_value(text: str | None, word: str) -> object:
    if text is not None:
        return text.encode().decode("unicode_escape").encode("latin-1")
    if word in ("true", "false"):
        return word == "true"
    return int(word) if word.lstrip("-").isdigit() else word


@every_packet
def test_the_header_is_what_the_client_sees(entry: dict[str, Any]) -> None:
    header, _ = parts(entry)
    assert header.unknown == b""
    assert leaves(header) == printed_leaves(entry["decoded"].split("\n")[0])


@with_contents
def test_the_contents_are_what_the_client_sees(entry: dict[str, Any]) -> None:
    assert levels(record_of(entry)) == [printed_leaves(line) for line in entry["decoded"].split("\n")[1:]]


@every_packet
def test_a_packet_is_written_again_byte_for_byte(entry: dict[str, Any]) -> None:
    header, payload = parts(entry)
    record = record_of(entry)
    if record is not None:
        payload = record.encode()
    if entry["rc4_key_base64"]:
        payload = rc4(payload_key(entry["rc4_key_base64"], header.id or ""), payload)
    assert encode_websocket_packet(header.encode(), payload).hex() == entry["hex"]


@with_contents
def test_the_hot_path_reads_a_packet_the_same(entry: dict[str, Any]) -> None:
    assert decode_packet(parts(entry)[1]) == record_of(entry)


@every_packet
def test_payloads_are_encrypted_downwards_only(entry: dict[str, Any]) -> None:
    header, _ = parts(entry)
    downward_message = entry["name"].startswith("S2C SECMSG")
    assert bool(entry["rc4_key_base64"]) == downward_message == (header.cipher == 1)


def test_conn_of_webjs_has_three_fields() -> None:
    header, _ = parts(BY_NAME["C2S CONN"])
    assert header == Header(server="xiaomi.com", cmd="CONN", id="web17954600375740")


def test_conn_of_webjs_names_its_udid_and_sdk() -> None:
    conn = record_of(BY_NAME["C2S CONN"])
    assert isinstance(conn, Conn)
    assert (conn.version, conn.sdk, conn.udid) == (106, 31, "websocket")


def test_an_empty_kick_is_signed_as_a_zero() -> None:
    entry = BY_NAME["C2S BIND"]
    header, payload = parts(entry)
    bind = Bind.decode(payload)
    fields: dict[str, Any] = {
        "token": bind.token,
        "challenge": entry["challenge"],
        "chid": header.chid,
        "uuid": header.uuid,
        "resource": header.resource,
        "packet_id": header.id,
        "security_key": entry["security_key"],
    }
    assert bind.kick == ""
    assert bind.sig == entry["sig"] == bind_signature(**fields, kick=entry["signed_kick"])
    assert verify_bind_signature(bind.sig, **fields, kick=bind.kick)


def test_a_list_of_messages_is_read_down_to_its_text() -> None:
    packet = record_of(BY_NAME["S2C SECMSG/COMPOUND"])
    assert isinstance(packet, Packet)
    assert isinstance(packet.body, PacketList)
    [inner] = packet.body.packets
    assert isinstance(inner, Packet)
    assert getattr(inner.body, "payload", None) == b"hello"
    assert inner.sequence == packet.body.max_sequence == 1001


def test_a_list_of_an_unlimited_group_is_read_down_to_its_text() -> None:
    packet = record_of(BY_NAME["S2C SECMSG/UC_PACKET/MESSAGE_LIST"])
    assert isinstance(packet, Packet)
    assert isinstance(packet.body, UcPacket)
    assert isinstance(packet.body.body, UcMessageList)
    assert packet.body.body.messages[0].payload.startswith(b"uc ")


def test_a_ping_of_unlimited_groups_may_name_one_twice() -> None:
    packet = record_of(BY_NAME["C2S SECMSG/UC_PACKET/PING"])
    assert isinstance(packet, Packet)
    assert isinstance(packet.body, UcPacket)
    assert isinstance(packet.body.body, UcPing)
    first, second = packet.body.body.groups
    assert first == second


def test_a_command_that_nobody_knows_is_read() -> None:
    header, payload = parts(BY_NAME["S2C WHAT"])
    assert header.cmd == "WHAT"
    assert header.cmd not in list(Command)
    assert payload == b""
