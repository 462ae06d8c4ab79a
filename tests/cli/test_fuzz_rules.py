"""What `mimc fuzz` calls wrong in a server's frames: each a thing on which an official client breaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mimc_cli.fuzzing.listening import Listener
from mimc_cli.fuzzing.rules import header_faults
from support.links import ACCOUNT, APP_ID, ME, RESOURCE, UUID, ScriptedServer, credentials, message

from mimc_proto import Framing
from mimc_proto.packets import (
    BindAnswer,
    Body,
    ConnAnswer,
    Group,
    Header,
    Kick,
    ListStatus,
    OnlineMessage,
    P2PMessage,
    Packet,
    PacketAck,
    PacketList,
    RtsSignal,
    UcMessage,
    UcMessageList,
    UcPacket,
    UcPong,
    User,
)
from mimc_proto.packets.wire import encode_tag, encode_varint

BOB = User(app_id=APP_ID, account="bob", uuid=77, resource="pc")
TOPIC = Group(app_id=APP_ID, topic_id=21)


def faults(make: Callable[[ScriptedServer], bytes], framing: Framing = Framing.TCP) -> list[str]:
    """What is wrong with a frame that comes after the answer to CONN."""
    peer, listener = ScriptedServer(framing), Listener(framing, credentials(), RESOURCE)
    listener.feed(peer.conn_answer())
    assert listener.faults == []
    listener.feed(make(peer))
    return listener.faults


def listed(*packets: Packet, **changes: object) -> PacketList:
    whole = {"uuid": UUID, "resource": RESOURCE, "max_sequence": 6, "status": ListStatus.NORMAL, "packets": packets}
    return PacketList(**{**whole, **changes})  # type: ignore[arg-type]


def unlimited(*sequences: int | None) -> UcPacket:
    messages = tuple(
        UcMessage(group=TOPIC, payload=b"x", sequence=sequence, user=BOB, packet_id="u") for sequence in sequences
    )
    return UcPacket(user=ME, packet_id="u", body=UcMessageList(group=TOPIC, messages=messages, max_sequence=9))


GOOD: list[Body] = [
    PacketAck(packet_id="p", sequence=1, timestamp=1),
    listed(message(5), message(6)),
    listed(max_sequence=9, min_sequence=1, status=ListStatus.EXCEED_COUNT_LIMIT),
    OnlineMessage(sender=BOB, recipient=User(app_id=APP_ID, account=ACCOUNT)),
    unlimited(1, 2),
    UcPacket(user=ME, packet_id="u", body=UcPong()),
]


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("body", GOOD, ids=lambda body: type(body).__name__)
def test_good_packets_have_no_faults(body: Body, framing: Framing) -> None:
    assert faults(lambda peer: peer.push(body), framing) == []


@pytest.mark.parametrize("framing", Framing)
def test_good_commands_have_no_faults(framing: Framing) -> None:
    for make in (
        lambda peer: peer.bind_answer(),
        lambda peer: peer.bind_answer(False, "auto", "invalid-token"),
        lambda peer: peer.kick("single-resource-kick"),
        lambda peer: peer.kick(),
        lambda peer: peer.answer("PING"),
        lambda peer: peer.answer("NOTIFY", b"anything"),
    ):
        assert faults(make, framing) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (PacketAck(packet_id="", sequence=1), "an ack without a packetId"),
        (listed(message(5), resource="other"), f"a list for {UUID}/other"),
        (listed(max_sequence=None), "a list without maxSequence"),
        (listed(message(5), max_sequence=4), "maxSequence of at least 5 expected, got 4"),
        (listed(message(6), message(5)), "sequences that rise expected, got 5 after 6"),
        (listed(message(5), message(5)), "sequences that rise expected, got 5 after 5"),
        (listed(message(5).replace(sequence=None)), "got None after 0"),
        (listed(message(5, body=P2PMessage(recipient=ME))), "a message without from"),
        (listed(message(5, body=listed(message(4)))), "a list with a packet that cannot be read"),
        (OnlineMessage(sender=User(app_id=APP_ID, account="bob"), recipient=ME), "whose from is not complete"),
        (OnlineMessage(recipient=ME), "whose from is not complete"),
        (UcPacket(user=BOB, packet_id="u", body=UcPong()), "whose user is not the receiver"),
        (UcPacket(user=ME.replace(account=None), packet_id="u", body=UcPong()), "with all four fields"),
        (unlimited(2, 1), "whose sequences do not rise"),
        (unlimited(None), "whose sequences do not rise"),
        (RtsSignal(payload=b"x"), "RTS_SIGNAL"),
    ],
)
def test_a_packet_that_breaks_a_client_is_a_fault(body: Body, told: str) -> None:
    [found] = faults(lambda peer: peer.push(body))
    assert told in found


@pytest.mark.parametrize(
    ("command", "payload", "told"),
    [
        ("CONN", b"", "CONN that cannot be read"),
        ("CONN", ConnAnswer(challenge="x").encode(), "at least 2 ASCII characters expected, got 1"),
        ("BIND", b"", "BIND that cannot be read"),
        ("BIND", BindAnswer(result=True).encode()[:1], "BIND that cannot be read"),
        ("KICK", b"\xff", "KICK that cannot be read"),
        ("KICK", Kick(type="single-resource-kick").encode(), "a takeover that is not both type and reason"),
        ("KICK", Kick(reason="single-resource-kick").encode(), "a takeover that is not both type and reason"),
        ("SYNC", b"", "asks clients to upload their logs"),
        ("SECMSG", b"", "a SECMSG without cipher 1"),
    ],
)
def test_a_command_that_breaks_a_client_is_a_fault(command: str, payload: bytes, told: str) -> None:
    [found] = faults(lambda peer: peer.answer(command, payload))
    assert told in found


def test_a_secmsg_without_an_id_or_with_another_key_is_a_fault() -> None:
    assert any("without an id" in fault for fault in faults(lambda peer: peer.push(GOOD[0], "")))

    def closed(peer: ScriptedServer) -> bytes:
        peer.security_key = "AAAA"
        return peer.push(GOOD[0])

    [found] = faults(closed)
    assert "SECMSG that cannot be read" in found


HEADER = Header(chid=9, uuid=UUID, server="xiaomi.com", resource=RESOURCE, cmd="PING", id="1", dir_flag=6, cipher=0)


def last_field(data: bytes) -> bytes:
    """The cipher, two bytes, in three."""
    return data[:-1] + b"\x80\x00"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (HEADER.encode()[2:] + HEADER.encode()[:2], "fields do not ascend"),
        (HEADER.encode() + HEADER.encode()[-2:], "fields do not ascend"),
        (last_field(HEADER.encode()), "field 9 takes more bytes than it needs"),
        (HEADER.replace(dir_flag=7).encode(), "a dir_flag of 1 to 6 expected, got 7"),
        (HEADER.encode()[:-2] + b"\xc8\x00\x00", "field 9 takes more bytes than it needs"),
        (
            HEADER.encode() + encode_tag(15, 2) + b"\x81\x00x",
            "field 15 takes more bytes than it needs",
        ),
    ],
)
def test_a_header_that_is_not_canonical_is_a_fault(data: bytes, told: str) -> None:
    found = faults(lambda peer: peer.raw(data))
    assert any(told in fault for fault in found), found


def test_a_header_that_cannot_be_read_is_a_fault() -> None:
    assert [fault[:30] for fault in header_faults(b"\xff")] == ["a header that cannot be read: "]


def test_fixed_fields_of_a_header_are_what_they_are() -> None:
    assert faults(lambda peer: peer.raw(HEADER.encode() + encode_tag(20, 5) + bytes(4))) == []


def broken_checksum(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 1])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda peer: broken_checksum(peer.answer("PING")), "a frame that is none"),
        (lambda peer: peer.answer("PING")[:3] + b"\x06" + bytes(8), "a frame that is none"),
        (lambda peer: peer.raw_body(b"short"), "5 bytes that are no packet"),
        (lambda peer: peer.raw(encode_tag(1, 0) + encode_varint(9)), "that are no packet"),
    ],
)
def test_what_is_no_frame_is_a_fault(make: Callable[[ScriptedServer], bytes], told: str) -> None:
    [found] = faults(make)
    assert told in found


def test_nothing_is_read_behind_what_is_no_frame_and_no_key() -> None:
    peer, listener = ScriptedServer(), Listener(Framing.TCP, None, RESOURCE)
    listener.feed(b"garbage that is no frame")
    assert listener.broken
    assert listener.feed(peer.conn_answer()) == []
    peer, listener = ScriptedServer(challenge="\x80" * 16), Listener(Framing.TCP, None, RESOURCE)
    listener.feed(peer.answer("CONN", ConnAnswer(challenge="é" * 16).encode()))
    assert any("gives no key" in fault for fault in listener.faults)
    assert listener.broken


def test_faults_are_bounded() -> None:
    peer, listener = ScriptedServer(Framing.WEBSOCKET), Listener(Framing.WEBSOCKET, None, RESOURCE)
    for _ in range(100):
        listener.feed(peer.answer("SYNC"))
    assert len(listener.faults) == 20
