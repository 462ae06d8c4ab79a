"""Words for libFuzzer's own mutations, in its format; ours know them already, so these come from the same places."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mimc_cli.fuzzing import NUMBERS, TEXTS

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets.wire import encode_varint

__all__ = ["dictionary", "words"]

LONGEST = 64
"""Bytes of a word: a longer one would be most of an input."""

_WIRE = (b"\xc2\xfe\x00\x05", b"\xc2\xfe\x00\x04\x00\x03\x00\x02", b"\x00\x02", EMPTY_FRAME)
_JSON = (b"null", b"true", b"false", b"NaN", b"1e999", b"-1", b"{}", b"[]", b'""', b"\\u0000", b"\\ud800")
_HTTP = (b"\r\n\r\n", b"\r\n", b": ", b"HTTP/1.1 101 ", b"Upgrade: websocket\r\n", b"Connection: Upgrade\r\n")
_NUMBERS = tuple(encode_varint(number) for number in NUMBERS) + tuple(
    (number & (1 << 32) - 1).to_bytes(4, "big") for number in NUMBERS
)


def words(seeds: list[bytes]) -> list[bytes]:
    """Those that fit inputs like the seeds: names and texts of JSON, or magics, lengths and varints; each once."""
    parsed = [value for seed in seeds if (value := _parsed(seed)) is not None]
    if parsed:
        numbers = [str(number).encode() for number in NUMBERS]
        found = [*_JSON, *numbers, *(text for value in parsed for text in _texts(value))]
    elif any(b"HTTP/1.1" in seed for seed in seeds):
        found = [*_HTTP, *_WIRE, *_NUMBERS]
    else:
        found = [*_WIRE, *_NUMBERS]
    return list(dict.fromkeys(word for word in (*found, *TEXTS) if 0 < len(word) <= LONGEST))


def _parsed(seed: bytes) -> Any:
    try:
        value = json.loads(seed)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


def _texts(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield json.dumps(name).encode()
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value.encode()


def dictionary(seeds: list[bytes]) -> str:
    """The file of these words: one in quotes on each line, every byte as two digits."""
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words(seeds))
