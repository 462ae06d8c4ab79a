"""The whole service on virtual time, with sessions as its clients."""

from __future__ import annotations

import pytest
from mimc_server.service import LinkEnded, LoggedIn, ServiceConfig
from mimc_server.store import Kind
from mimc_server.testing import ServiceWorld, plugin

from mimc_proto import Framing, ServerConfig
from mimc_proto.errors import LocalProtocolError
from mimc_proto.packets import Command
from mimc_proto.session import Acknowledged, Ended, LinkLost, Message, Online, OnlineMessage, UnlimitedMessage
from mimc_proto.testing import Conditions, SessionDriver

mimc_world = plugin.mimc_world


def payloads(driver: SessionDriver) -> list[bytes]:
    return [message.payload for message in driver.messages]


@pytest.mark.parametrize("framing", list(Framing))
def test_users_talk_to_each_other(framing: Framing) -> None:
    world = ServiceWorld(framing=framing)
    alice, bob = world.login("alice"), world.login("bob")
    packet_id = alice.session.send("bob", b"hi", now=world.clock.now)
    world.run_until(lambda: bob.messages and packet_id in alice.verdicts)
    [message], verdict = bob.messages, alice.verdicts[packet_id]
    assert isinstance(message, Message)
    assert isinstance(verdict, Acknowledged)
    assert (message.from_account, message.payload, message.sequence) == ("alice", b"hi", verdict.sequence)


def test_what_was_stored_can_be_looked_at() -> None:
    world = ServiceWorld()
    alice = world.login("alice", resource="pc")
    team, everybody = world.group("alice", ["bob"]), world.unlimited_group("alice")
    alice.session.send("bob", b"one", now=world.clock.now)
    alice.session.send_group(team, b"two", now=world.clock.now)
    alice.session.send_unlimited(everybody, b"three", now=world.clock.now)
    alice.session.send_online("bob", b"four", now=world.clock.now)
    world.run_until(lambda: len(alice.verdicts) == 3)
    stored = [(message.kind, message.target, message.payload) for message in world.stored()]
    assert stored == [
        (Kind.P2P, "bob", b"one"),
        (Kind.P2T, team, b"two"),
        (Kind.UNLIMITED, everybody, b"three"),
        (Kind.ONLINE, "bob", b"four"),
    ]
    assert {(message.sender, message.resource) for message in world.stored()} == {("alice", "pc")}


def test_a_message_that_was_sent_twice_is_stored_once() -> None:
    world = ServiceWorld()
    for _ in range(2):
        alice = world.login("alice", resource="pc")
        alice.session.send("bob", b"hi", now=world.clock.now, packet_id="outbox_1")
        world.run_for(1.0)
    assert [message.packet_id for message in world.stored()] == ["outbox_1"]


def test_an_unlimited_group_is_its_owners_and_open_to_all() -> None:
    world = ServiceWorld()
    group = world.unlimited_group("alice")
    alice, bob = world.login("alice", joined_groups=[group]), world.login("bob")
    bob.session.join_unlimited(group, now=world.clock.now)
    world.run_until(lambda: bob.verdicts)
    bob.session.send_unlimited(group, b"hi", now=world.clock.now)
    world.run_until(lambda: alice.messages)
    [message] = alice.messages
    assert isinstance(message, UnlimitedMessage)


def test_a_group_that_the_store_refuses_is_an_error() -> None:
    with pytest.raises(LocalProtocolError, match="the store refused"):
        ServiceWorld().group("alice", [f"user{number}" for number in range(501)])


def test_a_cut_link_loses_nothing() -> None:
    world = ServiceWorld(conditions=Conditions(latency=0.05))
    bob = world.login("bob")
    world.network.pipe.down.cut(after_bytes=50)
    alice = world.login("alice")
    alice.session.send("bob", b"hi", now=world.clock.now)
    world.run_until(lambda: bob.messages)
    assert len(bob.of(LinkLost)) == 1
    world.run_for(60.0)
    assert payloads(bob) == [b"hi"]


def test_who_reads_late_gets_all_of_it_later() -> None:
    world = ServiceWorld(config=ServiceConfig(window=4))
    alice, bob = world.login("alice"), world.login("bob", consume=1.0)
    for number in range(20):
        alice.session.send("bob", b"%d" % number, now=world.clock.now)
    world.run_for(0.5)
    assert len(bob.messages) == 4
    world.run_for(30.0)
    assert payloads(bob) == [b"%d" % number for number in range(20)]


def test_a_hundred_messages_of_the_largest_size_pass_a_slow_pipe() -> None:
    world = ServiceWorld(conditions=Conditions(latency=0.01, capacity=20_000))
    alice, bob = world.login("alice"), world.login("bob")
    for number in range(100):
        alice.session.send("bob", bytes([number]) * 15_360, now=world.clock.now, timeout=600.0)
    world.run_until(lambda: len(bob.messages) == 100)
    assert [payload[0] for payload in payloads(bob)] == list(range(100))


def test_a_kicked_user_comes_back() -> None:
    world = ServiceWorld()
    alice = world.login("alice")
    world.kick("alice")
    world.run_until(lambda: len(alice.of(Online)) == 2)


def test_one_resource_of_a_user_can_be_kicked_for_good() -> None:
    world = ServiceWorld()
    phone, tablet = world.login("alice", resource="phone"), world.login("alice", resource="tablet")
    world.kick("alice", "phone", "single-resource-kick")
    world.run_until(lambda: phone.of(Ended))
    assert tablet.online
    assert [session.resource for session in world.sessions()] == ["tablet"]


def test_users_whose_tokens_expired_fetch_new_ones() -> None:
    world = ServiceWorld()
    alice = world.login("alice")
    world.expire_tokens("alice")
    world.run_until(lambda: len(alice.of(Online)) == 2)
    assert len(alice.tokens.asked) == 2


def test_tokens_that_were_kept_are_no_good_after_they_expired() -> None:
    world = ServiceWorld()
    kept = world.token_answer("alice")
    assert not world.login("alice", token=kept).tokens.asked
    world.expire_tokens("alice")
    assert len(world.login("alice", token=kept).tokens.asked) == 1


def test_tokens_expire_while_their_user_is_online() -> None:
    world = ServiceWorld(token_lifetime=100.0)
    alice = world.login("alice")
    world.run_for(101.0)
    assert alice.online
    assert len(alice.tokens.asked) == 2


def test_silent_links_are_closed_in_time() -> None:
    world = ServiceWorld(config=ServiceConfig(link=ServerConfig(idle_timeout=20.0, bind_timeout=20.0)))
    world.login("alice")
    world.network.refuse(*world.nodes[0].address)
    world.network.pipe.up.drop()
    world.run_for(19.0)
    assert world.sessions()
    world.run_for(2.0)
    assert not world.sessions()


def test_after_oversleeping_bytes_that_wait_come_before_deadlines() -> None:
    config = ServiceConfig(link=ServerConfig(idle_timeout=8.0, bind_timeout=8.0))
    world = ServiceWorld(config=config, conditions=Conditions(latency=1.0))
    alice = world.login("alice")
    bind_came = world.clock.now - 1.0
    world.run_until(bind_came + 7.5)
    alice.session.send("bob", b"hi", now=world.clock.now)
    world.run_for(0.0)
    world.clock.advance(1.5)  # in which the deadline passes, and then the message arrives
    world.run_for(5.0)
    assert [message.payload for message in world.stored()] == [b"hi"]
    assert not [event for event in world.nodes[0].events if isinstance(event, LinkEnded)]


# ---------------------------------------------------------------------------------------------------------------- nodes


def test_nodes_deliver_to_each_others_users() -> None:
    world = ServiceWorld(nodes=2)
    alice, bob = world.login("alice", node=0), world.login("bob", node=1)
    alice.session.send_online("bob", b"now", now=world.clock.now)
    world.run_until(lambda: bob.messages)
    assert isinstance(bob.messages[0], OnlineMessage)
    assert [len(node.service.sessions()) for node in world.nodes] == [1, 1]
    assert [event.account for event in world.nodes[1].events if isinstance(event, LoggedIn)] == ["bob"]


def test_what_a_lost_hint_hides_is_found_soon() -> None:
    world = ServiceWorld(nodes=2)
    alice, bob = world.login("alice", node=0), world.login("bob", node=1)
    world.nodes[0].lose_hints = True
    alice.session.send("bob", b"hi", now=world.clock.now)
    world.run_for(1.0)
    assert not bob.messages
    world.run_for(10.0)
    assert payloads(bob) == [b"hi"]


def test_a_kick_reaches_every_node() -> None:
    world = ServiceWorld(nodes=2)
    bob = world.login("bob", node=1)
    world.kick("bob", reason="single-resource-kick")
    world.run_until(lambda: bob.of(Ended))


def test_a_user_of_no_node_in_particular_gets_to_one_that_answers() -> None:
    world = ServiceWorld(nodes=2)
    world.network.refuse(*world.nodes[0].address)
    world.login("alice")
    assert [len(node.service.sessions()) for node in world.nodes] == [0, 1]


def test_a_connection_without_room_is_never_answered() -> None:
    world = ServiceWorld(config=ServiceConfig(max_links=1))
    world.login("alice")
    bob = world.user("bob")
    bob.session.connect(world.clock.now)
    world.run_for(4.0)
    assert not bob.online
    assert world.network.pipe.down.written == 0


# -------------------------------------------------------------------------------------------------------- all the same


def test_the_same_seed_gives_the_same_world() -> None:
    def story(seed: int) -> list[object]:
        world = ServiceWorld(seed=seed)
        alice = world.login("alice")
        alice.session.send("bob", b"hi", now=world.clock.now)
        world.run_for(60.0)
        return [alice.session.resource, *alice.events]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_the_fixture_is_a_world(mimc_world: ServiceWorld) -> None:
    alice = mimc_world.login("alice")
    assert mimc_world.uuid("alice") == alice.user.uuid
    assert mimc_world.app_id == alice.user.app_id


def test_a_user_in_the_world_has_the_options_of_a_session() -> None:
    world = ServiceWorld()
    seen: list[str] = []
    alice = world.login("alice", resource="phone", trace=lambda *line: seen.append(str(line)))
    assert alice.session.resource == "phone"
    assert any(Command.CONN in line for line in seen)
