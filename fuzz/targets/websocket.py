"""WebSocket below MIMC's packets, as our client and our server hear it."""

from __future__ import annotations

import re
from random import Random

import conversations as base
from mimc_cli.fuzzing import frame_of, mutate_bytes, split
from mimc_server.frontend.websocket import WebSocket as ServerSide
from mimc_transports._websocket import WebSocket as ClientSide
from websockets.frames import Opcode
from websockets.utils import accept_key, apply_mask

from .target import WEBSOCKET, Mutator, cuts, target

__all__ = ["websocket_client", "websocket_server"]

KEY = "ZnV6eiBmcm9tIGJlbG93IQ=="
"""What the client asks with, where others draw chance."""
MASK = b"fuzz"
MOST = 4096
"""Bytes of a message to the server."""

_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + accept_key(KEY).encode() + b"\r\n\r\n"
)
_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: fe.example.net\r\nOrigin: https://chat.example\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY.encode() + b"\r\n\r\n"
)


def _frame(opcode: Opcode, data: bytes, mask: bytes, *, fin: bool = True) -> bytes:
    size, masked = len(data), 0x80 if mask else 0
    if size < 126:
        length = bytes([masked | size])
    elif size < 1 << 16:
        length = bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([masked | 127]) + size.to_bytes(8, "big")
    return bytes([fin << 7 | opcode]) + length + mask + (apply_mask(data, mask) if mask else data)


def _streams(opening: bytes, conversation: bytes, mask: bytes) -> list[bytes]:
    """What one side says: a conversation, a message in pieces with pings between, and words after the last one."""
    known = base.keys(WEBSOCKET)
    messages = [_frame(Opcode.BINARY, frame_of(piece, known), mask) for piece in split(conversation, known)]
    pieces = [
        _frame(Opcode.BINARY, b"one", mask, fin=False),
        _frame(Opcode.PING, b"?", mask),
        _frame(Opcode.CONT, b"two", mask, fin=False),
        _frame(Opcode.PONG, b"", mask),
        _frame(Opcode.CONT, b"", mask),
        _frame(Opcode.BINARY, bytes(300), mask),
        _frame(Opcode.TEXT, b"text", mask),
    ]
    close = _frame(Opcode.CLOSE, (1002).to_bytes(2, "big") + b"why", mask)
    large = _frame(Opcode.BINARY, bytes(MOST), mask) + _frame(Opcode.BINARY, bytes(MOST + 1), mask)
    rest = [b"".join(messages) + close, b"".join(pieces), close + messages[0], large, b"".join(pieces[:1] * 20)]
    return [opening + data for data in rest]


def _mutator(opening: bytes) -> Mutator:
    """The opening stays as it is, mostly: what follows is never read behind a broken one."""

    def mutate(data: bytes, rng: Random) -> bytes:
        if data.startswith(opening) and rng.random() < 0.9:
            return opening + mutate_bytes(data[len(opening) :], rng)
        return mutate_bytes(data, rng)

    return mutate


# -------------------------------------------------------------------------------------------------------------- client


def _client_says(pieces: list[bytes]) -> tuple[list[bytes], bool, bool, str]:
    socket = ClientSide("fe.example.net", 80, secure=False)
    socket._protocol.key = KEY
    messages = [message for piece in pieces for message in socket.receive(piece)]
    problem = socket.problem_at_end()
    socket.close()
    socket.data_to_send()  # its masks are chance, and what it says after a problem depends on how much it has read
    return messages, socket.opened, socket.closed, problem


def _client_seeds() -> list[bytes]:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"
    return [refusal, *_streams(_ANSWER, base.downward(WEBSOCKET)[0], b"")]


@target(_mutator(_ANSWER), _client_seeds, share=3)
def websocket_client(data: bytes) -> None:
    """Messages and refusals are the same however the stream is cut, and nothing is raised."""
    assert _client_says([data]) == _client_says(cuts(data))


# -------------------------------------------------------------------------------------------------------------- server


def _server_says(pieces: list[bytes]) -> tuple[list[bytes], bool, bytes, bool]:
    socket = ServerSide(MOST)
    messages = [message for piece in pieces for message in socket.receive(piece)]
    assert all(len(message) <= MOST for message in messages)
    said = re.sub(rb"Date: .*", b"", socket.data_to_send())
    return messages, socket.opened, said, socket.ended


@target(_mutator(_REQUEST), lambda: _streams(_REQUEST, base.upward(WEBSOCKET)[0], MASK), share=3)
def websocket_server(data: bytes) -> None:
    """The same of a server, and what it answers; no message is longer than it may be."""
    assert _server_says([data]) == _server_says(cuts(data))
