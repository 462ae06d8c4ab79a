"""Who sends and who receives: users and groups."""

from __future__ import annotations

from .. import pb
from .schema import WireRecord

__all__ = ["Group", "User"]


class User(WireRecord, message=pb.MIMCUser, names={"account": "appAccount"}):
    """One side of a message. In what a client sends, uuid 0 and an empty resource mean: not known (Go)."""

    __slots__ = ()
    app_id: int | None = None
    account: str | None = None
    uuid: int | None = None
    resource: str | None = None
    unknown: bytes = b""


class Group(WireRecord, message=pb.MIMCGroup):
    """A normal or an unlimited group (MIMCGroup and UCGroup have the same fields)."""

    __slots__ = ()
    app_id: int | None = None
    topic_id: int | None = None
    unknown: bytes = b""
