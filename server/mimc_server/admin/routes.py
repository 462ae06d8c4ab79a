"""The paths, bodies and types of what an admin can ask."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from ..http.fields import Id, Name, Number
from .desk import AdminDesk
from .models import (
    Account,
    AccountDetails,
    ApplicationInfo,
    ApplicationSecrets,
    BackupRequest,
    BackupResult,
    CheckResult,
    GroupDetails,
    GroupRow,
    KickRequest,
    KickResult,
    NewApplication,
    Page,
    ServerFigures,
    SessionRow,
    UserRequest,
)

__all__ = ["router"]

MOST = 1000
"""Items of a list at a time."""

router = APIRouter(prefix="/v1", strict_content_type=False)


# A coroutine function, though nothing is awaited: any other would run on a thread of the framework's.
async def _desk(request: Request) -> AdminDesk:
    desk: AdminDesk = request.app.state.desk
    return desk


Desk = Annotated[AdminDesk, Depends(_desk)]
AppId = Annotated[Id | None, Query(description="The application; without it the only one that is served.")]
After = Annotated[Number, Query(description="Where to begin: `next` of the piece before.")]
Most = Annotated[int, Query(ge=1, le=MOST)]
TopicId = Annotated[Id, Path()]


@router.get("/statistics")
async def statistics(desk: Desk) -> ServerFigures:
    """How much is going on, and how much is kept."""
    return await desk.figures()


@router.get("/applications")
async def applications(desk: Desk) -> list[ApplicationInfo]:
    """Those that are served."""
    return desk.applications()


@router.post("/applications")
async def add_application(body: NewApplication, desk: Desk) -> ApplicationSecrets:
    """Serve another one from now on."""
    return await desk.add_application(body.package, body.app_id)


@router.post("/applications/{app_id}/rotate")
async def rotate_application(app_id: Annotated[Id, Path()], desk: Desk) -> ApplicationSecrets:
    """Give one a new key and secret; the old ones are no longer good, tokens are."""
    return await desk.rotate_application(app_id)


@router.delete("/applications/{app_id}")
async def remove_application(app_id: Annotated[Id, Path()], desk: Desk) -> None:
    """Serve one no more; what is kept of it stays."""
    await desk.remove_application(app_id)


@router.get("/accounts")
async def accounts(desk: Desk, app_id: AppId = None, after: After = 0, most: Most = 100) -> Page[Account]:
    """The users of an application."""
    return await desk.accounts(app_id, after, most)


@router.get("/account")
async def account(desk: Desk, account: Annotated[Name, Query()], app_id: AppId = None) -> AccountDetails:
    """One of them."""
    return await desk.account(app_id, account)


@router.get("/sessions")
async def sessions(
    desk: Desk,
    app_id: AppId = None,
    account: Annotated[Name | None, Query()] = None,
    after: After = 0,
    most: Most = 100,
) -> Page[SessionRow]:
    """Who is online; without ``app_id`` users of all applications."""
    return desk.sessions(app_id, account, after, most)


@router.post("/kick")
async def kick(body: KickRequest, desk: Desk) -> KickResult:
    """Take a user offline."""
    return await desk.kick(body.app_id, body.account, body.resource, body.reason)


@router.post("/tokens/issue")
async def issue_token(body: UserRequest, desk: Desk) -> dict[str, Any]:
    """A token answer for a user, who is made when seen for the first time."""
    return await desk.issue_token(body.app_id, body.account)


@router.post("/tokens/revoke")
async def revoke_tokens(body: UserRequest, desk: Desk) -> KickResult:
    """No token so far of a user is good any more."""
    return await desk.revoke_tokens(body.app_id, body.account)


@router.get("/groups")
async def groups(desk: Desk, app_id: AppId = None, after: After = 0, most: Most = 100) -> Page[GroupRow]:
    """The groups of an application, of both kinds."""
    return await desk.groups(app_id, after, most)


@router.get("/groups/{topic_id}")
async def group(
    topic_id: TopicId, desk: Desk, app_id: AppId = None, after: After = 0, most: Most = 100
) -> GroupDetails:
    """One of them; ``after`` and ``most`` are for its members."""
    return await desk.group(app_id, topic_id, after, most)


@router.delete("/groups/{topic_id}")
async def dismiss_group(topic_id: TopicId, desk: Desk, app_id: AppId = None) -> None:
    """Dissolve one, as its owner could."""
    await desk.dismiss_group(app_id, topic_id)


@router.post("/backup")
async def backup(body: BackupRequest, desk: Desk) -> BackupResult:
    """A copy of the database, in a file of the server's machine."""
    return await desk.backup(body.path)


@router.post("/check")
async def check(desk: Desk) -> CheckResult:
    """Whether the database is whole. Reads all of it."""
    return await desk.check()
