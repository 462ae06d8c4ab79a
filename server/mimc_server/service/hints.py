"""What nodes tell each other. A hint may be lost: each says what becomes of it then.

What must hold is never left to a hint. The sweep (`ServiceConfig.sweep_interval`) asks the store about every session,
and membership of unlimited groups is looked up again every ``uc_timeout``.
"""

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
    """Messages were stored, in the order of their sequences; repeats and refused ones are not among them.

    Lost: the sweep finds what lies in an inbox; what is kept for nobody (unlimited groups, online messages) does not
    come.
    """

    __slots__ = ()
    items: tuple[tuple[NewMessage, Stored], ...]


class TakenOver(Record):
    """``node`` held this resource, and now a session with this epoch does, on another node.

    Lost: the store refuses what the old session sends, and the sweep ends it.
    """

    __slots__ = ()
    node: str
    uuid: int
    resource: str
    epoch: int


class SessionEnded(Record):
    """The session that took this resource from ``node`` has ended.

    Lost: links that it displaced are refused as long as they live; their clients need new ones.
    """

    __slots__ = ()
    node: str
    uuid: int
    resource: str
    epoch: int


class OnlineAcked(Record):
    """The receiver of an online message got it; for the session that sent it.

    Lost: the sender waits in vain, as for a receiver who is offline.
    """

    __slots__ = ()
    app_id: int
    uuid: int
    resource: str
    receiver: int
    """The uuid of who says so."""
    packet_id: str
    code: int
    error_message: str | None


class KickRequested(Record):
    """Somebody had a user kicked: one resource, or all (None).

    Lost: the sweep ends sessions whose tokens were revoked; after any other kick they stay online.
    """

    __slots__ = ()
    uuid: int
    resource: str | None
    reason: str
    description: str = ""


class UcLeft(Record):
    """These users are in an unlimited group no more.

    Lost: they get its messages until their membership is looked up again, for at most twice ``uc_timeout``.
    """

    __slots__ = ()
    app_id: int
    topic_id: int
    uuids: tuple[int, ...]


class UcDismissed(Record):
    """An unlimited group was dissolved.

    Lost: its members are not told, and the store refuses what they send to it.
    """

    __slots__ = ()
    app_id: int
    topic_id: int


Hint = Committed | TakenOver | SessionEnded | OnlineAcked | KickRequested | UcLeft | UcDismissed
