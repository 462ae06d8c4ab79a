"""From a frame to its ClientHeader and payload: the fields before them, and the encryption of TCP bodies."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from mimc_proto.framing import (
    BODY_HEADER,
    CHECKSUM_SIZE,
    PACKET_HEADER,
    PAYLOAD_TYPE,
    WEBSOCKET_HEADER_TYPE,
    Framing,
)
from mimc_proto.packets import Command, Header
from mimc_proto.packets.wire import LENGTH, encode_tag

from .cut import Piece
from .findings import Findings
from .keys import Keys
from .messages import looks_like

__all__ = ["Contents", "Missing", "contents_of"]

LARGEST_LEGAL = 32 * 1024
"""Bytes of a frame (wire.md section 1.1)."""

_CONN = encode_tag(5, LENGTH) + bytes([len(Command.CONN)]) + Command.CONN.encode()
_CONN_WITHIN = 512


class Contents(NamedTuple):
    """What is inside a frame, with the offset of each part in it."""

    payload_type: int
    header: bytes
    header_base: int
    payload: bytes
    payload_base: int
    body: str
    """State of the body encryption, as shown."""


class Missing(enum.Enum):
    """Why there are no contents to show."""

    ABSENT = "absent"
    EMPTY = "empty"
    CLOSED = "closed"


def contents_of(piece: Piece, keys: Keys, findings: Findings, sizes: dict[str, Any]) -> Contents | Missing:
    """The parts of a frame, or why there are none, which ``findings`` then explains."""
    if piece.layout is None or len(piece.data) < piece.layout.head:
        return Missing.ABSENT
    if piece.size > LARGEST_LEGAL:
        findings.note(f"{piece.size} bytes: a legal frame stays under {LARGEST_LEGAL}")
    end = len(piece.data) - CHECKSUM_SIZE if piece.whole else len(piece.data)
    if piece.layout.framing is Framing.WEBSOCKET:
        return _packet(piece.data[:end], findings, sizes)
    body_size = piece.size - piece.layout.head - CHECKSUM_SIZE
    sizes["body"] = body_size
    if not body_size:
        return Missing.EMPTY
    body = piece.data[piece.layout.head : end]
    if body_size < BODY_HEADER.size:
        problem = f"expected at least {BODY_HEADER.size} bytes of payload type and lengths, got {body_size}"
        findings.fault("body", piece.layout.head, problem)
        return Missing.ABSENT
    plain, state = _open(body, body_size, keys, findings, piece.layout.head)
    if plain is None:
        return Missing.CLOSED
    return _body(plain, body_size, state, findings, sizes)


def _packet(data: bytes, findings: Findings, sizes: dict[str, Any]) -> Contents:
    """A WebSocket packet without its checksum."""
    _, _, header_type, payload_type, header_size, payload_size = PACKET_HEADER.unpack_from(data)
    if header_type != WEBSOCKET_HEADER_TYPE:
        findings.fault("frame.header_type", 4, f"expected header type {WEBSOCKET_HEADER_TYPE}, got {header_type}")
    if payload_type != PAYLOAD_TYPE:
        findings.fault("frame.payload_type", 6, f"expected payload type {PAYLOAD_TYPE}, got {payload_type}")
    sizes.update(header=header_size, payload=payload_size)
    start, middle = PACKET_HEADER.size, PACKET_HEADER.size + header_size
    return Contents(payload_type, data[start:middle], start, data[middle:], middle, "none")


def _body(body: bytes, body_size: int, state: str, findings: Findings, sizes: dict[str, Any]) -> Contents:
    """A plain TCP body; ``body_size`` is what the frame announces."""
    base = 8
    payload_type, header_size, payload_size = BODY_HEADER.unpack_from(body)
    if payload_type != PAYLOAD_TYPE:
        findings.fault("body.payload_type", base, f"expected payload type {PAYLOAD_TYPE}, got {payload_type}")
    total = BODY_HEADER.size + header_size + payload_size
    if total != body_size:
        problem = (
            f"expected lengths that add up to the body's {body_size} bytes,"
            f" got {BODY_HEADER.size} + {header_size} + {payload_size} = {total}"
        )
        findings.fault("body.lengths", base + 2, problem)
    sizes.update(header=header_size, payload=payload_size)
    start, middle = BODY_HEADER.size, min(BODY_HEADER.size + header_size, len(body))
    payload = body[middle : middle + payload_size]
    return Contents(payload_type, body[start:middle], base + start, payload, base + middle, state)


def _open(body: bytes, size: int, keys: Keys, findings: Findings, base: int) -> tuple[bytes | None, str]:
    """The plain body and how it came to be one; None if it stays closed."""
    openers = keys.body_openers()
    if _is_body(body, size):
        if openers and _CONN not in body[:_CONN_WITHIN]:
            findings.note("the body is not encrypted: receivers expect that of every command but CONN")
        return body, "none"
    for opener in openers:
        opened = opener.cipher.apply(body)
        if _is_body(opened, size):
            keys.prefer(opener)
            if opener.source:
                findings.assume(f"body key: from {opener.source}")
            return opened, "opened"
    _explain_closed(body, size, keys, findings, base)
    return None, "closed"


def _explain_closed(body: bytes, size: int, keys: Keys, findings: Findings, base: int) -> None:
    openers = keys.body_openers()
    if not openers:
        why = f" ({keys.problem})" if keys.problem else ""
        findings.note(f"the body is encrypted: --body-key, or --challenge and --udid, opens it{why}")
        return
    if not keys.given:
        sources = " or from ".join(opener.source for opener in openers)
        findings.note(
            f"the body does not open with the key from {sources}: it may be another connection's, or need --udid"
        )
        return
    opened = openers[0].cipher.apply(body)
    kind, *lengths = BODY_HEADER.unpack_from(opened) if len(opened) >= BODY_HEADER.size else (0, 0, 0)
    findings.fault(
        "body",
        base,
        f"the body does not open with this key: expected payload type {PAYLOAD_TYPE}, got {kind},"
        f" and lengths that add up to {size}, got {BODY_HEADER.size + sum(lengths)}",
    )


def _is_body(body: bytes, size: int) -> bool:
    """Whether this is a plain body of ``size`` bytes, perhaps a damaged or cut one, rather than an encrypted one."""
    if len(body) < BODY_HEADER.size:
        return False
    if _CONN in body[:_CONN_WITHIN]:
        return True
    payload_type, header_size, payload_size = BODY_HEADER.unpack_from(body)
    if BODY_HEADER.size + header_size + payload_size == size:
        return True
    header = body[BODY_HEADER.size : BODY_HEADER.size + header_size]
    return payload_type == PAYLOAD_TYPE and looks_like(Header, header, "cmd")
