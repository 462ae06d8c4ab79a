"""What one connection of a scripted server does by itself, frame by frame."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimc_proto import ClientConnection, ClientState, Framing, RemoteProtocolError, ServerConfig
from mimc_proto.events import AckReceived, ClientConnected, CloseReason, Kicked, LinkClosed, PingReceived
from mimc_proto.packets import (
    Group,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    Pull,
    SequenceAck,
    UcJoin,
    UcMessage,
    UcOnlineUsersQuery,
    UcPing,
    UcQuit,
    UcSequenceAck,
    User,
)
from mimc_proto.testing import (
    APP_ID,
    AckRule,
    Conditions,
    FaultyPipe,
    LinkDriver,
    ScriptedServer,
    VirtualClock,
    example_user,
    serve,
)

GROUP = Group(app_id=APP_ID, topic_id=7)


class Talk:
    """A client link and the connection of a scripted server."""

    def __init__(self, framing: Framing = Framing.TCP, conditions: Conditions | None = None, **options: Any) -> None:
        self.clock = VirtualClock()
        self.server = ScriptedServer(self.clock, framing=framing, **options)
        self.pipe = FaultyPipe(self.clock, framing=framing, conditions=conditions)
        self.client = ClientConnection(resource="pc", id_prefix="alice", now=0.0, framing=framing)
        self.driver = LinkDriver(self.clock, self.pipe.client, self.client, self.client.events)
        serve(self.clock, self.pipe, self.server)
        self.link = self.server.link

    def login(self) -> None:
        """Log alice in."""
        self.clock.run_until(lambda: self.client.state is ClientState.READY)
        self.client.bind(example_user("alice"), self.clock.now)
        self.clock.run_until(lambda: self.client.state is ClientState.BOUND)


@pytest.mark.parametrize("framing", Framing)
@given(st.integers(1, 12), st.integers())
def test_frames_are_recognised_however_they_are_cut(framing: Framing, chunk: int, seed: int) -> None:
    talk = Talk(framing, Conditions(chunk=chunk, rng=Random(seed)))
    talk.login()
    talk.link.close_after(3)
    for _ in range(5):
        talk.client.send_p2p("bob", b"hi", now=talk.clock.now)
    talk.clock.run_for(1.0)
    assert len(talk.server.bodies(P2PMessage)) == 3


def test_every_request_is_answered_in_its_way() -> None:
    talk = Talk()
    talk.login()
    bodies = [
        OnlineMessage(recipient=User(app_id=APP_ID, account="bob"), payload=b"x"),
        OnlineMessageAck(packet_id="x", uuid=1, resource="pc", code=1),
        SequenceAck(sequence=1),
        Pull(),
        UcPing(groups=(GROUP,)),
        UcJoin(group=GROUP),
        UcQuit(group=GROUP),
        UcOnlineUsersQuery(group=GROUP),
        UcMessage(group=GROUP, payload=b"x"),
        UcSequenceAck(group=GROUP, sequence=1),
    ]
    for body in bodies:
        talk.client.send(body, now=talk.clock.now)  # type: ignore[arg-type]  # each is a request
    talk.client.ping(talk.clock.now)
    talk.client.send_p2p("bob", b"x", now=talk.clock.now)
    talk.clock.run_for(1.0)
    # all but the receiver's ack, the two acknowledgements and the pull of an empty mailbox
    assert len(talk.driver.events) == 2 + len(bodies) - 4 + 2
    assert len(talk.server.events(PingReceived)) == 1


def test_what_is_met_with_silence_is_recorded_only() -> None:
    talk = Talk()
    talk.login()
    talk.server.silence(P2PMessage)
    talk.client.send_p2p("bob", b"x", now=talk.clock.now)
    talk.clock.run_for(1.0)
    assert len(talk.driver.events) == 2
    assert len(talk.server.bodies(P2PMessage)) == 1


def test_a_refused_login_is_refused_once() -> None:
    talk = Talk()
    talk.server.refuse_next_bind("token-expired")
    talk.clock.run_for(0.0)
    talk.client.bind(example_user("alice"), talk.clock.now)
    talk.clock.run_for(0.0)
    assert talk.client.state is ClientState.READY
    talk.login()


def test_a_late_ack_is_sent_to_who_is_still_online() -> None:
    talk = Talk()
    talk.login()
    talk.server.next_acks.extend([AckRule(delay=2.0), AckRule(delay=5.0), AckRule(times=0)])
    for _ in range(3):
        talk.client.send_p2p("bob", b"x", now=talk.clock.now)
    talk.clock.run_for(3.0)
    talk.link.kick("token-expired")
    talk.clock.run_for(3.0)
    assert [type(event) for event in talk.driver.events[2:]] == [AckReceived, Kicked]


def test_an_online_message_may_be_answered_with_another_code() -> None:
    talk = Talk()
    talk.login()
    talk.server.acks = AckRule(code=2)
    talk.client.send(OnlineMessage(recipient=User(account="bob"), payload=b"x"), now=talk.clock.now)
    talk.clock.run_for(1.0)
    body: Any = talk.driver.events[-1]
    assert body.packet.body.code == 2


def test_a_logout_is_answered_and_the_user_gone() -> None:
    talk = Talk()
    talk.login()
    assert (talk.link.user, talk.link.resource) == (example_user("alice"), "pc")
    talk.client.unbind(talk.clock.now)
    talk.clock.run_for(1.0)
    assert talk.link.user is None
    assert repr(talk.link) == "<connection 1 of the scripted server, CLOSED>"


def test_what_breaks_the_protocol_is_recorded_and_raised() -> None:
    talk = Talk()
    with pytest.raises(RemoteProtocolError):
        talk.link.receive_data(b"GET / HTTP/1.1", 0.0)
    assert len(talk.server.errors) == 1
    assert talk.server.events(LinkClosed) == [LinkClosed(reason=CloseReason.PROTOCOL_ERROR)]


def test_its_deadlines_are_those_of_a_server_link() -> None:
    clock = VirtualClock()
    server, pipe = ScriptedServer(clock, config=ServerConfig(handshake_timeout=3.0)), FaultyPipe(clock)
    serve(clock, pipe, server)
    clock.run_for(10.0)
    assert server.events(LinkClosed) == [LinkClosed(reason=CloseReason.HANDSHAKE_TIMEOUT)]


def test_a_broken_connection_is_recorded() -> None:
    talk = Talk()
    talk.login()
    talk.pipe.cut()
    talk.clock.run_for(1.0)
    assert talk.server.events(LinkClosed) == [LinkClosed(reason=CloseReason.SEND_FAILED)]


def test_frames_are_handed_out_as_far_as_asked() -> None:
    talk = Talk(conditions=Conditions(capacity=200))
    talk.login()
    talk.pipe.down.stall()
    talk.server.deliver("alice", *[bytes(1000)] * 3)
    for number in range(20):
        talk.link.ack(f"id_{number}")
    talk.clock.run_for(1.0)
    assert not talk.pipe.server.writable
    assert len(talk.link.data_to_send(1)) == 1
    talk.pipe.down.resume()
    talk.clock.run_for(1.0)
    assert len(talk.driver.events) == 2 + 1 + 19


def test_the_conn_of_a_client_with_an_udid_gives_its_key() -> None:
    clock = VirtualClock()
    server, pipe = ScriptedServer(clock), FaultyPipe(clock)
    serve(clock, pipe, server)
    client = ClientConnection(resource="pc", id_prefix="alice", now=0.0, udid="0123456789")
    driver = LinkDriver(clock, pipe.client, client, client.events)
    clock.run_for(1.0)
    server.link.raw_command("NEWS")
    clock.run_for(1.0)
    assert server.events(ClientConnected)[0].conn.udid == "0123456789"
    assert not driver.errors
