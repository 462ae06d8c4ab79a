"""Encoding on the hot path: parts that were built once for a link are joined, without the general codec.

The bytes are those that the schema would make of the same records, which the tests check.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..framing import BODY_HEADER, PAYLOAD_TYPE
from .frontend import Header
from .parties import User
from .wire import encode_tag, encode_varint

__all__ = ["AckEncoder", "HeaderTemplate", "MessageEncoder"]


class _Lengths(dict[int, bytes]):
    """Varints by their value; those of the usual lengths are made once."""

    def __missing__(self, value: int) -> bytes:
        return bytes((value & 127 | 128, value >> 7)) if 127 < value < 1 << 14 else encode_varint(value)


LENGTH = _Lengths((n, encode_varint(n)) for n in range(1024))


def varint(value: int) -> bytes:
    """`encode_varint` for sequences and times: the upper bits change once in many numbers, so they are kept."""
    if value < 1 << 28:
        return encode_varint(value)
    low = bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128, value >> 21 & 127 | 128))
    return low + _upper(value >> 28)


_upper = lru_cache(maxsize=64)(encode_varint)
varint_of_time = lru_cache(maxsize=64)(varint)
varint_of_sequence = lru_cache(maxsize=1024)(varint)
"""A server writes each three times: into the ack, the message and the list; a commit may lie between."""


class HeaderTemplate:
    """The header of all SECMSGs of one link in one direction: it differs from packet to packet only in its id."""

    __slots__ = ("_id_at", "_prefix", "_suffix", "_suffix_size", "cipher")

    def __init__(self, header: Header) -> None:
        """``header`` is any SECMSG header of that link; its id does not matter."""
        self._prefix = header.replace(**_AFTER_ID).encode() + _ID_TAG
        tail = header.replace(**_BEFORE_ID, id=None).encode()
        self._suffix = tail[len(_EMPTY_COMMAND) :]
        self._suffix_size = len(self._suffix)
        self._id_at = BODY_HEADER.size + len(self._prefix)
        self.cipher = header.cipher

    @classmethod
    def learn(cls, data: bytes, header: Header) -> HeaderTemplate | None:
        """The template of a header that was just decoded from ``data``; None if it cannot stand for others."""
        if not header.id:
            return None
        template = cls(header)
        return template if template.match(data) == header.id else None

    def encode(self, packet_id: bytes) -> bytes:
        """The header with this id."""
        return self._prefix + LENGTH[len(packet_id)] + packet_id + self._suffix

    def join(self, packet_id: bytes, payload: bytes) -> bytes:
        """The body of a TCP frame with this id, of at most 255 bytes, and payload: `join_body` of `encode`."""
        size = LENGTH[len(packet_id)]
        header_size = self._id_at - 8 + len(size) + len(packet_id) + self._suffix_size
        head = _pack_body_header(PAYLOAD_TYPE, header_size, len(payload))
        return b"".join((head, self._prefix, size, packet_id, self._suffix, payload))

    def match(self, header: bytes) -> str | None:
        """The id, of less than 128 bytes, of a header that is otherwise the same; None if it is another one."""
        opened = self.open(b"\0\2" + len(header).to_bytes(2, "big") + bytes(4) + header)
        return None if opened is None else opened[0]

    def open(self, body: bytes) -> tuple[str, bytes] | None:
        """Id and payload of a TCP body with such a header; None if it has another one or cannot be split."""
        at = self._id_at
        if len(body) > at and body.startswith(self._prefix, 8):
            size = body[at]
            end = at + size + 1
            if size < 128 and body.startswith(self._suffix, end):
                start = end + self._suffix_size
                if _body_header(body) == (PAYLOAD_TYPE, start - 8, len(body) - start):
                    try:
                        return body[at + 1 : end].decode(), body[start:]
                    except UnicodeDecodeError:
                        return None
        return None


_body_header, _pack_body_header = BODY_HEADER.unpack_from, BODY_HEADER.pack
_ID_TAG = encode_tag(7, 2)
_EMPTY_COMMAND = encode_tag(5, 2) + b"\0"
_BEFORE_ID: dict[str, Any] = {"chid": None, "uuid": None, "server": None, "resource": None, "cmd": "", "subcmd": None}
_AFTER_ID: dict[str, Any] = {
    "id": None, "dir_flag": None, "cipher": None, "err_code": None, "err_str": None, "unknown": b""
}  # fmt: skip


class MessageEncoder:
    """What one bound client sends most: messages and SEQUENCE_ACKs, in which sender and package are always the same."""

    __slots__ = ("_app", "_app_id", "_owner", "_package", "_sender")

    def __init__(self, sender: User, package: str) -> None:
        """``sender`` has all four fields."""
        encoded, text = sender.encode(), package.encode()
        self._sender = b"".join((b"\x0a", LENGTH[len(encoded)], encoded, b"\x12"))
        self._app = User(app_id=sender.app_id).encode()
        self._package = b"".join((b"\x12", LENGTH[len(text)], text, b"\x20"))
        name = (sender.resource or "").encode()
        self._owner = b"".join((b"\x08", encode_varint(sender.uuid or 0), b"\x12", LENGTH[len(name)], name, b"\x18"))
        self._app_id = b"\x20" + encode_varint(sender.app_id or 0)

    def p2p(self, packet_id: bytes, account: bytes, payload: bytes, is_store: bool, biz_type: bytes | None) -> bytes:
        """A MIMCPacket with a P2P_MESSAGE to ``account``; all texts as UTF-8."""
        return self._packet(
            packet_id, b"\x01\x2a", b"\x12" + LENGTH[len(account)] + account, payload, is_store, biz_type
        )

    def p2t(self, packet_id: bytes, topic_id: int, payload: bytes, is_store: bool, biz_type: bytes | None) -> bytes:
        """A MIMCPacket with a P2T_MESSAGE to the group ``topic_id``."""
        return self._packet(packet_id, b"\x02\x2a", b"\x10" + encode_varint(topic_id), payload, is_store, biz_type)

    def sequence_ack(self, packet_id: bytes, sequence: int) -> bytes:
        """A MIMCPacket with a SEQUENCE_ACK of the sender's resource; ``sequence`` from 0 to 2**63 - 1."""
        body = b"".join((self._owner, varint(sequence), self._app_id))
        return b"".join(
            (b"\x0a", LENGTH[len(packet_id)], packet_id, self._package, b"\x03\x2a", LENGTH[len(body)], body)
        )

    def _packet(
        self, packet_id: bytes, kind: bytes, to: bytes, payload: bytes, is_store: bool, biz_type: bytes | None
    ) -> bytes:
        app = self._app
        parts = [self._sender, LENGTH[len(app) + len(to)], app, to, b"\x1a", LENGTH[len(payload)], payload]
        if biz_type is None:
            parts.append(b"\x20\x01" if is_store else b"\x20\x00")
        else:
            parts += (b"\x20\x01\x2a" if is_store else b"\x20\x00\x2a", LENGTH[len(biz_type)], biz_type)
        body = b"".join(parts)
        return b"".join((b"\x0a", LENGTH[len(packet_id)], packet_id, self._package, kind, LENGTH[len(body)], body))


class AckEncoder:
    """PACKET_ACKs of one bound server link."""

    __slots__ = ("_outer_package", "_owner", "_package")

    def __init__(self, uuid: int, resource: str, package: str) -> None:
        name, text = resource.encode(), package.encode()
        self._owner = b"".join((b"\x10", encode_varint(uuid), b"\x1a", LENGTH[len(name)], name, b"\x20"))
        self._package = b"".join((b"\x32", LENGTH[len(text)], text, b"\x3a"))
        self._outer_package = b"".join((b"\x12", LENGTH[len(text)], text, b"\x18"))

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
        number, time = varint_of_sequence(sequence), varint_of_time(timestamp)
        ack = b"".join(
            (
                b"\x0a",
                LENGTH[len(packet_id)],
                packet_id,
                self._owner,
                number,
                b"\x28",
                time,
                self._package,
                LENGTH[len(error_message)],
                error_message,
                b"\x40",
                LENGTH[code],
            )
        )
        if conv_index is not None:
            ack += b"\x48" + LENGTH[conv_index]
        return b"".join(
            (
                b"\x0a",
                LENGTH[len(outer_id)],
                outer_id,
                self._outer_package,
                number,
                b"\x20\x04\x2a",
                LENGTH[len(ack)],
                ack,
                b"\x30",
                time,
            )
        )
