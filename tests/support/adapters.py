"""The adapters behind one face, so that one story is told to all of them: with real sockets and threads.

A story is a coroutine function. On asyncio, uvloop and trio it runs as it is; for the blocking adapter each of its
awaits blocks, and what it starts beside itself runs in a thread.
"""

from __future__ import annotations

import abc
import asyncio
import importlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

__all__ = ["ADAPTERS", "Adapter", "Awaited"]

Story = Callable[[], Coroutine[Any, Any, None]]

PATIENCE = 10.0
"""Seconds after which a story that hangs is given up; none takes a tenth of it."""


class Adapter(abc.ABC):
    """One of the adapters, and what a story needs beside users."""

    name = ""
    module = ""

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """A user, to be entered with ``async with``."""
        return importlib.import_module(self.module).connect(*arguments, **options)

    @abc.abstractmethod
    def run(self, story: Story) -> None:
        """Run a story to its end."""

    @abc.abstractmethod
    def event(self) -> Any:
        """Something with ``set()`` and ``await wait()``."""

    @abc.abstractmethod
    async def together(self, *works: Callable[[], Awaitable[object]]) -> None:
        """Do several things side by side, until all are done."""


class OnAsyncio(Adapter):
    """asyncio with its own loop."""

    name = "asyncio"
    module = "mimc_transports.asyncio"

    @staticmethod
    def loop_factory() -> asyncio.AbstractEventLoop:
        """A new loop."""
        return asyncio.new_event_loop()

    def run(self, story: Story) -> None:
        async def whole() -> None:
            async with asyncio.timeout(PATIENCE):
                await story()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks were left: {left}"

        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(whole())

    def event(self) -> Any:
        return asyncio.Event()

    async def together(self, *works: Callable[[], Awaitable[object]]) -> None:
        await asyncio.gather(*[work() for work in works])


class OnEagerAsyncio(OnAsyncio):
    """asyncio with tasks that begin at once, where the interpreter has them (3.12)."""

    name = "eager"

    @staticmethod
    def loop_factory() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]  # 3.12
        return loop


class OnUvloop(OnAsyncio):
    """asyncio with uvloop."""

    name = "uvloop"

    @staticmethod
    def loop_factory() -> asyncio.AbstractEventLoop:
        import uvloop

        return uvloop.new_event_loop()


class OnTrio(Adapter):
    """trio."""

    name = "trio"
    module = "mimc_transports.trio"

    def run(self, story: Story) -> None:
        import trio

        async def whole() -> None:
            with trio.fail_after(PATIENCE):
                await story()

        trio.run(whole)

    def event(self) -> Any:
        import trio

        return trio.Event()

    async def together(self, *works: Callable[[], Awaitable[object]]) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            for work in works:
                nursery.start_soon(work)


class Blocking(Adapter):
    """Threads."""

    name = "blocking"
    module = "mimc_transports.blocking"

    def connect(self, *arguments: Any, **options: Any) -> Any:
        return Awaited(super().connect(*arguments, **options))

    def run(self, story: Story) -> None:
        before = set(threading.enumerate())
        outcome = _in_thread(story)
        outcome.join()
        ours = [one for one in threading.enumerate() if one not in before and one.name.startswith("mimc")]
        for thread in ours:  # those that look names up end when that returns
            thread.join(PATIENCE)
        left = [thread for thread in ours if thread.is_alive()]
        assert not left, f"threads were left: {left}"

    def event(self) -> Any:
        return Awaited(threading.Event())

    async def together(self, *works: Callable[[], Awaitable[object]]) -> None:
        for thread in [_in_thread(work) for work in works]:
            thread.join()


class Awaited:
    """Something that blocks, with coroutine functions in place of its methods; nothing ever waits outside of them."""

    _plain = frozenset({"abort", "send_nowait", "send_group_nowait", "acknowledge", "skip", "pull", "set"})

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not callable(value) or name in self._plain:
            return value
        if name == "events":
            return lambda: _Items(value())

        async def method(*arguments: Any, **options: Any) -> Any:
            return value(*arguments, **options)

        return method

    async def __aenter__(self) -> Any:
        self.inner.__enter__()
        return self

    async def __aexit__(self, *problem: Any) -> None:
        self.inner.__exit__(*problem)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _Items(self.inner)

    async def __anext__(self) -> Any:
        return await anext(_Items(self.inner))


class _Items:
    """An iterator whose next item is awaited."""

    def __init__(self, inner: Any) -> None:
        self.inner = iter(inner)

    def __aiter__(self) -> _Items:
        return self

    async def __anext__(self) -> Any:
        for item in self.inner:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """As async generators have it."""
        close = getattr(self.inner, "close", None)
        if close is not None:
            close()


class _in_thread:  # noqa: N801 (used like a function)
    """A coroutine that never waits, in a thread."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            coroutine = work()
            try:
                coroutine.send(None)
            except StopIteration:
                return
            coroutine.close()
            raise AssertionError("a story for the blocking adapter awaited something that did not block")
        except BaseException as error:
            self._error = error

    def join(self) -> None:
        """Wait for its end; raises what it raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "a story hangs"
        if self._error is not None:
            raise self._error


_EAGER = (OnEagerAsyncio(),) if hasattr(asyncio, "eager_task_factory") else ()
ADAPTERS: tuple[Adapter, ...] = (OnAsyncio(), *_EAGER, OnUvloop(), OnTrio(), Blocking())
