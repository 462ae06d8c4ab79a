"""What a session tells the application. ``SessionEvent`` is a closed union: match it exhaustively.

Everything that delivers messages carries a ``receipt``: the driver calls ``consumed(receipt)`` when the application
is done with them.
"""

from __future__ import annotations

import enum

from .._record import Record
from ..packets import BadPacket, Packet

__all__ = [
    "Acknowledged",
    "EndReason",
    "Ended",
    "FailReason",
    "Failed",
    "GroupDismissed",
    "GroupMessage",
    "LinkLost",
    "LoginRefused",
    "Message",
    "MessagesDelivered",
    "MessagesDropped",
    "Offline",
    "Online",
    "OnlineMessage",
    "Rejected",
    "ResolverFailed",
    "SessionEvent",
    "TokenFailed",
    "TooManyWaiting",
    "UnlimitedMessage",
    "Unreadable",
    "Verdict",
]

# ------------------------------------------------------------------------------------------------------ messages


class Message(Record):
    """A message from a user. ``sequence`` is unique and rising for the receiver, ``timestamp`` Unix milliseconds."""

    __slots__ = ()
    packet_id: str
    sequence: int
    timestamp: int
    from_account: str
    from_resource: str
    payload: bytes
    biz_type: str
    is_store: bool
    from_uuid: int


class GroupMessage(Record):
    """A message to a normal group."""

    __slots__ = ()
    packet_id: str
    sequence: int
    timestamp: int
    from_account: str
    from_resource: str
    payload: bytes
    biz_type: str
    is_store: bool
    from_uuid: int
    group_id: int


class OnlineMessage(Record):
    """A message to whoever is online now; its sender has been told that it was received."""

    __slots__ = ()
    packet_id: str
    from_account: str
    from_resource: str
    payload: bytes
    biz_type: str
    from_uuid: int
    timestamp: int


class UnlimitedMessage(Record):
    """A message to an unlimited group, one's own included."""

    __slots__ = ()
    packet_id: str
    sequence: int
    timestamp: int
    from_account: str
    from_resource: str
    payload: bytes
    biz_type: str
    from_uuid: int
    group_id: int


class MessagesDelivered(Record):
    """Messages in the order of their sequences; one event for each list of the server.

    ``skipped`` are packets of the list that cannot be read or are of other types; the acknowledgement covers them.
    """

    __slots__ = ()
    receipt: int
    messages: tuple[Message | GroupMessage | OnlineMessage | UnlimitedMessage, ...]
    skipped: tuple[Packet | BadPacket, ...] = ()


class TooManyWaiting(Record):
    """More is waiting at the server than it pushes (a pull notification, status EXCEED_COUNT_LIMIT).

    ``skip(receipt)`` acknowledges all up to ``max_sequence`` without having them; ``consumed(receipt)`` pulls them.
    """

    __slots__ = ()
    receipt: int
    min_sequence: int | None
    max_sequence: int


class MessagesDropped(Record):
    """Online and unlimited-group messages that came while too many waited for the application; counts."""

    __slots__ = ()
    online: int
    unlimited: int


class GroupDismissed(Record):
    """The owner dissolved an unlimited group."""

    __slots__ = ()
    group_id: int


class Unreadable(Record):
    """A packet that came alone and whose contents are broken; the link goes on."""

    __slots__ = ()
    packet: BadPacket


# ------------------------------------------------------------------------------------------------------- verdicts


class FailReason(enum.Enum):
    """Why a send got no answer of the server."""

    TIMEOUT = "no acknowledgement in time"
    LINK_LOST = "the link was lost before the acknowledgement"
    KICKED = "the session was kicked"
    CLOSED = "the session was closed"
    WITHDRAWN = "withdrawn by the caller"


class Acknowledged(Record):
    """The server took the message (of an online message: a receiver got it, without a sequence)."""

    __slots__ = ()
    packet_id: str
    sequence: int | None
    timestamp: int | None
    code: int = 0
    conv_index: int | None = None


class Rejected(Record):
    """The server refused the message.

    ``may_have_arrived``: it was handed to an earlier link as well, which was lost (`Delivery.AT_LEAST_ONCE`), and what
    became of it there is not known: a server may refuse a repeat before it looks.
    """

    __slots__ = ()
    packet_id: str
    code: int
    message: str
    may_have_arrived: bool = False


class Failed(Record):
    """No answer came; only if ``may_have_arrived`` is False was the message certainly never sent."""

    __slots__ = ()
    packet_id: str
    reason: FailReason
    may_have_arrived: bool


Verdict = Acknowledged | Rejected | Failed
"""Exactly one for each send."""


# ------------------------------------------------------------------------------------------------------- lifecycle


class EndReason(enum.Enum):
    """Why a session ended."""

    LOGGED_OUT = "logged out"
    CLOSED = "closed by this side"
    KICKED = "another session took this resource"
    LOGIN_REFUSED = "the first login was refused"


class Online(Record):
    """Logged in."""

    __slots__ = ()
    uuid: int
    resource: str


class Offline(Record):
    """Not logged in any more; what the server said of it, ``""`` where the link was lost."""

    __slots__ = ()
    error_type: str = ""
    error_reason: str = ""
    error_desc: str = ""


class LoginRefused(Record):
    """A login was refused; unless `Ended` follows it is tried again."""

    __slots__ = ()
    error_type: str
    error_reason: str
    error_desc: str


class TokenFailed(Record):
    """No usable token was got; it is tried again. ``problem`` names the field and holds no secret."""

    __slots__ = ()
    problem: str


class ResolverFailed(Record):
    """The resolver gave no usable addresses; the frontend's domain is used instead."""

    __slots__ = ()
    problem: str


class LinkLost(Record):
    """A link could not be opened or ended; a new one is opened ``retry_in`` seconds later at the earliest."""

    __slots__ = ()
    host: str
    port: int
    problem: str
    retry_in: float


class Ended(Record):
    """The last event of a session."""

    __slots__ = ()
    reason: EndReason
    error_type: str = ""
    error_reason: str = ""
    error_desc: str = ""


SessionEvent = (
    Acknowledged
    | Rejected
    | Failed
    | MessagesDelivered
    | TooManyWaiting
    | MessagesDropped
    | GroupDismissed
    | Unreadable
    | Online
    | Offline
    | LoginRefused
    | TokenFailed
    | ResolverFailed
    | LinkLost
    | Ended
)
