"""Packets of unlimited groups (UC): online fan-out, nothing stored for the absent (wire.md section 6)."""

from __future__ import annotations

import enum

from .. import pb
from .._record import Record
from .parties import Group, User
from .schema import Envelope, RawBody, UnknownBody, WireRecord

__all__ = [
    "UcDismiss",
    "UcJoin",
    "UcJoinAnswer",
    "UcMessage",
    "UcMessageList",
    "UcOnlineUsersAnswer",
    "UcOnlineUsersQuery",
    "UcPacket",
    "UcPing",
    "UcPong",
    "UcQuit",
    "UcQuitAnswer",
    "UcSequenceAck",
    "UcType",
]


class UcType(enum.IntEnum):
    """The values of ``UCPacket.type``."""

    PING = 1
    PONG = 2
    JOIN = 3
    JOIN_RESP = 4
    QUIT = 5
    QUIT_RESP = 6
    SEQ_ACK = 7
    MESSAGE = 8
    MESSAGE_LIST = 9
    DISMISS = 10
    QUERY_ONLINE_USERS = 11
    QUERY_ONLINE_USERS_RESP = 12


class UcPing(WireRecord, message=pb.UCPing, names={"groups": "group"}, records={"groups": Group}):
    """All groups the client has joined, every 10 s: keeps the membership alive. May name a group twice (WebJS)."""

    __slots__ = ()
    groups: tuple[Group, ...] = ()
    unknown: bytes = b""


class UcPong(RawBody):
    """The answer to a UC ping; its payload is empty or unspecified."""

    __slots__ = ()


class UcJoin(WireRecord, message=pb.UCJoin, records={"group": Group}):
    """A request to join; anyone may."""

    __slots__ = ()
    group: Group
    unknown: bytes = b""


class UcJoinAnswer(WireRecord, message=pb.UCJoinResp, names={"text": "message"}, records={"group": Group}):
    """The answer to a join; code 0 is success."""

    __slots__ = ()
    group: Group
    code: int
    text: str | None = None
    unknown: bytes = b""


class UcQuit(WireRecord, message=pb.UCQuit, records={"group": Group}):
    """A request to leave a group."""

    __slots__ = ()
    group: Group
    unknown: bytes = b""


class UcQuitAnswer(WireRecord, message=pb.UCQuitResp, names={"text": "message"}, records={"group": Group}):
    """The answer to a quit; code 0 is success."""

    __slots__ = ()
    group: Group
    code: int
    text: str | None = None
    unknown: bytes = b""


class UcSequenceAck(WireRecord, message=pb.UCSequenceAck, records={"group": Group}):
    """Acknowledges a message list, up to its ``max_sequence``."""

    __slots__ = ()
    group: Group
    sequence: int
    unknown: bytes = b""


class UcMessage(WireRecord, message=pb.UCMessage, records={"group": Group, "user": User}):
    """One message of an unlimited group; the server fills in ``sequence`` and ``timestamp`` (milliseconds)."""

    __slots__ = ()
    group: Group
    payload: bytes
    sequence: int | None = None
    is_store: bool | None = None
    user: User | None = None
    timestamp: int | None = None
    packet_id: str | None = None
    biz_type: str | None = None
    unknown: bytes = b""


class UcMessageList(
    WireRecord,
    message=pb.UCMessageList,
    names={"messages": "message"},
    records={"group": Group, "messages": UcMessage},
):
    """What the members who are online get; answered with `UcSequenceAck`."""

    __slots__ = ()
    group: Group
    messages: tuple[UcMessage, ...] = ()
    max_sequence: int | None = None
    unknown: bytes = b""


class UcDismiss(WireRecord, message=pb.UCDismiss, records={"group": Group}):
    """The owner dissolved the group."""

    __slots__ = ()
    group: Group
    unknown: bytes = b""


class UcOnlineUsersQuery(WireRecord, message=pb.UCQueryOnlineUsers, records={"group": Group}):
    """Asks how many members are online."""

    __slots__ = ()
    group: Group
    unknown: bytes = b""


class UcOnlineUsersAnswer(WireRecord, message=pb.UCQueryOnlineUsersResp, records={"group": Group}):
    """How many members are online."""

    __slots__ = ()
    group: Group
    user_count: int
    unknown: bytes = b""


UC_BODIES: dict[int, type[Record]] = {
    UcType.PING: UcPing,
    UcType.PONG: UcPong,
    UcType.JOIN: UcJoin,
    UcType.JOIN_RESP: UcJoinAnswer,
    UcType.QUIT: UcQuit,
    UcType.QUIT_RESP: UcQuitAnswer,
    UcType.SEQ_ACK: UcSequenceAck,
    UcType.MESSAGE: UcMessage,
    UcType.MESSAGE_LIST: UcMessageList,
    UcType.DISMISS: UcDismiss,
    UcType.QUERY_ONLINE_USERS: UcOnlineUsersQuery,
    UcType.QUERY_ONLINE_USERS_RESP: UcOnlineUsersAnswer,
}

UcBody = (
    UcPing
    | UcPong
    | UcJoin
    | UcJoinAnswer
    | UcQuit
    | UcQuitAnswer
    | UcSequenceAck
    | UcMessage
    | UcMessageList
    | UcDismiss
    | UcOnlineUsersQuery
    | UcOnlineUsersAnswer
    | UnknownBody
)


class UcPacket(Envelope, message=pb.UCPacket, records={"user": User}, bodies=UC_BODIES):
    """The envelope of unlimited groups. Downwards ``user`` is the *receiver*."""

    __slots__ = ()
    user: User
    packet_id: str
    body: UcBody
    unknown: bytes = b""
