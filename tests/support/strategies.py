"""Hypothesis strategies for packets, derived from the records' own fields so that none is forgotten."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st

from mimc_proto import pb
from mimc_proto.errors import PacketError
from mimc_proto.packets import BadPacket, Packet, PacketList, PacketType, UnknownBody, WireRecord
from mimc_proto.packets.schema import Envelope, Field, RawBody
from mimc_proto.packets.wire import (
    FIXED32,
    FIXED64,
    GROUP_END,
    GROUP_START,
    LENGTH,
    MAX_FIELD_NUMBER,
    VARINT,
    encode_tag,
    encode_varint,
    expected_wire_type,
)

R = TypeVar("R", bound=WireRecord)

INT64, UINT64, INT32, BOOL, STRING, MESSAGE, BYTES, UINT32, ENUM = 3, 4, 5, 8, 9, 11, 12, 13, 14


def mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any], *, one_in: int) -> st.SearchStrategy[Any]:
    """``rare`` one time in ``one_in``."""
    return st.sampled_from([usual] * (one_in - 1) + [rare]).flatmap(lambda chosen: chosen)


def integers(lowest: int, highest: int) -> st.SearchStrategy[int]:
    """Integers of one width, its extremes often."""
    return st.sampled_from([lowest, -1 if lowest else 0, 0, 1, highest]) | st.integers(lowest, highest)


SCALARS: dict[int, st.SearchStrategy[Any]] = {
    INT64: integers(-(1 << 63), (1 << 63) - 1),
    UINT64: integers(0, (1 << 64) - 1),
    INT32: integers(-(1 << 31), (1 << 31) - 1),
    UINT32: integers(0, (1 << 32) - 1),
    BOOL: st.booleans(),
    STRING: st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(["", "\0", "米聊", "🙂" * 40]),
    BYTES: st.binary(max_size=40) | st.binary(min_size=128, max_size=140),
}


def wire_records() -> list[type[WireRecord]]:
    """Every record class that has a message."""
    found: list[type[WireRecord]] = []
    waiting = [WireRecord]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        own = cls.__module__.startswith("mimc_proto.") and not cls.__name__.startswith("_")
        if cls.message is not None and own:
            found.append(cls)
    return sorted(found, key=lambda cls: cls.__name__)


# ------------------------------------------------------------------------------------------------- unknown fields


def encode_field(number: int, wire_type: int, value: int | bytes) -> bytes:
    """One field in wire format; the value of a group is its inside."""
    tag = encode_tag(number, wire_type)
    if isinstance(value, int):
        return tag + encode_varint(value)
    if wire_type == LENGTH:
        return tag + encode_varint(len(value)) + value
    return tag + value + (encode_tag(number, GROUP_END) if wire_type == GROUP_START else b"")


def any_field(numbers: st.SearchStrategy[int], inside: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """A field of any wire type; ``inside`` is what a group may hold."""
    values: tuple[st.SearchStrategy[tuple[int, int | bytes]], ...] = (
        st.tuples(st.just(VARINT), integers(0, (1 << 64) - 1)),
        st.tuples(st.just(FIXED64), st.binary(min_size=8, max_size=8)),
        st.tuples(st.just(LENGTH), st.binary(max_size=10)),
        st.tuples(st.just(GROUP_START), inside),
        st.tuples(st.just(FIXED32), st.binary(min_size=4, max_size=4)),
    )
    return st.builds(lambda number, typed: encode_field(number, *typed), numbers, st.one_of(*values))


_GROUPS = st.recursive(
    st.just(b""),
    lambda inside: st.lists(any_field(st.integers(1, 40), inside), max_size=2).map(b"".join),
    max_leaves=4,
)


def unknown_fields(message: Any) -> st.SearchStrategy[bytes]:
    """Fields that a message does not know, of every wire type."""
    known = set(message.DESCRIPTOR.fields_by_number)
    numbers = (st.integers(1, 40) | st.just(MAX_FIELD_NUMBER)).filter(lambda number: number not in known)
    return mostly(st.just(b""), st.lists(any_field(numbers, _GROUPS), max_size=3).map(b"".join), one_in=3)


# -------------------------------------------------------------------------------------------------------- records


def enum_numbers(message: Any, field: str) -> set[int]:
    """The numbers that the official clients know for an enum field."""
    return set(message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number)


def enum_values(cls: type[WireRecord], field: Field) -> st.SearchStrategy[int]:
    """Members of a field's enum, and numbers that nobody knows."""
    assert field.enum is not None
    known = enum_numbers(cls.message, field.wire_name)
    return st.sampled_from(list(field.enum)) | SCALARS[INT32].filter(lambda number: number not in known)


def field_values(cls: type[WireRecord], field: Field) -> st.SearchStrategy[Any]:
    """Values of one field that survive the wire: None too where None is what a missing field gives."""
    if field.record is not None:
        value: st.SearchStrategy[Any] = nested_records(field.record) if cls is PacketList else records(field.record)
    elif field.kind == ENUM:
        value = enum_values(cls, field)
    else:
        value = SCALARS[field.kind]
    if field.repeated:
        return st.lists(value, max_size=3).map(tuple)
    return value if field.default is not None or field.required else st.none() | value


def bodies(cls: type[Envelope], *, lists: bool = True) -> st.SearchStrategy[Any]:
    """Every kind of body of an envelope, and bodies of types that nobody knows."""
    known = enum_numbers(cls.message, "type")
    unknown = st.builds(
        UnknownBody, type=SCALARS[INT32].filter(lambda number: number not in known), payload=SCALARS[BYTES]
    )
    kinds: list[st.SearchStrategy[Any]] = [unknown]
    for body in cls.bodies.values():
        if issubclass(body, WireRecord):
            if lists or body is not PacketList:
                kinds.append(records(body))
        elif issubclass(body, RawBody):
            kinds.append(st.builds(body, payload=SCALARS[BYTES]))
    return st.one_of(kinds)


@functools.cache
def records(cls: type[R]) -> st.SearchStrategy[R]:
    """Records of a class that come back from the wire as they were."""
    return _records(cls, lists=True)


@functools.cache
def nested_records(cls: type[R]) -> st.SearchStrategy[R]:
    """The same without lists of packets: a list cannot hold a list."""
    return _records(cls, lists=False)


def _records(cls: type[R], *, lists: bool) -> st.SearchStrategy[R]:
    fields = {field.name: field_values(cls, field) for field in cls.wire_fields}
    if issubclass(cls, Envelope):
        fields["body"] = bodies(cls, lists=lists)
    return st.builds(cls, unknown=unknown_fields(cls.message), **fields)


# -------------------------------------------------------------------------------------- what a peer might also send


def loose_scalars(kind: int) -> st.SearchStrategy[int | bytes]:
    """Wire values of a field: zeros often, integers too wide for it at times, and text that is no UTF-8."""
    if kind == STRING:
        broken = st.sampled_from([b"\xff", b"a\xc3", b"\xed\xa0\x80"])
        return mostly(SCALARS[STRING].map(str.encode), broken, one_in=30)
    if kind == BYTES:
        return SCALARS[BYTES]
    plain = SCALARS[kind] if kind != ENUM else st.sampled_from([1, 2])
    return mostly(plain.map(int), st.sampled_from([0, 99, 1 << 32, (1 << 64) - 1]), one_in=10)


@functools.cache
def loose_fields(message: Any) -> dict[str, st.SearchStrategy[bytes]]:
    """Each field of a message by its name, encoded, with loose values."""
    fields = {}
    for known in message.DESCRIPTOR.fields:
        inner = known.type == MESSAGE
        value = loose_messages(getattr(pb, known.message_type.name)) if inner else loose_scalars(known.type)
        fields[known.name] = st.builds(
            encode_field, st.just(known.number), st.just(expected_wire_type(known.type)), value
        )
    return fields


@functools.cache
def loose_messages(message: Any) -> st.SearchStrategy[bytes]:
    """Encoded messages: fields missing, and sometimes out of order, repeated, unknown or of another wire type."""
    fields = list(loose_fields(message).values())
    usual = st.tuples(*(mostly(field, st.just(b""), one_in=4) for field in fields)).map(b"".join)
    surprising = any_field(st.integers(1, 12), _GROUPS)
    return mostly(usual, st.lists(st.one_of(*fields, surprising), max_size=6).map(b"".join), one_in=6)


def loose_packets(kind: int, payload: st.SearchStrategy[bytes] | None = None) -> st.SearchStrategy[bytes]:
    """Encoded MIMCPackets of one type, whose payload (if none is given) is what that type wants, loosely."""
    if payload is None:
        payload = loose_bodies(kind)
    fields = loose_fields(pb.MIMCPacket)
    optional = [
        mostly(field, st.just(b""), one_in=3) for name, field in fields.items() if name not in ("type", "payload")
    ]
    surprise = mostly(st.just(b""), loose_messages(pb.MIMCPacket), one_in=10)
    return st.builds(
        lambda parts, content, surprise: b"".join(
            [*parts, encode_field(4, VARINT, kind), encode_field(5, LENGTH, content), surprise]
        ),
        st.tuples(*optional),
        payload,
        surprise,
    )


def loose_bodies(kind: int) -> st.SearchStrategy[bytes]:
    """Encoded payloads of a packet type; lists hold messages, acknowledgements, oddities and other lists."""
    body = Packet.bodies.get(kind)
    if body is PacketList:
        items = st.one_of(
            *(loose_packets(inner) for inner in (1, 2, 4, 7, 99)),
            loose_packets(PacketType.COMPOUND, st.just(b"")),
            loose_messages(pb.MIMCPacket),
        )
        listed = st.lists(items, max_size=3)
        return st.builds(
            lambda rest, items: rest + b"".join(encode_field(4, LENGTH, item) for item in items),
            loose_messages(pb.MIMCPacketList),
            listed,
        )
    if body is None or not issubclass(body, WireRecord):
        return SCALARS[BYTES]
    return loose_messages(body.message)


@st.composite
def mutated(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> bytes:
    """Bytes that were changed, cut or lengthened in a few places."""
    result = bytearray(draw(data))
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(0, len(result)))
        change = draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
        if change == "flip" and position < len(result):
            result[position] ^= 1 << draw(st.integers(0, 7))
        elif change == "cut":
            del result[position:]
        elif change == "insert":
            result[position:position] = draw(st.binary(min_size=1, max_size=3))
        else:
            del result[position : position + 1]
    return bytes(result)


# ------------------------------------------------------------------------------------------------------ comparing


def comparable(value: Any) -> Any:
    """A record as plain values, types included, with errors (which compare by identity) by what they say."""
    if isinstance(value, PacketError):
        return PacketError, value.problem, value.where, value.offset
    if isinstance(value, tuple):
        return type(value), [comparable(item) for item in value]
    return type(value), value


def outcome(decode: Callable[[bytes], Any], data: bytes) -> Any:
    """What a decoder makes of bytes: its record or its `PacketError`, to be compared with another's."""
    try:
        return comparable(decode(data))
    except PacketError as error:
        return comparable(error)


def holds_bad_packet(value: Any) -> bool:
    """Whether a record has a packet in it that could not be read (and so cannot be encoded)."""
    return isinstance(value, BadPacket) or (isinstance(value, tuple) and any(map(holds_bad_packet, value)))
