"""Cancelling an operation at every point where it can be: between any two steps of the loop while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
from support.virtual_world import World

__all__ = ["MODES", "Sweep"]

MODES = ("asyncio", "asyncio in a scope", "asyncio in time", "trio in a scope", "trio in time")
"""A library, and what cancels: `asyncio.Task.cancel`, the cancel scope it runs in, or the deadline of that scope."""


class Sweep:
    """One run of an operation that is cancelled at the point ``at``; None only looks for the points.

    A point is a step of the loop, or, with a deadline, a time at which something happens.
    """

    def __init__(self, world: World, mode: str, at: float | None) -> None:
        self.world = world
        self._in_time = mode.endswith("in time")
        self._native = mode == "asyncio"
        self._at = at
        self._scope: anyio.CancelScope | None = None
        self._cancel: Callable[[], object] | None = None
        self._times: list[float] = []
        self._steps = 0
        self._counts = False
        self.requested = False
        """Whether it was cancelled while it ran."""
        self.began = False
        """Whether it came to where its points begin."""

    @property
    def points(self) -> list[float]:
        """Those that were found."""
        return self._times if self._in_time else list(range(1, self._steps + 1))

    async def run(self, work: Callable[[], Awaitable[object]], *, later: bool = False) -> str:
        """Run it and cancel it; ``later``: it says by `begin` when its points begin. "done", or "cancelled"."""
        with self._watching():
            if not later:
                self.begin()
            return await (self._run_natively(work) if self._native else self._run_in_scope(work))

    def begin(self) -> None:
        """From here on it is to be cancelled."""
        self._counts = self.began = True

    def end(self) -> None:
        """It is not to be cancelled any more."""
        self._counts = False
        if self._scope is not None:
            self._scope.deadline = math.inf

    async def _run_natively(self, work: Callable[[], Awaitable[object]]) -> str:
        async def whole() -> None:
            await work()

        task = asyncio.ensure_future(whole())
        self._cancel = task.cancel
        await asyncio.wait([task])
        if task.cancelled():
            return "cancelled"
        task.result()
        assert not self.requested, "it went on although it was cancelled"
        return "done"

    async def _run_in_scope(self, work: Callable[[], Awaitable[object]]) -> str:
        deadline = self._at if self._in_time and self._at is not None else math.inf
        with anyio.CancelScope(deadline=deadline) as scope:
            self._scope, self._cancel = scope, scope.cancel
            await work()
        return "cancelled" if scope.cancelled_caught else "done"

    # ----------------------------------------------------------------------------------------------------- points

    def _step(self) -> None:
        if not self._counts:
            return
        self._steps += 1
        now = self.world.clock.now
        if self._times[-1:] != [now]:
            self._times.append(now)
        if self._steps == self._at and not self._in_time:
            assert self._cancel is not None
            self.requested = self._cancel() is not False  # the task may be over, and nobody was told so far

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        if self.world.library == "asyncio":
            run = asyncio.Handle._run

            @functools.wraps(run)
            def counted(handle: asyncio.Handle) -> None:
                self._step()
                run(handle)

            handles: Any = asyncio.Handle
            handles._run = counted
            try:
                yield
            finally:
                handles._run = run
        else:
            import trio

            sweep = self

            class Steps(trio.abc.Instrument):
                def before_task_step(self, task: Any) -> None:
                    sweep._step()

            steps = Steps()
            trio.lowlevel.add_instrument(steps)
            try:
                yield
            finally:
                trio.lowlevel.remove_instrument(steps)
