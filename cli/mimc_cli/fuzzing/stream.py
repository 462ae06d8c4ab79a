"""Frames of a whole conversation: taken apart with its keys, mutated where they are plain, and put together again."""

from __future__ import annotations

import dataclasses
import struct
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

__all__ = ["FuzzKeys", "Piece", "join", "mutate_stream", "split"]

LONGEST = 1 << 20
"""Bytes of a body."""

_SIZE = struct.Struct(">I")


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
    """A frame, all of it plain; without a header it is an empty frame. ``raw`` are bytes that are no frame."""

    header: bytes = b""
    payload: bytes = b""
    encrypted: bool = True
    """Whether its body is to be encrypted: all but those of CONN."""
    raw: bytes | None = None


def split(stream: bytes, keys: FuzzKeys) -> list[Piece]:
    """The frames of a stream; from the first that cannot be read on, what is left as one piece of raw bytes."""
    if keys.framing is Framing.WEBSOCKET:
        return [_piece(message, keys) for message in _messages(stream)]
    pieces: list[Piece] = []
    decoder = TcpDecoder(LONGEST)
    decoder.feed(stream)
    done = 0
    try:
        while (body := decoder.next_body()) is not None:
            pieces.append(_tcp_piece(body, keys))
            done += len(body) + len(EMPTY_FRAME)
    except MimcError:
        pass
    return [*pieces, Piece(raw=stream[done:])] if done < len(stream) else pieces


def _messages(stream: bytes) -> list[bytes]:
    """WebSocket keeps messages apart; in a file each has its size, four bytes, before it."""
    messages, place = [], 0
    while place + _SIZE.size <= len(stream):
        [size] = _SIZE.unpack_from(stream, place)
        place += _SIZE.size
        messages.append(stream[place : place + size])
        place += size
    return messages


def _tcp_piece(body: bytes, keys: FuzzKeys) -> Piece:
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


def _piece(message: bytes, keys: FuzzKeys) -> Piece:
    try:
        header, payload = decode_websocket_packet(message, LONGEST)
        return _opened(header, payload, keys, False)
    except MimcError:
        return Piece(raw=message)


def _opened(header: bytes, payload: bytes, keys: FuzzKeys, encrypted: bool) -> Piece:
    decoded = Header.decode(header)
    if decoded.cipher == 1:
        payload = rc4(keys.payload(decoded.id or ""), payload)
    return Piece(header, payload, encrypted)


def join(pieces: list[Piece], keys: FuzzKeys) -> bytes:
    """The stream of these frames, with lengths, checksums and encryption as a receiver wants them."""
    frames = [_frame(piece, keys) for piece in pieces]
    if keys.framing is Framing.WEBSOCKET:
        return b"".join(_SIZE.pack(len(frame)) + frame for frame in frames)
    return b"".join(frames)


def _frame(piece: Piece, keys: FuzzKeys) -> bytes:
    if piece.raw is not None:
        return piece.raw
    header, payload = piece.header, piece.payload
    if not header and not payload:
        return EMPTY_FRAME
    try:
        decoded = Header.decode(header)
        cipher, packet_id = decoded.cipher, decoded.id or ""
    except MimcError:  # it was mutated: nobody will look for a payload behind it
        cipher, packet_id = 0, ""
    if cipher == 1:
        payload = rc4(keys.payload(packet_id), payload)
    try:
        if keys.framing is Framing.WEBSOCKET:
            return encode_websocket_packet(header, payload)
        body = join_body(header, payload)
    except MimcError:  # a header too long for its length
        return piece.header
    key = keys.body()
    return encode_tcp_frame(rc4(key, body) if piece.encrypted and key is not None else body)


# ------------------------------------------------------------------------------------------------------------ mutations


def mutate_stream(stream: bytes, keys: FuzzKeys, rng: Random) -> bytes:
    """Another stream, in one to three places not the one given: a frame more or less, or something within one."""
    pieces = split(stream, keys)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not pieces:
            return mutate_bytes(stream, rng)
        index = rng.randrange(len(pieces))
        pieces = rng.choice(_MUTATIONS)(pieces, index, rng)
    return join(pieces, keys)


def _payload(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    piece = pieces[index]
    changed = dataclasses.replace(piece, payload=mutate_message(piece.payload, rng))
    return [*pieces[:index], changed, *pieces[index + 1 :]]


def _header(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    piece = pieces[index]
    changed = dataclasses.replace(piece, header=mutate_message(piece.header, rng))
    return [*pieces[:index], changed, *pieces[index + 1 :]]


def _drop(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    return [*pieces[:index], *pieces[index + 1 :]]


def _again(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    return [*pieces[: index + 1], *[pieces[index]] * rng.choice((1, 1, 2, 20)), *pieces[index + 1 :]]


def _elsewhere(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    rest = _drop(pieces, index, rng)
    place = rng.randrange(len(rest) + 1)
    return [*rest[:place], pieces[index], *rest[place:]]


def _cross(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    """The payload of one frame behind the header of another."""
    other = rng.choice(pieces)
    return [*pieces[:index], dataclasses.replace(pieces[index], payload=other.payload), *pieces[index + 1 :]]


def _plainly(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    """A body that is encrypted where it must not be, or not where it must."""
    piece = pieces[index]
    return [*pieces[:index], dataclasses.replace(piece, encrypted=not piece.encrypted), *pieces[index + 1 :]]


def _empty(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    return [*pieces[:index], Piece(), *pieces[index:]]


def _garbage(pieces: list[Piece], index: int, rng: Random) -> list[Piece]:
    """Bytes that are no frame, or the beginning of a frame with any length."""
    start = b"\xc2\xfe\x00\x05" + _SIZE.pack(rng.choice(NUMBERS) & 0xFFFFFFFF)
    raw = start + rng.randbytes(rng.randrange(20)) if rng.random() < 0.5 else rng.randbytes(rng.randrange(1, 40))
    return [*pieces[:index], Piece(raw=raw), *pieces[index:]]


_MUTATIONS: tuple[Callable[[list[Piece], int, Random], list[Piece]], ...] = (
    *[_payload] * 8,
    *[_header] * 3,
    _drop,
    _again,
    _elsewhere,
    _cross,
    _plainly,
    _empty,
    _garbage,
)
