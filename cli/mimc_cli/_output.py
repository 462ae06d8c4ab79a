"""JSON lines as people and programs read them, on standard output."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import click

__all__ = ["discard_output", "say", "standard_output", "to_line"]

UNUSABLE, INTERRUPTED, NOT_READ = 2, 130, 141
"""Exit statuses; the last two are what a shell gives a program that SIGINT or SIGPIPE ended."""


# Left as they are, some of these end a line for one reader and not for another, and some turn a terminal's text round.
_ESCAPED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def to_line(value: dict[str, Any], *, pretty: bool = False) -> bytes:
    """One JSON object in UTF-8 with its line end; non-ASCII text stays readable."""
    text = json.dumps(value, ensure_ascii=False, indent=2 if pretty else None)
    text = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"
    return text.encode(errors="backslashreplace")  # file names may hold bytes that are no UTF-8


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Standard output as bytes, flushed at the end; what goes wrong with it ends the command without a traceback."""
    if sys.stdout is None:
        click.echo("mimc: standard output is closed", err=True)
        sys.exit(UNUSABLE)
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        discard_output()
        sys.exit(NOT_READ)
    except OSError as error:
        discard_output()
        click.echo(f"mimc: cannot write to standard output: {error.strerror}", err=True)
        sys.exit(UNUSABLE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def say(line: str) -> None:
    """A line on standard output; if that cannot be written, the command goes on in silence."""
    try:
        click.echo(line)
    except OSError as error:
        discard_output()
        if not isinstance(error, BrokenPipeError):
            click.echo(f"mimc: cannot write to standard output: {error.strerror}", err=True)


def discard_output() -> None:
    """Nothing can be written any more: the interpreter must not try again when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
