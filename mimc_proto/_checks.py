"""Checks that several modules make on what the caller gives and on what the peer sends."""

from __future__ import annotations

from typing import TypeVar

from .crypto import MAX_KEY, security_key_bytes
from .errors import CryptoError, LocalProtocolError, PacketError, RemoteProtocolError, shown
from .packets import WireRecord

__all__ = ["MAX_ID", "MAX_NAME", "MAX_TOKEN", "check_text", "link_secret", "read_strictly"]

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
