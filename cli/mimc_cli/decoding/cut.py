"""Finding the frames in a run of bytes, and the way back to them after a broken one.

Both framings may be mixed: the version field tells them apart. Everything here is linear in the input, whatever
lengths a hostile one announces.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from mimc_proto.framing import (
    CHECKSUM_SIZE,
    FRAME_HEADER,
    PACKET_HEADER,
    TCP_VERSION,
    WEBSOCKET_VERSION,
    Framing,
)

from .findings import Fault
from .source import MAGIC

__all__ = ["Checksums", "Layout", "Piece", "cut"]

BELIEVABLE_BODY = 1 << 20
"""Bytes: what the largest default limit of a receiver lets in. A longer body that is not there is a wrong length."""

MODULUS = 65521
"""Of the sums of Adler-32."""

_FRAME_START = re.compile(rb"\xc2\xfe\x00[\x04\x05]")
_LINE_ENDS = (b"\n", b"\r\n")


class Layout(NamedTuple):
    """The parts of one framing's frame; ``head`` is everything before the body or the ClientHeader, in bytes."""

    framing: Framing
    version: int
    head: int

    def size(self, head: bytes) -> int:
        """Of the whole frame, in bytes, as its first ``self.head`` bytes announce it."""
        if self.framing is Framing.TCP:
            content = FRAME_HEADER.unpack(head)[2]
        else:
            *_, header_size, payload_size = PACKET_HEADER.unpack(head)
            content = header_size + payload_size
        return self.head + int(content) + CHECKSUM_SIZE

    def lengths(self, head: bytes, content: int) -> list[tuple[int, int, int, int]]:
        """(offset, width, value, the value that would make the frame hold ``content`` bytes) of each length field."""
        if self.framing is Framing.TCP:
            return [(4, 4, FRAME_HEADER.unpack(head)[2], content)]
        *_, header_size, payload_size = PACKET_HEADER.unpack(head)
        return [
            (8, 2, header_size, content - payload_size),
            (10, 4, payload_size, content - header_size),
        ]


TCP = Layout(Framing.TCP, TCP_VERSION, FRAME_HEADER.size)
WEBSOCKET = Layout(Framing.WEBSOCKET, WEBSOCKET_VERSION, PACKET_HEADER.size)
LAYOUTS = {layout.version: layout for layout in (TCP, WEBSOCKET)}


class Piece(NamedTuple):
    """One frame, whole or not, or a run of bytes that is none (``layout`` None)."""

    start: int
    data: bytes
    layout: Layout | None
    size: int = 0
    """What the frame announces, in bytes; 0 if not even that is there."""
    adler: tuple[int, int] | None = None
    """(computed, read), if the frame is all there."""
    faults: tuple[Fault, ...] = ()
    trailing: int = 0
    """Bytes of a line end after the last frame of the input, as an editor adds them."""

    @property
    def whole(self) -> bool:
        return self.adler is not None

    @property
    def end(self) -> int:
        return self.start + len(self.data) + self.trailing


def cut(data: bytes) -> Iterator[Piece]:
    """Every frame in ``data``, and every run of bytes between them. Raises nothing."""
    checksums = Checksums(data)
    position = 0
    while position < len(data):
        piece = _piece(data, position, checksums)
        if piece.whole and len(data) - piece.end <= 2 and data[piece.end :] in _LINE_ENDS:
            piece = piece._replace(trailing=len(data) - piece.end)
        yield piece
        position = piece.end


def _piece(data: bytes, start: int, checksums: Checksums) -> Piece:
    available = len(data) - start
    if data.startswith(MAGIC, start):
        if available < 4:
            return _no_head(data, start, None)
        layout = LAYOUTS.get(int.from_bytes(data[start + 2 : start + 4], "big"))
        if layout is not None:
            return _frame(data, start, layout, checksums)
    elif available == 1 and MAGIC.startswith(data[start:]):
        return _no_head(data, start, None)
    return _strange(data, start, checksums)


def _frame(data: bytes, start: int, layout: Layout, checksums: Checksums) -> Piece:
    """The frame at ``start``, whose magic and version are right."""
    if len(data) - start < layout.head:
        return _no_head(data, start, layout)
    size = layout.size(data[start : start + layout.head])
    end = start + size
    adler = checksums.pair(start, end)
    if adler is not None and (adler[0] == adler[1] or _is_boundary(data, end)):
        return _whole(data, start, layout, size, adler)
    following = _FRAME_START.search(data, start + 4)
    stop = following.start() if following is not None else len(data)
    fitting = _with_fitting_length(data, start, layout, stop)
    if fitting is not None:
        return fitting
    if stop < end and following is not None:
        problem = f"expected a frame of {size} bytes, got another one that begins {stop - start} bytes on"
        return Piece(start, data[start:stop], layout, size, faults=(Fault(stop - start, "frame", problem),))
    return _cut_off(data, start, layout, size) if adler is None else _whole(data, start, layout, size, adler)


def _whole(data: bytes, start: int, layout: Layout, size: int, adler: tuple[int, int]) -> Piece:
    """A frame that is all there; ``adler`` is the (computed, read) checksum."""
    frame = data[start : start + size]
    if adler[0] != adler[1]:
        problem = f"expected Adler-32 {adler[0]:08x}, got {adler[1]:08x}{_one_wrong_byte(frame, *adler)}"
        return Piece(start, frame, layout, size, adler, (Fault(size - CHECKSUM_SIZE, "checksum", problem),))
    return Piece(start, frame, layout, size, adler)


def _one_wrong_byte(frame: bytes, computed: int, read: int) -> str:
    """Names the byte that explains a wrong checksum alone, if there is one.

    A byte that is wrong by d, n bytes before the end, changes the two sums of Adler-32 by d and n * d.
    """
    low = ((computed & 0xFFFF) - (read & 0xFFFF)) % MODULUS
    high = ((computed >> 16) - (read >> 16)) % MODULUS
    off_by = low if low < MODULUS // 2 else low - MODULUS
    size = len(frame) - CHECKSUM_SIZE
    if not 0 < abs(off_by) < 256 or size >= MODULUS:
        return ""
    position = size - high * pow(off_by, -1, MODULUS) % MODULUS
    if not 0 <= position < size or not 0 <= frame[position] - off_by < 256:
        return ""
    right = frame[position] - off_by
    return f" (it would fit if byte {position} were {right:02x} and not {frame[position]:02x})"


def _with_fitting_length(data: bytes, start: int, layout: Layout, stop: int) -> Piece | None:
    """The frame up to ``stop``, if a right length field is all that it lacks: then its checksum fits."""
    size = stop - start
    content, checksum = size - layout.head - CHECKSUM_SIZE, data[stop - CHECKSUM_SIZE : stop]
    if content < 0:
        return None
    head = data[start : start + layout.head]
    for offset, width, got, right in layout.lengths(head, content):
        if not 0 <= right < 1 << 8 * width:
            continue
        mended = head[:offset] + right.to_bytes(width, "big") + head[offset + width :]
        covered = data[start + layout.head : stop - CHECKSUM_SIZE]
        computed = zlib.adler32(covered, zlib.adler32(mended))
        if computed == int.from_bytes(checksum, "big"):
            problem = f"expected length {right}, with which the checksum fits, got {got}"
            fault = Fault(offset, "frame.length", problem)
            return Piece(start, mended + covered + checksum, layout, size, (computed, computed), (fault,))
    return None


def _no_head(data: bytes, start: int, layout: Layout | None) -> Piece:
    """The input ends before a frame has said how long it is."""
    available = len(data) - start
    needed = layout.head if layout is not None else 4
    what = "magic, version and lengths" if layout is not None else "magic and version"
    problem = f"expected {needed} bytes of {what}, got {available}: the input ends here"
    return Piece(start, data[start:], layout, faults=(Fault(available, "frame", problem),))


def _cut_off(data: bytes, start: int, layout: Layout, size: int) -> Piece:
    """The input ends within a frame, or its length field is wrong."""
    available = len(data) - start
    if size - layout.head - CHECKSUM_SIZE > BELIEVABLE_BODY:
        field = 4 if layout is TCP else 10
        problem = f"expected a length within the {available} bytes that are left, got a frame of {size} bytes"
        fault = Fault(field, "frame.length", problem)
    else:
        missing = size - available
        problem = f"expected a frame of {size} bytes, got {available}: the input ends here, {missing} are missing"
        fault = Fault(available, "frame", problem)
    return Piece(start, data[start:], layout, size, faults=(fault,))


def _strange(data: bytes, start: int, checksums: Checksums) -> Piece:
    """What is at ``start`` where a frame should begin: a frame with a wrong magic or version, or no frame."""
    magic, version = data[start : start + 2], int.from_bytes(data[start + 2 : start + 4], "big")
    if magic != MAGIC:
        fault = Fault(0, "frame.magic", f"expected magic {MAGIC.hex()}, got {magic.hex()}")
        layouts = [LAYOUTS[version]] if version in LAYOUTS else []
    else:
        expected = f"expected version {TCP_VERSION} (TCP) or {WEBSOCKET_VERSION} (WebSocket), got {version}"
        fault = Fault(2, "frame.version", expected)
        layouts = [TCP, WEBSOCKET]
    for layout in layouts:
        if len(data) - start < layout.head:
            continue
        size = layout.size(data[start : start + layout.head])
        adler = checksums.pair(start, start + size)
        if adler is not None and (adler[0] == adler[1] or _is_boundary(data, start + size)):
            whole = _whole(data, start, layout, size, adler)
            return whole._replace(faults=(fault, *whole.faults))
    following = _FRAME_START.search(data, start + 1)
    stop = following.start() if following is not None else len(data)
    return Piece(start, data[start:stop], None, faults=(fault,))


def _is_boundary(data: bytes, position: int) -> bool:
    """Whether a frame may well end here: the input does too, or another frame begins."""
    return position == len(data) or data.startswith(MAGIC, position)


class Checksums:
    """Adler-32 of any range at a constant cost: a hostile input announces overlapping frames of any length.

    Adler-32 is two sums, so that of a range follows from those of two prefixes, and prefixes are kept every ``STEP``
    bytes.
    """

    STEP = 4096

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._marks = [0]

    def pair(self, start: int, end: int) -> tuple[int, int] | None:
        """(computed, read) checksum of the frame ``data[start:end]``; None if it is not all there."""
        if end > len(self._data):
            return None
        covered = end - CHECKSUM_SIZE
        return self.of(start, covered), int.from_bytes(self._data[covered:end], "big")

    def of(self, start: int, end: int) -> int:
        """``zlib.adler32(data[start:end])``."""
        if end - start <= self.STEP:
            return zlib.adler32(self._data[start:end])
        size, before, all_of_it = end - start, self._prefix(start), self._prefix(end)
        low = (all_of_it & 0xFFFF) - (before & 0xFFFF)
        high = (all_of_it >> 16) - (before >> 16) - size * (before & 0xFFFF)
        return (high + size) % MODULUS << 16 | (low + 1) % MODULUS

    def _prefix(self, end: int) -> int:
        """Both sums of ``data[:end]``, started from 0 and not from 1."""
        mark, marks = end // self.STEP, self._marks
        while len(marks) <= mark:
            begin = (len(marks) - 1) * self.STEP
            marks.append(zlib.adler32(self._data[begin : begin + self.STEP], marks[-1]))
        return zlib.adler32(self._data[mark * self.STEP : end], marks[mark])
