"""What a server may send to a bound client: only what every official client can bear."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import APP_ID, ME, PACKAGE, RESOURCE, UUID, message

from mimc_proto import LocalProtocolError, ServerConfig
from mimc_proto._answers import AnswerEncoder
from mimc_proto.packets import (
    Group,
    ListStatus,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2PPush,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    Pull,
    RtsSignal,
    UcDismiss,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcOnlineUsersAnswer,
    UcPacket,
    UcPong,
    UcQuitAnswer,
    UnknownBody,
    User,
)
from mimc_proto.packets.lists import ListItem

GROUP = Group(app_id=APP_ID, topic_id=15)
BOB = User(app_id=APP_ID, account="bob", uuid=77, resource="pc")
OWN_ID = "0000000000ab"
LIMIT = ListStatus.EXCEED_COUNT_LIMIT


def encoded(body: Any, packet_id: str | None = None, timestamp: int | None = None, **config: Any) -> Packet:
    """The packet of an answer as a client reads it."""
    encoder = AnswerEncoder(ME, PACKAGE, ServerConfig(**config))
    return Packet.decode(encoder.encode(body, OWN_ID.encode(), packet_id, timestamp))


def refused(body: Any, packet_id: str | None = None, **config: Any) -> tuple[str, str]:
    """Where and why an answer cannot be sent."""
    with pytest.raises(LocalProtocolError) as caught:
        encoded(body, packet_id, **config)
    return caught.value.where, caught.value.problem


@pytest.mark.parametrize("missing", ["app_id", "account", "uuid", "resource"])
def test_a_receiver_has_all_four_fields(missing: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        AnswerEncoder(ME.replace(**{missing: None}), PACKAGE, ServerConfig())
    assert caught.value.where == missing


# ------------------------------------------------------------------------------------------------------------- acks


def test_an_ack_has_every_field_that_clients_read() -> None:
    packet = encoded(PacketAck(packet_id="m1"))
    ack = PacketAck(
        packet_id="m1",
        uuid=UUID,
        resource=RESOURCE,
        sequence=0,
        timestamp=0,
        package=PACKAGE,
        error_message="",
        code=0,
    )
    assert packet == Packet(packet_id=OWN_ID, package=PACKAGE, sequence=0, timestamp=0, body=ack)


def test_an_ack_says_what_it_was_given() -> None:
    ack = PacketAck(
        packet_id="m1",
        uuid=UUID,
        resource=RESOURCE,
        sequence=5,
        timestamp=6,
        package=PACKAGE,
        error_message="no such group",
        code=-300,
        conv_index=7,
    )
    packet = encoded(ack)
    assert (packet.sequence, packet.timestamp, packet.body) == (5, 6, ack)


@pytest.mark.parametrize(
    "changes",
    [
        {"packet_id": "i" * 8192},
        {"packet_id": "é"},
        {"error_message": "e" * 8192},
        {"code": (1 << 31) - 1},
        {"code": -(1 << 31)},
        {"sequence": (1 << 63) - 1},
        {"timestamp": (1 << 63) - 1},
    ],
    ids=lambda changes: repr(changes)[:30],
)
def test_the_largest_of_everything_fits_an_ack(changes: dict[str, Any]) -> None:
    ack = encoded(PacketAck(packet_id="m1").replace(**changes)).body
    assert {name: getattr(ack, name) for name in changes} == changes


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"packet_id": ""}, "PacketAck.packet_id"),
        ({"packet_id": None}, "PacketAck.packet_id"),
        ({"packet_id": "\ud800"}, "PacketAck.packet_id"),
        ({"packet_id": "i" * 8193}, "PacketAck.packet_id"),
        ({"uuid": 7}, "PacketAck.uuid"),
        ({"resource": "pc"}, "PacketAck.resource"),
        ({"sequence": -1}, "PacketAck.sequence"),
        ({"sequence": 1 << 63}, "PacketAck.sequence"),
        ({"sequence": True, "timestamp": 6}, "PacketAck.sequence"),
        ({"sequence": 5.0, "timestamp": 6.0}, "PacketAck.sequence"),
        ({"timestamp": "now"}, "PacketAck.timestamp"),
        ({"timestamp": -1}, "PacketAck.timestamp"),
        ({"timestamp": 1 << 63}, "PacketAck.timestamp"),
        ({"code": 1 << 31}, "PacketAck.code"),
        ({"code": -(1 << 31) - 1}, "PacketAck.code"),
        ({"code": "bad"}, "PacketAck.code"),
        ({"error_message": "\ud800"}, "PacketAck.error_message"),
        ({"error_message": "e" * 8193}, "PacketAck.error_message"),
        ({"conv_index": -1}, "PacketAck.conv_index"),
    ],
)
def test_an_ack_that_clients_cannot_read_is_refused(changes: dict[str, Any], where: str) -> None:
    assert refused(PacketAck(packet_id="m1").replace(**changes))[0] == where


# ------------------------------------------------------------------------------------------------------------ lists


def test_a_list_names_its_receiver_its_status_and_its_last_sequence() -> None:
    packets = (message(5), message(8, timestamp=1526354160773))
    packet = encoded(PacketList(packets=packets))
    body = PacketList(uuid=UUID, resource=RESOURCE, max_sequence=8, packets=packets, status=ListStatus.NORMAL)
    assert packet == Packet(packet_id=OWN_ID, package=PACKAGE, sequence=8, timestamp=1526354160773, body=body)


def test_a_list_may_cover_more_than_it_holds() -> None:
    packet = encoded(PacketList(packets=(message(5),), max_sequence=9, uuid=UUID, resource=RESOURCE))
    assert (packet.sequence, packet.body.max_sequence) == (9, 9)  # type: ignore[union-attr]


def test_packets_of_groups_may_be_in_a_list() -> None:
    group = message(6, body=P2TMessage(sender=BOB, recipient=GROUP))
    assert len(encoded(PacketList(packets=(message(5), group))).body.packets) == 2  # type: ignore[union-attr]


def test_an_inner_packet_gets_the_package_where_it_has_none() -> None:
    packet = encoded(PacketList(packets=(message(5, package=None), message(6, package="other"))))
    assert [item.package for item in packet.body.packets] == [PACKAGE, "other"]  # type: ignore[union-attr]


def test_a_limit_notice_has_both_sequences_and_no_packets() -> None:
    packet = encoded(PacketList(status=LIMIT, min_sequence=3, max_sequence=9))
    body = PacketList(uuid=UUID, resource=RESOURCE, max_sequence=9, status=LIMIT, min_sequence=3)
    assert packet == Packet(packet_id=OWN_ID, package=PACKAGE, sequence=9, body=body)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"packets": ()}, "PacketList.packets"),
        ({"uuid": 7}, "PacketList.uuid"),
        ({"resource": "pc"}, "PacketList.resource"),
        ({"max_sequence": 4}, "PacketList.packets"),
        ({"max_sequence": "5"}, "PacketList.max_sequence"),
        ({"max_sequence": 1 << 63}, "PacketList.max_sequence"),
        ({"status": 3}, "PacketList.status"),
        ({"min_sequence": 5}, "PacketList.min_sequence"),
        ({"status": LIMIT}, "PacketList"),
        ({"status": LIMIT, "min_sequence": 1, "max_sequence": 5}, "PacketList"),
        ({"packets": (), "status": LIMIT, "min_sequence": 1}, "PacketList"),
        ({"packets": (), "status": LIMIT, "max_sequence": 1}, "PacketList"),
        ({"packets": (message(5), message(5))}, "PacketList.packets[1]"),
        ({"packets": (message(5), message(4))}, "PacketList.packets[1]"),
        ({"packets": (message(0),)}, "PacketList.packets[0]"),
        ({"packets": (message(5).replace(sequence=None),)}, "PacketList.packets[0].sequence"),
        ({"packets": (message(5, timestamp=None),)}, "PacketList.packets[0].timestamp"),
        ({"packets": (message(5, timestamp=-1),)}, "PacketList.packets[0].timestamp"),
        ({"packets": (message(5, packet_id=None),)}, "PacketList.packets[0]"),
        ({"packets": (message(5, packet_id=""),)}, "PacketList.packets[0]"),
        ({"packets": (message(5, body=P2PMessage(recipient=ME)),)}, "PacketList.packets[0]"),
        ({"packets": (message(5, body=P2PMessage(sender=User(uuid=7), recipient=ME)),)}, "PacketList.packets[0]"),
        ({"packets": (message(5, body=P2PMessage(sender=BOB, recipient=None)),)}, "P2PMessage.recipient"),  # type: ignore[arg-type]
        ({"packets": (message(5, body=Pull()),)}, "PacketList.packets[0]"),
        ({"packets": (message(5, body=UnknownBody(type=99)),)}, "PacketList.packets[0]"),
        ({"packets": (P2PMessage(sender=BOB, recipient=ME),)}, "PacketList.packets[0]"),
    ],
)
def test_a_list_that_a_client_would_drop_or_die_of_is_refused(changes: dict[str, Any], where: str) -> None:
    assert refused(PacketList(packets=(message(5),)).replace(**changes))[0] == where


def test_a_list_has_no_more_messages_than_the_configuration_allows() -> None:
    packets = tuple(message(n) for n in range(1, 4))
    encoded(PacketList(packets=packets), max_list_messages=3)
    where, problem = refused(PacketList(packets=packets), max_list_messages=2)
    assert (where, problem) == ("PacketList.packets", "expected at most 2 (max_list_messages), got 3")


def test_a_list_has_no_more_bytes_than_the_configuration_allows() -> None:
    body = PacketList(packets=(message(5, payload=bytes(1000)),))
    encoder = AnswerEncoder(ME, PACKAGE, ServerConfig())
    size = len(encoder.encode(body, OWN_ID.encode(), None, None))
    encoded(body, max_list_bytes=size)
    assert refused(body, max_list_bytes=size - 1) == (
        "PacketList",
        f"expected at most {size - 1} bytes (max_list_bytes), got {size}",
    )


def items(*sequences: int) -> list[ListItem]:
    return [ListItem.of(message(sequence, package=PACKAGE)) for sequence in sequences]


def test_messages_that_were_encoded_before_make_the_same_list() -> None:
    packets = tuple(message(sequence, package=PACKAGE) for sequence in (5, 8))
    encoder = AnswerEncoder(ME, PACKAGE, ServerConfig())
    expected = encoder.encode(PacketList(packets=packets), OWN_ID.encode(), None, None)
    assert encoder.encode(items(5, 8), OWN_ID.encode(), None, None) == expected


@pytest.mark.parametrize("sequences", [(), (5, 5), (5, 4), (0,)])
def test_a_list_of_encoded_messages_that_a_client_would_drop_is_refused(sequences: tuple[int, ...]) -> None:
    assert refused(items(*sequences))[0] == "PacketList.packets"


def test_a_list_of_encoded_messages_has_the_limits_of_other_lists() -> None:
    assert refused(items(1, 2, 3), max_list_messages=2)[0] == "PacketList.packets"
    assert refused(items(1, 2, 3), max_list_bytes=200)[0] == "PacketList"


# ------------------------------------------------------------------------------------------------- unlimited groups


@pytest.mark.parametrize(
    "body",
    [
        UcPong(),
        UcPong(payload=b"x"),
        UcJoinAnswer(group=GROUP, code=0, text=""),
        UcQuitAnswer(group=GROUP, code=1, text="not a member"),
        UcOnlineUsersAnswer(group=GROUP, user_count=5),
    ],
    ids=repr,
)
def test_an_answer_of_an_unlimited_group_repeats_the_requests_id_and_names_the_receiver(body: Any) -> None:
    packet = encoded(body, "join-1", 1526354160772)
    envelope = UcPacket(user=ME, packet_id="join-1", body=body)
    assert packet == Packet(packet_id="join-1", package=PACKAGE, timestamp=1526354160772, body=envelope)


@pytest.mark.parametrize("kind", [UcJoinAnswer, UcQuitAnswer])
def test_the_text_of_an_answer_is_there_even_if_it_is_empty(kind: Any) -> None:
    packet = encoded(kind(group=GROUP, code=0), "join-1")
    assert packet.body.body.text == ""  # type: ignore[union-attr]


def uc_message(sequence: int, **changes: Any) -> UcMessage:
    """A message of an unlimited group as members get it."""
    plain = {"group": GROUP, "payload": b"hi", "sequence": sequence, "user": BOB, "packet_id": f"bob_{sequence}"}
    return UcMessage(**{**plain, **changes})


def test_messages_of_an_unlimited_group_come_in_a_list_with_an_id_of_the_server() -> None:
    messages = (uc_message(5), uc_message(7))
    packet = encoded(UcMessageList(group=GROUP, messages=messages))
    body = UcMessageList(group=GROUP, messages=messages, max_sequence=7)
    assert packet.body == UcPacket(user=ME, packet_id=OWN_ID, body=body)
    assert packet.packet_id == OWN_ID
    assert encoded(UcMessageList(group=GROUP, messages=messages), "own").packet_id == "own"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"messages": ()}, "UcMessageList"),
        ({"max_sequence": 4}, "UcMessageList"),
        ({"max_sequence": "9"}, "UcMessageList.max_sequence"),
        ({"messages": (uc_message(5), uc_message(5))}, "UcMessageList.messages[1]"),
        ({"messages": (uc_message(0),)}, "UcMessageList.messages[0]"),
        ({"messages": (uc_message(5).replace(sequence=None),)}, "UcMessageList.messages[0].sequence"),
        ({"messages": (uc_message(5, user=None),)}, "UcMessageList.messages[0]"),
        ({"messages": (uc_message(5, packet_id=None),)}, "UcMessageList.messages[0]"),
        ({"messages": (message(5),)}, "UcMessageList.messages[0]"),
        ({"group": None}, "UcMessageList.group"),
    ],
)
def test_a_list_of_an_unlimited_group_that_clients_cannot_take_is_refused(changes: dict[str, Any], where: str) -> None:
    whole = UcMessageList(group=GROUP, messages=(uc_message(5),))
    assert refused(whole.replace(**changes))[0] == where


def test_lists_of_unlimited_groups_have_the_limits_of_other_lists() -> None:
    body = UcMessageList(group=GROUP, messages=(uc_message(5), uc_message(6, payload=bytes(1000))))
    assert refused(body, max_list_messages=1)[0] == "UcMessageList.messages"
    assert refused(body, max_list_bytes=1000)[0] == "UcMessageList"


def test_the_end_of_an_unlimited_group_has_an_id_of_the_server() -> None:
    packet = encoded(UcDismiss(group=GROUP))
    assert packet.body == UcPacket(user=ME, packet_id=OWN_ID, body=UcDismiss(group=GROUP))


# --------------------------------------------------------------------------------------------------- online messages


def test_an_online_message_goes_on_as_it_is_under_its_own_id() -> None:
    body = OnlineMessage(sender=BOB, recipient=User(account="alice"), payload=b"now")
    assert encoded(body, "m1") == Packet(packet_id="m1", package=PACKAGE, body=body)
    assert encoded(body, "m1", max_list_bytes=1).body == body  # it is no list


@pytest.mark.parametrize("sender", [None, User(uuid=7)])
def test_an_online_message_has_a_sender(sender: Any) -> None:
    assert refused(OnlineMessage(sender=sender, recipient=ME), "m1")[0] == "OnlineMessage.sender"


def test_the_ack_of_an_online_message_names_the_one_who_gets_it() -> None:
    body = OnlineMessageAck(packet_id="m1", code=1)
    assert encoded(body, "m1").body == body.replace(uuid=UUID, resource=RESOURCE)
    other = body.replace(uuid=5, resource="r")
    assert encoded(other, "m1").body == other


# ---------------------------------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize(
    "body",
    [
        UcPong(),
        UcJoinAnswer(group=GROUP, code=0),
        OnlineMessage(sender=BOB, recipient=ME),
        OnlineMessageAck(packet_id="m", code=1),
    ],
    ids=lambda body: type(body).__name__,
)
@pytest.mark.parametrize("packet_id", [None, ""])
def test_an_answer_needs_the_id_of_its_request(body: Any, packet_id: str | None) -> None:
    assert refused(body, packet_id) == ("packet_id", "expected the packet id of the request, got none")


@pytest.mark.parametrize("packet_id", ["i" * 129, "\ud800", 7])
def test_a_packet_id_is_a_short_text(packet_id: Any) -> None:
    assert refused(UcPong(), packet_id)[0] == "packet_id"
    assert refused(UcDismiss(group=GROUP), packet_id)[0] == "packet_id"


@pytest.mark.parametrize(
    "body",
    [
        RtsSignal(payload=b"x"),
        P2PMessage(sender=BOB, recipient=ME),
        P2PPush(sender=BOB, recipients=(ME,)),
        Pull(),
        UcJoin(group=GROUP),
        UcPacket(user=ME, packet_id="p", body=UcPong()),
        UnknownBody(type=99),
        None,
        b"bytes",
    ],
    ids=lambda body: type(body).__name__,
)
def test_what_no_client_awaits_cannot_be_sent(body: Any) -> None:
    assert refused(body, "p") == ("send", f"a server sends no {type(body).__name__}")


@pytest.mark.parametrize("unknown", [b"\x20\x07", b"\x18\x01", b"\xff\xff"], ids=["type", "sequence", "broken"])
def test_unknown_fields_cannot_undo_what_was_checked(unknown: bytes) -> None:
    plain = message(5)
    body: Any = plain.body
    sly_body = body.replace(unknown=unknown, sender=body.sender.replace(unknown=unknown))
    sly = plain.replace(unknown=unknown, body=sly_body)
    assert encoded(PacketList(packets=(sly,), unknown=unknown)) == encoded(PacketList(packets=(plain,)))


@pytest.mark.parametrize("packets", [None, 5, [message(5)]])
def test_packets_are_a_tuple(packets: Any) -> None:
    assert refused(PacketList().replace(packets=packets))[0] == "PacketList.packets"


@pytest.mark.parametrize("messages", [None, 5])
def test_messages_of_a_group_are_a_tuple(messages: Any) -> None:
    assert refused(UcMessageList(group=GROUP).replace(messages=messages))[0] == "UcMessageList.messages"


@pytest.mark.parametrize(
    "sender",
    [
        "x",
        None,
        User(account="a"),
        User(account="a", uuid=1),
        User(account="a", resource="pc"),
        User(uuid=1, resource="pc"),
        User(account="", uuid=1, resource="pc"),
    ],
)
def test_an_online_message_has_a_sender_to_answer(sender: Any) -> None:
    assert refused(OnlineMessage(sender=sender, recipient=BOB), "m")[0] == "OnlineMessage.sender"


@pytest.mark.parametrize("group", [Group(), Group(app_id=1), Group(topic_id=1)])
def test_a_group_has_both_its_ids(group: Group) -> None:
    assert refused(UcDismiss(group=group))[0] == "UcDismiss.group"


@pytest.mark.parametrize("timestamp", [-1, 1 << 63, "now"])
def test_a_timestamp_is_milliseconds(timestamp: Any) -> None:
    with pytest.raises(LocalProtocolError, match="timestamp"):
        encoded(UcDismiss(group=GROUP), timestamp=timestamp)
