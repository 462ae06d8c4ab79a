"""What the typed packets of the core say about each field on the wire, by field number."""

from __future__ import annotations

import functools
from typing import NamedTuple

from mimc_proto import packets
from mimc_proto.packets import WireRecord
from mimc_proto.packets.wire import expected_wire_type

__all__ = ["RECORDS", "Known", "fields_of", "message_name"]

INT32, INT64, UINT32, UINT64, BOOL, ENUM = 5, 3, 13, 4, 8, 14
STRING, MESSAGE, BYTES = 9, 11, 12

SECRETS = frozenset({"token", "sig", "challenge", "sessionKey"})
"""Fields that are masked by default: what one sees here is pasted into bug reports."""

REQUIRED = frozenset(
    {
        "ClientHeader.cmd",
        "MIMCPacket.type",
        "MIMCPacketAck.packetId",
        "XMMsgBindResp.result",
        "XMMsgConnResp.challenge",
    }
)
"""Optional in protobuf, yet no receiver can do without them, and Go crashes (clients.md, rule 19)."""


class Known(NamedTuple):
    """A field that a message has.

    ``kind`` is a TYPE_* number of descriptor.proto; without an ``advised`` field only the core refuses the message.
    """

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
    needed = record.message().FindInitializationErrors()  # what protobuf misses in an empty message
    known: dict[int, Known] = {}
    for field in sorted(record.message.DESCRIPTOR.fields, key=lambda field: int(field.number)):
        ours, full_name = own.get(field.number), f"{message}.{field.name}"
        required = field.name in needed or full_name in REQUIRED
        known[field.number] = Known(
            number=field.number,
            name=field.name,
            kind=field.type,
            wire_type=expected_wire_type(field.type),
            repeated=ours is not None and ours.repeated,
            required=required,
            advised=not required and ours is not None and ours.required,
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
