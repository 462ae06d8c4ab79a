"""The connections of a session in a test: what opens, carries and closes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..session.requests import OpenLink
from .clock import Scheduled
from .network import Network
from .pipes import FaultyPipe, PipeEnd

__all__ = ["LinkOwner", "SessionLink"]


class LinkOwner(Protocol):
    """What a `SessionLink` tells its driver."""

    def link_opened(self, link: SessionLink) -> None:
        """It is connected: ``link.end`` is there."""

    def link_received(self, link: SessionLink, data: bytes) -> None:
        """Bytes came."""

    def link_lost(self, link: SessionLink, error: Exception) -> None:
        """It could not be opened, or ended; the end of input is an EOFError."""

    def link_writable(self) -> None:
        """There is room to write again."""


class SessionLink:
    """The client's end of one connection of a session. ``end`` is None until it is connected.

    ``close_by`` is the time (seconds) by which to flush and close, None while the session wants it open.
    """

    def __init__(self, owner: LinkOwner, network: Network, request: OpenLink) -> None:
        self.link_id = request.link_id
        self.end: PipeEnd | None = None
        self.close_by: float | None = None
        self._owner = owner
        self._opening: Scheduled = network.connect(request.host, request.port, self._opened, self._failed)

    def _opened(self, pipe: FaultyPipe) -> None:
        self.end = pipe.client
        self.end.attach(self)
        self._owner.link_opened(self)

    def _failed(self, error: Exception) -> None:
        self._owner.link_lost(self, error)

    # -------------------------------------------------------------------------------------- what the pipe tells it

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._owner.link_received(self, data)

    def eof_received(self) -> None:
        """The server closed."""
        self._owner.link_lost(self, EOFError("the server closed the connection"))

    def connection_lost(self) -> None:
        """The connection broke."""
        self._owner.link_lost(self, ConnectionResetError("the connection broke"))

    def writing_resumed(self) -> None:
        """There is room again."""
        self._owner.link_writable()

    # ------------------------------------------------------------------------------------------- what its owner does

    def flush(self, data_to_send: Callable[[int, int], list[bytes]]) -> bool:
        """Write the frames of ``data_to_send(link_id, max_bytes)`` that the pipe takes; whether there were any."""
        wrote = False
        while self.end is not None and self.end.writable and (frames := data_to_send(self.link_id, self.end.room)):
            self.end.write(frames)
            wrote = True
        return wrote

    def may_close(self, now: float) -> bool:
        """Whether it is to be closed and all was written, or the time for that is over."""
        return self.close_by is not None and (self.end is None or self.end.writable or self.close_by <= now)

    def pause_reading(self, paused: bool) -> None:
        """Whether to read nothing for now."""
        if self.end is not None:
            (self.end.pause_reading if paused else self.end.resume_reading)()

    def pump(self) -> None:
        """Read what waits."""
        if self.end is not None:
            self.end.pump()

    def leave(self) -> None:
        """Close the end, or give up opening."""
        self._opening.cancel()
        if self.end is not None:
            self.end.close()
