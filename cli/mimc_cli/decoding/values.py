"""Single values as JSON shows them."""

from __future__ import annotations

import base64
from typing import Any

from .schema import BOOL, ENUM, INT32, INT64, UINT64, Known

__all__ = ["bytes_value", "is_text", "masked", "number_value"]

# C0 and C1 but for tab, line feed and carriage return: text has none, and terminals obey some.
_CONTROLS = str.maketrans("", "", "".join(map(chr, [*range(9), 11, 12, *range(14, 32), *range(127, 160)])))


def number_value(known: Known, raw: int) -> Any:
    """A varint by its protobuf type: 64 bits as a string (JSON readers round them), an enum by its name."""
    if known.kind == UINT64:
        return str(raw)
    if known.kind == INT64:
        return str(_signed(raw, 64))
    if known.kind == BOOL:
        return raw != 0
    if known.kind == INT32:
        return _signed(raw, 32)
    if known.kind == ENUM:
        number = _signed(raw, 32)
        return known.values.get(number, number)
    return raw & 0xFFFFFFFF


def bytes_value(data: bytes) -> dict[str, Any]:
    """Bytes that hold no message: as text if they are some, else in base64."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    if text is not None and is_text(text):
        return {"size": len(data), "text": text}
    return {"size": len(data), "base64": base64.b64encode(data).decode("ascii")}


def is_text(text: str) -> bool:
    """Whether people can read it: no control characters but those of lines and tabs."""
    return len(text.translate(_CONTROLS)) == len(text)


def masked(value: bytes) -> str:
    """What stands for a secret."""
    return f"*** ({len(value)} bytes)"


def _signed(raw: int, bits: int) -> int:
    return (raw + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
