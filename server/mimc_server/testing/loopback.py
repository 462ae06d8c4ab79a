"""The service on free ports of this machine, for any client of any language."""

from __future__ import annotations

import asyncio
import contextlib
import ssl as _ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from random import SystemRandom
from typing import Any, Self, TypeVar

from anyio.from_thread import start_blocking_portal

from mimc_proto.testing import FRONTEND

from ..frontend import FrontendConfig, ServiceRunner, unix_ms
from ..http import HttpFrontend, HttpService, RunnerGroups, make_app
from ..service import ServiceConfig, ServiceEvent, SessionInfo
from .backend import RELAY, TOKEN_LIFETIME, Backend, ServiceHandle

__all__ = ["LoopbackService"]

T = TypeVar("T")

LOCAL = ("127.0.0.1", 0)
ANSWER_TIMEOUT = 10.0
"""Seconds in which the service's thread is to answer."""


class LoopbackService(ServiceHandle):
    """The whole service, with a frontend and the HTTP endpoints, in memory::

        async with LoopbackService() as service:
            async with connect(service.app_id, "alice", service.token("alice"), addresses=[service.address]) as alice:
                await alice.send("bob", b"hi")

        with LoopbackService.in_thread() as service:  # for programs that block, and for other processes
            ...

    Accounts are users as soon as somebody names them. ``address`` and ``http_address`` are where to listen; port 0
    takes a free one. ``ssl`` makes the frontend speak TLS. ``token_lifetime`` is in seconds. ``on_event`` gets what
    the service tells of itself. All methods may be called from any thread while the service runs.
    """

    def __init__(
        self,
        *,
        address: tuple[str, int] = LOCAL,
        http_address: tuple[str, int] = LOCAL,
        ssl: _ssl.SSLContext | None = None,
        config: ServiceConfig | None = None,
        token_lifetime: float = TOKEN_LIFETIME,
        on_event: Callable[[ServiceEvent], object] | None = None,
    ) -> None:
        self.address = address
        """Host and port of the frontend, once it runs."""
        self._http_address = http_address
        self._ssl = ssl
        self._config = config
        self._on_event = on_event
        self._backend = Backend(unix_ms, SystemRandom(), token_lifetime)
        self._runner: ServiceRunner | None = None
        self._ends = contextlib.AsyncExitStack()

    @classmethod
    @contextlib.contextmanager
    def in_thread(cls, **options: Any) -> Iterator[LoopbackService]:
        """The same in a thread of its own, until the block is left; ``options`` as for the class."""
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(cls(**options)) as service:
            yield service

    async def __aenter__(self) -> Self:
        """Serve. Raises `OSError` if an address cannot be used."""
        backend = self._backend
        async with contextlib.AsyncExitStack() as stack:
            service = backend.service("loopback", self._config)
            self._runner = ServiceRunner(
                service,
                backend.store,
                config=FrontendConfig(max_of_address=service.config.max_links),  # here all have the same one
                on_event=self._on_event,
            )
            stack.push_async_callback(self._runner.close)
            self.address = await self._runner.listen(*self.address, ssl=self._ssl)
            answers = HttpService(
                backend.applications,
                backend.store,
                backend.tokens,
                lambda: [self.address],
                frontend_domain=FRONTEND,
                relay_domain=RELAY,
                wall_ms=backend.token_ms,
            )
            http = HttpFrontend(make_app(answers, groups=RunnerGroups(self._runner)))
            stack.push_async_callback(http.close)
            self._http_address = await http.listen(*self._http_address)
            self._ends = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ends.aclose()

    @property
    def http_url(self) -> str:
        """Where the HTTP endpoints are, the resolver (``/gslb``) among them; without a slash at the end."""
        host, port = self._http_address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def sessions(self) -> list[SessionInfo]:
        """Who is online."""
        return self._call(lambda: self._running().service.sessions())

    def _kick(self, uuid: int, resource: str | None, reason: str) -> None:
        runner = self._running()
        runner.service.kick(uuid, resource, reason, runner.now(), runner.wall_ms())
        runner.wake()

    def _running(self) -> ServiceRunner:
        if self._runner is None:
            raise RuntimeError("expected a service that runs: enter it first")
        return self._runner

    def _call(self, work: Callable[[], T]) -> T:
        """Do it on the loop's thread, which alone may use service and store."""
        loop = self._running().loop
        if _running_loop() is loop:
            return work()
        done: Future[T] = Future()

        def do() -> None:
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        loop.call_soon_threadsafe(do)
        return done.result(ANSWER_TIMEOUT)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
