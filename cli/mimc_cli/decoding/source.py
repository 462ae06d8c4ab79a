"""Bytes out of what a user has: binary, or hex as dumps, logs and test vectors write it."""

from __future__ import annotations

import codecs
import re
import string

__all__ = ["HexError", "from_hex", "looks_like_text", "to_bytes"]

MAGIC = b"\xc2\xfe"

_COMMENT = re.compile(rb"#[^\n]*")
_PREFIX = re.compile(rb"(?<![0-9A-Fa-f])0[xX]")
_SEPARATORS = b" \t\r\n\v\f:,"
_DIGITS = string.hexdigits.encode()
_TEXT = bytes(range(0x20, 0x7F)) + b"\t\r\n\v\f"


class HexError(ValueError):
    """Text that was to be hex is not; the message never holds the text, which may be a key."""


def to_bytes(data: bytes) -> bytes:
    """The frames' bytes in a file or in standard input: decoded if all of it is hex, as they are if not.

    In hex whitespace, colons, commas, ``0x`` and comments from ``#`` to the end of the line do not count. Raises
    `HexError` for an odd number of digits.
    """
    if data.startswith(MAGIC):
        return data
    digits = _digits(data.removeprefix(codecs.BOM_UTF8))
    return data if digits is None else _unhex(digits)


def from_hex(text: str) -> bytes:
    """The bytes of hex text given as an argument. Raises `HexError`."""
    digits = _digits(text.encode("utf-8", "surrogateescape"))
    if digits is None:
        raise HexError("expected hex digits")
    return _unhex(digits)


def looks_like_text(data: bytes) -> bool:
    """Whether all of it is printable ASCII: then it is hardly binary frames."""
    return not data.translate(None, _TEXT)


def _digits(data: bytes) -> bytes | None:
    """The hex digits alone; None if there is anything else."""
    digits = data.translate(None, _SEPARATORS)
    if digits.translate(None, _DIGITS):
        stripped = _PREFIX.sub(b" ", _COMMENT.sub(b"", data))
        digits = stripped.translate(None, _SEPARATORS)
        if digits.translate(None, _DIGITS):
            return None
    return digits


def _unhex(digits: bytes) -> bytes:
    if len(digits) % 2:
        raise HexError(f"expected an even number of hex digits, got {len(digits)}")
    return bytes.fromhex(digits.decode("ascii"))
