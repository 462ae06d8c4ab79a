"""Frames of a whole conversation: taken apart with its keys, mutated where they are plain, and put together again."""

from __future__ import annotations

import dataclasses
import functools
import struct
import zlib
from collections.abc import Callable
from random import Random

from mimc_proto import Framing, MimcError
from mimc_proto.crypto import body_key, rc4, security_key_bytes
from mimc_proto.framing import (
    EMPTY_FRAME,
    TcpDecoder,
    decode_websocket_packet,
    encode_tcp_frame,
    encode_websocket_packet,
    join_body,
    split_body,
)
from mimc_proto.packets import Header

from .numbers import NUMBERS
from .structure import mutate_bytes, mutate_message

__all__ = [
    "FuzzKeys",
    "Piece",
    "frame_of",
    "join",
    "mutate_pieces",
    "mutate_stream",
    "read_body",
    "read_message",
    "split",
]

LONGEST = 1 << 20
"""Bytes of a body."""

_SIZE = struct.Struct(">I")
_LENGTHS = struct.Struct(">HHI")
"""Payload type, sizes of header and payload: how a TCP body begins; in a WebSocket packet from its seventh byte on."""


@dataclasses.dataclass(frozen=True, slots=True)
class FuzzKeys:
    """What both sides of a conversation know. They are those of a test, not of anybody's account."""

    challenge: str
    udid: str
    security_key: str
    framing: Framing = Framing.TCP

    def body(self) -> bytes | None:
        """The key of the bodies; WebSocket has none."""
        return body_key(self.challenge, self.udid) if self.framing is Framing.TCP else None

    def payload(self, packet_id: str) -> bytes:
        """The key of one SECMSG; of a longer one RC4 takes 256 bytes."""
        return (security_key_bytes(self.security_key) + packet_id.encode())[:256]


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A frame, all of it plain; without a header it is an empty frame."""

    header: bytes = b""
    payload: bytes = b""
    encrypted: bool = True
    """Whether its body is to be encrypted: all but those of CONN."""
    body: bytes | None = None
    """A whole body instead of header and payload, with lengths of its own; on WebSocket all before the checksum."""
    raw: bytes | None = None
    """Bytes that are no frame."""


def split(stream: bytes, keys: FuzzKeys) -> list[Piece]:
    """The frames of a stream; from the first that cannot be read on, what is left as one piece of raw bytes."""
    return list(_split(stream, keys))


@functools.lru_cache(256)  # a fuzzer comes back to its seeds
def _split(stream: bytes, keys: FuzzKeys) -> tuple[Piece, ...]:
    if keys.framing is Framing.WEBSOCKET:
        return tuple(read_message(message, keys) for message in _messages(stream))
    pieces: list[Piece] = []
    decoder = TcpDecoder(LONGEST)
    decoder.feed(stream)
    done = 0
    try:
        while (body := decoder.next_body()) is not None:
            pieces.append(read_body(body, keys))
            done += len(body) + len(EMPTY_FRAME)
    except MimcError:
        pass
    return (*pieces, Piece(raw=stream[done:])) if done < len(stream) else tuple(pieces)


def _messages(stream: bytes) -> list[bytes]:
    """WebSocket keeps messages apart; in a file each has its size, four bytes, before it."""
    messages, place = [], 0
    while place + _SIZE.size <= len(stream):
        [size] = _SIZE.unpack_from(stream, place)
        place += _SIZE.size
        messages.append(stream[place : place + size])
        place += size
    return messages


def read_body(body: bytes, keys: FuzzKeys) -> Piece:
    """The body of a TCP frame, encrypted or not; ``raw`` is set if it cannot be read."""
    if not body:
        return Piece()
    for encrypted in (False, True):
        plain = rc4(keys.body() or b"", body) if encrypted else body
        try:
            header, payload = split_body(plain)
            return _opened(header, payload, keys, encrypted)
        except MimcError:
            continue
    return Piece(raw=encode_tcp_frame(body))


def read_message(message: bytes, keys: FuzzKeys) -> Piece:
    """The same of a WebSocket message."""
    try:
        header, payload = decode_websocket_packet(message, LONGEST)
        return _opened(header, payload, keys, False)
    except MimcError:
        return Piece(raw=message)


def _opened(header: bytes, payload: bytes, keys: FuzzKeys, encrypted: bool) -> Piece:
    Header.decode(header)  # raises
    cipher, packet_id = _sealing(header)
    if cipher == 1:
        payload = rc4(keys.payload(packet_id), payload)
    return Piece(header, payload, encrypted)


@functools.lru_cache(1024)
def _sealing(header: bytes) -> tuple[int, str]:
    """The cipher and the packet id of a header; of one that cannot be read, as nobody will look behind it, none."""
    try:
        decoded = Header.decode(header)
    except MimcError:
        return 0, ""
    return decoded.cipher or 0, decoded.id or ""


def join(pieces: list[Piece], keys: FuzzKeys) -> bytes:
    """The stream of these frames, with lengths, checksums and encryption as a receiver wants them."""
    frames = [frame_of(piece, keys) for piece in pieces]
    if keys.framing is Framing.WEBSOCKET:
        return b"".join(_SIZE.pack(len(frame)) + frame for frame in frames)
    return b"".join(frames)


def frame_of(piece: Piece, keys: FuzzKeys) -> bytes:
    """The bytes of one frame or message."""
    if piece.raw is not None:
        return piece.raw
    if piece.body is None and not piece.header and not piece.payload:
        return EMPTY_FRAME
    try:
        body = _body_of(piece, keys)
    except MimcError:  # a header too long for its length
        return piece.header
    if keys.framing is Framing.WEBSOCKET:
        return body + zlib.adler32(body).to_bytes(4, "big")
    key = keys.body()
    return encode_tcp_frame(rc4(key, body) if piece.encrypted and key is not None else body)


def _body_of(piece: Piece, keys: FuzzKeys) -> bytes:
    if piece.body is not None:
        return piece.body
    header, payload = piece.header, piece.payload
    cipher, packet_id = _sealing(header)
    if cipher == 1:
        payload = rc4(keys.payload(packet_id), payload)
    if keys.framing is Framing.WEBSOCKET:
        return encode_websocket_packet(header, payload)[:-4]
    return join_body(header, payload)


# ------------------------------------------------------------------------------------------------------------ mutations


def mutate_stream(stream: bytes, keys: FuzzKeys, rng: Random) -> bytes:
    """Another stream, in one to three places not the one given: a frame more or less, or something within one."""
    pieces = mutate_pieces(split(stream, keys), keys, rng)
    return join(pieces, keys) if pieces else mutate_bytes(stream, rng)


def mutate_pieces(pieces: list[Piece], keys: FuzzKeys, rng: Random) -> list[Piece]:
    """The same of frames that are taken apart; of none, none."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if pieces:
            index = rng.randrange(len(pieces))
            pieces = rng.choice(_MUTATIONS)(pieces, index, keys, rng)
    return pieces


def _payload(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    piece = pieces[index]
    changed = dataclasses.replace(piece, payload=mutate_message(piece.payload, rng))
    return [*pieces[:index], changed, *pieces[index + 1 :]]


def _header(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    piece = pieces[index]
    changed = dataclasses.replace(piece, header=mutate_message(piece.header, rng))
    return [*pieces[:index], changed, *pieces[index + 1 :]]


def _body(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    """The plain body as bytes, or only its type and lengths, behind a right checksum and encryption."""
    piece = pieces[index]
    try:
        body = _body_of(piece, keys)
    except MimcError:
        return pieces
    start = 0 if keys.framing is Framing.TCP else 6
    if (chance := rng.random()) < 0.1:
        changed = body[: rng.randrange(start + _LENGTHS.size + 1)]
    elif chance < 0.4 or len(body) < start + _LENGTHS.size:
        changed = mutate_bytes(body, rng)
    else:
        fields = list(_LENGTHS.unpack_from(body, start))
        place = rng.randrange(3)
        fields[place] = rng.choice((*NUMBERS, *[fields[place] + by for by in (-8, -1, 1, 8)] * 4))
        numbers = _LENGTHS.pack(fields[0] & 0xFFFF, fields[1] & 0xFFFF, fields[2] & 0xFFFFFFFF)
        changed = body[:start] + numbers + body[start + _LENGTHS.size :]
    return [*pieces[:index], dataclasses.replace(piece, body=changed), *pieces[index + 1 :]]


def _drop(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    return [*pieces[:index], *pieces[index + 1 :]]


def _again(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    return [*pieces[: index + 1], *[pieces[index]] * rng.choice((1, 1, 2, 20)), *pieces[index + 1 :]]


def _elsewhere(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    rest = _drop(pieces, index, keys, rng)
    place = rng.randrange(len(rest) + 1)
    return [*rest[:place], pieces[index], *rest[place:]]


def _cross(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    """The payload of one frame behind the header of another."""
    other = rng.choice(pieces)
    return [*pieces[:index], dataclasses.replace(pieces[index], payload=other.payload), *pieces[index + 1 :]]


def _plainly(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    """A body that is encrypted where it must not be, or not where it must."""
    piece = pieces[index]
    return [*pieces[:index], dataclasses.replace(piece, encrypted=not piece.encrypted), *pieces[index + 1 :]]


def _empty(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    return [*pieces[:index], Piece(), *pieces[index:]]


def _garbage(pieces: list[Piece], index: int, keys: FuzzKeys, rng: Random) -> list[Piece]:
    """Bytes that are no frame, or the beginning of a frame with any length."""
    start = b"\xc2\xfe\x00\x05" + _SIZE.pack(rng.choice(NUMBERS) & 0xFFFFFFFF)
    raw = start + rng.randbytes(rng.randrange(20)) if rng.random() < 0.5 else rng.randbytes(rng.randrange(1, 40))
    return [*pieces[:index], Piece(raw=raw), *pieces[index:]]


_MUTATIONS: tuple[Callable[[list[Piece], int, FuzzKeys, Random], list[Piece]], ...] = (
    *[_payload] * 8,
    *[_header] * 3,
    _body,
    _drop,
    _again,
    _elsewhere,
    _cross,
    _plainly,
    _empty,
    _garbage,
)
