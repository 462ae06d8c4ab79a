"""Users of one adapter at a service on loopback."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from mimc_server.testing import LoopbackService

from mimc_proto import SessionConfig
from mimc_proto.session import LinkLost, Offline, Online

from .adapters import Adapter

__all__ = ["PEM", "QUICK", "Back", "Town", "aside", "impatient", "losses", "server_context", "trusting"]

PEM = Path(__file__).parent.parent / "transports" / "loopback.pem"
"""A key and its own certificate for 127.0.0.1 and localhost."""

QUICK = SessionConfig(
    connect_backoff=0.001,
    longest_connect_backoff=0.001,
    login_gap=0.001,
    longest_login_gap=0.001,
    token_backoff=0.001,
    longest_token_backoff=0.001,
)
"""For stories in which links are lost: nobody waits to come back."""


class Town:
    """Users of one adapter at the service; each test has accounts of its own."""

    _count = 0

    def __init__(self, adapter: Adapter, service: LoopbackService) -> None:
        self.adapter, self.service = adapter, service
        Town._count += 1
        self.suffix = f"-{adapter.name}-{Town._count}"

    def name(self, account: str) -> str:
        return account + self.suffix

    def user(self, account: str, **options: Any) -> Any:
        name = self.name(account)
        options = {"addresses": [self.service.address], "resource": "pc", **options}
        token = options.pop("token") if "token" in options else self.service.token(name)
        return self.adapter.connect(self.service.app_id, name, token, **options)


class Back:
    """Wait until a user is online again: ``on_status`` is for `connect`."""

    def __init__(self, adapter: Adapter) -> None:
        self._event = adapter.event()
        self._was_offline = False

    def on_status(self, status: Any) -> None:
        if isinstance(status, Offline):
            self._was_offline = True
        elif isinstance(status, Online) and self._was_offline:
            self._event.set()

    async def wait(self) -> None:
        await self._event.wait()


async def aside(adapter: Adapter, work: Callable[[], Any]) -> Any:
    """Call what blocks until the user has done something."""
    if adapter.name == "blocking":
        return work()
    if adapter.name == "trio":
        import trio

        return await trio.to_thread.run_sync(work)
    return await asyncio.to_thread(work)


def server_context(certificate: Path = PEM) -> ssl.SSLContext:
    """TLS with a certificate and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def trusting() -> ssl.SSLContext:
    """Who trusts the certificate in `PEM`."""
    return ssl.create_default_context(cafile=str(PEM))


def losses(user: Any) -> list[LinkLost]:
    """The links that this user loses from now on."""
    inner, lost = getattr(user, "inner", user), list[LinkLost]()
    on_event: Callable[[Any], None] = inner._on_event

    def note(event: Any) -> None:
        if isinstance(event, LinkLost):
            lost.append(event)
        on_event(event)

    inner._on_event = note
    return lost


def impatient(user: Any) -> Any:
    """The same user, whose login takes too long as soon as something goes wrong: no test has to wait for that."""
    inner = getattr(user, "inner", user)
    if callable(inner._token):
        inner._token = inner._token()  # no thread is left that fetches it
    if not hasattr(inner, "_within"):  # it blocks
        wait: Callable[[Callable[[], Any], None], bool] = inner._wait

        def wait_for_trouble(done: Callable[[], bool], _: float | None) -> bool:
            wait(lambda: done() or inner._problem, None)
            return done()

        inner._wait = wait_for_trouble
        return user

    async def within(_: float, work: Coroutine[Any, Any, None]) -> bool:
        assert inspect.iscoroutine(work)
        work.close()
        while not inner._problem and not inner.online and inner.session.ended is None:
            await inner._changed.wait()
        return bool(inner.online or inner.session.ended)

    inner._within = within
    return user
