"""Protobuf down to the text: every type is shown, what is broken has its place, what is odd is a note."""

from __future__ import annotations

from typing import Any

import pytest
from mimc_cli.decoding import PLAIN_MESSAGES, decode_plain
from support.decoding import SECURITY_KEY, decode_one, down, header, leaves, notes, sealed, websocket

from mimc_proto.packets import (
    BindAnswer,
    Conn,
    ConnAnswer,
    Group,
    Kick,
    ListStatus,
    Notify,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2PPush,
    P2TMessage,
    P2TPush,
    Packet,
    PacketAck,
    PacketList,
    PacketType,
    PingStats,
    Pull,
    PushServiceConfig,
    RtsSignal,
    SequenceAck,
    UcDismiss,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcOnlineUsersAnswer,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcQuit,
    UcQuitAnswer,
    UcSequenceAck,
    UcType,
    UnknownBody,
    UploadRequest,
    User,
)
from mimc_proto.packets.wire import encode_tag, encode_varint

BIG = 2**63 - 1
ALICE, GROUP = User(app_id=2**64 - 1, account="alice", uuid=7, resource="pc"), Group(app_id=1, topic_id=BIG)
SHOWN_ALICE = {"appId": "18446744073709551615", "appAccount": "alice", "uuid": "7", "resource": "pc"}
SHOWN_GROUP = {"appId": "1", "topicId": str(BIG)}
TEXT, SHOWN_TEXT = "你好".encode(), {"size": 6, "text": "你好"}
UC_MESSAGE = UcMessage(group=GROUP, payload=TEXT, sequence=5)
SHOWN_UC_MESSAGE = {"group": SHOWN_GROUP, "payload": SHOWN_TEXT, "sequence": "5"}

BODIES: list[tuple[Any, str, dict[str, Any]]] = [
    (
        P2PMessage(sender=ALICE, recipient=ALICE, payload=TEXT, is_store=False, biz_type="b"),
        "MIMCP2PMessage",
        {"from": SHOWN_ALICE, "to": SHOWN_ALICE, "payload": SHOWN_TEXT, "isStore": False, "bizType": "b"},
    ),
    (P2TMessage(recipient=GROUP, payload=TEXT), "MIMCP2TMessage", {"to": SHOWN_GROUP, "payload": SHOWN_TEXT}),
    (SequenceAck(uuid=7, sequence=BIG), "MIMCSequenceAck", {"uuid": "7", "sequence": str(BIG)}),
    (
        PacketAck(packet_id="p", code=-3, timestamp=-1, error_message="ungültig"),
        "MIMCPacketAck",
        {"packetId": "p", "timestamp": "-1", "errorMsg": "ungültig", "code": -3},
    ),
    (Pull(uuid=7, resource="pc"), "PullMessageRequest", {"uuid": "7", "resource": "pc"}),
    (
        PacketList(uuid=7, resource="pc", max_sequence=9, min_sequence=1, status=ListStatus.EXCEED_COUNT_LIMIT),
        "MIMCPacketList",
        {"uuid": "7", "resource": "pc", "maxSequence": "9", "status": "STATUS_EXCEED_COUNT_LIMIT", "minSequence": "1"},
    ),
    (
        P2PPush(recipients=(ALICE, ALICE), payload=TEXT, is_system_msg=True),
        "P2PPushMesage",
        {"to": [SHOWN_ALICE, SHOWN_ALICE], "payload": SHOWN_TEXT, "isSystemMsg": True},
    ),
    (P2TPush(recipients=(GROUP,), payload=TEXT), "P2TPushMesage", {"to": [SHOWN_GROUP], "payload": SHOWN_TEXT}),
    (OnlineMessage(recipient=ALICE, payload=TEXT), "MIMCP2PMessage", {"to": SHOWN_ALICE, "payload": SHOWN_TEXT}),
    (OnlineMessageAck(packet_id="p", code=1), "MIMCOnlineMessageAck", {"packetId": "p", "code": 1}),
]

UC_BODIES: list[tuple[Any, str, dict[str, Any]]] = [
    (UcPing(groups=(GROUP, GROUP)), "UCPing", {"group": [SHOWN_GROUP, SHOWN_GROUP]}),
    (UcJoin(group=GROUP), "UCJoin", {"group": SHOWN_GROUP}),
    (
        UcJoinAnswer(group=GROUP, code=0, text="ok"),
        "UCJoinResp",
        {"group": SHOWN_GROUP, "code": 0, "message": "ok"},
    ),
    (UcQuit(group=GROUP), "UCQuit", {"group": SHOWN_GROUP}),
    (UcQuitAnswer(group=GROUP, code=1), "UCQuitResp", {"group": SHOWN_GROUP, "code": 1}),
    (UcSequenceAck(group=GROUP, sequence=4), "UCSequenceAck", {"group": SHOWN_GROUP, "sequence": "4"}),
    (UC_MESSAGE, "UCMessage", SHOWN_UC_MESSAGE),
    (
        UcMessageList(group=GROUP, messages=(UC_MESSAGE,), max_sequence=5),
        "UCMessageList",
        {"group": SHOWN_GROUP, "message": [SHOWN_UC_MESSAGE], "maxSequence": "5"},
    ),
    (UcDismiss(group=GROUP), "UCDismiss", {"group": SHOWN_GROUP}),
    (UcOnlineUsersQuery(group=GROUP), "UCQueryOnlineUsers", {"group": SHOWN_GROUP}),
    (
        UcOnlineUsersAnswer(group=GROUP, user_count=3),
        "UCQueryOnlineUsersResp",
        {"group": SHOWN_GROUP, "userCount": "3"},
    ),
]


def field(number: int, wire_type: int, value: bytes = b"") -> bytes:
    return encode_tag(number, wire_type) + value


def text(number: int, value: bytes) -> bytes:
    return field(number, 2, encode_varint(len(value)) + value)


def inner(shown: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = shown["payload"]["MIMCPacket"]
    return message


# ---------------------------------------------------------------------------------------------- every type of it


@pytest.mark.parametrize(("body", "name", "expected"), BODIES)
def test_a_mimc_packet_is_shown_by_its_type(body: Any, name: str, expected: dict[str, Any]) -> None:
    shown = down(Packet(packet_id="p", body=body))
    assert inner(shown)["type"] == PacketType(Packet.numbers[type(body)]).name
    assert inner(shown)["payload"] == {"size": len(body.encode()), name: expected}
    assert "broken" not in shown
    assert "notes" not in shown


@pytest.mark.parametrize(("body", "name", "expected"), UC_BODIES)
def test_an_unlimited_group_packet_is_shown_by_its_type(body: Any, name: str, expected: dict[str, Any]) -> None:
    shown = down(Packet(packet_id="p", body=UcPacket(user=ALICE, packet_id="q", body=body)))
    packet = inner(shown)["payload"]["UCPacket"]
    assert packet["type"] == UcType(UcPacket.numbers[type(body)]).name
    assert packet["user"] == SHOWN_ALICE
    assert packet["payload"] == {"size": len(body.encode()), name: expected}
    assert "broken" not in shown
    assert "notes" not in shown


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", {"size": 0, "text": ""}),
        (b"line\r\n\ttab", {"size": 10, "text": "line\r\n\ttab"}),
        ("👩‍👩‍👧 ok".encode(), {"size": 21, "text": "👩‍👩‍👧 ok"}),
        (b'{"a": 1}', {"size": 8, "text": '{"a": 1}'}),
        (b"\xff\xfe", {"size": 2, "base64": "//4="}),
        (b"a\0", {"size": 2, "base64": "YQA="}),
        ("\x9b31m".encode(), {"size": 5, "base64": "wpszMW0="}),
    ],
)
def test_a_payload_is_text_if_people_can_read_it(payload: bytes, expected: dict[str, Any]) -> None:
    shown = down(Packet(packet_id="p", body=P2PMessage(recipient=ALICE, payload=payload)))
    assert inner(shown)["payload"]["MIMCP2PMessage"]["payload"] == expected


@pytest.mark.parametrize("body", [RtsSignal(payload=b"\0signal"), UnknownBody(type=77, payload=b"\0signal")])
def test_an_opaque_payload_is_base64(body: Any) -> None:
    assert inner(down(Packet(packet_id="p", body=body)))["payload"] == {"size": 7, "base64": "AHNpZ25hbA=="}


@pytest.mark.parametrize("number", [77, -1])
def test_an_unknown_type_is_its_number_and_a_note(number: int) -> None:
    shown = down(Packet(packet_id="p", body=UnknownBody(type=number)))
    assert inner(shown)["type"] == number
    assert f"MIMCPacket.type: unknown value {number}" in notes(shown)
    assert "broken" not in shown


def test_the_messages_of_a_list_are_shown_one_by_one() -> None:
    packets = tuple(
        Packet(packet_id=f"p{n}", sequence=n, body=P2PMessage(recipient=ALICE, payload=f"text {n}".encode()))
        for n in range(3)
    )
    shown = down(Packet(packet_id="p", body=PacketList(uuid=7, resource="pc", max_sequence=2, packets=packets)))
    assert list(leaves(shown, "text")) == ["text 0", "text 1", "text 2"]
    assert "notes" not in shown


COMMANDS: list[tuple[str, int | None, Any, str, dict[str, Any]]] = [
    ("CONN", 2, Conn(version=106, public_key_n=b"\0\1"), "XMMsgConn", {"publicKeyN": {"size": 2, "base64": "AAE="}}),
    (
        "CONN",
        6,
        ConnAnswer(challenge="abcd", psc=PushServiceConfig(dots=3, fetch_bucket=True)),
        "XMMsgConnResp",
        {"psc": {"fetchBucket": True, "dots": 3}},
    ),
    ("BIND", 6, BindAnswer(result=False, error_type="auto"), "XMMsgBindResp", {"result": False, "error_type": "auto"}),
    ("PING", 2, PingStats(stats=b"abc"), "XMMsgPing", {"stats": {"size": 3, "text": "abc"}}),
    ("KICK", 4, Kick(type="t", reason="r", desc="d"), "XMMsgKick", {"type": "t", "reason": "r", "desc": "d"}),
    ("KICK", 4, Kick(), "XMMsgKick", {}),
    ("NOTIFY", 4, Notify(err_code=-1, err_str="e"), "XMMsgNotify", {"err_code": -1, "err_str": "e"}),
    ("SYNC", 4, UploadRequest(url="u", start=2**64 - 1), "XMMsgU", {"url": "u", "start": "18446744073709551615"}),
]


@pytest.mark.parametrize(("command", "flag", "payload", "name", "expected"), COMMANDS)
def test_the_payload_of_every_command_is_shown(
    command: str, flag: int, payload: Any, name: str, expected: dict[str, Any]
) -> None:
    shown = decode_one(websocket(header(command, dir_flag=flag), payload.encode()))
    assert expected.items() <= shown["payload"][name].items()
    assert "broken" not in shown
    assert "notes" not in shown


@pytest.mark.parametrize("command", ["WHAT", "SYNC", "CTRL", "UBND"])
def test_a_payload_that_no_message_is_known_for_is_kept(command: str) -> None:
    shown = decode_one(websocket(header(command), b"\xff\0"))
    assert shown["payload"] == {"size": 2, "base64": "/wA="}
    assert "broken" not in shown
    assert ("expected none" in notes(shown)) == (command == "UBND")


# -------------------------------------------------------------------------------------------------- broken bytes


def secmsg(payload: bytes) -> tuple[dict[str, Any], int]:
    """A SECMSG from the server with any payload, decoded, and where the payload begins in it."""
    head = header(dir_flag=4)
    return decode_one(websocket(head, sealed(payload)), security_key=SECURITY_KEY), 14 + len(head)


def nested(data: bytes, depth: int) -> tuple[bytes, int]:
    """``data`` as a P2P message in ``depth`` lists; and its offset in the outermost packet."""
    packet, offset = text(1, b"packet-id") + field(4, 0, b"\1") + text(5, data), 15
    offset = len(packet) - len(data)
    for _ in range(depth):
        listed = text(4, packet)
        outer = text(1, b"packet-id") + field(4, 0, b"\6") + text(5, listed)
        offset += len(outer) - len(packet)
        packet = outer
    return packet, offset


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(
    ("broken", "at", "problem"),
    [
        (text(1, b"") + b"\x12\x7f", 3, "field 2 announces 127 bytes, only 0 are left"),
        (text(1, b"") + b"\x12", 3, "a varint is cut off by the end of the message"),
        (text(1, b"") + b"\x07", 2, "expected a wire type of 0 to 5, got 7 in field 0"),
        (text(1, b"") + b"\x02", 2, "expected a field number of 1 to 536870911, got 0"),
        (text(1, b"") + b"\x20" + b"\xff" * 11, 3, "expected a varint of at most 10 bytes"),
        (text(1, b"") + b"\x7c", 2, "field 15 ends a group that was not begun"),
        (text(1, text(2, b"ab\xffc")), 6, "expected UTF-8 text, got byte ff"),
    ],
)
def test_the_first_broken_byte_is_found_at_every_depth(broken: bytes, at: int, problem: str, depth: int) -> None:
    packet, offset = nested(broken, depth)
    shown, base = secmsg(packet)
    expected = "expected a field number" if problem.startswith("expected a wire type") else problem
    assert shown["broken"]["problem"].startswith(expected)
    assert shown["broken"]["offset"] == base + offset + at
    assert shown["broken"]["input_offset"] == base + offset + at
    path = "MIMCPacket" + ".payload.MIMCPacketList.packets[0]" * depth + ".payload.MIMCP2PMessage"
    assert shown["broken"]["where"].startswith(path)


def test_a_broken_header_is_found_in_the_frame() -> None:
    head = header("PING")
    cut_off = head[:-1]
    shown = decode_one(websocket(cut_off))
    assert shown["broken"]["where"] == "ClientHeader"
    start = 14 + head.index(b"id_1") - 1
    assert shown["broken"]["offset"] == start
    assert shown["header"]["cmd"] == "PING"


def test_invalid_utf8_is_found_and_shown_with_replacements() -> None:
    head = header("PING").replace(b"xiaomi", b"xi\xffomi")
    shown = decode_one(websocket(head))
    assert shown["broken"]["where"] == "ClientHeader.server"
    assert shown["broken"]["offset"] == 14 + head.index(b"\xff")
    assert shown["header"]["server"] == "xi\N{REPLACEMENT CHARACTER}omi.com"


REQUIRED: list[tuple[str, bytes, list[str]]] = [
    ("ClientHeader", b"", ["cmd"]),
    ("MIMCPacket", text(1, b"p"), ["type"]),
    ("MIMCPacketAck", b"", ["packetId"]),
    ("MIMCOnlineMessageAck", b"", ["packetId", "code"]),
    ("PullMessageRequest", b"", ["uuid", "resource"]),
    ("XMMsgConnResp", b"", ["challenge"]),
    ("XMMsgBindResp", b"", ["result"]),
    ("XMMsgBindResp", text(1, b"true"), ["result"]),
    ("UCPacket", b"", ["user", "type", "payload", "packetId"]),
    ("UCJoinResp", b"", ["group", "code"]),
    ("UCMessage", b"", ["group", "payload"]),
    ("UCSequenceAck", b"", ["group", "sequence"]),
]


@pytest.mark.parametrize(("name", "data", "missing"), REQUIRED)
def test_a_missing_required_field_is_broken_at_the_end_of_its_message(
    name: str, data: bytes, missing: list[str]
) -> None:
    shown = decode_plain(name, data)
    faults = [shown["broken"], *shown.get("also_broken", [])]
    assert [fault["where"] for fault in faults] == [f"{name}.{field}" for field in missing]
    assert {fault["offset"] for fault in faults} == {len(data)}
    assert "expected the required field" in faults[0]["problem"]


@pytest.mark.parametrize("name", ["MIMCP2PMessage", "MIMCP2TMessage", "MIMCSequenceAck", "XMMsgBind"])
def test_a_field_that_only_this_project_needs_is_advice(name: str) -> None:
    shown = decode_plain(name, b"")
    assert "mimc-proto refuses" in notes(shown)
    assert "broken" not in shown


def test_an_absent_payload_counts_as_an_empty_one() -> None:
    shown, _ = secmsg(text(1, b"packet-id") + field(4, 0, b"\4"))
    assert shown["broken"]["where"] == "MIMCPacket.payload.MIMCPacketAck.packetId"
    assert "payload" not in inner(shown)


def test_a_secmsg_without_a_payload_lacks_its_type() -> None:
    shown, base = secmsg(b"")
    assert shown["broken"]["where"] == "MIMCPacket.type"
    assert shown["broken"]["offset"] == base


def test_several_faults_are_told_in_order_and_not_without_end() -> None:
    shown = decode_plain("UCPing", text(1, b"\xff") * 30)
    assert shown["broken"]["offset"] == 3
    assert [fault["offset"] for fault in shown["also_broken"]] == [6 + 3 * n for n in range(10)]
    assert shown["more_broken"] == 19


def test_every_message_can_be_read_bare() -> None:
    for name in PLAIN_MESSAGES:
        assert decode_plain(name, b"")["message"] == name


# --------------------------------------------------------------------------------------------------------- notes


def test_unknown_fields_are_noted_with_number_and_wire_type() -> None:
    extra = field(99, 0, b"\1") + field(98, 5, b"abcd") + field(97, 1, b"abcdefgh") + text(96, b"x")
    shown = decode_plain("MIMCUser", extra + field(95, 3) + field(95, 4) + extra)
    assert "broken" not in shown
    for number, wire_type in ((99, "varint"), (98, "32-bit"), (97, "64-bit"), (96, "length-delimited")):
        assert f"MIMCUser: unknown field {number} ({wire_type}), ignored by receivers (2 times)" in notes(shown)
    assert "unknown field 95 (group start)" in notes(shown)


def test_a_mistyped_optional_field_is_a_note() -> None:
    shown = decode_one(websocket(header("KICK"), BindAnswer(result=False, error_type="reason").encode()))
    assert "XMMsgKick.type: field 1 is varint where length-delimited is expected" in notes(shown)
    assert shown["payload"]["XMMsgKick"] == {"reason": "reason"}
    assert "broken" not in shown


def test_an_unknown_enum_value_is_a_note() -> None:
    shown = decode_plain("MIMCPacketList", field(5, 0, b"\x63"))
    assert shown["payload"]["MIMCPacketList"] == {"status": 99}
    assert "MIMCPacketList.status: unknown value 99" in notes(shown)


def test_of_a_repeated_single_field_the_last_counts() -> None:
    shown = decode_plain("MIMCUser", text(2, b"a") + text(2, b"b"))
    assert shown["payload"]["MIMCUser"]["appAccount"] == "b"
    assert "comes more than once" in notes(shown)


def test_a_repeated_single_message_is_merged_as_protobuf_does() -> None:
    shown = decode_plain("UCJoin", text(1, field(1, 0, b"\1")) + text(1, field(2, 0, b"\2")))
    assert shown["payload"]["UCJoin"]["group"] == {"appId": "1", "topicId": "2"}


def test_notes_have_an_end() -> None:
    shown = decode_plain("MIMCUser", b"".join(field(number, 0, b"\0") for number in range(100, 200)))
    assert len(shown["notes"]) == 51
    assert shown["notes"][-1] == "and 50 more notes"


def test_a_large_application_payload_is_a_note() -> None:
    shown = down(Packet(packet_id="p", body=P2PMessage(recipient=ALICE, payload=bytes(15361))))
    assert "official clients send at most 15360" in notes(shown)


@pytest.mark.parametrize(
    "head",
    [
        header("PING")[::1] + field(1, 0, b"\1"),
        field(2, 0, b"\x87\x00") + text(5, b"PING"),
        text(5, b"PING") + text(3, b"xiaomi.com"),
        text(5, b"PING") + field(8, 0, b"\x09") + field(9, 0, b"\1"),
    ],
    ids=["repeated", "long varint", "descending", "dir_flag"],
)
def test_a_header_that_java_would_write_otherwise_is_a_note_downwards(head: bytes) -> None:
    assert "not canonical" in notes(decode_one(websocket(head), direction="down"))
    assert "not canonical" not in notes(decode_one(websocket(head), direction="up"))


def test_an_unknown_command_is_a_note() -> None:
    assert "unknown command 'WHAT'" in notes(decode_one(websocket(header("WHAT"))))


def packet_list(*sequences: int | None, **fields: Any) -> Packet:
    packets = tuple(
        Packet(packet_id=f"p{n}", sequence=sequence, body=P2PMessage(recipient=ALICE))
        for n, sequence in enumerate(sequences)
    )
    return Packet(
        packet_id="p",
        body=PacketList(**{"uuid": 7, "resource": "pc", "max_sequence": 9, "packets": packets, **fields}),
    )


LISTS: list[tuple[Packet, str]] = [
    (packet_list(1, 1), "not unique and ascending"),
    (packet_list(2, 1), "not unique and ascending"),
    (packet_list(1, None), "a message without a sequence"),
    (packet_list(1, 10), "maxSequence is 9, below a message's 10"),
    (packet_list(1, max_sequence=None), "maxSequence is missing"),
    (packet_list(1, uuid=8), "MIMCPacketList.uuid is '8', the header's '7'"),
    (packet_list(1, resource="other"), "MIMCPacketList.resource is 'other', the header's 'pc'"),
    (
        Packet(
            packet_id="p",
            body=UcPacket(
                user=ALICE,
                packet_id="q",
                body=UcMessageList(group=GROUP, messages=(UC_MESSAGE, UC_MESSAGE), max_sequence=4),
            ),
        ),
        "UCMessageList.maxSequence is 4, below a message's 5",
    ),
]


@pytest.mark.parametrize(("packet", "note"), LISTS)
def test_what_clients_stumble_over_in_a_list_is_a_note(packet: Packet, note: str) -> None:
    shown = down(packet)
    assert note in notes(shown)
    assert "broken" not in shown


def test_a_list_in_order_has_no_notes() -> None:
    assert "notes" not in down(packet_list(1, 5, 9))
    assert "notes" not in down(packet_list())


def test_lists_are_not_judged_upwards() -> None:
    frame = websocket(header(dir_flag=2), sealed(packet_list(2, 1, uuid=8)))
    assert "notes" not in decode_one(frame, security_key=SECURITY_KEY)


def test_lists_within_lists_are_noted_and_end_at_some_depth() -> None:
    shown, _ = secmsg(nested(b"\x0a\x00\x12\x00", 2)[0])
    assert "a list within a list" in notes(shown)
    shown, _ = secmsg(nested(b"", 500)[0])
    assert "more than 8 payloads within each other" in notes(shown)
    assert "broken" not in shown


def test_groups_within_groups_do_not_exhaust_anything() -> None:
    depth = 50_000
    shown = decode_plain("MIMCUser", field(9, 3) * depth + field(9, 4) * depth)
    assert "broken" not in shown
    shown = decode_plain("MIMCUser", field(9, 3) * depth)
    assert shown["broken"]["offset"] == depth
