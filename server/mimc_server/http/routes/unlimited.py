"""Unlimited groups: ``/api/uctopic``. Their ids travel in headers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import Field

from ..callers import Caller
from ..envelope import Envelope, success
from ..fields import Asked, Extra, Id, Number, Text
from ..unlimited import OnlineCount, UnlimitedInfo, UnlimitedMembers
from .asking import BY_CALLER, Ask

__all__ = ["router"]

router = APIRouter(tags=["unlimited groups"], prefix="/api/uctopic", strict_content_type=False)

TopicId = Annotated[Id, Header(alias="topicId", description="The group.")]
StartUuid = Annotated[Number, Header(alias="startUuid", description="Members after this uuid; 0 begins.")]


class NewUnlimitedGroup(Asked):
    """A group to be made; others (`ownerUuid`) are ignored: the caller is its owner."""

    topic_name: Text = ""
    extra: Extra = ""


class UnlimitedGroupChanges(Asked):
    """What is missing or `null` stays as it is; at least one thing has to change."""

    topic_id: Id
    topic_name: Text | None = None
    owner_account: Text | None = Field(None, description="The new owner, a member; empty: the owner stays.")
    extra: Extra | None = None


@router.post("", openapi_extra=BY_CALLER)
async def create_unlimited_group(body: NewUnlimitedGroup, ask: Ask) -> Envelope[UnlimitedInfo]:
    """A new unlimited group that the caller owns, and is in."""
    return success(await ask(lambda who: ask.service.unlimited.create(who, body.topic_name, body.extra)))


@router.delete("", openapi_extra=BY_CALLER)
async def dismiss_unlimited_group(topic_id: TopicId, ask: Ask) -> Envelope[None]:
    """Dissolve an unlimited group; only its owner may. Members who are online are told."""

    def dismiss(who: Caller) -> int:
        ask.service.unlimited.dismiss(who, topic_id)
        return who.app_id

    app_id = await ask(dismiss)
    if ask.groups is not None:
        ask.groups.unlimited_dismissed(app_id, topic_id)
    return success(None)


@router.get("/topics", openapi_extra=BY_CALLER)
async def my_unlimited_groups(ask: Ask) -> Envelope[list[str]]:
    """The ids of the unlimited groups that the caller is in."""
    return success(await ask(ask.service.unlimited.topics))


@router.get("/userlist", openapi_extra=BY_CALLER)
async def unlimited_group_members(topic_id: TopicId, ask: Ask, start_uuid: StartUuid = 0) -> Envelope[UnlimitedMembers]:
    """The members of an unlimited group that the caller is in, a hundred at a time."""
    return success(await ask(lambda who: ask.service.unlimited.members(who, topic_id, start_uuid)))


@router.get("/onlineinfo", openapi_extra=BY_CALLER)
async def unlimited_group_online(topic_id: TopicId, ask: Ask) -> Envelope[OnlineCount]:
    """How many members of an unlimited group are online; the caller has to be in it."""

    def check(who: Caller) -> int:
        ask.service.unlimited.check_member(who, topic_id)
        return who.app_id

    app_id = await ask(check)
    count = 0 if ask.groups is None else ask.groups.online_in(app_id, topic_id)
    return success(OnlineCount(topic_id=str(topic_id), user_cnt=count))


@router.get("/topic", openapi_extra=BY_CALLER)
async def query_unlimited_group(topic_id: TopicId, ask: Ask) -> Envelope[UnlimitedInfo]:
    """An unlimited group that the caller is in."""
    return success(await ask(lambda who: ask.service.unlimited.info(who, topic_id)))


@router.post("/update", openapi_extra=BY_CALLER)
async def update_unlimited_group(body: UnlimitedGroupChanges, ask: Ask) -> Envelope[UnlimitedInfo]:
    """Change an unlimited group; only its owner may."""
    answer = await ask(
        lambda who: ask.service.unlimited.update(who, body.topic_id, body.topic_name, body.owner_account, body.extra)
    )
    return success(answer)
