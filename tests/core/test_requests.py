"""What a client may send, with the user's identity filled in."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import APP_ID, ME, PACKAGE, RESOURCE, UUID

from mimc_proto import LocalProtocolError
from mimc_proto._requests import Request, RequestEncoder, wants_answer
from mimc_proto.packets import (
    Group,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    Pull,
    SequenceAck,
    UcJoin,
    UcMessage,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcPong,
    UcQuit,
    UcSequenceAck,
    User,
)

BOB = User(account="bob")
GROUP = Group(app_id=APP_ID, topic_id=15)
UC_MESSAGE = UcMessage(group=GROUP, payload=b"hi")
UC_REQUESTS = [
    UcPing(groups=(GROUP, GROUP)),
    UcJoin(group=GROUP),
    UcQuit(group=GROUP),
    UcOnlineUsersQuery(group=GROUP),
    UcSequenceAck(group=GROUP, sequence=9),
]


def encoder() -> RequestEncoder:
    return RequestEncoder(ME, PACKAGE)


def encoded(body: Request, packet_id: str = "m1") -> Packet:
    """The packet of a request as a server reads it."""
    return Packet.decode(encoder().encode(body, packet_id))


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (P2PMessage(recipient=BOB), True),
        (P2TMessage(recipient=GROUP), True),
        (UC_MESSAGE, True),
        (UcPing(), True),
        (UcJoin(group=GROUP), True),
        (UcQuit(group=GROUP), True),
        (UcOnlineUsersQuery(group=GROUP), True),
        (UcSequenceAck(group=GROUP, sequence=1), False),
        (SequenceAck(sequence=1), False),
        (Pull(), False),
        (OnlineMessage(recipient=BOB), False),
        (OnlineMessageAck(packet_id="m", code=1), False),
    ],
)
def test_a_server_has_to_answer_messages_and_unlimited_groups_soon_but_no_acks(body: Request, answered: bool) -> None:
    assert wants_answer(body) is answered


@pytest.mark.parametrize("missing", ["app_id", "account", "uuid", "resource"])
def test_a_sender_has_all_four_fields(missing: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        RequestEncoder(ME.replace(**{missing: None}), PACKAGE)
    assert caught.value.where == f"Credentials.{missing}"


@pytest.mark.parametrize("biz_type", [None, "", "TEXT"])
@pytest.mark.parametrize("is_store", [True, False])
def test_a_message_to_a_user_names_both_sides(is_store: bool, biz_type: str | None) -> None:
    packet = Packet.decode(encoder().p2p(b"m1", "bob", b"hi", is_store, biz_type))
    body = P2PMessage(
        sender=ME, recipient=BOB.replace(app_id=APP_ID), payload=b"hi", is_store=is_store, biz_type=biz_type
    )
    assert packet == Packet(packet_id="m1", package=PACKAGE, body=body)


@pytest.mark.parametrize("biz_type", [None, "TEXT"])
@pytest.mark.parametrize("topic_id", [0, 15, (1 << 64) - 1])
def test_a_message_to_a_group_names_its_topic(topic_id: int, biz_type: str | None) -> None:
    packet = Packet.decode(encoder().p2t(b"m1", topic_id, b"hi", True, biz_type))
    recipient = Group(app_id=APP_ID, topic_id=topic_id)
    body = P2TMessage(sender=ME, recipient=recipient, payload=b"hi", is_store=True, biz_type=biz_type)
    assert packet == Packet(packet_id="m1", package=PACKAGE, body=body)


@pytest.mark.parametrize("topic_id", [-1, 1 << 64, "15", 1.5, None])
def test_a_topic_is_a_number_of_64_bits(topic_id: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encoder().p2t(b"m1", topic_id, b"hi", True, None)
    assert caught.value.where == "topic_id"


@pytest.mark.parametrize(("account", "biz_type", "where"), [("\ud800", None, "account"), (7, None, "account")])
def test_an_account_is_a_text(account: Any, biz_type: Any, where: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encoder().p2p(b"m1", account, b"hi", True, biz_type)
    assert caught.value.where == where


@pytest.mark.parametrize("biz_type", ["\ud800", 7])
def test_a_biz_type_is_a_text(biz_type: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encoder().p2p(b"m1", "bob", b"hi", True, biz_type)
    assert caught.value.where == "biz_type"
    with pytest.raises(LocalProtocolError) as caught:
        encoder().p2t(b"m1", 15, b"hi", True, biz_type)
    assert caught.value.where == "biz_type"


@pytest.mark.parametrize("kind", [P2PMessage, OnlineMessage])
def test_a_message_as_a_record_gets_its_sender_and_its_application(kind: Any) -> None:
    body = encoded(kind(recipient=BOB, payload=b"hi")).body
    assert body == kind(sender=ME, recipient=BOB.replace(app_id=APP_ID), payload=b"hi")


def test_a_group_message_as_a_record_gets_its_sender_and_its_application() -> None:
    body = encoded(P2TMessage(recipient=Group(topic_id=15), payload=b"hi")).body
    assert body == P2TMessage(sender=ME, recipient=GROUP, payload=b"hi")


def test_what_a_message_says_itself_is_kept() -> None:
    message = P2PMessage(sender=User(account="me"), recipient=User(app_id=5, account="bob"), payload=b"hi")
    assert encoded(message).body == message


@pytest.mark.parametrize("wrong", [None, "bob"])
def test_a_message_has_a_recipient(wrong: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encoded(P2PMessage(recipient=wrong))
    assert caught.value.where == "P2PMessage.recipient"


@pytest.mark.parametrize(
    "body",
    [
        SequenceAck(sequence=9, uuid=5),
        SequenceAck(sequence=9, resource="tv"),
        SequenceAck(sequence=9, app_id=5),
        SequenceAck(sequence=9, unknown=b"\x90\x06\x01"),
        SequenceAck(sequence=-1),
        SequenceAck(sequence=(1 << 63) - 1),
    ],
)
def test_a_sequence_ack_says_what_it_was_given(body: SequenceAck) -> None:
    own = SequenceAck(uuid=UUID, resource=RESOURCE, app_id=APP_ID, sequence=0)
    given = {name: value for name, value in zip(body.field_names, body, strict=True) if value is not None}
    assert encoded(body).body == own.replace(**given)


@pytest.mark.parametrize("sequence", [1 << 63, -(1 << 63) - 1, "9", 1.0])
def test_a_sequence_ack_of_what_is_no_sequence_is_refused(sequence: Any) -> None:
    with pytest.raises(LocalProtocolError, match="sequence"):
        encoder().encode(SequenceAck(sequence=sequence), "m1")


@pytest.mark.parametrize("body", [SequenceAck(sequence=9), Pull()], ids=["SequenceAck", "Pull"])
def test_an_ack_and_a_pull_get_the_users_identity(body: Request) -> None:
    own = {"uuid": UUID, "resource": RESOURCE, "app_id": APP_ID}
    assert encoded(body).body == body.replace(**own)
    other = {"uuid": 1, "resource": "r", "app_id": 2}
    assert encoded(body.replace(**other)).body == body.replace(**other)


def test_the_ack_of_an_online_message_names_the_messages_sender_and_so_stays_as_it_is() -> None:
    body = OnlineMessageAck(packet_id="m", code=1, uuid=77, resource="pc")
    assert encoded(body).body == body


@pytest.mark.parametrize("body", UC_REQUESTS, ids=lambda body: type(body).__name__)
def test_requests_of_unlimited_groups_get_their_envelope(body: Any) -> None:
    assert encoded(body).body == UcPacket(user=ME, packet_id="m1", body=body)


def test_a_message_of_an_unlimited_group_gets_its_user_and_its_id() -> None:
    expected = UC_MESSAGE.replace(user=ME, packet_id="m1")
    assert encoded(UC_MESSAGE).body == UcPacket(user=ME, packet_id="m1", body=expected)
    own = UC_MESSAGE.replace(user=User(account="me"), packet_id="inner")
    assert encoded(own).body == UcPacket(user=ME, packet_id="m1", body=own)


@pytest.mark.parametrize("body", [SequenceAck(sequence=9), Pull(), UcPing(), P2PMessage(recipient=BOB)], ids=repr)
def test_every_request_carries_its_id_and_the_package(body: Request) -> None:
    packet = encoded(body, "m1")
    assert (packet.packet_id, packet.package) == ("m1", PACKAGE)


@pytest.mark.parametrize(
    "body", [PacketAck(packet_id="m"), PacketList(), UcPong(), None, "Pull"], ids=lambda body: type(body).__name__
)
def test_what_only_a_server_sends_is_refused(body: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"^send: a client sends no"):
        encoded(body)


def test_a_packet_has_to_fit_what_servers_take() -> None:
    def sized(size: int) -> bytes:
        return encoder().encode(P2PMessage(recipient=BOB, payload=bytes(size)), "p")

    around = len(sized(60_000)) - 60_000
    assert len(sized(61_440 - around)) == 61_440
    with pytest.raises(LocalProtocolError, match=r"^send: expected at most 61440 bytes, got 61441"):
        sized(61_441 - around)
