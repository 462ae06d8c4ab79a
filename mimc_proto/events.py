"""What a link tells its driver. ``ClientEvent`` and ``ServerEvent`` are closed unions: match them exhaustively."""

from __future__ import annotations

import enum

from ._record import Record
from .packets import BadPacket, Bind, Conn, Kick, KickReason, Packet, PacketAck

__all__ = [
    "AckReceived",
    "BadPacket",
    "BindAccepted",
    "BindRefused",
    "BindRequested",
    "ClientConnected",
    "ClientEvent",
    "CloseReason",
    "HandshakeCompleted",
    "Ignored",
    "Kicked",
    "LimitReached",
    "LinkClosed",
    "MessagesReceived",
    "PacketReceived",
    "PingReceived",
    "PongReceived",
    "ServerEvent",
    "Unbound",
]


def _token_refused(*told: str | None) -> bool:
    return KickReason.TOKEN_EXPIRED in told or KickReason.INVALID_TOKEN in told


class CloseReason(enum.Enum):
    """Why a link ended."""

    LOCAL = "closed by this side"
    LOGGED_OUT = "logged out"
    EOF = "the peer closed the connection"
    SEND_FAILED = "writing failed"
    PROTOCOL_ERROR = "the peer broke the protocol"
    HANDSHAKE_TIMEOUT = "the handshake took too long"
    LOGIN_TIMEOUT = "no login in time"
    LOGOUT_TIMEOUT = "no answer to the logout in time"
    ANSWER_TIMEOUT = "an answer stayed out"
    IDLE_TIMEOUT = "the peer was silent for too long"


class LinkClosed(Record):
    """The link ended; the last event of every link, exactly once.

    ``unread`` is the number of bytes of a frame that was cut off by the end.
    """

    __slots__ = ()
    reason: CloseReason
    unread: int = 0


class PacketReceived(Record):
    """A SECMSG with its packet; for a client neither an ack nor a list, which have events of their own.

    ``id`` is the header's id, which is part of the payload key; acknowledge ``packet.packet_id``, which may differ
    (C++).
    """

    __slots__ = ()
    id: str
    packet: Packet


class Ignored(Record):
    """A well-formed packet that has no meaning here or now (NOTIFY, SYNC, an unknown command, a late SECMSG)."""

    __slots__ = ()
    command: str
    id: str | None = None
    size: int = 0


# -------------------------------------------------------------------------------------------------------- client


class HandshakeCompleted(Record):
    """The frontend answered CONN: keys are there, BIND may follow. ``host`` is the name it gave itself."""

    __slots__ = ()
    host: str | None = None


class BindAccepted(Record):
    """Online."""

    __slots__ = ()


class BindRefused(Record):
    """The login was refused."""

    __slots__ = ()
    error_type: str = ""
    error_reason: str = ""
    error_desc: str = ""

    @property
    def token_refused(self) -> bool:
        """Whether a new token may help: type token-expired or reason invalid-token (wire.md section 3)."""
        return _token_refused(self.error_type, self.error_reason)

    @property
    def taken_over(self) -> bool:
        """Whether another session holds this resource."""
        return KickReason.SINGLE_RESOURCE in (self.error_type, self.error_reason)


class PongReceived(Record):
    """An answer to a PING, in either form."""

    __slots__ = ()


class Kicked(Record):
    """The server took the user offline; the link is still there and a new BIND may follow."""

    __slots__ = ()
    kick: Kick

    @property
    def token_refused(self) -> bool:
        """Whether a new token is needed before the next BIND."""
        return _token_refused(self.kick.type, self.kick.reason)

    @property
    def taken_over(self) -> bool:
        """Whether another session took this resource: do not log in again by itself."""
        return KickReason.SINGLE_RESOURCE in (self.kick.type, self.kick.reason)


class AckReceived(Record):
    """The server's verdict on a message: ``ack.packet_id`` is the id that sending it returned."""

    __slots__ = ()
    ack: PacketAck


class MessagesReceived(Record):
    """A COMPOUND with status NORMAL: P2P and P2T packets in ascending sequence, each sequence once.

    Answer it with a SequenceAck of ``max_sequence`` when the application has them. ``skipped`` are the packets that
    cannot be read or are of other types; the acknowledgement covers them too.
    """

    __slots__ = ()
    packets: tuple[Packet, ...]
    skipped: tuple[Packet | BadPacket, ...]
    max_sequence: int


class LimitReached(Record):
    """A COMPOUND with status EXCEED_COUNT_LIMIT: too much is waiting, from ``min_sequence`` to ``max_sequence``."""

    __slots__ = ()
    min_sequence: int | None
    max_sequence: int


# -------------------------------------------------------------------------------------------------------- server


class ClientConnected(Record):
    """CONN came and was answered."""

    __slots__ = ()
    conn: Conn


class BindRequested(Record):
    """A client wants to log in; answer with ``accept_bind`` or ``refuse_bind``. A newer one replaces an older."""

    __slots__ = ()
    bind: Bind
    uuid: int
    resource: str
    chid: int
    id: str


class PingReceived(Record):
    """A ping in either form; it has been answered."""

    __slots__ = ()


class Unbound(Record):
    """The client logged out; it has been answered."""

    __slots__ = ()


ClientEvent = (
    HandshakeCompleted
    | BindAccepted
    | BindRefused
    | PongReceived
    | Kicked
    | AckReceived
    | MessagesReceived
    | LimitReached
    | PacketReceived
    | BadPacket
    | Ignored
    | LinkClosed
)

ServerEvent = (
    ClientConnected | BindRequested | PingReceived | Unbound | PacketReceived | BadPacket | Ignored | LinkClosed
)
