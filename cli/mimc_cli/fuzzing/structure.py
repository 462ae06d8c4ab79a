"""Mutations of bytes, and of the structure of a protobuf message whose schema nobody has to know."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mimc_proto.errors import PacketError
from mimc_proto.packets.wire import FIXED32, FIXED64, LENGTH, VARINT, WireField, encode_tag, encode_varint, walk

from .numbers import NUMBERS, TEXTS

__all__ = ["mutate_bytes", "mutate_message"]

DEEPEST = 6
"""Messages within messages that are looked into."""


def mutate_bytes(data: bytes, rng: Random) -> bytes:
    """Change, remove, repeat or add a few bytes anywhere."""
    place = rng.randrange(len(data) + 1)
    end = min(len(data), place + rng.choice((1, 1, 2, 4, 8, 64)))
    match rng.randrange(7):
        case 0 if data:
            place = min(place, len(data) - 1)
            return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        case 1:
            return data[:place] + data[end:]
        case 2:
            return data[:end] + data[place:]
        case 3:
            return data[:place] + rng.choice(TEXTS) + data[place:]
        case 4:
            return data[:place] + rng.randbytes(end - place) + data[end:]
        case 5:
            return data[:place]
        case _:
            return data[:place] + rng.randbytes(rng.randrange(1, 9)) + data[place:]


def mutate_message(data: bytes, rng: Random, depth: int = 0) -> bytes:
    """Change one thing in a message or in a message within it; one that cannot be read is changed as bytes."""
    try:
        fields = list(walk(data))
    except PacketError:
        return mutate_bytes(data, rng)
    if not fields:
        return _new_field(rng)
    if rng.random() < 0.05:
        return mutate_bytes(data, rng)
    index = rng.randrange(len(fields))
    field = fields[index]
    before, after = data[: field.start], data[field.end :]
    if field.wire_type == LENGTH and depth < DEEPEST and rng.random() < 0.7:
        return before + _with_value(field, _inside(_bytes_of(field), rng, depth)) + after
    return rng.choice(_CHANGES)(data, fields, index, rng)


def _inside(value: bytes, rng: Random, depth: int) -> bytes:
    """What a length-delimited field holds instead: it may be a message, a text or bytes."""
    if _looks_like_message(value) and rng.random() < 0.8:
        return mutate_message(value, rng, depth + 1)
    return rng.choice(TEXTS) if rng.random() < 0.4 else mutate_bytes(value, rng)


def _looks_like_message(value: bytes) -> bool:
    try:
        return len(list(walk(value))) > 0
    except PacketError:
        return False


def _bytes_of(field: WireField) -> bytes:
    assert isinstance(field.value, bytes)  # of this wire type
    return field.value


def _with_value(field: WireField, value: bytes) -> bytes:
    return encode_tag(field.number, LENGTH) + encode_varint(len(value)) + value


def _new_field(rng: Random) -> bytes:
    number = rng.choice((*range(1, 16), 16, 100, (1 << 29) - 1))
    match rng.randrange(4):
        case 0:
            return encode_tag(number, VARINT) + encode_varint(rng.choice(NUMBERS))
        case 1:
            return encode_tag(number, FIXED32) + rng.randbytes(4)
        case 2:
            return encode_tag(number, FIXED64) + rng.randbytes(8)
        case _:
            text = rng.choice(TEXTS)
            return encode_tag(number, LENGTH) + encode_varint(len(text)) + text


# ------------------------------------------------------------------------------------------------- changes of one field


def _remove(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    return data[: fields[index].start] + data[fields[index].end :]


def _repeat(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    field, times = fields[index], rng.choice((1, 1, 2, 30, 300))
    return data[: field.end] + data[field.start : field.end] * times + data[field.end :]


def _swap(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    pieces = [data[field.start : field.end] for field in fields]
    other = rng.randrange(len(pieces))
    pieces[index], pieces[other] = pieces[other], pieces[index]
    return b"".join(pieces)


def _renumber(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    field = fields[index]
    tag = encode_tag(rng.randrange(1, 20), field.wire_type)
    rest = data[field.start : field.end]
    return data[: field.start] + tag + rest[_tag_size(rest) :] + data[field.end :]


def _retype(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    """The same number with a value of another wire type."""
    field = fields[index]
    other = _new_field(rng)
    tag = encode_tag(field.number, other[0] & 7)
    return data[: field.start] + tag + other[_tag_size(other) :] + data[field.end :]


def _renumber_value(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    field = fields[index]
    if field.wire_type != VARINT:
        return _remove(data, fields, index, rng)
    return data[: field.value_start] + encode_varint(rng.choice(NUMBERS)) + data[field.end :]


def _stretch(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    """A varint, or the length before a value, in more bytes than it needs: Java's checksum rule (clients.md rule 5)."""
    field = fields[index]
    at = field.value_start if field.wire_type == VARINT else field.start
    end = at
    while end < len(data) and data[end] >= 0x80:
        end += 1
    if end >= len(data):
        return mutate_bytes(data, rng)
    longer = bytes([data[end] | 0x80]) + b"\x80" * rng.randrange(9) + b"\0"
    return data[:end] + longer + data[end + 1 :]


def _lie(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    """A length that is not that of its value."""
    field = fields[index]
    if field.wire_type != LENGTH:
        return _repeat(data, fields, index, rng)
    size = max(0, len(_bytes_of(field)) + rng.choice((-1, 1, 2, 1 << 31, (1 << 63) - 1)))
    return data[: field.start] + encode_tag(field.number, LENGTH) + encode_varint(size) + data[field.value_start :]


def _add(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    return data[: fields[index].start] + _new_field(rng) + data[fields[index].start :]


def _group(data: bytes, fields: list[WireField], index: int, rng: Random) -> bytes:
    """The field within a group, perhaps one that is never closed."""
    field, number = fields[index], rng.randrange(1, 20)
    close = encode_tag(number, 4) if rng.random() < 0.7 else b""
    inner = data[field.start : field.end]
    return data[: field.start] + encode_tag(number, 3) + inner + close + data[field.end :]


def _tag_size(data: bytes) -> int:
    size = 0
    while data[size] >= 0x80:
        size += 1
    return size + 1


_CHANGES: tuple[Callable[[bytes, list[WireField], int, Random], bytes], ...] = (
    _remove,
    _repeat,
    _swap,
    _renumber,
    _retype,
    _renumber_value,
    _renumber_value,
    _stretch,
    _lie,
    _add,
    _group,
)
