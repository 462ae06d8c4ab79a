"""Two nodes over one store: hints, and what happens when they are lost."""

from __future__ import annotations

import functools

import pytest
from mimc_server.router import MemoryRouter
from mimc_server.service import CheckSessions, KickRequested, ReadInbox, ServiceConfig, StoreFailed
from support.service_bed import APP, Node, Town

from mimc_proto.events import BindRefused, Kicked
from mimc_proto.packets import OnlineMessage, OnlineMessageAck, UcDismiss, UcMessageList


@pytest.fixture
def town() -> Town:
    town = Town()
    town.start_node("n2")
    town.settle()
    return town


@pytest.fixture
def other(town: Town) -> Node:
    return town.nodes[1]


def test_messages_cross_nodes_without_reading_the_store(town: Town, other: Node) -> None:
    alice, bob = town.login("alice"), town.login("bob", node=other)
    other.failing = (ReadInbox,)
    alice.send("bob", b"across")
    assert bob.payloads == [b"across"]


def test_resources_on_two_nodes_both_get_a_message(town: Town, other: Node) -> None:
    alice, pc, phone = town.login("alice"), town.login("bob", "pc"), town.login("bob", "phone", node=other)
    alice.send("bob")
    assert pc.payloads == phone.payloads == [b"hi"]


def test_a_lost_hint_is_healed_by_the_sweep(town: Town, other: Node) -> None:
    alice, bob = town.login("alice"), town.login("bob", node=other)
    town.node.lose_hints = True
    alice.send("bob", b"1")
    assert bob.payloads == []
    town.run_for(5.0)
    assert bob.payloads == [b"1"]


def test_a_hint_after_lost_ones_brings_what_they_should_have(town: Town, other: Node) -> None:
    alice, bob = town.login("alice"), town.login("bob", node=other)
    town.node.lose_hints = True
    alice.send("bob", b"1")
    town.node.lose_hints = False
    alice.send("bob", b"2")
    assert bob.payloads == [b"1", b"2"]


def test_a_hint_that_comes_twice_delivers_once(town: Town, other: Node) -> None:
    alice, bob = town.login("alice"), town.login("bob", node=other)
    alice.send("bob")
    for hint in town.node.published:
        other.service.hinted(hint, town.now, town.wall_ms)
    town.settle()
    assert bob.payloads == [b"hi"]


def test_a_takeover_reaches_the_other_node(town: Town, other: Node) -> None:
    old = town.login("alice")
    new = town.login("alice", node=other)
    assert old.all(Kicked)
    assert new.online


def test_a_displaced_link_is_refused_while_the_winner_is_bound_on_the_other_node(town: Town, other: Node) -> None:
    old = town.login("alice")
    new = town.login("alice", node=other)
    old.bind()
    assert [refused.taken_over for refused in old.all(BindRefused)] == [True]
    new.drop()
    old.bind()
    assert old.online


def test_a_displaced_link_is_refused_though_its_winner_was_displaced_from_elsewhere(town: Town, other: Node) -> None:
    first, second = town.login("alice"), town.login("alice")
    third = town.login("alice", node=other)
    first.bind()
    second.bind()
    assert not first.online
    assert not second.online
    assert third.online


def test_a_winner_that_comes_back_to_the_first_node_ends_what_was_known_of_the_other(town: Town, other: Node) -> None:
    first = town.login("alice")
    town.login("alice", node=other)
    third = town.login("alice")
    third.drop()
    first.bind()
    assert first.online


def test_news_of_a_displaced_link_that_is_gone_is_forgotten(town: Town, other: Node) -> None:
    first = town.login("alice")
    town.login("alice", node=other)
    login = town.node.service._login  # nobody else can see it: it would only take room, for ever
    assert list(login._elsewhere) == [(first.uuid, "pc")]
    first.drop()
    assert login._elsewhere == {}


def test_a_lost_takeover_is_noticed_by_the_sweep(town: Town, other: Node) -> None:
    old = town.login("alice")
    other.lose_hints = True
    new = town.login("alice", node=other)
    assert old.online
    town.run_for(5.0)
    assert old.all(Kicked)
    assert new.online
    for hint in other.published:  # late, after all
        town.node.service.hinted(hint, town.now, town.wall_ms)
    old.bind()
    assert not old.online


def test_an_old_takeover_hint_does_not_end_a_newer_session(town: Town, other: Node) -> None:
    town.login("alice")
    other.lose_hints = True
    town.login("alice", node=other)
    newest = town.login("alice")
    for hint in other.published:
        town.node.service.hinted(hint, town.now, town.wall_ms)
    town.settle()
    assert newest.online


def test_a_sweep_that_fails_is_told_and_comes_again(town: Town, other: Node) -> None:
    alice, bob = town.login("alice"), town.login("bob", node=other)
    town.node.lose_hints = True
    alice.send("bob")
    other.failing = (CheckSessions,)
    town.run_for(5.0)
    assert bob.payloads == []
    assert other.said(StoreFailed)
    other.failing = ()
    town.run_for(5.0)
    assert bob.payloads == [b"hi"]


def test_a_session_that_ends_while_it_is_swept_is_left_alone(town: Town) -> None:
    alice = town.login("alice")
    town.node.hold()
    town.run_for(5.0)
    alice.drop()
    town.node.release()
    assert town.node.service.sessions() == []


def test_online_messages_and_their_acks_cross_nodes(town: Town, other: Node) -> None:
    alice, bob = town.login("alice"), town.login("bob", node=other)
    packet_id = alice.send_online("bob")
    assert len(bob.bodies(OnlineMessage)) == 1
    bob.request(OnlineMessageAck(packet_id=packet_id, uuid=alice.uuid, resource="pc", code=1))
    assert [ack.packet_id for ack in alice.bodies(OnlineMessageAck)] == [packet_id]


def test_unlimited_groups_cross_nodes(town: Town, other: Node) -> None:
    topic = town.group("alice", "bob", unlimited=True)
    alice, bob = town.login("alice"), town.login("bob", node=other)
    bob.ping_groups(topic)
    alice.send_unlimited(topic)
    assert len(bob.bodies(UcMessageList)) == 1
    town.node.service.unlimited_dismissed(APP, topic, town.now, town.wall_ms)
    town.settle()
    assert len(bob.bodies(UcDismiss)) == 1


def test_who_quits_on_one_node_gets_nothing_on_the_other(town: Town, other: Node) -> None:
    topic = town.group("alice", "bob", unlimited=True)
    alice, pc, phone = town.login("alice"), town.login("bob", "pc"), town.login("bob", "phone", node=other)
    phone.ping_groups(topic)
    pc.quit(topic)
    alice.send_unlimited(topic)
    assert phone.bodies(UcMessageList) == []


def test_a_kick_reaches_every_node(town: Town, other: Node) -> None:
    pc, phone = town.login("alice", "pc"), town.login("alice", "phone", node=other)
    town.node.service.kick(pc.uuid, None, "bye", town.now, town.wall_ms)
    town.settle()
    assert not pc.online
    assert not phone.online


def test_a_router_tells_all_nodes_but_the_one_that_speaks() -> None:
    woken: list[str] = []
    router = MemoryRouter()
    ports = [router.join(name, functools.partial(woken.append, name)) for name in "abc"]
    hint = KickRequested(uuid=1, resource=None, reason="bye")
    ports[0].publish(hint)
    assert [port.received() for port in ports] == [[], [hint], [hint]]
    assert woken == ["b", "c"]
    assert ports[1].received() == []


def test_a_node_that_has_left_is_told_nothing() -> None:
    router = MemoryRouter()
    one, other = router.join("a"), router.join("b")
    router.leave("b")
    router.leave("b")
    one.publish(KickRequested(uuid=1, resource=None, reason="bye"))
    assert other.received() == []


def test_hints_that_come_twice_while_a_window_is_full_deliver_once() -> None:
    town = Town()
    other = town.start_node("n2", ServiceConfig(window=1))
    alice, bob = town.login("alice"), town.login("bob", node=other)
    for number in range(3):
        alice.send("bob", b"%d" % number)
    for hint in town.node.published:
        other.service.hinted(hint, town.now, town.wall_ms)
    for _ in range(3):
        bob.acknowledge()
    assert bob.payloads == [b"0", b"1", b"2"]


def test_a_driver_that_takes_no_hints_does_not_fill_the_memory_with_messages() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.deaf = True
    for _ in range(100):
        alice.send("bob")
    assert len(town.node.service.hints()) == 64
