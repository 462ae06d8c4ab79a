"""`mimc demo --serve`: the service as a frontend that stays up, with the HTTP endpoints that clients log in through."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from random import SystemRandom
from time import strftime

from mimc_server.applications import Applications
from mimc_server.frontend import ServiceRunner
from mimc_server.http import HttpFrontend, HttpService, make_app
from mimc_server.service import LoggedIn, LoggedOut, LoginRefused, MessageRefused, Service, ServiceEvent, StoreFailed
from mimc_server.store import Appended, MemoryStore, NewMessage, Store, Stored
from mimc_server.tokens import TokenIssuer

from mimc_proto.errors import shown_name

from .pasting import APPLICATION, instructions

__all__ = ["CannotListen", "serve"]

Say = Callable[[str], None]
Address = tuple[str, int]

COUNT_EVERY = 1.0
"""Seconds between two lines with the number of messages; none if there were no new ones."""
TOKEN_LIFETIME = 86_400.0


class CannotListen(Exception):  # noqa: N818 (says what happened)
    """An address cannot be used; the text says which and why, ``option`` which option gave it."""

    def __init__(self, option: str, address: Address, error: OSError) -> None:
        self.option = option
        super().__init__(f"cannot listen on {address[0]}:{address[1]}: {error.strerror or error}")


class _Store(MemoryStore):
    """Counts the messages, repeats not included."""

    messages = 0

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        answers = super().append(batch, wall_ms)
        self.messages += sum(isinstance(answer, Stored) and not answer.repeated for answer in answers)
        return answers


class _Journal:
    """A line for each login, logout and refusal. Names are a peer's words; nothing of a message is told."""

    def __init__(self, say: Say, store: Store) -> None:
        self._say = say
        self._store = store

    def line(self, text: str) -> None:
        """With the time of day before it."""
        self._say(f"{strftime('%H:%M:%S')}  {text}")

    def __call__(self, event: ServiceEvent) -> None:
        match event:
            case LoggedIn(account=account, resource=resource):
                self.line(f"login    {shown_name(account)}/{shown_name(resource)}")
            case LoggedOut(uuid=uuid, resource=resource, reason=reason):
                self.line(f"logout   {self._name(uuid)}/{shown_name(resource)}: {reason.value}")
            case LoginRefused(reason=told):
                self.line(f"refused  a login: {told}")
            case MessageRefused(uuid=uuid, code=code):
                self.line(f"refused  a message of {self._name(uuid)}: {code.name}")
            case StoreFailed(what=what, error=error):
                self.line(f"store    failed at {what}: {error}")
            case _:
                pass

    def _name(self, uuid: int) -> str:
        """The store knows whom an event is about: remembering it from the login would have to end at some time."""
        member = self._store.find_user(APPLICATION.app_id, uuid)
        return f"user {uuid}" if member is None else shown_name(member.account)


async def serve(address: Address, http_address: Address, say: Say) -> None:
    """Serve until SIGINT or SIGTERM. Raises `CannotListen`."""
    store = _Store()
    journal = _Journal(say, store)
    async with _running(store, address, http_address, journal) as (frontend, http):
        for line in instructions(frontend, http):
            say(line)
        counting = asyncio.create_task(_count(store, journal))
        try:
            await _signalled()
        finally:
            counting.cancel()
    journal.line(f"end      messages in all: {store.messages}")


@contextlib.asynccontextmanager
async def _running(
    store: _Store, address: Address, http_address: Address, journal: _Journal
) -> AsyncIterator[tuple[Address, Address]]:
    """The service, the addresses of its frontend and its HTTP endpoints."""
    tokens = TokenIssuer(secrets.token_bytes(32), TOKEN_LIFETIME, SystemRandom())
    service = Service(
        node="demo",
        tokens=tokens,
        package_of=Applications([APPLICATION]).package_of,
        rng=SystemRandom(),
    )
    frontends: list[Address] = []
    async with contextlib.AsyncExitStack() as stack:
        runner = ServiceRunner(service, store, on_event=journal)
        stack.push_async_callback(runner.close)
        http = HttpFrontend(make_app(HttpService(Applications([APPLICATION]), store, tokens, lambda: frontends)))
        stack.push_async_callback(http.close)
        try:
            frontends.append(await runner.listen(*address))
        except OSError as error:
            raise CannotListen("--serve", address, error) from error
        try:
            http_bound = await http.listen(*http_address)
        except OSError as error:
            raise CannotListen("--http", http_address, error) from error
        yield frontends[0], http_bound


async def _count(store: _Store, journal: _Journal) -> None:
    said = 0
    while True:
        await asyncio.sleep(COUNT_EVERY)
        if store.messages != said:
            journal.line(f"messages {store.messages} (+{store.messages - said})")
            said = store.messages


async def _signalled() -> None:
    """Wait for Ctrl-C, or for whoever stops services."""
    loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    stopped = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # on Windows Ctrl-C cancels this task instead
        for number in signals:
            loop.add_signal_handler(number, stopped.set)
    await stopped.wait()
    for number in signals:
        loop.remove_signal_handler(number)
