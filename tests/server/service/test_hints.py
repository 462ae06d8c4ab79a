"""Hints that are lost, or that nobody takes: what becomes of them (`mimc_server.service.hints`)."""

from __future__ import annotations

import pytest
from mimc_server.service import (
    EndReason,
    HintLost,
    LoggedOut,
    OnlineAcked,
)
from support.service_bed import APP, Client, Node, Town

from mimc_proto.events import Kicked
from mimc_proto.packets import KickReason, OnlineMessage, OnlineMessageAck, UcMessageList


def two_nodes() -> tuple[Town, Node]:
    town = Town()
    other = town.start_node("n2")
    town.settle()
    return town, other


def acks_for_nobody(client: Client, count: int) -> None:
    for number in range(count):
        ack = OnlineMessageAck(packet_id=f"x{number}", uuid=1, resource="nobody", code=1)
        client.connection.send(ack, now=client.town.now)
        if number % 1000 == 999:  # of what its own link takes at once
            client.town.settle()
    client.town.settle()


def uc_payloads(client: Client) -> list[bytes]:
    return [message.payload for found in client.bodies(UcMessageList) for message in found.messages]


# --------------------------------------------------------------------------------------------------- too many of them


def test_acks_for_nobody_do_not_take_the_place_of_messages() -> None:
    town, other = two_nodes()
    alice, mallory, bob = town.login("alice"), town.login("mallory"), town.login("bob", node=other)
    town.node.deaf = True
    acks_for_nobody(mallory, 2000)
    alice.send_online("bob", b"online")
    alice.send("bob", b"stored")
    town.node.deaf = False
    town.settle()
    assert [message.payload for message in bob.bodies(OnlineMessage)] == [b"online"]
    assert bob.payloads == [b"stored"]


def test_acks_for_nobody_do_not_take_the_place_of_a_kick() -> None:
    town, other = two_nodes()
    mallory, bob = town.login("mallory"), town.login("bob", node=other)
    town.node.deaf = True
    acks_for_nobody(mallory, 5000)
    town.node.service.kick(bob.uuid, None, "bye", town.now, town.wall_ms)
    acks_for_nobody(mallory, 5000)
    town.node.deaf = False
    town.settle()
    assert bob.all(Kicked)


def test_hints_beyond_the_room_of_their_kind_are_lost_and_that_is_told_once() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.deaf = True
    acks_for_nobody(alice, 1024)
    assert town.node.said(HintLost) == []
    acks_for_nobody(alice, 10)
    assert town.node.said(HintLost) == [HintLost(what="OnlineAcked")]
    assert [type(hint) for hint in town.node.service.hints()] == [OnlineAcked] * 1024


def test_a_driver_that_takes_its_hints_again_loses_no_more() -> None:
    town, other = two_nodes()
    alice, bob = town.login("alice"), town.login("bob", node=other)
    town.node.deaf = True
    for _ in range(70):
        alice.send_online("bob", b"too many")
    town.node.deaf = False
    town.settle()
    assert town.node.said(HintLost) == [HintLost(what="Committed")]
    assert len(bob.bodies(OnlineMessage)) == 64
    bob.forget()
    alice.send_online("bob", b"now")
    assert [message.payload for message in bob.bodies(OnlineMessage)] == [b"now"]


# ---------------------------------------------------------------------------------------------------------- lost ones


def test_who_was_removed_from_an_unlimited_group_reads_on_for_a_time_only_when_the_hint_is_lost() -> None:
    town, other = two_nodes()
    topic = town.group("owner", "bob", unlimited=True)
    owner, bob = town.login("owner", node=other), town.login("bob", node=other)
    bob.ping_groups(topic)
    town.node.lose_hints = True
    town.store.remove_members(topic, [bob.uuid], unlimited=True)
    town.node.service.unlimited_left(APP, topic, (bob.uuid,), town.now, town.wall_ms)
    for _ in range(4):
        town.run_for(50.0)
        bob.ping_groups(topic)
        owner.ping_groups(topic)
    owner.send_unlimited(topic, b"secret")
    assert uc_payloads(owner) == [b"secret"]
    assert uc_payloads(bob) == []


def test_a_client_that_is_silent_is_online_for_at_most_twice_the_timeout() -> None:
    town, other = two_nodes()
    topic = town.group("owner", "bob", unlimited=True)
    owner, bob = town.login("owner", node=other), town.login("bob", node=other)
    bob.ping_groups(topic)
    town.store.remove_members(topic, [bob.uuid], unlimited=True)
    town.run_for(150.0)
    owner.connection.ping(town.now)
    bob.ping_groups(topic)  # the last moment at which it is not looked up
    for after, said in ((100.0, b"read on"), (51.0, b"no more")):
        town.run_for(after)
        for client in (owner, bob):
            client.connection.ping(town.now)
        owner.send_unlimited(topic, said)
    assert uc_payloads(bob) == [b"read on"]


def revoked_behind_its_back(town: Town, client: Client) -> None:
    """On another node, and the kick that follows is lost."""
    town.store.revoke_tokens(client.uuid, town.wall_ms + 1)


def test_a_session_whose_token_was_revoked_is_ended_by_the_sweep() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    revoked_behind_its_back(town, alice)
    town.run_for(4.9)
    assert alice.online
    town.run_for(0.1)
    [kicked] = alice.all(Kicked)
    assert kicked.kick.type == KickReason.TOKEN_EXPIRED
    assert [event.reason for event in town.node.said(LoggedOut)] == [EndReason.TOKEN_EXPIRED]
    assert bob.online


# ---------------------------------------------------------------------------------------------------------- the sweep


def test_the_sweep_looks_after_all_sessions_however_many_it_asks_about_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mimc_server.service.upkeep.SWEPT_AT_ONCE", 1)
    town, other = two_nodes()
    alice = town.login("alice")
    names = ["bob", "carol", "dave"]
    others = [town.login(name, node=other) for name in names]
    town.node.lose_hints = True
    for name in names:
        alice.send(name)
    town.run_for(5.0)
    assert [client.payloads for client in others] == [[b"hi"]] * 3
