"""Mutations behind the encryption: of frames, headers and packets, with right lengths, checksums and keys around them.

Used by ``fuzz/`` against our own code and by ``mimc fuzz`` against a server. Nothing here has chance of its own: every
mutation takes an ``rng``, and the same one gives the same bytes.
"""

from .numbers import NUMBERS, TEXTS
from .stream import FuzzKeys, Piece, frame_of, join, mutate_pieces, mutate_stream, split
from .structure import mutate_bytes, mutate_message

__all__ = [
    "NUMBERS",
    "TEXTS",
    "FuzzKeys",
    "Piece",
    "frame_of",
    "join",
    "mutate_bytes",
    "mutate_message",
    "mutate_pieces",
    "mutate_stream",
    "split",
]
