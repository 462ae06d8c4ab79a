"""Normal groups (rest.md 2): any member sees one and invites others, only its owner changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic import Field

from mimc_proto._checks import MAX_NAME, check_text

from ..store import Group, Member, Store, StoreFull
from .callers import Caller
from .envelope import AnswerCode, Failure, checked
from .fields import Answered
from .rights import GroupRights

__all__ = ["GroupAnswer", "GroupInfo", "GroupMember", "NormalGroups", "new_owner"]


class GroupInfo(Answered):
    """A normal group."""

    topic_id: str = Field(examples=["2135000000000000"])
    owner_uuid: str
    owner_account: str
    topic_name: str
    bulletin: str
    extra: str


class GroupMember(Answered):
    """A member of a normal group."""

    uuid: str
    account: str


class GroupAnswer(Answered):
    """A normal group with its members, the owner first."""

    topic_info: GroupInfo
    members: list[GroupMember]


class NormalGroups(GroupRights):
    """What callers do with normal groups. ``max_members``: no user is made for a group that would be larger.

    All methods use the store, on the caller's thread, and raise `Failure`, `StoreError`, and `LocalProtocolError` for
    names that cannot be.
    """

    _unlimited = False
    _noun = "group"

    def __init__(self, store: Store, max_members: int, wall_ms: Callable[[], int]) -> None:
        super().__init__(store)
        self._max_members = max_members
        self._wall_ms = wall_ms

    def create(self, caller: Caller, app_id: int, name: str, accounts: str, extra: str) -> GroupAnswer:
        """A group that the caller owns, of comma-joined accounts; those never seen before become users."""
        caller.check_application(app_id)
        known, strangers = self._sorted_out(app_id, _named(accounts))
        owner = caller.member.uuid
        self._check_size(len({owner, *known}) + len(strangers))
        made = self._store.create_group(app_id, owner, name, known, self._wall_ms(), unlimited=False, extra=extra)
        topic_id = checked(made).topic_id
        self._admit(app_id, topic_id, strangers, lambda: self._store.dismiss_group(topic_id, unlimited=False))
        return _shown(self._group(caller, topic_id))

    def one(self, caller: Caller, app_id: int, topic_id: int) -> GroupAnswer:
        """A group that the caller is in."""
        caller.check_application(app_id)
        return _shown(self._joined(caller, topic_id))

    def of(self, caller: Caller, app_id: int) -> list[GroupInfo]:
        """The groups that the caller is in."""
        caller.check_application(app_id)
        return [_info(group) for group in self._store.groups_of(app_id, caller.member.uuid, unlimited=False)]

    def invite(self, caller: Caller, app_id: int, topic_id: int, accounts: str) -> GroupAnswer:
        """Others become members, without being asked; those never seen before become users."""
        caller.check_application(app_id)
        members = {member.uuid for member in self._joined(caller, topic_id).members}
        known, strangers = self._sorted_out(app_id, _some(accounts))
        joining = [uuid for uuid in known if uuid not in members]
        self._check_size(len(members) + len(joining) + len(strangers))
        checked(self._store.add_members(topic_id, joining, unlimited=False))
        undo = lambda: self._store.remove_members(topic_id, joining, unlimited=False)  # noqa: E731
        self._admit(app_id, topic_id, strangers, undo)
        return _shown(self._group(caller, topic_id))

    def quit(self, caller: Caller, app_id: int, topic_id: int) -> None:
        """The caller is a member no more; an owner cannot quit."""
        caller.check_application(app_id)
        if self._joined(caller, topic_id).owner == caller.member:
            raise Failure(AnswerCode.FAILED, "quit topic fail")
        checked(self._store.remove_members(topic_id, [caller.member.uuid], unlimited=False))

    def kick(self, caller: Caller, app_id: int, topic_id: int, accounts: str) -> GroupAnswer:
        """These accounts are members no more, whether they were or not."""
        caller.check_application(app_id)
        self._owned(caller, topic_id)
        known, _ = self._sorted_out(app_id, _some(accounts))
        checked(self._store.remove_members(topic_id, known, unlimited=False))
        return _shown(self._group(caller, topic_id))

    def update(
        self,
        caller: Caller,
        app_id: int,
        topic_id: int,
        *,
        owner_account: str | None = None,
        owner_uuid: int | None = None,
        name: str | None = None,
        bulletin: str | None = None,
        extra: str | None = None,
    ) -> GroupAnswer:
        """Change what is not None; a new owner, named by account or uuid, has to be a member."""
        caller.check_application(app_id)
        self._owned(caller, topic_id)
        owner = new_owner(self._store, app_id, topic_id, owner_account, owner_uuid, unlimited=False)
        checked(
            self._store.update_group(topic_id, unlimited=False, owner=owner, name=name, bulletin=bulletin, extra=extra)
        )
        return _shown(self._group(caller, topic_id))

    def dismiss(self, caller: Caller, app_id: int, topic_id: int) -> None:
        """The group is no more."""
        caller.check_application(app_id)
        self._owned(caller, topic_id)
        self._store.dismiss_group(topic_id, unlimited=False)

    # ------------------------------------------------------------------------------------------------------- inside

    def _sorted_out(self, app_id: int, accounts: Iterable[str]) -> tuple[list[int], list[str]]:
        """The uuids of those who are users, and the accounts of those who are not."""
        known: list[int] = []
        strangers: list[str] = []
        for account in accounts:
            member = self._store.find_account(app_id, account)
            if member is None:
                strangers.append(account)
            else:
                known.append(member.uuid)
        return known, strangers

    def _check_size(self, size: int) -> None:
        if size > self._max_members:
            raise Failure(AnswerCode.TOO_MANY, f"a normal group has at most {self._max_members} members")

    def _admit(self, app_id: int, topic_id: int, strangers: list[str], undo: Callable[[], object]) -> None:
        """Make users of them and members of those: last, because users are kept for ever whatever becomes of a group.

        ``undo`` is called if there is no room for them.
        """
        try:
            made = [self._store.user(app_id, account, self._wall_ms()).uuid for account in strangers]
            checked(self._store.add_members(topic_id, made, unlimited=False))
        except (StoreFull, Failure):
            undo()
            raise


def new_owner(
    store: Store, app_id: int, topic_id: int, account: str | None, uuid: int | None, *, unlimited: bool
) -> int | None:
    """The uuid of who is to own a group, None if nobody was named. Raises `Failure` unless it is a member."""
    if not account and uuid is None:
        return None
    member = store.find_account(app_id, account) if account else store.find_user(app_id, uuid or 0)
    if member is None or not store.is_member(topic_id, member.uuid, unlimited=unlimited):
        raise Failure(AnswerCode.BAD_REQUEST, f"expected a member of group {topic_id} as its new owner")
    if uuid is not None and uuid != member.uuid:
        raise Failure(AnswerCode.BAD_REQUEST, "expected ownerAccount and ownerUuid of one user")
    return member.uuid


def _named(accounts: str) -> list[str]:
    """The accounts of a comma-joined list, each once."""
    named = list(dict.fromkeys(filter(None, (account.strip() for account in accounts.split(",")))))
    for account in named:
        check_text(account, "accounts", MAX_NAME)
    return named


def _some(accounts: str) -> list[str]:
    named = _named(accounts)
    if not named:
        raise Failure(AnswerCode.BAD_REQUEST, "accounts: expected accounts, joined by commas")
    return named


def _info(group: Group) -> GroupInfo:
    return GroupInfo(
        topic_id=str(group.topic_id),
        owner_uuid=str(group.owner.uuid),
        owner_account=group.owner.account,
        topic_name=group.name,
        bulletin=group.bulletin,
        extra=group.extra,
    )


def _member(member: Member) -> GroupMember:
    return GroupMember(uuid=str(member.uuid), account=member.account)


def _shown(group: Group) -> GroupAnswer:
    return GroupAnswer(topic_info=_info(group), members=[_member(member) for member in group.members])
