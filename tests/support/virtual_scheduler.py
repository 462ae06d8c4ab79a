"""Threads that run one at a time, until each waits, and locks for them: always alike, on a `VirtualClock`.

Time passes only when all of them wait, and then at once: to whatever is due next. A program that waits for what cannot
happen ends in `Stuck` instead of hanging.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import Any

from mimc_proto.testing import Stuck, VirtualClock

__all__ = ["Scheduler", "Strand", "Threading"]


class Strand:
    """A thread, as the scheduler sees it: it runs after somebody opened its gate."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.waits = False
        self.stuck: Stuck | None = None


class Scheduler:
    """Decides which thread runs; the one that made it is the first."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.threads: list[Any] = []
        self._first = self.current = Strand()
        self._ready: deque[Strand] = deque()

    def park(self, deadline: float = math.inf) -> None:
        """Let others run until `unpark`, or until it is that time."""
        me = self.current
        alarm = None
        if deadline < math.inf:
            alarm = self.clock.call_at(deadline, lambda: self.unpark(me), "a thread's patience")
        me.waits = True
        following = self._choose()
        if following is not me:
            self.current = following
            following.gate.release()
            me.gate.acquire()
        if alarm is not None:
            alarm.cancel()
        if me.stuck is not None:
            raise me.stuck

    def unpark(self, strand: Strand) -> None:
        """It may go on."""
        if strand.waits:
            strand.waits = False
            self._ready.append(strand)

    def add(self, strand: Strand) -> None:
        """A new thread, which waits at its gate."""
        self._ready.append(strand)

    def leave(self) -> None:
        """The thread that runs has come to its end."""
        self.current = self._choose()
        self.current.gate.release()

    def _choose(self) -> Strand:
        try:
            self.clock.run_until(lambda: bool(self._ready), timeout=math.inf, what="anything a thread could do")
        except Stuck as error:  # whoever tells the story hears of it
            self._first.stuck = error
            self.unpark(self._first)
        return self._ready.popleft()


class Threading:
    """What the adapter takes for ``threading``."""

    def __init__(self, scheduler: Scheduler) -> None:
        class Thread(threading.Thread):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                self._strand, self._waiting, self.ended = Strand(), list[Strand](), False

            def start(self) -> None:
                scheduler.threads.append(self)
                scheduler.add(self._strand)
                super().start()

            def run(self) -> None:
                self._strand.gate.acquire()
                try:
                    super().run()
                finally:
                    self.ended = True
                    for waiting in self._waiting:
                        scheduler.unpark(waiting)
                    scheduler.leave()

            def join(self, timeout: float | None = None) -> None:
                while not self.ended:
                    self._waiting.append(scheduler.current)
                    scheduler.park()

        class Condition:
            def __init__(self, lock: Any) -> None:
                self._lock, self._waiting = lock, list[Strand]()

            def wait(self) -> None:
                self._waiting.append(scheduler.current)
                held = self._lock._release_save()
                try:
                    scheduler.park()
                finally:
                    self._lock._acquire_restore(held)

            def notify_all(self) -> None:
                waiting, self._waiting = self._waiting, []
                for strand in waiting:
                    scheduler.unpark(strand)

        class Lock:
            def __init__(self) -> None:
                self._held, self._waiting = False, deque[Strand]()

            def acquire(self) -> None:
                while self._held:
                    self._waiting.append(scheduler.current)
                    scheduler.park()
                self._held = True

            def release(self) -> None:
                self._held = False
                if self._waiting:
                    scheduler.unpark(self._waiting.popleft())

            def __enter__(self) -> None:
                self.acquire()

            def __exit__(self, *_: object) -> None:
                self.release()

        class RLock(Lock):
            """One thread holds it, as often as it wants."""

            def __init__(self) -> None:
                super().__init__()
                self._owner: Strand | None = None
                self._times = 0

            def acquire(self) -> None:
                if self._owner is not scheduler.current:
                    super().acquire()
                    self._owner = scheduler.current
                self._times += 1

            def release(self) -> None:
                assert self._owner is scheduler.current, "who releases a lock holds it"
                self._times -= 1
                if not self._times:
                    self._owner = None
                    super().release()

            def _release_save(self) -> int:
                times, self._times = self._times, 1
                self.release()
                return times

            def _acquire_restore(self, times: int) -> None:
                self.acquire()
                self._times = times

        self.Thread, self.Condition, self.Lock, self.RLock = Thread, Condition, Lock, RLock

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)
