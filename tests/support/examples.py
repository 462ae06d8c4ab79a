"""One plain record of every class, for tests that change one thing in it."""

from __future__ import annotations

from typing import Any, TypeVar

from mimc_proto.packets import UnknownBody, WireRecord
from mimc_proto.packets.schema import Envelope, Field

R = TypeVar("R", bound=WireRecord)

INT64, UINT64, INT32, BOOL, STRING, MESSAGE, BYTES, UINT32, ENUM = 3, 4, 5, 8, 9, 11, 12, 13, 14

_VALUES: dict[int, Any] = {
    INT64: -(1 << 40),
    UINT64: 1 << 60,
    INT32: -5,
    BOOL: True,
    STRING: "text",
    BYTES: b"bytes",
    UINT32: 7,
}


def example_value(field: Field) -> Any:
    """A usual value of one field."""
    if field.record is not None:
        return (example(field.record),) if field.repeated else example(field.record)
    return next(iter(field.enum)) if field.enum is not None else _VALUES[field.kind]


def example(cls: type[R], *, full: bool = False) -> R:
    """A record with the fields that it has to have, or with all of them."""
    fields = {field.name: example_value(field) for field in cls.wire_fields if full or field.required}
    if issubclass(cls, Envelope):
        fields["body"] = UnknownBody(type=99, payload=b"payload")
    return cls(**fields)
