"""Protobuf's wire format itself: walking the fields of a message, and finding its first broken byte.

The protobuf library says only *that* a message cannot be parsed, and nothing of fields it does not know. This
module says where, for errors and for ``mimc decode``. It is never on the hot path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import PacketError

__all__ = ["WireField", "encode_tag", "encode_varint", "find_fault", "read_varint", "walk"]

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
WIRE_TYPE_NAMES = ("varint", "64-bit", "length-delimited", "group start", "group end", "32-bit")
MAX_VARINT = 10
MAX_FIELD_NUMBER = (1 << 29) - 1

# What a field of a protobuf type (the TYPE_* numbers of descriptor.proto) looks like on the wire.
_FIXED64_TYPES = (1, 6, 16)
_FIXED32_TYPES = (2, 7, 15)
_LENGTH_TYPES = (9, 11, 12)
TYPE_STRING, TYPE_MESSAGE = 9, 11


class WireField(NamedTuple):
    """One field: its tag begins at ``start``, its value at ``value_start``, the next field at ``end``."""

    number: int
    wire_type: int
    value: int | bytes
    start: int
    value_start: int
    end: int


def encode_varint(value: int) -> bytes:
    """A base-128 varint; negative numbers as protobuf has them, in ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_tag(number: int, wire_type: int) -> bytes:
    """The varint that opens a field."""
    return encode_varint(number << 3 | wire_type)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """``(value, next position)``; raises `PacketError` if it is cut off or longer than ten bytes."""
    if position < len(data) and data[position] < 0x80:
        return data[position], position + 1
    value = 0
    for index in range(MAX_VARINT):
        if position + index >= len(data):
            raise PacketError("a varint is cut off by the end of the message", offset=len(data))
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & (1 << 64) - 1, position + index + 1
    raise PacketError(f"expected a varint of at most {MAX_VARINT} bytes", offset=position)


def walk(data: bytes, base: int = 0) -> Iterator[WireField]:
    """The fields of one message in their order on the wire; offsets count from ``base``.

    Raises `PacketError` with the offset of the first broken byte. A group (no MIMC message has one) comes as one
    field whose value is its inside and the tag that closes it.
    """
    position = 0
    try:
        while position < len(data):
            number, wire_type, value, start, value_start, end = _read_field(data, position)
            position = end
            yield WireField(number, wire_type, value, start + base, value_start + base, end + base)
    except PacketError as error:
        raise PacketError(error.problem, offset=base + (error.offset or 0)) from None


def _read_field(data: bytes, start: int) -> WireField:
    number, wire_type, position = _read_tag(data, start)
    if wire_type == GROUP_END:
        raise PacketError(f"field {number} ends a group that was not begun", offset=start)
    if wire_type == VARINT:
        value, end = read_varint(data, position)
        return WireField(number, wire_type, value, start, position, end)
    end = _skip_group(data, number, position) if wire_type == GROUP_START else _skip(data, number, wire_type, position)
    if wire_type == LENGTH:
        position = read_varint(data, position)[1]
    return WireField(number, wire_type, data[position:end], start, position, end)


def _read_tag(data: bytes, start: int) -> tuple[int, int, int]:
    tag, position = read_varint(data, start)
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number <= MAX_FIELD_NUMBER:
        raise PacketError(f"expected a field number of 1 to {MAX_FIELD_NUMBER}, got {number}", offset=start)
    if wire_type > FIXED32:
        raise PacketError(f"expected a wire type of 0 to 5, got {wire_type} in field {number}", offset=start)
    return number, wire_type, position


def _skip(data: bytes, number: int, wire_type: int, position: int) -> int:
    """The end of a value that is not a group."""
    if wire_type == VARINT:
        return read_varint(data, position)[1]
    if wire_type == LENGTH:
        size, begin = read_varint(data, position)
    else:
        size, begin = (8 if wire_type == FIXED64 else 4), position
    if begin + size > len(data):
        raise PacketError(f"field {number} announces {size} bytes, only {len(data) - begin} are left", offset=position)
    return begin + size


def _skip_group(data: bytes, number: int, position: int) -> int:
    """The end of a group, after its closing tag; without recursion, whatever is nested in it."""
    opened = [number]
    while opened:
        if position >= len(data):
            raise PacketError(f"group {opened[-1]} is cut off by the end of the message", offset=len(data))
        begin = position
        inner, wire_type, position = _read_tag(data, begin)
        if wire_type == GROUP_START:
            opened.append(inner)
        elif wire_type == GROUP_END:
            if inner != opened.pop():
                raise PacketError(f"field {inner} ends another group than the one begun", offset=begin)
        else:
            position = _skip(data, inner, wire_type, position)
    return position


def expected_wire_type(field_type: int) -> int:
    """The wire type of a protobuf field type (``FieldDescriptor.type``)."""
    if field_type in _LENGTH_TYPES:
        return LENGTH
    if field_type in _FIXED64_TYPES:
        return FIXED64
    return FIXED32 if field_type in _FIXED32_TYPES else VARINT


def find_fault(data: bytes, descriptor: Any, where: str, base: int = 0) -> PacketError | None:
    """The first broken byte of a message, searched down to its nested messages; None if it can be walked.

    ``descriptor`` is the message's ``DESCRIPTOR``, ``where`` its name in the error, ``base`` its own offset.
    """
    try:
        for field in walk(data, base):
            known = descriptor.fields_by_number.get(field.number)
            if known is None or expected_wire_type(known.type) != field.wire_type:
                continue
            place = f"{where}.{known.name}"
            if known.type == TYPE_MESSAGE and isinstance(field.value, bytes):
                fault = find_fault(field.value, known.message_type, place, field.value_start)
                if fault is not None:
                    return fault
            elif known.type == TYPE_STRING and isinstance(field.value, bytes):
                fault = text_fault(field.value, place, field.value_start)
                if fault is not None:
                    return fault
    except PacketError as error:
        return PacketError(error.problem, where=where, offset=error.offset)
    return None


def text_fault(value: bytes, where: str, base: int = 0) -> PacketError | None:
    """What is wrong with the bytes of a string field: MIMC's strings are UTF-8."""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return PacketError("expected UTF-8 text", where=where, offset=base + error.start)
    return None
