"""Normal and unlimited groups."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from ..config import StoreConfig
from ..contract import AckCode, Group, GroupSummary, Member, Refused
from .users import User, Users

__all__ = ["GroupState", "Groups"]

FIRST_TOPIC = 2_135_000_000_000_000


class GroupState:
    """All that is kept of a group. Members are in the order in which they joined."""

    __slots__ = (
        "_record",
        "blocked",
        "bulletin",
        "extra",
        "last_index",
        "members",
        "name",
        "owner",
        "topic_id",
        "unlimited",
    )

    def __init__(self, topic_id: int, unlimited: bool, owner: User, name: str, extra: str) -> None:
        self.topic_id = topic_id
        self.unlimited = unlimited
        self.owner = owner
        self.name = name
        self.bulletin = ""
        self.extra = extra
        self.members: dict[int, User] = {}
        self.blocked: set[int] = set()
        self.last_index = 0
        self._record: Group | None = None

    def changed(self) -> None:
        """What `record` says has changed."""
        self._record = None

    def record(self) -> Group:
        """As the contract shows it, the owner first."""
        if self._record is None:
            others = (user.member for user in self.members.values() if user is not self.owner)
            members = () if self.unlimited else (self.owner.member, *others)
            self._record = Group(
                topic_id=self.topic_id,
                app_id=self.owner.app_id,
                owner=self.owner.member,
                name=self.name,
                bulletin=self.bulletin,
                extra=self.extra,
                size=len(self.members),
                members=members,
            )
        return self._record


class Groups(Users):
    """The part of `Store` that is about groups."""

    def __init__(self, config: StoreConfig | None = None) -> None:
        super().__init__(config)
        self._groups: dict[bool, dict[int, GroupState]] = {False: {}, True: {}}
        self._next_topic = FIRST_TOPIC

    def create_group(
        self, app_id: int, owner: int, name: str, members: list[int], wall_ms: int, *, unlimited: bool, extra: str = ""
    ) -> Group | Refused:
        if sum(map(len, self._groups.values())) >= self.config.max_groups:
            return Refused(code=AckCode.TOO_MANY, message=f"there are {self.config.max_groups} groups already")
        founder = self._users.get(owner)
        if founder is None or founder.app_id != app_id:
            return _no_user(owner)
        group = GroupState(self._next_topic, unlimited, founder, name, extra)
        refused = self._join(group, dict.fromkeys((owner, *members)), unlimited)
        if refused:
            return refused
        self._next_topic += 1
        self._groups[unlimited][group.topic_id] = group
        return group.record()

    def group(self, app_id: int, topic_id: int, *, unlimited: bool) -> Group | None:
        group = self._groups[unlimited].get(topic_id)
        return group.record() if group and group.owner.app_id == app_id else None

    def groups(self, app_id: int, after_topic_id: int, most: int) -> list[GroupSummary]:
        found = (
            (topic_id, unlimited, group)
            for unlimited, groups in self._groups.items()
            for topic_id, group in groups.items()
            if topic_id > after_topic_id and group.owner.app_id == app_id
        )
        return [
            GroupSummary(
                topic_id=topic_id,
                unlimited=unlimited,
                owner=group.owner.member,
                name=group.name,
                size=len(group.members),
            )
            for topic_id, unlimited, group in heapq.nsmallest(most, found)
        ]

    def groups_of(self, app_id: int, uuid: int, *, unlimited: bool) -> list[Group]:
        user = self._users.get(uuid)
        if user is None or user.app_id != app_id:
            return []
        return [self._groups[kind][topic].record() for topic, kind in user.groups.items() if kind == unlimited]

    def is_member(self, topic_id: int, uuid: int, *, unlimited: bool) -> bool:
        group = self._groups[unlimited].get(topic_id)
        return group is not None and uuid in group.members

    def members(self, topic_id: int, after_uuid: int, most: int, *, unlimited: bool) -> list[Member]:
        group = self._groups[unlimited].get(topic_id)
        uuids = sorted(uuid for uuid in group.members if uuid > after_uuid) if group else []
        return [self._users[uuid].member for uuid in uuids[:most]]

    def add_members(self, topic_id: int, uuids: list[int], *, unlimited: bool) -> Refused | None:
        group = self._groups[unlimited].get(topic_id)
        return self._join(group, dict.fromkeys(uuids), unlimited) if group else no_such_group(topic_id)

    def remove_members(self, topic_id: int, uuids: list[int], *, unlimited: bool) -> Refused | None:
        group = self._groups[unlimited].get(topic_id)
        if group is None:
            return no_such_group(topic_id)
        if group.owner.member.uuid in uuids:
            return Refused(code=AckCode.BAD_REQUEST, message="the owner cannot leave: name another one, or dismiss")
        for uuid in uuids:
            user = group.members.pop(uuid, None)
            if user:
                del user.groups[topic_id]
        group.changed()
        return None

    def update_group(
        self,
        topic_id: int,
        *,
        unlimited: bool,
        owner: int | None = None,
        name: str | None = None,
        bulletin: str | None = None,
        extra: str | None = None,
    ) -> Refused | None:
        group = self._groups[unlimited].get(topic_id)
        if group is None:
            return no_such_group(topic_id)
        if owner is not None and owner not in group.members:
            return Refused(code=AckCode.NOT_A_MEMBER, message=f"expected a member as the new owner, got {owner}")
        if owner is not None:
            group.owner = group.members[owner]
        group.name = group.name if name is None else name
        group.bulletin = group.bulletin if bulletin is None else bulletin
        group.extra = group.extra if extra is None else extra
        group.changed()
        return None

    def dismiss_group(self, topic_id: int, *, unlimited: bool) -> bool:
        group = self._groups[unlimited].pop(topic_id, None)
        if group is None:
            return False
        for user in group.members.values():
            del user.groups[topic_id]
        return True

    def block_in_group(self, topic_id: int, uuid: int) -> None:
        group = self._group_of_either_kind(topic_id)
        if group:
            group.blocked.add(self._known(uuid).member.uuid)

    def unblock_in_group(self, topic_id: int, uuid: int) -> None:
        group = self._group_of_either_kind(topic_id)
        if group:
            group.blocked.discard(uuid)

    def is_blocked_in_group(self, topic_id: int, uuid: int) -> bool:
        group = self._group_of_either_kind(topic_id)
        return group is not None and uuid in group.blocked

    def _group_of_either_kind(self, topic_id: int) -> GroupState | None:
        return self._groups[False].get(topic_id) or self._groups[True].get(topic_id)

    def _join(self, group: GroupState, uuids: Iterable[int], unlimited: bool) -> Refused | None:
        """All of them or none."""
        joining: list[User] = []
        for uuid in uuids:
            user = self._users.get(uuid)
            if user is None or user.app_id != group.owner.app_id:
                return _no_user(uuid)
            if uuid in group.members:
                continue
            if len(user.groups) >= self.config.max_groups_of_user:
                return Refused(code=AckCode.TOO_MANY, message=f"{uuid} is in {len(user.groups)} groups already")
            joining.append(user)
        most = self.config.max_group_members
        if not unlimited and len(group.members) + len(joining) > most:
            return Refused(code=AckCode.TOO_MANY, message=f"a normal group has at most {most} members")
        for user in joining:
            group.members[user.member.uuid] = user
            user.groups[group.topic_id] = unlimited
        group.changed()
        return None


def no_such_group(topic_id: object) -> Refused:
    """The refusal for a group that does not exist or is another application's."""
    return Refused(code=AckCode.NO_SUCH_GROUP, message=f"there is no group {topic_id}")


def _no_user(uuid: int) -> Refused:
    return Refused(code=AckCode.BAD_REQUEST, message=f"no user of this application has the uuid {uuid}")
