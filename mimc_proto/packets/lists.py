"""Lists of messages (COMPOUND) on a server's hot path: a message is encoded once, to however many links it goes.

All sessions of a user get the same bytes, and so do all members of a group; a list adds its receiver. The bytes are
those that the schema would make of the same records, which the tests check.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ..errors import LocalProtocolError
from .encoders import LENGTH, varint, varint_of_sequence, varint_of_time
from .messages import Packet
from .schema import without_unknown

__all__ = ["ListEncoder", "ListItem", "group_side", "list_item", "user_side"]

END_OF_NUMBERS = 1 << 63
"""Sequences and timestamps stay below."""

REMEMBERED = 4096
"""Users, of a few hundred bytes each, that are not encoded anew for their next message; as many groups."""


class ListItem(NamedTuple):
    """A P2P or P2T message as an item of any number of lists."""

    sequence: int
    timestamp: int
    """Milliseconds."""
    field: bytes
    """Its `Packet` as a field of a `PacketList`, in wire format."""

    @classmethod
    def of(cls, packet: Packet) -> ListItem:
        """An item of a packet that has sequence and timestamp; its unknown fields are left out.

        Raises `LocalProtocolError` for a field that cannot be encoded.
        """
        encoded = without_unknown(packet).encode()
        return cls(packet.sequence or 0, packet.timestamp or 0, b"".join((b"\x22", LENGTH[len(encoded)], encoded)))


def _side(parts: Sequence[bytes]) -> bytes:
    side = b"".join(parts)
    return LENGTH[len(side)] + side


@lru_cache(REMEMBERED)
def user_side(app_id: int, account: str, uuid: int, resource: str | None) -> bytes:
    """A user, after its length: a side of a message for `list_item`.

    Raises `LocalProtocolError` for an account or a resource that no client could read.
    """
    if not account:
        raise LocalProtocolError("expected an account, got none", where="User.account")
    name = _text(account, "User.account")
    parts = [b"\x08", varint(app_id), b"\x12", LENGTH[len(name)], name, b"\x18", varint(uuid)]
    if resource is not None:
        name = _text(resource, "User.resource")
        parts += (b"\x22", LENGTH[len(name)], name)
    return _side(parts)


@lru_cache(REMEMBERED)
def group_side(app_id: int, topic_id: int) -> bytes:
    """A group, after its length: the receiving side of a message for `list_item`."""
    return _side((b"\x08", varint(app_id), b"\x10", varint(topic_id)))


@lru_cache(64)
def _package(package: str) -> bytes:
    text = _text(package, "Packet.package")
    return b"".join((b"\x12", LENGTH[len(text)], text, b"\x18"))


def _text(text: str, where: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("expected text that UTF-8 can carry", where=where) from None


def list_item(
    packet_id: str,
    package: str,
    sequence: int,
    timestamp: int,
    conv_index: int | None,
    sender: bytes,
    recipient: bytes,
    payload: bytes,
    is_store: bool,
    biz_type: str | None,
    *,
    to_group: bool,
) -> ListItem:
    """A message of ``sender`` (a `user_side`) to ``recipient`` (one, or a `group_side` if ``to_group``).

    Raises `LocalProtocolError` for what no client could read: Go panics without packet id or sequence (clients.md).
    """
    if not packet_id or not 0 < sequence < END_OF_NUMBERS or not 0 <= timestamp < END_OF_NUMBERS:
        raise LocalProtocolError("expected packet_id, sequence and timestamp below 2**63", where="Packet")
    own_id = _text(packet_id, "Packet.packet_id")
    parts = [b"\x0a", sender, b"\x12", recipient, b"\x1a", LENGTH[len(payload)], payload]
    if biz_type is None:
        parts.append(b"\x20\x01" if is_store else b"\x20\x00")
    else:
        text = _text(biz_type, "bizType")
        parts += (b"\x20\x01\x2a" if is_store else b"\x20\x00\x2a", LENGTH[len(text)], text)
    body = b"".join(parts)
    parts = [
        b"\x0a",
        LENGTH[len(own_id)],
        own_id,
        _package(package),
        varint_of_sequence(sequence),
        b"\x20\x02\x2a" if to_group else b"\x20\x01\x2a",
        LENGTH[len(body)],
        body,
        b"\x30",
        varint_of_time(timestamp),
    ]
    if conv_index is not None:
        parts += (b"\x40", LENGTH[conv_index])
    packet = b"".join(parts)
    return ListItem(sequence, timestamp, b"".join((b"\x22", LENGTH[len(packet)], packet)))


class ListEncoder:
    """Lists of messages of one bound server link."""

    __slots__ = ("_outer_package", "_owner")

    def __init__(self, uuid: int, resource: str, package: str) -> None:
        name, text = resource.encode(), package.encode()
        self._owner = b"".join((b"\x08", varint(uuid), b"\x12", LENGTH[len(name)], name, b"\x18"))
        self._outer_package = b"".join((b"\x12", LENGTH[len(text)], text, b"\x18"))

    def encode(self, outer_id: bytes, items: Sequence[ListItem], max_sequence: int) -> bytes:
        """A MIMCPacket with a COMPOUND of these items, at least one; its timestamp is that of the newest."""
        limit = varint_of_sequence(max_sequence)
        if len(items) == 1:
            [(_, newest, fields)] = items
        else:
            newest, fields = max([item[1] for item in items]), b"".join([item[2] for item in items])
        owner = self._owner
        return b"".join(
            (
                b"\x0a",
                LENGTH[len(outer_id)],
                outer_id,
                self._outer_package,
                limit,
                b"\x20\x06\x2a",
                LENGTH[len(owner) + len(limit) + len(fields) + 2],
                owner,
                limit,
                fields,
                b"\x28\x01\x30",
                varint_of_time(newest),
            )
        )
