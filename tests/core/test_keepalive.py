"""Deadlines and PINGs of a client link."""

from __future__ import annotations

import pytest
from support.links import APP_ID, UUID, client_in, commands, credentials, drained, inside, new_client

from mimc_proto import ClientConfig, ClientState, Framing
from mimc_proto._keepalive import MOST_PINGS
from mimc_proto.errors import LocalProtocolError
from mimc_proto.events import CloseReason, LinkClosed
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Group, UcSequenceAck

both_framings = pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
GROUP = Group(app_id=APP_ID, topic_id=15)

# -------------------------------------------------------------------------------------------------------- deadlines


def test_the_handshake_has_a_deadline_from_the_start() -> None:
    link = new_client(now=100.0, config=ClientConfig(handshake_timeout=2.0))
    assert link.get_timer() == 102.0
    link.handle_timer(102.0)
    assert link.events() == [LinkClosed(reason=CloseReason.HANDSHAKE_TIMEOUT)]


def test_the_login_has_a_deadline() -> None:
    link, _ = client_in(ClientState.READY, config=ClientConfig(login_timeout=3.0))
    link.bind(credentials(), now=10.0)
    assert link.get_timer() == 13.0
    link.handle_timer(13.0)
    assert link.events() == [LinkClosed(reason=CloseReason.LOGIN_TIMEOUT)]


def test_the_logout_has_a_deadline() -> None:
    link, _ = client_in(ClientState.BOUND, config=ClientConfig(answer_timeout=4.0))
    link.unbind(now=1.0)
    assert link.get_timer() == 5.0
    link.handle_timer(5.0)
    assert link.events() == [LinkClosed(reason=CloseReason.LOGOUT_TIMEOUT)]


def test_time_that_passes_without_a_deadline_does_nothing() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.handle_timer(1.0)
    link.close(1.0)
    before = inside(link)
    link.handle_timer(100.0)
    assert inside(link) == before
    link, peer = client_in(ClientState.BINDING)
    link.handle_timer(4.9)
    assert commands(peer, link) == []
    assert link.state is ClientState.BINDING


def test_a_closed_link_wants_no_timer() -> None:
    link, _ = client_in(ClientState.CLOSED)
    assert link.get_timer() is None


# ---------------------------------------------------------------------------------------------------------- answers


def test_any_frame_answers() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"", now=1.0)
    drained(link)
    assert link.get_timer() == 11.0
    link.receive_data(peer.answer("NOTIFY"), 5.0)
    assert link.get_timer() == 16.0


def test_what_wants_no_answer_starts_no_deadline() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.send(UcSequenceAck(group=GROUP, sequence=1), now=1.0)
    drained(link)
    assert link.get_timer() == 15.0


def test_the_deadline_of_an_answer_starts_when_the_packet_is_taken_and_is_that_of_the_first() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"", now=1.0)
    assert link.get_timer() == 15.0
    link.handle_timer(2.0)
    drained(link)
    assert link.get_timer() == 12.0
    link.send_p2p("bob", b"", now=4.0)
    drained(link)
    assert link.get_timer() == 12.0


def test_an_answer_that_stays_out_ends_the_link() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.ping(now=0.0)
    drained(link)
    link.handle_timer(9.9)
    assert link.state is ClientState.BOUND
    link.handle_timer(10.0)
    assert link.events() == [LinkClosed(reason=CloseReason.ANSWER_TIMEOUT)]


def test_a_program_that_stalled_pings_once_more_before_it_gives_the_link_up() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.ping(now=0.0)
    drained(link)
    link.handle_timer(15.1)
    assert commands(peer, link) == ["PING"]
    assert link.get_timer() == 25.1
    link.handle_timer(40.0)
    assert link.events() == [LinkClosed(reason=CloseReason.ANSWER_TIMEOUT)]


def test_a_deadline_noticed_late_by_half_of_it_or_less_was_no_stall() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.ping(now=0.0)
    drained(link)
    link.handle_timer(15.0)
    assert link.events() == [LinkClosed(reason=CloseReason.ANSWER_TIMEOUT)]


def test_a_frame_in_the_moment_after_a_stall_ends_it() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.ping(now=0.0)
    drained(link)
    link.handle_timer(20.0)
    drained(link)
    link.receive_data(EMPTY_FRAME, 20.0)
    link.ping(now=20.0)
    drained(link)
    link.handle_timer(40.0)
    assert link.state is ClientState.BOUND


def test_the_second_chance_comes_back_with_the_next_frame() -> None:
    link, _ = client_in(ClientState.BOUND)
    for start in (0.0, 100.0, 200.0):
        link.ping(now=start)
        drained(link)
        link.handle_timer(start + 20.0)
        assert link.state is ClientState.BOUND
        drained(link)
        link.receive_data(EMPTY_FRAME, start + 21.0)


# ------------------------------------------------------------------------------------------------------------ pings


def test_after_silence_of_the_peer_a_ping_goes_out() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"", now=14.0)
    drained(link)
    link.receive_data(EMPTY_FRAME, 14.5)
    assert link.get_timer() == 14.0 + 15.0
    link.handle_timer(29.0)
    assert commands(peer, link) == ["PING"]


def test_a_ping_that_is_not_due_does_not_go_out() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.handle_timer(14.9)
    assert link.data_to_send() == []


def test_a_ping_by_hand_wants_its_answer_in_time() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.ping(now=5.0)
    drained(link)
    assert link.get_timer() == 15.0


def test_a_closed_link_does_not_ping() -> None:
    link, _ = client_in(ClientState.CLOSED)
    with pytest.raises(LocalProtocolError, match="ping"):
        link.ping(now=0.0)


def test_pings_do_not_heap_up_while_the_transport_cannot_write() -> None:
    link, peer = client_in(ClientState.BOUND)
    now = 0.0
    for _ in range(100):  # the peer never reads but keeps on sending
        now = max(now, link.get_timer() or 0.0)
        link.handle_timer(now)
        link.receive_data(peer.answer("NOTIFY"), now)
        link.events()
    assert link.state is ClientState.BOUND
    assert link.pending <= MOST_PINGS


def test_pings_by_hand_do_not_heap_up_either() -> None:
    link, peer = client_in(ClientState.BOUND)
    for _ in range(100):
        link.ping(now=0.0)
    assert commands(peer, link) == ["PING"] * MOST_PINGS


@both_framings
def test_a_ping_has_the_users_header_once_there_is_one(framing: Framing) -> None:
    link, peer = client_in(ClientState.READY, framing)
    link.ping(now=0.0)
    [frame] = peer.read_all(link.data_to_send())
    assert frame.header is not None
    assert (frame.header.uuid, frame.payload) == (0, b"")
    link, peer = client_in(ClientState.BOUND, framing)
    link.ping(now=0.0)
    [frame] = peer.read_all(link.data_to_send())
    assert frame.header is not None
    assert frame.header.uuid == UUID


def test_an_idle_link_gives_its_caches_back() -> None:
    link, _ = client_in(ClientState.BOUND)
    for size in (10, 500, 2000):
        link.send_p2p("bob", bytes(size), now=0.0)
    drained(link)
    link.receive_data(EMPTY_FRAME, 0.0)
    busy = len(str(inside(link._cipher)))
    link.handle_timer(15.0)
    drained(link)
    assert len(str(inside(link._cipher))) < busy


def test_on_websocket_an_idle_link_has_nothing_to_give_back() -> None:
    link, peer = client_in(ClientState.BOUND, Framing.WEBSOCKET)
    link.handle_timer(15.0)
    assert commands(peer, link) == ["PING"]


def test_pings_are_counted_when_they_are_queued() -> None:
    link, _ = client_in(ClientState.BOUND)
    assert link.pings == 0
    link.ping(now=1.0)
    drained(link)
    link.receive_data(EMPTY_FRAME, 1.0)
    link.handle_timer(link.get_timer() or 0.0)
    assert link.pings == 2


def test_a_ping_that_finds_no_room_is_not_counted() -> None:
    link, peer = client_in(ClientState.BOUND)
    for _ in range(MOST_PINGS + 5):
        link.ping(now=0.0)
    assert link.pings == MOST_PINGS == len(commands(peer, link))
