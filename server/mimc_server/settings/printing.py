"""Settings as a file that can be read again, every key with its explanation."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from .addresses import Address
from .keys import Key, sections
from .model import Settings

__all__ = ["as_toml", "written"]

WIDTH = 100


def as_toml(settings: Settings, origins: Mapping[str, str]) -> Iterator[str]:
    """Lines of a configuration file: what has its default is a comment, what ``origins`` has says where it is from.

    Secrets are not in it: they are comments too, and have to be filled in.
    """
    for section in sections():
        yield from _comment(section.text)
        if section.name:
            yield f"[{section.name}]"
        for key in section.keys:
            yield ""
            yield from _comment(key.text)
            yield _setting(key, key.of(settings), origins.get(key.name))
        yield ""


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")


def _setting(key: Key, value: object, origin: str | None) -> str:
    name = key.name.rpartition(".")[2]
    if isinstance(value, SecretStr):
        return f"# {name} is set, and not shown"
    line = f"{name} = {written(value)}"
    return f"# {line}" if origin is None else f"{line}  # from {origin if origin.isprintable() else repr(origin)}"


def written(value: object) -> str:
    """A value in TOML."""
    match value:
        case None:
            return '""'
        case bool() | int() | float():
            return json.dumps(value)
        case Address() | Path():
            return _text(str(value))
        case tuple():
            return f"[{', '.join(map(written, value))}]"
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    """JSON's escapes are TOML's, but that DEL needs one as well, and half a character is none."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
