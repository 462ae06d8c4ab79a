"""Users of the adapters, a scripted server, and a network between them, all on virtual time.

A story is a coroutine function. For the blocking adapter each of its awaits blocks, and what it starts beside itself
runs in a thread.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
from support.adapters import Awaited

from mimc_proto import Framing
from mimc_proto.testing import APP_ID, Network, ScriptedServer, VirtualClock, token_answer

if TYPE_CHECKING:
    from support.virtual_threads import VirtualThreads

HOST, PORT = "fe", 5222
LIBRARIES = ("asyncio", "trio")
ADAPTERS = (*LIBRARIES, "blocking")
MOMENT = 1e-6
"""Seconds in which all happens that can happen now."""


class Started:
    """Something that runs beside a story."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.cancelled = False
        self._done = anyio.Event()
        self._value: Any = None
        self._error: Exception | None = None

    async def run(self, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            with self.scope:
                self._value = await work()
        except Exception as error:
            self._error = error
        finally:
            self.cancelled = self.scope.cancelled_caught
            self._done.set()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    async def result(self) -> Any:
        """Wait for its end; gives what it gave, raises what it raised."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return self._value

    async def cancel(self) -> None:
        """Cancel it; it ends by that."""
        self.scope.cancel()
        await self._done.wait()
        assert self.cancelled, f"it ended before: {self._error or self._value!r}"


class StartedThread:
    """What `Started` is, in a thread; nobody can cancel it."""

    def __init__(self, threads: VirtualThreads, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._work = work
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threads.start(self._run)

    def _run(self) -> None:
        try:
            self._value = call(self._work)
        except BaseException as error:
            self._error = error

    @property
    def done(self) -> bool:
        return bool(self._thread.ended)

    async def result(self) -> Any:
        """Wait for its end; gives what it gave, raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value


def call(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine that never waits, and so blocks."""
    coroutine = work()
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("a story for the blocking adapter awaited something that did not block")


class World:
    """A scripted server on a network, and users of it, on one async library or blocking."""

    def __init__(self, library: str = "asyncio", *, framing: Framing = Framing.TCP) -> None:
        self.library = library
        self.clock = VirtualClock()
        self.network = Network(self.clock)
        self.server = ScriptedServer(self.clock, framing=framing)
        self.network.listen(HOST, PORT, self.server)
        self.threads: VirtualThreads | None = None
        if library == "blocking":
            from support.virtual_threads import VirtualThreads

            self.threads = VirtualThreads(self.clock, self.network)
        self._started: list[Started | StartedThread] = []
        self._group: anyio.abc.TaskGroup | None = None

    def user(self, account: str = "alice", token: Any = None, **options: Any) -> Any:
        """A user who is not logged in yet."""
        options = {"addresses": [(HOST, PORT)], "resource": "pc", **options}
        return self._connect()(APP_ID, account, token if token is not None else token_answer(account), **options)

    def _connect(self) -> Callable[..., Any]:
        if self.threads is not None:
            kind = self.threads.user
            return lambda *arguments, **options: Awaited(kind(*arguments, **options))
        if self.library == "asyncio":
            from mimc_transports.asyncio import connect

            return connect
        from mimc_transports.trio import User
        from support.virtual_trio import open_stream

        opening = staticmethod(functools.partial(open_stream, self.network))
        return type("VirtualUser", (User,), {"_open_tcp_stream": opening})

    def run(self, story: Callable[[], Awaitable[object]]) -> None:
        """Run a story to its end. It leaves nothing running."""
        if self.threads is not None:
            with self.threads.installed():
                call(story)  # type: ignore[arg-type]
            return
        problems: list[Exception] = []

        async def whole() -> None:
            async with anyio.create_task_group() as self._group:
                try:
                    await story()
                    left = [started for started in self._started if not started.done]
                    assert not left, f"{len(left)} that were started still run"
                except Exception as error:
                    problems.append(error)
                self._group.cancel_scope.cancel()

        if self.library == "asyncio":
            from support import virtual_loop

            virtual_loop.run(self.clock, self.network, whole())
        else:
            from support import virtual_trio

            virtual_trio.run(self.clock, whole)
        if problems:
            raise problems[0]

    def start(self, work: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any) -> Any:
        """Run a coroutine function beside the story."""
        if self.threads is not None:
            beside = StartedThread(self.threads, functools.partial(work, *arguments, **options))  # type: ignore[arg-type]
            self._started.append(beside)
            return beside
        started = Started()
        self._started.append(started)
        assert self._group is not None, "outside of a story"
        self._group.start_soon(started.run, functools.partial(work, *arguments, **options))
        return started

    async def settle(self) -> None:
        """Let all happen that can happen now."""
        await self.sleep(MOMENT)

    async def sleep(self, seconds: float) -> None:
        """Let time pass for whoever waits for this."""
        if self.threads is not None:
            self.threads.sleep(seconds)
        else:
            await anyio.sleep(seconds)
