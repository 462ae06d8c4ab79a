"""A clock that only tests move, and what is to happen at which time: hours pass in microseconds, always alike."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable

from ..errors import LocalProtocolError, MimcError

__all__ = ["Alarm", "Scheduled", "Stuck", "VirtualClock"]

WALL_MS = 1_700_000_000_000
"""Where the wall clock starts by default: a plain moment of November 2023."""

_SHOWN = 5
"""How many waiting callbacks an error names."""


class Stuck(MimcError):  # noqa: N818 (what happened, as in trio's and aioquic's tests)
    """What a test waited for did not happen. The text says what was waiting, and until when."""


class Scheduled:
    """A callback that waits for its time; made by `VirtualClock.call_at`."""

    __slots__ = ("_callback", "_waits", "what", "when")

    def __init__(self, when: float, callback: Callable[[], object], what: str) -> None:
        self._callback = callback
        self._waits = True
        self.when = when
        self.what = what

    def __repr__(self) -> str:
        return f"<{self.what} at {self.when:g} s{'' if self._waits else ', over'}>"

    @property
    def waits(self) -> bool:
        """Whether it is still to be called."""
        return self._waits

    def cancel(self) -> None:
        """Do not call it any more; harmless when it was called already."""
        self._waits = False

    def call(self) -> None:
        """Call it now, if it waits; the clock does this when its time has come."""
        if self._waits:
            self._waits = False
            self._callback()


class VirtualClock:
    """Seconds that pass only in ``run_*`` and `advance`, and a schedule of callbacks.

    The clock jumps from callback to callback; those of one moment run in the order in which they were scheduled, one
    after the other, never from within another. Drivers schedule themselves; a test says until when to run::

        clock = VirtualClock()
        clock.call_at(2.5, lambda: print("two and a half seconds"))
        clock.run_for(10.0)
        assert clock.now == 10.0

    ``now`` is the start in seconds (any origin), ``wall_ms`` the Unix time of that moment in milliseconds. The wall
    clock moves with the seconds, but may be set: `set_wall`. ``max_steps`` bounds the callbacks of one run: a program
    that never comes to rest ends in `Stuck`.
    """

    def __init__(self, now: float = 0.0, *, wall_ms: int = WALL_MS, max_steps: int = 100_000) -> None:
        self._start = self._now = now
        self._wall_ms = wall_ms
        self._max_steps = max_steps
        self._heap: list[tuple[float, int, Scheduled]] = []
        self._number = 0
        self._before_run: list[Callable[[], object]] = []
        self._running = False

    @property
    def now(self) -> float:
        """Seconds: what every machine is told."""
        return self._now

    @property
    def wall_ms(self) -> int:
        """Unix time in milliseconds: what goes into sequences and timestamps. It moves with `now`, unless it is set."""
        return self._wall_ms + round((self._now - self._start) * 1000)

    def set_wall(self, wall_ms: int) -> None:
        """Have it be this time (Unix milliseconds), later or earlier than it was; `now` and what waits do not notice.

        Whoever looks at the wall clock has to live with that: people and time servers set clocks, timers do not follow.
        Raises `LocalProtocolError` for anything but a whole number.
        """
        if type(wall_ms) is not int:
            raise LocalProtocolError(f"expected whole milliseconds, got {wall_ms!r}", where="VirtualClock.set_wall")
        self._wall_ms += wall_ms - self.wall_ms

    @property
    def waiting(self) -> list[Scheduled]:
        """What is scheduled, the next first."""
        return [item for _, _, item in sorted(self._heap) if item.waits]

    def call_at(self, when: float, callback: Callable[[], object], what: str = "a callback") -> Scheduled:
        """Have ``callback()`` called at ``when`` (seconds), or as soon as possible if that is past.

        ``what`` names it in errors. Raises `LocalProtocolError` if ``when`` is NaN.
        """
        if when != when:
            raise LocalProtocolError("expected seconds, got NaN", where="VirtualClock.call_at")
        self._number += 1
        item = Scheduled(when, callback, what)
        heapq.heappush(self._heap, (when, self._number, item))
        return item

    def call_later(self, delay: float, callback: Callable[[], object], what: str = "a callback") -> Scheduled:
        """`call_at`, ``delay`` seconds from now."""
        return self.call_at(self._now + delay, callback, what)

    def before_run(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have ``callback()`` called whenever a run begins; returns what ends that.

        Drivers use it to notice what a test did to their machines between two runs.
        """
        self._before_run.append(callback)
        return lambda: self._before_run.remove(callback) if callback in self._before_run else None

    # ----------------------------------------------------------------------------------------------------- running

    def advance(self, seconds: float) -> None:
        """Let time pass and run nothing, as if the whole machine had been asleep: what fell due is run late.

        Raises `LocalProtocolError` for a step back.
        """
        if not seconds >= 0:
            raise LocalProtocolError(f"expected seconds of at least 0, got {seconds!r}", where="VirtualClock.advance")
        self._now += seconds

    def run_for(self, seconds: float) -> None:
        """Run everything that is due within ``seconds``; with 0 what is due now. Raises `Stuck` if that never ends."""
        self.run_until(self._now + seconds)

    def run_until(self, goal: float | Callable[[], object], *, timeout: float = 600.0, what: str = "") -> None:
        """Run up to a time, or until a predicate holds; it is asked before each callback.

        ``timeout`` (seconds) bounds the wait for a predicate, ``what`` says in errors what it stands for. Raises
        `Stuck` if nothing is scheduled any more, the time is over, or too many callbacks ran; `LocalProtocolError`
        from within a callback, because callbacks are not nested. What a callback raises goes to the caller.
        """
        if callable(goal):
            limit, wanted = self._now + timeout, what or "what the test waits for"
            if not self._run(goal, limit, wanted):
                late = f"within {timeout:g} s" if self._next() else "and nothing is scheduled that could make it so"
                raise Stuck(f"expected {wanted} {late}; {self._described()}")
        else:
            self._run(None, goal, what or f"the time {goal:g} s")
            self._now = max(self._now, goal)

    def _run(self, done: Callable[[], object] | None, limit: float, wanted: str) -> bool:
        if self._running:
            raise LocalProtocolError("expected a caller outside of callbacks: they are not nested", where="run_until")
        self._running = True
        try:
            for callback in tuple(self._before_run):
                callback()
            ran: Counter[str] = Counter()
            for _ in range(self._max_steps):
                if done is not None and done():
                    return True
                item = self._next()
                if item is None or item.when > limit:
                    return False
                heapq.heappop(self._heap)
                self._now = max(self._now, item.when)
                ran[item.what] += 1
                item.call()
        finally:
            self._running = False
        often = ", ".join(f"{name} {count} times" for name, count in ran.most_common(_SHOWN))
        raise Stuck(f"expected {wanted} within {self._max_steps} callbacks; ran {often}; {self._described()}")

    def _next(self) -> Scheduled | None:
        while self._heap:
            item = self._heap[0][2]
            if item.waits:
                return item
            heapq.heappop(self._heap)
        return None

    def _described(self) -> str:
        waiting = self.waiting
        if not waiting:
            return f"at {self._now:g} s nothing waits"
        more = f" and {len(waiting) - _SHOWN} more" if len(waiting) > _SHOWN else ""
        names = ", ".join(f"{item.what} at {item.when:g} s" for item in waiting[:_SHOWN])
        return f"at {self._now:g} s these wait: {names}{more}"


class Alarm:
    """One deadline of a driver, moved often: re-armed only when it moves earlier, looked at again when it fires.

    ``callback()`` is called when the time last `set` has come.
    """

    __slots__ = ("_callback", "_clock", "_item", "_what", "_when")

    def __init__(self, clock: VirtualClock, callback: Callable[[], object], what: str) -> None:
        self._clock = clock
        self._callback = callback
        self._what = what
        self._when: float | None = None
        self._item: Scheduled | None = None

    def set(self, when: float | None) -> None:
        """Ring at ``when`` (seconds) instead of what was set before; None for never."""
        self._when = when
        if self._item is not None and (when is None or when < self._item.when):
            self._item.cancel()
            self._item = None
        if when is not None and self._item is None:
            self._item = self._clock.call_at(when, self._ring, self._what)

    def _ring(self) -> None:
        self._item = None
        when, self._when = self._when, None
        if when is not None and when > self._clock.now:
            self.set(when)
        else:
            self._callback()
