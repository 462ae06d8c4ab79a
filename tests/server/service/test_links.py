"""Links without users: limits, deadlines, ends; and what a driver may count on."""

from __future__ import annotations

import pytest
from mimc_server.service import LinkEnded, ServiceConfig, StoreFailed, TidyStore, TooManyLinks
from support.service_bed import NOON, Client, Town

from mimc_proto import Framing, LocalProtocolError, ServerConfig
from mimc_proto.events import CloseReason


def test_a_link_too_many_is_refused() -> None:
    service = Town(ServiceConfig(max_links=2)).node.service
    first = service.link_opened(0.0)
    service.link_opened(0.0)
    with pytest.raises(TooManyLinks, match="max_links=2"):
        service.link_opened(0.0)
    service.link_lost(first, 0.0, NOON)
    assert service.link_opened(0.0)


def test_a_service_says_whether_it_takes_another_link() -> None:
    service = Town(ServiceConfig(max_links=2)).node.service
    said = []
    for _ in range(2):
        said.append(service.accepting)
        service.link_opened(0.0)
    assert [*said, service.accepting] == [True, True, False]


def test_links_that_never_bind_are_allowed_up_to_a_limit_and_then_the_oldest_is_closed() -> None:
    town = Town(ServiceConfig(max_unbound=2))
    bound = town.login("alice")
    idle = [town.open("bob") for _ in range(3)]
    assert [client.gone for client in idle] == [True, False, False]
    assert bound.online


def test_every_link_has_a_challenge_of_its_own() -> None:
    town = Town()
    one, other = town.open("alice"), town.open("alice")
    assert one.connection._challenge != other.connection._challenge
    assert len(one.connection._challenge) == 16


def test_a_link_that_never_says_anything_is_closed() -> None:
    town = Town()
    link_id = town.node.service.link_opened(town.now, peer="somebody")
    town.run_for(10.0)
    assert town.node.service.writable() == [link_id]
    assert town.node.service.close_expected(link_id) == 10.0
    town.settle()
    assert town.node.events == [LinkEnded(link_id=link_id, peer="somebody", reason=CloseReason.HANDSHAKE_TIMEOUT)]


def test_a_link_that_never_binds_is_closed_after_minutes() -> None:
    town = Town()
    idle = town.open("alice")
    town.run_for(239.0)
    assert not idle.gone
    town.run_for(2.0)
    assert idle.gone


def test_a_link_whose_user_was_kicked_is_closed_when_he_does_not_come_back() -> None:
    town = Town(ServiceConfig(link=ServerConfig(bind_timeout=10.0)))
    alice = town.login("alice")
    town.node.service.kick(alice.uuid, None, "because", town.now, town.wall_ms)
    town.settle()
    town.run_for(11.0)
    assert [ended.reason for ended in town.node.said(LinkEnded)] == [CloseReason.LOGIN_TIMEOUT]


def test_a_session_that_is_silent_for_more_than_180_seconds_and_a_margin_ends() -> None:
    town = Town()
    alice = town.login("alice")
    ping = alice.connection.ping
    for _ in range(5):
        town.run_for(185.0)
        assert alice.online
        ping(town.now)
        town.settle()
    town.run_for(241.0)
    assert town.node.service.sessions() == []
    assert town.node.said(LinkEnded)[-1].reason is CloseReason.IDLE_TIMEOUT


def test_a_peer_that_breaks_the_protocol_raises_nothing_and_is_told_of() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.service.receive_data(alice.link_id, b"GET / HTTP/1.1\r\n\r\n", town.now, town.wall_ms)
    town.settle()
    [event] = town.node.said(LinkEnded)
    assert event.reason is CloseReason.PROTOCOL_ERROR
    assert event.error is not None
    assert town.node.service.sessions() == []
    assert alice.gone


def test_calls_for_a_link_that_is_not_there_do_nothing() -> None:
    service = Town().node.service
    service.receive_data(99, b"x", 0.0, NOON)
    service.link_lost(99, 0.0, NOON)
    assert service.data_to_send(99) == []
    assert service.close_expected(99) is None
    assert service.close_reason(99) is None
    assert service.max_body(99) == 0


def test_a_link_says_why_it_is_to_be_closed() -> None:
    town = Town()
    alice, bob = town.login("alice", framing=Framing.WEBSOCKET), town.login("bob")
    service = town.node.service
    assert service.close_reason(alice.link_id) is None
    alice.connection.unbind(town.now)
    for frame in alice.connection.data_to_send():
        service.receive_data(alice.link_id, frame, town.now, town.wall_ms)
    service.receive_data(bob.link_id, b"GET / HTTP/1.1", town.now, town.wall_ms)
    assert service.close_reason(alice.link_id) is CloseReason.LOGGED_OUT
    assert service.close_reason(bob.link_id) is CloseReason.PROTOCOL_ERROR


def test_a_link_says_how_large_a_packet_may_be() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_frame_unbound=2000, max_frame=60_000)))
    assert town.node.service.max_body(town.open("alice").link_id) == 2000
    assert town.node.service.max_body(town.login("bob").link_id) == 60_000


@pytest.mark.parametrize(("failed", "reason"), [(False, CloseReason.EOF), (True, CloseReason.SEND_FAILED)])
def test_a_link_that_is_lost_ends_as_its_driver_says(failed: bool, reason: CloseReason) -> None:
    town = Town()
    service = town.node.service
    link_id = service.link_opened(0.0)
    service.link_lost(link_id, 0.0, NOON, failed=failed)
    assert [event.reason for event in service.events() if isinstance(event, LinkEnded)] == [reason]


def test_an_answer_that_nobody_asked_for_does_nothing() -> None:
    service = Town().node.service
    service.store_answered(99, None, 0.0, NOON)
    assert service.events() == []


def test_only_links_with_something_to_write_are_named_and_only_once() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.login("carol")
    service = town.node.service
    service.writable()
    alice.reading = bob.reading = False
    alice.send("bob")
    assert sorted(service.writable()) == sorted([alice.link_id, bob.link_id])
    assert service.writable() == []


def test_a_kicked_link_is_named() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.service.writable()
    town.node.service.kick(alice.uuid, None, "bye", town.now, town.wall_ms)
    assert town.node.service.writable() == [alice.link_id]


def test_a_web_link_is_closed_after_its_logout() -> None:
    town = Town()
    alice = town.login("alice", framing=Framing.WEBSOCKET)
    alice.unbind()
    assert alice.gone


def test_a_link_may_be_lost_twice() -> None:
    town = Town()
    alice = town.login("alice")
    alice.drop()
    town.node.service.link_lost(alice.link_id, town.now, town.wall_ms)
    assert len(town.node.said(LinkEnded)) == 1


def test_a_clock_that_goes_back_stands_still() -> None:
    town = Town()
    town.now = 100.0
    alice: Client = town.login("alice")
    town.now = 50.0
    packet_id = alice.send("bob")
    assert alice.ack_of(packet_id).code == 0


@pytest.mark.parametrize("now", [float("nan"), 1e13])
def test_a_time_that_is_none_is_refused_and_changes_nothing(now: float) -> None:
    town = Town()
    service = town.node.service
    with pytest.raises(LocalProtocolError):
        service.link_opened(now)
    assert service.get_timer() is None
    alice = town.login("alice")
    with pytest.raises(LocalProtocolError):
        service.handle_timer(now, town.wall_ms)
    assert alice.ack_of(alice.send("bob")).code == 0


def test_the_store_tidies_up_every_ten_minutes() -> None:
    town = Town()
    town.node.service.link_opened(town.now)
    town.node.failing = (TidyStore,)
    town.run_for(1201.0)
    assert [event.what for event in town.node.said(StoreFailed)] == ["the upkeep"] * 2


def test_a_service_that_has_seen_no_time_has_no_timer() -> None:
    assert Town().node.service.get_timer() is None


def test_bytes_come_in_pieces_no_larger_than_asked_for() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_list_messages=1)))
    alice, bob = town.login("alice"), town.login("bob")
    bob.reading = False
    for _ in range(3):
        alice.send("bob")
    service = town.node.service
    assert [len(service.data_to_send(bob.link_id, 1)) for _ in range(4)] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"window": 0}, "window"),
        ({"sweep_interval": 0.0}, "sweep_interval"),
        ({"link": None}, "ServiceConfig.link"),
        ({"host": 5}, "ServiceConfig.host"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object], where: str) -> None:
    with pytest.raises(LocalProtocolError, match=where):
        ServiceConfig(**changes)  # type: ignore[arg-type]
