"""Times and limits of a service. The object checks itself; times are seconds, sizes bytes."""

from __future__ import annotations

import dataclasses

from mimc_proto.config import KIB, MIB, ServerConfig, _Checked
from mimc_proto.errors import LocalProtocolError

__all__ = ["NEVER", "ServiceConfig"]

NEVER = 1 << 31
"""For `ServiceConfig.notice_after`: no limit notices."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Limits(_Checked):
    max_links: int = 50_000
    """Links at a time; beyond it `Service.link_opened` raises `TooManyLinks`."""
    max_unbound: int = 4096
    """Links on which nobody is online; beyond it the one that has been so for longest is closed. A Java client that
    was taken over opens a link, sends CONN and idles there (clients.md rule 4)."""
    max_payload: int = 15_360
    """The largest payload of a message: what Java, C# and iOS allow."""
    max_batch: int = 500
    """Messages in one commit."""
    max_waiting: int = 65_536
    """Messages of all that may wait for the store."""
    max_waiting_bytes: int = 64 * MIB
    """Bytes of all that may wait for the store."""
    max_waiting_of_account: int = 4096
    """Messages of an account that may wait for the store."""
    max_waiting_bytes_of_account: int = 8 * MIB
    """Bytes of an account that may wait for the store."""
    window: int = 256
    """Messages delivered to a session that it has not acknowledged."""
    window_bytes: int = 256 * KIB
    """Payload bytes of those; a single message may be larger."""
    notice_after: int = NEVER
    """With more messages waiting than this a session gets a limit notice in place of them."""
    pull_gap: float = 1.0
    """The least time between two answers to PULL while nothing was acknowledged; it doubles (clients.md rule 10)."""
    pull_gap_limit: float = 5.0
    """The most that it becomes."""
    sweep_interval: float = 5.0
    """How often sessions are looked after that a lost hint may have left behind."""
    upkeep_interval: float = 600.0
    """How often the store removes what is past its retention."""
    uc_timeout: float = 150.0
    """How long a session is online in an unlimited group without a UC PING (C# pings every 50 s)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig(_Limits):
    """Settings of a `Service`; raises `LocalProtocolError` that names what is out of range.

    ``link`` are the settings of every link, ``host`` the name in the answers to CONN.
    """

    link: ServerConfig = dataclasses.field(default_factory=ServerConfig)
    host: str = "mimc"

    def __post_init__(self) -> None:
        _Limits(**{field.name: getattr(self, field.name) for field in dataclasses.fields(_Limits)})
        for name, kind in (("link", ServerConfig), ("host", str)):
            if not isinstance(getattr(self, name), kind):
                got = type(getattr(self, name)).__name__
                raise LocalProtocolError(f"expected a {kind.__name__}, got a {got}", where=f"ServiceConfig.{name}")
