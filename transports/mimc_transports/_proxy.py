"""Connecting by way of a SOCKS5 or HTTP CONNECT proxy. Only this module knows the library for that."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from mimc_proto import LocalProtocolError, MimcError
from mimc_proto.errors import shown

if TYPE_CHECKING:
    import trio

__all__ = ["ProxyExtraMissing", "ProxyRefused", "check_proxy", "connect_asyncio", "connect_blocking", "connect_trio"]

SCHEMES = ("socks5", "http")
LONGEST = 60.0
"""Seconds for a proxy to connect; a session gives up long before (``connect_timeout``)."""

MOST_SHOWN = 200
"""Characters of an error."""


class ProxyExtraMissing(MimcError, ImportError):  # noqa: N818 (says what is the matter)
    """Proxies need a library that is not installed: ``pip install 'mimc-proto[proxy]'``."""


class ProxyRefused(ConnectionError):  # noqa: N818 (says what happened)
    """The proxy could not be reached, or did not connect."""


def check_proxy(url: str | None) -> str | None:
    """The URL of a proxy. Raises `LocalProtocolError`, without showing the URL: it may hold a password."""
    if url is None:
        return None
    good = isinstance(url, str) and re.fullmatch("[!-~]+", url) is not None
    try:
        parts = urlsplit(url if good else "")
        good = parts.scheme in SCHEMES and bool(parts.hostname) and bool(parts.port) and _is_login(parts)
    except ValueError:  # brackets or a port that make no sense
        good = False
    if not good:
        wanted = "socks5://[user:password@]host:port or http://[user:password@]host:port"
        raise LocalProtocolError(f"expected {wanted}", where="proxy")
    _library()
    return url


def _is_login(parts: SplitResult) -> bool:
    """Whether the library can say who comes; half a login it would leave out."""
    if parts.username is None and parts.password is None:
        return True
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not (user and password):
        return False
    return parts.scheme != "socks5" or (f"{user}{password}".isascii() and max(len(user), len(password)) < 256)


async def connect_asyncio(url: str, host: str, port: int) -> socket.socket:
    """A socket that is connected to ``host``, which the proxy looks up. Raises `ProxyRefused`."""
    from python_socks.async_.asyncio import Proxy

    try:
        return await Proxy.from_url(url).connect(host, port, timeout=LONGEST)
    except _errors() as error:
        raise _refused(error) from None


async def connect_trio(url: str, host: str, port: int) -> trio.socket.SocketType:
    """`connect_asyncio` for trio."""
    from python_socks.async_.trio import Proxy

    try:
        return await Proxy.from_url(url).connect(host, port, timeout=LONGEST)
    except _errors() as error:
        raise _refused(error) from None


def connect_blocking(url: str, host: str, port: int, timeout: float) -> socket.socket:
    """`connect_asyncio`, blocking for at most ``timeout`` seconds."""
    from python_socks.sync import Proxy

    try:
        return Proxy.from_url(url).connect(host, port, timeout=timeout)
    except _errors() as error:
        raise _refused(error) from None


def _library() -> Any:
    try:
        import python_socks
    except ImportError as error:
        message = "proxies need a library that is not installed: pip install 'mimc-proto[proxy]'"
        raise ProxyExtraMissing(message) from error
    return python_socks


def _errors() -> tuple[type[Exception], ...]:
    library = _library()
    # the library lets those of a connection that breaks, and of answers it cannot read, through
    return (library.ProxyError, library.ProxyConnectionError, library.ProxyTimeoutError, OSError, ValueError)


def _refused(error: Exception) -> ProxyRefused:
    text = str(error)  # perhaps what the proxy said
    if not text.isprintable() or len(text) > MOST_SHOWN:
        text = shown(text)
    return ProxyRefused(f"the proxy did not connect: {text or type(error).__name__}")
