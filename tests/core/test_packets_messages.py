"""MIMCPacket and its bodies, byte for byte, and lists that hold something broken."""

import pytest
from support.strategies import encode_field

from mimc_proto import pb
from mimc_proto.errors import LocalProtocolError, PacketError
from mimc_proto.packets import (
    BadPacket,
    Group,
    ListStatus,
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
    Pull,
    RtsSignal,
    SequenceAck,
    UcPacket,
    UcPong,
    UnknownBody,
    User,
    WireRecord,
)
from mimc_proto.packets.wire import LENGTH, VARINT

ALICE, BOB = User(account="a"), User(account="b")
ALICE_HEX, BOB_HEX = "120161", "120162"

WIRE: list[tuple[WireRecord, str]] = [
    (
        P2PMessage(sender=ALICE, recipient=BOB, payload=b"hi", is_store=False, biz_type="T"),
        f"0a03{ALICE_HEX} 1203{BOB_HEX} 1a026869 2000 2a0154",
    ),
    (OnlineMessage(sender=ALICE, recipient=BOB, payload=b"hi"), f"0a03{ALICE_HEX} 1203{BOB_HEX} 1a026869"),
    (
        P2TMessage(sender=ALICE, recipient=Group(app_id=1, topic_id=2), payload=b"hi", is_store=True, biz_type=""),
        f"0a03{ALICE_HEX} 1204 08011002 1a026869 2001 2a00",
    ),
    (SequenceAck(uuid=1, resource="r", sequence=2, app_id=3), "0801 120172 1802 2003"),
    (
        PacketAck(
            packet_id="p",
            uuid=1,
            resource="r",
            sequence=2,
            timestamp=3,
            package="k",
            error_message="e",
            code=-1,
            conv_index=4,
        ),
        "0a0170 1001 1a0172 2002 2803 32016b 3a0165 40ffffffffffffffffff01 4804",
    ),
    (Pull(uuid=1, resource="r", app_id=3), "0801 120172 1803"),
    (
        OnlineMessageAck(packet_id="p", uuid=1, resource="r", code=1, error_message="RECEIVED"),
        "0a0170 1001 1a0172 2001 2a085245434549564544",
    ),
    (
        P2PPush(sender=ALICE, recipients=(BOB, ALICE), payload=b"hi", is_store=True, biz_type="T", is_system_msg=True),
        f"0a03{ALICE_HEX} 1203{BOB_HEX} 1203{ALICE_HEX} 1a026869 2001 2a0154 3001",
    ),
    (
        P2TPush(sender=ALICE, recipients=(Group(topic_id=2),), payload=b"hi", is_system_msg=False),
        f"0a03{ALICE_HEX} 12021002 1a026869 3000",
    ),
    (
        PacketList(
            uuid=1,
            resource="r",
            max_sequence=5,
            packets=(Packet(body=RtsSignal()),),
            status=ListStatus.EXCEED_COUNT_LIMIT,
            min_sequence=4,
        ),
        "0801 120172 1805 2204 20072a00 2802 3004",
    ),
    (
        Packet(
            packet_id="p",
            package="k",
            sequence=1,
            timestamp=2,
            conversation=True,
            conv_index=3,
            body=RtsSignal(payload=b"x"),
        ),
        "0a0170 12016b 1801 2007 2a0178 3002 3801 4003",
    ),
]

BODIES: list[tuple[Packet, PacketType]] = [
    (Packet(body=P2PMessage(recipient=BOB)), PacketType.P2P_MESSAGE),
    (Packet(body=P2TMessage(recipient=Group())), PacketType.P2T_MESSAGE),
    (Packet(body=SequenceAck(sequence=1)), PacketType.SEQUENCE_ACK),
    (Packet(body=PacketAck(packet_id="p")), PacketType.PACKET_ACK),
    (Packet(body=Pull(uuid=1, resource="r")), PacketType.PULL),
    (Packet(body=PacketList()), PacketType.COMPOUND),
    (Packet(body=RtsSignal()), PacketType.RTS_SIGNAL),
    (Packet(body=UcPacket(user=ALICE, packet_id="u", body=UcPong())), PacketType.UC_PACKET),
    (Packet(body=P2PPush()), PacketType.P2P_PUSH_MESSAGE),
    (Packet(body=P2TPush()), PacketType.P2T_PUSH_MESSAGE),
    (Packet(body=OnlineMessage(recipient=BOB)), PacketType.ONLINE_MESSAGE),
    (Packet(body=OnlineMessageAck(packet_id="p", code=1)), PacketType.ONLINE_MESSAGE_ACK),
]


def item_of(encoded: str) -> Packet | BadPacket:
    """What a list makes of its one item."""
    [item] = PacketList.decode(encode_field(4, LENGTH, bytes.fromhex(encoded))).packets
    return item


def bad_item(encoded: str) -> BadPacket:
    item = item_of(encoded)
    assert isinstance(item, BadPacket)
    return item


@pytest.mark.parametrize(("record", "encoded"), WIRE, ids=lambda value: type(value).__name__)
def test_a_record_is_written_as_the_official_clients_write_it(record: WireRecord, encoded: str) -> None:
    assert record.encode() == bytes.fromhex(encoded)


@pytest.mark.parametrize(("record", "encoded"), WIRE, ids=lambda value: type(value).__name__)
def test_a_record_is_read_as_the_official_clients_write_it(record: WireRecord, encoded: str) -> None:
    assert type(record).decode(bytes.fromhex(encoded)) == record


@pytest.mark.parametrize(("packet", "kind"), BODIES, ids=lambda value: getattr(value, "name", ""))
def test_the_body_decides_the_type(packet: Packet, kind: PacketType) -> None:
    assert pb.MIMCPacket.FromString(packet.encode()).type == kind


@pytest.mark.parametrize(("packet", "kind"), BODIES, ids=lambda value: getattr(value, "name", ""))
def test_the_type_decides_the_body(packet: Packet, kind: PacketType) -> None:
    assert Packet.decode(packet.encode()) == packet
    assert Packet.bodies[kind] is type(packet.body)


def test_there_is_an_example_of_every_type_here() -> None:
    assert [kind for _, kind in BODIES] == list(PacketType)


def test_the_types_are_those_of_protobuf() -> None:
    assert {kind.name: int(kind) for kind in PacketType} == dict(pb.MIMC_MSG_TYPE.items())


def test_the_statuses_of_a_list_are_those_of_protobuf() -> None:
    assert {f"STATUS_{status.name}": int(status) for status in ListStatus} == dict(pb.MIMC_PUSH_STATUS.items())


def test_a_sequence_ack_of_c_sharp_has_no_app_id() -> None:
    assert SequenceAck.decode(bytes.fromhex("0801 120172 1802")) == SequenceAck(uuid=1, resource="r", sequence=2)


@pytest.mark.parametrize("status", list(ListStatus))
def test_the_status_of_a_list_is_a_member(status: ListStatus) -> None:
    assert PacketList.decode(encode_field(5, VARINT, status)).status is status


def test_a_list_without_a_status_has_none() -> None:
    assert PacketList.decode(b"").status is None


def test_a_good_packet_of_a_list_is_a_packet() -> None:
    assert item_of("0a0161 2007") == Packet(packet_id="a", body=RtsSignal())


def test_a_packet_of_an_unknown_type_is_kept_in_a_list() -> None:
    assert item_of("2063 2a0178") == Packet(body=UnknownBody(type=99, payload=b"x"))


def test_a_broken_packet_of_a_list_is_kept_with_what_can_be_read_of_it() -> None:
    item = bad_item("0a0161 1807 2001 2a0108")
    assert (item.packet_id, item.sequence, item.inside_list, item.header_id) == ("a", 7, True, "")
    assert str(item.error) == (
        "MIMCPacketList.packets[0].P2P_MESSAGE at byte 1: a varint is cut off by the end of the message"
    )


def test_a_broken_packet_without_id_and_sequence_has_none() -> None:
    item = bad_item("2001")
    assert (item.packet_id, item.sequence) == (None, None)
    assert str(item.error) == "MIMCPacketList.packets[0].P2P_MESSAGE.to: expected this required field, got none"


def test_a_broken_id_is_not_kept() -> None:
    item = bad_item("0a02ff61 1807 2007")
    assert (item.packet_id, item.sequence) == (None, 7)
    assert str(item.error) == "MIMCPacketList.packets[0].packetId at byte 0: expected UTF-8 text"


def test_an_empty_id_of_a_broken_packet_is_none() -> None:
    assert bad_item("0a00 1800 2001").packet_id is None


def test_a_sequence_of_zero_of_a_broken_packet_is_kept() -> None:
    assert bad_item("0a00 1800 2001").sequence == 0


def test_a_packet_of_a_list_without_a_type_is_broken() -> None:
    assert str(bad_item("0a0161").error) == "MIMCPacketList.packets[0].type: expected this required field, got none"


def test_a_list_in_a_list_is_broken() -> None:
    item = bad_item("0a0161 1807 2006 2a00")
    assert (item.packet_id, item.sequence) == ("a", 7)
    assert str(item.error) == "MIMCPacketList.packets[0]: a list cannot hold a list"


def test_the_others_of_a_list_are_read_in_their_order() -> None:
    items = PacketList.decode(bytes.fromhex("2205 0a0161 2007 2202 2001 2205 0a0162 2007")).packets
    assert [type(item) for item in items] == [Packet, BadPacket, Packet]
    assert [item.packet_id for item in items] == ["a", None, "b"]


def test_a_list_in_a_packet_names_the_broken_item_from_the_outermost() -> None:
    packet = Packet.decode(bytes.fromhex("2006 2a04 2202 2001"))
    assert isinstance(packet.body, PacketList)
    [item] = packet.body.packets
    assert isinstance(item, BadPacket)
    assert item.error.where == "MIMCPacket.COMPOUND.packets[0].P2P_MESSAGE.to"


def test_a_push_of_the_application_server_may_have_no_recipient() -> None:
    assert P2PPush.decode(b"") == P2PPush(recipients=(), payload=b"")


def test_a_message_may_have_no_text() -> None:
    assert P2PMessage(recipient=BOB).payload == P2TMessage(recipient=Group(topic_id=2)).payload == b""
    assert P2PPush().payload == P2TPush().payload == b""


def test_the_text_of_a_message_is_shown_by_its_length() -> None:
    assert repr(P2PMessage(recipient=BOB, payload=b"secret")) == (
        "P2PMessage(recipient=User(account='b'), payload=<6 bytes>)"
    )


@pytest.mark.parametrize(("encoded", "missing"), [("120172", "uuid"), ("0801", "resource")])
def test_a_pull_has_to_name_who_pulls(encoded: str, missing: str) -> None:
    with pytest.raises(PacketError, match="required field") as caught:
        Pull.decode(bytes.fromhex(encoded))
    assert caught.value.where == f"PullMessageRequest.{missing}"
    with pytest.raises(LocalProtocolError, match=f"Pull.{missing}"):
        Pull(uuid=1, resource="r").replace(**{missing: None}).encode()


def test_a_list_of_too_many_packets_is_refused_whole() -> None:
    item = encode_field(4, LENGTH, b"")
    assert len(PacketList.decode(item * 4096).packets) == 4096
    with pytest.raises(PacketError, match="expected at most 4096 of these, got 4097"):
        PacketList.decode(item * 4097)


def test_a_request_is_no_list() -> None:
    with pytest.raises(PacketError, match="a client sends no lists") as caught:
        Packet.decode_request(Packet(body=PacketList()).encode())
    assert caught.value.where == "MIMCPacket.type"
    assert Packet.decode_request(Packet(body=RtsSignal()).encode()) == Packet(body=RtsSignal())
