"""The server's side of a WebSocket connection, without I/O. Only this module of the server knows the WebSocket library.

Path ``/``, any ``Origin``, no sub-protocol, no compression (wire.md section 1): with no extension agreed on, a frame
that says it is compressed is an error.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Iterable

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

__all__ = ["MOST_FRAMES", "MOST_REQUEST", "WebSocket"]

MOST_REQUEST = 16 * 1024
"""Bytes of the request of a handshake; browsers send about one thousand."""

MOST_FRAMES = 1000
"""Frames in a row that end no message: pings, and the pieces of a message. They cost more than they weigh."""

END_OF_REQUEST = b"\r\n\r\n"

LONGEST_HEADER, MASK = 14, 4
"""Bytes of the header of a frame, at most, and of the mask at its end."""

CONTROL = 8
"""Opcodes from here on are no part of a message."""

_silent = logging.Logger("mimc.websocket", level=logging.CRITICAL)  # the library would log what is sent


class WebSocket:
    """Messages to bytes and back. Pings and the peer's Close are answered here."""

    __slots__ = ("_failed", "_frames", "_head", "_part", "_protocol", "_unread", "ended", "max_message", "opened")

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        """The largest message that is taken in, in bytes; may be made smaller for a time."""
        self._protocol = ServerProtocol(max_size=max_message, logger=_silent)
        self._head = bytearray()
        self._part = bytearray()
        self._frames = 0
        self._unread = 0  # bytes of the frame that has begun
        self._failed = False
        self.opened = False
        """Whether messages can be sent."""
        self.ended = False
        """Whether the connection is to be closed once `data_to_send` is written: nothing more is taken in."""

    def receive(self, data: bytes) -> list[bytes]:
        """Take in bytes; gives the messages that are whole now. Answers to them wait in `data_to_send`."""
        messages: list[bytes] = []
        if not self.opened:
            data = self._shake_hands(data)
        if data and self.opened and not self.ended:
            self._take_frames(data, messages)
        return messages

    def send(self, messages: Iterable[bytes]) -> None:
        """Queue messages; without effect when one side has said that it closes."""
        for message in messages:
            if self._is_open:
                self._protocol.send_binary(message)

    def close(self, code: int) -> None:
        """Queue the word that this side closes; then `receive` waits for the peer's."""
        if self._is_open:
            self._protocol.send_close(code)

    def data_to_send(self) -> bytes:
        """What is to be written; b"" for nothing."""
        parts = self._protocol.data_to_send()
        self.ended = self.ended or b"" in parts  # the library's sign for the end
        return b"".join(parts)

    @property
    def _is_open(self) -> bool:
        return self._protocol.state is State.OPEN

    def _shake_hands(self, data: bytes) -> bytes:
        """Take in bytes of the request; gives those after it, which the library must not have before its answer."""
        if self.ended:
            return b""
        head = self._head + data
        end = head.find(END_OF_REQUEST)
        if (end if end >= 0 else len(head)) > MOST_REQUEST:
            self._reject(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"at most {MOST_REQUEST} bytes")
        elif end < 0:
            self._head = head
            return b""
        else:
            end += len(END_OF_REQUEST)
            self._protocol.receive_data(head[:end])
            for request in self._protocol.events_received():  # none, if it is no HTTP
                assert isinstance(request, Request)
                self._answer(request)
        self._head = bytearray()
        return bytes(head[end:])

    def _answer(self, request: Request) -> None:
        if request.path.partition("?")[0] == "/":
            self._protocol.send_response(self._protocol.accept(request))
            self.opened = self._is_open
        else:
            self._reject(http.HTTPStatus.NOT_FOUND, "the path /")

    def _reject(self, status: http.HTTPStatus, expected: str) -> None:
        self._protocol.send_response(self._protocol.reject(status, f"Expected {expected}\n"))

    def _take_frames(self, data: bytes, messages: list[bytes]) -> None:
        """Give the library no more than a frame at a time: it would answer those behind one that is refused here."""
        at = 0
        while at < len(data) and not self._failed:
            too_large = not self._unread and self._begin_frame(data, at)
            end = at + self._unread
            piece = data[at:end]
            self._unread -= len(piece)
            at = end
            self._protocol.receive_data(piece)
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    self._on_frame(event, messages)
            if too_large:
                self._fail(CloseCode.MESSAGE_TOO_BIG, f"expected a message of at most {self.max_message} bytes")

    def _begin_frame(self, data: bytes, at: int) -> bool:
        """A frame begins here, or goes on in its header. How much is to be read next: all of it, or of one that makes
        its message too large (True) the header, or of a header that is not whole what there is."""
        begun = len(self._head)
        head = self._head + data[at : at + LONGEST_HEADER - begun]
        size = head[1] & 0x7F if len(head) > 1 else 0
        extended = {126: 2, 127: 8}.get(size, 0)
        whole = 2 + extended + (MASK if len(head) > 1 and head[1] & 0x80 else 0)
        if len(head) < whole:
            self._head, self._unread = head, len(data) - at
            return False
        self._head = bytearray()
        if extended:
            size = int.from_bytes(head[2 : 2 + extended], "big")
        of_message = size if head[0] & 0x0F < CONTROL else 0
        too_large = len(self._part) + of_message > self.max_message
        self._unread = whole - begun + (0 if too_large else size)
        return too_large

    def _on_frame(self, frame: Frame, messages: list[bytes]) -> None:
        self._frames += 1
        if frame.opcode is Opcode.TEXT:
            self._fail(CloseCode.UNSUPPORTED_DATA, "expected binary messages")
        elif frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._part += frame.data
            if frame.fin:
                messages.append(bytes(self._part))
                self._part.clear()
                self._frames = 0
        if self._frames > MOST_FRAMES:
            self._fail(CloseCode.POLICY_VIOLATION, f"expected a message among {MOST_FRAMES} frames")

    def _fail(self, code: int, reason: str) -> None:
        self._failed = True
        self._protocol.fail(code, reason)
