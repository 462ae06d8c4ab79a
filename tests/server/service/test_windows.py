"""How much a session is sent that it has not acknowledged."""

from __future__ import annotations

from mimc_server.service import ServiceConfig
from support.service_bed import Client, Town

from mimc_proto.events import MessagesReceived


def sequences(client: Client) -> list[int]:
    return [packet.sequence or 0 for event in client.all(MessagesReceived) for packet in event.packets]


def send_many(client: Client, account: str, count: int) -> None:
    for number in range(count):
        client.send(account, b"hi%d" % number, settle=False)
    client.town.settle()


def test_no_more_than_a_window_of_messages_is_unacknowledged() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    send_many(alice, "bob", 300)
    assert len(bob.payloads) == 256
    assert town.node.service.sessions()[1].waiting == 256
    bob.acknowledge()
    assert len(bob.payloads) == 300


def test_no_more_than_a_window_of_bytes_is_unacknowledged() -> None:
    town = Town(ServiceConfig(window_bytes=1000))
    alice, bob = town.login("alice"), town.login("bob")
    for _ in range(5):
        alice.send("bob", bytes(400))
    assert len(bob.payloads) == 2
    bob.acknowledge()
    assert len(bob.payloads) == 4


def test_a_message_larger_than_the_window_is_delivered_alone() -> None:
    town = Town(ServiceConfig(window_bytes=1000))
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob", bytes(5000))
    alice.send("bob", bytes(5001))
    assert [len(payload) for payload in bob.payloads] == [5000]
    bob.acknowledge()
    assert [len(payload) for payload in bob.payloads] == [5000, 5001]


def test_a_window_keeps_its_size_over_what_waits_at_login() -> None:
    town = Town()
    alice = town.login("alice")
    send_many(alice, "bob", 600)
    bob = town.login("bob")
    counts = [len(bob.payloads)]
    while len(bob.payloads) < 600:
        bob.acknowledge()
        counts.append(len(bob.payloads))
    assert counts == [256, 512, 600]
    assert sequences(bob) == sorted(set(sequences(bob)))
