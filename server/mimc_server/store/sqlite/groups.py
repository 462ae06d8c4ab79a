"""Normal and unlimited groups."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..config import StoreConfig
from ..contract import AckCode, Group, GroupSummary, Member, Refused
from .users import Users

__all__ = ["Groups", "Topic", "no_such_group"]

FIRST_TOPIC = 2_135_000_000_000_000
MOST_CACHED = 10_000
"""Groups that are kept in memory."""


class Topic:
    """A group as the database has it; ``members`` in their order, of a normal group and once they were asked for."""

    __slots__ = ("app_id", "bulletin", "extra", "members", "name", "owner", "size", "topic_id", "unlimited")

    def __init__(
        self,
        topic_id: int,
        app_id: int,
        unlimited: int,
        owner: int,
        name: str,
        bulletin: str = "",
        extra: str = "",
        size: int = 0,
    ) -> None:
        self.topic_id = topic_id
        self.app_id = app_id
        self.unlimited = bool(unlimited)
        self.owner = owner
        self.name = name
        self.bulletin = bulletin
        self.extra = extra
        self.size = size
        self.members: dict[int, None] | None = None


class Groups(Users):
    """The part of `Store` that is about groups."""

    def __init__(self, path: str | os.PathLike[str], config: StoreConfig | None = None) -> None:
        self._topics: dict[int, Topic] = {}
        super().__init__(path, config)

    def _forget(self) -> None:
        super()._forget()
        self._topics.clear()

    def create_group(
        self, app_id: int, owner: int, name: str, members: list[int], wall_ms: int, *, unlimited: bool, extra: str = ""
    ) -> Group | Refused:
        with self._writing():
            if self._number("SELECT count(*) FROM topic") >= self.config.max_groups:
                return Refused(code=AckCode.TOO_MANY, message=f"there are {self.config.max_groups} groups already")
            founder = self._by_uuid(owner)
            if founder is None or founder.app_id != app_id:
                return _no_user(owner)
            joining = list(dict.fromkeys((owner, *members)))
            refused = self._check_joining(app_id, joining, len(joining), unlimited)
            if refused:
                return refused
            topic_id = self._next("topic", FIRST_TOPIC)
            topic = Topic(topic_id, app_id, unlimited, owner, name, "", extra)
            row = (topic_id, app_id, unlimited, owner, name, "", extra, 0)
            self._connection.execute("INSERT INTO topic VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._topics[topic_id] = topic
            self._join(topic, joining)
            return self._record(topic)

    def group(self, app_id: int, topic_id: int, *, unlimited: bool) -> Group | None:
        with self._reading():
            topic = self._topic(topic_id, unlimited)
            return self._record(topic) if topic and topic.app_id == app_id else None

    def groups(self, app_id: int, after_topic_id: int, most: int) -> list[GroupSummary]:
        query = (
            "SELECT topic_id, unlimited, owner, account, name, size FROM topic JOIN user ON user.uuid = owner"
            " WHERE topic_id > ? AND topic.app_id = ? ORDER BY topic_id LIMIT ?"
        )
        with self._reading():
            rows = self._connection.execute(query, (after_topic_id, app_id, most)).fetchall()
        return [
            GroupSummary(
                topic_id=topic_id,
                unlimited=bool(unlimited),
                owner=Member(uuid=owner, account=account),
                name=name,
                size=size,
            )
            for topic_id, unlimited, owner, account, name, size in rows
        ]

    def groups_of(self, app_id: int, uuid: int, *, unlimited: bool) -> list[Group]:
        user = self._by_uuid(uuid)
        if user is None or user.app_id != app_id:
            return []
        query = "SELECT topic_id FROM member WHERE uuid = ? ORDER BY joined"
        with self._reading():
            topics = [self._topic(topic, unlimited) for (topic,) in self._connection.execute(query, (uuid,)).fetchall()]
            return [self._record(topic) for topic in topics if topic]

    def is_member(self, topic_id: int, uuid: int, *, unlimited: bool) -> bool:
        with self._reading():
            topic = self._topic(topic_id, unlimited)
            return topic is not None and self._is_in(topic, uuid)

    def members(self, topic_id: int, after_uuid: int, most: int, *, unlimited: bool) -> list[Member]:
        query = (
            "SELECT user.uuid, account FROM member JOIN user USING (uuid)"
            " WHERE topic_id = ? AND member.uuid > ? ORDER BY member.uuid LIMIT ?"
        )
        with self._reading():
            if self._topic(topic_id, unlimited) is None:
                return []
            rows = self._connection.execute(query, (topic_id, after_uuid, most)).fetchall()
        return [Member(uuid=uuid, account=account) for uuid, account in rows]

    def add_members(self, topic_id: int, uuids: list[int], *, unlimited: bool) -> Refused | None:
        with self._writing():
            topic = self._topic(topic_id, unlimited)
            if topic is None:
                return no_such_group(topic_id)
            refused = self._check_users(topic.app_id, uuids)
            if refused:
                return refused
            joining = [uuid for uuid in dict.fromkeys(uuids) if not self._is_in(topic, uuid)]
            refused = self._check_joining(topic.app_id, joining, topic.size + len(joining), unlimited)
            if refused is None:
                self._join(topic, joining)
            return refused

    def remove_members(self, topic_id: int, uuids: list[int], *, unlimited: bool) -> Refused | None:
        with self._writing():
            topic = self._topic(topic_id, unlimited)
            if topic is None:
                return no_such_group(topic_id)
            if topic.owner in uuids:
                return Refused(code=AckCode.BAD_REQUEST, message="the owner cannot leave: name another one, or dismiss")
            leaving = [uuid for uuid in dict.fromkeys(uuids) if self._is_in(topic, uuid)]
            delete = "DELETE FROM member WHERE topic_id = ? AND uuid = ?"
            self._connection.executemany(delete, [(topic_id, uuid) for uuid in leaving])
            self._sized(topic, topic.size - len(leaving))
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
        with self._writing():
            topic = self._topic(topic_id, unlimited)
            if topic is None:
                return no_such_group(topic_id)
            if owner is not None and not self._is_in(topic, owner):
                return Refused(code=AckCode.NOT_A_MEMBER, message=f"expected a member as the new owner, got {owner}")
            update = (
                "UPDATE topic SET owner = coalesce(?, owner), name = coalesce(?, name),"
                " bulletin = coalesce(?, bulletin), extra = coalesce(?, extra) WHERE topic_id = ?"
            )
            self._connection.execute(update, (owner, name, bulletin, extra, topic_id))
            del self._topics[topic_id]
            return None

    def dismiss_group(self, topic_id: int, *, unlimited: bool) -> bool:
        with self._writing():
            if self._topic(topic_id, unlimited) is None:
                return False
            for table in ("topic", "member", "topic_block"):
                self._connection.execute(f"DELETE FROM {table} WHERE topic_id = ?", (topic_id,))
            del self._topics[topic_id]
            return True

    def block_in_group(self, topic_id: int, uuid: int) -> None:
        with self._writing():
            if self._topic(topic_id, None):
                known = self._known(uuid)
                self._connection.execute(
                    "INSERT OR IGNORE INTO topic_block VALUES (?, ?)", (topic_id, known.member.uuid)
                )

    def unblock_in_group(self, topic_id: int, uuid: int) -> None:
        with self._writing():
            self._connection.execute("DELETE FROM topic_block WHERE topic_id = ? AND uuid = ?", (topic_id, uuid))

    def is_blocked_in_group(self, topic_id: int, uuid: int) -> bool:
        query = "SELECT 1 FROM topic_block WHERE topic_id = ? AND uuid = ?"
        with self._reading():
            return self._topic(topic_id, None) is not None and self._one(query, topic_id, uuid) is not None

    # ---- inside

    def _topic(self, topic_id: int, unlimited: bool | None) -> Topic | None:
        """The group, if it is of this kind (None: of either)."""
        topic = self._topics.get(topic_id)
        if topic is None:
            row = self._one("SELECT * FROM topic WHERE topic_id = ?", topic_id)
            if row is None:
                return None
            if len(self._topics) >= MOST_CACHED:
                self._topics.clear()
            topic = self._topics[topic_id] = Topic(*row)
        return topic if unlimited is None or topic.unlimited == unlimited else None

    def _members(self, topic: Topic) -> dict[int, None]:
        """Uuids in the order in which they joined; of a normal group they are kept."""
        if topic.members is not None:
            return topic.members
        query = "SELECT uuid FROM member WHERE topic_id = ? ORDER BY joined"
        members = {uuid: None for (uuid,) in self._connection.execute(query, (topic.topic_id,))}
        if not topic.unlimited:
            topic.members = members
        return members

    def _is_in(self, topic: Topic, uuid: int) -> bool:
        if not topic.unlimited:
            return uuid in self._members(topic)
        query = "SELECT 1 FROM member WHERE topic_id = ? AND uuid = ?"
        return self._one(query, topic.topic_id, uuid) is not None

    def _record(self, topic: Topic) -> Group:
        """As the contract shows it, the owner first."""
        owner = self._known(topic.owner).member
        members: tuple[Member, ...] = ()
        if not topic.unlimited:
            query = "SELECT user.uuid, account FROM member JOIN user USING (uuid) WHERE topic_id = ? ORDER BY joined"
            rows = self._connection.execute(query, (topic.topic_id,)).fetchall()
            others = (Member(uuid=uuid, account=account) for uuid, account in rows if uuid != topic.owner)
            members = (owner, *others)
        return Group(
            topic_id=topic.topic_id,
            app_id=topic.app_id,
            owner=owner,
            name=topic.name,
            bulletin=topic.bulletin,
            extra=topic.extra,
            size=topic.size,
            members=members,
        )

    def _check_users(self, app_id: int, uuids: Iterable[int]) -> Refused | None:
        for uuid in uuids:
            user = self._by_uuid(uuid)
            if user is None or user.app_id != app_id:
                return _no_user(uuid)
        return None

    def _check_joining(self, app_id: int, uuids: list[int], size: int, unlimited: bool) -> Refused | None:
        """All of them or none."""
        refused = self._check_users(app_id, uuids)
        if refused:
            return refused
        for uuid in uuids:
            groups = self._number("SELECT count(*) FROM member WHERE uuid = ?", uuid)
            if groups >= self.config.max_groups_of_user:
                return Refused(code=AckCode.TOO_MANY, message=f"{uuid} is in {groups} groups already")
        most = self.config.max_group_members
        if not unlimited and size > most:
            return Refused(code=AckCode.TOO_MANY, message=f"a normal group has at most {most} members")
        return None

    def _join(self, topic: Topic, uuids: list[int]) -> None:
        rows = [(topic.topic_id, uuid, self._next("joined", 1)) for uuid in uuids]
        self._connection.executemany("INSERT INTO member VALUES (?, ?, ?)", rows)
        self._sized(topic, topic.size + len(uuids))

    def _sized(self, topic: Topic, size: int) -> None:
        topic.size, topic.members = size, None
        self._connection.execute("UPDATE topic SET size = ? WHERE topic_id = ?", (size, topic.topic_id))


def no_such_group(topic_id: object) -> Refused:
    """The refusal for a group that does not exist or is another application's."""
    return Refused(code=AckCode.NO_SUCH_GROUP, message=f"there is no group {topic_id}")


def _no_user(uuid: int) -> Refused:
    return Refused(code=AckCode.BAD_REQUEST, message=f"no user of this application has the uuid {uuid}")
