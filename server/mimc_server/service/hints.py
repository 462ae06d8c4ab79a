"""What nodes tell each other. A lost hint does no harm: the sweep finds messages, the store tells of takeovers."""

from __future__ import annotations

from mimc_proto._record import Record

from ..store import NewMessage, Stored

__all__ = [
    "Committed",
    "Hint",
    "KickRequested",
    "OnlineAcked",
    "SessionEnded",
    "TakenOver",
    "UcDismissed",
    "UcLeft",
]


class Committed(Record):
    """Messages were stored, in the order of their sequences; repeats and refused ones are not among them."""

    __slots__ = ()
    items: tuple[tuple[NewMessage, Stored], ...]


class TakenOver(Record):
    """``node`` held this resource, and now a session with this epoch does, on another node."""

    __slots__ = ()
    node: str
    uuid: int
    resource: str
    epoch: int


class SessionEnded(Record):
    """The session that took this resource from ``node`` has ended."""

    __slots__ = ()
    node: str
    uuid: int
    resource: str
    epoch: int


class OnlineAcked(Record):
    """The receiver of an online message got it; for the session that sent it."""

    __slots__ = ()
    app_id: int
    uuid: int
    resource: str
    packet_id: str
    code: int
    error_message: str | None


class KickRequested(Record):
    """Somebody had a user kicked: one resource, or all (None)."""

    __slots__ = ()
    uuid: int
    resource: str | None
    reason: str
    description: str = ""


class UcLeft(Record):
    """These users are in an unlimited group no more."""

    __slots__ = ()
    app_id: int
    topic_id: int
    uuids: tuple[int, ...]


class UcDismissed(Record):
    """An unlimited group was dissolved."""

    __slots__ = ()
    app_id: int
    topic_id: int


Hint = Committed | TakenOver | SessionEnded | OnlineAcked | KickRequested | UcLeft | UcDismissed
