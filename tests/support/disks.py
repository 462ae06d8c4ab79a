"""A store whose medium takes the time, and fails as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from mimc_server.store import Appended, NewMessage, SqliteStore

from .wires import TIMEOUT

__all__ = ["Disk"]


class Disk(SqliteStore):
    """An `SqliteStore` that others have in their hands."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.commits = 0
        """Commits that were begun, failed ones too."""
        self.failures: deque[BaseException | None] = deque()
        """What the next ones raise."""
        self.poison: dict[bytes, BaseException] = {}
        self.is_waiting = threading.Event()
        self._goes_on = threading.Event()
        self._goes_on.set()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            self.commits += 1
            self.is_waiting.set()
            assert self._goes_on.wait(TIMEOUT)
            failure = self.failures.popleft() if self.failures else None
            if failure is not None:
                raise failure

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        """What is in `poison` fails when something was written already."""
        error = self.poison.get(batch[0].payload)
        if error is None:
            return super().append(batch, wall_ms)
        with self._writing():
            self.put_setting("a trace", b"of what failed")
            raise error

    def stop(self) -> None:
        """From now on every commit waits."""
        self.is_waiting.clear()
        self._goes_on.clear()

    def go_on(self) -> None:
        """No commit waits any more."""
        self._goes_on.set()

    async def waits(self) -> None:
        """Until a commit waits."""
        assert await asyncio.to_thread(self.is_waiting.wait, TIMEOUT)
