"""The links and sessions of a service, and what its parts share."""

from __future__ import annotations

import enum
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from mimc_proto import ServerConnection
from mimc_proto._answers import Answer
from mimc_proto.errors import LocalProtocolError, QueueFull
from mimc_proto.events import BindRequested, CloseReason
from mimc_proto.packets.lists import ListItem

from ..store import Member, StoreError
from ..tokens import Randomness, TokenClaims
from .config import ServiceConfig
from .events import Dropped, HintLost, ServiceEvent, StoreFailed
from .hints import Committed, Hint
from .requests import StoreRequest
from .timers import Alarm, Timers

__all__ = ["Core", "Flow", "Key", "Link", "Presence", "Session", "TokenVerifier"]

Key = tuple[int, str]
"""Uuid and resource: what one session at a time has."""

MOST_UNTAKEN = 4096
"""Events that are kept for a driver that does not ask for them: nothing goes wrong without them."""

MOST_HINTS = 1024
"""Hints of a kind that wait for the driver. Each kind has room of its own, or whoever can cause one kind could have
the others lost: any user makes OnlineAcked for nobody, as many as he likes."""

MOST_COMMITS = 64
"""Of Committed: these hold whole messages."""


class TokenVerifier(Protocol):
    """What a service needs of `mimc_server.tokens.TokenIssuer`."""

    def verify(self, token: str, wall_ms: int, good_from_ms: int = 0) -> TokenClaims:
        """Raises `TokenRefused`."""
        ...


class Link:
    """One connection."""

    __slots__ = (
        "alarm",
        "challenge",
        "claiming",
        "closed",
        "connection",
        "displaced",
        "id",
        "next_bind",
        "peer",
        "session",
    )

    def __init__(self, link_id: int, peer: str, challenge: str, connection: ServerConnection, alarm: Alarm) -> None:
        self.id = link_id
        self.peer = peer
        self.challenge = challenge
        self.connection = connection
        self.alarm = alarm
        self.session: Session | None = None
        self.claiming = False
        """Whether the store is asked about a BIND of this link."""
        self.next_bind: BindRequested | None = None
        """What came meanwhile."""
        self.closed: CloseReason | None = None
        """Why it ended."""
        self.displaced: Key | None = None
        """What another link took over from this one."""


class Flow(enum.Enum):
    """How messages get to a session."""

    __hash__ = object.__hash__

    OPEN = "directly, or from the store"
    READING = "the store is being asked"
    NOTICED = "not until the limit notice is answered"
    STALLED = "not until its link has room"


class Presence(NamedTuple):
    """A session is online in an unlimited group."""

    said: float
    """When it last said so."""
    confirmed: float
    """When the store last said that its user is a member."""


class Session:
    """A user who is online with a resource."""

    __slots__ = (
        "acked",
        "app_id",
        "asking",
        "batch",
        "delivered",
        "epoch",
        "expiry",
        "flow",
        "generation",
        "heard",
        "issued_ms",
        "key",
        "link",
        "looked_up",
        "member",
        "needs",
        "noticed",
        "online_sent",
        "package",
        "previous_node",
        "pull",
        "pull_at",
        "pull_gap",
        "pulled",
        "topics",
        "window",
        "window_size",
    )

    def __init__(self, link: Link, app_id: int, member: Member, key: Key, package: str) -> None:
        self.link = link
        self.app_id = app_id
        self.member = member
        self.key = key
        self.package = package
        self.epoch = 0
        self.previous_node = ""
        self.issued_ms = 0
        """When its token was issued."""
        self.expiry = self.pull = Alarm(_nothing)
        self.flow = Flow.OPEN
        self.acked = self.delivered = 0
        """Positions in the inbox: up to the one all is acknowledged, up to the other all was given to the link."""
        self.heard = 0
        """A position that exists and has not been read, if it is beyond ``delivered``."""
        self.window: deque[tuple[int, int, int]] = deque()
        """What is delivered and not acknowledged: position, sequence, payload bytes."""
        self.window_size = 0
        self.batch: list[tuple[ListItem, int]] = []
        """What goes to the link next, and its positions."""
        self.generation = 0
        """Answers of the store to questions of an earlier one are of no use."""
        self.noticed = 0
        """The highest sequence of the limit notice that waits for an answer."""
        self.needs = 0
        """Bytes of room without which there is no use in reading on."""
        self.pulled = False
        """PULL came: what waits comes as it is, however much."""
        self.pull_at = self.pull_gap = 0.0
        self.asking = 0
        """Requests about unlimited groups that wait for the store."""
        self.topics: dict[int, Presence] = {}
        """Unlimited groups it is online in."""
        self.online_sent: dict[str, int] = {}
        """Packet ids of its newest online messages, and the uuids of their receivers, who alone may answer them."""
        self.looked_up = 0
        """The last group that the store was asked about for a PING: the next one asks about those after it."""

    @property
    def uuid(self) -> int:
        return self.key[0]

    @property
    def resource(self) -> str:
        return self.key[1]


class Core:
    """What the parts share: who is here, the time, and all that waits for the driver."""

    def __init__(self, node: str, rng: Randomness, config: ServiceConfig) -> None:
        self.node = node
        self.rng = rng
        self.config = config
        self.now = 0.0
        self.wall_ms = 0
        self.links: dict[int, Link] = {}
        self.sessions: dict[Key, Session] = {}
        self.users: dict[int, tuple[Session, ...]] = {}
        self.unbound: dict[int, Link] = {}
        """Links without a session, the one that has been so for longest first."""
        self.dirty: dict[int, None] = {}
        self.timers = Timers()
        self.events: deque[ServiceEvent] = deque(maxlen=MOST_UNTAKEN)
        self.requests: deque[StoreRequest] = deque()
        self._hints: list[Hint] = []
        self._hinted: dict[type[Hint], int] = {}
        self._callbacks: dict[int, Callable[[Any], object]] = {}
        self._ids = itertools.count(1)

    # ------------------------------------------------------------------------------------------------------- store

    def next_id(self) -> int:
        """Of a request, or a link."""
        return next(self._ids)

    def ask(self, request: StoreRequest, callback: Callable[[Any], object]) -> None:
        """``callback(answer)`` is called when the store has answered."""
        self._callbacks[request.request_id] = callback
        self.requests.append(request)

    @property
    def asked(self) -> int:
        """How much is asked and not answered."""
        return len(self._callbacks)

    def answered(self, request_id: int, answer: object) -> None:
        """Ignored if nothing of this id is asked."""
        callback = self._callbacks.pop(request_id, None)
        if callback is not None:
            callback(answer)

    def failed(self, what: str, answer: object) -> bool:
        """Whether an answer is an error; then it is told."""
        if isinstance(answer, StoreError):
            self.events.append(StoreFailed(what=what, error=answer))
            return True
        return False

    # ------------------------------------------------------------------------------------------------- other nodes

    def tell(self, hint: Hint) -> None:
        """Have the other nodes know, if there is room for it."""
        kind = type(hint)
        waiting = self._hinted.get(kind, 0)
        self._hinted[kind] = waiting + 1
        most = MOST_COMMITS if kind is Committed else MOST_HINTS
        if waiting < most:
            self._hints.append(hint)
        elif waiting == most:
            self.events.append(HintLost(what=kind.__name__))

    def hints(self) -> list[Hint]:
        """What waits for the driver."""
        hints, self._hints = self._hints, []
        self._hinted.clear()
        return hints

    # ------------------------------------------------------------------------------------------------------- links

    def changed(self, link: Link) -> None:
        """Something was done to a link that may have given it another deadline, and something to write."""
        self.dirty[link.id] = None
        self.timers.set(link.alarm, link.connection.get_timer())

    def push(self, session: Session, body: Answer, packet_id: str | None = None, timestamp: int | None = None) -> bool:
        """Queue a packet for a session; False if it is dropped, which is told."""
        link = session.link
        try:
            link.connection.send(body, now=self.now, packet_id=packet_id, timestamp=timestamp)
        except LocalProtocolError as error:
            self.dropped(session, type(body).__name__, error)
            return False
        self.dirty[link.id] = None
        return True

    def push_if_room(self, session: Session, body: Answer, packet_id: str | None, timestamp: int | None) -> None:
        """`push` what nobody stores, unless so much waits that acks and stored messages need the room."""
        waiting, half = session.link.connection.pending, self.config.link.max_pending // 2
        if waiting > half:
            problem = f"{waiting} packets wait; beyond {half} (half of max_pending) only acks and stored messages may"
            self.dropped(session, type(body).__name__, QueueFull(problem, where="send"))
        else:
            self.push(session, body, packet_id, timestamp)

    def dropped(self, session: Session, what: str, error: LocalProtocolError) -> None:
        """Tell that a packet does not reach a session."""
        who = session.member
        event = Dropped(account=who.account, uuid=who.uuid, resource=session.resource, what=what, error=error)
        self.events.append(event)


def _nothing() -> None:
    """What an alarm does that is not needed yet."""
