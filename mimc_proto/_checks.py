"""Checks that several modules make on what the caller gives and on what the peer sends."""

from __future__ import annotations

from typing import TypeVar

from .crypto import MAX_KEY, security_key_bytes
from .errors import CryptoError, LocalProtocolError, PacketError, RemoteProtocolError, shown
from .packets import WireRecord

__all__ = ["MAX_ID", "MAX_NAME", "MAX_TOKEN", "check_number", "check_text", "later", "link_secret", "read_strictly"]

LATEST = 1e12
"""Times beyond this are no seconds of any clock, and too large for sums to be exact."""

MAX_NAME, MAX_TOKEN = 1024, 2048
"""Bytes of an account, package or bizType, and of a token: BIND has to fit the 4 KiB, a message the 64 KiB that
servers take."""

MAX_ID = 128
"""The longest packet id we send, in bytes: with a security key it fits a payload key."""

R = TypeVar("R", bound=WireRecord)


def link_secret(security_key: str) -> bytes:
    """The constant part of a user's payload keys, short enough for every id that we send. Raises `CryptoError`."""
    secret = security_key_bytes(security_key)
    if len(secret) + MAX_ID > MAX_KEY:
        most = MAX_KEY - MAX_ID - 1
        raise CryptoError(f"expected at most {most} bytes in base64, got {len(secret) - 1}", where="security key")
    return secret


def read_strictly(record: type[R], data: bytes) -> R:
    """A record that the link cannot do without: what is wrong with it is fatal."""
    try:
        return record.decode(data)
    except PacketError as error:
        raise RemoteProtocolError(error.problem, where=error.where, offset=error.offset) from None


def check_text(value: str, where: str, most: int, *, empty: bool = False, secret: bool = False) -> str:
    """A text of the caller that can be encoded and has 1 (``empty``: 0) to ``most`` bytes."""
    try:
        size = len(value.encode())
    except (AttributeError, UnicodeEncodeError):
        got = f"a {type(value).__name__}" if secret else shown(value)
        raise LocalProtocolError(f"expected text that UTF-8 can carry, got {got}", where=where) from None
    if size > most or not (size or empty):
        raise LocalProtocolError(f"expected {0 if empty else 1} to {most} bytes, got {size}", where=where)
    return value


def check_number(value: int, where: str, end: int = 1 << 63) -> int:
    """A whole number of the caller from 0 up to, but not including, ``end``."""
    if type(value) is not int or not 0 <= value < end:
        raise LocalProtocolError(f"expected a whole number from 0 to {end - 1}, got {shown(value)}", where=where)
    return value


def later(before: float, now: float) -> float:
    """The time it is now: a clock that goes back stands still."""
    try:
        if now > before:
            if now > LATEST:
                raise LocalProtocolError(f"expected seconds below {LATEST:g}, got {now}", where="now")
            return now
        if now != now:
            raise LocalProtocolError("expected seconds, got NaN", where="now")
    except TypeError:
        raise LocalProtocolError(f"expected seconds as a number, got {now!r}", where="now") from None
    return before
