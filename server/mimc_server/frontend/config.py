"""Settings of a frontend. The object checks itself; times are seconds."""

from __future__ import annotations

import dataclasses

from mimc_proto.config import _Checked

__all__ = ["FrontendConfig"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FrontendConfig(_Checked):
    """Settings of a `ServiceRunner`; raises `LocalProtocolError` that names what is out of range."""

    max_of_address: int = 1000
    """Connections of one address at a time (IPv6: of one /64 network). An office or a mobile network has some hundred
    people behind one address, and one address shall not take all of ``max_links``. Raise it to ``max_links`` where
    all come from one address: behind a proxy, or in a test."""
    max_parked: int = 1024
    """Connections beyond ``max_of_address`` that are kept waiting, unread, for a place: who is closed at once comes
    back at once (clients.md rule 15)."""
    park_timeout: float = 30.0
    """How long each of those is kept."""
    handshake_timeout: float = 10.0
    """From the start of a connection to the end of the TLS handshake, and from there to the end of the WebSocket
    handshake. For CONN and BIND there are ``link.handshake_timeout`` and ``link.bind_timeout``."""
    write_timeout: float = 60.0
    """How long a peer may read nothing, or next to nothing, while the buffer of its connection is full."""
