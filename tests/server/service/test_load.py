"""How much a service has to do, for its figures."""

from __future__ import annotations

from mimc_server.service import LoggedIn, LoggedOut, LoginRefused, MessageRefused, ServiceConfig
from mimc_server.store import AckCode, Kind
from support.service_bed import Town


def stored(town: Town) -> dict[Kind, int]:
    """Messages by kind, without those of which there were none."""
    counts = town.node.service.load().stored
    return {kind: counts[kind] for kind in Kind if counts[kind]}


def test_links_sessions_and_users_are_counted_while_they_last() -> None:
    town = Town()
    town.login("alice", resource="pc")
    phone = town.login("alice", resource="phone")
    town.open("bob")
    load = town.node.service.load()
    assert (load.links, load.unbound, load.sessions, load.users) == (3, 1, 2, 1)
    phone.drop()
    town.settle()
    load = town.node.service.load()
    assert (load.links, load.unbound, load.sessions, load.users) == (2, 1, 1, 1)


def test_messages_are_counted_by_kind_when_they_are_stored_and_repeats_apart() -> None:
    town = Town()
    alice, _ = town.login("alice"), town.login("bob")
    team, everybody = town.group("alice", "bob"), town.group("alice", unlimited=True)
    alice.send("bob", packet_id="one")
    alice.send("bob", packet_id="one")
    alice.send(team)
    alice.send_unlimited(everybody)
    alice.send_online("bob")
    alice.send_online("bob")
    alice.send(team + 1000)  # refused
    assert stored(town) == {Kind.P2P: 1, Kind.P2T: 1, Kind.UNLIMITED: 1, Kind.ONLINE: 2}
    assert town.node.service.load().repeated == 1


def test_what_waits_for_the_store_is_counted_until_it_answers() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.hold()
    alice.send("bob", b"12345")
    alice.send("bob", b"12345")
    load = town.node.service.load()
    assert (load.waiting, stored(town)) == (2, {})
    assert load.waiting_bytes > 10
    assert load.requests == 1
    town.node.release()
    town.settle()
    load = town.node.service.load()
    assert (load.waiting, load.waiting_bytes, load.requests, stored(town)) == (0, 0, 0, {Kind.P2P: 2})


def test_unlimited_groups_count_while_somebody_is_online_in_them() -> None:
    town = Town()
    everybody = town.group("alice", unlimited=True)
    alice = town.login("alice")
    assert town.node.service.load().unlimited_groups == 0
    alice.ping_groups(everybody)
    assert town.node.service.load().unlimited_groups == 1
    alice.drop()
    town.settle()
    assert town.node.service.load().unlimited_groups == 0


def test_events_name_the_account_and_the_kind_of_message() -> None:
    town = Town(ServiceConfig(account_rate=1, account_burst=2))
    alice = town.login("alice")
    alice.send(7)  # refused by the store
    alice.send_online("bob")
    alice.send("bob")  # refused before it
    told = [(event.account, event.kind, event.code) for event in town.node.said(MessageRefused)]
    assert told == [("alice", Kind.P2T, AckCode.NO_SUCH_GROUP), ("alice", Kind.P2P, AckCode.TOO_MANY)]
    alice.unbind()
    assert [event.account for event in town.node.said(LoggedOut)] == ["alice"]


def test_events_of_logins_name_the_peer() -> None:
    town = Town()
    client = town.open("alice")
    client.bind(town.credentials("alice").replace(token="forged"))
    client.bind()
    assert [event.peer for event in town.node.said(LoginRefused)] == ["peer of alice"]
    assert [event.peer for event in town.node.said(LoggedIn)] == ["peer of alice"]
