"""What whoever runs a server does to it while it runs; nothing of this is for its users."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mimc_proto._record import Record
from mimc_proto.errors import LocalProtocolError
from mimc_proto.packets import KickReason

from .applications import Application, Applications
from .frontend import ServiceRunner
from .http import HttpService
from .service import Service, SessionInfo
from .settings import Settings
from .store import Group, Member, Statistics, Store, StoreError
from .store.sqlite.snapshot import Snapshot

__all__ = ["Administration", "ApplicationKeys", "ServerStatistics"]

T = TypeVar("T")

KICKED = "kicked"
"""No client knows this reason: they all log in again."""

_FIRST_APP = 10**14
"""Ids of applications that are made here have 15 digits: JavaScript can hold them."""


class ApplicationKeys(Record, secret=("app_key", "app_secret")):
    """What an application's own server asks for tokens with; nobody can read key and secret back later."""

    __slots__ = ()
    app_id: int
    app_key: str
    app_secret: str
    package: str


class ServerStatistics(Record):
    """How much is going on, and how much is kept; ``uptime`` in seconds."""

    __slots__ = ()
    uptime: float
    connections: int
    sessions: int
    applications: int
    store: Statistics


class Administration:
    """The part of a `Server` that an administrator uses.

    All methods are to be called on the event loop of the server, and raise `StoreError` if the store fails.
    """

    settings: Settings
    applications: Applications
    """Those that are served."""
    store: Store
    """To be used within `perform`."""
    service: Service
    """To be used on the loop's thread, and `wake` to be called after its verbs."""
    wall_ms: Callable[[], int]
    _http: HttpService
    _runner: ServiceRunner
    _started = 0.0
    _leaving = False

    async def perform(self, work: Callable[[], T]) -> T:
        """Do something with `store` where that may be done, on another thread; what came of it, or what it raised.

        It must not touch `service`, nor begin a transaction: it is a part of one.
        """
        return await self._runner.perform(work)

    def wake(self) -> None:
        """Look after `service` at the end of this turn of the loop."""
        self._runner.wake()

    def now(self) -> float:
        """The clock of `service`, in seconds."""
        return self._runner.now()

    # -------------------------------------------------------------------------------------------------- who is online

    def sessions(self) -> list[SessionInfo]:
        """Who is online."""
        return self.service.sessions()

    async def kick(self, app_id: int, account: str, resource: str | None = None, reason: str = KICKED) -> int:
        """Take a user offline with one resource or all (None); how many sessions that were.

        Clients log in again, unless the reason is ``single-resource-kick``. Raises `LocalProtocolError` for a reason
        that cannot be told.
        """
        member = await self.perform(lambda: self.store.find_account(app_id, account))
        return 0 if member is None else self._kick(member.uuid, resource, reason)

    async def revoke_tokens(self, app_id: int, account: str) -> int | None:
        """No token so far of a user is good any more, and who is online with one is kicked: how many sessions that
        were; None if there is no such user. They have to fetch new ones."""
        member = await self.perform(lambda: self._revoke(app_id, account))
        return None if member is None else self._kick(member.uuid, None, KickReason.TOKEN_EXPIRED)

    def _revoke(self, app_id: int, account: str) -> Member | None:
        member = self.store.find_account(app_id, account)
        if member is not None:
            # tokens are issued at this time or later, also where the clock was set back (`Login.token`)
            newest = max(self.wall_ms(), self.store.tokens_good_from(member.uuid))
            self.store.revoke_tokens(member.uuid, newest + 1)
        return member

    def issue_token(self, application: Application, account: str) -> dict[str, Any]:
        """A token answer, as the application's own server gets it; to be called within `perform`. Makes the user when
        seen for the first time. Raises `LocalProtocolError` if the account cannot be one."""
        return self._http.login.issue(application, account)

    def _kick(self, uuid: int, resource: str | None, reason: str) -> int:
        online = sum(info.uuid == uuid and resource in (None, info.resource) for info in self.sessions())
        self.service.kick(uuid, resource, reason, self._runner.now(), self.wall_ms())
        self.wake()
        return online

    # --------------------------------------------------------------------------------------------------- applications

    async def add_application(
        self,
        package: str,
        *,
        app_id: int | None = None,
        app_key: str | None = None,
        app_secret: str | None = None,
        replace: bool = False,
    ) -> ApplicationKeys:
        """Serve another application from now on; what is not given is made.

        Key and secret are kept as digests, so this is the only time that they can be seen. With ``replace`` they take
        the place of those that the application had: tokens stay good. Raises `LocalProtocolError` if a value cannot be,
        or there is such an application already.
        """
        keys = ApplicationKeys(
            app_id=app_id if app_id is not None else _FIRST_APP + secrets.randbelow(9 * _FIRST_APP),
            app_key=app_key if app_key is not None else secrets.token_urlsafe(16),
            app_secret=app_secret if app_secret is not None else secrets.token_urlsafe(24),
            package=package,
        )
        if not replace and self.applications.get(keys.app_id) is not None:
            raise LocalProtocolError(f"there is an application {keys.app_id} already", where="app_id")
        application = Application.of(
            app_id=keys.app_id, app_key=keys.app_key, app_secret=keys.app_secret, package=keys.package
        )
        await self.perform(lambda: self.store.put_application(application))
        self.applications.add(application)
        return keys

    async def remove_application(self, app_id: int) -> bool:
        """Serve an application no more, and kick its users; whether there was one.

        Its users, groups and messages are kept: they are there again when it is added again.
        """
        found = await self.perform(lambda: self.store.remove_application(app_id))
        self.applications.remove(app_id)
        for uuid in {info.uuid for info in self.sessions() if info.app_id == app_id}:
            self._kick(uuid, None, KickReason.INVALID_TOKEN)
        return found

    # --------------------------------------------------------------------------------------------------------- groups

    async def group(self, app_id: int, topic_id: int) -> Group | None:
        """A group of either kind; of an unlimited one without its members (`Store.members`)."""
        return await self.perform(lambda: self._group(app_id, topic_id)[0])

    async def groups_of(self, app_id: int, account: str, *, unlimited: bool = False) -> list[Group]:
        """The groups of a kind that a user is in, as `group` gives them; none of a user who is not there."""

        def read() -> list[Group]:
            member = self.store.find_account(app_id, account)
            return [] if member is None else self.store.groups_of(app_id, member.uuid, unlimited=unlimited)

        return await self.perform(read)

    async def dismiss_group(self, app_id: int, topic_id: int) -> bool:
        """Remove a group of either kind, as its owner could; whether there was one."""

        def dismiss() -> tuple[Group | None, bool]:
            found, unlimited = self._group(app_id, topic_id)
            if found is not None:
                self.store.dismiss_group(topic_id, unlimited=unlimited)
            return found, unlimited

        found, unlimited = await self.perform(dismiss)
        if found is not None and unlimited:
            self.service.unlimited_dismissed(app_id, topic_id, self._runner.now(), self.wall_ms())
            self.wake()
        return found is not None

    def _group(self, app_id: int, topic_id: int) -> tuple[Group | None, bool]:
        """A group, and whether it is unlimited: no group of one kind has the id of one of the other."""
        normal = self.store.group(app_id, topic_id, unlimited=False)
        return (normal, False) if normal is not None else (self.store.group(app_id, topic_id, unlimited=True), True)

    # ---------------------------------------------------------------------------------------------------- the whole

    async def statistics(self) -> ServerStatistics:
        """How much is going on, and how much is kept."""
        path = self.settings.database_path
        kept = self.store.statistics() if path is None else await self._read_apart(path, Snapshot.statistics)
        return ServerStatistics(
            uptime=self._runner.loop.time() - self._started,
            connections=self._runner.connections,
            sessions=len(self.sessions()),
            applications=sum(1 for _ in self.applications),
            store=kept,
        )

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Make a copy of the database while it is in use (`SqliteStore.backup`). Raises `StoreError`, also if there is
        no database."""
        database = self.settings.database_path
        if database is None:
            raise StoreError("expected a database, got a store in memory: there is nothing to copy")
        await self._read_apart(database, lambda snapshot: snapshot.backup(path))

    async def check(self) -> list[str]:
        """What is wrong with the database; nothing of a good one, or without one. Reads all of it."""
        database = self.settings.database_path
        return [] if database is None else await self._read_apart(database, Snapshot.check)

    async def _read_apart(self, database: Path, read: Callable[[Snapshot], T]) -> T:
        """What takes long is read beside the store, which nobody has to wait for."""

        def work() -> T:
            with Snapshot(database, lambda: self._leaving) as snapshot:
                return read(snapshot)

        return await asyncio.to_thread(work)
