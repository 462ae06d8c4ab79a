"""Who gets in: tokens, signatures, refusals, and what ends a session."""

from __future__ import annotations

import random

import pytest
from mimc_server.service import (
    CheckToken,
    ClaimSession,
    EndReason,
    LoggedIn,
    LoggedOut,
    LoginRefused,
    MessageRefused,
    Release,
    ServiceConfig,
    SessionInfo,
    StoreFailed,
)
from mimc_server.service import login as login_module
from mimc_server.tokens import TokenIssuer
from support.service_bed import APP, PACKAGE, Client, Town

from mimc_proto import ClientState, Credentials, Framing, LocalProtocolError
from mimc_proto.events import BindRefused, CloseReason, Kicked, LinkClosed
from mimc_proto.packets import KickReason


def refusal(client: Client, credentials: Credentials | None = None) -> BindRefused:
    """What a login that fails is told."""
    client.bind(credentials)
    [refused] = client.all(BindRefused)
    assert client.connection.state is ClientState.READY
    return refused


def test_a_good_token_logs_in_and_is_reported_without_secrets() -> None:
    town = Town()
    alice = town.login("alice", "pc")
    [info] = town.node.service.sessions()
    assert info == SessionInfo(
        app_id=APP,
        account="alice",
        uuid=alice.uuid,
        resource="pc",
        link_id=alice.link_id,
        peer="peer of alice",
        epoch=info.epoch,
        waiting=0,
    )
    assert [event.account for event in town.node.said(LoggedIn)] == ["alice"]


def test_a_web_client_logs_in() -> None:
    assert Town().login("alice", framing=Framing.WEBSOCKET).online


def test_an_expired_token_is_refused_as_expired() -> None:
    town = Town(lifetime=60.0)
    alice, credentials = town.open("alice"), town.credentials("alice")
    town.run_for(61.0)
    refused = refusal(alice, credentials)
    assert (refused.error_type, refused.error_reason) == ("token-expired", "token-expired")


def test_a_revoked_token_is_refused_as_expired() -> None:
    town = Town()
    credentials = town.credentials("alice")
    town.store.revoke_tokens(credentials.uuid, town.wall_ms + 1)
    assert refusal(town.open("alice"), credentials).error_reason == "token-expired"


def test_a_forged_token_is_refused_as_invalid() -> None:
    town = Town()
    forger = TokenIssuer(b"another secret, of nobody here", 3600.0, random.Random(2))
    refused = refusal(town.open("alice"), town.credentials("alice", forger))
    assert (refused.error_type, refused.error_reason) == ("auto", "invalid-token")


def test_a_token_of_a_user_that_this_store_does_not_have_is_refused_as_invalid() -> None:
    town = Town()
    other = Town()
    for account in ("bob", "carol", "dave"):
        other.member(account)
    refused = refusal(town.open("alice"), other.credentials("stranger"))
    assert refused.error_reason == "invalid-token"


def test_a_token_whose_uuid_is_another_account_here_is_refused_as_invalid() -> None:
    town = Town()
    uuid = town.member("alice").uuid
    issued = town.tokens.issue(APP, "mallory", uuid, town.wall_ms)
    forged = Credentials(
        app_id=APP,
        account="mallory",
        uuid=uuid,
        token=issued.token,
        security_key=issued.security_key,
        package=PACKAGE,
    )
    assert refusal(town.open("alice"), forged).error_reason == "invalid-token"


def test_a_foreign_uuid_in_the_header_is_refused_as_invalid() -> None:
    town = Town()
    good = town.credentials("alice")
    foreign = Credentials(
        app_id=APP,
        account="alice",
        uuid=good.uuid + 1,
        token=good.token,
        security_key=good.security_key,
        package=PACKAGE,
    )
    assert refusal(town.open("alice"), foreign).error_reason == "invalid-token"


def test_a_token_without_its_key_is_refused_and_throws_nobody_out() -> None:
    town = Town()
    alice = town.login("alice")
    good, other = town.credentials("alice"), town.credentials("bob")
    stolen = Credentials(
        app_id=APP,
        account="alice",
        uuid=good.uuid,
        token=good.token,
        security_key=other.security_key,
        package=PACKAGE,
    )
    assert refusal(town.open("alice"), stolen).error_reason == "invalid-token"
    assert alice.online


def test_an_application_that_is_not_served_is_refused() -> None:
    town = Town()
    member = town.store.user(APP + 1, "alice", town.wall_ms)
    issued = town.tokens.issue(APP + 1, "alice", member.uuid, town.wall_ms)
    foreign = Credentials(
        app_id=APP + 1,
        account="alice",
        uuid=member.uuid,
        token=issued.token,
        security_key=issued.security_key,
        package=PACKAGE,
    )
    assert refusal(town.open("alice"), foreign).error_reason == "invalid-token"


def test_refusals_and_events_never_show_the_token() -> None:
    town = Town(lifetime=60.0)
    credentials = town.credentials("alice")
    town.run_for(61.0)
    alice = town.open("alice")
    refusal(alice, credentials)
    [event] = town.node.said(LoginRefused)
    assert credentials.token not in repr(event) + repr(alice.seen)
    assert credentials.security_key not in repr(event)


@pytest.mark.parametrize("request_kind", [ClaimSession, CheckToken])
def test_a_store_that_fails_refuses_a_login_so_that_the_client_tries_again(request_kind: type[object]) -> None:
    town = Town()
    alice = town.open("alice")
    if request_kind is CheckToken:
        alice.bind()
    town.node.failing = (request_kind,)
    rebind(alice)
    [refused] = alice.all(BindRefused)
    assert not refused.token_refused
    assert not refused.taken_over
    assert town.node.said(StoreFailed)
    assert town.node.service.sessions() == []


def rebind(client: Client) -> None:
    """A second BIND on a bound link, which our own client never sends but C++ does every six seconds."""
    credentials = client.town.credentials(client.account)
    client.connection._state = ClientState.READY
    client.bind(credentials)


def test_a_second_bind_on_the_same_link_kicks_nobody_and_keeps_the_session() -> None:
    town = Town()
    alice = town.login("alice")
    [before] = town.node.service.sessions()
    rebind(alice)
    assert alice.online
    assert alice.all(Kicked) == []
    assert town.node.service.sessions() == [before]


def test_what_was_sent_just_before_a_second_bind_is_still_accepted() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.node.hold()
    alice.send("bob")
    rebind(alice)
    town.node.release()
    assert town.node.said(MessageRefused) == []
    assert bob.payloads == [b"hi"]


def test_a_second_bind_with_a_revoked_token_ends_the_session() -> None:
    town = Town()
    alice = town.login("alice")
    credentials = town.credentials("alice")
    town.store.revoke_tokens(alice.uuid, town.wall_ms + 1)
    alice.connection._state = ClientState.READY
    alice.bind(credentials)
    [refused] = alice.all(BindRefused)
    assert refused.error_reason == "token-expired"
    assert town.node.service.sessions() == []
    assert [event.reason for event in town.node.said(LoggedOut)] == [EndReason.REFUSED]


def test_another_user_on_the_same_link_replaces_the_first() -> None:
    town = Town()
    link = town.login("alice")
    link.connection._state = ClientState.READY
    link.bind(town.credentials("bob"))
    assert [info.account for info in town.node.service.sessions()] == ["bob"]
    assert [event.reason for event in town.node.said(LoggedOut)] == [EndReason.REPLACED]


def test_of_binds_that_come_while_the_store_is_asked_the_newest_counts() -> None:
    town = Town()
    link = town.open("alice")
    town.node.hold()
    link.bind()
    link.connection._state = ClientState.READY
    link.bind(town.credentials("bob"))
    town.node.release()
    assert [info.account for info in town.node.service.sessions()] == ["bob"]


def test_a_link_that_dies_while_the_store_is_asked_leaves_no_session() -> None:
    town = Town()
    link = town.open("alice")
    town.node.hold()
    link.bind()
    link.drop()
    town.node.release()
    assert town.node.service.sessions() == []
    assert town.store.claim(link.uuid, "pc", "n1", town.wall_ms).previous_node == ""


def test_a_logout_is_answered_and_ends_the_session() -> None:
    town = Town()
    alice = town.login("alice")
    alice.unbind()
    assert [event.reason for event in alice.all(LinkClosed)] == [CloseReason.LOGGED_OUT]
    assert town.node.service.sessions() == []
    assert [event.reason for event in town.node.said(LoggedOut)] == [EndReason.LOGGED_OUT]


def test_a_logout_during_a_login_wins() -> None:
    town = Town()
    alice = town.open("alice")
    town.node.hold()
    alice.bind()
    alice.unbind()
    town.node.release()
    assert town.node.service.sessions() == []


def test_a_bind_whose_logout_came_in_the_same_read_is_not_decided() -> None:
    town = Town()
    alice = town.open("alice")
    alice.connection.bind(town.credentials("alice"), town.now)
    [bind] = alice.connection.data_to_send()
    alice.connection.unbind(town.now)
    [unbind] = alice.connection.data_to_send()
    town.node.service.receive_data(alice.link_id, bind + unbind, town.now, town.wall_ms)
    town.settle()
    assert town.node.said(LoginRefused) == []
    assert town.node.service.sessions() == []


def test_what_the_store_cannot_release_is_told_of_and_tried_again_with_the_sweep() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.failing = (Release,)
    alice.drop()
    assert [event.what for event in town.node.said(StoreFailed)] == ["release"]
    town.run_for(5.0)
    assert [event.what for event in town.node.said(StoreFailed)] == ["release"] * 2
    town.node.failing = ()
    town.run_for(5.0)
    assert len(town.node.said(StoreFailed)) == 2
    assert town.store.claim(alice.uuid, "pc", "elsewhere", town.wall_ms).previous_node == ""


def test_a_release_that_is_tried_again_leaves_who_has_logged_in_meanwhile() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.failing = (Release,)
    alice.drop()
    town.node.failing = ()
    again = town.login("alice")
    town.run_for(10.0)
    bob = town.login("bob")
    bob.send("alice", b"hi")
    assert again.payloads == [b"hi"]
    assert again.online


def test_releases_that_fail_are_tried_again_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_module, "RELEASED_AT_ONCE", 2)
    town = Town()
    users = [town.login(account) for account in ("alice", "bob", "carol")]
    town.node.failing = (Release,)
    for user in users:
        user.drop()
    assert len(town.node.said(StoreFailed)) == 3
    town.run_for(5.0)
    assert len(town.node.said(StoreFailed)) == 3 + 2
    town.node.failing = ()
    town.run_for(10.0)
    claims = [town.store.claim(user.uuid, "pc", "elsewhere", town.wall_ms) for user in users]
    assert [claim.previous_node for claim in claims] == ["", "", ""]


def test_a_token_that_expires_while_online_kicks_so_that_a_new_one_is_fetched() -> None:
    town = Town(lifetime=100.0)
    alice = town.login("alice")
    town.run_for(99.0)
    assert alice.online
    town.run_for(2.0)
    [kicked] = alice.all(Kicked)
    assert kicked.kick.reason == KickReason.TOKEN_EXPIRED
    alice.bind()
    assert alice.online


def test_a_token_that_expired_while_its_silent_link_did_is_not_kicked_for_it() -> None:
    town = Town(lifetime=300.0)
    town.login("alice")
    town.now = 3600.0  # a computer that slept
    town.node.service.handle_timer(town.now, town.wall_ms)
    town.settle()
    assert [ended.reason for ended in town.node.said(LoggedOut)] == [EndReason.LINK_ENDED]


def test_a_login_with_a_fresh_token_outlives_the_old_one() -> None:
    town = Town(lifetime=100.0)
    alice = town.login("alice")
    town.run_for(50.0)
    rebind(alice)
    town.run_for(60.0)
    assert alice.online
    town.run_for(41.0)
    assert not alice.online


def test_a_wall_clock_that_was_set_back_keeps_a_token_good_for_longer() -> None:
    town = Town(lifetime=100.0)
    alice = town.login("alice")
    service = town.node.service
    service.handle_timer(100.0, town.wall_ms + 70_000)
    assert service.sessions()
    town.now = 100.0
    service.handle_timer(131.0, town.wall_ms + 1)
    town.settle()
    assert alice.all(Kicked)


def test_an_administrator_kicks_one_resource() -> None:
    town = Town()
    pc, phone = town.login("alice", "pc"), town.login("alice", "phone")
    town.node.service.kick(pc.uuid, "pc", "maintenance", town.now, town.wall_ms, "back soon")
    town.settle()
    [kicked] = pc.all(Kicked)
    assert (kicked.kick.reason, kicked.kick.desc) == ("maintenance", "back soon")
    assert phone.online


@pytest.mark.parametrize(("reason", "description"), [("", ""), ("x" * 256, ""), ("why", "x" * 1025)])
def test_a_kick_that_cannot_be_sent_is_refused_before_any_node_hears_of_it(reason: str, description: str) -> None:
    town = Town()
    alice = town.login("alice")
    with pytest.raises(LocalProtocolError):
        town.node.service.kick(alice.uuid, None, reason, town.now, town.wall_ms, description)
    assert town.node.service.hints() == []
    assert alice.online


def test_an_administrator_kicks_all_resources() -> None:
    town = Town()
    pc, phone = town.login("alice", "pc"), town.login("alice", "phone")
    town.node.service.kick(pc.uuid, None, "token-expired", town.now, town.wall_ms)
    town.settle()
    assert not pc.online
    assert not phone.online
    pc.bind()
    assert pc.online


def test_a_node_that_starts_releases_what_it_held_before_it_died() -> None:
    town = Town()
    alice = town.member("alice")
    town.store.claim(alice.uuid, "pc", "n2", town.wall_ms)
    town.start_node("n2", ServiceConfig())
    town.settle()
    assert town.store.claim(alice.uuid, "pc", "n1", town.wall_ms).previous_node == ""


def test_a_logout_during_a_second_bind_wins() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.hold()
    rebind(alice)
    alice.unbind()
    town.node.release()
    assert town.node.service.sessions() == []


def test_a_login_that_the_store_fails_on_after_its_link_died_leaves_nothing() -> None:
    town = Town()
    alice = town.open("alice")
    town.node.hold()
    alice.bind()
    alice.drop()
    town.node.failing = (ClaimSession,)
    town.node.release()
    assert town.node.service.sessions() == []
    assert town.node.said(LoginRefused) == []
