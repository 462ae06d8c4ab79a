"""What a service tells for logs and metrics. `ServiceEvent` is a closed union; nothing in it is secret."""

from __future__ import annotations

import enum

from mimc_proto._record import Record
from mimc_proto.errors import MimcError
from mimc_proto.events import CloseReason

from ..store import AckCode, Kind

__all__ = [
    "CallbackFailed",
    "Dropped",
    "EndReason",
    "HintLost",
    "LinkEnded",
    "LoggedIn",
    "LoggedOut",
    "LoginRefused",
    "MessageRefused",
    "PacketIgnored",
    "ServiceEvent",
    "StoreFailed",
]


class EndReason(enum.Enum):
    """Why a session ended."""

    LOGGED_OUT = "the client logged out"
    LINK_ENDED = "its link ended"
    TAKEN_OVER = "another link took over"
    TOKEN_EXPIRED = "its token expired, or was revoked"
    KICKED = "it was kicked"
    REFUSED = "it tried to log in again and was refused"
    REPLACED = "another user logged in on its link"


class LinkEnded(Record):
    """A link ended; ``error`` is what the peer broke, if it did."""

    __slots__ = ()
    link_id: int
    peer: str
    reason: CloseReason
    error: MimcError | None = None


class LoggedIn(Record):
    """A session began, or logged in once more on its link (then with the epoch it had)."""

    __slots__ = ()
    link_id: int
    app_id: int
    account: str
    uuid: int
    resource: str
    epoch: int
    peer: str = ""


class LoginRefused(Record):
    """A BIND was refused; ``reason`` is what the client was told."""

    __slots__ = ()
    link_id: int
    reason: str
    description: str = ""
    peer: str = ""


class LoggedOut(Record):
    """A session ended."""

    __slots__ = ()
    link_id: int
    account: str
    uuid: int
    resource: str
    reason: EndReason


class MessageRefused(Record):
    """A message was not taken; the sender was told so."""

    __slots__ = ()
    account: str
    uuid: int
    resource: str
    packet_id: str
    kind: Kind
    code: AckCode


class PacketIgnored(Record):
    """A packet that cannot be read or means nothing to a service."""

    __slots__ = ()
    link_id: int
    what: str


class Dropped(Record):
    """A packet did not reach a session: its link is full, or the packet cannot be sent (``error``).

    Of stored messages only those are dropped that cannot be sent to anybody; for a full link they wait in the store.
    """

    __slots__ = ()
    account: str
    uuid: int
    resource: str
    what: str
    error: MimcError


class StoreFailed(Record):
    """The store failed at this; messages were refused, and what can be is tried again."""

    __slots__ = ()
    what: str
    error: MimcError


class CallbackFailed(Record):
    """A callback that was given to `Service.push` raised: a mistake of the application. Its message is stored or
    refused as it is, and everybody else's go on."""

    __slots__ = ()
    error: Exception


class HintLost(Record):
    """More hints of this kind wait than are kept, and from now on until they are taken the other nodes miss some:
    `mimc_server.service.hints` says for each kind what that means. The driver does not call `Service.hints`, or not
    often enough."""

    __slots__ = ()
    what: str


ServiceEvent = (
    LinkEnded
    | LoggedIn
    | LoginRefused
    | LoggedOut
    | MessageRefused
    | PacketIgnored
    | Dropped
    | HintLost
    | StoreFailed
    | CallbackFailed
)
