"""Log lines: for people, or as JSON. What peers chose, such as names, can forge neither a line nor a field of one."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

__all__ = ["FIELDS", "FORMATTERS", "JsonFormatter", "TextFormatter"]

FIELDS = "fields"
"""The attribute of a record that holds its fields, a dict; ``logger.info("login", extra={FIELDS: {...}})``."""

SUPPRESSED = "suppressed"
"""The attribute of a record of anybody else's that says how many before it were not written, and the field for it."""

LONGEST = 1024
"""Characters of a message of anybody else's that are written."""

LONGEST_VALUE = 200
"""Characters of a field that are written for people."""

_PLAIN = re.compile(r"[\w.:@/+-]{1,200}")
_MARGIN = "    | "


def _time(record: logging.LogRecord) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Those that have a value."""
    fields: dict[str, Any] = getattr(record, FIELDS, None) or {SUPPRESSED: getattr(record, SUPPRESSED, None)}
    return {name: value for name, value in fields.items() if value is not None}


def _one_line(text: str) -> str:
    """As it is, but for what a terminal or a reader of lines would take for more than text."""
    escaped = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[:LONGEST])
    return escaped if len(text) <= LONGEST else escaped + "..."


def _value(value: object) -> str:
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    return repr(text[:LONGEST_VALUE]) + "..." * (len(text) > LONGEST_VALUE)


class TextFormatter(logging.Formatter):
    """``time LEVEL event field=value ...``; a value that is more than one plain word is in quotes, and escaped.

    Lines of other libraries have their logger's name in place of an event. What follows a line of an error begins with
    ``|``, indented.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, and below it the traceback if there is one."""
        fields = _fields(record)
        own = hasattr(record, FIELDS)
        text = record.getMessage() if own else f"{record.name}: {_one_line(record.getMessage())}"
        told = (f"{name}={_value(value)}" for name, value in fields.items())
        lines = [" ".join((f"{_time(record)} {record.levelname:<7} {text}", *told))]
        if record.exc_info:
            lines += [_MARGIN + _one_line(line) for line in self.formatException(record.exc_info).splitlines()]
        return "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One object a line, in ASCII: ``time``, ``level``, ``logger``, ``event`` and the fields; of other libraries
    ``message`` in place of ``event``, and of errors ``exception``, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        shown: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        shown["event" if hasattr(record, FIELDS) else "message"] = record.getMessage()
        shown.update(_fields(record))
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        return json.dumps(shown, default=str)


FORMATTERS: dict[str, type[logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}
"""By the setting ``log.format``."""
