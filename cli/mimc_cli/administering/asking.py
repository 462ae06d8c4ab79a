"""Asks a server through its admin socket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx2
from mimc_server.sockets import short_path, somebody_listens

from mimc_proto.errors import MimcError

__all__ = ["AdminError", "Ask", "answers", "ask_server", "asking"]

SOON = 30.0
LONG = 3600.0
"""Seconds that an answer may take, of most requests, and of those that read the whole database."""

SLOW = ("/v1/backup", "/v1/check")
MOST_BYTES = 64 * 1024 * 1024
"""Of an answer."""


class AdminError(MimcError):
    """What was asked could not be done; the text says what to do."""


class Ask(Protocol):
    """Sends a request and gives what its answer holds. Raises `AdminError`."""

    def __call__(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        text: bool = False,
    ) -> Any: ...


Send = Callable[[str, str, dict[str, Any], dict[str, Any] | None], httpx2.Response]
"""Method, path, parameters and body."""


def asking(send: Send) -> Ask:
    """What asks by sending requests so."""

    def ask(
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        text: bool = False,
    ) -> Any:
        return _content(send(method, path, _given(params or {}), None if body is None else _given(body)), text)

    return ask


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _content(response: httpx2.Response, text: bool) -> Any:
    """Raises `AdminError` for a refusal."""
    answered = response.status_code == 200
    if answered and text:
        return response.text
    content = None
    with contextlib.suppress(ValueError):
        content = response.json()
        if answered:
            return content
    problem = content.get("error") if isinstance(content, dict) else None
    unknown = f"the server answered with the HTTP status {response.status_code}: is it of another version?"
    raise AdminError(problem or unknown)


def answers(path: Path) -> bool:
    """Whether somebody listens at this socket. Raises `AdminError` if that is not for us to know."""
    if not hasattr(socket, "AF_UNIX"):
        return False
    try:
        return somebody_listens(path)
    except OSError as error:
        raise _unanswered(path, error) from error


@contextlib.contextmanager
def ask_server(path: Path) -> Iterator[Ask]:
    """The server that listens at this socket."""
    with (
        short_path(path) as short,
        httpx2.Client(transport=httpx2.HTTPTransport(uds=short), base_url="http://mimc", trust_env=False) as client,
    ):

        def send(method: str, target: str, params: dict[str, Any], body: dict[str, Any] | None) -> httpx2.Response:
            timeout = LONG if target in SLOW else SOON
            try:
                with client.stream(method, target, params=params, json=body, timeout=timeout) as response:
                    _read(response)
                    return response
            except httpx2.TransportError as error:
                raise _unanswered(path, error) from error

        yield asking(send)


def _read(response: httpx2.Response) -> None:
    """All of it, but not without end."""
    size = int(response.headers.get("content-length", 0))
    if size > MOST_BYTES:
        raise AdminError(f"expected an answer of at most {MOST_BYTES} bytes, got {size}")
    response.read()


def _unanswered(path: Path, error: Exception) -> AdminError:
    reason = _reason(error)
    if isinstance(reason, PermissionError):
        return AdminError(f"not allowed to use {path}: be the user who runs the server (sudo -u USER mimc admin ...)")
    if isinstance(error, httpx2.TimeoutException):
        return AdminError(f"the server at {path} has not answered in time: it may do yet what was asked")
    if reason is not None and not isinstance(reason, ConnectionError):
        return AdminError(f"cannot ask the server at {path}: {reason.strerror or reason}")
    problem = f"the server at {path} closed the connection: it listens only to the user who runs it, and to root"
    return AdminError(f"{problem}, or it has just ended")


def _reason(error: BaseException | None) -> OSError | None:
    """What the system said, if it said anything."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
