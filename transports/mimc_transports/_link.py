"""A connection between a socket and a session, without I/O: what came, what is to be written, and how it ended."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from mimc_proto import MimcError
from mimc_proto.session import OpenLink

if TYPE_CHECKING:
    from ._user import BaseUser
    from ._websocket import WebSocket

__all__ = ["Link", "WebSocketExtraMissing", "need_websocket"]


class WebSocketExtraMissing(MimcError, ImportError):  # noqa: N818 (says what is the matter)
    """WebSocket needs a library that is not installed: ``pip install 'mimc-proto[websocket]'``."""


def need_websocket() -> type[WebSocket]:
    """The client's side of a WebSocket connection. Raises `WebSocketExtraMissing`."""
    try:
        from ._websocket import WebSocket
    except ImportError as error:
        message = "WebSocket needs a library that is not installed: pip install 'mimc-proto[websocket]'"
        raise WebSocketExtraMissing(message) from error
    return WebSocket


class Link(abc.ABC):
    """What the link ``request`` of a user's session says and hears; an adapter's connection is one of these."""

    def __init__(self, user: BaseUser, request: OpenLink) -> None:
        self._user = user
        self.link_id = request.link_id
        self._websocket: WebSocket | None = None
        if user._websocket:
            self._websocket = need_websocket()(request.host, request.port, secure=user._tls is not None)
        self._given_up = False

    def connected(self) -> None:
        """The transport is there, and TLS if there is any."""
        if self._websocket is None:
            self._user._session.link_opened(self.link_id, self._user._now())
        self._user._pump()

    def received(self, data: bytes) -> None:
        """Bytes came; b"" for the end of input."""
        user = self._user
        if self._given_up:
            return
        if not data:
            self.lost(None)
        elif self._websocket is None:
            user._session.receive_data(self.link_id, data, user._now())
            user._pump()
        else:
            self._received_websocket(self._websocket, data)

    def _received_websocket(self, websocket: WebSocket, data: bytes) -> None:
        user, was_opened = self._user, websocket.opened
        messages = websocket.receive(data)
        if websocket.opened and not was_opened:
            user._session.link_opened(self.link_id, user._now())
        for message in messages:
            user._session.receive_data(self.link_id, message, user._now())
        user._pump()
        if websocket.problem or websocket.closed:
            self.lost(websocket.problem or None)

    def lost(self, error: BaseException | str | None) -> None:
        """The connection could not be made, or ended; None for the end of input."""
        user = self._user
        if not self._given_up:
            if error is None and self._websocket is not None:
                error = self._websocket.problem_at_end() or None
            user._session.link_lost(self.link_id, error, user._now())
            user._pump()
            self.close()  # the session is through with it and will not say so

    @abc.abstractmethod
    def close(self) -> None:
        """Give it up; what the session still had to say was written before."""

    def data_to_send(self) -> bytes:
        """What is to be written now, if the transport can; b"" for nothing."""
        frames = self._user._session.data_to_send(self.link_id)
        if self._websocket is not None:
            self._websocket.send(frames)
            return self._websocket.data_to_send()
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def give_up(self) -> bytes:
        """The session wants it closed: what may still be written, if that can be done at once."""
        self._given_up = True
        if self._websocket is None or not self._websocket.opened:
            return b""
        self._websocket.close()
        return self._websocket.data_to_send()
