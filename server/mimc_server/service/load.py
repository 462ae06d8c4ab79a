"""How much a service has to do."""

from __future__ import annotations

from mimc_proto._record import Record

__all__ = ["ServiceLoad"]


class ServiceLoad(Record):
    """Figures for metrics; reading them costs next to nothing."""

    __slots__ = ()
    links: int
    unbound: int
    """Links on which nobody is online."""
    sessions: int
    users: int
    """Those who are online, with whatever number of sessions."""
    unlimited_groups: int
    """Unlimited groups in which somebody is online."""
    waiting: int
    """Messages that wait for the store."""
    waiting_bytes: int
    requests: int
    """What the store has been asked, or is to be, and has not answered."""
    stored: tuple[int, ...]
    """Messages that were stored since the start, at the index of their `Kind`."""
    repeated: int
    """Messages that came again after they had been stored."""
