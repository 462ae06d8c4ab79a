"""A link as the client sees it, and as the server sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import conversations as base
import stories

from mimc_proto import ClientConnection, ClientState, Framing, RemoteProtocolError, ServerConnection, ServerState
from mimc_proto.events import BindAccepted, BindRequested, HandshakeCompleted
from mimc_proto.packets import Pull

from .target import TCP, WEBSOCKET, cuts, frames, stream_mutator, target

__all__ = [
    "client_link",
    "client_link_online",
    "client_link_websocket",
    "server_link",
    "server_link_online",
    "server_link_websocket",
]


def _seen(link: ClientConnection | ServerConnection, pieces: list[bytes], react: Callable[[Any], None]) -> list[str]:
    """All that a link says to a stream: events, errors, frames and where it is then."""
    said: list[str] = []
    errors: list[str] = []
    for piece in pieces:
        try:
            link.receive_data(piece, 1.0)
        except RemoteProtocolError as error:
            errors.append(str(error))
        for event in link.events():
            said.append(repr(event))
            react(event)
    said += [frame.hex() for frame in link.data_to_send(1 << 30)]
    return [*said, *errors, str(link.state), str(link.get_timer()), str(link.close_expected())]


def _fed(
    link: ClientConnection | ServerConnection, data: bytes, framing: Framing, react: Any, *, cut: bool
) -> list[str]:
    """What a link says to frames, whole or in pieces: something may be done between two of them."""
    pieces = frames(data, framing)
    if cut and framing is TCP:  # WebSocket keeps messages whole
        pieces = [piece for frame in pieces for piece in cuts(frame)]
    return _seen(link, pieces, react)


def _client(data: bytes, framing: Framing) -> None:
    def seen(cut: bool) -> list[str]:
        link = base.new_client(framing)
        link.data_to_send()

        def log_in(event: Any) -> None:
            if type(event) is HandshakeCompleted and link.state is ClientState.READY:
                link.bind(base.ALICE, now=1.0)
            elif type(event) is BindAccepted and link.state is ClientState.BOUND:
                link.send(Pull(), now=1.0)

        return _fed(link, data, framing, log_in, cut=cut)

    assert seen(False) == seen(True)


def _server(data: bytes, framing: Framing) -> None:
    def seen(cut: bool) -> list[str]:
        link = base.new_server(framing)

        def accept(event: Any) -> None:
            waits = type(event) is BindRequested and link.state in (ServerState.BINDING, ServerState.REBINDING)
            if waits and base.accept(link, 1.0):
                link.send(base.new_list(), now=1.0)

        return _fed(link, data, framing, accept, cut=cut)

    assert seen(False) == seen(True)


def _online(data: bytes, link: Callable[[], ClientConnection | ServerConnection]) -> None:
    """What is read after the login does the same whatever it is cut into."""
    assert _seen(link(), [data], lambda _: None) == _seen(link(), cuts(data), lambda _: None)


@target(stream_mutator(TCP), lambda: base.downward(TCP), share=6)
def client_link(data: bytes) -> None:
    """Only declared errors, and the same however the frames are cut."""
    _client(data, TCP)


@target(stream_mutator(WEBSOCKET), lambda: base.downward(WEBSOCKET), share=5)
def client_link_websocket(data: bytes) -> None:
    """The same on WebSocket."""
    _client(data, WEBSOCKET)


@target(stream_mutator(TCP), lambda: base.after_login(base.downward(TCP)), share=8)
def client_link_online(data: bytes) -> None:
    """The same after the login, however the stream is cut."""
    _online(data, base.online_client)


@target(stream_mutator(TCP), lambda: base.upward(TCP), share=6)
def server_link(data: bytes) -> None:
    """Only declared errors, and the same however the frames are cut."""
    _server(data, TCP)


@target(stream_mutator(WEBSOCKET), lambda: base.upward(WEBSOCKET), share=5)
def server_link_websocket(data: bytes) -> None:
    """The same on WebSocket."""
    _server(data, WEBSOCKET)


@target(stream_mutator(TCP), lambda: base.after_login(base.upward(TCP)) + stories.of_servers(), share=8)
def server_link_online(data: bytes) -> None:
    """The same after the login, however the stream is cut."""
    _online(data, base.online_server)
