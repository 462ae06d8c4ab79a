"""Records that have a protobuf message, and the one codec that serves them all.

A class lists its fields; the names, types and presence of the message behind it do the rest. A field without a
default is required, both ways. What protobuf lets pass is checked here (each measured on protobuf 4.25 to 7):

- an unknown enum value reads back as the *first* member with ``HasField`` False: it is looked up among the unknown
  fields, and survives as a plain number;
- invalid UTF-8 in a string parses, and the field comes back as *bytes*;
- a missing ``required`` field parses silently.

Fields that the message does not know survive in ``unknown``, in wire format.
"""

from __future__ import annotations

import enum
import operator
import re
from collections.abc import Mapping, Set
from typing import Any, ClassVar, NamedTuple, Self

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from .._record import Record
from ..errors import LocalProtocolError, PacketError, shown
from .wire import (
    FIXED32,
    FIXED64,
    GROUP_END,
    GROUP_START,
    LENGTH,
    TYPE_STRING,
    VARINT,
    encode_tag,
    encode_varint,
    find_fault,
    text_fault,
)

__all__ = ["BadPacket", "RawBody", "UnknownBody", "WireRecord"]

TYPE_BYTES, TYPE_ENUM = 12, 14


class Field(NamedTuple):
    """How one field of a record maps to its message."""

    name: str
    wire_name: str
    number: int
    kind: int
    required: bool
    repeated: bool
    record: type[WireRecord] | None
    enum: type[enum.IntEnum] | None
    default: Any


class BadPacket(Record):
    """A packet whose contents cannot be read; the link goes on.

    ``header_id`` is the header id of the SECMSG it came in; ``packet_id`` and ``sequence`` are what could still be
    read of it; ``inside_list`` tells a packet skipped inside a list (the list's acknowledgement covers it) from a
    whole SECMSG.
    """

    __slots__ = ()
    error: PacketError
    header_id: str = ""
    packet_id: str | None = None
    sequence: int | None = None
    inside_list: bool = False


class UnknownBody(Record):
    """The payload of a type number that this version does not know, kept as it came."""

    __slots__ = ()
    type: int
    payload: bytes = b""


class RawBody(Record):
    """Base of bodies whose payload is opaque here."""

    __slots__ = ()
    payload: bytes = b""


class WireRecord(Record):
    """Base of records with a protobuf message.

    Class options: ``message`` the protobuf class; ``names`` maps our field names to those of the message where they
    are not simply its camelCase; ``records`` and ``enums`` give the classes of nested messages and enum fields;
    ``required`` names fields that have a default, because a link fills them in, and still have to be on the wire.
    """

    __slots__ = ()
    message: ClassVar[Any] = None
    wire_fields: ClassVar[tuple[Field, ...]] = ()

    def __init_subclass__(
        cls,
        *,
        message: Any = None,
        names: Mapping[str, str] | None = None,
        records: Mapping[str, type[WireRecord]] | None = None,
        enums: Mapping[str, type[enum.IntEnum]] | None = None,
        required: Set[str] = frozenset(),
        **options: Any,
    ) -> None:
        super().__init_subclass__(**options)
        if message is None:
            return
        cls.message = message
        names, records, enums = names or {}, records or {}, enums or {}
        by_snake = {_snake(field.name): field for field in message.DESCRIPTOR.fields}
        by_name = message.DESCRIPTOR.fields_by_name
        fields = []
        for name in cls.field_names:
            if name in NOT_ON_THE_WIRE:
                continue
            known = by_name[names[name]] if name in names else by_snake[name]
            default = cls._defaults.get(name)
            fields.append(
                Field(
                    name=name,
                    wire_name=known.name,
                    number=known.number,
                    kind=known.type,
                    required=name not in cls._defaults or name in required,
                    repeated=default == (),
                    record=records.get(name),
                    enum=enums.get(name),
                    default=default,
                )
            )
        cls.wire_fields = tuple(fields)

    @classmethod
    def decode(cls, data: bytes, where: str = "") -> Self:
        """The record of an encoded message. Raises `PacketError`."""
        where = where or str(cls.message.DESCRIPTOR.name)
        return cls._from_message(parse(cls.message, data, where), where)

    def encode(self) -> bytes:
        """The message in wire format. Raises `LocalProtocolError` for a field that cannot be encoded."""
        message, unknown = self._to_message()
        return bytes(message.SerializePartialToString()) + unknown

    @classmethod
    def _from_message(cls, message: Any, where: str) -> Self:
        surplus = unknown_fields(message, where)
        numbers: set[int] = set()
        values = [cls._read(message, field, surplus, numbers, where) for field in cls.wire_fields]
        return cls._make([*values, _surplus_bytes(surplus, numbers)])

    @classmethod
    def _read(cls, message: Any, field: Field, surplus: Any, numbers: set[int], where: str) -> Any:
        """One field's value; ``numbers`` collects the enum fields, whose unknown values are not surplus."""
        place = f"{where}.{field.wire_name}"
        if field.kind == TYPE_ENUM:
            numbers.add(field.number)
        if field.repeated and field.record is not None:  # MIMC repeats nothing but messages
            items, read_item = getattr(message, field.wire_name), field.record.read_item
            if len(items) > MOST_ITEMS:
                raise PacketError(f"expected at most {MOST_ITEMS} of these, got {len(items)}", where=place)
            return tuple(read_item(item, f"{place}[{n}]") for n, item in enumerate(items))
        if message.HasField(field.wire_name):
            value = getattr(message, field.wire_name)
            if field.kind == TYPE_STRING:
                return text(value, place)
            if field.record is not None:
                return field.record._from_message(value, place)
            return field.enum(value) if field.enum is not None else value
        if field.kind == TYPE_ENUM:
            number = unknown_enum(surplus, field.number)
            if number is not None:
                return number
        if field.required:
            raise PacketError("expected this required field, got none", where=place)
        return field.default

    @classmethod
    def read_item(cls, message: Any, where: str) -> Any:
        """One message of a repeated field; a class that tolerates broken items returns something else for them."""
        return cls._from_message(message, where)

    def _to_message(self) -> tuple[Any, bytes]:
        message = self.message()
        unknown = b""
        for field, value in zip(self.wire_fields, self, strict=False):
            if value is None:
                if field.required or field.default is not None:
                    raise self._cannot_encode(field, value)
                continue
            try:
                unknown += self._write(message, field, value)
            except (TypeError, ValueError, AttributeError, OverflowError, DecodeError):
                raise self._cannot_encode(field, value) from None
        if not isinstance(self[-1], bytes):
            raise LocalProtocolError(
                f"expected bytes, got {type(self[-1]).__name__}", where=f"{type(self).__name__}.unknown"
            )
        return message, unknown + self[-1]

    def _write(self, message: Any, field: Field, value: Any) -> bytes:
        """Set one field; returns what has to go among the unknown fields instead."""
        if field.record is not None:
            for item in value if field.repeated else (value,):
                if not isinstance(item, field.record):
                    raise TypeError
                target = getattr(message, field.wire_name)
                target = target.add() if field.repeated else target
                target.SetInParent()
                target.MergeFromString(item.encode())
        elif (
            field.kind == TYPE_ENUM
            and value not in message.DESCRIPTOR.fields_by_number[field.number].enum_type.values_by_number
        ):
            return encode_enum(field.number, value)
        else:
            setattr(message, field.wire_name, value)
            if getattr(message, field.wire_name) != value:  # protobuf takes bytes for text, and 2 for True
                raise TypeError
        return b""

    def _cannot_encode(self, field: Field, value: object) -> LocalProtocolError:
        known = self.message.DESCRIPTOR.fields_by_number[field.number]
        wanted = field.record.__name__ if field.record is not None else _TYPE_NAMES.get(known.type, "a message")
        if field.repeated:
            wanted = f"a tuple of {wanted}"
        hidden = field.name in self._secret or field.kind == TYPE_BYTES  # the text of a message is nobody's business
        got = type(value).__name__ if hidden else _shorten(value)
        return LocalProtocolError(f"expected {wanted}, got {got}", where=f"{type(self).__name__}.{field.name}")


class Envelope(WireRecord):
    """Base of records whose message holds another one as ``type`` and ``payload`` bytes: ``body`` here.

    ``bodies`` maps type numbers to classes; a type that is not there becomes an `UnknownBody`.
    """

    __slots__ = ()
    bodies: ClassVar[dict[int, type[Record]]] = {}
    numbers: ClassVar[dict[type[Record], int]] = {}

    def __init_subclass__(cls, *, bodies: Mapping[int, type[Record]], **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.bodies = dict(bodies)
        cls.numbers = {body: number for number, body in bodies.items()}

    @classmethod
    def _from_message(cls, message: Any, where: str) -> Self:
        surplus = unknown_fields(message, where)
        taken: set[int] = set()
        values = [cls._read(message, field, surplus, taken, where) for field in cls.wire_fields]
        kind = cls.message.DESCRIPTOR.fields_by_name["type"]
        number = message.type if message.HasField("type") else unknown_enum(surplus, kind.number)
        if number is None:
            raise PacketError("expected this required field, got none", where=f"{where}.type")
        taken.add(kind.number)
        name = kind.enum_type.values_by_number[number].name if number in kind.enum_type.values_by_number else number
        body = cls._decode_body(number, message.payload, f"{where}.{name}")
        return cls._make([*values, body, _surplus_bytes(surplus, taken)])

    @classmethod
    def register(cls, number: int, body: type[Record]) -> None:
        """Add a body that itself holds envelopes of this class, and so is defined after it."""
        cls.bodies[number] = body
        cls.numbers[body] = number

    @classmethod
    def _decode_body(cls, number: int, payload: bytes, where: str) -> Record:
        body_class = cls.bodies.get(number)
        if body_class is None:
            return UnknownBody(type=number, payload=payload)
        if issubclass(body_class, WireRecord):
            return body_class.decode(payload, where)
        return body_class._make((payload,))

    def _to_message(self) -> tuple[Any, bytes]:
        message, unknown = super()._to_message()
        body: Any = self[-2]
        if isinstance(body, UnknownBody):
            number = body.type
        elif type(body) in self.numbers:
            number = self.numbers[type(body)]
        else:
            names = ", ".join(sorted(known.__name__ for known in self.numbers))
            raise LocalProtocolError(
                f"expected one of {names}, UnknownBody; got {type(body).__name__}",
                where=f"{type(self).__name__}.body",
            )
        kind = message.DESCRIPTOR.fields_by_name["type"]
        try:
            if number in kind.enum_type.values_by_number:
                message.type = number
            else:
                unknown = encode_enum(kind.number, number) + unknown
        except (TypeError, ValueError):
            raise LocalProtocolError(
                f"expected an integer of 32 bits, got {_shorten(number)}", where="UnknownBody.type"
            ) from None
        if isinstance(body, WireRecord):
            message.payload = body.encode()
        elif isinstance(body.payload, bytes):
            message.payload = body.payload
        else:
            raise LocalProtocolError(
                f"expected bytes, got {type(body.payload).__name__}", where=f"{type(body).__name__}.payload"
            )
        return message, unknown


LARGEST_DIAGNOSED = 16 * 1024
"""Bytes of a broken message that are searched for the place: a peer must not make us walk megabytes in Python."""

MOST_ITEMS = 4096
"""Of a repeated field; clients and servers are happy with fifty. Each costs far more time than the bytes it takes."""

MOST_UNKNOWN = 256
"""Unknown fields of one message, for the same reason."""

NOT_ON_THE_WIRE = ("unknown", "body")

_TYPE_NAMES = {
    3: "an integer of 64 bits",
    4: "an integer of 0 to 2**64 - 1",
    5: "an integer of 32 bits",
    8: "True or False",
    9: "text that UTF-8 can carry",
    12: "bytes",
    13: "an integer of 0 to 2**32 - 1",
    14: "an enum member or its number",
}


def parse(message_class: Any, data: bytes, where: str) -> Any:
    """The protobuf message in ``data``; raises `PacketError` that names the first broken byte."""
    if not isinstance(data, bytes):
        raise LocalProtocolError(f"expected bytes, got {type(data).__name__}", where=where)
    try:
        return message_class.FromString(data)
    except DecodeError:
        fault = find_fault(data, message_class.DESCRIPTOR, where) if len(data) <= LARGEST_DIAGNOSED else None
        raise fault or PacketError("expected a protobuf message", where=where, offset=0) from None


def unknown_fields(message: Any, where: str) -> Any:
    """The fields that the message does not know, if they are not too many."""
    surplus = UnknownFieldSet(message)
    if len(surplus) > MOST_UNKNOWN:
        raise PacketError(f"expected at most {MOST_UNKNOWN} unknown fields, got {len(surplus)}", where=where)
    return surplus


def without_unknown(value: Any) -> Any:
    """A record, or a tuple of them, whose unknown fields are gone at every depth."""
    if isinstance(value, WireRecord):
        return value._make([*map(without_unknown, value[:-1]), b""])
    return tuple(map(without_unknown, value)) if type(value) is tuple else value


def text(value: Any, where: str) -> str:
    """A string field's value, which protobuf hands out as bytes if it was no UTF-8."""
    if type(value) is str:
        return value
    fault = text_fault(bytes(value), where)
    raise fault or PacketError("expected UTF-8 text", where=where)


def encode_enum(number: int, value: int) -> bytes:
    """An enum field whose value protobuf does not know and so would not set; TypeError or ValueError if it is none."""
    value = operator.index(value)
    if not -(1 << 31) <= value < 1 << 31:
        raise ValueError
    return encode_tag(number, VARINT) + encode_varint(value)


def unknown_enum(surplus: Any, number: int) -> int | None:
    """The last value of an enum field that protobuf put among the unknown fields, as the signed 32 bits it is."""
    found = None
    for field in surplus:
        if field.field_number == number and field.wire_type == VARINT:
            found = (int(field.data) + (1 << 31)) % (1 << 32) - (1 << 31)
    return found


def _surplus_bytes(surplus: Any, taken: Set[int]) -> bytes:
    """Unknown fields in wire format, but for values of the enum fields ``taken``."""
    out = bytearray()
    for field in surplus:
        number, wire_type, data = field.field_number, field.wire_type, field.data
        if number in taken and wire_type == VARINT:
            continue
        out += encode_tag(number, wire_type)
        if wire_type == VARINT:
            out += encode_varint(data)
        elif wire_type == LENGTH:
            out += encode_varint(len(data)) + data
        elif wire_type == GROUP_START:
            out += _surplus_bytes(data, set()) + encode_tag(number, GROUP_END)
        else:
            out += data.to_bytes({FIXED64: 8, FIXED32: 4}[wire_type], "little")
    return bytes(out)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _shorten(value: object) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, (bytes, bytearray)) else shown(value)
