"""Tokens and addresses over HTTP, blocking, on asyncio and on trio. Needs the extra ``[http]``.

The answers are returned as text and read by the core: nothing here knows what is in them.
"""

from __future__ import annotations

import json as _json
import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from mimc_proto import LocalProtocolError, MimcError
from mimc_proto.errors import ProtocolError, ResolverError, TokenError, shown

if TYPE_CHECKING:
    from ._http import Exchange

__all__ = ["MIMC_TOKEN_URL", "HttpExtraMissing", "HttpTokenProvider", "fetch_resolver", "fetch_resolver_async"]

MIMC_TOKEN_URL = "https://mimc.chat.xiaomi.net/api/account/token"
"""MIMC's own token endpoint (rest.md, section 1)."""

_TIMEOUT = 5.0
_LONGEST_TIMEOUT = 600.0
_MOST_RETRIES = 10
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[ -~\t]*[!-~])?)?")


class HttpExtraMissing(MimcError, ImportError):  # noqa: N818 (says what is the matter)
    """HTTP needs a library that is not installed: ``pip install 'mimc-proto[http]'``."""


class HttpTokenProvider:
    """Gets token answers from MIMC's token endpoint, or from a service that speaks the same (rest.md, section 1).

    POSTs ``{"appId", "appKey", "appSecret", "appAccount"[, "regionKey"]}`` as JSON. Whoever has the secret of an
    application can be any of its users, so this is for servers and trials; a program that others run asks the
    application's own server: `for_own_server`.

    ``headers`` are added to the request. ``timeout`` is in seconds: when awaited for an attempt as a whole, when
    blocking for each wait of it and until the body must have ended. ``retries`` more attempts are made at once if one
    gets no answer; waiting in between is the session's work. ``verify`` is a context with certificates of your own,
    or False to accept any. Proxies are taken from the environment (``HTTPS_PROXY`` and so on). Redirects are not
    followed. One provider may be used by several threads and loops.

    Raises `LocalProtocolError` for an argument that cannot be used, `HttpExtraMissing` without the library.
    """

    __slots__ = ("_exchange",)

    def __init__(
        self,
        url: str = MIMC_TOKEN_URL,
        *,
        app_id: int,
        app_key: str,
        app_secret: str,
        app_account: str,
        region_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = _TIMEOUT,
        retries: int = 1,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        if type(app_id) is not int or app_id <= 0:
            raise LocalProtocolError("expected a whole number above 0", where="appId")
        # the id as text: JavaScript servers round large numbers, and Java's client sends it so
        body = {"appId": str(app_id), "appKey": app_key, "appSecret": app_secret, "appAccount": app_account}
        if region_key is not None:
            body["regionKey"] = region_key
        for name, value in body.items():
            if not isinstance(value, str) or not value:
                got = "an empty one" if value == "" else f"a {type(value).__name__}"
                raise LocalProtocolError(f"expected a text, got {got}", where=name)
        self._exchange = _exchange("POST", url, body, headers, timeout, retries, verify, TokenError)

    @classmethod
    def for_own_server(
        cls,
        url: str,
        *,
        json: object = None,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = _TIMEOUT,
        retries: int = 1,
        verify: bool | ssl.SSLContext = True,
    ) -> Self:
        """Ask an application's own server, which knows the secrets and logs its users in by means of its own.

        Sends ``json`` by POST, or a GET without a body if it is None, with ``headers`` such as ``Authorization``.
        The server passes on MIMC's answer, or the ``data`` in it. What is secret belongs in body or headers: the HTTP
        library logs URLs. The other arguments are those of the class.
        """
        provider = cls.__new__(cls)
        if method is None:
            method = "GET" if json is None else "POST"
        provider._exchange = _exchange(method, url, json, headers, timeout, retries, verify, TokenError)
        return provider

    def fetch(self) -> str:
        """The text of a token answer; blocks. Raises `TokenError` that says what the endpoint did instead."""
        return self._exchange.fetch()

    async def fetch_async(self) -> str:
        """The text of a token answer. Raises `TokenError` that says what the endpoint did instead."""
        return await self._exchange.fetch_async()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._exchange.place}>"


def fetch_resolver(url: str, *, timeout: float = _TIMEOUT, verify: bool | ssl.SSLContext = True) -> str:
    """GET the URL of a session's `Resolve` request; blocks. Returns the text of the answer.

    ``timeout`` and ``verify`` as for `HttpTokenProvider`. Raises `ResolverError` that says what the resolver did
    instead, `LocalProtocolError` for an argument that cannot be used, `HttpExtraMissing` without the library.
    """
    return _exchange("GET", url, None, None, timeout, 0, verify, ResolverError).fetch()


async def fetch_resolver_async(url: str, *, timeout: float = _TIMEOUT, verify: bool | ssl.SSLContext = True) -> str:
    """`fetch_resolver` for asyncio and trio."""
    return await _exchange("GET", url, None, None, timeout, 0, verify, ResolverError).fetch_async()


def _exchange(
    method: str,
    url: str,
    json: object,
    headers: Mapping[str, str] | None,
    timeout: float,
    retries: int,
    verify: bool | ssl.SSLContext,
    error: type[ProtocolError],
) -> Exchange:
    """The arguments of all of the above, checked."""
    content = None if json is None else _content(json)
    usual = {"accept": "application/json"} | ({} if content is None else {"content-type": "application/json"})
    if not (isinstance(method, str) and re.fullmatch("[A-Z]{1,20}", method)):
        raise LocalProtocolError('expected a method such as "POST"', where="method")
    if not _is_number(timeout) or not 0 < timeout <= _LONGEST_TIMEOUT:
        raise LocalProtocolError(f"expected seconds above 0, {_LONGEST_TIMEOUT:g} at most", where="timeout")
    if type(retries) is not int or not 0 <= retries <= _MOST_RETRIES:
        raise LocalProtocolError(f"expected a whole number from 0 to {_MOST_RETRIES}", where="retries")
    if not isinstance(verify, (bool, ssl.SSLContext)):
        raise LocalProtocolError(f"expected a bool or an ssl.SSLContext, got a {type(verify).__name__}", where="verify")
    _check_url(url)
    return _exchange_class()(
        method=method,
        url=url,
        content=content,
        headers={**usual, **_checked_headers(headers or {}), "accept-encoding": "identity"},
        timeout=timeout,
        retries=retries,
        verify=verify,
        error=error,
    )


def _exchange_class() -> type[Exchange]:
    try:
        from ._http import Exchange
    except ImportError as error:
        message = "HTTP needs a library that is not installed: pip install 'mimc-proto[http]'"
        raise HttpExtraMissing(message) from error
    return Exchange


def _check_url(url: str) -> None:
    wanted = "an http or https URL with a host, in ASCII, without fragment and without a user (use headers)"
    good = isinstance(url, str) and re.fullmatch("[!-~]+", url) and not re.search(r"#|^[^?]*@", url)
    try:
        parts = urlsplit(url if good else "")
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that make no sense
        good = False
    if not good:  # what it is instead may hold a password
        raise LocalProtocolError(f"expected {wanted}", where="url")


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that HTTP can carry: the library's own complaint would show the value."""
    for name, value in headers.items():
        if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
            raise LocalProtocolError(f"expected the name of a header, got {shown(name)}", where="headers")
        if not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
            wanted = "expected printable ASCII without spaces around it"
            raise LocalProtocolError(f"{wanted}, got a {type(value).__name__} that is not", where=f"headers[{name!r}]")
    return {name.lower(): value for name, value in headers.items()}


def _content(json: object) -> bytes:
    try:
        return _json.dumps(json, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem = f"expected what JSON can hold, got a {type(json).__name__} that it cannot ({type(error).__name__})"
    raise LocalProtocolError(problem, where="json")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
