"""What the endpoints need of the messaging service: on whose thread the store is used, and who is online."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from ..service import Service

__all__ = ["GroupWatcher", "Perform", "Runner", "RunnerGroups", "at_once"]

T = TypeVar("T")


class Perform(Protocol):
    """Does work where the store may be used, and gives or raises what came of it (`ServiceRunner.perform`)."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


async def at_once(work: Callable[[], T], /) -> T:
    """Here and now: right for a store that never waits."""
    return work()


class GroupWatcher(Protocol):
    """The messaging service, as far as unlimited groups concern it. Called on the event loop's thread."""

    def unlimited_dismissed(self, app_id: int, topic_id: int) -> None:
        """An unlimited group was dismissed in the store: its members who are online are to be told."""
        ...

    def online_in(self, app_id: int, topic_id: int) -> int:
        """How many members of an unlimited group are online."""
        ...


class Runner(Protocol):
    """`ServiceRunner`, as far as it is needed here."""

    service: Service
    now: Callable[[], float]
    wall_ms: Callable[[], int]

    def wake(self) -> None: ...


class RunnerGroups:
    """The unlimited groups of a service that runs here. Those online on other nodes are not counted."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def unlimited_dismissed(self, app_id: int, topic_id: int) -> None:
        """See `GroupWatcher`."""
        runner = self._runner
        runner.service.unlimited_dismissed(app_id, topic_id, runner.now(), runner.wall_ms())
        runner.wake()

    def online_in(self, app_id: int, topic_id: int) -> int:
        """See `GroupWatcher`."""
        return self._runner.service.unlimited_online(app_id, topic_id, self._runner.now())
