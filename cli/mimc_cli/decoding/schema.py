"""What the typed packets of the core say about each field on the wire, by field number."""

from __future__ import annotations

import functools
from typing import NamedTuple

from mimc_proto import packets
from mimc_proto.packets import UnknownBody, WireRecord
from mimc_proto.packets.schema import Envelope, RawBody
from mimc_proto.packets.wire import expected_wire_type

__all__ = ["RECORDS", "Known", "fields_of", "message_name"]

INT32, INT64, UINT32, UINT64, BOOL, ENUM = 5, 3, 13, 4, 8, 14
STRING, MESSAGE, BYTES = 9, 11, 12

SECRETS = frozenset({"token", "sig", "challenge", "sessionKey"})
"""Fields that are masked by default: what one sees here is pasted into bug reports."""

ADVISED = frozenset(
    {"MIMCP2PMessage.to", "MIMCP2TMessage.to", "MIMCSequenceAck.sequence", "XMMsgBind.token", "XMMsgBind.sig"}
)
"""Optional in protobuf and to the official clients; the core's records refuse a packet without them."""

ALSO_REQUIRED = frozenset({"UCPacket.payload"})
"""Required in protobuf, but no field of its own in the core's record."""


class Known(NamedTuple):
    """A field that a message has; ``kind`` is a TYPE_* number of descriptor.proto."""

    number: int
    name: str
    kind: int
    wire_type: int
    repeated: bool
    required: bool
    advised: bool
    secret: bool
    record: type[WireRecord] | None
    values: dict[int, str]


def message_name(record: type[WireRecord]) -> str:
    """The protobuf name of a record's message."""
    return str(record.message.DESCRIPTOR.name)


@functools.cache
def fields_of(record: type[WireRecord]) -> dict[int, Known]:
    """The fields of a record's message by number, in ascending order."""
    own = {field.number: field for field in record.wire_fields}
    message = message_name(record)
    known: dict[int, Known] = {}
    for field in sorted(record.message.DESCRIPTOR.fields, key=lambda field: int(field.number)):
        ours, full_name = own.get(field.number), f"{message}.{field.name}"
        is_type = issubclass(record, Envelope) and field.name == "type"
        required = is_type or full_name in ALSO_REQUIRED or (ours is not None and ours.required)
        known[field.number] = Known(
            number=field.number,
            name=field.name,
            kind=field.type,
            wire_type=expected_wire_type(field.type),
            repeated=ours is not None and ours.repeated,
            required=required and full_name not in ADVISED,
            advised=full_name in ADVISED,
            secret=field.name in SECRETS,
            record=ours.record if ours is not None else None,
            values={} if field.enum_type is None else {v.number: v.name for v in field.enum_type.values},
        )
    return known


def _records() -> dict[str, type[WireRecord]]:
    found: dict[str, type[WireRecord]] = {}
    for name in packets.__all__:
        record = getattr(packets, name)
        if isinstance(record, type) and issubclass(record, WireRecord) and record.message is not None:
            found.setdefault(message_name(record), record)
    return found


RECORDS = _records()
"""One record for every protobuf message, by the message's name."""

OPAQUE = (RawBody, UnknownBody)
