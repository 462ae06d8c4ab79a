"""The store on a thread of its own: who waits for the medium is not the loop.

One group of requests is under way at a time; what is asked meanwhile is the next one, and has one commit together
(design.md section 5, rule 3): the slower the medium, the larger the groups.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from ..service.requests import StoreRequest
from ..store import Store, StoreError

__all__ = ["Committed", "StoreThread", "Work"]

T = TypeVar("T")

MOST_TOGETHER = 256
"""Requests in one transaction: an answer waits for all that are in it."""

MOST_FAILURES = 3
"""Requests in a row that a medium may fail before those after them are not even tried: each may take it seconds."""

Answered = Callable[[list[tuple[int, object]]], object]

Committed = Callable[[list[StoreRequest], float], object]
"""Hears what was performed together, and how many seconds it took; for metrics."""


class Work(Generic[T]):
    """Something that is done with the store for somebody who waits for it on the loop."""

    __slots__ = ("_done", "_error", "_value", "_work")

    def __init__(self, work: Callable[[], T], done: asyncio.Future[T]) -> None:
        self._work = work
        self._value: T
        self._error: BaseException | None = None
        self._done = done

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for it."""
        return not self._done.done()

    def run(self) -> None:
        """Do it, where the store may be used."""
        try:
            self._value = self._work()
        except StopIteration as error:  # no future takes it
            self._error = RuntimeError("the work raised StopIteration")
            self._error.__cause__ = error
        except BaseException as error:  # whatever it is, it is the matter of who asked for the work
            self._error = error

    def finish(self) -> None:
        """Tell what came of it, on the loop's thread."""
        if not self.awaited:
            return
        if self._error is not None:
            self._done.set_exception(self._error)
        else:
            self._done.set_result(self._value)


class StoreThread:
    """Performs requests and works in the order in which they were asked for, and has requests answered on the loop.

    Requests that wait are performed in one transaction; answers are given when it is committed. If it fails nothing has
    happened, and each is tried by itself: one that the store cannot bear costs the others nothing but time. A `Work`
    has no transaction around it, for it may have one of its own. Every request is answered, whatever the store raises.
    The thread, and with it the store, is there until `close` or the end of the process.
    """

    def __init__(
        self,
        store: Store,
        wall_ms: Callable[[], int],
        answered: Answered,
        committed: Committed = lambda *_: None,
    ) -> None:
        self._store = store
        self._committed = committed
        self._wall_ms = wall_ms
        self._answered = answered
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[StoreRequest | Work[Any]] = deque()
        self._busy = self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._started = 0.0
        self._context = contextvars.copy_context()
        self._given: SimpleQueue[tuple[list[StoreRequest], int] | Work[Any] | None] = SimpleQueue()
        # No executor: its futures cost 20 us a commit. A daemon: who does not close it is not kept from ending
        self._thread = threading.Thread(target=self._work, name="mimc-store", daemon=True)
        self._thread.start()

    def ask(self, jobs: list[StoreRequest | Work[Any]]) -> None:
        """Have these done after all that were asked for before."""
        if not self._closed:
            self._jobs.extend(jobs)
            self._next()

    async def idle(self) -> None:
        """Wait until there is nothing to do."""
        while not self._idle.is_set():  # more may be asked for before who waits is resumed
            await self._idle.wait()

    async def close(self) -> None:
        """Wait until there is nothing to do, and end the thread: what is asked for later is not done. May be called
        again, also while it runs."""
        await self.idle()
        self._closed = True
        self._given.put(None)
        self._thread.join()

    # ----------------------------------------------------------------------------------------------- one after another

    def _next(self) -> None:
        jobs = self._jobs
        while jobs and not self._busy:
            job = jobs.popleft()
            if not isinstance(job, Work):
                group = [job]
                while jobs and len(group) < MOST_TOGETHER and not isinstance(following := jobs[0], Work):
                    group.append(following)
                    jobs.popleft()
                self._start(group)
            elif job.awaited:
                self._start(job)
        if not self._busy:
            self._idle.set()

    def _start(self, job: list[StoreRequest] | Work[Any]) -> None:
        self._busy = True
        self._idle.clear()
        self._started = self._loop.time()
        self._given.put(job if isinstance(job, Work) else (job, self._wall_ms()))

    def _work(self) -> None:
        """On the thread: do what is given, until that is None or nobody is there any more who could be told."""
        tell = self._loop.call_soon_threadsafe
        with contextlib.suppress(RuntimeError):  # the loop is closed
            while (job := self._given.get()) is not None:
                if isinstance(job, Work):
                    job.run()
                    tell(self._worked, job, context=self._context)
                else:
                    tell(self._performed, job[0], perform(self._store, *job), context=self._context)
                del job  # what it holds is not kept until the next one comes

    def _worked(self, work: Work[Any]) -> None:
        self._busy = False
        work.finish()
        self._next()

    def _performed(self, requests: list[StoreRequest], answers: list[object]) -> None:
        self._busy = False
        seconds = self._loop.time() - self._started
        ids = [request.request_id for request in requests]
        try:
            self._answered(list(zip(ids, answers, strict=True)))  # may ask for more, which is to be in the next group
        finally:
            self._next()
        self._committed(requests, seconds)


def perform(store: Store, requests: list[StoreRequest], wall_ms: int) -> list[object]:
    """Perform requests with one commit, and return when it has reached the medium; the answer to each."""
    try:
        if len(requests) > 1:
            with contextlib.suppress(Exception), store.transaction():
                return [request.perform(store, wall_ms) for request in requests]
            # all are undone, and each may have been the one at fault
        return _one_by_one(store, requests, wall_ms)
    except BaseException as error:  # let out, it would end the thread: nobody would be answered any more
        return [_failed(error)] * len(requests)


def _one_by_one(store: Store, requests: list[StoreRequest], wall_ms: int) -> list[object]:
    answers: list[object] = []
    failures = 0
    for request in requests:
        answer = request.perform(store, wall_ms) if failures < MOST_FAILURES else answers[-1]
        failures = failures + 1 if type(answer) is StoreError else 0  # those of other kinds are answers
        answers.append(answer)
    return answers


def _failed(error: BaseException) -> StoreError:
    failed = StoreError(f"the store raised {type(error).__name__}: {error}")
    failed.__cause__ = error
    return failed
