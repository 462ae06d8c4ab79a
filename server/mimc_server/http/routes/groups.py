"""Normal groups: ``/api/topic``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from ..envelope import AnswerCode, Envelope, Failure, success
from ..fields import Asked, Extra, Id, Text
from ..groups import GroupAnswer, GroupInfo
from .asking import BY_CALLER, Ask

__all__ = ["router"]

router = APIRouter(tags=["normal groups"], prefix="/api/topic/{appId}", strict_content_type=False)

AppId = Annotated[Id, Path(alias="appId", description="The caller's application.")]
TopicId = Annotated[Id, Path(alias="topicId", description="The group.")]

_JOINED = "Accounts, joined by commas."


class NewGroup(Asked):
    """A group to be made."""

    topic_name: Text = ""
    accounts: str = Field("", description=f"{_JOINED} The caller need not be among them.")
    extra: Extra = ""


class Invited(Asked):
    """Those to be members."""

    accounts: str = Field(description=f"{_JOINED} Those never seen before become users.")


class GroupChanges(Asked):
    """What is missing or `null` stays as it is."""

    topic_id: Id | None = Field(None, description="That of the path, in an older form of this request.")
    owner_account: Text | None = Field(None, description="The new owner, a member; empty: the owner stays.")
    owner_uuid: Id | None = Field(None, description="The same, in an older form of this request.")
    topic_name: Text | None = None
    bulletin: Text | None = None
    extra: Extra | None = None


@router.post("", openapi_extra=BY_CALLER)
async def create_group(app_id: AppId, body: NewGroup, ask: Ask) -> Envelope[GroupAnswer]:
    """A new group that the caller owns."""
    groups = ask.service.groups
    return success(await ask(lambda who: groups.create(who, app_id, body.topic_name, body.accounts, body.extra)))


@router.get("/account", openapi_extra=BY_CALLER)
async def my_groups(app_id: AppId, ask: Ask) -> Envelope[list[GroupInfo]]:
    """The groups that the caller is in."""
    return success(await ask(lambda who: ask.service.groups.of(who, app_id)))


@router.get("/{topicId}", openapi_extra=BY_CALLER)
async def query_group(app_id: AppId, topic_id: TopicId, ask: Ask) -> Envelope[GroupAnswer]:
    """A group that the caller is in, with its members."""
    return success(await ask(lambda who: ask.service.groups.one(who, app_id, topic_id)))


@router.put("/{topicId}", openapi_extra=BY_CALLER)
async def update_group(app_id: AppId, topic_id: TopicId, body: GroupChanges, ask: Ask) -> Envelope[GroupAnswer]:
    """Change a group; only its owner may."""
    if body.topic_id not in (None, topic_id):
        raise Failure(AnswerCode.BAD_REQUEST, "expected the topicId of the path in the body, or none")
    answer = await ask(
        lambda who: ask.service.groups.update(
            who,
            app_id,
            topic_id,
            owner_account=body.owner_account,
            owner_uuid=body.owner_uuid,
            name=body.topic_name,
            bulletin=body.bulletin,
            extra=body.extra,
        )
    )
    return success(answer)


@router.delete("/{topicId}", openapi_extra=BY_CALLER)
async def dismiss_group(app_id: AppId, topic_id: TopicId, ask: Ask) -> Envelope[None]:
    """Dissolve a group; only its owner may. The message of success ends in a full-width exclamation mark."""
    await ask(lambda who: ask.service.groups.dismiss(who, app_id, topic_id))
    return Envelope(message="success！")  # noqa: RUF001 (as the cloud writes it: rest.md 2)


@router.post("/{topicId}/accounts", openapi_extra=BY_CALLER)
async def invite(app_id: AppId, topic_id: TopicId, body: Invited, ask: Ask) -> Envelope[GroupAnswer]:
    """Make others members, without asking them; any member may."""
    return success(await ask(lambda who: ask.service.groups.invite(who, app_id, topic_id, body.accounts)))


@router.delete("/{topicId}/accounts", openapi_extra=BY_CALLER)
async def kick(
    app_id: AppId, topic_id: TopicId, accounts: Annotated[str, Query(description=_JOINED)], ask: Ask
) -> Envelope[GroupAnswer]:
    """Remove members; only the owner may, and not himself. Accounts that are no members are passed over."""
    return success(await ask(lambda who: ask.service.groups.kick(who, app_id, topic_id, accounts)))


@router.delete("/{topicId}/account", openapi_extra=BY_CALLER)
async def quit_group(app_id: AppId, topic_id: TopicId, ask: Ask) -> Envelope[None]:
    """Leave a group. Its owner cannot: code 500, `quit topic fail`."""
    await ask(lambda who: ask.service.groups.quit(who, app_id, topic_id))
    return success(None)
