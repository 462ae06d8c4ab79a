"""Histories: ``/api/msg/p2p`` of two users, ``/p2t`` of normal groups, ``/p2u`` of unlimited groups."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from ..callers import Caller
from ..envelope import Envelope, success
from ..fields import Asked, Id, Name, Number, Text
from ..history import MAX_COUNT, GroupHistory, PairHistory, Wanted
from .asking import BY_CALLER, Ask

__all__ = ["router"]

router = APIRouter(tags=["history"], prefix="/api/msg", strict_content_type=False)


class _Pair(Asked):
    to_account: Name
    from_account: Name
    app_id: Id | None = Field(None, description="The caller's application, in an older form of this request.")


class _Group(Asked):
    account: Name = Field(description="The token's account; of a server, a member.")
    topic_id: Id
    app_id: Id | None = Field(None, description="The caller's application, in an older form of this request.")


class _Some(Asked):
    biz_type: Text | None = Field(None, description="Only messages of this bizType; empty: all.")
    extra: Any = Field(None, description="Ignored: messages have no extras here.")


class _OnTime(_Some):
    utc_from_time: Number = Field(description="Unix time in milliseconds; at most a day before `utcToTime`.")
    utc_to_time: Number = Field(description="Messages before this time.")

    def wanted(self) -> Wanted:
        return Wanted.on_time(self.utc_from_time, self.utc_to_time, self.biz_type or "")


class _OnCount(_Some):
    utc_to_time: Number = Field(description="Messages before this time, Unix time in milliseconds.")
    count: Number = Field(description=f"How many, the newest of them: 1 to {MAX_COUNT}.")
    extra_filter_map: Any = Field(None, description="Ignored, as `extra`.")
    get_all_extra: Any = Field(None, description="Ignored, as `extra`.")

    def wanted(self) -> Wanted:
        return Wanted.on_count(self.utc_to_time, self.count, self.biz_type or "")


class _OnSequence(Asked):
    start_seq: Number
    stop_seq: Number = Field(description="Messages before this sequence.")

    def wanted(self) -> Wanted:
        return Wanted.on_sequence(self.start_seq, self.stop_seq)


class PairOnTime(_OnTime, _Pair):
    """Two users, and a time."""


class PairOnCount(_OnCount, _Pair):
    """Two users, and how many messages."""


class PairOnSequence(_OnSequence, _Pair):
    """Two users, and which sequences."""


class GroupOnTime(_OnTime, _Group):
    """A group, and a time."""


class GroupOnCount(_OnCount, _Group):
    """A group, and how many messages."""


class GroupOnSequence(_OnSequence, _Group):
    """A group, and which sequences."""


async def _pair(ask: Ask, body: PairOnTime | PairOnCount | PairOnSequence) -> Envelope[PairHistory]:
    wanted = body.wanted()

    def look(who: Caller) -> PairHistory:
        who.check_application(body.app_id)
        return ask.service.histories.of_pair(who, body.from_account, body.to_account, wanted)

    return success(await ask(look))


async def _group(
    ask: Ask, body: GroupOnTime | GroupOnCount | GroupOnSequence, *, unlimited: bool = False
) -> Envelope[GroupHistory]:
    wanted = body.wanted()

    def look(who: Caller) -> GroupHistory:
        who.check_application(body.app_id)
        return ask.service.histories.of_group(who, body.account, body.topic_id, wanted, unlimited=unlimited)

    return success(await ask(look))


@router.post("/p2p/queryOnTime", openapi_extra=BY_CALLER)
@router.post("/p2p/query", openapi_extra=BY_CALLER)
async def pair_on_time(body: PairOnTime, ask: Ask) -> Envelope[PairHistory]:
    """What two users said to each other, from a time on and before another."""
    return await _pair(ask, body)


@router.post("/p2p/queryOnCount", openapi_extra=BY_CALLER)
@router.post("/p2p/queryOnCount/v2", openapi_extra=BY_CALLER)
async def pair_on_count(body: PairOnCount, ask: Ask) -> Envelope[PairHistory]:
    """The newest of what two users said to each other before a time."""
    return await _pair(ask, body)


@router.post("/p2p/queryOnSequence", openapi_extra=BY_CALLER)
async def pair_on_sequence(body: PairOnSequence, ask: Ask) -> Envelope[PairHistory]:
    """What two users said to each other, from a sequence on and before another."""
    return await _pair(ask, body)


@router.post("/p2t/queryOnTime", openapi_extra=BY_CALLER)
@router.post("/p2t/query", openapi_extra=BY_CALLER)
async def group_on_time(body: GroupOnTime, ask: Ask) -> Envelope[GroupHistory]:
    """What was said in a normal group, from a time on and before another."""
    return await _group(ask, body)


@router.post("/p2t/queryOnCount", openapi_extra=BY_CALLER)
@router.post("/p2t/queryOnCount/v2", openapi_extra=BY_CALLER)
async def group_on_count(body: GroupOnCount, ask: Ask) -> Envelope[GroupHistory]:
    """The newest of what was said in a normal group before a time."""
    return await _group(ask, body)


@router.post("/p2t/queryOnSequence", openapi_extra=BY_CALLER)
async def group_on_sequence(body: GroupOnSequence, ask: Ask) -> Envelope[GroupHistory]:
    """What was said in a normal group, from a sequence on and before another."""
    return await _group(ask, body)


@router.post("/p2u/queryOnTime", openapi_extra=BY_CALLER)
async def unlimited_group_on_time(body: GroupOnTime, ask: Ask) -> Envelope[GroupHistory]:
    """What was said in an unlimited group, from a time on and before another."""
    return await _group(ask, body, unlimited=True)


@router.post("/p2u/queryOnCount", openapi_extra=BY_CALLER)
async def unlimited_group_on_count(body: GroupOnCount, ask: Ask) -> Envelope[GroupHistory]:
    """The newest of what was said in an unlimited group before a time."""
    return await _group(ask, body, unlimited=True)
