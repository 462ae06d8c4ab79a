"""The two framings: a byte stream of frames on TCP, one packet per binary message on WebSocket.

Both carry a ClientHeader and a payload, both of them opaque bytes here (wire.md section 1). Lengths are checked
where they are read, before anything of what they announce is buffered.
"""

from __future__ import annotations

import enum
import struct
from zlib import adler32

from .errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "EMPTY_FRAME",
    "Framing",
    "TcpDecoder",
    "decode_websocket_packet",
    "encode_tcp_frame",
    "encode_websocket_packet",
    "join_body",
    "split_body",
]

MAGIC = 0xC2FE
TCP_VERSION = 5
WEBSOCKET_VERSION = 4
WEBSOCKET_HEADER_TYPE = 3
PAYLOAD_TYPE = 2

FRAME_HEADER = struct.Struct(">HHI")
BODY_HEADER = struct.Struct(">HHI")
PACKET_HEADER = struct.Struct(">HHHHHI")
CHECKSUM_SIZE = 4

_FRAME_OPENING = MAGIC << 16 | TCP_VERSION
_FRAME_START = _FRAME_OPENING.to_bytes(4, "big")
_u32 = struct.Struct(">I").pack
_read_u32 = struct.Struct(">I").unpack_from
_body_header = BODY_HEADER.pack
_read_body_header = BODY_HEADER.unpack_from
_read_frame_header = FRAME_HEADER.unpack_from
_read_frame_start = struct.Struct(">II").unpack_from  # magic and version as one

MAX_HEADER_SIZE = 0xFFFF

EMPTY_FRAME = bytes.fromhex("c2fe0005000000000d2301c6")
"""A whole TCP frame without a body: the ping of C++ and C#, and the short form of a pong."""


class Framing(enum.Enum):
    """Which of the two framings a connection speaks."""

    TCP = "tcp"
    WEBSOCKET = "websocket"


# ----------------------------------------------------------------------------------------------------------- TCP


def encode_tcp_frame(body: bytes) -> bytes:
    """A frame around an (already encrypted) body of at most 2**32 - 1 bytes."""
    frame = _FRAME_START + _u32(len(body)) + body
    return frame + _u32(adler32(frame))


def join_body(header: bytes, payload: bytes) -> bytes:
    """The plain body of a TCP frame: payload type, both lengths, ClientHeader, payload."""
    try:
        return _body_header(PAYLOAD_TYPE, len(header), len(payload)) + header + payload
    except struct.error:
        raise _header_too_long(header) from None


def split_body(body: bytes) -> tuple[bytes, bytes]:
    """``(header, payload)`` of a plain, non-empty body; the offsets in errors count from the body's start.

    Raises `RemoteProtocolError` for another payload type, or if the lengths do not add up: official clients close
    the connection on each of these.
    """
    if len(body) < BODY_HEADER.size:
        raise RemoteProtocolError(
            f"expected the {BODY_HEADER.size} bytes of type and lengths, got {len(body)}", where="body", offset=0
        )
    kind, header_size, payload_size = _read_body_header(body)
    if kind != PAYLOAD_TYPE:
        raise RemoteProtocolError(f"expected payload type {PAYLOAD_TYPE}, got {kind}", where="body", offset=0)
    start = BODY_HEADER.size + header_size
    if start + payload_size != len(body):
        raise RemoteProtocolError(
            f"expected lengths that add up to the body's {len(body)} bytes,"
            f" got {BODY_HEADER.size} + {header_size} + {payload_size}",
            where="body",
            offset=2,
        )
    return body[BODY_HEADER.size : start], body[start:]


class TcpDecoder:
    """Cuts a byte stream into the (still encrypted) bodies of its frames; any cut of the input gives the same.

    ``max_body`` is the largest body accepted, in bytes; it may be changed between frames.
    """

    __slots__ = ("_buffer", "_position", "max_body")

    def __init__(self, max_body: int) -> None:
        self.max_body = max_body
        self._buffer: bytes | bytearray = b""
        self._position = 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Append received bytes. Raises `TypeError` for what is none."""
        buffer = self._buffer
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))  # a copy, as the caller may use its buffer again; bytes(5) would be zeros
        if self._position == len(buffer):
            self._buffer = data
        else:
            if isinstance(buffer, bytes):
                buffer = self._buffer = bytearray(buffer[self._position :])
            else:
                del buffer[: self._position]
            buffer += data
        self._position = 0

    def next_body(self) -> bytes | None:
        """The next body (``b""`` for an empty frame), or None until more bytes are fed.

        Raises `RemoteProtocolError` (offsets from the frame's start) for a wrong magic, version, length or
        checksum. A decoder that raised is of no more use.
        """
        buffer, start = self._buffer, self._position
        begin, total = start + 8, len(buffer)
        if total < begin:
            if start == total:  # an idle link keeps no frame in memory
                self._buffer, self._position = b"", 0
            return None
        opening, size = _read_frame_start(buffer, start)
        if opening != _FRAME_OPENING or size > self.max_body:
            magic, version, _ = _read_frame_header(buffer, start)
            raise frame_header_error(magic, version, size, self.max_body)
        end = begin + size
        if total < end + CHECKSUM_SIZE:
            return None
        self._position = end + CHECKSUM_SIZE
        if adler32(buffer[start:end]) != _read_u32(buffer, end)[0]:
            raise _checksum_error(buffer[start:end], buffer[end : end + CHECKSUM_SIZE])
        body = buffer[begin:end]
        return body if type(body) is bytes else bytes(body)

    @property
    def pending(self) -> int:
        """Bytes fed that are not part of a frame handed out yet."""
        return len(self._buffer) - self._position


def frame_header_error(magic: int, version: int, size: int, max_body: int) -> RemoteProtocolError:
    """What is wrong with the first eight bytes of a TCP frame."""
    if magic != MAGIC:
        return _bad_magic(magic, "frame")
    if version != TCP_VERSION:
        return RemoteProtocolError(f"expected version {TCP_VERSION}, got {version}", where="frame", offset=2)
    return RemoteProtocolError(f"expected a body of at most {max_body} bytes, got {size}", where="frame", offset=4)


# ----------------------------------------------------------------------------------------------------- WebSocket


def encode_websocket_packet(header: bytes, payload: bytes) -> bytes:
    """The one binary message that carries a packet."""
    if len(header) > MAX_HEADER_SIZE:
        raise _header_too_long(header)
    head = PACKET_HEADER.pack(MAGIC, WEBSOCKET_VERSION, WEBSOCKET_HEADER_TYPE, PAYLOAD_TYPE, len(header), len(payload))
    packet = head + header + payload
    return packet + adler32(packet).to_bytes(4, "big")


def decode_websocket_packet(message: bytes, max_size: int) -> tuple[bytes, bytes]:
    """``(header, payload)`` of a binary message, which holds exactly one packet.

    ``max_size`` bounds header and payload together, in bytes. Raises `RemoteProtocolError` with offsets from the
    message's start.
    """
    where, size = "packet", len(message)
    if size < PACKET_HEADER.size + CHECKSUM_SIZE:
        least = PACKET_HEADER.size + CHECKSUM_SIZE
        raise RemoteProtocolError(f"expected at least {least} bytes, got {size}", where=where, offset=size)
    magic, version, header_type, payload_type, header_size, payload_size = PACKET_HEADER.unpack_from(message)
    if magic != MAGIC:
        raise _bad_magic(magic, where)
    for name, expected, got, offset in (
        ("version", WEBSOCKET_VERSION, version, 2),
        ("header type", WEBSOCKET_HEADER_TYPE, header_type, 4),
        ("payload type", PAYLOAD_TYPE, payload_type, 6),
    ):
        if got != expected:
            raise RemoteProtocolError(f"expected {name} {expected}, got {got}", where=where, offset=offset)
    if header_size + payload_size > max_size:
        raise RemoteProtocolError(
            f"expected header and payload of at most {max_size} bytes, got {header_size + payload_size}",
            where=where,
            offset=8,
        )
    end = PACKET_HEADER.size + header_size + payload_size
    if end + CHECKSUM_SIZE != size:
        raise RemoteProtocolError(
            f"expected one packet of {end + CHECKSUM_SIZE} bytes in the message, got {size} bytes",
            where=where,
            offset=min(end + CHECKSUM_SIZE, size),
        )
    if adler32(message[:end]) != _read_u32(message, end)[0]:
        raise _checksum_error(message[:end], message[end:])
    start = PACKET_HEADER.size + header_size
    return message[PACKET_HEADER.size : start], message[start:end]


# -------------------------------------------------------------------------------------------------------- shared


def _checksum_error(covered: bytes | bytearray, checksum: bytes | bytearray) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"expected Adler-32 {adler32(covered):08x}, got {checksum.hex()}", where="checksum", offset=len(covered)
    )


def _bad_magic(magic: int, where: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"expected magic {MAGIC:04x}, got {magic:04x} (is this a MIMC connection?)", where=where, offset=0
    )


def _header_too_long(header: bytes) -> LocalProtocolError:
    return LocalProtocolError(f"expected at most {MAX_HEADER_SIZE} bytes, got {len(header)}", where="ClientHeader")
