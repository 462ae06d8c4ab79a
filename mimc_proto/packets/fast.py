"""Decoding on the hot path: acks, messages and lists of messages, several times as fast as the schema.

Whatever is not plain (unknown fields or types, broken text, missing fields) is left to the schema, and the two agree
on every packet, which the tests check. Two things make the difference:

- Asking protobuf whether a field is present costs three times as much as reading it. The messages here are MIMC's own
  on the wire, but their defaults are values that nobody sends, so that an absent field shows by its value. All of them
  begin with `MARK` on the wire; a packet with these four bytes anywhere goes to the schema.
- A message is read with what surrounds it in one go, and so is a whole list. That would merge a payload that comes
  twice, and hide unknown fields; so what was read has to come out as the same bytes when it is written again.
- The sides of a message are read as bytes and looked up: a link sees the same few users and groups again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from .._record import new_record
from ..errors import PacketError
from .messages import ListStatus, P2PMessage, P2TMessage, Packet, PacketAck, PacketList, PacketType, SequenceAck
from .parties import Group, User
from .schema import MOST_ITEMS, BadPacket
from .wire import read_varint

__all__ = ["decode_packet", "decode_push", "decode_request"]

MARK = "\U0010fffd".encode()
"""A private-use character, whose four bytes are also the beginning of varints."""

PAYLOAD_TAG, PAYLOAD_TAG_PADDED = b"\x2a", b"\xaa"
"""How the payload's tag begins. Of two payloads the last counts, but an ack that is read in place would merge them."""

NO_TEXT = "\U0010fffd"
NO_INT64 = read_varint(MARK + b"\x81\x82\x83\x84\x05", 0)[0]
NO_INT32 = read_varint(MARK + b"\x07", 0)[0]

_P2P, _P2T, _RECEIPT, _ACK, _COMPOUND = (
    int(PacketType.P2P_MESSAGE),
    int(PacketType.P2T_MESSAGE),
    int(PacketType.SEQUENCE_ACK),
    int(PacketType.PACKET_ACK),
    int(PacketType.COMPOUND),
)

_STORED = {0: False, 1: True, NO_INT64: None}
_STATUSES = {int(status): status for status in ListStatus} | {NO_INT32: None}

_ENVELOPE = (
    "packetId:text package:text sequence:int64 type:int32 payload:{} timestamp:int64 conversation:int64 convIndex:int64"
)
_FAST_MESSAGES = {
    "Ack": "packetId:text uuid:uint64 resource:text sequence:int64 timestamp:int64 package:text errorMsg:text"
    " code:int32 convIndex:int64",
    "AckEnvelope": _ENVELOPE.format("Ack"),
    "Envelope": _ENVELOPE.format("bytes"),
    "Item": _ENVELOPE.format("Message"),
    "List": "uuid:uint64 resource:text maxSequence:int64 packets:Item* status:int32 minSequence:int64",
    "ReceiptEnvelope": _ENVELOPE.format("Receipt"),
    "Receipt": "uuid:uint64 resource:text sequence:int64 appId:uint64",
    "User": "appId:uint64 account:text uuid:uint64 resource:text",
    "Message": "sender:bytes recipient:bytes payload:bytes isStore:int64 bizType:text",
}
_KINDS: dict[str, tuple[FieldDescriptorProto.Type.ValueType, str | int]] = {  # type, default
    "text": (FieldDescriptorProto.TYPE_STRING, NO_TEXT),
    "bytes": (FieldDescriptorProto.TYPE_BYTES, "\\364\\217\\277\\275"),  # MARK, escaped as descriptors have it
    "int64": (FieldDescriptorProto.TYPE_INT64, NO_INT64),
    "uint64": (FieldDescriptorProto.TYPE_UINT64, NO_INT64),
    "int32": (FieldDescriptorProto.TYPE_INT32, NO_INT32),
}


def _message_classes() -> dict[str, Any]:
    """The classes of ``_FAST_MESSAGES``, whose fields are numbered from 1."""
    file = FileDescriptorProto(name="mimc_fast.proto", package="mimc.fast", syntax="proto2")
    for name, fields in _FAST_MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field_name, kind) in enumerate((field.split(":") for field in fields.split()), 1):
            field = message.field.add(name=field_name, number=number, label=3 if kind.endswith("*") else 1)
            if kind in _KINDS:
                field.type = _KINDS[kind][0]
                field.default_value = str(_KINDS[kind][1])
            else:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = f".mimc.fast.{kind.rstrip('*')}"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"mimc.fast.{name}")) for name in _FAST_MESSAGES}


_classes = _message_classes()
_parse_ack_envelope = _classes["AckEnvelope"].FromString
_parse_ack = _classes["Ack"].FromString
_parse_envelope = _classes["Envelope"].FromString
_parse_item = _classes["Item"].FromString
_parse_list = _classes["List"].FromString
_parse_receipt = _classes["ReceiptEnvelope"].FromString
_parse_user = _classes["User"].FromString

MOST_PARTIES = 1024
LONGEST_PARTY = 127
P = TypeVar("P", User, Group)

_users: dict[bytes, User] = {}
_groups: dict[bytes, Group] = {}


def decode_packet(data: bytes) -> Packet:
    """`Packet.decode`, several times as fast for messages, acks and lists of messages."""
    return _plain_packet(data) or Packet.decode(data)


def decode_push(data: bytes) -> Packet | PacketAck:
    """`decode_packet` for a client, faster still for an ack: of that only the ack itself is read and returned."""
    if not (MARK[0] in data and MARK in data) and data.count(PAYLOAD_TAG) == 1 and PAYLOAD_TAG_PADDED not in data:
        try:
            message = _parse_ack_envelope(data)
            if message.type == _ACK and type(message.packetId) is type(message.package) is str:
                ack = _read_ack(message.payload)
                if ack is not None:
                    return ack
        except DecodeError:
            pass
    return decode_packet(data)


def decode_request(data: bytes) -> Packet:
    """`Packet.decode_request`, several times as fast for messages and their acknowledgements."""
    packet = _plain_packet(data, of_client=True)
    return Packet.decode_request(data) if packet is None else packet


def _plain_packet(data: bytes, *, of_client: bool = False) -> Packet | None:
    """None: leave it to the schema. ``of_client``: only what clients send."""
    if MARK[0] in data and MARK in data:  # for one byte alone it looks much faster
        return None
    try:
        item = _parse_item(data)  # whatever it is: its type can be read
        kind = item.type
        if kind in (_P2P, _P2T):
            return _read_item(item) if _is_all(item, data) else None
        if kind == _RECEIPT:
            return _read_receipt(data)
        if of_client:
            return None
        if kind == _COMPOUND:
            return _read_list(_parse_envelope(data))
        if kind == _ACK:
            message = _parse_envelope(data)
            ack = _read_ack(_parse_ack(message.payload))
            return None if ack is None else _envelope(message, ack)
    except (DecodeError, PacketError):
        pass  # the schema says what is wrong
    return None


def _is_all(message: Any, data: bytes) -> bool:
    """Whether the message is all there was: no unknown field, none that came twice, none in another place."""
    message.DiscardUnknownFields()
    return bool(message.SerializeToString() == data)


def _read_ack(ack: Any) -> PacketAck | None:
    """None, here and below: leave it to the schema."""
    resource, packet_id, error, package = ack.resource, ack.packetId, ack.errorMsg, ack.package
    if not type(packet_id) is type(resource) is type(error) is type(package) is str or packet_id == NO_TEXT:
        return None
    if UnknownFieldSet(ack):
        return None
    uuid, sequence, timestamp, code, index = ack.uuid, ack.sequence, ack.timestamp, ack.code, ack.convIndex
    return new_record(
        PacketAck,
        (
            packet_id,
            None if uuid == NO_INT64 else uuid,
            None if resource == NO_TEXT else resource,
            None if sequence == NO_INT64 else sequence,
            None if timestamp == NO_INT64 else timestamp,
            None if package == NO_TEXT else package,
            None if error == NO_TEXT else error,
            None if code == NO_INT32 else code,
            None if index == NO_INT64 else index,
            b"",
        ),
    )


def _read_receipt(data: bytes) -> Packet | None:
    message = _parse_receipt(data)
    receipt = message.payload
    uuid, resource, sequence, app_id = receipt.uuid, receipt.resource, receipt.sequence, receipt.appId
    if type(resource) is not str or sequence == NO_INT64 or not _is_all(message, data):
        return None
    body = new_record(
        SequenceAck,
        (
            None if uuid == NO_INT64 else uuid,
            None if resource == NO_TEXT else resource,
            sequence,
            None if app_id == NO_INT64 else app_id,
            b"",
        ),
    )
    return _packet(message, body)


def _envelope(message: Any, body: PacketAck | PacketList) -> Packet | None:
    return None if UnknownFieldSet(message) else _packet(message, body)


def _packet(message: Any, body: PacketAck | P2PMessage | P2TMessage | PacketList | SequenceAck) -> Packet | None:
    """What surrounds a body, with it; that there is nothing else was seen before."""
    packet_id, package, sequence = message.packetId, message.package, message.sequence
    timestamp, conversation, index = message.timestamp, message.conversation, message.convIndex
    if not type(packet_id) is type(package) is str:
        return None
    return new_record(
        Packet,
        (
            None if packet_id == NO_TEXT else packet_id,
            None if package == NO_TEXT else package,
            None if sequence == NO_INT64 else sequence,
            None if timestamp == NO_INT64 else timestamp,
            None if conversation == NO_INT64 else conversation != 0,
            None if index == NO_INT64 else index,
            body,
            b"",
        ),
    )


def _read_item(item: Any) -> Packet | None:
    """A message with what surrounds it."""
    message = item.payload
    sender_bytes, recipient_bytes, payload = message.sender, message.recipient, message.payload
    store, kind = message.isStore, message.bizType
    if type(kind) is not str or payload == MARK or store not in _STORED:
        return None
    sender = _users.get(sender_bytes) or _party(_read_user, sender_bytes, _users)
    is_store, biz_type = _STORED[store], None if kind == NO_TEXT else kind
    if item.type == _P2P:
        to_user = _users.get(recipient_bytes) or _party(_read_user, recipient_bytes, _users)
        return _packet(item, new_record(P2PMessage, (sender, to_user, payload, is_store, biz_type, b"")))
    to_group = _groups.get(recipient_bytes) or _party(Group.decode, recipient_bytes, _groups)
    return _packet(item, new_record(P2TMessage, (sender, to_group, payload, is_store, biz_type, b"")))


def _read_user(data: bytes) -> User:
    """`User.decode`: a server with more users than are remembered does it for every message."""
    user = _parse_user(data)
    app_id, account, uuid, resource = user.appId, user.account, user.uuid, user.resource
    if not type(account) is type(resource) is str or not _is_all(user, data):
        return User.decode(data)
    return new_record(
        User,
        (
            None if app_id == NO_INT64 else app_id,
            None if account == NO_TEXT else account,
            None if uuid == NO_INT64 else uuid,
            None if resource == NO_TEXT else resource,
            b"",
        ),
    )


def _party(read: Callable[[bytes], P], data: bytes, known: dict[bytes, P]) -> P:
    """A user or group that was not seen yet; remembered, but not without end."""
    party = read(data)
    if len(data) <= LONGEST_PARTY:
        if len(known) >= MOST_PARTIES:
            known.clear()
        known[data] = party
    return party


def _read_list(envelope: Any) -> Packet | None:
    data = envelope.payload
    packets = _parse_list(data)
    resource, status = packets.resource, packets.status
    if type(resource) is not str or len(packets.packets) > MOST_ITEMS or status not in _STATUSES:
        return None
    if not _is_all(packets, data):
        return None
    items: list[Packet | BadPacket] = []
    for item in packets.packets:
        packet = _read_item(item) if item.type in (_P2P, _P2T) else None
        if packet is None:
            return None
        items.append(packet)
    uuid, limit, least = packets.uuid, packets.maxSequence, packets.minSequence
    body = new_record(
        PacketList,
        (
            None if uuid == NO_INT64 else uuid,
            None if resource == NO_TEXT else resource,
            None if limit == NO_INT64 else limit,
            tuple(items),
            _STATUSES[status],
            None if least == NO_INT64 else least,
            b"",
        ),
    )
    return _envelope(envelope, body)
