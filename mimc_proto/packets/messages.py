"""MIMCPacket and everything it carries (wire.md section 5)."""

from __future__ import annotations

import enum
from typing import Any

from .. import pb
from .._record import Record
from ..errors import PacketError
from .parties import Group, User
from .schema import BadPacket, Envelope, RawBody, UnknownBody, WireRecord, parse
from .unlimited import UcPacket

__all__ = [
    "Body",
    "ListStatus",
    "OnlineMessage",
    "OnlineMessageAck",
    "P2PMessage",
    "P2PPush",
    "P2TMessage",
    "P2TPush",
    "Packet",
    "PacketAck",
    "PacketList",
    "PacketType",
    "Pull",
    "RtsSignal",
    "SequenceAck",
]


class PacketType(enum.IntEnum):
    """The values of ``MIMCPacket.type``."""

    P2P_MESSAGE = 1
    P2T_MESSAGE = 2
    SEQUENCE_ACK = 3
    PACKET_ACK = 4
    PULL = 5
    COMPOUND = 6
    RTS_SIGNAL = 7
    UC_PACKET = 8
    P2P_PUSH_MESSAGE = 9
    P2T_PUSH_MESSAGE = 10
    ONLINE_MESSAGE = 11
    ONLINE_MESSAGE_ACK = 12


class ListStatus(enum.IntEnum):
    """The values of ``MIMCPacketList.status``; absent counts as NORMAL."""

    NORMAL = 1
    EXCEED_COUNT_LIMIT = 2


PARTIES = {"sender": "from", "recipient": "to"}


class _UserMessage(WireRecord, message=pb.MIMCP2PMessage, names=PARTIES, records={"sender": User, "recipient": User}):
    __slots__ = ()
    sender: User | None = None
    recipient: User
    payload: bytes = b""
    is_store: bool | None = None
    biz_type: str | None = None
    unknown: bytes = b""


class P2PMessage(_UserMessage):
    """A message from a user to a user. ``is_store`` absent counts as True."""

    __slots__ = ()


class OnlineMessage(_UserMessage):
    """A message to a user who is online now; never stored."""

    __slots__ = ()


class P2TMessage(WireRecord, message=pb.MIMCP2TMessage, names=PARTIES, records={"sender": User, "recipient": Group}):
    """A message from a user to a normal group (topic)."""

    __slots__ = ()
    sender: User | None = None
    recipient: Group
    payload: bytes = b""
    is_store: bool | None = None
    biz_type: str | None = None
    unknown: bytes = b""


class SequenceAck(WireRecord, message=pb.MIMCSequenceAck):
    """Everything up to ``sequence`` was received by this resource. C# leaves ``app_id`` out."""

    __slots__ = ()
    uuid: int | None = None
    resource: str | None = None
    sequence: int
    app_id: int | None = None
    unknown: bytes = b""


class PacketAck(WireRecord, message=pb.MIMCPacketAck, names={"error_message": "errorMsg"}):
    """The server's verdict on the message ``packet_id``; ``timestamp`` in milliseconds, 0 is acceptance."""

    __slots__ = ()
    packet_id: str
    uuid: int | None = None
    resource: str | None = None
    sequence: int | None = None
    timestamp: int | None = None
    package: str | None = None
    error_message: str | None = None
    code: int | None = None
    conv_index: int | None = None
    unknown: bytes = b""


class Pull(WireRecord, message=pb.PullMessageRequest, required={"uuid", "resource"}):
    """Asks for the messages that wait."""

    __slots__ = ()
    uuid: int | None = None
    resource: str | None = None
    app_id: int | None = None
    unknown: bytes = b""


class OnlineMessageAck(WireRecord, message=pb.MIMCOnlineMessageAck, names={"error_message": "errorMsg"}):
    """A receiver's answer to an online message; uuid and resource are those of the message's *sender*."""

    __slots__ = ()
    packet_id: str
    uuid: int | None = None
    resource: str | None = None
    code: int
    error_message: str | None = None
    unknown: bytes = b""


class P2PPush(
    WireRecord,
    message=pb.P2PPushMesage,
    names={"sender": "from", "recipients": "to"},
    records={"sender": User, "recipients": User},
):
    """A push of the application's server to users."""

    __slots__ = ()
    sender: User | None = None
    recipients: tuple[User, ...] = ()
    payload: bytes = b""
    is_store: bool | None = None
    biz_type: str | None = None
    is_system_msg: bool | None = None
    unknown: bytes = b""


class P2TPush(
    WireRecord,
    message=pb.P2TPushMesage,
    names={"sender": "from", "recipients": "to"},
    records={"sender": User, "recipients": Group},
):
    """A push of the application's server to groups."""

    __slots__ = ()
    sender: User | None = None
    recipients: tuple[Group, ...] = ()
    payload: bytes = b""
    is_store: bool | None = None
    biz_type: str | None = None
    is_system_msg: bool | None = None
    unknown: bytes = b""


class RtsSignal(RawBody):
    """Call signalling, kept opaque: this version does not speak real-time streams."""

    __slots__ = ()


BODIES: dict[int, type[Record]] = {
    PacketType.P2P_MESSAGE: P2PMessage,
    PacketType.P2T_MESSAGE: P2TMessage,
    PacketType.SEQUENCE_ACK: SequenceAck,
    PacketType.PACKET_ACK: PacketAck,
    PacketType.PULL: Pull,
    PacketType.RTS_SIGNAL: RtsSignal,
    PacketType.UC_PACKET: UcPacket,
    PacketType.P2P_PUSH_MESSAGE: P2PPush,
    PacketType.P2T_PUSH_MESSAGE: P2TPush,
    PacketType.ONLINE_MESSAGE: OnlineMessage,
    PacketType.ONLINE_MESSAGE_ACK: OnlineMessageAck,
}


class Packet(Envelope, message=pb.MIMCPacket, bodies=BODIES):
    """MIMCPacket: what every SECMSG carries. Sequence and timestamp (milliseconds) come from the server."""

    __slots__ = ()
    packet_id: str | None = None
    package: str | None = None
    sequence: int | None = None
    timestamp: int | None = None
    conversation: bool | None = None
    conv_index: int | None = None
    body: Body
    unknown: bytes = b""

    @classmethod
    def decode_request(cls, data: bytes) -> Packet:
        """`decode` for a server: no client sends lists, and a hostile one would cost a server dearly to read."""
        where = "MIMCPacket"
        message = parse(cls.message, data, where)
        if message.type == PacketType.COMPOUND:
            raise PacketError("a client sends no lists", where=f"{where}.type")
        return cls._from_message(message, where)

    @classmethod
    def read_item(cls, message: Any, where: str) -> Packet | BadPacket:
        """A packet inside a list: a broken one is kept as `BadPacket`, or it would come back at every login."""
        try:
            if message.type == PacketType.COMPOUND:
                raise PacketError("a list cannot hold a list", where=where)
            return cls._from_message(message, where)
        except PacketError as error:
            packet_id = message.packetId if type(message.packetId) is str else None
            sequence = message.sequence if message.HasField("sequence") else None
            return BadPacket(error=error, packet_id=packet_id or None, sequence=sequence, inside_list=True)


class PacketList(WireRecord, message=pb.MIMCPacketList, records={"packets": Packet}, enums={"status": ListStatus}):
    """COMPOUND: messages to deliver and acknowledge up to ``max_sequence``, or the notice that too many wait."""

    __slots__ = ()
    uuid: int | None = None
    resource: str | None = None
    max_sequence: int | None = None
    packets: tuple[Packet | BadPacket, ...] = ()
    status: ListStatus | int | None = None
    min_sequence: int | None = None
    unknown: bytes = b""


Packet.register(PacketType.COMPOUND, PacketList)

Body = (
    P2PMessage
    | P2TMessage
    | SequenceAck
    | PacketAck
    | Pull
    | PacketList
    | RtsSignal
    | UcPacket
    | P2PPush
    | P2TPush
    | OnlineMessage
    | OnlineMessageAck
    | UnknownBody
)
