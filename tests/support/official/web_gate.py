"""A way into a service for browsers, as long as its own frontend has none for WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any

from mimc_server.frontend import ServiceRunner
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from mimc_proto import Framing

__all__ = ["listening_for_browsers"]

LOCAL = ("127.0.0.1", 0)


@contextlib.asynccontextmanager
async def listening_for_browsers(runner: ServiceRunner) -> AsyncIterator[tuple[str, int]]:
    """The address, within the block."""
    listen: Any = runner.listen
    if "framing" in inspect.signature(listen).parameters:
        yield await listen(*LOCAL, framing=Framing.WEBSOCKET)
        return
    async with serve(lambda socket: _Connection(runner, socket).run(), *LOCAL, compression=None) as server:
        host, port = server.sockets[0].getsockname()
        yield host, port


class _Connection:
    """One browser's; what the runner knows of a connection."""

    def __init__(self, runner: ServiceRunner, socket: ServerConnection) -> None:
        self._runner, self._socket = runner, socket
        self._link_id = runner.service.link_opened(runner.now(), framing=Framing.WEBSOCKET, peer="a browser")
        self._changed = asyncio.Event()
        self._closing = False
        connections: Any = runner._connections
        connections[self._link_id] = self
        runner._empty.clear()
        runner.wake()

    async def run(self) -> None:
        runner, writing = self._runner, asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                assert isinstance(message, bytes)
                runner.service.receive_data(self._link_id, message, runner.now(), runner.wall_ms())
                runner.wake()
        except ConnectionClosed:
            pass
        finally:
            self.close(0.0)
            await writing
            runner.lost(self._link_id)

    def flush(self) -> None:
        self._changed.set()

    def close(self, within: float) -> None:
        self._closing = True
        self._changed.set()

    async def _write(self) -> None:
        service = self._runner.service
        with contextlib.suppress(ConnectionClosed):
            while True:
                for frame in service.data_to_send(self._link_id):
                    await self._socket.send(frame)
                if self._closing or service.close_expected(self._link_id) is not None:
                    await self._socket.close()
                    return
                await self._changed.wait()
                self._changed.clear()
