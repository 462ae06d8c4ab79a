"""The whole server in one object: store, service, frontends, HTTP, from settings."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import socket
import ssl as _ssl
from collections.abc import Awaitable, Callable, Iterable
from random import SystemRandom
from typing import Self

from fastapi import APIRouter
from starlette.types import ASGIApp

from mimc_proto import Framing
from mimc_proto.errors import MimcError

from .administration import Administration
from .applications import Applications
from .frontend import ServiceRunner, unix_ms
from .http import HttpFrontend, HttpService, RunnerGroups, make_app
from .observing.endpoint import metrics_router
from .operating import Operating
from .service import Service, ServiceEvent, StoreRequest
from .settings import Address, Certificates, Http, Listen, Settings, SettingsError
from .store import MemoryStore, SqliteStore, Store
from .tokens import TokenIssuer

__all__ = ["CannotListen", "Server"]

NODE = "server"
"""Under which the sessions of a server stand in its store, so that the next one knows they are over."""

TOKEN_SECRET = "token-secret"
SECRET_BYTES = 32

Bind = Callable[[str, int], Awaitable[tuple[str, int]]]
Listener = Callable[[ServiceEvent], object]


class CannotListen(MimcError):  # noqa: N818 (says what happened)
    """An address cannot be used; ``kind`` is its key in `Listen`, or ``metrics``."""

    def __init__(self, kind: str, address: Address, error: OSError | UnicodeError) -> None:
        self.kind = kind
        self.address = address
        key = "metrics.listen" if kind == "metrics" else f"listen.{kind}"
        super().__init__(f"cannot listen on {address} ({key}): {_reason(error)}")


class Server(Administration):
    """Serves what `Settings` say, while it is entered::

        async with Server(Settings(data=Path("/var/lib/mimc"))) as server:
            print(server.addresses.tcp)
            await until_it_shall_end()

    ``on_event`` gets what the service tells of itself, as do all given to `add_listener`. ``routers`` are further
    endpoints at all addresses of HTTP. Entering raises `SettingsError`, `StoreError`, `CannotListen` and
    `CannotOpenSocket`; leaving waits at most `Settings.stop_timeout` for connections to take what waits for them.

    All methods are to be called on the event loop on which it was entered, and raise `StoreError` if the store fails.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_event: Listener | None = None,
        routers: Iterable[APIRouter] = (),
        wall_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self.settings = settings
        self.applications = Applications()
        self.addresses = Listen(tcp=(), websocket=(), http=())
        """Where it listens, once it does."""
        self.operating: Operating
        """Its figures, and the addresses where they are served."""
        self.wall_ms = wall_ms
        self._routers = tuple(routers)
        self._listeners: list[Listener] = [] if on_event is None else [on_event]
        self._ends = contextlib.AsyncExitStack()
        self._hurry: asyncio.Task[None] | None = None
        self._certificates: Certificates | None = None

    async def __aenter__(self) -> Self:
        if self.settings.listen.encrypted:
            self._certificates = Certificates(self.settings.tls)
        async with contextlib.AsyncExitStack() as stack:
            self.store = _open_store(self.settings)
            stack.callback(self.store.close)
            secret = self._read_store()
            tokens = TokenIssuer(secret, self.settings.tokens.lifetime, SystemRandom())
            self.service = Service(
                node=NODE,
                tokens=tokens,
                package_of=self.applications.package_of,
                rng=SystemRandom(),
                config=self.settings.service,
            )
            self._runner = ServiceRunner(
                self.service,
                self.store,
                threaded=not self.settings.memory,
                config=self.settings.frontend,
                wall_ms=self.wall_ms,
                on_event=self._tell,
                on_commit=self._committed,
            )
            self.operating = Operating(self)
            stack.callback(self.operating.journal.close)
            stack.push_async_callback(self._close_runner)
            self._started = self._runner.loop.time()
            self._http = self._answers(tokens)
            await self._listen(stack)
            if self.settings.admin_socket is not None:
                self.operating.open_socket(stack, self.settings.admin_socket)
            self._ends = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Listen no more, and end when connections have taken what waits for them; without effect the second time."""
        self._leaving = True
        await self._ends.aclose()

    def hurry(self) -> None:
        """Cut what is still open: for who does not want to wait while the server is being left."""
        if self._hurry is None:
            self._hurry = asyncio.ensure_future(self._runner.close(0.0))

    def renew_certificates(self) -> bool:
        """Read the files of `Settings.tls` again, for all connections from now on; whether anything listens inside TLS.

        Raises `SettingsError` if they cannot be used; then the certificate stays what it was.
        """
        if self._certificates is None:
            return False
        self._certificates.renew()
        return True

    def add_listener(self, listener: Listener) -> None:
        """Have something called with every event of the service from now on; it must be quick."""
        self._listeners.append(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Take an `add_listener` back. Raises `ValueError` if there was none."""
        self._listeners.remove(listener)

    # --------------------------------------------------------------------------------------------------------- inside

    def _read_store(self) -> bytes:
        """The applications, and the secret of the tokens, which is made once."""
        for application in self.store.applications():
            self.applications.add(application)
        secret = self.store.setting(TOKEN_SECRET)
        if secret is None:
            secret = secrets.token_bytes(SECRET_BYTES)
            self.store.put_setting(TOKEN_SECRET, secret)
        return secret

    async def _listen(self, stack: contextlib.AsyncExitStack) -> None:
        """At all addresses, until the stack is left."""
        wanted, bound = self.settings.listen, {}
        for kind, bind in self._ways(stack).items():
            bound[kind] = [await _bound(kind, address, bind) for address in getattr(wanted, kind)]
        self.addresses = Listen.model_validate(bound)
        for address in self.settings.metrics.listen:
            await _bound("metrics", address, functools.partial(self.operating.listen, stack))

    def _ways(self, stack: contextlib.AsyncExitStack) -> dict[str, Bind]:
        """How to listen at an address, by its kind."""
        listen, tls = self._runner.listen, None if self._certificates is None else self._certificates.context
        websocket = functools.partial(listen, framing=Framing.WEBSOCKET)
        http = _HttpAddresses(self.settings.http, self._app)
        stack.push_async_callback(http.close)
        return {
            "tcp": listen,
            "tls": functools.partial(listen, ssl=tls),
            "websocket": websocket,
            "websocket_tls": functools.partial(websocket, ssl=tls),
            "http": http.listen,
            "https": functools.partial(http.listen, ssl=tls),
        }

    def _answers(self, tokens: TokenIssuer) -> HttpService:
        public = self.settings.public
        return HttpService(
            self.applications,
            self.store,
            tokens,
            lambda: public.addresses or self.addresses.tcp,
            frontend_domain=public.frontend_domain,
            relay_domain=public.relay_domain,
            max_group_members=self.settings.store.max_group_members,
            wall_ms=self.wall_ms,
        )

    def _app(self) -> ASGIApp:
        """The HTTP endpoints."""
        routers = [*self._routers]
        if self.settings.metrics.http:
            routers.append(metrics_router(self.operating.text))
        groups, answered = RunnerGroups(self._runner), self.operating.metrics.answered
        return make_app(self._http, self.perform, groups, routers, answered)

    async def _close_runner(self) -> None:
        await self._runner.close(self.settings.stop_timeout)

    def _committed(self, requests: list[StoreRequest], seconds: float) -> None:
        self.operating.metrics.committed(requests, seconds)

    def _tell(self, event: ServiceEvent) -> None:
        listeners: tuple[Listener, ...] = (self.operating, *self._listeners)
        for listener in listeners:
            try:
                listener(event)
            except Exception as error:  # a mistake of the listener's, that nobody else is to suffer from
                context = {"message": f"a listener of the server failed at {type(event).__name__}", "exception": error}
                self._runner.loop.call_exception_handler(context)


class _HttpAddresses:
    """The HTTP endpoints at any number of addresses, each with limits of its own; made when the first one is."""

    def __init__(self, limits: Http, make: Callable[[], ASGIApp]) -> None:
        self._limits = limits
        self._app = functools.cache(make)
        self._frontends: list[HttpFrontend] = []

    async def listen(self, host: str, port: int, ssl: _ssl.SSLContext | None = None) -> tuple[str, int]:
        """`HttpFrontend.listen`."""
        limits = self._limits
        frontend = HttpFrontend(
            self._app(),
            max_connections=limits.max_connections,
            max_of_address=limits.max_of_address,
            patience=limits.patience,
        )
        self._frontends.append(frontend)
        return await frontend.listen(host, port, ssl)

    async def close(self) -> None:
        """All of them together."""
        await asyncio.gather(*(frontend.close() for frontend in self._frontends))


async def _bound(kind: str, address: Address, bind: Bind) -> Address:
    """Where it listens now. Raises `CannotListen`."""
    try:
        return Address(*await bind(*address))
    except (OSError, UnicodeError) as error:  # the latter for a host that no name can be
        raise CannotListen(kind, address, error) from error


def _reason(error: OSError | UnicodeError) -> str:
    """In the system's words; Python's name the address once more."""
    if isinstance(error, (UnicodeError, socket.gaierror)) or error.errno is None:
        return str(getattr(error, "strerror", None) or error)
    return os.strerror(error.errno)


def _open_store(settings: Settings) -> Store:
    if settings.memory:
        return MemoryStore(settings.store)
    path = settings.database_path
    if path is None:
        wanted = "expected a folder for the database (--data), or memory = true (--memory), got none"
        raise SettingsError(wanted, key="data")
    return SqliteStore(path, settings.store)
