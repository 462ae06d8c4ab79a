"""What a test has one connection of a scripted server do, proper or not."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

from mimc_proto import ClientConnection, ClientState, Framing, LocalProtocolError
from mimc_proto.events import (
    AckReceived,
    BadPacket,
    BindAccepted,
    BindRefused,
    CloseReason,
    Ignored,
    Kicked,
    LimitReached,
    LinkClosed,
    MessagesReceived,
    PacketReceived,
)
from mimc_proto.packets import (
    Command,
    OnlineMessage,
    Packet,
    PacketList,
    UcDismiss,
    UcMessageList,
    UcPacket,
    UcPong,
)
from mimc_proto.testing import FaultyPipe, LinkDriver, ScriptedServer, VirtualClock, example_user, serve

E = TypeVar("E")


class Online:
    """A scripted server with alice online; what her link said since."""

    def __init__(self, framing: Framing = Framing.TCP, *, login: bool = True) -> None:
        self.clock = VirtualClock()
        self.server = ScriptedServer(self.clock, framing=framing)
        self.pipe = FaultyPipe(self.clock, framing=framing)
        self.client = ClientConnection(resource="pc", id_prefix="alice", now=0.0, framing=framing)
        self.driver = LinkDriver(self.clock, self.pipe.client, self.client, self.client.events)
        serve(self.clock, self.pipe, self.server)
        self.run()
        if login:
            self.bind()
            del self.driver.events[:]
        self.link = self.server.link

    def bind(self) -> None:
        """Log in, if the server lets her."""
        self.client.bind(example_user("alice"), self.clock.now)
        self.run()

    def run(self) -> list[Any]:
        """What her link said until now."""
        self.clock.run_for(0.1)
        return self.driver.events

    def only(self, kind: type[E]) -> E:
        """The one event there is."""
        [event] = self.run()
        assert isinstance(event, kind)
        return event


def test_a_login_can_only_be_decided_when_it_was_asked_for() -> None:
    talk = Online(login=False)
    with pytest.raises(LocalProtocolError, match="connection 1 of the scripted server, READY>: expected a BIND"):
        talk.link.accept()


def test_a_login_is_not_accepted_without_a_known_token() -> None:
    talk = Online()
    talk.server.users.clear()
    talk.link.kick("token-expired")
    talk.run()
    talk.server.silence(Command.BIND)
    talk.bind()
    assert not talk.link.accept()
    assert isinstance(talk.run()[-1], BindRefused)
    assert (talk.link.user, talk.link.resource) == (None, "")


def test_a_login_is_not_accepted_with_a_wrong_signature() -> None:
    talk = Online(login=False)
    user = example_user("alice").replace(security_key="b3RoZXIta2V5LW90aGVyLQ==")
    talk.server.add_user(user)
    talk.server.silence(Command.BIND)
    talk.bind()
    assert not talk.link.accept()
    assert (talk.link.user, talk.link.resource) == (None, "")


def test_what_is_encrypted_for_a_user_needs_one() -> None:
    talk = Online(login=False)
    with pytest.raises(LocalProtocolError, match="expected a user who is online here; log in first"):
        talk.link.raw_packet(b"x")


def test_a_user_is_kicked() -> None:
    talk = Online()
    talk.link.kick("token-expired", "log in again")
    kicked = talk.only(Kicked)
    assert (kicked.kick.reason, kicked.kick.desc) == ("token-expired", "log in again")
    assert talk.link.user is None
    talk.bind()
    assert isinstance(talk.driver.events[-1], BindAccepted)


def test_a_connection_is_closed_behind_what_was_sent() -> None:
    talk = Online()
    talk.link.ack("some_id")
    talk.link.close()
    assert [type(event) for event in talk.run()] == [AckReceived, LinkClosed]
    assert talk.server.events(LinkClosed) == [LinkClosed(reason=CloseReason.LOCAL)]


def test_a_connection_closes_after_some_frames_and_leaves_the_last_unanswered() -> None:
    talk = Online()
    talk.link.close_after(2)
    for _ in range(3):
        talk.client.send_p2p("bob", b"hi", now=talk.clock.now)
    assert [type(event) for event in talk.run()] == [AckReceived, LinkClosed]
    assert len(talk.server.events(PacketReceived)) == 2


def test_an_ack_says_what_the_test_says() -> None:
    talk = Online()
    talk.link.ack("some_id", code=4, error_message="not a member")
    ack = talk.only(AckReceived).ack
    assert (ack.packet_id, ack.code, ack.error_message, ack.sequence) == ("some_id", 4, "not a member", 0)


def test_a_list_is_pushed_as_it_is() -> None:
    talk = Online()
    packets = [talk.server.message("alice", payload, sequence=5 + n) for n, payload in enumerate((b"a", b"b"))]
    talk.link.push(*packets, max_sequence=100)
    received = talk.only(MessagesReceived)
    assert (received.packets, received.max_sequence) == (tuple(packets), 100)


def test_a_limit_notice_is_sent() -> None:
    talk = Online()
    talk.link.notice_limit(3, 900)
    assert talk.only(LimitReached) == LimitReached(min_sequence=3, max_sequence=900)


def test_an_online_message_is_pushed() -> None:
    talk = Online()
    packet_id = talk.link.push_online(b"psst", sender="carol")
    packet = talk.only(PacketReceived).packet
    assert packet.packet_id == packet_id
    assert isinstance(packet.body, OnlineMessage)
    assert packet.body.sender == example_user("carol").user("pc")
    assert talk.link.push_online(b"psst", packet_id="mine") == "mine"


def test_unlimited_groups_get_messages_and_are_dismissed() -> None:
    talk = Online()
    talk.link.push_unlimited(7, b"one", b"two")
    talk.link.dismiss(7)
    bodies = [event.packet.body.body for event in talk.run()]
    assert [type(body) for body in bodies] == [UcMessageList, UcDismiss]
    assert [message.payload for message in bodies[0].messages] == [b"one", b"two"]


def test_anything_that_a_server_may_send_is_sent() -> None:
    talk = Online()
    talk.link.send(UcPong(payload=b""), packet_id="ping_1")
    body = talk.only(PacketReceived).packet.body
    assert isinstance(body, UcPacket)
    assert body.packet_id == "ping_1"


def test_raw_bytes_end_a_link() -> None:
    talk = Online()
    talk.link.ack("before")
    talk.link.raw(b"GET / HTTP/1.1\r\n\r\n")
    assert [type(event) for event in talk.run()] == [AckReceived, LinkClosed]
    assert len(talk.driver.errors) == 1


@pytest.mark.parametrize("framing", Framing)
def test_a_raw_packet_may_be_what_a_server_would_never_send(framing: Framing) -> None:
    talk = Online(framing)
    other = Packet(packet_id="x", body=PacketList(uuid=1, resource="another's", max_sequence=1))
    talk.link.raw_packet(other)
    talk.link.raw_packet(b"no packet at all", id="given")
    first, second = talk.run()
    assert isinstance(first, BadPacket)
    assert isinstance(second, BadPacket)
    assert second.header_id == "given"


@pytest.mark.parametrize("framing", Framing)
def test_a_raw_command_may_be_unheard_of(framing: Framing) -> None:
    talk = Online(framing)
    talk.link.raw_command("NEWS", b"today", id="n1")
    assert talk.only(Ignored) == Ignored(command="NEWS", id="n1", size=5)


@pytest.mark.parametrize("command", ["BIND", "NEWS"])
def test_a_raw_command_before_login_is_encrypted_as_the_state_of_the_link_wants(command: str) -> None:
    talk = Online(login=False)
    talk.link.raw_command(command, b"\x08\x01")
    assert isinstance(talk.run()[-1], Ignored)


def test_a_raw_answer_to_conn_is_plain() -> None:
    clock = VirtualClock()
    server, pipe = ScriptedServer(clock), FaultyPipe(clock)
    server.silence(Command.CONN)
    serve(clock, pipe, server)
    server.link.raw_command("CONN", b"\x0a\x02ab")
    client = ClientConnection(resource="pc", id_prefix="alice", now=0.0)
    LinkDriver(clock, pipe.client, client)
    clock.run_for(0.0)
    assert client.state is ClientState.READY


def test_a_login_that_was_met_with_silence_can_be_decided_later() -> None:
    talk = Online(login=False)
    talk.server.silence(Command.BIND)
    talk.bind()
    assert talk.client.state is ClientState.BINDING
    talk.link.refuse("invalid-token")
    assert isinstance(talk.run()[-1], BindRefused)
    talk.bind()
    assert talk.link.accept()
    assert isinstance(talk.run()[-1], BindAccepted)
