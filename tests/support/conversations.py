"""Random conversations with a link, for the property tests: what is done to it, and what can be seen of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from support.links import (
    APP_ID,
    ME,
    RESOURCE,
    UUID,
    Link,
    Peer,
    ScriptedClient,
    ScriptedServer,
    accept,
    client_in,
    credentials,
    message,
    server_in,
)

from mimc_proto import ClientState, Framing, LocalProtocolError, RemoteProtocolError, ServerState
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import (
    Group,
    Header,
    ListStatus,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    PacketAck,
    PacketList,
    Pull,
    SequenceAck,
    UcJoin,
    UnknownBody,
)

GROUP = Group(app_id=APP_ID, topic_id=15)
Verb = Callable[[Any, float], object]

DOWNWARDS: dict[str, Callable[[ScriptedServer], bytes]] = {
    "CONN": lambda peer: peer.conn_answer(),
    "BIND": lambda peer: peer.bind_answer(),
    "BIND refused": lambda peer: peer.bind_answer(False, "auto", "invalid-token"),
    "PING": lambda peer: peer.answer("PING"),
    "KICK": lambda peer: peer.kick("single-resource-kick"),
    "UBND": lambda peer: peer.answer("UBND"),
    "NOTIFY": lambda peer: peer.answer("NOTIFY", b"\x08\x01"),
    "ack": lambda peer: peer.push(PacketAck(packet_id="m", code=0)),
    "list": lambda peer: peer.push(
        PacketList(uuid=UUID, resource=RESOURCE, max_sequence=9, packets=(message(5), message(4)))
    ),
    "notice": lambda peer: peer.push(
        PacketList(uuid=UUID, resource=RESOURCE, max_sequence=9, status=ListStatus.EXCEED_COUNT_LIMIT)
    ),
    "online": lambda peer: peer.push(OnlineMessage(sender=ME, recipient=ME, payload=b"now")),
    "unknown": lambda peer: peer.push(UnknownBody(type=99, payload=b"?")),
    "bad": lambda peer: peer.push(b"\xff\xff"),
}
UPWARDS: dict[str, Callable[[ScriptedClient], bytes]] = {
    "CONN": lambda peer: peer.conn(),
    "BIND": lambda peer: peer.bind(),
    "BIND forged": lambda peer: peer.bind(sig="forged"),
    "PING": lambda peer: peer.command("PING"),
    "UBND": lambda peer: peer.command("UBND"),
    "NOTIFY": lambda peer: peer.command("NOTIFY", b"\x08\x01"),
    "p2p": lambda peer: peer.send(P2PMessage(sender=ME, recipient=ME, payload=b"hello")),
    "plain": lambda peer: peer.send(Pull(uuid=UUID, resource=RESOURCE), cipher=0),
    "sequence": lambda peer: peer.send(SequenceAck(sequence=9), "id-of-the-list"),
    "online ack": lambda peer: peer.send(OnlineMessageAck(packet_id="m", code=1)),
    "join": lambda peer: peer.send(UnknownBody(type=8, payload=b"\x10\x03")),
    "bad": lambda peer: peer.send(b"\xff\xff"),
}
CLIENT_VERBS: dict[str, Verb] = {
    "bind": lambda link, now: link.bind(credentials(), now=now),
    "send": lambda link, now: link.send_p2p("bob", b"hello", now=now),
    "join": lambda link, now: link.send(UcJoin(group=GROUP), now=now),
    "ping": lambda link, now: link.ping(now=now),
    "unbind": lambda link, now: link.unbind(now=now),
}
SERVER_VERBS: dict[str, Verb] = {
    "accept": lambda link, now: accept(link, now=now),
    "refuse": lambda link, now: link.refuse_bind("token-expired", now=now),
    "kick": lambda link, now: link.kick("token-expired", now=now),
    "send": lambda link, now: link.send(PacketAck(packet_id="m"), now=now),
    "list": lambda link, now: link.send(PacketList(packets=(message(5),)), now=now),
}
OTHERS: dict[str, Verb] = {
    "timer": lambda link, now: link.handle_timer(now),
    "eof": lambda link, now: link.receive_eof(now),
    "failed": lambda link, now: link.send_failed(now),
    "close": lambda link, now: link.close(now),
}


class Talk:
    """A link in some state, its peer, and all that was ever seen of it."""

    def __init__(self, link: Link, peer: Peer) -> None:
        self.link, self.peer = link, peer
        self.events: list[Any] = []
        self.output: list[bytes] = []
        self.errors: list[Exception] = []
        self.now = 0.0

    @property
    def frames(self) -> dict[str, Callable[[Any], bytes]]:
        """The frames its peer may send."""
        return DOWNWARDS if isinstance(self.peer, ScriptedServer) else UPWARDS

    @property
    def verbs(self) -> dict[str, Verb]:
        """What its driver may do."""
        return CLIENT_VERBS if isinstance(self.peer, ScriptedServer) else SERVER_VERBS

    def frame(self, kind: str) -> bytes:
        """A frame of the peer."""
        if kind == "empty":
            return EMPTY_FRAME if self.peer.framing is Framing.TCP else self.frames["PING"](self.peer)
        return self.frames[kind](self.peer)

    def receive(self, data: bytes) -> None:
        """Feed bytes; a broken protocol is the only error there is."""
        try:
            self.link.receive_data(data, self.now)
        except RemoteProtocolError as error:
            self.errors.append(error)
        self.look()

    def act(self, name: str) -> None:
        """A verb, or something else a driver does; a refusal is the only error there is."""
        try:
            {**self.verbs, **OTHERS}[name](self.link, self.now)
        except LocalProtocolError as error:
            self.errors.append(error)
        self.look()

    def take(self) -> None:
        """Write what waits."""
        self.output += self.link.data_to_send()

    def look(self) -> None:
        """Take the events."""
        self.events += self.link.events()

    def seen(self) -> tuple[Any, ...]:
        """All that can be seen of the link from outside."""
        return (
            [repr(event) for event in self.events],
            self.output,
            [(type(error), str(error)) for error in self.errors],
            self.link.state,
            self.link.get_timer(),
            self.link.close_expected(),
            self.link.pending,
        )


FRAMINGS = st.sampled_from(Framing)
STATES: list[ClientState | ServerState] = [
    *(state for state in ClientState if state is not ClientState.CLOSED),
    *(state for state in ServerState if state not in (ServerState.CLOSING, ServerState.CLOSED)),
]
"""Every state of both roles in which a link listens."""


def talk_in(state: ClientState | ServerState, framing: Framing, **options: Any) -> Talk:
    """A link in a state, with its peer."""
    if isinstance(state, ClientState):
        return Talk(*client_in(state, framing, **options))
    return Talk(*server_in(state, framing, **options))


def frame_kinds(state: ClientState | ServerState) -> list[str]:
    """The names of the frames that the peer of such a link may send."""
    return [*(DOWNWARDS if isinstance(state, ClientState) else UPWARDS), "empty"]


def verb_names(state: ClientState | ServerState) -> list[str]:
    """The names of what the driver of such a link may do, but for its end."""
    return [*(CLIENT_VERBS if isinstance(state, ClientState) else SERVER_VERBS), "timer"]


def headers(cmd: st.SearchStrategy[str]) -> st.SearchStrategy[Header]:
    """Headers with anything in them."""
    number = st.none() | st.integers(-5, 5) | st.just((1 << 31) - 1)
    word = st.none() | st.sampled_from(["", "1", RESOURCE, "i" * 300, "é" * 100])
    return st.builds(
        Header, chid=number, uuid=number, server=word, resource=word, cmd=cmd, id=word, dir_flag=number, cipher=number
    )
