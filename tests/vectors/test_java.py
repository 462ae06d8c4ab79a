"""One whole session of the official Java client: every frame both ways is read, and written again byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from support.vectors import load

from mimc_proto.crypto import BodyCipher, bind_signature, body_key, payload_key, rc4, verify_bind_signature
from mimc_proto.framing import TcpDecoder, encode_tcp_frame, join_body, split_body
from mimc_proto.packets import (
    Bind,
    BindAnswer,
    Body,
    Command,
    Conn,
    ConnAnswer,
    Header,
    Kick,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PingStats,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcPacket,
    UcQuit,
    UcQuitAnswer,
    UcSequenceAck,
    User,
    WireRecord,
)
from mimc_proto.packets.fast import decode_packet
from mimc_proto.packets.wire import walk

JAVA: dict[str, Any] = load("java")
FRAMES: list[dict[str, Any]] = JAVA["frames"]
SIGNED = dict(part.split("=", 1) for part in JAVA["sigBase"].split("&")[1:-1])

every_frame = pytest.mark.parametrize(
    "entry", [pytest.param(entry, id=f"{n}-{entry['dir']}-{entry['cmd']}") for n, entry in enumerate(FRAMES)]
)

UPWARD: dict[str, type[WireRecord]] = {"CONN": Conn, "BIND": Bind, "PING": PingStats, "SECMSG": Packet}
DOWNWARD: dict[str, type[WireRecord]] = {
    "CONN": ConnAnswer,
    "BIND": BindAnswer,
    "KICK": Kick,
    "SECMSG": Packet,
}

ME = User(app_id=2882303761517669588, account="alice", uuid=14241911555171127, resource="JwfaodAW")


def plain_body(entry: dict[str, Any]) -> bytes:
    decoder = TcpDecoder(1 << 20)
    decoder.feed(bytes.fromhex(entry["frame"]))
    body = decoder.next_body()
    assert body is not None
    assert decoder.pending == 0
    return body if entry["cmd"] == Command.CONN else BodyCipher(bytes.fromhex(JAVA["rc4Key"])).apply(body)


def parts(entry: dict[str, Any]) -> tuple[Header, bytes]:
    """The header and the plain payload of a frame."""
    header_bytes, payload = split_body(plain_body(entry))
    header = Header.decode(header_bytes)
    if header.cipher:
        payload = rc4(payload_key(JAVA["securityKey"], header.id or ""), payload)
    return header, payload


def record_of(entry: dict[str, Any]) -> WireRecord | None:
    """The payload as a record; None for UBND, which has none."""
    record = (UPWARD if entry["dir"] == "IN" else DOWNWARD).get(entry["cmd"])
    return record.decode(parts(entry)[1]) if record else None


def body_of(number: int) -> Body:
    record = record_of(FRAMES[number])
    assert isinstance(record, Packet)
    return record.body


def unlimited_body(number: int) -> Any:
    body = body_of(number)
    assert isinstance(body, UcPacket)
    assert body.user == ME
    return body.body


def test_the_body_key_is_derived_from_the_challenge() -> None:
    assert body_key(JAVA["challenge"], "").hex() == JAVA["rc4Key"]


def test_the_signature_is_that_of_the_client() -> None:
    uuid, _, resource = SIGNED["from"].partition("@xiaomi.com/")
    fields: dict[str, Any] = {
        "token": SIGNED["token"],
        "challenge": SIGNED["challenge"],
        "chid": int(SIGNED["chid"]),
        "uuid": int(uuid),
        "resource": resource,
        "packet_id": SIGNED["id"],
        "security_key": JAVA["securityKey"],
    }
    assert bind_signature(**fields) == JAVA["sig"]
    assert verify_bind_signature(JAVA["sig"], **fields)


def test_the_login_carries_that_signature() -> None:
    bind = record_of(FRAMES[2])
    assert isinstance(bind, Bind)
    assert (bind.sig, bind.token) == (JAVA["sig"], SIGNED["token"])


@every_frame
def test_the_body_of_a_frame_is_decrypted(entry: dict[str, Any]) -> None:
    assert plain_body(entry).hex() == entry["body_plain"]


@every_frame
def test_the_header_of_a_frame_is_read(entry: dict[str, Any]) -> None:
    header, _ = parts(entry)
    assert header.unknown == b""
    shown = {str(field.number): field.value for field in walk(header.encode())}
    assert {number: value.decode() if isinstance(value, bytes) else value for number, value in shown.items()} == (
        entry["header"]
    )


@every_frame
def test_the_payload_of_a_frame_is_decrypted(entry: dict[str, Any]) -> None:
    assert parts(entry)[1].hex() == entry["payload_plain"]


@every_frame
def test_a_frame_is_written_again_byte_for_byte(entry: dict[str, Any]) -> None:
    header, payload = parts(entry)
    record = record_of(entry)
    if record is not None:
        payload = record.encode()
    if header.cipher:
        payload = rc4(payload_key(JAVA["securityKey"], header.id or ""), payload)
    body = join_body(header.encode(), payload)
    if entry["cmd"] != Command.CONN:
        body = BodyCipher(bytes.fromhex(JAVA["rc4Key"])).apply(body)
    assert encode_tcp_frame(body).hex() == entry["frame"]


@every_frame
def test_the_hot_path_reads_a_packet_the_same(entry: dict[str, Any]) -> None:
    if entry["cmd"] != Command.SECMSG:
        assert not entry["payload_plain"] or entry["cmd"] in ("CONN", "BIND")
        return
    assert decode_packet(parts(entry)[1]) == record_of(entry)


def test_conn_of_java_has_no_id_and_no_resource() -> None:
    assert parts(FRAMES[0])[0] == Header(uuid=2, server="xiaomi.com", cmd="CONN", cipher=0)


def test_conn_of_java_names_version_and_sdk() -> None:
    conn = record_of(FRAMES[0])
    assert isinstance(conn, Conn)
    assert (conn.version, conn.sdk, conn.udid) == (106, 33, "")


def test_the_answer_to_conn_carries_the_challenge() -> None:
    assert record_of(FRAMES[1]) == ConnAnswer(challenge=JAVA["challenge"], host="stub-fe-1")


def test_the_login_was_accepted() -> None:
    assert record_of(FRAMES[3]) == BindAnswer(result=True)


def test_a_message_to_a_user_is_read() -> None:
    body = body_of(4)
    assert body == P2PMessage(
        sender=ME,
        recipient=User(app_id=ME.app_id, account="bob"),
        payload=b"hello",
        is_store=True,
        biz_type="TEXT",
    )


def test_the_ack_of_a_message_is_read() -> None:
    body = body_of(5)
    assert isinstance(body, PacketAck)
    assert (body.packet_id, body.uuid, body.resource) == ("PGHGKkjGMWyZLzF-1", ME.uuid, ME.resource)
    assert (body.sequence, body.code, body.error_message, body.conv_index) == (1001, 0, "", 1)


def test_a_message_to_a_group_is_read() -> None:
    body = body_of(6)
    assert isinstance(body, P2TMessage)
    assert (body.sender, body.recipient.app_id, body.payload, body.is_store) == (ME, ME.app_id, b"grp", True)


def test_an_online_message_and_its_ack_are_read() -> None:
    message, ack = body_of(8), body_of(9)
    assert isinstance(message, OnlineMessage)
    assert message.payload == b"now"
    assert ack == OnlineMessageAck(
        packet_id="PGHGKkjGMWyZLzF-3", uuid=ME.uuid, resource=ME.resource, code=1, error_message="RECEIVED"
    )


def test_a_pull_is_a_packet_of_type_5() -> None:
    assert getattr(body_of(10), "app_id", None) == ME.app_id


def test_joining_an_unlimited_group_is_read() -> None:
    join, answer = unlimited_body(11), unlimited_body(12)
    assert isinstance(join, UcJoin)
    assert answer == UcJoinAnswer(group=join.group, code=0, text="success")


def test_a_message_of_an_unlimited_group_is_read() -> None:
    sent, listed, ack = unlimited_body(13), unlimited_body(15), unlimited_body(16)
    assert isinstance(sent, UcMessage)
    assert isinstance(listed, UcMessageList)
    [received] = listed.messages
    assert (received.payload, received.user, received.packet_id) == (sent.payload, ME, sent.packet_id)
    assert ack == UcSequenceAck(group=sent.group, sequence=listed.max_sequence or 0)


def test_leaving_an_unlimited_group_is_read() -> None:
    quit_, answer = unlimited_body(18), unlimited_body(19)
    assert isinstance(quit_, UcQuit)
    assert answer == UcQuitAnswer(group=quit_.group, code=0, text="success")


def test_the_end_of_the_session_is_an_empty_kick() -> None:
    assert record_of(FRAMES[21]) == Kick()
