"""The unlimited groups of a session: pinged to stay in them, and so restored after a reconnect (wire.md section 6)."""

from __future__ import annotations

from collections.abc import Iterable

from .._checks import check_number
from ..config import SessionConfig
from ..errors import LocalProtocolError
from ..packets import Group, UcPing
from .memory import Recent

__all__ = ["UnlimitedGroups"]

END_OF_TOPICS = 1 << 64

MOST_IN_PING = 1024
"""Groups that one ping names: with its header a packet has to fit the 64 KiB that servers take."""


class UnlimitedGroups:
    """Which groups the user is in, when the next ping is due, and which of their messages came already."""

    __slots__ = ("_app_id", "_config", "_joined", "_recent", "ping_at")

    def __init__(self, app_id: int, joined: Iterable[int], config: SessionConfig) -> None:
        self._app_id, self._config = app_id, config
        self._joined = {check_number(topic_id, "joined_groups", END_OF_TOPICS): None for topic_id in joined}
        if len(self._joined) > config.max_groups:
            raise LocalProtocolError(
                f"expected at most {config.max_groups} (max_groups), got {len(self._joined)}", where="joined_groups"
            )
        self._recent: Recent[tuple[int | None, int | None]] | None = None  # few sessions are in such groups
        self.ping_at: float | None = None
        """When the groups are to be pinged; None while there are none or nobody is online."""

    @property
    def joined(self) -> tuple[int, ...]:
        """Their ids."""
        return tuple(self._joined)

    def full(self) -> bool:
        """Whether no group may be joined any more."""
        return len(self._joined) >= self._config.max_groups

    def online(self, now: float) -> None:
        """A link is bound: the server learns the groups at once."""
        self.ping_at = now if self._joined else None

    def offline(self) -> None:
        """There is nobody to ping."""
        self.ping_at = None

    def pings(self, now: float) -> list[UcPing]:
        """The ping that is due, in several where there are many groups."""
        self.ping_at = now + self._config.group_ping_interval
        groups = [Group(app_id=self._app_id, topic_id=topic_id) for topic_id in self._joined]
        return [
            UcPing(groups=tuple(groups[start : start + MOST_IN_PING])) for start in range(0, len(groups), MOST_IN_PING)
        ]

    def add(self, topic_id: int, now: float) -> None:
        """Joined."""
        self._joined[topic_id] = None
        if self.ping_at is None:
            self.ping_at = now + self._config.group_ping_interval

    def remove(self, topic_id: int) -> bool:
        """Left, or dismissed; whether it had been joined."""
        if topic_id not in self._joined:
            return False
        del self._joined[topic_id]
        if not self._joined:
            self.ping_at = None
        return True

    def is_new(self, topic_id: int | None, sequence: int | None) -> bool:
        """Whether a message is delivered for the first time, as far as is remembered."""
        if self._recent is None:
            self._recent = Recent(self._config.remembered)
        return sequence is None or self._recent.add((topic_id, sequence))
