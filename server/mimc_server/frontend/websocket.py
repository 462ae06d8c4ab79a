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

FRAME_HEADER = 14
"""Bytes of the longest one."""

_silent = logging.Logger("mimc.websocket", level=logging.CRITICAL)  # the library would log what is sent


class WebSocket:
    """Messages to bytes and back. Pings and the peer's Close are answered here."""

    __slots__ = ("_failed", "_frames", "_head", "_part", "_protocol", "_unparsed", "ended", "max_message", "opened")

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        """The largest message that is taken in, in bytes; may be made smaller for a time."""
        self._protocol = ServerProtocol(max_size=max_message, logger=_silent)
        self._head = bytearray()
        self._part = bytearray()
        self._unparsed = self._frames = 0
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
            self._protocol.receive_data(data)
            self._unparsed += len(data)
            for event in self._protocol.events_received():
                self._unparsed = 0
                if isinstance(event, Frame) and not self._failed:
                    self._on_frame(event, messages)
            if len(self._part) + self._unparsed > self.max_message + FRAME_HEADER:
                self._fail(CloseCode.MESSAGE_TOO_BIG, f"expected a message of at most {self.max_message} bytes")
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
