"""A client and a server link, a pipe between them, and everything that can happen, in any order.

Laws: nothing but what is declared is raised, a refused verb changes nothing, both links are honest and so never break
the protocol, what was accepted arrives exactly once and in order while the link lives, limits hold, and when nothing
is on its way both ends agree on who is online.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.links import APP_ID, Link, accept, credentials, inside, message, new_client, new_server

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
from mimc_proto._keepalive import MOST_PINGS
from mimc_proto.events import AckReceived, Ignored, LimitReached, LinkClosed, MessagesReceived, PacketReceived
from mimc_proto.packets import Group, PacketAck, PacketList, SequenceAck, UcJoin, UcPong
from mimc_proto.server import MOST_COMMANDS, MOST_PONGS

MOST, MOST_BYTES = 6, 2000
GROUP = Group(app_id=APP_ID, topic_id=15)
SENDS: dict[str, Callable[[ClientConnection, float, bytes], str]] = {
    "p2p": lambda link, now, payload: link.send_p2p("bob", payload, now=now),
    "p2t": lambda link, now, payload: link.send_p2t(15, payload, now=now, biz_type="TEXT"),
    "join": lambda link, now, _: link.send(UcJoin(group=GROUP), now=now),
    "ack": lambda link, now, _: link.send(SequenceAck(sequence=7), now=now, packet_id=f"own-{now}"),
    "bad": lambda link, now, _: link.send_p2p("bob", bytes(20_000), now=now),
}
ANSWERS: dict[str, Callable[[ServerConnection, float, bytes], None]] = {
    "ack": lambda link, now, _: link.send(PacketAck(packet_id="m"), now=now),
    "list": lambda link, now, payload: link.send(PacketList(packets=(message(5, payload=payload),)), now=now),
    "notice": lambda link, now, _: link.send(PacketList(status=2, min_sequence=1, max_sequence=9), now=now),
    "pong": lambda link, now, _: link.send(UcPong(), packet_id="p", now=now),
    "bad": lambda link, now, _: link.send(PacketList(), now=now),
}
PAYLOADS = st.sampled_from([b"", b"hello", bytes(300), bytes(1500)])
RARELY = st.sampled_from([False] * 7 + [True])
TAKEN = st.sampled_from([1, 100, 500, 65536])


class Pipe:
    """One direction of a connection."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.waiting: list[bytes] = []

    def read(self, size: int) -> bytes | None:
        """Some bytes of the stream, or one message."""
        if not self.waiting:
            return None
        if self.framing is Framing.WEBSOCKET:
            return self.waiting.pop(0)
        stream = b"".join(self.waiting)
        self.waiting = [stream[size:]] if stream[size:] else []
        return stream[:size]


class Links(RuleBasedStateMachine):
    """See the module."""

    client: ClientConnection
    server: ServerConnection

    @initialize(
        framing=st.sampled_from(Framing),
        start=st.sampled_from([0.0, -5.0, 1e9]),
        online=st.sampled_from([True, True, False]),
    )
    def connect(self, framing: Framing, start: float, online: bool) -> None:
        self.now = start
        limits = {"max_pending": MOST, "max_pending_bytes": MOST_BYTES}
        self.client = new_client(framing, now=start, config=ClientConfig(**limits))
        self.server = new_server(framing, now=start, config=ServerConfig(**limits))
        self.up, self.down = Pipe(framing), Pipe(framing)
        self.sent: list[str] = []
        self.arrived: list[str] = []
        self.answered = 0
        self.answers: list[int] = []
        self.ends = {"client": 0, "server": 0}
        if online:
            self.settle()
            self.client.bind(credentials(), now=start)
            self.settle()
            assert accept(self.server, now=start)
            self.settle()

    # -------------------------------------------------------------------------------------------------------- verbs

    def attempt(self, link: Link, act: Callable[[], Any]) -> Any:
        """Do what may be refused; None if it was."""
        before = inside(link)
        try:
            return act() or True
        except LocalProtocolError:
            assert inside(link) == before
            return None

    @rule(kind=st.sampled_from(sorted(SENDS)), payload=PAYLOADS)
    def client_sends(self, kind: str, payload: bytes) -> None:
        packet_id = self.attempt(self.client, lambda: SENDS[kind](self.client, self.now, payload))
        if packet_id:
            self.sent.append(packet_id)

    @rule(kind=st.sampled_from(sorted(ANSWERS)), payload=PAYLOADS)
    def server_sends(self, kind: str, payload: bytes) -> None:
        if self.attempt(self.server, lambda: ANSWERS[kind](self.server, self.now, payload)):
            self.answered += 1

    @rule(key=st.sampled_from(["XOF8dTB2dOVVkEdZB9O21w==", "AAAAAAAAAAAAAAAAAAAAAA==", "not base64"]))
    def client_binds(self, key: str) -> None:
        self.attempt(self.client, lambda: self.client.bind(credentials(security_key=key), now=self.now))

    @rule()
    def client_pings(self) -> None:
        self.attempt(self.client, lambda: self.client.ping(now=self.now))

    @rule(really=RARELY)
    def client_unbinds(self, really: bool) -> None:
        if really:
            self.attempt(self.client, lambda: self.client.unbind(now=self.now))

    @rule()
    def server_accepts(self) -> None:
        self.attempt(self.server, lambda: accept(self.server, now=self.now))

    @rule(reason=st.sampled_from(["token-expired", ""]))
    def server_refuses(self, reason: str) -> None:
        self.attempt(self.server, lambda: self.server.refuse_bind(reason, now=self.now))

    @rule(really=RARELY, reason=st.sampled_from(["token-expired", "single-resource-kick", ""]))
    def server_kicks(self, really: bool, reason: str) -> None:
        if really:
            self.attempt(self.server, lambda: self.server.kick(reason, now=self.now))

    # ------------------------------------------------------------------------------------------------ bytes and time

    @rule(most=TAKEN)
    def client_writes(self, most: int) -> None:
        self.up.waiting += self.client.data_to_send(most)

    @rule(most=TAKEN)
    def server_writes(self, most: int) -> None:
        self.down.waiting += self.server.data_to_send(most)

    @rule(size=st.sampled_from([1, 7, 50, 200, 10_000]))
    def server_reads(self, size: int) -> None:
        data = self.up.read(size)
        if data is not None:
            self.server.receive_data(data, self.now)
        self.look()

    @rule(size=st.sampled_from([1, 7, 50, 200, 10_000]))
    def client_reads(self, size: int) -> None:
        data = self.down.read(size)
        if data is not None:
            self.client.receive_data(data, self.now)
        self.look()

    @rule(step=st.sampled_from([0.5, 0.1, 0.5, 2.0, 16.0, -3.0]))
    def time_passes(self, step: float) -> None:
        self.now += step
        for link in (self.client, self.server):
            link.handle_timer(self.now)
            timer = link.get_timer()
            assert timer is None or timer > self.now

    @rule()
    def all_is_carried(self) -> None:
        self.settle()

    @rule(really=RARELY, which=st.sampled_from(["client", "server", "connection"]))
    def somebody_closes(self, really: bool, which: str) -> None:
        if not really:
            return
        if which == "client":
            self.client.close(self.now)
        elif which == "server":
            self.server.close(self.now)
        else:
            self.client.receive_eof(self.now)
            self.server.send_failed(self.now)

    # -------------------------------------------------------------------------------------------------------- checks

    def look(self) -> None:
        """Take the events of both and note what arrived."""
        for event in self.server.events():
            if isinstance(event, PacketReceived) or (isinstance(event, Ignored) and event.command == "SECMSG"):
                self.arrived.append(event.id or "")
            self.ends["server"] += isinstance(event, LinkClosed)
        for seen in self.client.events():
            if isinstance(seen, PacketReceived) or (isinstance(seen, Ignored) and seen.command == "SECMSG"):
                self.answers.append(int(seen.id or "", 16))
            elif isinstance(seen, (AckReceived, MessagesReceived, LimitReached)):
                self.answers.append(self.answers[-1] + 1 if self.answers else 0)
            self.ends["client"] += isinstance(seen, LinkClosed)

    def settle(self) -> None:
        """Carry everything until nothing moves."""
        while True:
            self.client_writes(65536)
            self.server_writes(65536)
            if not self.up.waiting and not self.down.waiting:
                break
            while (data := self.up.read(1000)) is not None:
                self.server.receive_data(data, self.now)
            while (data := self.down.read(1000)) is not None:
                self.client.receive_data(data, self.now)
        self.look()
        if self.client.close_expected() is None and self.server.close_expected() is None:
            assert self.client.state.name == self.server.state.name
            assert self.sent[: len(self.arrived)] == self.arrived
            assert len(self.sent) - len(self.arrived) == self.client.pending
            assert self.client.pending == 0 or self.client.state in (ClientState.READY, ClientState.BINDING)
            assert len(self.answers) == self.answered

    @invariant()
    def what_arrived_is_what_was_sent(self) -> None:
        if not hasattr(self, "client"):
            return
        assert self.arrived == self.sent[: len(self.arrived)]
        assert len(self.answers) <= self.answered

    @invariant()
    def limits_hold(self) -> None:
        if not hasattr(self, "client"):
            return
        assert self.client.pending <= MOST + MOST_PINGS + 1
        assert self.server.pending <= MOST + MOST_PONGS + 1 + 3 * MOST_COMMANDS
        assert self.server._decoder.pending <= 65536 + 12

    @invariant()
    def a_link_ends_once_and_says_when_to_close(self) -> None:
        if not hasattr(self, "client"):
            return
        self.look()
        assert self.ends == {
            "client": int(self.client.close_expected() is not None),
            "server": int(self.server.close_expected() is not None),
        }
        assert (self.client.state is ClientState.CLOSED) == (self.ends["client"] == 1)
        assert (self.server.state in (ServerState.CLOSING, ServerState.CLOSED)) == (self.ends["server"] == 1)

    @invariant()
    def what_is_sent_does_not_depend_on_how_much_is_taken_at_a_time(self) -> None:
        if not hasattr(self, "client"):
            return
        for link in (self.client, self.server):
            if link.pending:
                streams = [copy.deepcopy(link) for _ in range(2)]
                at_once = b"".join(streams[0].data_to_send(1 << 30))
                pieces = b""
                while frames := streams[1].data_to_send(1):
                    pieces += b"".join(frames)
                assert pieces == at_once

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.settle()


TestLinks = Links.TestCase
TestLinks.settings = settings(
    max_examples=max(20, int(os.environ.get("MIMC_EXAMPLES", "50")) // 2), stateful_step_count=40, deadline=None
)
