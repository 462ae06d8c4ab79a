"""Unlimited groups (rest.md 3): users join and quit them over their links, all else is here."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from ..store import Group, Member, Store
from .callers import Caller
from .envelope import AnswerCode, Failure, checked
from .fields import Answered
from .groups import new_owner
from .rights import GroupRights

__all__ = ["PAGE", "OnlineCount", "UnlimitedGroups", "UnlimitedInfo", "UnlimitedMember", "UnlimitedMembers"]

PAGE = 100
"""Members in one answer."""


class UnlimitedInfo(Answered):
    """An unlimited group."""

    topic_id: str
    topic_name: str
    owner_id: str = Field(description="The owner's uuid, as `ownerUuid`: clients read either.")
    owner_uuid: str
    owner_account: str
    extra: str


class UnlimitedMember(Answered):
    """A member of an unlimited group."""

    app_id: str
    uuid: str
    app_account: str
    app_accout: str = Field(description="The same, as the official demo's parser spells it.")


class UnlimitedMembers(Answered):
    """Some members of an unlimited group, by their uuids."""

    topic_id: str
    members: list[UnlimitedMember]
    member_num: int = Field(description="How many members this answer has.")
    is_end: bool = Field(description="Whether there are no more after these.")
    start_uuid: str = Field(description="Where to go on: the last uuid of this answer, or what was asked for.")


class OnlineCount(Answered):
    """How many members of an unlimited group are online."""

    topic_id: str
    user_cnt: int


class UnlimitedGroups(GroupRights):
    """What callers do with unlimited groups. All methods use the store, on the caller's thread.

    They raise `Failure` and `StoreError`.
    """

    _unlimited = True
    _noun = "unlimited group"

    def __init__(self, store: Store, wall_ms: Callable[[], int]) -> None:
        super().__init__(store)
        self._wall_ms = wall_ms

    def create(self, caller: Caller, name: str, extra: str) -> UnlimitedInfo:
        """A group that the caller owns, and is in."""
        made = self._store.create_group(
            caller.app_id, caller.member.uuid, name, [], self._wall_ms(), unlimited=True, extra=extra
        )
        return _info(checked(made))

    def topics(self, caller: Caller) -> list[str]:
        """The groups that the caller is in; Java asks before it sends CONN."""
        groups = self._store.groups_of(caller.app_id, caller.member.uuid, unlimited=True)
        return [str(group.topic_id) for group in groups]

    def info(self, caller: Caller, topic_id: int) -> UnlimitedInfo:
        """A group that the caller is in."""
        return _info(self._joined(caller, topic_id))

    def members(self, caller: Caller, topic_id: int, start_uuid: int) -> UnlimitedMembers:
        """Members with higher uuids than ``start_uuid``, at most `PAGE` of them."""
        self._joined(caller, topic_id)
        found = self._store.members(topic_id, start_uuid, PAGE + 1, unlimited=True)
        page = found[:PAGE]
        return UnlimitedMembers(
            topic_id=str(topic_id),
            members=[_member(caller.app_id, member) for member in page],
            member_num=len(page),
            is_end=len(found) <= PAGE,
            start_uuid=str(page[-1].uuid if page else start_uuid),
        )

    def check_member(self, caller: Caller, topic_id: int) -> None:
        """Raises `Failure` unless the caller is in this group."""
        self._joined(caller, topic_id)

    def update(
        self, caller: Caller, topic_id: int, name: str | None, owner_account: str | None, extra: str | None
    ) -> UnlimitedInfo:
        """Change what is not None, at least one of them; a new owner has to be a member."""
        self._owned(caller, topic_id)
        owner = new_owner(self._store, caller.app_id, topic_id, owner_account, None, unlimited=True)
        if owner is None and name is None and extra is None:
            raise Failure(AnswerCode.BAD_REQUEST, "expected topicName, ownerAccount or extra")
        checked(self._store.update_group(topic_id, unlimited=True, owner=owner, name=name, extra=extra))
        return _info(self._group(caller, topic_id))

    def dismiss(self, caller: Caller, topic_id: int) -> None:
        """The group is no more; its members who are online have to be told (`GroupWatcher`)."""
        self._owned(caller, topic_id)
        self._store.dismiss_group(topic_id, unlimited=True)


def _info(group: Group) -> UnlimitedInfo:
    owner = str(group.owner.uuid)
    return UnlimitedInfo(
        topic_id=str(group.topic_id),
        topic_name=group.name,
        owner_id=owner,
        owner_uuid=owner,
        owner_account=group.owner.account,
        extra=group.extra,
    )


def _member(app_id: int, member: Member) -> UnlimitedMember:
    account = member.account
    return UnlimitedMember(app_id=str(app_id), uuid=str(member.uuid), app_account=account, app_accout=account)
