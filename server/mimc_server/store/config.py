"""Times and limits of a store. The object checks itself; times are seconds, sizes bytes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from mimc_proto.config import _Checked
from mimc_proto.errors import LocalProtocolError

__all__ = ["StoreConfig"]

DAY = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig(_Checked):
    """Settings of a store; raises `LocalProtocolError` that names what is out of range."""

    _largest: ClassVar[int] = 1 << 44  # 16 TiB: as large as an SQLite database can be

    retention: float = 7 * DAY
    """How long messages wait for their receivers (rest.md, Numbers: 7 days); no resource starts further back."""
    history: float = 183 * DAY
    """How long messages stay in the history of their conversation (rest.md, Numbers: 6 months); at least
    ``retention``."""
    repeat_window: float = DAY
    """How long a message that comes again is known as a repeat."""
    cursor_idle: float = 7 * DAY
    """How long a resource without a session keeps its place in the inbox."""
    max_group_members: int = 500
    """Members of a normal group (rest.md, Numbers); unlimited groups are."""
    max_groups_of_user: int = 1_000
    """Groups that a user may be in, of either kind."""
    max_groups: int = 100_000
    """Groups of all applications."""
    max_users: int = 1_000_000
    """Users of all applications. They are kept for ever, because a uuid must stay what it is."""
    max_conversations: int = 1_000_000
    """Pairs of users that have ever spoken. They are kept for ever, because their messages are counted from 1."""
    max_resources: int = 64
    """Resources of a user that keep a place without having a session; the one idle for longest is forgotten first."""
    max_repeats: int = 1_000_000
    """Messages of an application that are remembered to know a repeat; beyond it the oldest are forgotten early."""
    max_bytes: int = 1 << 30
    """What messages and inboxes may take. Beyond it those that all have read go early, oldest first; if that is not
    enough, new ones are refused."""

    def __post_init__(self) -> None:
        super(StoreConfig, self).__post_init__()  # slots make another class of this one
        if self.history < self.retention:
            problem = f"expected at least retention, which is {self.retention}, got {self.history}"
            raise LocalProtocolError(problem, where="StoreConfig.history")

    def horizon(self, wall_ms: int) -> int:
        """The lowest sequence that is not past the retention."""
        return sequence_floor(wall_ms, self.retention)

    def history_horizon(self, wall_ms: int) -> int:
        """The lowest sequence that a history may still show."""
        return sequence_floor(wall_ms, self.history)


def sequence_floor(wall_ms: int, age: float) -> int:
    """The lowest sequence that is not older than ``age`` seconds (sequences are at least ``wall_ms * 10_000 + 1``)."""
    return (wall_ms - round(age * 1000)) * 10_000
