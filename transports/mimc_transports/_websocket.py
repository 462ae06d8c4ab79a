"""The client's side of a WebSocket connection, without I/O. Only this module knows the WebSocket library."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

__all__ = ["MAX_MESSAGE", "WebSocket"]

MAX_MESSAGE = 2 * 1024 * 1024
"""Bytes of a message that are taken in: the limit of a link is below that, and its error says more."""

_silent = logging.Logger("mimc.websocket", level=logging.CRITICAL)  # the library would log what is sent


class WebSocket:
    """Messages to bytes and back: path ``/``, no compression, no sub-protocol (wire.md, section 1)."""

    __slots__ = ("_part", "_protocol", "closed", "opened", "problem")

    def __init__(self, host: str, port: int, *, secure: bool) -> None:
        uri = WebSocketURI(secure, _ascii(host), port, "/", "")
        self._protocol = ClientProtocol(uri, max_size=MAX_MESSAGE, logger=_silent)
        self._protocol.send_request(self._protocol.connect())
        self._part = bytearray()
        self.opened = False
        """Whether messages can be sent."""
        self.closed = False
        """Whether the peer has said that it closes."""
        self.problem = ""
        """What the peer did that is no WebSocket, or nothing that MIMC knows: nothing more is taken in."""

    def receive(self, data: bytes) -> list[bytes]:
        """Take in bytes; gives the messages that are whole now. Answers to them wait in `data_to_send`."""
        protocol, messages = self._protocol, list[bytes]()
        if not self.problem:
            protocol.receive_data(data)
            for event in protocol.events_received():
                if isinstance(event, Frame):
                    self._on_frame(event, messages)
            self.opened = self.opened or (protocol.handshake_exc is None and protocol.state is not State.CONNECTING)
            self._check(protocol.handshake_exc or protocol.parser_exc)
        return messages

    def problem_at_end(self) -> str:
        """The connection has ended: what was wrong, "" if that may happen."""
        if not (self.opened or self.problem):
            self._protocol.receive_eof()
            self._check(self._protocol.handshake_exc)
        return self.problem

    def _check(self, fault: Exception | None) -> None:
        if fault is not None and not self.problem:
            self.problem = f"expected WebSocket, got {type(fault).__name__}: {fault}"

    def _on_frame(self, frame: Frame, messages: list[bytes]) -> None:
        if self.problem:
            return
        if frame.opcode is Opcode.CLOSE:
            self.closed = True
        elif frame.opcode is Opcode.TEXT:
            self.problem = "expected binary messages, got text"
        elif frame.opcode in (Opcode.BINARY, Opcode.CONT):
            self._part += frame.data
            if frame.fin:
                messages.append(bytes(self._part))
                self._part.clear()

    def send(self, messages: Iterable[bytes]) -> None:
        """Queue messages; without effect when one side has said that it closes."""
        for message in messages:
            if self._protocol.state is State.OPEN:
                self._protocol.send_binary(message)

    def close(self) -> None:
        """Queue the word that this side closes, if the handshake is through and it was not said before."""
        if self.opened and not self._protocol.close_expected():
            self._protocol.send_close(1000)

    def data_to_send(self) -> bytes:
        """What is to be written; b"" for nothing."""
        return b"".join(self._protocol.data_to_send())


def _ascii(host: str) -> str:
    """A host as HTTP names it. One that cannot be is replaced: no connection will come about."""
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return "unknown"
