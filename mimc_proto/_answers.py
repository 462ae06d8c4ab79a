"""What a server may send to a bound client, with everything filled in and checked that official clients need.

The Go client panics on an ack without packetId, a list without resource or an inner packet without type, sequence,
from or to; Java, Go and WebJS drop a list that names another receiver (clients.md rules 9, 11, 12, 16, 19). A packet
that is not of the kinds here cannot be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._checks import MAX_ID, check_text
from .config import ServerConfig
from .errors import LocalProtocolError
from .packets import (
    Body,
    Group,
    ListStatus,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    UcDismiss,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcOnlineUsersAnswer,
    UcPacket,
    UcPong,
    UcQuitAnswer,
    User,
)
from .packets.encoders import AckEncoder
from .packets.lists import END_OF_NUMBERS, ListEncoder, ListItem
from .packets.schema import without_unknown

__all__ = ["Answer", "AnswerEncoder"]

UcAnswer = UcPong | UcJoinAnswer | UcQuitAnswer | UcMessageList | UcDismiss | UcOnlineUsersAnswer
Answer = PacketAck | PacketList | list[ListItem] | OnlineMessage | OnlineMessageAck | UcAnswer

_UC_PUSHES = (UcMessageList, UcDismiss)
_UC_ANSWERS = (UcPong, UcJoinAnswer, UcQuitAnswer, UcOnlineUsersAnswer)

CODES = range(-(1 << 31), 1 << 31)


class AnswerEncoder:
    """Encodes the MIMCPackets for one bound user."""

    __slots__ = ("_acks", "_config", "_lists", "_package", "_user")

    def __init__(self, user: User, package: str, config: ServerConfig) -> None:
        """``user`` has all four fields: the receiver of everything that is sent. Raises `LocalProtocolError` if not."""
        for name in ("app_id", "account", "uuid", "resource"):
            if getattr(user, name) is None:
                raise LocalProtocolError("expected a value, got none", where=name)
        self._user = user
        self._package = package
        self._config = config
        self._acks = AckEncoder(user.uuid or 0, user.resource or "", package)
        self._lists = ListEncoder(user.uuid or 0, user.resource or "", package)

    def encode(self, body: Answer, own_id: bytes, packet_id: str | None, timestamp: int | None) -> bytes:
        """A MIMCPacket; ``own_id`` is the server's, for what answers no request.

        Raises `LocalProtocolError` that names the field a client would stumble over.
        """
        if type(body) is PacketAck:
            return self._ack(body, own_id)
        if type(body) is list:
            return self._items(body, own_id)
        if type(body) is PacketList:
            return self._list(body, own_id)
        if type(body) in _UC_PUSHES:
            packet_id = packet_id or own_id.decode()
        elif not isinstance(body, (*_UC_ANSWERS, OnlineMessage, OnlineMessageAck)):
            raise LocalProtocolError(f"a server sends no {type(body).__name__}", where="send")
        elif not packet_id:
            raise LocalProtocolError("expected the packet id of the request, got none", where="packet_id")
        check_text(packet_id, "packet_id", MAX_ID)
        if timestamp is not None:
            _number(timestamp, "Packet.timestamp")
        encoded = self._envelope(packet_id, self._complete(body, packet_id), timestamp)
        return self._check_size(encoded, "UcMessageList") if type(body) is UcMessageList else encoded

    def _envelope(self, packet_id: str, body: Body, timestamp: int | None, sequence: int | None = None) -> bytes:
        packet = Packet(packet_id=packet_id, package=self._package, sequence=sequence, timestamp=timestamp, body=body)
        return bytes(without_unknown(packet).encode())  # an unknown field could undo what was checked

    # -------------------------------------------------------------------------------------------------------- acks

    def _ack(self, ack: PacketAck, own_id: bytes) -> bytes:
        packet_id, uuid, resource, sequence, timestamp, _, error, code, index, _ = ack
        if uuid is not None or resource is not None:
            self._check_owner(uuid, resource, "PacketAck")
        sequence, timestamp = sequence or 0, timestamp or 0
        good = type(sequence) is type(timestamp) is int and 0 <= sequence < END_OF_NUMBERS
        if not good or not 0 <= timestamp < END_OF_NUMBERS:
            _number(sequence, "PacketAck.sequence")
            _number(timestamp, "PacketAck.timestamp")
        if type(packet_id) is not str or not 0 < len(packet_id) <= MAX_ID or not packet_id.isascii():
            check_text(packet_id, "PacketAck.packet_id", 8192)
        return self._acks.encode(
            own_id,
            packet_id.encode(),
            sequence,
            timestamp,
            _code(code, "PacketAck.code") if code else 0,
            check_text(error, "PacketAck.error_message", 8192).encode() if error else b"",
            None if index is None else _number(index, "PacketAck.conv_index"),
        )

    def _check_owner(self, uuid: int | None, resource: str | None, where: str) -> None:
        """Uuid and resource may be left out; given, they have to be the receiver's."""
        if uuid not in (None, self._user.uuid):
            raise LocalProtocolError(f"expected the receiver's {self._user.uuid}, got {uuid}", where=f"{where}.uuid")
        if resource not in (None, self._user.resource):
            raise LocalProtocolError(
                f"expected the receiver's {self._user.resource}, got {resource}", where=f"{where}.resource"
            )

    # ------------------------------------------------------------------------------------------------------- lists

    def _list(self, packets: PacketList, own_id: bytes) -> bytes:
        self._check_owner(packets.uuid, packets.resource, "PacketList")
        items = self._inner_packets(packets.packets)
        last = items[-1].sequence if items else 0
        limit = self._limit(packets.max_sequence, last, "PacketList.max_sequence")
        status = ListStatus.NORMAL if packets.status is None else packets.status
        if status == ListStatus.EXCEED_COUNT_LIMIT:
            if items or packets.min_sequence is None or packets.max_sequence is None:
                raise LocalProtocolError(
                    "expected min_sequence, max_sequence and no packets in a limit notice", where="PacketList"
                )
            return self._notice(packets, own_id)
        if status != ListStatus.NORMAL:
            raise LocalProtocolError(f"expected NORMAL or EXCEED_COUNT_LIMIT, got {status}", where="PacketList.status")
        if packets.min_sequence is not None:
            raise LocalProtocolError("expected it in a limit notice only", where="PacketList.min_sequence")
        if not items or limit < last:
            raise LocalProtocolError(
                f"expected packets up to max_sequence {limit}, got {len(items)} up to {last}",
                where="PacketList.packets",
            )
        return self._check_size(self._lists.encode(own_id, items, limit), "PacketList")

    def _items(self, items: list[ListItem], own_id: bytes) -> bytes:
        """A list of messages that were checked when they were encoded."""
        self._check_count(items, "PacketList.packets")
        last = 0
        for item in items:
            if item[0] <= last:
                raise LocalProtocolError(f"expected a sequence above {last}, got {item[0]}", where="PacketList.packets")
            last = item[0]
        if not last:
            raise LocalProtocolError("expected at least one message, got none", where="PacketList.packets")
        return self._check_size(self._lists.encode(own_id, items, last), "PacketList")

    def _notice(self, packets: PacketList, own_id: bytes) -> bytes:
        full = packets.replace(uuid=self._user.uuid, resource=self._user.resource)
        return self._envelope(own_id.decode(), full, None, packets.max_sequence)

    @staticmethod
    def _limit(given: int | None, last: int, where: str) -> int:
        return last if given is None else _number(given, where)

    def _check_count(self, items: Sequence[object], where: str) -> None:
        if len(items) > self._config.max_list_messages:
            raise LocalProtocolError(
                f"expected at most {self._config.max_list_messages} (max_list_messages), got {len(items)}",
                where=where,
            )

    def _check_size(self, encoded: bytes, where: str) -> bytes:
        if len(encoded) > self._config.max_list_bytes:
            raise LocalProtocolError(
                f"expected at most {self._config.max_list_bytes} bytes (max_list_bytes), got {len(encoded)}",
                where=where,
            )
        return encoded

    def _inner_packets(self, packets: tuple[object, ...]) -> list[ListItem]:
        """The packets, checked and encoded."""
        if type(packets) is not tuple:
            raise LocalProtocolError(f"expected a tuple, got {type(packets).__name__}", where="PacketList.packets")
        self._check_count(packets, "PacketList.packets")
        last = 0
        checked = []
        for index, packet in enumerate(packets):
            where = f"PacketList.packets[{index}]"
            if type(packet) is not Packet or type(packet.body) not in (P2PMessage, P2TMessage):
                raise LocalProtocolError("expected a Packet with a P2PMessage or P2TMessage", where=where)
            sender: Any = packet.body.sender  # type: ignore[union-attr]  # checked above
            if not packet.packet_id or not isinstance(sender, User) or not sender.account:
                raise LocalProtocolError("expected packet_id and sender with its account", where=where)
            sequence = _number(packet.sequence, f"{where}.sequence")
            if sequence <= last:
                raise LocalProtocolError(f"expected a sequence above {last}, got {sequence}", where=where)
            last = sequence
            _number(packet.timestamp, f"{where}.timestamp")
            checked.append(ListItem.of(packet if packet.package is not None else packet.replace(package=self._package)))
        return checked

    # ------------------------------------------------------------------------------------------ groups and the rest

    def _complete(self, body: Answer, packet_id: str) -> Body:
        if isinstance(body, OnlineMessage):
            sender = body.sender
            if not isinstance(sender, User) or not sender.account or sender.uuid is None or sender.resource is None:
                raise LocalProtocolError(  # the receiver's ack finds its way back by uuid and resource
                    "expected a sender with account, uuid and resource", where="OnlineMessage.sender"
                )
            return body
        if isinstance(body, OnlineMessageAck):
            own = {"uuid": self._user.uuid, "resource": self._user.resource}
            return body.replace(**{name: value for name, value in own.items() if getattr(body, name) is None})
        group = getattr(body, "group", None)
        if isinstance(group, Group) and (group.app_id is None or group.topic_id is None):
            raise LocalProtocolError("expected a group with app_id and topic_id", where=f"{type(body).__name__}.group")
        if isinstance(body, (UcJoinAnswer, UcQuitAnswer)):
            body = body.replace(text=body.text or "")
        elif isinstance(body, UcMessageList):
            body = self._message_list(body)
        return UcPacket(user=self._user, packet_id=packet_id, body=body)  # type: ignore[arg-type]  # acks and lists went elsewhere

    def _message_list(self, messages: UcMessageList) -> UcMessageList:
        if type(messages.messages) is not tuple:
            got = type(messages.messages).__name__
            raise LocalProtocolError(f"expected a tuple, got {got}", where="UcMessageList.messages")
        self._check_count(messages.messages, "UcMessageList.messages")
        last = 0
        for index, message in enumerate(messages.messages):
            where = f"UcMessageList.messages[{index}]"
            if type(message) is not UcMessage or message.user is None or not message.packet_id:
                raise LocalProtocolError("expected a UcMessage with user and packet_id", where=where)
            sequence = _number(message.sequence, f"{where}.sequence")
            if sequence <= last:
                raise LocalProtocolError(f"expected a sequence above {last}, got {sequence}", where=where)
            last = sequence
        limit = self._limit(messages.max_sequence, last, "UcMessageList.max_sequence")
        if not last or limit < last:
            raise LocalProtocolError(f"expected messages up to max_sequence {limit}", where="UcMessageList")
        return messages.replace(max_sequence=limit)


def _number(value: int | None, where: str) -> int:
    if type(value) is not int or not 0 <= value < END_OF_NUMBERS:
        raise LocalProtocolError(f"expected a number from 0 to 2**63 - 1, got {value!r}", where=where)
    return value


def _code(value: int, where: str) -> int:
    if not isinstance(value, int) or not CODES.start <= value < CODES.stop:  # `in` walks the range for an IntEnum
        raise LocalProtocolError(f"expected a number of 32 bits, got {value!r}", where=where)
    return value
