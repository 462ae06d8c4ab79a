"""Online messages: to whoever is there now, acknowledged by the receiver (clients.md rule 12)."""

from __future__ import annotations

import pytest
from mimc_server.service import Dropped, ServiceConfig
from mimc_server.store import AckCode
from support.service_bed import Client, Town

from mimc_proto import ServerConfig
from mimc_proto.packets import OnlineMessage, OnlineMessageAck, Packet, User


def answer(client: Client, sender: Client, packet_id: str, **changes: object) -> None:
    """The receiver's ack, as Java makes it."""
    ack = OnlineMessageAck(packet_id=packet_id, uuid=sender.uuid, resource="pc", code=1)
    client.request(ack.replace(**changes))


def test_an_online_message_reaches_every_session_of_its_receiver() -> None:
    town = Town()
    alice, pc, phone = town.login("alice"), town.login("bob", "pc"), town.login("bob", "phone")
    alice.send_online("bob", b"now")
    for client in (pc, phone):
        [message] = client.bodies(OnlineMessage)
        assert message.payload == b"now"
        assert message.sender is not None
        assert (message.sender.account, message.sender.uuid, message.sender.resource) == ("alice", alice.uuid, "pc")
        assert (message.recipient.account, message.recipient.uuid) == ("bob", pc.uuid)


def test_an_online_message_waits_for_nobody() -> None:
    town = Town()
    alice = town.login("alice")
    town.member("bob")
    alice.send_online("bob")
    bob = town.login("bob")
    assert bob.bodies(OnlineMessage) == []
    assert bob.payloads == []


def test_an_online_message_that_is_taken_gets_no_packet_ack() -> None:
    town = Town()
    alice = town.login("alice")
    town.login("bob")
    alice.send_online("bob")
    alice.send_online("nobody")
    assert alice.acks == []


def test_an_online_message_that_is_refused_gets_a_packet_ack() -> None:
    town = Town(ServiceConfig(max_payload=3))
    alice, bob = town.login("alice"), town.login("bob")
    town.store.block(bob.uuid, alice.uuid)
    assert alice.ack_of(alice.send_online("bob")).code == AckCode.BLOCKED
    assert alice.ack_of(alice.send_online("bob", b"long")).code == AckCode.TOO_LARGE


def test_an_online_message_whose_id_its_receiver_could_not_be_sent_is_refused() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    body = OnlineMessage(recipient=User(account="bob"), payload=b"hi")
    for packet_id in ("x" * 128, "x" * 129):
        official = Packet(packet_id=packet_id, body=body).encode()
        alice.connection._enqueue(b"an id of its own", official, False)  # our client has the same limit
        town.settle()
    assert len(bob.bodies(OnlineMessage)) == 1
    assert [(ack.packet_id, ack.code) for ack in alice.acks] == [("x" * 129, AckCode.BAD_REQUEST)]


def test_an_online_message_takes_a_sequence() -> None:
    town = Town()
    alice = town.login("alice")
    town.login("bob")
    first = alice.ack_of(alice.send("bob")).sequence or 0
    alice.send_online("bob")
    assert alice.ack_of(alice.send("bob")).sequence == first + 2


def test_the_receivers_ack_reaches_the_session_that_sent() -> None:
    town = Town()
    pc, phone, bob = town.login("alice", "pc"), town.login("alice", "phone"), town.login("bob")
    packet_id = pc.send_online("bob")
    answer(bob, pc, packet_id, error_message="fine")
    [ack] = pc.bodies(OnlineMessageAck)
    assert (ack.packet_id, ack.uuid, ack.resource, ack.code) == (packet_id, pc.uuid, "pc", 1)
    assert ack.error_message == "fine"
    assert phone.bodies(OnlineMessageAck) == []


def test_an_ack_for_nobody_is_ignored() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    answer(bob, alice, "p1", resource="gone")
    answer(bob, alice, "p1", uuid=None)
    answer(bob, alice, "p" * 1025)
    assert alice.bodies(OnlineMessageAck) == []


def test_only_who_was_sent_an_online_message_answers_it() -> None:
    town = Town()
    alice, bob, mallory = town.login("alice"), town.login("bob"), town.login("mallory")
    to_bob, to_mallory = alice.send_online("bob"), alice.send_online("mallory")
    for packet_id in (to_bob, "guessed"):
        answer(mallory, alice, packet_id)
    assert alice.bodies(OnlineMessageAck) == []
    answer(mallory, alice, to_mallory)
    answer(bob, alice, to_bob)
    assert [ack.packet_id for ack in alice.bodies(OnlineMessageAck)] == [to_mallory, to_bob]


def test_of_very_many_online_messages_the_newest_can_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_server.service.sending.MOST_UNANSWERED", 2)
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    ids = [alice.send_online("bob") for _ in range(3)]
    for packet_id in ids:
        answer(bob, alice, packet_id)
    assert [ack.packet_id for ack in alice.bodies(OnlineMessageAck)] == ids[1:]


def test_a_link_that_is_half_full_gets_no_online_messages_and_no_acks_of_them() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_pending=4)))
    alice, bob = town.login("alice"), town.login("bob")
    alice.reading = bob.reading = False
    ids = [alice.send_online("bob") for _ in range(5)]
    for packet_id in ids:
        answer(bob, alice, packet_id)
    assert [event.what for event in town.node.said(Dropped)] == ["OnlineMessage"] * 2 + ["OnlineMessageAck"] * 2
