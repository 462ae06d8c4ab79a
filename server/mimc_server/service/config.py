"""Times and limits of a service. The object checks itself; times are seconds, sizes bytes."""

from __future__ import annotations

import dataclasses

from mimc_proto._checks import MAX_NAME
from mimc_proto.config import KIB, MIB, ServerConfig, _Checked
from mimc_proto.errors import LocalProtocolError

__all__ = ["ENVELOPE", "MAX_TEXT", "NEVER", "OVERHEAD", "ServiceConfig"]

MAX_TEXT = 1024
"""Bytes of an account, bizType or packet id, as the store takes them."""

OVERHEAD = 160
"""Tags, lengths and numbers of a message in a list, in bytes, and some to spare."""

ENVELOPE = 4096
"""What surrounds the messages of a list: the receiver's resource, the package, the header."""

NAMES = 3 * MAX_TEXT + MAX_NAME + 4 * KIB
"""The most that a message takes beside its payload: packet id, bizType, target; package; and the sender's account and
resource, which were in a BIND of at most 4 KiB."""

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
    """The largest payload of a message: what Java, C# and iOS allow. With all names it has to fit a list
    (``link.max_list_bytes``), or it would be stored for receivers who can never get it."""
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
    account_burst: int = 2000
    """Messages that an account may send faster than ``account_rate`` after a pause."""
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
    """How long a session is online in an unlimited group without a UC PING (C# pings every 50 s), and how long the
    store's word counts that its user is a member."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig(_Limits):
    """Settings of a `Service`; raises `LocalProtocolError` that names what is out of range.

    ``link`` are the settings of every link. The largest message has to fit a list, and a list the room of a link
    (``link.max_pending_bytes``).
    """

    link: ServerConfig = dataclasses.field(default_factory=ServerConfig)
    host: str = "mimc"
    """The name in the answers to CONN."""
    account_rate: int | None = 1000
    """Messages a second that all sessions of an account together may send in the long run, of any kind; what comes
    faster is refused with `AckCode.TOO_MANY`. None or 0: no limit. A person sends a few a second, and no client of ours
    more than some thousand: the limit is for what runs wild. One account cannot take more than a tenth of a core."""

    def __post_init__(self) -> None:
        _Limits(**{field.name: getattr(self, field.name) for field in dataclasses.fields(_Limits)})
        for name, kind in (("link", ServerConfig), ("host", str)):
            if not isinstance(getattr(self, name), kind):
                got = type(getattr(self, name)).__name__
                raise LocalProtocolError(f"expected a {kind.__name__}, got a {got}", where=f"ServiceConfig.{name}")
        rate = self.account_rate
        if rate is not None and not (type(rate) is int and 0 <= rate < 1 << 31):
            problem = f"expected whole messages a second, or None or 0 for no limit, got {rate!r}"
            raise LocalProtocolError(problem, where="ServiceConfig.account_rate")
        self._check_room("max_list_bytes", self.max_payload + NAMES + OVERHEAD + ENVELOPE, "a message of max_payload")
        self._check_room("max_pending_bytes", self.link.max_list_bytes, "a list of max_list_bytes")

    def _check_room(self, name: str, least: int, what: str) -> None:
        got = getattr(self.link, name)
        if got < least:
            problem = f"expected at least {least}, so that {what} fits, got {got}"
            raise LocalProtocolError(problem, where=f"ServiceConfig.link.{name}")
