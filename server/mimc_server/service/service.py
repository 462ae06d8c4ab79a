"""The service as its driver sees it: links, a store, other nodes and a clock on one side, decisions on the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from mimc_proto import Framing, ServerConnection
from mimc_proto._checks import check_text, later
from mimc_proto._record import Record
from mimc_proto.errors import MimcError, RemoteProtocolError, shown_name
from mimc_proto.events import BindRequested, CloseReason, Ignored, LinkClosed, PacketReceived, ServerEvent, Unbound
from mimc_proto.packets import (
    BadPacket,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Pull,
    SequenceAck,
    UcPacket,
)

from ..store import Appended, Kind, NewMessage, Store, Stored
from ..tokens import Randomness
from .config import ServiceConfig
from .delivery import Delivery
from .events import EndReason, LinkEnded, PacketIgnored, ServiceEvent
from .hints import (
    Committed,
    Hint,
    KickRequested,
    OnlineAcked,
    SessionEnded,
    TakenOver,
    UcDismissed,
    UcLeft,
)
from .links import Core, Link, Session, TokenVerifier
from .load import ServiceLoad
from .login import Login
from .requests import StoreRequest
from .sending import Sending
from .timers import Alarm
from .unlimited import Unlimited
from .upkeep import Upkeep

__all__ = ["Service", "SessionInfo", "TooManyLinks"]

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CHALLENGE = 16
"""Characters of a challenge, six bits each (wire.md section 3)."""


class TooManyLinks(MimcError):  # noqa: N818 (as QueueFull)
    """There is no room for another link; do not accept connections until `Service.accepting`."""


class SessionInfo(Record):
    """Who is online, and where."""

    __slots__ = ()
    app_id: int
    account: str
    uuid: int
    resource: str
    link_id: int
    peer: str
    epoch: int
    waiting: int
    """Messages delivered and not acknowledged."""


class Service:
    """A whole messaging service, or one node of it, without any I/O.

    ``node`` names it among the nodes of one store. ``tokens`` verifies tokens (`mimc_server.tokens.TokenIssuer`),
    ``package_of`` gives the appPackage of an application that is served and None for any other, ``rng`` makes
    challenges (anything with ``getrandbits``; unpredictable in production).

    After every call its driver takes what came out: `store_requests` (performed in order, each answered), `writable`
    links (`data_to_send`, then `close_expected`), `hints` for the other nodes, `events`, and `get_timer`. ``now`` is
    in seconds of any clock, ``wall_ms`` Unix time in milliseconds. A driver owes `link_lost` for each link that it
    closed or lost. What a peer does raises nothing.
    """

    def __init__(
        self,
        *,
        node: str,
        tokens: TokenVerifier,
        package_of: Callable[[int], str | None],
        rng: Randomness,
        config: ServiceConfig | None = None,
    ) -> None:
        self.config = config if config is not None else ServiceConfig()
        self._core = core = Core(node, rng, self.config)
        self._started = False
        self._unlimited = Unlimited(core)
        self._delivery = Delivery(core)
        self._login = Login(core, self._delivery, tokens, package_of, self._unlimited.session_ended)
        self._sending = Sending(core, self._delivery, self._login, self._fan_out)
        self._upkeep = Upkeep(core, self._sending, self._delivery, self._login)

    # ------------------------------------------------------------------------------------------------------- links

    @property
    def accepting(self) -> bool:
        """Whether there is room for another link. Refuse at the listener: Java, accepted and closed at once, comes
        back 170 times a second (clients.md rule 15)."""
        return len(self._core.links) < self.config.max_links

    def link_opened(self, now: float, *, framing: Framing = Framing.TCP, peer: str = "") -> int:
        """A connection was accepted; its link id. ``peer`` is for logs. Raises `TooManyLinks`."""
        core = self._core
        if not self.accepting:
            raise TooManyLinks(f"{len(core.links)} links are open (max_links={self.config.max_links})")
        self._tick(now)
        bits = core.rng.getrandbits(6 * CHALLENGE)
        challenge = "".join(_ALPHABET[bits >> 6 * place & 63] for place in range(CHALLENGE))
        connection = ServerConnection(
            challenge=challenge,
            first_id=core.rng.getrandbits(48),
            now=core.now,
            host=self.config.host,
            framing=framing,
            config=self.config.link,
        )
        link_id = core.next_id()
        link = Link(link_id, peer, challenge, connection, Alarm(lambda: self._link_due(link)))
        core.links[link_id] = core.unbound[link_id] = link
        core.timers.set(link.alarm, connection.get_timer())
        if len(core.unbound) > self.config.max_unbound:
            self._close(next(iter(core.unbound.values())))
        return link_id

    def receive_data(self, link_id: int, data: bytes | bytearray | memoryview, now: float, wall_ms: int) -> None:
        """Bytes came (on WebSocket one message); ignored for a link that is not there."""
        self._tick(now, wall_ms)
        link = self._core.links.get(link_id)
        if link is None:
            return
        error = None
        try:
            link.connection.receive_data(data, self._core.now)
        except RemoteProtocolError as broken:
            error = broken
        self._handle(link, error)
        self._done()

    def link_lost(self, link_id: int, now: float, wall_ms: int, *, failed: bool = False) -> None:
        """The connection is gone, whoever closed it; ``failed``: this side could not write."""
        self._tick(now, wall_ms)
        link = self._core.links.pop(link_id, None)
        if link is None:
            return
        if failed:
            link.connection.send_failed(self._core.now)
        else:
            link.connection.receive_eof(self._core.now)
        self._handle(link)
        self._core.unbound.pop(link_id, None)
        self._core.dirty.pop(link_id, None)
        self._core.timers.set(link.alarm, None)
        self._done()

    def data_to_send(self, link_id: int, max_bytes: int = 65536) -> list[bytes]:
        """Frames to write: `ServerConnection.data_to_send`; ``[]`` for a link that is not there.

        Call it until it gives ``[]`` or less than ``max_bytes`` (then there is no more), or the transport cannot write;
        look at `store_requests` afterwards, for a link with room again may have the store read.
        """
        link = self._core.links.get(link_id)
        if link is None:
            return []
        frames = link.connection.data_to_send(max_bytes)
        if frames and link.session is not None:
            self._delivery.taken(link.session)
        return frames

    def close_expected(self, link_id: int) -> float | None:
        """None, or the time by which to flush and close: `ServerConnection.close_expected`."""
        link = self._core.links.get(link_id)
        return None if link is None else link.connection.close_expected()

    def close_reason(self, link_id: int) -> CloseReason | None:
        """Why a link is to be closed; None if it is not, or is not there."""
        link = self._core.links.get(link_id)
        return None if link is None else link.closed

    def max_body(self, link_id: int) -> int:
        """`ServerConnection.max_body`; 0 for a link that is not there."""
        link = self._core.links.get(link_id)
        return 0 if link is None else link.connection.max_body

    def writable(self) -> list[int]:
        """The links that got something to write or are to be closed, since the last call."""
        if not self._core.dirty:
            return []
        dirty, self._core.dirty = self._core.dirty, {}
        return list(dirty)

    # ------------------------------------------------------------------------------------------------------- timers

    def get_timer(self) -> float | None:
        """When `handle_timer` wants to be called."""
        return self._core.timers.next()

    def handle_timer(self, now: float, wall_ms: int) -> None:
        """Do what is due, after the bytes that wait."""
        self._tick(now, wall_ms)
        self._core.timers.ring(self._core.now)
        self._done()

    def _link_due(self, link: Link) -> None:
        link.connection.handle_timer(self._core.now)
        self._handle(link)

    # ----------------------------------------------------------------------------------------------- store and nodes

    def store_requests(self) -> list[StoreRequest]:
        """What the store is to do, in this order. Each is answered once, also those of links that are gone.

        Messages that came since the last call are stored together.
        """
        self._sending.commit()
        requests = list(self._core.requests)
        self._core.requests.clear()
        return requests

    def run_store(self, store: Store, now: float, wall_ms: int) -> bool:
        """Have a store that may be called here and now do all that `store_requests` says; whether there was anything.

        Answers may give rise to more: call it again.
        """
        self._sending.commit()
        requests = self._core.requests
        waiting = len(requests)
        for _ in range(waiting):
            request = requests.popleft()
            self.store_answered(request.request_id, request.perform(store, wall_ms), now, wall_ms)
        return waiting > 0

    def store_answered(self, request_id: int, answer: object, now: float, wall_ms: int) -> None:
        """What ``request.perform(store, wall_ms)`` returned, or a `StoreError` in its place."""
        self._tick(now, wall_ms)
        self._core.answered(request_id, answer)
        self._done()

    def hints(self) -> list[Hint]:
        """For all other nodes. Of hints that nobody takes some are lost (`HintLost`), and the others come too late."""
        return self._core.hints()

    def hinted(self, hint: Hint, now: float, wall_ms: int) -> None:
        """A hint of another node came."""
        self._tick(now, wall_ms)
        match hint:
            case Committed():
                self._fan_out(hint.items)
            case TakenOver():
                self._login.taken_over(hint)
            case SessionEnded():
                self._login.winner_gone(hint)
            case OnlineAcked():
                self._unlimited.online_acked(hint)
            case KickRequested():
                self._login.kick_user(hint)
            case UcLeft():
                self._unlimited.left(hint)
            case UcDismissed():
                self._unlimited.dismissed(hint)
            case _:
                assert_never(hint)
        self._done()

    def events(self) -> list[ServiceEvent]:
        """What happened since the last call, for logs and metrics; of many that nobody takes the oldest are lost."""
        events = list(self._core.events)
        self._core.events.clear()
        return events

    # -------------------------------------------------------------------------------------------------------- admin

    def sessions(self) -> list[SessionInfo]:
        """Who is online on this node."""
        return [
            SessionInfo(
                app_id=session.app_id,
                account=session.member.account,
                uuid=session.uuid,
                resource=session.resource,
                link_id=session.link.id,
                peer=session.link.peer,
                epoch=session.epoch,
                waiting=len(session.window),
            )
            for session in self._core.sessions.values()
        ]

    def load(self) -> ServiceLoad:
        """How much there is to do on this node, and what was done since the start."""
        core, sending = self._core, self._sending
        waiting, waiting_bytes = sending.waiting
        return ServiceLoad(
            links=len(core.links),
            unbound=len(core.unbound),
            sessions=len(core.sessions),
            users=len(core.users),
            unlimited_groups=self._unlimited.groups,
            waiting=waiting,
            waiting_bytes=waiting_bytes,
            requests=core.asked,
            stored=tuple(sending.stored),
            repeated=sending.repeated,
        )

    def kick(
        self, uuid: int, resource: str | None, reason: str, now: float, wall_ms: int, description: str = ""
    ) -> None:
        """Take a user offline with one resource or all (None), on every node. The clients log in again, unless the
        reason is ``single-resource-kick``; after tokens were revoked use ``token-expired`` (clients.md rule 4). Raises
        `LocalProtocolError` for a reason of no or more than 255 bytes, and a description of more than 1 024."""
        check_text(reason, "reason", 255)
        check_text(description, "description", 1024, empty=True)
        hint = KickRequested(uuid=uuid, resource=resource, reason=reason, description=description)
        self.hinted(hint, now, wall_ms)
        self._core.tell(hint)

    def push(self, message: NewMessage, answered: Callable[[Appended], object], now: float, wall_ms: int) -> None:
        """Send a message for the application's server (epoch 0).

        ``answered`` is called with what became of it, at the end of this call or of a `store_answered`. It must not
        raise; if it does, that becomes a `CallbackFailed`.
        """
        self._tick(now, wall_ms)
        self._sending.push(message, answered)
        self._done()

    def unlimited_left(self, app_id: int, topic_id: int, uuids: tuple[int, ...], now: float, wall_ms: int) -> None:
        """These users were removed from an unlimited group in the store: they are not online in it any more."""
        hint = UcLeft(app_id=app_id, topic_id=topic_id, uuids=uuids)
        self.hinted(hint, now, wall_ms)
        self._core.tell(hint)

    def unlimited_dismissed(self, app_id: int, topic_id: int, now: float, wall_ms: int) -> None:
        """An unlimited group was dissolved in the store: its members who are online are told."""
        hint = UcDismissed(app_id=app_id, topic_id=topic_id)
        self.hinted(hint, now, wall_ms)
        self._core.tell(hint)

    def unlimited_online(self, app_id: int, topic_id: int, now: float) -> int:
        """How many members of an unlimited group are online on this node."""
        self._tick(now)
        return self._unlimited.online(app_id, topic_id)

    # ------------------------------------------------------------------------------------------------------- inside

    def _tick(self, now: float, wall_ms: int | None = None) -> None:
        core = self._core
        if not self._started:
            core.now = later(float("-inf"), now)
            self._started = True
            self._upkeep.start()
        core.now = later(core.now, now)
        if wall_ms is not None:
            core.wall_ms = wall_ms

    def _done(self) -> None:
        """The end of every input."""
        self._delivery.flush()
        self._sending.tell()

    def _close(self, link: Link) -> None:
        link.connection.close(self._core.now)
        self._handle(link)

    def _handle(self, link: Link, error: MimcError | None = None) -> None:
        """What a link has to say."""
        core, connection = self._core, link.connection
        events, newest_bind = connection.events(), None
        for event in events:
            if type(event) is PacketReceived:
                if link.session is not None:
                    self._packet(link.session, event)
            elif isinstance(event, BindRequested):
                newest_bind = newest_bind or _newest_bind(events)
                if event is newest_bind:  # the link would give it the answer to an older one
                    self._login.requested(link, event)
            elif isinstance(event, Unbound):
                self._login.ended(link, EndReason.LOGGED_OUT)
            elif isinstance(event, LinkClosed):
                link.closed = event.reason
                self._login.ended(link, EndReason.LINK_ENDED)
                core.unbound.pop(link.id, None)
                core.events.append(LinkEnded(link_id=link.id, peer=link.peer, reason=event.reason, error=error))
            elif isinstance(event, BadPacket):
                core.events.append(PacketIgnored(link_id=link.id, what=str(event.error)))
            elif isinstance(event, Ignored):
                core.events.append(PacketIgnored(link_id=link.id, what=shown_name(event.command)))
        if connection.pending or connection.close_expected() is not None:
            core.dirty[link.id] = None
        core.timers.set(link.alarm, connection.get_timer())

    def _packet(self, session: Session, event: PacketReceived) -> None:
        packet = event.packet
        body = packet.body
        kind = type(body)
        if kind is P2PMessage:
            self._sending.message(session, packet, Kind.P2P)
        elif isinstance(body, SequenceAck):
            self._sending.acknowledged(session, body.sequence)
        elif kind is P2TMessage:
            self._sending.message(session, packet, Kind.P2T)
        elif isinstance(body, UcPacket):
            self._unlimited.packet(session, packet, body, self._sending)
        elif kind is OnlineMessage:
            self._sending.message(session, packet, Kind.ONLINE)
        elif isinstance(body, OnlineMessageAck):
            self._unlimited.online_ack(session, body)
        elif isinstance(body, Pull):
            self._delivery.pull(session)
        else:
            self._core.events.append(PacketIgnored(link_id=session.link.id, what=kind.__name__))

    def _fan_out(self, items: tuple[tuple[NewMessage, Stored], ...]) -> None:
        """Carry on what was stored, here or on another node."""
        groups: dict[tuple[int, int], list[tuple[NewMessage, Stored]]] = {}
        for item in items:
            message, stored = item
            if message.kind <= Kind.P2T:
                self._delivery.committed(message, stored)
            elif message.kind is Kind.ONLINE:
                self._unlimited.online_message(message, stored)
            else:
                groups.setdefault((message.app_id, int(message.target)), []).append(item)
        for (app_id, topic), group in groups.items():
            self._unlimited.messages(app_id, topic, group)


def _newest_bind(events: list[ServerEvent]) -> BindRequested:
    return [event for event in events if isinstance(event, BindRequested)][-1]
