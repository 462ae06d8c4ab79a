"""The hot path's decoder agrees with the schema about every packet and every error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import encode_field, loose_packets, mutated, outcome, records

from mimc_proto.errors import PacketError
from mimc_proto.packets import (
    BadPacket,
    Group,
    ListStatus,
    OnlineMessage,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    PacketType,
    Pull,
    RtsSignal,
    SequenceAck,
    UcPacket,
    UcPing,
    UnknownBody,
    User,
    fast,
)
from mimc_proto.packets.fast import decode_packet, decode_push, decode_request
from mimc_proto.packets.wire import LENGTH, VARINT, read_varint

KINDS = [*PacketType, 0, 99, -1]

MARKED = "\U0010fffd"
"""What the hot path takes for an absent text: a private-use character that nobody sends, but anybody may."""
MARKED_64 = read_varint(MARKED.encode() + b"\x81\x82\x83\x84\x05", 0)[0]
MARKED_32 = read_varint(MARKED.encode() + b"\x07", 0)[0]

ALICE = User(app_id=1, account="alice", uuid=2, resource="pc")
BOB = User(app_id=1, account="bob", uuid=0, resource="")
GROUP = Group(app_id=1, topic_id=3)
P2P = P2PMessage(sender=ALICE, recipient=BOB, payload=b"hello", is_store=True, biz_type="TEXT")
P2T = P2TMessage(sender=ALICE, recipient=GROUP, payload=b"hello", is_store=False, biz_type="")
ACK = PacketAck(
    packet_id="p", uuid=2, resource="pc", sequence=7, timestamp=8, package="app", error_message="", code=0, conv_index=1
)
RECEIPT = SequenceAck(uuid=2, resource="pc", sequence=7, app_id=1)
LIST = PacketList(
    uuid=2,
    resource="pc",
    max_sequence=8,
    packets=(
        Packet(packet_id="a", package="app", sequence=7, timestamp=1, body=P2P),
        Packet(packet_id="b", package="app", sequence=8, timestamp=2, body=P2T),
    ),
    status=ListStatus.NORMAL,
    min_sequence=7,
)


def packet(body: Any, **fields: Any) -> Packet:
    return Packet(**{"packet_id": "p", "package": "app", "sequence": 7, "timestamp": 8, **fields}, body=body)


def agree(data: bytes) -> Any:
    """The outcome of both decoders, which is one."""
    expected = outcome(Packet.decode, data)
    assert outcome(decode_packet, data) == expected
    return expected


def envelope(kind: int, payload: bytes, more: bytes = b"") -> bytes:
    return encode_field(4, VARINT, kind) + encode_field(5, LENGTH, payload) + more


# ---------------------------------------------------------------------------------------------------- on every packet


@given(records(Packet))
def test_both_decoders_read_what_was_encoded(record: Packet) -> None:
    assert decode_packet(record.encode()) == record == Packet.decode(record.encode())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: getattr(kind, "name", str(kind)))
@given(data=st.data())
def test_both_decoders_agree_on_what_a_peer_might_send(kind: int, data: st.DataObject) -> None:
    agree(data.draw(loose_packets(kind)))


@given(st.sampled_from([1, 2, 3, 4, 6]).flatmap(lambda kind: mutated(loose_packets(kind))))
def test_both_decoders_agree_on_packets_that_were_broken_on_the_way(data: bytes) -> None:
    agree(data)


@given(mutated(st.sampled_from([packet(body).encode() for body in (P2P, P2T, ACK, LIST, RECEIPT)])))
def test_both_decoders_agree_on_plain_packets_that_were_broken_on_the_way(data: bytes) -> None:
    agree(data)


@given(st.binary(max_size=60))
def test_both_decoders_agree_on_garbage(data: bytes) -> None:
    agree(data)


@pytest.mark.parametrize("body", [P2P, P2T, ACK, LIST, RECEIPT], ids=lambda body: type(body).__name__)
def test_both_decoders_agree_on_every_changed_byte_of_a_plain_packet(body: Any) -> None:
    whole = packet(body).encode()
    for place in range(len(whole)):
        for flipped in (1, 4, 16, 128, 255):
            agree(whole[:place] + bytes([whole[place] ^ flipped]) + whole[place + 1 :])


@pytest.mark.parametrize("body", [P2P, P2T, ACK, LIST, RECEIPT], ids=lambda body: type(body).__name__)
def test_both_decoders_agree_on_every_cut_of_a_plain_packet(body: Any) -> None:
    whole = packet(body).encode()
    for end in range(len(whole)):
        agree(whole[:end])


# ------------------------------------------------------------------------------------------------- presence and values


@pytest.mark.parametrize(
    "record",
    [
        packet(P2P),
        packet(P2T),
        packet(ACK),
        packet(LIST),
        packet(P2P, conversation=True, conv_index=4),
        packet(P2P, packet_id="", package="", sequence=0, timestamp=0, conversation=False, conv_index=0),
        Packet(body=P2P),
        Packet(body=P2T),
        Packet(body=ACK),
        Packet(body=LIST),
        packet(P2PMessage(recipient=BOB)),
        packet(P2PMessage(sender=User(), recipient=User(), is_store=False, biz_type="")),
        packet(P2TMessage(recipient=Group(app_id=0, topic_id=0))),
        packet(P2TMessage(sender=BOB, recipient=Group())),
        packet(PacketAck(packet_id="p")),
        packet(PacketAck(packet_id="")),
        packet(
            PacketAck(
                packet_id="",
                uuid=0,
                resource="",
                sequence=0,
                timestamp=0,
                package="",
                error_message="",
                code=0,
                conv_index=0,
            )
        ),
        packet(PacketAck(packet_id="p", code=-1, sequence=-(1 << 63), uuid=(1 << 64) - 1)),
        packet(PacketList()),
        packet(PacketList(uuid=0, resource="", max_sequence=0, min_sequence=0)),
        packet(PacketList(status=ListStatus.EXCEED_COUNT_LIMIT)),
        packet(PacketList(status=99)),
        packet(PacketList(packets=(Packet(body=P2P), Packet(body=ACK), Packet(body=Pull(uuid=1, resource="r"))))),
        packet(PacketList(packets=(Packet(body=UnknownBody(type=99, payload=b"x")),))),
        packet(OnlineMessage(recipient=BOB)),
        packet(SequenceAck(sequence=7)),
        packet(SequenceAck(sequence=0, uuid=0, resource="", app_id=0)),
        packet(SequenceAck(sequence=-1, uuid=(1 << 64) - 1, app_id=(1 << 64) - 1)),
        Packet(body=RECEIPT),
        packet(RECEIPT),
        packet(RECEIPT.replace(unknown=b"\x90\x06\x01")),
        packet(RECEIPT, unknown=b"\x90\x06\x01"),
        packet(RtsSignal(payload=b"x")),
        packet(UcPacket(user=ALICE, packet_id="u", body=UcPing(groups=(GROUP,)))),
        packet(UnknownBody(type=99, payload=b"x")),
        packet(P2P.replace(payload=bytes(127))),
        packet(P2P.replace(payload=bytes(128))),
        packet(P2P.replace(payload=bytes(20_000))),
        packet(P2P.replace(biz_type="b" * 200)),
        packet(P2P.replace(sender=ALICE.replace(account="a" * 300))),
        packet(P2P.replace(recipient=ALICE.replace(account="a" * 300))),
        packet(P2T.replace(recipient=GROUP.replace(unknown=encode_field(9, LENGTH, bytes(300))))),
        packet(P2P.replace(sender=ALICE.replace(account="米聊"), biz_type="🙂")),
        packet(P2P.replace(unknown=b"\x90\x06\x01")),
        packet(P2P.replace(sender=ALICE.replace(unknown=b"\x90\x06\x01"))),
        packet(P2T.replace(recipient=GROUP.replace(unknown=b"\x90\x06\x01"))),
        packet(ACK.replace(unknown=b"\x90\x06\x01")),
        packet(LIST.replace(unknown=b"\x90\x06\x01")),
        packet(P2P, unknown=b"\x90\x06\x01"),
        packet(ACK, unknown=b"\x90\x06\x01"),
        packet(LIST, unknown=b"\x90\x06\x01"),
        packet(LIST.replace(packets=(Packet(body=P2P, unknown=b"\x90\x06\x01"),))),
    ],
    ids=lambda record: repr(record)[:60],
)
def test_a_packet_of_any_shape_is_read_as_it_was_written(record: Packet) -> None:
    assert decode_packet(record.encode()) == record


@pytest.mark.parametrize("name", ["packet_id", "package"])
@pytest.mark.parametrize("body", [P2P, P2T, ACK, LIST, RECEIPT], ids=lambda body: type(body).__name__)
def test_a_text_that_stands_for_absence_inside_is_read_like_any_other(name: str, body: Any) -> None:
    record = packet(body, **{name: MARKED})
    assert decode_packet(record.encode()) == record


@pytest.mark.parametrize("name", ["sequence", "timestamp", "conv_index"])
@pytest.mark.parametrize("body", [P2P, P2T, ACK, LIST, RECEIPT], ids=lambda body: type(body).__name__)
def test_a_number_that_stands_for_absence_inside_is_read_like_any_other(name: str, body: Any) -> None:
    record = packet(body, **{name: MARKED_64 - (1 << 64) if MARKED_64 >> 63 else MARKED_64})
    assert decode_packet(record.encode()) == record


@pytest.mark.parametrize(
    "body",
    [
        ACK.replace(packet_id=MARKED),
        ACK.replace(error_message=MARKED),
        ACK.replace(package=MARKED),
        ACK.replace(resource=MARKED),
        ACK.replace(uuid=MARKED_64),
        ACK.replace(code=MARKED_32 - (1 << 32) if MARKED_32 >> 31 else MARKED_32),
        P2P.replace(payload=MARKED.encode()),
        P2P.replace(biz_type=MARKED),
        P2P.replace(sender=ALICE.replace(account=MARKED)),
        RECEIPT.replace(resource=MARKED),
        RECEIPT.replace(uuid=MARKED_64),
        RECEIPT.replace(app_id=MARKED_64),
        RECEIPT.replace(sequence=MARKED_64 - (1 << 64) if MARKED_64 >> 63 else MARKED_64),
        LIST.replace(resource=MARKED),
        LIST.replace(uuid=MARKED_64),
    ],
    ids=lambda body: repr(body)[:60],
)
def test_a_value_in_a_body_that_stands_for_absence_inside_is_read_like_any_other(body: Any) -> None:
    assert decode_packet(packet(body).encode()) == packet(body)


# ----------------------------------------------------------------------------------------------------- odd but allowed


def sender_and_recipient() -> bytes:
    return encode_field(1, LENGTH, ALICE.encode()) + encode_field(2, LENGTH, BOB.encode())


@pytest.mark.parametrize("size", range(12))
def test_an_unknown_field_of_any_size_does_not_stand_in_for_a_missing_payload(size: int) -> None:
    agree(envelope(1, sender_and_recipient() + encode_field(9, LENGTH, bytes(size))))


@pytest.mark.parametrize("times", range(1, 8))
def test_a_repeated_field_does_not_stand_in_for_a_missing_payload(times: int) -> None:
    agree(envelope(1, sender_and_recipient() + b"\x20\x01" * times))


@pytest.mark.parametrize("size", range(12))
def test_a_sender_in_two_parts_is_put_together(size: int) -> None:
    part = encode_field(1, LENGTH, encode_field(2, LENGTH, b"a" * size))
    agree(envelope(1, part + sender_and_recipient()))
    agree(envelope(1, sender_and_recipient() + part))


def test_of_two_payloads_of_an_ack_the_last_counts() -> None:
    first, last = PacketAck(packet_id="p", code=5), PacketAck(packet_id="q")
    data = envelope(4, first.encode(), encode_field(5, LENGTH, last.encode()))
    assert Packet.decode(data) == decode_packet(data) == Packet(body=last)


@pytest.mark.parametrize("kind", [1, 2, 4, 6])
def test_of_two_payloads_the_last_counts(kind: int) -> None:
    bodies = {
        1: (P2P, P2P.replace(biz_type=None)),
        2: (P2T, P2T.replace(biz_type=None)),
        4: (ACK, ACK),
        6: (LIST, LIST),
    }
    first, last = bodies[kind]
    data = envelope(kind, first.encode(), encode_field(5, LENGTH, last.encode()))
    assert agree(data) == agree(envelope(kind, last.encode()))


@pytest.mark.parametrize("statuses", [(1, 99), (99, 1), (99, 2), (2, 1), (99, 98), ((1 << 32) + 1,), ((1 << 64) - 1,)])
def test_of_several_statuses_both_decoders_take_the_same(statuses: tuple[int, ...]) -> None:
    agree(envelope(6, b"".join(encode_field(5, VARINT, status) for status in statuses)))


@pytest.mark.parametrize("kinds", [(1, 99), (99, 1), (1, 4), (4, 1), (6, 4), (99, 4), (4, 99), ((1 << 32) + 4,)])
@pytest.mark.parametrize("body", [P2P, ACK, LIST], ids=lambda body: type(body).__name__)
def test_of_several_types_both_decoders_take_the_same(kinds: tuple[int, ...], body: Any) -> None:
    payload = encode_field(5, LENGTH, body.encode())
    agree(b"".join(encode_field(4, VARINT, kind) for kind in kinds) + payload)
    agree(payload + b"".join(encode_field(4, VARINT, kind) for kind in kinds))


@pytest.mark.parametrize("value", [0, 1, 2, 1 << 32, (1 << 64) - 1])
def test_any_number_but_zero_is_true(value: int) -> None:
    is_store = encode_field(4, VARINT, value)
    agree(envelope(1, sender_and_recipient() + encode_field(3, LENGTH, b"hello") + is_store))
    agree(envelope(1, P2P.encode(), encode_field(7, VARINT, value)))


def test_the_payload_may_come_before_the_type() -> None:
    for body in (P2P, P2T, ACK, LIST, RECEIPT):
        data = encode_field(5, LENGTH, body.encode()) + encode_field(4, VARINT, Packet.numbers[type(body)])
        assert decode_packet(data) == Packet(body=body)


@pytest.mark.parametrize("number", range(1, 9))
def test_a_field_of_another_wire_type_is_an_unknown_one(number: int) -> None:
    for kind, body in ((1, P2P), (4, ACK), (6, LIST)):
        agree(envelope(kind, body.encode(), encode_field(number, LENGTH, b"ab")))
        agree(envelope(kind, body.encode(), encode_field(number, VARINT, 1)))
        agree(envelope(kind, body.encode() + encode_field(number, LENGTH, b"ab")))
        agree(envelope(kind, body.encode() + encode_field(number, VARINT, 1)))


# ------------------------------------------------------------------------------------------------------------- broken


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("body", [P2P, P2T, ACK, LIST, RECEIPT], ids=lambda body: type(body).__name__)
def test_broken_text_of_a_packet_is_the_same_error(number: int, body: Any) -> None:
    error = agree(encode_field(number, LENGTH, b"\xff") + envelope(Packet.numbers[type(body)], body.encode()))
    assert error[0] is PacketError


@pytest.mark.parametrize("number", [1, 3, 6, 7])
def test_broken_text_of_an_ack_is_the_same_error(number: int) -> None:
    assert agree(envelope(4, ACK.encode() + encode_field(number, LENGTH, b"\xff")))[0] is PacketError


@pytest.mark.parametrize("number", [2, 4])
@pytest.mark.parametrize("side", [1, 2])
def test_broken_text_of_a_user_is_the_same_error(side: int, number: int) -> None:
    user = encode_field(side, LENGTH, encode_field(number, LENGTH, b"\xff"))
    other = encode_field(3 - side, LENGTH, b"")
    assert agree(envelope(1, user + other + encode_field(3, LENGTH, b"hello")))[0] is PacketError


def test_broken_text_of_a_message_is_the_same_error() -> None:
    data = envelope(1, sender_and_recipient() + encode_field(3, LENGTH, b"") + encode_field(5, LENGTH, b"\xff"))
    assert agree(data)[0] is PacketError


def test_broken_text_of_a_list_is_the_same_error() -> None:
    assert agree(envelope(6, encode_field(2, LENGTH, b"\xff")))[0] is PacketError


def test_broken_text_of_a_receipt_is_the_same_error() -> None:
    assert agree(envelope(3, encode_field(2, LENGTH, b"\xff") + encode_field(3, VARINT, 7)))[0] is PacketError


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_a_required_field_that_did_not_come_is_the_same_error(kind: int) -> None:
    assert agree(envelope(kind, b""))[0] is PacketError
    assert agree(encode_field(4, VARINT, kind))[0] is PacketError


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 6])
def test_a_payload_that_is_no_message_is_the_same_error(kind: int) -> None:
    assert agree(envelope(kind, b"\x0a\x7f"))[0] is PacketError


def test_a_packet_without_a_type_is_the_same_error() -> None:
    assert agree(encode_field(5, LENGTH, P2P.encode()))[0] is PacketError


@pytest.mark.parametrize(
    "item",
    [
        b"",
        envelope(1, b""),
        envelope(1, b"\x0a\x7f"),
        encode_field(1, LENGTH, b"\xff") + envelope(1, P2P.encode()),
        encode_field(1, LENGTH, b"id") + encode_field(3, VARINT, 7) + envelope(2, b"\x0f"),
        encode_field(1, LENGTH, b"id") + envelope(6, b""),
        envelope(6, LIST.encode()),
        envelope(4, b""),
    ],
)
def test_a_broken_item_of_a_list_is_the_same_bad_packet(item: bytes) -> None:
    good = encode_field(4, LENGTH, packet(P2P).encode())
    data = envelope(6, good + encode_field(4, LENGTH, item) + good)
    agree(data)
    body = decode_packet(data).body
    assert isinstance(body, PacketList)
    assert [type(inner) for inner in body.packets] == [Packet, BadPacket, Packet]


# ------------------------------------------------------------------------------------------------- without the schema


@pytest.fixture
def without_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is left to the schema fails; no user or group is known yet."""

    def left_to_the_schema(data: bytes) -> None:
        pytest.fail(f"{data!r} was left to the schema")

    for cls, name in ((Packet, "decode"), (Packet, "decode_request"), (User, "decode")):
        monkeypatch.setattr(cls, name, left_to_the_schema)
    for name in ("_users", "_groups"):
        monkeypatch.setattr(fast, name, {})


FROM_CLIENTS = [
    packet(P2P),
    packet(P2P.replace(is_store=None, biz_type=None)),
    packet(P2T),
    packet(RECEIPT),
    Packet(packet_id="p", package="app", body=P2P),
    packet(P2P.replace(payload=MARKED.encode()[:1]), sequence=MARKED.encode()[0]),
]
FROM_SERVERS = [*FROM_CLIENTS, packet(ACK), packet(LIST), packet(LIST.replace(status=None)), packet(PacketList())]


@pytest.mark.usefixtures("without_schema")
@pytest.mark.parametrize("record", FROM_SERVERS, ids=lambda record: repr(record)[:60])
def test_plain_packets_need_no_schema(record: Packet) -> None:
    assert decode_packet(record.encode()) == record


@pytest.mark.usefixtures("without_schema")
@pytest.mark.parametrize("record", FROM_CLIENTS, ids=lambda record: repr(record)[:60])
def test_plain_requests_need_no_schema(record: Packet) -> None:
    assert decode_request(record.encode()) == record


# -------------------------------------------------------------------------------------------------------- who is known


def test_more_users_and_groups_than_are_remembered_are_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "MOST_PARTIES", 3)
    for n in [*range(8), *range(8)]:
        to_user = packet(P2P.replace(recipient=User(uuid=n)))
        to_group = packet(P2T.replace(recipient=Group(topic_id=n)))
        assert (decode_packet(to_user.encode()), decode_packet(to_group.encode())) == (to_user, to_group)


@pytest.mark.parametrize("body", [P2P, P2T], ids=lambda body: type(body).__name__)
def test_messages_between_the_same_share_what_tells_who_they_are(body: P2PMessage | P2TMessage) -> None:
    first, second = (decode_packet(packet(body, sequence=sequence).encode()).body for sequence in (7, 8))
    assert isinstance(first, (P2PMessage, P2TMessage))
    assert isinstance(second, (P2PMessage, P2TMessage))
    assert first.sender is second.sender
    assert first.recipient is second.recipient


def test_users_and_groups_are_not_remembered_without_end() -> None:
    for n in range(fast.MOST_PARTIES + 100):
        decode_packet(packet(P2P.replace(recipient=User(uuid=n))).encode())
        decode_packet(packet(P2T.replace(recipient=Group(topic_id=n))).encode())
    assert 1 < len(fast._users) <= fast.MOST_PARTIES
    assert 1 < len(fast._groups) <= fast.MOST_PARTIES


@pytest.mark.parametrize(("size", "remembered"), [(127, True), (128, False)])
def test_only_what_is_short_is_remembered(size: int, remembered: bool) -> None:
    sender = User(account="a" * (size - 2))
    assert len(sender.encode()) == size
    decode_packet(packet(P2P.replace(sender=sender)).encode())
    assert (sender.encode() in fast._users) is remembered


@pytest.mark.parametrize("size", range(124, 130))
@pytest.mark.parametrize("filler", range(5))
def test_an_unknown_field_of_any_size_does_not_stand_in_for_a_missing_recipient(size: int, filler: int) -> None:
    sender = encode_field(1, LENGTH, encode_field(2, LENGTH, b"a" * size))
    agree(envelope(1, sender + encode_field(3, LENGTH, b"hello") + encode_field(9, LENGTH, bytes(filler))))


@pytest.mark.parametrize(
    "user",
    [
        "",
        "0801",  # app id alone
        "1200 2200",  # empty texts
        "0802 0801",  # twice: the last one counts
        "1203616c69 0801",  # in another order
        "088100",  # a longer varint than need be
        "0801 2801",  # a field that is not known
        "1201ff",  # no text
        "2201ff",
        "0a0161",  # another wire type
        "12056162",  # cut off
        "18ffffffffffffffffff01",  # a uuid of 64 bits
    ],
)
def test_a_user_of_any_bytes_is_read_as_the_schema_reads_it(user: str) -> None:
    data = bytes.fromhex(user)
    for side in (1, 2):
        agree(envelope(1, encode_field(side, LENGTH, data) + encode_field(3, LENGTH, b"hello")))


def test_the_bytes_of_a_user_may_be_those_of_a_group() -> None:
    data = bytes.fromhex("0801")
    for kind, party in ((1, User(app_id=1)), (2, Group(app_id=1)), (1, User(app_id=1))):
        decoded = decode_packet(envelope(kind, encode_field(2, LENGTH, data) + encode_field(3, LENGTH, b"hello")))
        assert getattr(decoded.body, "recipient", None) == party


# ------------------------------------------------------------------------------------------------- pushes and requests


def ack_of(data: bytes) -> Any:
    """What `decode_push` has to make of an envelope: of an ack only the ack, everything else as it is."""
    packet = Packet.decode(data)
    return packet.body if isinstance(packet.body, PacketAck) else packet


@pytest.mark.parametrize("body", [ACK, ACK.replace(error_message="*"), ACK.replace(packet_id="\U0010fffd")])
@pytest.mark.parametrize("unknown", [b"", encode_field(99, VARINT, 1)])
def test_of_an_ack_a_client_gets_the_ack(body: PacketAck, unknown: bytes) -> None:
    for data in (
        packet(body).encode(),
        packet(body.replace(unknown=unknown)).encode(),
        packet(body).encode() + unknown,
    ):
        decoded = decode_push(data)
        assert (decoded.body if isinstance(decoded, Packet) else decoded) == ack_of(data)


@pytest.mark.parametrize("tag", [b"\x2a", b"\xaa\x00"], ids=["plain tag", "padded tag"])
def test_of_two_payloads_of_an_ack_a_client_gets_the_last(tag: bytes) -> None:
    first = PacketAck(packet_id="p", code=5, error_message="no", package="app").encode()
    last = PacketAck(packet_id="q", package="app").encode()
    decoded = decode_push(envelope(4, first, tag + bytes([len(last)]) + last))
    assert (decoded.body if isinstance(decoded, Packet) else decoded) == PacketAck(packet_id="q", package="app")


@pytest.mark.parametrize(
    "ack",
    [
        ACK.replace(error_message=MARKED),
        ACK.replace(resource=MARKED),
        ACK.replace(package=MARKED),
        ACK.replace(uuid=MARKED_64),
        ACK.replace(code=MARKED_32 - (1 << 32) if MARKED_32 >> 31 else MARKED_32),
    ],
    ids=repr,
)
def test_an_ack_that_says_what_stands_for_absence_inside_is_read_as_it_is(ack: PacketAck) -> None:
    decoded = decode_push(packet(ack).encode())
    assert (decoded.body if isinstance(decoded, Packet) else decoded) == ack


@pytest.mark.parametrize("sequence", [7, MARKED.encode()[0]], ids=["plain", "a byte of the mark"])
def test_a_usual_ack_comes_without_its_envelope(sequence: int) -> None:
    ack = ACK.replace(sequence=sequence)
    assert decode_push(packet(ack).encode()) == ack


@pytest.mark.parametrize("body", [P2P, P2T, LIST], ids=lambda body: type(body).__name__)
def test_a_client_reads_other_packets_as_always(body: Any) -> None:
    assert decode_push(packet(body).encode()) == packet(body)


@pytest.mark.parametrize(
    "data",
    [b"\x2a\x05", envelope(4, b"\x0a\x05"), envelope(4, b""), b"\x0a\x01\xff" + envelope(4, ACK.encode())],
    ids=["cut off", "cut off inside", "no packet id", "no text"],
)
def test_a_broken_push_is_broken_as_always(data: bytes) -> None:
    with pytest.raises(PacketError) as always:
        Packet.decode(data)
    with pytest.raises(PacketError) as caught:
        decode_push(data)
    assert caught.value == always.value


@pytest.mark.parametrize("body", [P2P, P2T, ACK, SequenceAck(sequence=5)], ids=lambda body: type(body).__name__)
def test_a_server_reads_requests_as_always(body: Any) -> None:
    assert decode_request(packet(body).encode()) == packet(body)


@pytest.mark.parametrize("data", [b"\x2a\x05", envelope(1, b"\x0a\x05"), envelope(1, ALICE.encode())])
def test_a_broken_request_is_broken_as_always(data: bytes) -> None:
    with pytest.raises(PacketError) as always:
        Packet.decode(data)
    with pytest.raises(PacketError) as caught:
        decode_request(data)
    assert caught.value == always.value


@pytest.mark.parametrize("text", ["", "\U0010fffd"], ids=["usual", "marked"])
def test_a_server_reads_no_list(text: str) -> None:
    data = packet(LIST).replace(packet_id=text).encode()
    with pytest.raises(PacketError, match="a client sends no lists"):
        decode_request(data)
    with pytest.raises(PacketError, match="a client sends no lists"):
        decode_request(data + encode_field(4, VARINT, 99))


def test_a_marked_request_is_read_as_always() -> None:
    marked = packet(P2P.replace(payload=MARKED.encode()))
    assert decode_request(marked.encode()) == marked


@pytest.mark.parametrize("count", [4096, 4097])
def test_both_decoders_agree_on_how_long_a_list_may_be(count: int) -> None:
    agree(envelope(6, encode_field(4, LENGTH, Packet(body=P2P, sequence=1).encode()) * count))
