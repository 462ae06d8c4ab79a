"""Where the steps happen: a service on loopback, a line for each user, and users who keep what they got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeVar

from mimc_server.testing import LoopbackService
from mimc_transports.asyncio import User, connect

from mimc_proto import SessionConfig
from mimc_proto.errors import SessionEnded, shown
from mimc_proto.session import Ended, Offline, Online

from .line import Line

__all__ = ["QUICK", "DemoError", "Guest", "Stage", "check", "soon"]

PATIENCE = 5.0
"""Seconds that anything awaited may take; everything here takes milliseconds."""

QUICK = SessionConfig(
    connect_backoff=0.02, longest_connect_backoff=0.1, login_gap=0.05, pull_interval=0.02, send_timeout=PATIENCE
)
"""The delays of a client, short enough to be watched."""

T = TypeVar("T")


class DemoError(Exception):
    """Something that the demo shows did not happen; the text says what was expected and what came."""


def check(what: str, expected: object, got: object) -> None:
    """Raises `DemoError` if they are not equal."""
    if expected != got:
        raise DemoError(f"{what}: expected {shown(expected)}, got {shown(got)}")


async def soon(what: str, awaitable: Awaitable[T]) -> T:
    """The result, or `DemoError` if there is none in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await awaitable
    except TimeoutError:
        raise DemoError(f"expected {what}, got nothing within {PATIENCE:g} s") from None


class Guest:
    """A user of the demo with all that it got: messages in ``inbox``, and its `statuses`."""

    user: User

    def __init__(self, account: str, resource: str) -> None:
        self.name = f"{account}/{resource}"
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.statuses: list[Online | Offline | Ended] = []
        self.may_be_kicked = False
        """Leaving a user who consumed messages with a handler raises, if that user was kicked."""

    async def gets(self, *texts: str, sender: str, kind: str = "Message") -> Any:
        """The last of the messages that come next, which must be these."""
        for text in texts:
            got = await soon(f"{text!r} from {sender} to reach {self.name}", self.inbox.get())
            said = (type(got).__name__, got.from_account, got.payload.decode())
            check(f"the next message of {self.name}", (kind, sender, text), said)
        return got

    async def sends(self, to: str, text: str, **options: Any) -> int:
        """Send to a user and wait for the ack; returns its sequence."""
        ack = await soon(f"the ack of {text!r} for {self.name}", self.user.send(to, text.encode(), **options))
        return ack.sequence or 0


class Stage:
    """The service with its lines, as a context manager."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.lines: dict[str, Line] = {}

    async def __aenter__(self) -> Self:
        self.service = await self._stack.enter_async_context(LoopbackService())
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)

    async def line(self, account: str) -> Line:
        """The line of an account."""
        if account not in self.lines:
            self.lines[account] = await self._stack.enter_async_context(Line(self.service.address))
        return self.lines[account]

    @asynccontextmanager
    async def online(
        self,
        account: str,
        resource: str = "phone",
        *,
        config: SessionConfig = QUICK,
        on_message: Callable[[Any], object] | None = None,
        on_verdict: Callable[[Any], object] | None = None,
    ) -> AsyncIterator[Guest]:
        """A user who is logged in for the length of the block; messages go to its inbox, or to ``on_message``."""
        guest = Guest(account, resource)
        guest.user = connect(
            self.service.app_id,
            account,
            self.service.token(account),
            resource=resource,
            addresses=[(await self.line(account)).address],
            login_timeout=PATIENCE,
            config=config,
            on_message=on_message or guest.inbox.put_nowait,
            on_verdict=on_verdict,
            on_status=guest.statuses.append,
        )
        try:
            async with guest.user:
                yield guest
        except SessionEnded:
            if not guest.may_be_kicked:
                raise
