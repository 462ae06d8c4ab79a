"""Sessions in tests: one with a whole world around it on virtual time, and one that is fed by hand."""

from __future__ import annotations

from typing import Any, TypeVar

from support.links import ACCOUNT, APP_ID, ME, RESOURCE, UUID, Frame, credentials, message
from support.links import ScriptedServer as Peer

from mimc_proto import Credentials, Framing
from mimc_proto.config import SessionConfig
from mimc_proto.packets import (
    Body,
    Group,
    ListStatus,
    OnlineMessage,
    Packet,
    PacketAck,
    PacketList,
    UcMessage,
    UcMessageList,
    UcPacket,
    User,
)
from mimc_proto.session import ClientSession, SessionEvent
from mimc_proto.session.requests import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest
from mimc_proto.states import SessionState
from mimc_proto.testing import APP_ID as BED_APP_ID
from mimc_proto.testing import Conditions, Network, ScriptedServer, SessionDriver, VirtualClock, token_answer

HERE = ("10.0.0.1", 5222)
THERE = ("10.0.0.2", 80)
T = TypeVar("T")


class Fixed:
    """Chance that is none: every delay with jitter is this share of the longest it could be."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def random(self) -> float:
        """The share."""
        return self.share

    def getrandbits(self, k: int, /) -> int:
        """No bits set."""
        return 0


class Traced:
    """A trace hook that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, direction: str, summary: str, now: float) -> None:
        """One line."""
        self.lines.append(f"{direction} {summary}")


class Bed:
    """Alice's session, its driver, a network, and a frontend at `HERE`; ``settings`` are those of SessionConfig."""

    def __init__(
        self,
        *,
        addresses: tuple[tuple[str, int], ...] = (HERE,),
        resource: str | None = "pc",
        consume: float | None = 0.0,
        framing: Framing = Framing.TCP,
        conditions: Conditions | None = None,
        share: float = 0.5,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.server = ScriptedServer(self.clock, framing=framing)
        self.network = Network(self.clock, framing=framing, conditions=conditions)
        self.network.listen(*HERE, self.server)
        self.session = ClientSession(
            BED_APP_ID,
            "alice",
            rng=Fixed(share),
            now=self.clock.now,
            resource=resource,
            addresses=addresses,
            framing=framing,
            config=SessionConfig(**settings),
            **(options or {}),
        )
        self.driver = SessionDriver(self.session, self.clock, self.network, consume=consume, addresses=[HERE])

    @property
    def now(self) -> float:
        """Seconds."""
        return self.clock.now

    def login(self) -> Bed:
        """Be online."""
        self.driver.login()
        return self

    def connect(self, seconds: float = 0.0) -> Bed:
        """Connect, and run for so long."""
        self.session.connect(self.now)
        self.run(seconds)
        return self

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass."""
        self.clock.run_for(seconds)

    def send(self, payload: bytes = b"hi", **options: Any) -> str:
        """A message to bob."""
        return self.session.send("bob", payload, now=self.now, **options)

    def of(self, kind: type[T]) -> list[T]:
        """The events of one type so far."""
        return self.driver.of(kind)

    def verdict(self, packet_id: str) -> object:
        """The only verdict of a send; None if there is none."""
        found = [event for event in self.driver.events if getattr(event, "packet_id", None) == packet_id]
        assert len(found) < 2, found
        return found[0] if found else None

    def binds(self) -> list[tuple[float, int]]:
        """When BIND came, and on which connection."""
        return [(item.at, item.link) for item in self.server.received if type(item.event).__name__ == "BindRequested"]


class Hand:
    """A session that is told everything by hand, and the frontend at the other end of its link."""

    def __init__(self, *, framing: Framing = Framing.TCP, share: float = 0.5, **options: Any) -> None:
        settings = options.pop("settings", {})
        self.framing = framing
        self.peer = Peer(framing)
        self.now = 0.0
        self.link_id = 0
        plain = {"resource": RESOURCE, "addresses": [HERE], "token": token_answer(credentials())}
        self.session = ClientSession(
            APP_ID,
            ACCOUNT,
            rng=Fixed(share),
            now=self.now,
            framing=framing,
            config=SessionConfig(**settings),
            **{**plain, **options},
        )

    def asked(self, kind: type[T]) -> T:
        """The only new request, which is of this type."""
        [request] = self.session.requests()
        assert isinstance(request, kind), request
        return request

    def open(self) -> Hand:
        """Have the link that is asked for opened."""
        [self.link_id] = [item.link_id for item in self.session.requests() if isinstance(item, OpenLink)]
        self.peer = Peer(self.framing)
        self.session.link_opened(self.link_id, self.now)
        return self

    def ready(self) -> Hand:
        """Connected, the handshake done."""
        if self.session.state is SessionState.NEW:
            self.session.connect(self.now)
        self.open()
        self.frames()
        self.say(self.peer.conn_answer())
        return self

    def bound(self) -> Hand:
        """Online, and nothing left to be noticed."""
        self.ready()
        self.frames()
        self.say(self.peer.bind_answer())
        assert self.session.online
        self.session.events()
        self.session.requests()
        return self

    def say(self, *frames: bytes) -> list[SessionEvent]:
        """Have the server say this, in one read; what happens then."""
        self.session.receive_data(self.link_id, b"".join(frames), self.now)
        return self.session.events()

    def push(self, body: Body | bytes, packet_id: str | None = None) -> list[SessionEvent]:
        """Have the server push a packet."""
        return self.say(self.peer.push(body, packet_id))

    def consume(self, events: list[SessionEvent]) -> None:
        """Be done with what these brought."""
        for receipt in receipts(events):
            self.session.consumed(receipt, self.now)

    def timer(self, now: float) -> list[SessionEvent]:
        """Time passes."""
        self.now = now
        self.session.handle_timer(now)
        return self.session.events()

    def frames(self, max_bytes: int = 65536) -> list[Frame]:
        """What the session writes."""
        return self.peer.read_all(self.session.data_to_send(self.link_id, max_bytes))

    def commands(self) -> list[str]:
        """The commands of what it writes."""
        return [frame.command for frame in self.frames()]

    def packets(self, max_bytes: int = 65536) -> list[Packet]:
        """The packets among what it writes."""
        frames = self.session.data_to_send(self.link_id, max_bytes)
        return [self.peer.read_packet(frame) for frame in frames if self.peer.read(frame).command == "SECMSG"]

    def bodies(self, max_bytes: int = 65536) -> list[object]:
        """What is in them."""
        found = [packet.body for packet in self.packets(max_bytes)]
        return [body.body if isinstance(body, UcPacket) else body for body in found]


def kinds(items: list[SessionEvent] | list[SessionRequest]) -> list[str]:
    """What events or requests are."""
    return [type(item).__name__ for item in items]


def in_state(state: SessionState) -> Hand:
    """A session in this state, which has a link bound or almost."""
    hand = Hand()
    if state is SessionState.CONNECTING:
        hand.ready()
    elif state is not SessionState.NEW:
        hand.bound()
        if state is SessionState.OFFLINE:
            hand.session.link_lost(hand.link_id, None, hand.now)
        elif state is SessionState.LEAVING:
            hand.session.logout(hand.now)
        elif state is SessionState.ENDED:
            hand.session.close(hand.now)
    hand.session.events()
    hand.session.requests()
    assert hand.session.state is state
    return hand


def other_user(**changes: Any) -> Credentials:
    """Who a token endpoint may log in instead."""
    return credentials(**{"uuid": 77, "token": "another", **changes})


BOB = User(app_id=APP_ID, account="bob", uuid=77, resource="pc")
TEAM = Group(app_id=APP_ID, topic_id=7)


def a_list(*sequences: int, payload: bytes = b"hello", top: int | None = None) -> PacketList:
    """A list for the user of these tests."""
    packets = tuple(message(sequence, payload=payload) for sequence in sequences)
    return PacketList(uuid=UUID, resource=RESOURCE, packets=packets, max_sequence=top or max(sequences))


def a_limit(top: int) -> PacketList:
    """A pull notification."""
    return PacketList(
        uuid=UUID, resource=RESOURCE, min_sequence=1, max_sequence=top, status=ListStatus.EXCEED_COUNT_LIMIT
    )


def in_group(body: Any, packet_id: str = "uc_1") -> UcPacket:
    """The envelope of unlimited groups."""
    return UcPacket(user=ME, packet_id=packet_id, body=body)


def group_messages(*sequences: int, topic: int = 7) -> UcPacket:
    """A list of an unlimited group."""
    group = Group(app_id=APP_ID, topic_id=topic)
    messages = tuple(UcMessage(group=group, payload=b"all", sequence=number, user=BOB) for number in sequences)
    return in_group(UcMessageList(group=group, messages=messages, max_sequence=max(sequences)))


def online_message(payload: bytes = b"now") -> OnlineMessage:
    """An online message from bob."""
    return OnlineMessage(sender=BOB, recipient=ME, payload=payload)


def receipts(events: list[Any]) -> list[int]:
    """The receipts in events."""
    return [event.receipt for event in events if hasattr(event, "receipt")]


def ack(packet_id: str, **fields: Any) -> PacketAck:
    """An acknowledgement."""
    return PacketAck(**{"packet_id": packet_id, "sequence": 5, "timestamp": 9, "code": 0, **fields})


def over_the_mark(**settings: Any) -> tuple[Hand, int]:
    """A session that dropped sequence 3 of a server that ignores the window; the receipt of what is in its hands."""
    hand = Hand(settings={"high_messages": 2, "low_messages": 1, **settings}).bound()
    [receipt] = receipts(hand.push(a_list(1, 2)))
    assert hand.push(a_list(3)) == []
    assert hand.push(a_list(4)) == []
    assert hand.session.get_timer() == 15.0
    hand.session.consumed(receipt, 0.0)
    assert hand.session.get_timer() == 0.0
    return hand, receipt


__all__ = [
    "HERE",
    "TEAM",
    "THERE",
    "Bed",
    "CloseLink",
    "FetchToken",
    "Fixed",
    "Hand",
    "OpenLink",
    "Resolve",
    "Traced",
    "a_limit",
    "a_list",
    "ack",
    "group_messages",
    "in_group",
    "in_state",
    "kinds",
    "online_message",
    "other_user",
    "over_the_mark",
    "receipts",
]
