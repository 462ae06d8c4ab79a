"""The hot path: the packets that a busy link sees all day, without the general codec.

Encoders join parts that were built once for a link. The decoder reads the protobuf objects field by field as the
schema does, but in straight lines, and leaves whatever is not plain (unknown fields or types, broken text, missing
fields) to the schema: the two agree on every packet, which the tests check.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from .. import pb
from .frontend import Header
from .messages import ListStatus, P2PMessage, P2TMessage, Packet, PacketAck, PacketList, PacketType
from .parties import Group, User
from .schema import BadPacket
from .wire import encode_tag, encode_varint

__all__ = ["AckEncoder", "HeaderTemplate", "MessageEncoder", "decode_packet"]

_packet = Packet._make
_ack = PacketAck._make
_user = User._make
_group = Group._make
_P2P, _P2T, _ACK, _COMPOUND = (
    int(PacketType.P2P_MESSAGE),
    int(PacketType.P2T_MESSAGE),
    int(PacketType.PACKET_ACK),
    int(PacketType.COMPOUND),
)
_MESSAGES = (_P2P, _P2T)
_SMALL = tuple(bytes([n]) for n in range(128))


def length(size: int) -> bytes:
    """The varint of a length."""
    if size < 128:
        return _SMALL[size]
    if size < 16384:
        return bytes((size & 127 | 128, size >> 7))
    return encode_varint(size)


class HeaderTemplate:
    """The header of all SECMSGs of one link in one direction: it differs from packet to packet only in its id."""

    __slots__ = ("_prefix", "_suffix", "cipher")

    def __init__(self, header: Header) -> None:
        """``header`` is any SECMSG header of that link; its id does not matter."""
        self._prefix = header.replace(
            id=None, dir_flag=None, cipher=None, err_code=None, err_str=None, unknown=b""
        ).encode()
        tail = header.replace(chid=None, uuid=None, server=None, resource=None, cmd="", subcmd=None, id=None).encode()
        self._suffix = tail[len(_EMPTY_COMMAND) :]
        self.cipher = header.cipher

    @classmethod
    def learn(cls, data: bytes, header: Header) -> HeaderTemplate | None:
        """The template of a header that was just decoded from ``data``; None if it cannot stand for others."""
        template = cls(header)
        return template if template.match(data) == header.id else None

    def encode(self, packet_id: bytes) -> bytes:
        """The header with this id."""
        return b"%b:%b%b%b" % (self._prefix, length(len(packet_id)), packet_id, self._suffix)

    def match(self, data: bytes) -> str | None:
        """The id of a header that is otherwise the same; None if it is another one."""
        prefix, suffix = self._prefix, self._suffix
        if not data.startswith(prefix) or not data.endswith(suffix):
            return None
        start = len(prefix)
        packet_id = data[start + 2 : len(data) - len(suffix)]
        if data[start : start + 2] != b":" + length(len(packet_id)):
            return None
        try:
            return packet_id.decode()
        except UnicodeDecodeError:
            return None


_EMPTY_COMMAND = encode_tag(5, 2) + b"\0"


class MessageEncoder:
    """P2P and P2T messages of one bound client: sender and package are the same in all of them."""

    __slots__ = ("_app", "_package", "_sender")

    def __init__(self, sender: User, package: str) -> None:
        """``sender`` has all four fields."""
        encoded = sender.encode()
        self._sender = b"\x0a" + length(len(encoded)) + encoded
        self._app = User(app_id=sender.app_id).encode()
        package_bytes = package.encode()
        self._package = b"\x12%b%b" % (length(len(package_bytes)), package_bytes)

    def p2p(self, packet_id: bytes, account: bytes, payload: bytes, is_store: bool, biz_type: bytes | None) -> bytes:
        """A MIMCPacket with a P2P_MESSAGE to ``account``; all texts as UTF-8."""
        to = b"%b\x12%b%b" % (self._app, length(len(account)), account)
        return self._packet(packet_id, b"\x20\x01", to, payload, is_store, biz_type)

    def p2t(self, packet_id: bytes, topic_id: int, payload: bytes, is_store: bool, biz_type: bytes | None) -> bytes:
        """A MIMCPacket with a P2T_MESSAGE to the group ``topic_id``."""
        to = b"%b\x10%b" % (self._app, encode_varint(topic_id))
        return self._packet(packet_id, b"\x20\x02", to, payload, is_store, biz_type)

    def _packet(
        self, packet_id: bytes, kind: bytes, to: bytes, payload: bytes, is_store: bool, biz_type: bytes | None
    ) -> bytes:
        size = length(len(payload))
        body = b"%b\x12%b%b\x1a%b%b%b" % (
            self._sender,
            length(len(to)),
            to,
            size,
            payload,
            b"\x20\x01" if is_store else b"\x20\x00",
        )
        if biz_type is not None:
            body = b"%b\x2a%b%b" % (body, length(len(biz_type)), biz_type)
        return b"\x0a%b%b%b%b\x2a%b%b" % (
            length(len(packet_id)),
            packet_id,
            self._package,
            kind,
            length(len(body)),
            body,
        )


class AckEncoder:
    """PACKET_ACKs of one bound server link."""

    __slots__ = ("_owner", "_package_inner", "_package_outer")

    def __init__(self, uuid: int, resource: str, package: str) -> None:
        name, package_bytes = resource.encode(), package.encode()
        self._owner = b"\x10%b\x1a%b%b" % (encode_varint(uuid), length(len(name)), name)
        self._package_inner = b"\x32%b%b" % (length(len(package_bytes)), package_bytes)
        self._package_outer = b"\x12%b%b" % (length(len(package_bytes)), package_bytes)

    def encode(
        self,
        outer_id: bytes,
        packet_id: bytes,
        sequence: int,
        timestamp: int,
        code: int,
        error_message: bytes,
        conv_index: int | None,
    ) -> bytes:
        """A MIMCPacket with the ack of ``packet_id``, every field that official clients read present."""
        number, time = encode_varint(sequence), encode_varint(timestamp)
        ack = b"\x0a%b%b%b\x20%b\x28%b%b\x3a%b%b\x40%b" % (
            length(len(packet_id)),
            packet_id,
            self._owner,
            number,
            time,
            self._package_inner,
            length(len(error_message)),
            error_message,
            _SMALL[code] if 0 <= code < 128 else encode_varint(code),
        )
        if conv_index is not None:
            ack += b"\x48" + encode_varint(conv_index)
        return b"\x0a%b%b%b\x18%b\x20\x04\x2a%b%b\x30%b" % (
            length(len(outer_id)),
            outer_id,
            self._package_outer,
            number,
            length(len(ack)),
            ack,
            time,
        )


def decode_packet(data: bytes) -> Packet:
    """`Packet.decode`, several times as fast for messages, acks and lists of messages."""
    try:
        message = pb.MIMCPacket.FromString(data)
    except DecodeError:
        return Packet.decode(data)
    return _read_packet(message, 0) or Packet._from_message(message, "MIMCPacket")


def _read_packet(message: Any, depth: int) -> Packet | None:
    """None: leave it to the schema."""
    kind = message.type
    body: PacketAck | P2PMessage | P2TMessage | PacketList | None
    if kind == _ACK:
        body = _read_ack(message.payload)
    elif kind in _MESSAGES:
        body = _read_message(message.payload, kind) if message.HasField("type") else None
    elif kind == _COMPOUND and not depth:
        body = _read_list(message.payload)
    else:
        return None
    if body is None or len(UnknownFieldSet(message)):
        return None
    has = message.HasField
    packet_id, package = message.packetId, message.package
    if type(packet_id) is not str or type(package) is not str:
        return None
    return _packet(
        (
            packet_id or ("" if has("packetId") else None),
            package or ("" if has("package") else None),
            message.sequence or (0 if has("sequence") else None),
            message.timestamp or (0 if has("timestamp") else None),
            message.conversation or (False if has("conversation") else None),
            message.convIndex or (0 if has("convIndex") else None),
            body,
            b"",
        )
    )


def _read_ack(payload: bytes) -> PacketAck | None:
    try:
        ack = pb.MIMCPacketAck.FromString(payload)
    except DecodeError:
        return None
    packet_id, resource, package, error = ack.packetId, ack.resource, ack.package, ack.errorMsg
    if len(UnknownFieldSet(ack)) or not packet_id:
        return None
    if type(packet_id) is not str or type(resource) is not str or type(package) is not str or type(error) is not str:
        return None
    has = ack.HasField
    return _ack(
        (
            packet_id,
            ack.uuid or (0 if has("uuid") else None),
            resource or ("" if has("resource") else None),
            ack.sequence or (0 if has("sequence") else None),
            ack.timestamp or (0 if has("timestamp") else None),
            package or ("" if has("package") else None),
            error or ("" if has("errorMsg") else None),
            ack.code or (0 if has("code") else None),
            ack.convIndex or (0 if has("convIndex") else None),
            b"",
        )
    )


def _read_message(payload: bytes, kind: int) -> P2PMessage | P2TMessage | None:
    to_user = kind == _P2P
    try:
        message = (pb.MIMCP2PMessage if to_user else pb.MIMCP2TMessage).FromString(payload)
    except DecodeError:
        return None
    has = message.HasField
    if len(UnknownFieldSet(message)) or not has("to"):
        return None
    sender: User | None = None
    if has("from"):
        sender = _read_user(getattr(message, "from"))
        if sender is None:
            return None
    recipient: User | Group | None
    recipient = _read_user(message.to) if to_user else _read_group(message.to)
    biz_type = message.bizType
    if recipient is None or type(biz_type) is not str:
        return None
    return (P2PMessage if to_user else P2TMessage)._make(
        (
            sender,
            recipient,
            message.payload,
            message.isStore or (False if has("isStore") else None),
            biz_type or ("" if has("bizType") else None),
            b"",
        )
    )


def _read_user(user: Any) -> User | None:
    account, resource = user.appAccount, user.resource
    if len(UnknownFieldSet(user)) or type(account) is not str or type(resource) is not str:
        return None
    has = user.HasField
    return _user(
        (
            user.appId or (0 if has("appId") else None),
            account or ("" if has("appAccount") else None),
            user.uuid or (0 if has("uuid") else None),
            resource or ("" if has("resource") else None),
            b"",
        )
    )


def _read_group(group: Any) -> Group | None:
    if len(UnknownFieldSet(group)):
        return None
    has = group.HasField
    return _group(
        (
            group.appId or (0 if has("appId") else None),
            group.topicId or (0 if has("topicId") else None),
            b"",
        )
    )


def _read_list(payload: bytes) -> PacketList | None:
    try:
        packets = pb.MIMCPacketList.FromString(payload)
    except DecodeError:
        return None
    resource, has = packets.resource, packets.HasField
    if len(UnknownFieldSet(packets)) or type(resource) is not str:
        return None
    items: list[Packet | BadPacket] = []
    for index, item in enumerate(packets.packets):
        packet = _read_packet(item, 1)
        items.append(packet or Packet.read_item(item, f"MIMCPacket.COMPOUND.packets[{index}]"))
    return PacketList._make(
        (
            packets.uuid or (0 if has("uuid") else None),
            resource or ("" if has("resource") else None),
            packets.maxSequence or (0 if has("maxSequence") else None),
            tuple(items),
            ListStatus(packets.status) if has("status") else None,
            packets.minSequence or (0 if has("minSequence") else None),
            b"",
        )
    )
