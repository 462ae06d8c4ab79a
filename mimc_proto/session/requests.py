"""What a session asks its driver to do. Each request has an id that the answer carries; stale answers are ignored."""

from __future__ import annotations

from .._record import Record

__all__ = ["CloseLink", "FetchToken", "OpenLink", "Resolve", "SessionRequest"]


class FetchToken(Record):
    """Get a token answer of the application's server; answer with ``token_fetched(request_id, body or error)``."""

    __slots__ = ()
    request_id: int


class Resolve(Record):
    """GET this URL of the resolver; answer with ``resolved(request_id, body or error)``."""

    __slots__ = ()
    request_id: int
    url: str


class OpenLink(Record):
    """Connect to a frontend; answer with ``link_opened(link_id)`` or ``link_lost(link_id, error)``."""

    __slots__ = ()
    link_id: int
    host: str
    port: int


class CloseLink(Record):
    """Close the connection; what was taken before may still be written until ``flush_until``.

    Nothing is owed for this link any more, not even its loss.
    """

    __slots__ = ()
    link_id: int
    flush_until: float


SessionRequest = FetchToken | Resolve | OpenLink | CloseLink
