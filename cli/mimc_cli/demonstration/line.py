"""A line between users and the service, a TCP proxy: it counts bytes, holds them back, and tears frames."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self

__all__ = ["Line", "Way"]

CHUNK = 65536

FRAME_START, FRAME_OVERHEAD = b"\xc2\xfe\x00\x05", 12
"""Of a TCP frame: magic and version, and the bytes around its body (wire.md section 1.1)."""


class Way:
    """One direction of a line: ``carried`` bytes so far. What is set here holds for all connections of the line."""

    def __init__(self) -> None:
        self.carried = 0
        self.torn: tuple[int, int] | None = None
        """Of the last cut: the bytes of a frame that got through, and the bytes that this frame has."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._left: int | None = None
        self._since = b""

    def hold(self) -> None:
        """Carry nothing until `release`; what comes meanwhile is kept."""
        self._flowing.clear()

    def release(self) -> None:
        """Carry again, first what was kept."""
        self._flowing.set()

    def cut(self, after: int) -> None:
        """Break the connection once that many more bytes got through. Call it between two frames."""
        self._left, self._since = after, b""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes until the end of the input, or the cut."""
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            data = self._before_the_cut(data)
            self.carried += len(data)
            writer.write(data)
            await writer.drain()
            if self._left == 0:
                self._left = None
                return

    def _before_the_cut(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        data = data[: self._left]
        self._left -= len(data)
        self._since += data
        if self._left == 0 and self._since.startswith(FRAME_START):
            self.torn = len(self._since), FRAME_OVERHEAD + int.from_bytes(self._since[4:8])
        return data


class Line:
    """Listens on a free port of this machine and carries each connection on to ``target``: a context manager."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.up, self.down = Way(), Way()
        self.connections = 0
        """How many there have been."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address: tuple[str, int] = (host, port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport is closed at the loop's next turn

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _accept(self, from_user: asyncio.StreamReader, to_user: asyncio.StreamWriter) -> None:
        self._writers.append(to_user)
        self.connections += 1
        self._start(self._join(from_user, to_user))

    async def _join(self, from_user: asyncio.StreamReader, to_user: asyncio.StreamWriter) -> None:
        """One connection: when either direction ends, both do."""
        try:
            from_service, to_service = await asyncio.open_connection(*self._target)
        except OSError:  # the service is gone: so is the line
            to_user.close()
            return
        self._writers.append(to_service)
        ways = [
            self._start(self.up.carry(from_user, to_service)),
            self._start(self.down.carry(from_service, to_user)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)  # a connection that was reset has ended as well
        for writer in (to_user, to_service):
            writer.close()  # a peer still gets what was carried before
