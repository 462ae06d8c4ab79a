"""What a target is, and what several of them use."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Callable
from random import Random

import conversations as base
from mimc_cli.fuzzing import mutate_bytes, mutate_stream

from mimc_proto import Framing

__all__ = ["TCP", "WEBSOCKET", "Mutator", "Target", "cuts", "frames", "stream_mutator", "target"]

TCP, WEBSOCKET = Framing
Mutator = Callable[[bytes, Random], bytes]


@dataclasses.dataclass(frozen=True)
class Target:
    """``run(data)`` raises if a law is broken; ``mutate`` makes one input of another; ``seeds`` are where to start.

    ``share`` is how many inputs it gets of a long run, next to the others: more if one costs little.
    """

    run: Callable[[bytes], None]
    mutate: Mutator
    seeds: Callable[[], list[bytes]]
    share: int


def target(
    mutate: Mutator, seeds: Callable[[], list[bytes]], *, share: int
) -> Callable[[Callable[[bytes], None]], Target]:
    """Declare the function as the target of its name."""
    return lambda run: Target(run, mutate, seeds, share)


def stream_mutator(framing: Framing) -> Mutator:
    """Of streams with the keys of our conversations."""
    known = base.keys(framing)
    return lambda data, rng: mutate_bytes(data, rng) if rng.random() < 0.1 else mutate_stream(data, known, rng)


def cuts(data: bytes) -> list[bytes]:
    """The same bytes in pieces, the same every time."""
    rng = Random(zlib.crc32(data))
    pieces, place = [], 0
    while place < len(data):
        end = place + rng.choice((1, 2, 7, 30, 300))
        pieces.append(data[place:end])
        place = end
    return pieces


def frames(data: bytes, framing: Framing) -> list[bytes]:
    """The stream, cut where its frames (or messages) end; what is left is one piece."""
    head, tail = (8, 4) if framing is TCP else (4, 0)
    pieces, place = [], 0
    while place + head <= len(data):
        [size] = struct.unpack_from(">I", data, place + head - 4)
        end = place + head + size + tail
        pieces.append(data[place if framing is TCP else place + head : end])
        place = end
    return [*pieces, data[place:]] if framing is TCP and place < len(data) else pieces
