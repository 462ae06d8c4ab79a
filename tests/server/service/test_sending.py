"""Messages on their way up: checked, stored, acknowledged."""

from __future__ import annotations

import pytest
from mimc_server.service import Append, Dropped, MessageRefused, PacketIgnored, ServiceConfig, StoreFailed
from mimc_server.store import AckCode, Appended, Refused, Stored
from support.service_bed import APP, Client, Town, pushed

from mimc_proto import ServerConfig
from mimc_proto.packets import Group, P2PMessage, P2TMessage, PacketAck, RtsSignal, User


def raw(client: Client, body: object, packet_id: str | None) -> None:
    """A packet as it is, past the checks of our own client."""
    from mimc_proto.packets import Packet

    connection = client.connection
    packet = Packet(packet_id=packet_id, body=body).encode()  # type: ignore[arg-type]
    connection._enqueue(f"header{client.town.rng.getrandbits(30)}".encode(), packet, False)
    client.town.settle()


def to(account: str | None, payload: bytes = b"hi", **changes: object) -> P2PMessage:
    return P2PMessage(recipient=User(account=account), payload=payload, **changes)  # type: ignore[arg-type]


def test_a_message_is_acknowledged_once_it_is_stored() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.hold()
    packet_id = alice.send("bob")
    assert alice.acks == []
    town.node.release()
    ack = alice.ack_of(packet_id)
    assert ack.code == AckCode.OK
    assert ack.error_message in (None, "")
    assert ack.sequence == town.wall_ms * 10_000 + 1


def test_the_receiver_need_not_exist() -> None:
    town = Town()
    alice = town.login("alice")
    assert alice.ack_of(alice.send("somebody new")).code == AckCode.OK


def test_a_repeat_gets_the_first_answer_and_is_delivered_once() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    for _ in range(2):
        alice.send("bob", packet_id="same")
    first, second = alice.acks
    assert (first.sequence, first.timestamp) == (second.sequence, second.timestamp)
    assert bob.payloads == [b"hi"]


def test_a_repeat_of_a_message_that_waits_gets_the_same_answer() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.node.hold()
    for _ in range(3):
        alice.send("bob", packet_id="same")
    town.node.release()
    assert len({ack.sequence for ack in alice.acks}) == 1
    assert len(alice.acks) == 3
    assert bob.payloads == [b"hi"]


def test_the_packet_cannot_say_who_sent_it() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    mallory = User(app_id=APP, account="mallory", uuid=1, resource="x")
    raw(alice, to("bob", sender=mallory), "p1")
    [message] = bob.messages
    assert message.sender is not None
    assert (message.sender.account, message.sender.uuid) == ("alice", alice.uuid)


def test_a_resource_of_the_receiver_is_only_a_hint() -> None:
    town = Town()
    alice, pc, phone = town.login("alice"), town.login("bob", "pc"), town.login("bob", "phone")
    raw(alice, P2PMessage(recipient=User(account="bob", resource="pc"), payload=b"hi"), "p1")
    assert pc.payloads == phone.payloads == [b"hi"]


def test_a_payload_over_the_limit_is_refused() -> None:
    town = Town(ServiceConfig(max_payload=100))
    alice = town.login("alice")
    assert alice.ack_of(alice.send("bob", bytes(100))).code == AckCode.OK
    ack = alice.ack_of(alice.send("bob", bytes(101)))
    assert ack.code == AckCode.TOO_LARGE
    assert ack.sequence == 0
    assert ack.error_message == "expected at most 100 bytes, got 101"
    assert [event.code for event in town.node.said(MessageRefused)] == [AckCode.TOO_LARGE]


@pytest.mark.parametrize(
    "body",
    [
        to(None),
        to(""),
        to("é" * 513),
        to("bob", biz_type="b" * 1025),
        P2TMessage(recipient=Group(app_id=APP), payload=b"hi"),
        P2TMessage(recipient=Group(app_id=APP, topic_id=1 << 63), payload=b"hi"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused(body: P2PMessage) -> None:
    town = Town()
    alice = town.login("alice")
    raw(alice, body, "p1")
    assert alice.ack_of("p1").code == AckCode.BAD_REQUEST


def test_a_long_packet_id_is_refused() -> None:
    town = Town()
    alice = town.login("alice")
    raw(alice, to("bob"), "p" * 1025)
    assert alice.ack_of("p" * 1025).code == AckCode.BAD_REQUEST


@pytest.mark.parametrize("packet_id", [None, "", "p" * 8193])
def test_a_message_that_no_ack_can_name_is_ignored(packet_id: str | None) -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    raw(alice, to("bob"), packet_id)
    assert alice.acks == []
    assert bob.payloads == []
    assert town.node.said(PacketIgnored)


def test_a_blocked_sender_is_told_so() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.store.block(bob.uuid, alice.uuid)
    assert alice.ack_of(alice.send("bob")).code == AckCode.BLOCKED
    assert bob.payloads == []


def test_a_store_that_fails_is_never_an_acceptance() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.node.failing = (Append,)
    ack = alice.ack_of(alice.send("bob", packet_id="p1"))
    assert (ack.code, ack.sequence) == (AckCode.STORE_FAILED, 0)
    assert [event.what for event in town.node.said(StoreFailed)] == ["storing messages"]
    town.node.failing = ()
    alice.forget()
    assert alice.ack_of(alice.send("bob", packet_id="p1")).code == AckCode.OK
    assert bob.payloads == [b"hi"]


def test_too_many_messages_of_an_account_are_refused_and_others_are_not() -> None:
    town = Town(ServiceConfig(max_waiting_of_account=3))
    alice, bob = town.login("alice"), town.login("bob")
    town.node.hold()
    for _ in range(5):
        alice.send("carol")
    bob.send("carol")
    assert [ack.code for ack in alice.acks] == [AckCode.TOO_MANY] * 2
    town.node.release()
    assert [ack.code for ack in alice.acks] == [AckCode.TOO_MANY] * 2 + [AckCode.OK] * 3
    assert [ack.code for ack in bob.acks] == [AckCode.OK]
    assert alice.ack_of(alice.send("carol")).code == AckCode.OK


@pytest.mark.parametrize(
    "config",
    [
        ServiceConfig(max_waiting=2),
        ServiceConfig(max_waiting_bytes=2 * 256 + 10),
        ServiceConfig(max_waiting_bytes_of_account=2 * 256 + 10),
    ],
)
def test_too_much_that_waits_is_refused(config: ServiceConfig) -> None:
    town = Town(config)
    alice = town.login("alice")
    town.node.hold()
    for _ in range(3):
        alice.send("bob")
    assert [ack.code for ack in alice.acks] == [AckCode.TOO_MANY]
    town.node.release()
    assert len(alice.acks) == 3


def test_an_answer_for_a_link_that_is_gone_goes_nowhere_and_the_message_is_stored() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.node.hold()
    alice.send("bob")
    alice.drop()
    town.node.release()
    assert alice.acks == []
    assert bob.payloads == [b"hi"]


def test_an_ack_that_finds_its_link_full_is_dropped_and_told() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_pending=1)))
    alice = town.login("alice")
    alice.reading = False
    alice.send("bob")
    alice.send("bob")
    assert [event.what for event in town.node.said(Dropped)] == ["PacketAck"]


def test_messages_to_a_normal_group_reach_its_other_members() -> None:
    town = Town()
    topic = town.group("alice", "bob", "carol")
    pc, phone = town.login("alice", "pc"), town.login("alice", "phone")
    bob, carol = town.login("bob"), town.login("carol")
    assert pc.ack_of(pc.send(topic, b"all")).code == AckCode.OK
    assert bob.payloads == carol.payloads == [b"all"]
    assert pc.payloads == phone.payloads == []
    [message] = bob.messages
    assert message.recipient == Group(app_id=APP, topic_id=topic)


def test_messages_to_a_normal_group_wait_for_absent_members() -> None:
    town = Town()
    topic = town.group("alice", "bob")
    alice = town.login("alice")
    alice.send(topic, b"1")
    alice.send("bob", b"2")
    assert town.login("bob").payloads == [b"1", b"2"]


def test_a_group_that_does_not_exist_and_one_that_one_is_not_in_refuse() -> None:
    town = Town()
    topic = town.group("bob")
    alice = town.login("alice")
    assert alice.ack_of(alice.send(12345)).code == AckCode.NO_SUCH_GROUP
    assert alice.ack_of(alice.send(topic)).code == AckCode.NOT_A_MEMBER


def test_a_message_of_the_applications_server_is_delivered_and_answered() -> None:
    town = Town()
    bob = town.login("bob")
    answers: list[Appended] = []
    town.node.service.push(pushed(town, "system", "bob", b"news"), answers.append, town.now, town.wall_ms)
    town.settle()
    assert bob.payloads == [b"news"]
    assert isinstance(answers[0], Stored)


def test_a_message_of_the_applications_server_may_be_refused() -> None:
    town = Town(ServiceConfig(max_payload=3, max_waiting=1))
    answers: list[Appended] = []
    for payload in (b"long", b"1", b"2"):
        message = pushed(town, "system", "bob", payload)
        town.node.service.push(message, answers.append, town.now, town.wall_ms)
    codes = [answer.code for answer in answers if isinstance(answer, Refused)]
    assert codes == [AckCode.TOO_LARGE, AckCode.TOO_MANY]


def test_packets_that_mean_nothing_to_a_service_are_ignored() -> None:
    town = Town()
    alice = town.login("alice")
    raw(alice, RtsSignal(payload=b"ring"), "p1")
    raw(alice, PacketAck(packet_id="p0", code=0), "p2")
    assert [event.what for event in town.node.said(PacketIgnored)] == ["RtsSignal", "PacketAck"]
    assert alice.online


def test_a_packet_that_cannot_be_read_is_ignored() -> None:
    town = Town()
    alice = town.login("alice")
    alice.connection._enqueue(b"h1", b"\xff\xff", False)
    town.settle()
    assert len(town.node.said(PacketIgnored)) == 1
    assert alice.ack_of(alice.send("bob")).code == AckCode.OK
