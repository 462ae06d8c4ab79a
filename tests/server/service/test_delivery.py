"""Stored messages on their way down."""

from __future__ import annotations

import random

import pytest
from mimc_server.service import Acknowledge, Append, Dropped, ReadInbox, ServiceConfig, StoreFailed
from mimc_server.store import Appended, Stored
from support.service_bed import Client, Node, Town, pushed

from mimc_proto import ServerConfig
from mimc_proto.events import MessagesReceived
from mimc_proto.packets import P2PMessage, SequenceAck


def lists(client: Client) -> list[int]:
    """How many messages each list had."""
    return [len(event.packets) for event in client.all(MessagesReceived)]


def sequences(client: Client) -> list[int]:
    return [packet.sequence or 0 for event in client.all(MessagesReceived) for packet in event.packets]


def send_many(client: Client, account: str, count: int, payload: bytes = b"hi") -> None:
    for number in range(count):
        client.send(account, payload + b"%d" % number, settle=False)
    client.town.settle()


def test_a_message_reaches_all_resources_of_its_receiver() -> None:
    town = Town()
    alice, pc, phone = town.login("alice"), town.login("bob", "pc"), town.login("bob", "phone")
    alice.send("bob", b"both")
    assert pc.payloads == phone.payloads == [b"both"]


def test_a_delivered_message_says_who_sent_it_and_to_whom() -> None:
    town = Town()
    alice, bob = town.login("alice", "pc"), town.login("bob")
    packet_id = alice.send("bob", b"hello", biz_type="text", is_store=False)
    [event] = bob.all(MessagesReceived)
    [packet] = event.packets
    body = packet.body
    assert isinstance(body, P2PMessage)
    assert packet.packet_id == packet_id
    assert body.sender is not None
    assert (body.sender.account, body.sender.uuid, body.sender.resource) == ("alice", alice.uuid, "pc")
    assert (body.recipient.account, body.recipient.uuid, body.recipient.resource) == ("bob", bob.uuid, None)
    assert (body.payload, body.biz_type, body.is_store) == (b"hello", "text", False)
    assert packet.sequence == alice.ack_of(packet_id).sequence == town.wall_ms * 10_000 + 1
    assert packet.timestamp == alice.ack_of(packet_id).timestamp == town.wall_ms
    assert packet.conv_index == alice.ack_of(packet_id).conv_index == 1


def test_messages_to_oneself_reach_all_own_resources() -> None:
    town = Town()
    pc, phone = town.login("alice", "pc"), town.login("alice", "phone")
    pc.send("alice", b"note")
    assert pc.payloads == phone.payloads == [b"note"]


def test_what_waits_is_pushed_after_login() -> None:
    town = Town()
    alice = town.login("alice")
    send_many(alice, "bob", 3)
    bob = town.login("bob")
    assert bob.payloads == [b"hi0", b"hi1", b"hi2"]
    assert lists(bob) == [3]


def test_what_is_acknowledged_does_not_come_again() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    send_many(alice, "bob", 3)
    bob.acknowledge(sequences(bob)[1])
    bob.drop()
    assert town.login("bob").payloads == [b"hi2"]


def test_each_resource_has_its_own_cursor() -> None:
    town = Town()
    alice, pc = town.login("alice"), town.login("bob", "pc")
    town.login("bob", "phone").drop()
    alice.send("bob")
    pc.acknowledge()
    assert town.login("bob", "phone").payloads == [b"hi"]


def test_a_list_has_at_most_fifty_messages_in_ascending_order() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    send_many(alice, "bob", 120)
    assert max(lists(bob)) == 50
    assert sequences(bob) == sorted(sequences(bob))
    assert len(bob.payloads) == 120


def test_a_list_has_at_most_64_kib() -> None:
    town = Town()
    alice = town.login("alice")
    for _ in range(8):
        alice.send("bob", bytes(15_360))
    bob = town.login("bob")
    assert lists(bob) == [3, 3, 2]


def test_names_that_take_more_bytes_than_letters_still_fit_a_list() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_list_bytes=32_768)))
    account = "é" * 400
    alice = town.login(account)
    send_many(alice, "bob", 30, bytes(100))
    bob = town.login("bob")
    assert len(bob.payloads) == 30
    assert lists(bob) == [27, 3]  # by letters 40 would go into one, which would be refused and come one by one


def test_direct_delivery_does_not_read_the_store() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.node.failing = (ReadInbox,)
    alice.send("bob")
    assert bob.payloads == [b"hi"]


def test_nothing_comes_twice_but_after_bind_and_pull() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob")
    town.run_for(60.0)
    assert bob.payloads == [b"hi"]


def test_a_message_that_comes_while_the_store_is_read_is_not_lost() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.open("bob")
    alice.send("bob", b"1")
    bob.bind()
    bob.forget()
    bob.unbind()
    bob = town.open("bob")
    town.node.hold()
    bob.bind()
    [claim] = town.node.held or []
    town.node.perform(claim)
    town.settle()
    [read] = (town.node.held or [])[1:]
    answer = read.perform(town.store, town.wall_ms)
    town.node.held = None
    alice.send("bob", b"2")
    town.node.service.store_answered(read.request_id, answer, town.now, town.wall_ms)
    town.settle()
    assert bob.payloads == [b"1", b"2"]


def test_what_was_acknowledged_while_the_store_was_read_is_not_delivered() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    send_many(alice, "bob", 2)
    newest = sequences(bob)[-1]
    bob.drop()
    bob = town.open("bob")
    town.node.hold()
    bob.bind()
    [claim] = (town.node.held or [])[-1:]
    town.node.perform(claim)
    town.settle()
    held = town.node.held or []
    town.node.held = None
    [read] = [request for request in held if isinstance(request, ReadInbox)]
    page = read.perform(town.store, town.wall_ms)
    bob.request(SequenceAck(sequence=newest))
    town.node.service.store_answered(read.request_id, page, town.now, town.wall_ms)
    town.settle()
    assert bob.payloads == []


def test_an_answer_for_a_session_that_is_gone_is_ignored() -> None:
    town = Town()
    alice = town.login("alice")
    alice.send("bob")
    bob = town.open("bob")
    town.node.hold()
    bob.bind()
    [claim] = town.node.held or []
    town.node.perform(claim)
    town.settle()
    bob.drop()
    town.node.held = [request for request in town.node.held or [] if request is not claim]
    town.node.release()
    assert town.login("bob").payloads == [b"hi"]


def test_a_store_that_fails_to_read_is_asked_again_by_the_sweep() -> None:
    town = Town()
    town.login("alice").send("bob")
    town.node.failing = (ReadInbox,)
    bob = town.login("bob")
    assert bob.payloads == []
    assert town.node.said(StoreFailed)
    town.node.failing = ()
    town.run_for(5.0)
    assert bob.payloads == [b"hi"]


def test_a_link_that_is_full_loses_no_stored_message() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_pending=2)))
    alice, bob = town.login("alice"), town.login("bob")
    bob.reading = False
    for number in range(10):
        alice.send("bob", b"%d" % number)
    bob.reading = True
    town.settle()
    assert bob.payloads == [b"%d" % number for number in range(10)]


def test_a_full_link_at_login_loses_no_stored_message() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_pending=3, max_list_messages=2)))
    alice = town.login("alice")
    for number in range(20):
        alice.send("bob", b"%d" % number)
    bob = town.login("bob")
    assert bob.payloads == [b"%d" % number for number in range(20)]


def generous_then_usual(usual: ServiceConfig | None = None) -> tuple[Town, Node]:
    """A node that takes messages which the other one cannot send to anybody: its limits are lower."""
    town = Town(ServiceConfig(max_payload=100_000, link=ServerConfig(max_list_bytes=200_000)))
    return town, town.start_node("n2", usual)


def push(town: Town, payload: bytes) -> None:
    message = pushed(town, "system", "bob", payload, packet_id=f"push_{len(payload)}_{payload[:1]!r}")
    answers: list[Appended] = []
    town.node.service.push(message, answers.append, town.now, town.wall_ms)
    town.settle()
    assert [type(answer) for answer in answers] == [Stored]


def test_a_message_that_cannot_be_sent_to_anybody_does_not_hold_back_the_others() -> None:
    town, usual = generous_then_usual()
    for payload in (b"1", bytes(100_000), b"2"):
        push(town, payload)
    bob = town.login("bob", node=usual)
    assert bob.payloads == [b"1", b"2"]
    assert [event.what for event in usual.said(Dropped)] == ["PacketList"]
    bob.acknowledge()
    assert town.login("bob", node=usual).payloads == []


def test_a_message_that_fails_direct_delivery_does_not_hold_back_the_others() -> None:
    town, usual = generous_then_usual()
    bob = town.login("bob", node=usual)
    usual.failing = (ReadInbox,)
    push(town, bytes(100_000))
    push(town, b"2")
    assert bob.payloads == [b"2"]
    assert [event.what for event in usual.said(Dropped)] == ["PacketList"]


@pytest.mark.parametrize("limits", [ServiceConfig(window=2), ServiceConfig(window_bytes=50_000)])
def test_a_message_that_cannot_be_sent_to_anybody_takes_no_room_in_the_window(limits: ServiceConfig) -> None:
    town, usual = generous_then_usual(limits)
    bob = town.login("bob", node=usual)
    push(town, bytes(100_000))
    assert usual.service.sessions()[0].waiting == 0
    push(town, b"2")
    push(town, b"3")
    assert bob.payloads == [b"2", b"3"]


def test_a_removed_message_leaves_a_gap_that_reading_goes_over() -> None:
    town = Town()
    alice, pc = town.login("alice"), town.login("bob", "pc")
    alice.send("bob", b"gone", is_store=False)
    pc.acknowledge()
    alice.send("bob", b"here")
    assert town.login("bob", "phone").payloads == [b"here"]
    assert pc.payloads == [b"gone", b"here"]


def test_an_acknowledgement_that_the_store_did_not_take_is_tried_again() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob")

    town.node.failing = (Acknowledge,)
    bob.acknowledge()
    bob.acknowledge()
    assert len(town.node.said(StoreFailed)) == 1
    town.node.failing = ()
    town.run_for(5.0)
    bob.acknowledge(1)
    assert town.login("bob").payloads == []


def test_an_acknowledgement_beyond_all_sequences_means_what_is_there() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob", b"1")
    bob.acknowledge((1 << 63) - 1)
    alice.send("bob", b"2")
    assert bob.payloads == [b"1", b"2"]
    assert town.login("bob").payloads == [b"2"]


def test_a_negative_acknowledgement_is_ignored() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob")
    bob.acknowledge(-1)
    assert town.login("bob").payloads == [b"hi"]


def test_every_message_arrives_once_and_in_order_whatever_the_batches() -> None:
    rng = random.Random(4)
    town = Town(ServiceConfig(window=7, max_batch=5, window_bytes=600))
    alice, bob = town.login("alice"), town.login("bob")
    sent = []
    for number in range(200):
        payload = b"%d " % number + bytes(rng.randrange(200))
        sent.append(payload)
        alice.send("bob", payload, settle=rng.random() < 0.3)
        if rng.random() < 0.2 and bob.payloads:
            bob.acknowledge()
    for _ in range(100):
        bob.acknowledge()
    assert bob.payloads == sent


def test_commits_hold_what_came_while_the_last_one_ran() -> None:
    town = Town(ServiceConfig(max_batch=4))
    alice = town.login("alice")
    town.node.hold()
    alice.send("bob")
    for _ in range(6):
        alice.send("bob")
    held = town.node.held or []
    assert [len(request.batch) for request in held if isinstance(request, Append)] == [1]
    town.node.held = None
    sizes = []
    queue = list(held)
    while queue:
        request = queue.pop(0)
        if isinstance(request, Append):
            sizes.append(len(request.batch))
        town.node.perform(request)
        queue += town.node.service.store_requests()
    assert sizes == [1, 4, 2]


def test_a_broken_message_among_good_ones_is_left_out() -> None:
    town = Town()
    broken = pushed(town, "alice", "bob", b"broken")
    broken = broken.replace(sender=broken.sender.replace(account=""))
    good = [pushed(town, "alice", "bob", payload, f"good_{number}") for number, payload in enumerate((b"1", b"2"))]
    town.store.append([good[0], broken, good[1]], town.wall_ms)
    bob = town.login("bob")
    assert bob.payloads == [b"1", b"2"]
    assert [event.what for event in town.node.said(Dropped)] == ["PacketList"]


def test_what_is_acknowledged_before_it_is_delivered_needs_no_window() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    send_many(alice, "bob", 2)
    newest = sequences(bob)[-1]
    bob.drop()
    bob = town.open("bob")
    town.node.hold()
    bob.bind()
    [claim] = (town.node.held or [])[-1:]
    town.node.perform(claim)
    town.settle()
    bob.request(SequenceAck(sequence=newest))
    [read, acknowledge] = (town.node.held or [])[-2:]
    town.node.perform(read)
    assert [info.waiting for info in town.node.service.sessions()] == [0, 2]
    town.node.perform(acknowledge)
    assert [info.waiting for info in town.node.service.sessions()] == [0, 0]


@pytest.mark.parametrize("taken_over", [False, True])
def test_the_answer_to_an_acknowledgement_of_a_session_that_is_gone_changes_nothing(taken_over: bool) -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob")
    town.node.hold()
    bob.acknowledge()
    bob.drop()
    if taken_over:
        town.store.claim(bob.uuid, "pc", "elsewhere", town.wall_ms)
    town.node.release()
    assert town.login("bob").payloads == ([b"hi"] if taken_over else [])
