"""Values at which implementations break: edges of integers and lengths, and words that mean something on this wire."""

from __future__ import annotations

__all__ = ["NUMBERS", "TEXTS"]

NUMBERS = (
    *range(17),
    *(1 << bits for bits in (5, 6, 7, 8, 15, 16, 31, 32, 53, 62, 63)),
    *((1 << bits) - 1 for bits in (7, 8, 14, 16, 21, 31, 32, 53, 63, 64)),
    100,
    200,
    15_360,
    10_240,
    1 << 64,  # eleven bits too many for a varint of ten bytes: cut to 0
)
"""For varints; negative ones are the large ones."""

TEXTS = (
    b"",
    b"0",
    b"CONN",
    b"BIND",
    b"PING",
    b"UBND",
    b"KICK",
    b"SECMSG",
    b"SYNC",
    b"U",
    b"UCA",
    b"XIAOMI-PASS",
    b"xiaomi.com",
    b"token-expired",
    b"invalid-token",
    b"single-resource-kick",
    b"auto",
    b"\0",
    b"\xff\xfe",
    "é世\U0001f600".encode(),
    b"\xed\xa0\x80",  # half a surrogate pair
    b"%s%n\r\n'\";--",
    b"a" * 255,
    b"a" * 256,
    b"a" * 1025,
)
"""For strings and bytes."""
