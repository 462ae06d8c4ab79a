"""A client made by hand on a real WebSocket connection; what it sends may be no WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from mimc_proto import Framing

from .links import ScriptedClient
from .wires import TIMEOUT, Wire

__all__ = ["WebWire", "web_wire"]


class WebWire(Wire):
    """One connection and who is at its other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, uri: str) -> None:
        super().__init__(reader, writer)
        self.peer = ScriptedClient(Framing.WEBSOCKET)
        self.protocol = ClientProtocol(parse_uri(uri), max_size=None)
        self.response: Response | None = None
        self.pongs: list[bytes] = []
        self._messages: deque[bytes] = deque()

    async def shake_hands(self, **headers: str) -> Response:
        """Ask for WebSocket, with these headers too; the answer."""
        request = self.protocol.connect()
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        self.protocol.send_request(request)
        self.flush()
        async with asyncio.timeout(TIMEOUT):
            while self.response is None and await self.receive():
                pass
        assert self.response is not None
        return self.response

    def write(self, *frames: bytes) -> None:
        for frame in frames:
            self.protocol.send_binary(frame)
        self.flush()

    def flush(self) -> None:
        """Write what the protocol has to say."""
        self.raw(b"".join(self.protocol.data_to_send()))

    def raw(self, data: bytes) -> None:
        """Write bytes, WebSocket or not."""
        self.writer.write(data)

    async def frame(self) -> bytes:
        async with asyncio.timeout(TIMEOUT):
            while not self._messages:
                if not await self.receive():
                    raise asyncio.IncompleteReadError(b"", None)
        return self._messages.popleft()

    async def pong(self) -> bytes:
        """The next answer to a ping of WebSocket."""
        async with asyncio.timeout(TIMEOUT):
            while not self.pongs and await self.receive():
                pass
        return self.pongs.pop(0)

    async def ended(self) -> bytes:
        """The messages that come before the connection ends, joined."""
        got = b""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            while True:
                got += await self.frame()
        return got

    async def close_code(self) -> int | None:
        """The code of the Close that ends the connection; None if it ended without."""
        await self.ended()
        close = self.protocol.close_rcvd
        return None if close is None else int(close.code)

    async def receive(self) -> bool:
        """Take in what comes; whether the connection is still open."""
        data = await self.reader.read(1 << 16)
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        for event in self.protocol.events_received():
            if isinstance(event, Response):
                self.response = event
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self.pongs.append(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is not Opcode.CLOSE:
                assert (event.opcode, event.fin) == (Opcode.BINARY, True)
                self._messages.append(bytes(event.data))
        self.flush()
        return bool(data)


@contextlib.asynccontextmanager
async def web_wire(
    address: tuple[str, int], context: ssl.SSLContext | None = None, *, path: str = "/", shake_hands: bool = True
) -> AsyncIterator[WebWire]:
    """A connection, closed at the end; by default it is open for messages."""
    host, port = address
    scheme = "ws" if context is None else "wss"
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=1 << 24)
    client = WebWire(reader, writer, f"{scheme}://{host}:{port}{path}")
    try:
        if shake_hands:
            assert (await client.shake_hands()).status_code == 101
        yield client
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
