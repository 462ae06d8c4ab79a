"""Frames to JSON: everything `mimc decode` does between its bytes and its output.

``cut`` finds the frames in the input, ``frames`` takes one apart with what ``keys`` and ``direction`` know,
``messages`` reads protobuf down to the text, ``advice`` looks at the whole, and ``findings`` collects what there is
to say about it. No part prints, and none raises for what the input holds.
"""

from .cut import Piece, cut
from .frames import DIRECTIONS, Decoder
from .keys import Keys
from .plain import PLAIN_MESSAGES, decode_plain
from .source import HexError, from_hex, to_bytes

__all__ = [
    "DIRECTIONS",
    "PLAIN_MESSAGES",
    "Decoder",
    "HexError",
    "Keys",
    "Piece",
    "cut",
    "decode_plain",
    "from_hex",
    "to_bytes",
]
