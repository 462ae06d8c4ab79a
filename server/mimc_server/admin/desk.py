"""What an admin asks, answered by a server that runs."""

from __future__ import annotations

import heapq
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from mimc_proto.errors import MimcError

from ..administration import KICKED, Administration, ApplicationKeys
from ..applications import Application
from ..observing import tell
from ..service import SessionInfo
from ..store import Group, GroupSummary, Member
from .models import (
    Account,
    AccountDetails,
    ApplicationInfo,
    ApplicationSecrets,
    BackupResult,
    CheckResult,
    GroupDetails,
    GroupRow,
    KickResult,
    Page,
    ServerFigures,
    SessionRow,
)

__all__ = ["AdminDesk", "AdminFailure"]

T = TypeVar("T")
R = TypeVar("R")


class AdminFailure(MimcError):  # noqa: N818 (what an answer says)
    """A request that cannot be done; ``status`` is the HTTP status of its answer."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class AdminDesk:
    """Answers about a server; raises `AdminFailure`, and what the server's methods raise."""

    def __init__(self, server: Administration, version: str) -> None:
        self._server = server
        self._version = version

    # ------------------------------------------------------------------------------------------------- applications

    def applications(self) -> list[ApplicationInfo]:
        """Those that are served."""
        served = sorted(self._server.applications, key=lambda application: application.app_id)
        return [ApplicationInfo(app_id=str(one.app_id), package=one.package) for one in served]

    async def add_application(self, package: str, app_id: int | None) -> ApplicationSecrets:
        """Another one, with a key and a secret of its own."""
        if app_id is not None and self._server.applications.get(app_id) is not None:
            raise AdminFailure(409, f"there is an application {app_id} already")
        keys = await self._server.add_application(package, app_id=app_id)
        _tell("add-application", app=keys.app_id, package=package)
        return _secrets(keys)

    async def rotate_application(self, app_id: int) -> ApplicationSecrets:
        """A new key and secret in place of the old ones."""
        application = self._application(app_id)
        keys = await self._server.add_application(application.package, app_id=application.app_id, replace=True)
        _tell("rotate-application", app=app_id)
        return _secrets(keys)

    async def remove_application(self, app_id: int) -> None:
        """Serve it no more."""
        self._application(app_id)
        await self._server.remove_application(app_id)
        _tell("remove-application", app=app_id)

    def _application(self, app_id: int | None) -> Application:
        """The one with this id, or the only one."""
        served = list(self._server.applications)
        if app_id is None:
            if len(served) == 1:
                return served[0]
            if not served:
                raise AdminFailure(404, "no application is served here yet: add one")
            problem = f"expected the id of an application (--app), as {len(served)} are served here"
            raise AdminFailure(400, problem)
        found = self._server.applications.get(app_id)
        if found is None:
            raise AdminFailure(404, f"no application {app_id} is served here")
        return found

    # ----------------------------------------------------------------------------------------------------- accounts

    async def accounts(self, app_id: int | None, after: int, most: int) -> Page[Account]:
        """Users by their uuids."""
        app_id = self._application(app_id).app_id
        store = self._server.store
        found = await self._server.perform(lambda: store.users(app_id, after, most + 1))
        online = _counted(self._server.sessions())
        return _page(found, most, lambda member: member.uuid, lambda member: _account(member, online))

    async def account(self, app_id: int | None, account: str) -> AccountDetails:
        """One user."""
        app_id = self._application(app_id).app_id
        store = self._server.store

        def read() -> tuple[Member, int, int, list[GroupRow]]:
            member = self._member(app_id, account)
            groups = [
                _group_of(group, unlimited)
                for unlimited in (False, True)
                for group in store.groups_of(app_id, member.uuid, unlimited=unlimited)
            ]
            return member, store.inbox_end(member.uuid)[0], store.tokens_good_from(member.uuid), groups

        member, received, good_from, groups = await self._server.perform(read)
        return AccountDetails(
            app_id=str(app_id),
            account=member.account,
            uuid=str(member.uuid),
            received=received,
            tokens_good_from=good_from,
            sessions=[_session(info) for info in self._server.sessions() if info.uuid == member.uuid],
            groups=groups,
        )

    def _member(self, app_id: int, account: str) -> Member:
        """To be called where the store may be used."""
        member = self._server.store.find_account(app_id, account)
        if member is None:
            raise _no_account(app_id)
        return member

    async def issue_token(self, app_id: int | None, account: str) -> dict[str, Any]:
        """A token answer, as applications' servers get it."""
        application, issue = self._application(app_id), self._server.issue_token
        answer = await self._server.perform(lambda: issue(application, account))
        _tell("issue-token", app=application.app_id, account=account)
        return answer

    async def revoke_tokens(self, app_id: int | None, account: str) -> KickResult:
        """All tokens of a user."""
        app_id = self._application(app_id).app_id
        kicked = await self._server.revoke_tokens(app_id, account)
        if kicked is None:
            raise _no_account(app_id)
        _tell("revoke-tokens", app=app_id, account=account, kicked=kicked)
        return KickResult(kicked=kicked)

    # ----------------------------------------------------------------------------------------------------- sessions

    def sessions(self, app_id: int | None, account: str | None, after: int, most: int) -> Page[SessionRow]:
        """Who is online, by the numbers of their links."""
        wanted = (
            info
            for info in self._server.sessions()
            if info.link_id > after and app_id in (None, info.app_id) and account in (None, info.account)
        )
        found = heapq.nsmallest(most + 1, wanted, key=lambda info: info.link_id)
        return _page(found, most, lambda info: info.link_id, _session)

    async def kick(self, app_id: int | None, account: str, resource: str | None, reason: str | None) -> KickResult:
        """Take a user offline."""
        app_id = self._application(app_id).app_id
        await self._server.perform(lambda: self._member(app_id, account))
        kicked = await self._server.kick(app_id, account, resource, reason or KICKED)
        _tell("kick", app=app_id, account=account, resource=resource, kicked=kicked)
        return KickResult(kicked=kicked)

    # ------------------------------------------------------------------------------------------------------- groups

    async def groups(self, app_id: int | None, after: int, most: int) -> Page[GroupRow]:
        """Of both kinds, by their ids."""
        app_id = self._application(app_id).app_id
        store = self._server.store
        found = await self._server.perform(lambda: store.groups(app_id, after, most + 1))
        return _page(found, most, lambda group: group.topic_id, _group)

    async def group(self, app_id: int | None, topic_id: int, after: int, most: int) -> GroupDetails:
        """One, and its members by their uuids."""
        app_id = self._application(app_id).app_id
        store = self._server.store

        def read() -> tuple[GroupSummary, list[Member]]:
            found = store.groups(app_id, topic_id - 1, 1)
            if not found or found[0].topic_id != topic_id:
                raise _no_group(app_id, topic_id)
            return found[0], store.members(topic_id, after, most + 1, unlimited=found[0].unlimited)

        group, members = await self._server.perform(read)
        online = _counted(self._server.sessions())
        page = _page(members, most, lambda member: member.uuid, lambda member: _account(member, online))
        return GroupDetails(app_id=str(app_id), members=page, **_group(group).model_dump())

    async def dismiss_group(self, app_id: int | None, topic_id: int) -> None:
        """Dissolve a group."""
        app_id = self._application(app_id).app_id
        if not await self._server.dismiss_group(app_id, topic_id):
            raise _no_group(app_id, topic_id)
        _tell("dismiss-group", app=app_id, group=topic_id)

    # -------------------------------------------------------------------------------------------------- the whole

    async def figures(self) -> ServerFigures:
        """How much there is."""
        statistics, load = await self._server.statistics(), self._server.service.load()
        kept = statistics.store
        return ServerFigures(
            version=self._version,
            uptime=round(statistics.uptime, 3),
            links=load.links,
            sessions=load.sessions,
            users_online=load.users,
            applications=statistics.applications,
            users=kept.users,
            groups=kept.groups,
            messages=kept.messages,
            bytes=kept.bytes,
            bytes_limit=self._server.settings.store.max_bytes,
        )

    async def backup(self, path: str) -> BackupResult:
        """A copy of the database."""
        target = Path(path)
        if not target.is_absolute():
            raise AdminFailure(400, f"expected an absolute path, got {path!r}: the server has a folder of its own")
        self._check_database()
        await self._server.backup(target)
        _tell("backup", path=str(target))
        return BackupResult(path=os.fspath(target), bytes=target.stat().st_size)

    async def check(self) -> CheckResult:
        """Whether the database is whole."""
        self._check_database()
        return CheckResult(problems=await self._server.check())

    def _check_database(self) -> None:
        if self._server.settings.database_path is None:
            raise AdminFailure(409, "this server keeps everything in memory: there is no database")


def _tell(work: str, **fields: object) -> None:
    """A line in the log for all that an admin changes, and for what could be misused: the reader is to know."""
    tell(logging.INFO, "admin", work=work, **fields)


def _page(found: list[T], most: int, key: Callable[[T], int], shown: Callable[[T], R]) -> Page[R]:
    """One more than ``most`` were looked for, to know whether there are more."""
    items = found[:most]
    return Page(items=[shown(one) for one in items], next=str(key(items[-1])) if len(found) > most else None)


def _counted(sessions: Iterable[SessionInfo]) -> dict[int, int]:
    online: dict[int, int] = {}
    for info in sessions:
        online[info.uuid] = online.get(info.uuid, 0) + 1
    return online


def _account(member: Member, online: dict[int, int]) -> Account:
    return Account(account=member.account, uuid=str(member.uuid), sessions=online.get(member.uuid, 0))


def _session(info: SessionInfo) -> SessionRow:
    return SessionRow(
        app_id=str(info.app_id),
        account=info.account,
        uuid=str(info.uuid),
        resource=info.resource,
        peer=info.peer,
        link=info.link_id,
        waiting=info.waiting,
    )


def _group(group: GroupSummary) -> GroupRow:
    kind = "unlimited" if group.unlimited else "normal"
    return GroupRow(
        topic_id=str(group.topic_id), kind=kind, name=group.name, owner=group.owner.account, size=group.size
    )


def _group_of(group: Group, unlimited: bool) -> GroupRow:
    return _group(
        GroupSummary(
            topic_id=group.topic_id,
            unlimited=unlimited,
            owner=group.owner,
            name=group.name,
            size=group.size,
        )
    )


def _no_account(app_id: int) -> AdminFailure:
    return AdminFailure(404, f"application {app_id} has no such account")


def _no_group(app_id: int, topic_id: int) -> AdminFailure:
    return AdminFailure(404, f"application {app_id} has no group {topic_id}")


def _secrets(keys: ApplicationKeys) -> ApplicationSecrets:
    return ApplicationSecrets(
        app_id=str(keys.app_id), package=keys.package, app_key=keys.app_key, app_secret=keys.app_secret
    )
