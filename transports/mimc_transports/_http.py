"""One bounded HTTP exchange, blocking or awaited. Only this module knows the HTTP library, so only it needs it."""

from __future__ import annotations

import contextlib
import functools
import ssl
import time
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import anyio
import httpx2

from mimc_proto.errors import LocalProtocolError, ProtocolError, shown_name

__all__ = ["MAX_BODY", "Exchange"]

MAX_BODY = 64 * 1024
"""Bytes of an answer's body that are read: no token or resolver answer has a tenth of it."""

C = TypeVar("C", httpx2.Client, httpx2.AsyncClient)

monotonic = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Exchange:
    """A request, and how its answer is got. ``error`` is the type of what is raised when there is none."""

    method: str
    url: str
    content: bytes | None
    headers: dict[str, str]
    timeout: float
    retries: int
    verify: bool | ssl.SSLContext
    error: type[ProtocolError]

    def __post_init__(self) -> None:
        try:
            httpx2.URL(self.url)
        except httpx2.InvalidURL:
            raise LocalProtocolError("expected a URL that the HTTP library can read", where="url") from None

    @property
    def place(self) -> str:
        """Method and URL as an error may show them: the query may hold a secret."""
        return f"{self.method} {urlsplit(self.url)._replace(query='').geturl()}"

    def fetch(self) -> str:
        """The text of the answer; blocks."""
        for _ in range(self.retries):
            with contextlib.suppress(httpx2.TransportError):
                return self._attempt()
        try:
            return self._attempt()
        except httpx2.TransportError as error:
            raise self._unanswered(error) from None

    async def fetch_async(self) -> str:
        """The text of the answer, on asyncio and trio; may be cancelled at any time."""
        for _ in range(self.retries):
            with contextlib.suppress(httpx2.TransportError):
                return await self._attempt_async()
        try:
            return await self._attempt_async()
        except httpx2.TransportError as error:
            raise self._unanswered(error) from None

    def _attempt(self) -> str:
        deadline = monotonic() + self.timeout
        with (
            self._client(httpx2.Client) as client,
            client.stream(self.method, self.url, content=self.content, headers=self.headers) as response,
        ):
            self._check(response)
            body = bytearray()
            for piece in response.iter_raw():
                body += piece
                self._check_size(len(body))
                if monotonic() > deadline:
                    raise httpx2.ReadTimeout("the answer did not end in time")
        return self._text(bytes(body))

    async def _attempt_async(self) -> str:
        body = bytearray()
        with anyio.move_on_after(self.timeout) as scope:
            async with (
                self._client(httpx2.AsyncClient) as client,
                client.stream(self.method, self.url, content=self.content, headers=self.headers) as response,
            ):
                self._check(response)
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) > MAX_BODY:  # left by an error, the library's generators would not be closed (trio)
                        scope.cancel()
        self._check_size(len(body))
        if scope.cancelled_caught:
            raise httpx2.ReadTimeout("the answer did not end in time")
        return self._text(bytes(body))

    def _check(self, response: httpx2.Response) -> None:
        if response.status_code != httpx2.codes.OK:
            advice = "; redirects are not followed: give the URL they lead to" if response.is_redirect else ""
            raise self._wrong(f"expected HTTP status 200, got {response.status_code}{advice}")
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":  # unpacking could make a few bytes a great many
            raise self._wrong("expected a body that is not compressed, as was asked for; got a Content-Encoding")

    def _check_size(self, size: int) -> None:
        if size > MAX_BODY:
            raise self._wrong(f"expected an answer of at most {MAX_BODY} bytes, got more")

    def _text(self, body: bytes) -> str:
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            problem = f"expected UTF-8, got {len(body)} bytes that are none from byte {error.start} on"
        raise self._wrong(problem)

    def _client(self, kind: type[C]) -> C:
        try:
            verify = _default_context() if self.verify is True else self.verify
            return kind(verify=verify, timeout=self.timeout)
        except (OSError, ValueError, ImportError, httpx2.InvalidURL) as error:
            problem = f"cannot use the proxies or certificates that the environment names ({type(error).__name__})"
        raise self._wrong(problem)

    def _unanswered(self, error: httpx2.TransportError) -> ProtocolError:
        got = type(error).__name__
        if isinstance(error, httpx2.TimeoutException):
            return self._wrong(f"expected an answer within {self.timeout:g} s, got none ({got})")
        reason = _system_error(error)
        return self._wrong(f"expected an answer, got {got}{f': {shown_name(reason)}' if reason else ''}")

    def _wrong(self, problem: str) -> ProtocolError:
        return self.error(problem, where=self.place)


def _system_error(error: BaseException | None) -> str:
    """What the system or TLS said. Other errors may quote what was sent or came, so they are only named."""
    while error and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return str(error) if error else ""


@functools.cache
def _default_context() -> ssl.SSLContext:
    """The system's certificates, read once: that takes a twentieth of a second."""
    return httpx2.create_ssl_context()
