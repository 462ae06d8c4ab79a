"""What a session says and hears on a bound link: messages and their acknowledgements, pulls, groups, live messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._link import Trace
from .._requests import Request
from ..client import ClientConnection
from ..config import SessionConfig
from ..errors import LocalProtocolError, shown_name
from ..events import (
    AckReceived,
    BadPacket,
    BindAccepted,
    BindRefused,
    HandshakeCompleted,
    Ignored,
    Kicked,
    LimitReached,
    LinkClosed,
    MessagesReceived,
    PacketReceived,
    PongReceived,
)
from ..framing import Framing
from ..packets import (
    Command,
    OnlineMessage,
    OnlineMessageAck,
    Pull,
    SequenceAck,
    UcDismiss,
    UcJoinAnswer,
    UcMessageList,
    UcPacket,
    UcQuitAnswer,
    UcSequenceAck,
)
from ..states import ClientState, SessionState
from ._lifecycle import Lifecycle
from .access import Address, Answer
from .backoff import Chance
from .events import Acknowledged, EndReason, FailReason, GroupDismissed, MessagesDropped, Unreadable
from .groups import UnlimitedGroups
from .inbox import Inbox
from .messages import to_online_message, to_unlimited_message
from .outbox import Kind, Outbox

__all__ = ["MOST_UNCONFIRMED", "Traffic"]

MOST_UNCONFIRMED = 1024
"""Remembered sequences above which a PING asks whether the server has the acknowledgement."""

_RECEIVED = 1
_BOUND = ClientState.BOUND


class Traffic(Lifecycle):
    """The part of a session that is about what links carry."""

    __slots__ = (
        "_groups",
        "_inbox",
        "_outbox",
        "_pings_before_ack",
        "_pongs",
        "_probe_id",
        "_probed",
        "_pull_at",
        "_pull_deadline",
        "_said",
    )

    def __init__(
        self,
        app_id: int,
        account: str,
        rng: Chance,
        now: float,
        resource: str | None,
        addresses: Iterable[Address],
        known_addresses: Iterable[Address],
        resolver: str,
        token: Answer | None,
        joined_groups: Iterable[int],
        framing: Framing,
        config: SessionConfig | None,
        trace: Trace | None,
    ) -> None:
        super().__init__(
            app_id, account, rng, now, resource, addresses, known_addresses, resolver, token, framing, config, trace
        )
        self._outbox = Outbox(self._prefix, self._config)
        self._inbox = Inbox(self._config)
        self._groups = UnlimitedGroups(app_id, joined_groups, self._config)
        self._pull_at = self._now
        self._pull_deadline: float | None = None
        self._said: int | None = None  # the newest SEQUENCE_ACK on this link, as far as it is not probed
        self._probed: int | None = None  # the one whose arrival is to be proved,
        self._probe_id: str | None = None  # by the answer to this message,
        self._pings_before_ack = self._pongs = 0  # or by more pongs than there were pings before it

    # ----------------------------------------------------------------------------------------------------------- bytes

    def receive_data(self, link_id: int, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take in what came on a link: any piece of the stream on TCP, exactly one message on WebSocket."""
        self._tick(now)
        link = self._link
        if link is not None and link_id == self._link_id:
            self._receive(link, data)
            self._on_link_events(link)

    def data_to_send(self, link_id: int, max_bytes: int = 65536) -> list[bytes]:
        """Frames to write on a link, in order, each whole; [] for a link that is not there any more.

        Messages are encoded only now, until ``max_bytes`` are reached, so do not call this while the transport cannot
        write: taken messages may have arrived. May start a deadline: ask `get_timer` afterwards.
        """
        link = self._link
        if link is None or link_id != self._link_id:
            return []
        if link.state is not _BOUND:
            return link.data_to_send(max_bytes)
        link.tick(self._now)  # it may have been silent for long: the deadlines of what is taken now begin now
        inbox, queue = self._inbox, self._outbox.queue
        if inbox.ack_due is not None and self._say(link, SequenceAck(sequence=inbox.ack_due)):
            self._said, inbox.ack_due = inbox.ack_due, None
        self._queue_due(link)
        frames = link.data_to_send(max_bytes)
        if not link.pending:
            if self._said is not None and self._probed is None:
                self._probe(link)
            if queue:
                size = sum(map(len, frames)) if frames else 0
                if size < max_bytes:
                    if self._probed is not None and self._probe_id is None:
                        self._probe_id = next(iter(queue))
                    frames += link.encrypt_now(queue, max_bytes - size)
        return frames

    def _queue_due(self, link: ClientConnection) -> None:
        """Queue what the session has to ask by itself."""
        inbox, groups, now = self._inbox, self._groups, self._now
        if now >= self._pull_at and inbox.wants_pull():
            self._pull_at = now + self._config.pull_interval
            if inbox.dropped is not None and self._pull_deadline is None:
                self._pull_deadline = now + self._config.answer_timeout
            if self._say(link, Pull()):
                inbox.pull_due = False
        if groups.ping_at is not None and now >= groups.ping_at:
            for ping in groups.pings(now):
                self._say(link, ping)
        if (
            self._probed is not None
            and len(inbox.seen.known) > MOST_UNCONFIRMED
            and link.pings == self._pings_before_ack
        ):
            link.ping(now)

    def _probe(self, link: ClientConnection) -> None:
        """A SEQUENCE_ACK was taken: the next request on this link that is answered proves that the server has it."""
        self._probed, self._said = self._said, None
        self._pings_before_ack = link.pings

    # ---------------------------------------------------------------------------------------------------------- timers

    def get_timer(self) -> float | None:
        """When `handle_timer` wants to be called; None for never."""
        times = [self._lifecycle_timer(), self._outbox.deadline()]
        if self._link is not None and self._link.state is _BOUND:
            times += (self._groups.ping_at, self._pull_deadline)
            if self._inbox.wants_pull():
                times.append(self._pull_at)
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is. Feed bytes that wait before calling it, and write afterwards."""
        self._tick(now)
        overdue = self._outbox.overdue(self._now)
        if overdue:
            self._events += overdue
        bound = self._link is not None and self._link.state is _BOUND
        if bound and self._pull_deadline is not None and self._now >= self._pull_deadline:
            self._link_gone(f"PULL was not answered within {self._config.answer_timeout:g} s (answer_timeout)")
        self._handle_lifecycle_timer()
        if self._link is not None and self._link.state is _BOUND:
            self._queue_due(self._link)

    # ------------------------------------------------------------------------------------------------ what a link says

    def _on_link_events(self, link: ClientConnection) -> None:
        changed = self._state is SessionState.LEAVING
        events, acknowledged = self._events, self._outbox.acknowledged
        for event in link.events():
            if type(event) is AckReceived:
                verdict = acknowledged(event.ack)
                if verdict is not None:
                    if verdict.packet_id == self._probe_id:
                        self._confirm()
                    events.append(verdict)
                elif self._trace is not None:
                    self._trace("in", f"nobody waits for the ack of {shown_name(event.ack.packet_id)}", self._now)
            else:
                _HANDLERS[type(event)](self, event)
                changed = True
        if changed:
            self._advance()

    def _on_handshake(self, event: HandshakeCompleted) -> None:
        """`_advance` binds."""

    def _on_messages(self, event: MessagesReceived) -> None:
        delivered = self._inbox.on_list(event)
        if self._inbox.pull_answered:
            self._inbox.pull_answered = False
            self._pull_deadline = None
        if delivered is not None:
            self._events.append(delivered)

    def _on_limit(self, event: LimitReached) -> None:
        self._pull_deadline = None
        notice = self._inbox.on_limit(event)
        if notice is not None:
            self._events.append(notice)

    def _on_pong(self, event: PongReceived) -> None:
        self._pongs += 1
        if self._probed is not None and self._pongs > self._pings_before_ack:
            self._confirm()

    def _on_bad_packet(self, event: BadPacket) -> None:
        self._events.append(Unreadable(packet=event))

    def _on_packet(self, event: PacketReceived) -> None:
        packet = event.packet
        body = packet.body
        if isinstance(body, OnlineMessage):
            self._on_online_message(event)
        elif isinstance(body, OnlineMessageAck):
            self._answered(body.packet_id, Kind.ONLINE, body.code, body.error_message)
        elif isinstance(body, UcPacket):
            self._on_unlimited(body)
        elif self._trace is not None:
            self._trace("in", f"a {type(body).__name__} is ignored", self._now)

    def _on_online_message(self, event: PacketReceived) -> None:
        packet = event.packet
        body = packet.body
        assert isinstance(body, OnlineMessage)
        sender = body.sender
        if packet.packet_id and sender is not None:
            self._reply(
                OnlineMessageAck(packet_id=packet.packet_id, uuid=sender.uuid, resource=sender.resource, code=_RECEIVED)
            )
        delivered = self._inbox.on_live((to_online_message(packet, body),))
        self._events.append(delivered or MessagesDropped(online=1, unlimited=0))

    def _on_unlimited(self, packet: UcPacket) -> None:
        body = packet.body
        if isinstance(body, UcMessageList):
            self._on_unlimited_messages(body)
        elif isinstance(body, UcJoinAnswer):
            self._answered(packet.packet_id, Kind.JOIN, body.code, body.text)
        elif isinstance(body, UcQuitAnswer):
            self._answered(packet.packet_id, Kind.QUIT, body.code, body.text)
        elif isinstance(body, UcDismiss):
            topic_id = body.group.topic_id or 0
            self._groups.remove(topic_id)
            self._events.append(GroupDismissed(group_id=topic_id))

    def _on_unlimited_messages(self, body: UcMessageList) -> None:
        if body.max_sequence is not None:
            self._reply(UcSequenceAck(group=body.group, sequence=body.max_sequence))
        fresh = tuple(
            to_unlimited_message(message)
            for message in body.messages
            if self._groups.is_new(message.group.topic_id, message.sequence)
        )
        if fresh:
            delivered = self._inbox.on_live(fresh)
            self._events.append(delivered or MessagesDropped(online=0, unlimited=len(fresh)))

    def _answered(self, packet_id: str, kind: Kind, code: int, text: str | None) -> None:
        settled = self._outbox.answered(packet_id, kind, code, text or "")
        if settled is None:
            return
        item, verdict = settled
        if isinstance(item.target, int) and isinstance(verdict, Acknowledged):
            if kind is Kind.JOIN:
                self._groups.add(item.target, self._now)
            else:
                self._groups.remove(item.target)
        self._events.append(verdict)

    def _on_ignored(self, event: Ignored) -> None:
        """NOTIFY, SYNC, unknown commands: the link has traced them. An answer to BIND too, if a KICK crossed that."""
        if event.command == Command.BIND:
            self._login_pace.answered(self._now)

    # --------------------------------------------------------------------------------------------------- for Lifecycle

    def _on_accepted(self, event: BindAccepted) -> None:
        self._inbox.on_bound()
        self._pull_deadline = None
        self._groups.online(self._now)
        super()._on_accepted(event)

    def _on_kicked(self, event: Kicked) -> None:
        self._no_proof()  # what crossed the KICK was not taken, though a PING after it is answered
        super()._on_kicked(event)

    def _link_dropped(self) -> None:
        self._no_proof()
        self._pings_before_ack = self._pongs = 0
        self._groups.offline()
        self._pull_deadline = None
        self._events += self._outbox.link_lost()

    def _undone(self) -> bool:
        ack_waits = self._inbox.ack_due is not None and (self._link is None or self._link.state is not _BOUND)
        return bool(len(self._outbox)) or ack_waits  # where a link is bound, the last acknowledgement precedes UBND

    def _before_unbind(self, link: ClientConnection) -> None:
        if self._inbox.ack_due is not None:
            self._say(link, SequenceAck(sequence=self._inbox.ack_due))

    def _settle_all(self, reason: EndReason) -> None:
        self._events += self._outbox.end(FailReason.KICKED if reason is EndReason.KICKED else FailReason.CLOSED)

    # --------------------------------------------------------------------------------------------------------- helpers

    def _reply(self, body: OnlineMessageAck | UcSequenceAck) -> None:
        """Answer at once, unless so much waits to be written already that one answer less makes no difference."""
        link = self._link
        if link is not None and link.state is _BOUND and link.pending < link.config.max_pending // 2:
            self._say(link, body)

    def _say(self, link: ClientConnection, body: Request) -> bool:
        """Queue something of the session's own; False if it cannot be, because of what the peer did.

        A peer may send without reading, until the link's queue is full, and ids too long to be answered.
        """
        try:
            link.send(body, now=self._now)
        except LocalProtocolError as error:
            if self._trace is not None:
                self._trace("out", f"a {type(body).__name__} is not sent: {error}", self._now)
            return False
        return True

    def _confirm(self) -> None:
        """The server answered what was sent after an acknowledgement, so it has that."""
        assert self._probed is not None  # or nothing would have been waited for
        self._inbox.seen.confirm(self._probed)
        self._probed = self._probe_id = None

    def _no_proof(self) -> None:
        """Whether the server has what was acknowledged last will not be known."""
        self._said = self._probed = self._probe_id = None


_HANDLERS: dict[type[Any], Callable[[Traffic, Any], None]] = {
    HandshakeCompleted: Traffic._on_handshake,
    BindAccepted: Traffic._on_accepted,
    BindRefused: Traffic._on_refused,
    Kicked: Traffic._on_kicked,
    PongReceived: Traffic._on_pong,
    MessagesReceived: Traffic._on_messages,
    LimitReached: Traffic._on_limit,
    PacketReceived: Traffic._on_packet,
    BadPacket: Traffic._on_bad_packet,
    Ignored: Traffic._on_ignored,
    LinkClosed: Traffic._on_closed,
}
