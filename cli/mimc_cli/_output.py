"""JSON lines as people and programs read them."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["to_line"]

# Left as they are, some of these end a line for one reader and not for another, and some turn a terminal's text round.
_ESCAPED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def to_line(value: dict[str, Any], *, pretty: bool = False) -> bytes:
    """One JSON object in UTF-8 with its line end; non-ASCII text stays readable."""
    text = json.dumps(value, ensure_ascii=False, indent=2 if pretty else None)
    text = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"
    return text.encode(errors="backslashreplace")  # file names may hold bytes that are no UTF-8
