"""One session has a resource, and the newest wins (clients.md rules 4 and 20)."""

from __future__ import annotations

from mimc_server.service import ClaimSession, EndReason, LoggedOut
from mimc_server.store import AckCode
from support.service_bed import Town

from mimc_proto.events import BindRefused, Kicked
from mimc_proto.packets import KickReason


def test_the_older_link_is_kicked_for_a_single_resource() -> None:
    town = Town()
    old, new = town.login("alice"), town.login("alice")
    [kicked] = old.all(Kicked)
    assert (kicked.kick.type, kicked.kick.reason) == (KickReason.SINGLE_RESOURCE, KickReason.SINGLE_RESOURCE)
    assert not old.online
    assert new.online
    assert [event.reason for event in town.node.said(LoggedOut)] == [EndReason.TAKEN_OVER]


def test_a_displaced_link_that_binds_again_is_refused_while_the_winner_is_bound() -> None:
    town = Town()
    old, new = town.login("alice"), town.login("alice")
    old.bind()
    [refused] = old.all(BindRefused)
    assert refused.error_type == refused.error_reason == KickReason.SINGLE_RESOURCE
    assert new.online


def test_a_displaced_link_may_come_back_when_the_winner_is_gone() -> None:
    town = Town()
    old, new = town.login("alice"), town.login("alice")
    new.drop()
    old.bind()
    assert old.online


def test_a_displaced_link_may_log_in_with_another_resource() -> None:
    town = Town()
    old = town.login("alice", "pc")
    town.login("alice", "pc")
    old.connection.resource = "phone"
    old.bind()
    assert old.online


def test_a_new_link_takes_over_from_the_winner() -> None:
    town = Town()
    first, second = town.login("alice"), town.login("alice")
    third = town.login("alice")
    assert third.online
    for link in (first, second):
        link.bind()
        assert not link.online


def test_two_resources_of_one_user_are_online_together() -> None:
    town = Town()
    pc, phone = town.login("alice", "pc"), town.login("alice", "phone")
    assert pc.online
    assert phone.online


def test_a_message_that_waited_for_the_store_when_its_session_was_taken_over_is_refused_there() -> None:
    town = Town()
    old = town.login("alice")
    bob = town.login("bob")
    town.store.claim(old.uuid, "pc", "elsewhere", town.wall_ms)
    packet_id = old.send("bob")
    assert old.ack_of(packet_id).code == AckCode.TAKEN_OVER
    assert bob.payloads == []
    assert old.all(Kicked)


def test_an_acknowledgement_of_an_old_epoch_moves_nothing_and_ends_the_session() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob")
    town.store.claim(bob.uuid, "pc", "elsewhere", town.wall_ms)
    bob.acknowledge()
    assert bob.all(Kicked)
    assert town.login("bob").payloads == [b"hi"]


def test_a_claim_whose_link_died_still_displaces_the_older_session() -> None:
    town = Town()
    old = town.login("alice")
    dying = town.open("alice")
    town.node.hold()
    dying.bind()
    dying.drop()
    town.node.release()
    assert old.all(Kicked)
    old.bind()
    assert old.online


def test_a_session_that_failed_to_take_over_leaves_the_older_one_alone() -> None:
    town = Town()
    old, late = town.login("alice"), town.open("alice")
    town.node.failing = (ClaimSession,)
    late.bind()
    assert not late.online
    assert old.online


def test_every_link_that_was_displaced_is_kept_away_also_when_others_end() -> None:
    town = Town()
    first, second, third = town.login("alice"), town.login("alice"), town.login("alice")
    first.drop()
    second.bind()
    assert not second.online
    assert third.online
