"""The resolver: what to ask it, and what its answer says (rest.md, Resolver).

A session asks for the frontend's domain of the token answer. When there are no usable addresses it connects to that
domain itself, port 5222.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..errors import LocalProtocolError, ResolverError, shown
from ._json import JsonObject, described

__all__ = ["MAX_ADDRESSES", "is_host_name", "parse_resolver_answer", "resolver_url"]

MAX_ADDRESSES = 64
"""Addresses that are taken of an answer, the first ones; real ones have a handful."""

_MAX_PORT = 65_535
_MAX_HOST_NAME = 253
# the underscore is no host name's by the book, but it is in the names of containers
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ADDRESS = re.compile(r"([0-9.]+|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+\]):([1-9][0-9]{0,4})")


def is_host_name(text: str) -> bool:
    """Whether a text is a plain ASCII host name (or IPv4 address): no scheme, port, path or space."""
    return len(text) <= _MAX_HOST_NAME and _HOST_NAME.fullmatch(text) is not None


def resolver_url(base: str, domain: str) -> str:
    """The URL whose answer has the frontends of ``domain``.

    ``base`` is the resolver's ``http`` or ``https`` URL without query, such as ``https://resolver.example``. Raises
    `LocalProtocolError` for a base or domain that cannot be used.
    """
    if not _is_base(base):
        wanted = "an http or https URL with a host, and without user, query and fragment"
        raise LocalProtocolError(f"expected {wanted}", where="resolver URL")
    if not (isinstance(domain, str) and is_host_name(domain)):
        raise LocalProtocolError(f"expected a host name, got {shown(domain)}", where="resolver domain")
    return f"{base.rstrip('/')}/gslb/?ver=4.0&type=wifi&list={domain}"


def parse_resolver_answer(body: str | bytes | Mapping[str, object], domain: str) -> tuple[tuple[str, int], ...]:
    """The (host, port) of every frontend of ``domain``, in the answer's order, each once.

    The hosts are IPv4 or IPv6 literals, without brackets. There is at least one, and at most `MAX_ADDRESSES`.

    Raises `ResolverError`, which names the field, for an answer that is broken or larger than 64 KiB, has an address
    that is none, or has no address for the domain. One wrong address spoils the answer: connecting to the domain
    itself is the safer guess then.
    """
    answer = JsonObject.read(body, "resolver answer", ResolverError)
    state = answer.value("S")
    if not (isinstance(state, str) and state.lower() == "ok"):
        raise answer.wrong("S", f'expected "Ok", got {described(state)}')
    domains = answer.object("R").object("wifi")
    entries = domains.value(domain)
    if not isinstance(entries, list) or not entries:
        raise domains.wrong(domain, f'expected a list of "address:port", got {described(entries)}')
    found = {_address(entry, f"{domains.place(domain)}[{n}]"): None for n, entry in enumerate(entries[:MAX_ADDRESSES])}
    return tuple(found)


def _is_base(base: str) -> bool:
    # urlsplit drops tabs and line ends without a word, so it is not asked about them
    if not isinstance(base, str) or not re.fullmatch("[!-~]+", base) or re.search("[?#@]", base):
        return False
    try:
        parts = urlsplit(base)
        port = parts.port
    except ValueError:  # brackets or a port that make no sense
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


def _address(entry: object, where: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(entry) if isinstance(entry, str) else None
    if match and int(match[2]) <= _MAX_PORT:
        try:
            return str(ipaddress.ip_address(match[1].strip("[]"))), int(match[2])
        except ValueError:
            pass
    problem = f'expected "address:port" or "[address]:port", got {described(entry)}'
    raise ResolverError(problem, where=where)
