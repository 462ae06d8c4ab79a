"""The scripted server: what it does untold, what it can be told, and what it remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from mimc_proto import ClientConnection, ClientState, Credentials, Framing, LocalProtocolError
from mimc_proto.events import (
    AckReceived,
    BindRefused,
    BindRequested,
    ClientConnected,
    CloseReason,
    LinkClosed,
    MessagesReceived,
    PacketReceived,
    PingReceived,
    PongReceived,
    Unbound,
)
from mimc_proto.packets import (
    Command,
    Group,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Pull,
    SequenceAck,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcOnlineUsersAnswer,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcPong,
    UcQuit,
    UcQuitAnswer,
    UcSequenceAck,
    User,
)
from mimc_proto.testing import (
    APP_ID,
    AckRule,
    FaultyPipe,
    LinkDriver,
    ScriptedServer,
    VirtualClock,
    example_user,
    serve,
)

E = TypeVar("E")
GROUP = Group(app_id=APP_ID, topic_id=7)


class Caller:
    """A client link at a scripted server."""

    def __init__(self, server: ScriptedServer, account: str = "alice", resource: str = "pc") -> None:
        self.server, self.clock = server, server.clock
        self.user = example_user(account)
        self.pipe = FaultyPipe(self.clock, framing=server.framing)
        self.link = ClientConnection(resource=resource, id_prefix="caller", now=self.clock.now, framing=server.framing)
        self.driver = LinkDriver(self.clock, self.pipe.client, self.link, self.link.events)
        self.served = serve(self.clock, self.pipe, server)

    def bind(self, user: Credentials | None = None) -> None:
        """Send a BIND and give the answer time."""
        self.clock.run_until(lambda: self.link.state is ClientState.READY)
        self.link.bind(user or self.user, self.clock.now)
        self.run()

    def run(self, seconds: float = 0.5) -> None:
        """Let time pass."""
        self.clock.run_for(seconds)

    def send(self, payload: bytes = b"hi") -> str:
        """Send a message and give its ack time."""
        packet_id = self.link.send_p2p("bob", payload, now=self.clock.now)
        self.run()
        return packet_id

    def request(self, body: Any) -> None:
        """Send a request and give its answer time."""
        self.link.send(body, now=self.clock.now)
        self.run()

    def of(self, kind: type[E]) -> list[E]:
        """The events of one type."""
        return [event for event in self.driver.events if isinstance(event, kind)]

    @property
    def acks(self) -> list[tuple[str, int | None, int | None]]:
        """Packet id, code and sequence of each ack."""
        return [(event.ack.packet_id, event.ack.code, event.ack.sequence) for event in self.of(AckReceived)]

    @property
    def payloads(self) -> list[bytes]:
        """What was delivered."""
        bodies = [packet.body for event in self.of(MessagesReceived) for packet in event.packets]
        return [body.payload for body in bodies if isinstance(body, (P2PMessage, P2TMessage))]

    def acknowledge(self) -> None:
        """Acknowledge the newest list."""
        self.request(SequenceAck(sequence=self.of(MessagesReceived)[-1].max_sequence))


def online(framing: Framing = Framing.TCP, **options: Any) -> tuple[ScriptedServer, Caller]:
    """A server and alice, online there."""
    server = ScriptedServer(VirtualClock(), framing=framing, **options)
    caller = Caller(server)
    caller.bind()
    assert caller.link.state is ClientState.BOUND
    return server, caller


# ------------------------------------------------------------------------------------------------------- untold


@pytest.mark.parametrize("framing", Framing)
def test_it_logs_in_answers_and_remembers_everything(framing: Framing) -> None:
    server, alice = online(framing)
    alice.link.ping(alice.clock.now)
    packet_id = alice.send(b"hello")
    alice.link.unbind(alice.clock.now)
    alice.run()
    assert alice.acks == [(packet_id, 0, 1_700_000_000_500 * 10_000 + 1)]
    assert alice.of(PongReceived)
    assert [type(item.event) for item in server.received] == [
        *(ClientConnected, BindRequested, PingReceived, PacketReceived, Unbound, LinkClosed)
    ]
    assert [(item.at, item.link) for item in server.received][:4] == [(0.0, 1), (0.0, 1), (0.5, 1), (0.5, 1)]
    assert [message.payload for message in server.bodies(P2PMessage)] == [b"hello"]
    assert not server.errors


def test_a_token_that_it_does_not_know_is_refused() -> None:
    server = ScriptedServer(VirtualClock(), users=["bob"])
    alice = Caller(server)
    alice.bind()
    [refused] = alice.of(BindRefused)
    assert refused.token_refused
    server.add_user("alice")
    alice.bind()
    assert alice.link.state is ClientState.BOUND


def test_a_wrong_signature_is_refused() -> None:
    server = ScriptedServer(VirtualClock())
    alice = Caller(server)
    alice.bind(example_user("alice").replace(security_key="b3RoZXIta2V5LW90aGVyLQ=="))
    assert alice.of(BindRefused)
    assert not server.link.bound


def test_sequences_rise_with_the_wall_clock_and_within_a_moment() -> None:
    server = ScriptedServer(VirtualClock(wall_ms=5))
    assert [server.next_sequence(), server.next_sequence()] == [50_001, 50_002]
    server.clock.advance(1.0)
    assert server.next_sequence() == 10_050_001


def test_unlimited_groups_are_joined_pinged_asked_and_left() -> None:
    server, alice = online()
    for body in (UcJoin(group=GROUP), UcPing(groups=(GROUP,)), UcOnlineUsersQuery(group=GROUP), UcQuit(group=GROUP)):
        alice.request(body)
    alice.request(UcSequenceAck(group=GROUP, sequence=5))
    packets = [event.packet.body for event in alice.of(PacketReceived)]
    answers = [packet.body for packet in packets if isinstance(packet, UcPacket)]
    assert [type(answer) for answer in answers] == [UcJoinAnswer, UcPong, UcOnlineUsersAnswer, UcQuitAnswer]
    assert server.bodies(UcJoin) == [UcJoin(group=GROUP)]
    assert len(server.bodies(UcPacket)) == 5


def test_messages_to_groups_are_acknowledged_too() -> None:
    _, alice = online()
    alice.link.send_p2t(9, b"all", now=alice.clock.now)
    alice.request(UcMessage(group=GROUP, payload=b"everybody"))
    assert [code for _, code, _ in alice.acks] == [0, 0]


def test_an_online_message_is_answered_as_its_receiver_would() -> None:
    _, alice = online()
    alice.request(OnlineMessage(recipient=User(app_id=APP_ID, account="bob"), payload=b"psst"))
    [event] = alice.of(PacketReceived)
    body = event.packet.body
    assert isinstance(body, OnlineMessageAck)
    assert (body.packet_id, body.code, body.uuid) == (event.packet.packet_id, 1, alice.user.uuid)


# --------------------------------------------------------------------------------------------------- login and end


def test_it_refuses_as_many_logins_as_it_was_told() -> None:
    server = ScriptedServer(VirtualClock())
    alice = Caller(server)
    server.refuse_next_bind("token-expired")
    server.refuse_next_bind("closed for today", "come again")
    for _ in range(3):
        alice.bind()
    assert [(event.error_reason, event.error_desc) for event in alice.of(BindRefused)] == [
        ("token-expired", ""),
        ("closed for today", "come again"),
    ]
    assert alice.link.state is ClientState.BOUND


def test_it_knows_who_is_online_on_which_connection() -> None:
    server, alice = online()
    bob = Caller(server, "bob")
    bob.bind()
    assert server.link_of("alice") is server.links[0]
    assert server.link is server.link_of("bob") is server.links[1]
    with pytest.raises(LocalProtocolError, match="expected carol to be online"):
        server.link_of("carol")
    assert alice.server is bob.server


def test_without_a_connection_there_is_no_link() -> None:
    with pytest.raises(LocalProtocolError, match="none came so far"):
        _ = ScriptedServer(VirtualClock()).link


# --------------------------------------------------------------------------------------------------------- silence


def test_silence_to_everything_still_remembers() -> None:
    server = ScriptedServer(VirtualClock())
    server.silence()
    alice = Caller(server)
    alice.run(20.0)
    assert [event.reason for event in alice.of(LinkClosed)] == [CloseReason.HANDSHAKE_TIMEOUT]
    assert len(server.events(ClientConnected)) == 1
    server.speak()
    again = Caller(server)
    again.bind()
    assert again.link.state is ClientState.BOUND


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Command.BIND, CloseReason.LOGIN_TIMEOUT), (Command.PING, CloseReason.ANSWER_TIMEOUT)],
)
def test_silence_to_a_command_ends_a_link(kind: Command, reason: CloseReason) -> None:
    server = ScriptedServer(VirtualClock())
    server.silence(kind)
    alice = Caller(server)
    alice.bind()
    alice.run(60.0)
    assert [event.reason for event in alice.of(LinkClosed)] == [reason]


@pytest.mark.parametrize("kind", [UcPing, UcPacket])
def test_silence_to_a_kind_of_packet_leaves_the_others(kind: type[Any]) -> None:
    server, alice = online()
    server.silence(kind)
    alice.request(UcPing(groups=(GROUP,)))
    assert not alice.of(PacketReceived)
    alice.send()
    assert alice.acks


# ------------------------------------------------------------------------------------------------ acknowledgements


def test_acks_can_be_late_missing_twofold_or_refusals() -> None:
    server, alice = online()
    server.next_acks.extend([AckRule(times=0), AckRule(times=2), AckRule(code=3, error_message="blocked")])
    server.acks = AckRule(delay=5.0)
    first, second, third, fourth = (alice.send() for _ in range(4))
    assert [(packet_id, code) for packet_id, code, _ in alice.acks] == [(second, 0), (second, 0), (third, 3)]
    assert alice.acks[0] == alice.acks[1]
    assert alice.acks[2][2] == 0
    assert first not in dict.fromkeys(packet_id for packet_id, _, _ in alice.acks)
    alice.run(5.0)
    assert alice.acks[-1][:2] == (fourth, 0)


def test_an_ack_may_have_a_code_and_a_sequence() -> None:
    server, alice = online()
    server.acks = AckRule(code=100, sequence=77)
    packet_id = alice.send()
    assert alice.acks == [(packet_id, 100, 77)]


def test_a_late_ack_is_not_sent_to_who_has_gone() -> None:
    server, alice = online()
    server.acks = AckRule(delay=5.0)
    alice.send()
    server.link.kick("token-expired")
    alice.run(10.0)
    assert alice.acks == []


# ------------------------------------------------------------------------------------------------------- mailboxes


def test_a_mailbox_is_delivered_to_every_resource_until_each_acknowledged() -> None:
    server, alice = online()
    phone = Caller(server, "alice", "phone")
    phone.bind()
    bob = Caller(server, "bob")
    bob.bind()
    server.deliver("alice", b"one", b"two", sender="carol")
    alice.run()
    assert (alice.payloads, phone.payloads, bob.payloads) == ([b"one", b"two"], [b"one", b"two"], [])
    alice.acknowledge()
    assert (server.unacknowledged("alice", "pc"), server.unacknowledged("alice", "phone")) == (0, 2)


def test_what_waits_is_pushed_after_login_and_after_a_pull() -> None:
    server = ScriptedServer(VirtualClock())
    sequences = server.deliver("alice", b"waited", group_id=5)
    alice = Caller(server)
    alice.bind()
    alice.request(Pull())
    assert alice.payloads == [b"waited", b"waited"]
    alice.acknowledge()
    alice.request(Pull())
    assert alice.payloads == [b"waited", b"waited"]
    assert [event.max_sequence for event in alice.of(MessagesReceived)] == sequences * 2
    assert server.bodies(SequenceAck)[0].sequence == sequences[0]


def test_an_older_acknowledgement_takes_nothing_back() -> None:
    server, alice = online()
    first, _ = server.deliver("alice", b"one", b"two")
    alice.run()
    alice.acknowledge()
    alice.request(SequenceAck(sequence=first))
    assert server.unacknowledged("alice", "pc") == 0


@pytest.mark.parametrize(("size", "count"), [(10, 256), (10_000, 25)])
def test_no_more_goes_out_than_the_window_allows(size: int, count: int) -> None:
    server, alice = online()
    server.deliver("alice", *[bytes(size)] * 300)
    alice.run()
    assert len(alice.payloads) == count
    alice.acknowledge()
    assert len(alice.payloads) == min(2 * count, 300)


def test_the_window_can_be_ignored() -> None:
    server, alice = online()
    server.window = None
    server.deliver("alice", *[bytes(10)] * 300)
    alice.run()
    assert len(alice.payloads) == 300
    assert all(len(event.packets) <= 50 for event in alice.of(MessagesReceived))


def test_a_user_of_ones_own_has_a_mailbox_too() -> None:
    zoe = Credentials(
        app_id=APP_ID, account="zoe", uuid=99, token="t", security_key=example_user().security_key, package="p"
    )
    server = ScriptedServer(VirtualClock(), users=[zoe])
    caller = Caller(server)
    caller.bind(zoe)
    server.deliver("zoe", b"hi")
    caller.run()
    assert caller.payloads == [b"hi"]


def test_a_message_is_what_the_test_says() -> None:
    server = ScriptedServer(VirtualClock())
    packet = server.message("alice", b"x", sequence=3, packet_id="mine", biz_type="TEXT", sender="carol")
    assert (packet.sequence, packet.packet_id, packet.timestamp) == (3, "mine", server.clock.wall_ms)
    assert isinstance(packet.body, P2PMessage)
    assert packet.body.sender == example_user("carol").user("pc")
    assert isinstance(server.message("alice", b"x", group_id=5).body, P2TMessage)


Verb = Callable[[ScriptedServer], object]


@pytest.mark.parametrize("verb", [lambda server: server.link.push_online(b"x"), lambda server: server.link.kick("x")])
def test_verbs_for_a_user_need_one(verb: Verb) -> None:
    server = ScriptedServer(VirtualClock())
    Caller(server).run()
    with pytest.raises(LocalProtocolError):
        verb(server)
