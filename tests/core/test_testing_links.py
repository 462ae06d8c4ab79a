"""Links driven on a pipe: the rules of docs/how-to/drive-a-link.md, kept."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from mimc_proto import (
    ClientConfig,
    ClientConnection,
    ClientState,
    Framing,
    LocalProtocolError,
    ServerConfig,
    ServerConnection,
    ServerState,
)
from mimc_proto.events import CloseReason, Kicked, LinkClosed, PacketReceived, PingReceived
from mimc_proto.packets import P2PMessage
from mimc_proto.testing import (
    Conditions,
    Endpoint,
    FaultyPipe,
    LinkDriver,
    LinkedPair,
    VirtualClock,
    example_user,
    serve,
)


def reasons(events: list[object]) -> list[CloseReason]:
    """Why links ended."""
    return [event.reason for event in events if isinstance(event, LinkClosed)]


@pytest.mark.parametrize("framing", Framing)
def test_a_pair_logs_in_and_carries_messages(framing: Framing) -> None:
    pair = LinkedPair(framing=framing, conditions=Conditions(latency=0.05, chunk=3, rng=Random(1)))
    pair.login()
    packet_id = pair.client.send_p2p("bob", b"hi", now=pair.clock.now)
    pair.run_for(1.0)
    [received] = pair.server_events
    assert isinstance(received, PacketReceived)
    assert received.packet.packet_id == packet_id
    assert (pair.client.state, pair.server.state) == (ClientState.BOUND, ServerState.BOUND)


def test_a_pair_takes_the_callers_clock_user_and_settings() -> None:
    clock = VirtualClock(500.0)
    pair = LinkedPair(
        clock,
        user=example_user("zoe"),
        resource="phone",
        client_config=ClientConfig(ping_interval=2.0),
        server_config=ServerConfig(idle_timeout=30.0),
    )
    pair.login()
    pair.run_until(503.0)
    assert pair.server_events == [PingReceived()]
    assert (pair.client.resource, pair.server.config.idle_timeout) == ("phone", 30.0)


def test_logging_in_a_second_time_is_refused_by_the_link() -> None:
    pair = LinkedPair()
    pair.login()
    with pytest.raises(LocalProtocolError):
        pair.login()


def test_verbs_take_effect_at_the_next_run() -> None:
    pair = LinkedPair()
    pair.login()
    pair.server.kick("token-expired", now=pair.clock.now)
    pair.run_for(0.0)
    [kicked] = pair.client_events
    assert isinstance(kicked, Kicked)
    assert kicked.token_refused


def test_a_logout_closes_both_ends() -> None:
    pair = LinkedPair()
    pair.login()
    pair.client.unbind(pair.clock.now)
    pair.run_for(1.0)
    assert reasons([*pair.client_events]) == [CloseReason.LOGGED_OUT]
    assert reasons([*pair.server_events]) == [CloseReason.EOF]
    assert pair.clock.waiting == []


def test_a_cut_in_mid_frame_ends_both_links() -> None:
    pair = LinkedPair()
    pair.login()
    pair.pipe.up.cut(after_bytes=20)
    pair.client.send_p2p("bob", b"torn", now=pair.clock.now)
    pair.run_for(1.0)
    assert pair.client_events == [LinkClosed(reason=CloseReason.SEND_FAILED)]
    assert pair.server_events == [LinkClosed(reason=CloseReason.EOF, unread=20)]


def test_a_corrupt_byte_is_an_error_of_the_peer() -> None:
    pair = LinkedPair()
    pair.login()
    pair.pipe.down.corrupt(after_bytes=2)
    pair.client.ping(pair.clock.now)
    pair.run_for(1.0)
    [error] = pair.client_errors
    assert "version" in str(error)
    assert reasons([*pair.client_events]) == [CloseReason.PROTOCOL_ERROR]
    assert not pair.server_errors


def test_a_stalled_server_is_given_up() -> None:
    pair = LinkedPair()
    pair.login()
    pair.pipe.stall()
    pair.run_for(60.0)
    assert reasons([*pair.client_events]) == [CloseReason.ANSWER_TIMEOUT]


def test_bytes_that_wait_are_read_before_a_timer_is_handled() -> None:
    pair = LinkedPair(client_config=ClientConfig(ping_interval=100.0, answer_timeout=10.0), conditions=Conditions())
    pair.login()
    pair.pipe.down.latency = 11.0  # the answer comes a second after its deadline
    pair.client.ping(pair.clock.now)
    pair.run_for(1.0)
    pair.clock.advance(11.0)  # but the whole program sleeps meanwhile
    pair.run_for(20.0)
    assert reasons([*pair.client_events]) == []
    assert pair.client.state is ClientState.BOUND


def test_a_timer_that_finds_the_end_of_input_is_not_handled() -> None:
    pair = LinkedPair(client_config=ClientConfig(ping_interval=100.0, answer_timeout=10.0))
    pair.login()
    pair.pipe.down.latency = 11.0
    pair.server.close(pair.clock.now)
    pair.client.ping(pair.clock.now)
    pair.run_for(0.0)
    pair.clock.advance(20.0)
    pair.run_for(0.0)
    assert pair.client_events == [LinkClosed(reason=CloseReason.EOF)]


def test_frames_are_taken_only_as_far_as_the_pipe_takes_them() -> None:
    pair = LinkedPair(conditions=Conditions(capacity=1000))
    pair.login()
    pair.pipe.up.stall()
    for _ in range(50):
        pair.client.send_p2p("bob", bytes(100), now=pair.clock.now)
    pair.run_for(1.0)
    assert pair.client.pending > 40
    pair.pipe.up.resume()
    pair.run_for(1.0)
    assert pair.client.pending == 0
    assert len(pair.server_events) == 50


def test_a_close_waits_for_the_pipe_until_its_time_is_over() -> None:
    pair = LinkedPair(conditions=Conditions(capacity=100), server_config=ServerConfig(close_delay=3.0))
    pair.login()
    pair.pipe.down.stall()
    pair.server.kick("fills the pipe", "x" * 200, now=pair.clock.now)
    pair.run_for(0.0)
    pair.server.close(pair.clock.now)
    pair.run_for(2.9)
    assert (pair.server.state, pair.pipe.server.closed) == (ServerState.CLOSING, False)
    pair.run_for(0.1)
    assert (pair.server.state, pair.pipe.server.closed) == (ServerState.CLOSED, True)


class Refusing:
    """An endpoint without timers that wants to be closed at some time and never lets go of a byte."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came."""

    def receive_eof(self, now: float) -> None:
        """Closed."""
        self.calls.append(f"eof at {now:g}")

    def send_failed(self, now: float) -> None:
        """Broken."""

    def data_to_send(self, max_bytes: int = 65536) -> list[bytes]:
        """Always something."""
        return [bytes(10)]

    def get_timer(self) -> float | None:
        """None of its own."""
        return None

    def handle_timer(self, now: float) -> None:
        """Not needed."""

    def close_expected(self) -> float | None:
        """Soon."""
        return 2.0


def test_an_endpoint_without_a_timer_is_closed_in_time() -> None:
    clock, endpoint = VirtualClock(), Refusing()
    pipe = FaultyPipe(clock, conditions=Conditions(capacity=30))
    LinkDriver(clock, pipe.server, endpoint)
    clock.run_for(10.0)
    assert endpoint.calls == ["eof at 2"]


class OneServer:
    """A listener that makes plain server links and keeps the last one."""

    def accept(self, now: float, wake: Callable[[], None]) -> Endpoint:
        """A connection arrived."""
        wake()  # harmless before there is a driver
        self.wake = wake
        self.link = ServerConnection(challenge="challenge", first_id=1, now=now)
        return self.link


def test_a_listener_is_served_and_may_wake_its_driver() -> None:
    clock, listener = VirtualClock(), OneServer()
    pipe = FaultyPipe(clock)
    client = ClientConnection(resource="pc", id_prefix="p", now=0.0)
    driver = LinkDriver(clock, pipe.client, client, client.events, name="the client")
    served = serve(clock, pipe, listener)
    clock.run_until(lambda: client.state is ClientState.READY)
    assert served.endpoint is listener.link

    def bind_and_close() -> None:
        client.close(clock.now)
        driver.wake()
        listener.link.close(clock.now)
        listener.wake()

    clock.call_later(1.0, bind_and_close)
    clock.run_for(1.0)
    assert pipe.client.closed
    assert pipe.server.closed
    assert not served.errors


def test_a_message_is_read_back_typed() -> None:
    pair = LinkedPair()
    pair.login()
    pair.client.send_p2p("bob", b"hi", now=pair.clock.now)
    pair.run_until(lambda: pair.server_events, what="the message")
    [event] = pair.server_events
    assert isinstance(event, PacketReceived)
    assert isinstance(event.packet.body, P2PMessage)
