"""The inputs of `mimc decode`: files, standard input, and hex on the command line."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import click

from .decoding import HexError, from_hex, to_bytes

__all__ = ["Source", "read_sources"]

STDIN = "-"


class Source(NamedTuple):
    """One input, read and decoded from hex if it was hex."""

    name: str
    data: bytes


def read_sources(arguments: tuple[str, ...], max_bytes: int) -> Iterator[Source]:
    """Each argument's bytes; adjacent hex arguments are one input. Raises `click.UsageError`."""
    waiting: list[str] = []
    for argument in arguments or (STDIN,):
        if argument != STDIN and not os.path.exists(argument):
            waiting.append(argument)
            continue
        if waiting:
            yield _from_arguments(waiting)
            waiting = []
        yield _read(argument, max_bytes)
    if waiting:
        yield _from_arguments(waiting)


def _from_arguments(arguments: list[str]) -> Source:
    for argument in arguments:
        try:
            from_hex(argument)
        except HexError as error:
            if "even" in str(error):
                continue  # only their sum has to be even
            shown = argument if len(argument) <= 60 else f"{argument[:57]}..."
            raise click.UsageError(f"expected the path of a file, '-' or hex digits, got {shown!r}") from None
    return Source("argument", _decoded(" ".join(arguments).encode("utf-8", "surrogateescape"), "the arguments"))


def _read(path: str, max_bytes: int) -> Source:
    if path == STDIN:
        stream = sys.stdin.buffer
        if stream.isatty():
            click.echo("mimc decode: reading hex or binary from the terminal, Ctrl-D ends it", err=True)
        return Source("stdin", _decoded(_bounded(stream, "standard input", max_bytes), "standard input"))
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise click.UsageError(f"expected a file, got the directory {path!r}")
        with open(path, "rb") as file:
            return Source(path, _decoded(_bounded(file, repr(path), max_bytes), repr(path)))
    except OSError as error:
        raise click.UsageError(f"cannot read {path!r}: {error.strerror}") from None


def _bounded(stream: BinaryIO, name: str, max_bytes: int) -> bytes:
    data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise click.UsageError(f"expected at most {max_bytes} bytes in {name}, got more (see --max-bytes)")
    return data


def _decoded(data: bytes, name: str) -> bytes:
    try:
        return to_bytes(data)
    except HexError as error:
        raise click.UsageError(f"{name}: {error}") from None
