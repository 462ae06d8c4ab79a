"""A bare protobuf message, without any frame around it."""

from __future__ import annotations

from typing import Any

from .findings import Findings
from .messages import MessageReader
from .schema import RECORDS

__all__ = ["PLAIN_MESSAGES", "decode_plain"]

PLAIN_MESSAGES = tuple(sorted(RECORDS))
"""The messages that can be asked for, by their protobuf names."""


def decode_plain(name: str, data: bytes, *, hide_secrets: bool = False) -> dict[str, Any]:
    """One JSON object for one message; it has ``broken`` if it is. Raises nothing."""
    findings = Findings()
    message = MessageReader(findings, hide_secrets=hide_secrets).read(RECORDS[name], data, 0)
    return {
        "message": name,
        "sizes": {"message": len(data)},
        "payload": {"size": len(data), name: message},
        **findings.to_json(0),
    }
