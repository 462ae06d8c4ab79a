"""Normal and unlimited groups; what is said of both is tested on both."""

from collections.abc import Callable

import pytest
from mimc_server.store import AckCode, Group, GroupSummary, Refused, StoreConfig
from support.store_bed import APP, Bed

both = pytest.mark.parametrize("unlimited", [False, True], ids=["normal", "unlimited"])


def seen(bed: Bed, group: Group, unlimited: bool) -> Group:
    found = bed.store.group(APP, group.topic_id, unlimited=unlimited)
    assert found is not None
    return found


def everyone(bed: Bed, group: Group, unlimited: bool) -> list[str]:
    """The accounts of all members: of a normal group the owner's first, of an unlimited one by the alphabet."""
    now = seen(bed, group, unlimited)
    accounts = [member.account for member in now.members]
    if unlimited:
        assert accounts == []
        accounts = sorted(member.account for member in bed.store.members(group.topic_id, 0, 100, unlimited=True))
    assert now.size == len(accounts)
    return accounts


def code(answer: object) -> AckCode:
    assert isinstance(answer, Refused), answer
    return answer.code


@both
def test_a_new_group_has_its_owner_first_and_everyone_once(bed: Bed, unlimited: bool) -> None:
    group = bed.group("alice", "bob", "alice", "bob", unlimited=unlimited, name="friends")
    assert (group.owner, group.name, group.app_id) == (bed.user("alice"), "friends", APP)
    assert everyone(bed, group, unlimited) == ["alice", "bob"]
    assert seen(bed, group, unlimited) == group


@both
def test_an_extra_is_kept(bed: Bed, unlimited: bool) -> None:
    group = bed.store.create_group(APP, bed.uuid("alice"), "n", [], bed.now, unlimited=unlimited, extra="{}")
    assert isinstance(group, Group)
    assert seen(bed, group, unlimited).extra == "{}"


def test_groups_of_an_application_are_listed_in_pieces(bed: Bed) -> None:
    team, all_of_us = bed.group("alice", "bob", name="team"), bed.group("bob", unlimited=True, name="all")
    other = bed.store.user(APP + 1, "alice", bed.now).uuid
    bed.store.create_group(APP + 1, other, "another's", [], bed.now, unlimited=False)
    third = bed.group("carol", name="third")
    listed = bed.store.groups(APP, 0, 2)
    assert listed == [
        GroupSummary(topic_id=team.topic_id, unlimited=False, owner=bed.user("alice"), name="team", size=2),
        GroupSummary(topic_id=all_of_us.topic_id, unlimited=True, owner=bed.user("bob"), name="all", size=1),
    ]
    assert [group.topic_id for group in bed.store.groups(APP, listed[-1].topic_id, 2)] == [third.topic_id]
    assert bed.store.groups(APP, third.topic_id, 2) == []


def test_groups_of_both_kinds_have_different_ids(bed: Bed) -> None:
    normal, unlimited = bed.group("alice"), bed.group("alice", unlimited=True)
    assert normal.topic_id != unlimited.topic_id
    assert max(normal.topic_id, unlimited.topic_id) < 2**53
    assert bed.store.group(APP, normal.topic_id, unlimited=True) is None


@both
def test_a_group_of_another_application_is_not_seen(bed: Bed, unlimited: bool) -> None:
    group = bed.group("alice", unlimited=unlimited)
    assert bed.store.group(2, group.topic_id, unlimited=unlimited) is None
    assert bed.store.groups_of(2, bed.uuid("alice"), unlimited=unlimited) == []


@both
def test_a_user_knows_its_groups_of_each_kind(bed: Bed, unlimited: bool) -> None:
    group = bed.group("alice", "bob", unlimited=unlimited)
    bed.group("alice", "bob", unlimited=not unlimited)
    assert bed.store.groups_of(APP, bed.uuid("bob"), unlimited=unlimited) == [group]
    assert bed.store.groups_of(APP, 4711, unlimited=unlimited) == []


@both
def test_who_joins_is_a_member_and_who_leaves_is_not(bed: Bed, unlimited: bool) -> None:
    group, bob = bed.group("alice", unlimited=unlimited), bed.uuid("bob")
    assert not bed.store.is_member(group.topic_id, bob, unlimited=unlimited)
    assert bed.store.add_members(group.topic_id, [bob, bob], unlimited=unlimited) is None
    assert bed.store.is_member(group.topic_id, bob, unlimited=unlimited)
    assert everyone(bed, group, unlimited) == ["alice", "bob"]
    assert bed.store.remove_members(group.topic_id, [bob], unlimited=unlimited) is None
    assert not bed.store.is_member(group.topic_id, bob, unlimited=unlimited)
    assert everyone(bed, group, unlimited) == ["alice"]
    assert bed.store.groups_of(APP, bob, unlimited=unlimited) == []


@both
def test_joining_and_leaving_twice_is_as_once(bed: Bed, unlimited: bool) -> None:
    group, bob = bed.group("alice", "bob", unlimited=unlimited), bed.uuid("bob")
    assert bed.store.add_members(group.topic_id, [bob], unlimited=unlimited) is None
    for _ in range(2):
        assert bed.store.remove_members(group.topic_id, [bob], unlimited=unlimited) is None


@both
def test_a_user_who_does_not_exist_or_is_anothers_cannot_join(bed: Bed, unlimited: bool) -> None:
    group, bob = bed.group("alice", unlimited=unlimited), bed.uuid("bob")
    for uuid in (4711, bed.user("bob", app_id=2).uuid):
        answer = bed.store.add_members(group.topic_id, [bob, uuid], unlimited=unlimited)
        assert code(answer) == AckCode.BAD_REQUEST
        made = bed.store.create_group(APP, bed.uuid("alice"), "n", [uuid], bed.now, unlimited=unlimited)
        assert code(made) == AckCode.BAD_REQUEST
        owned = bed.store.create_group(APP, uuid, "n", [], bed.now, unlimited=unlimited)
        assert code(owned) == AckCode.BAD_REQUEST
    assert not bed.store.is_member(group.topic_id, bob, unlimited=unlimited)
    assert bed.store.groups_of(APP, bed.uuid("alice"), unlimited=unlimited) == [group]


@both
def test_the_owner_cannot_be_removed(bed: Bed, unlimited: bool) -> None:
    group = bed.group("alice", "bob", unlimited=unlimited)
    uuids = [bed.uuid("bob"), bed.uuid("alice")]
    assert code(bed.store.remove_members(group.topic_id, uuids, unlimited=unlimited)) == AckCode.BAD_REQUEST
    assert seen(bed, group, unlimited) == group


@both
def test_only_what_is_given_is_changed(bed: Bed, unlimited: bool) -> None:
    group = bed.group("alice", "bob", unlimited=unlimited, name="old")
    assert bed.store.update_group(group.topic_id, unlimited=unlimited, bulletin="b", extra="e") is None
    assert seen(bed, group, unlimited) == group.replace(bulletin="b", extra="e")
    assert bed.store.update_group(group.topic_id, unlimited=unlimited, name="", bulletin="") is None
    assert seen(bed, group, unlimited) == group.replace(name="", extra="e")


@both
def test_a_new_owner_comes_first_and_the_old_one_may_leave(bed: Bed, unlimited: bool) -> None:
    group = bed.group("alice", "bob", "carol", unlimited=unlimited)
    assert bed.store.update_group(group.topic_id, unlimited=unlimited, owner=bed.uuid("carol")) is None
    changed = seen(bed, group, unlimited)
    assert changed.owner == bed.user("carol")
    assert sorted(everyone(bed, group, unlimited)) == ["alice", "bob", "carol"]
    assert unlimited or everyone(bed, group, unlimited)[0] == "carol"
    assert bed.store.remove_members(group.topic_id, [bed.uuid("alice")], unlimited=unlimited) is None


@both
def test_only_a_member_becomes_the_owner(bed: Bed, unlimited: bool) -> None:
    group = bed.group("alice", unlimited=unlimited)
    answer = bed.store.update_group(group.topic_id, unlimited=unlimited, owner=bed.uuid("bob"), name="new")
    assert code(answer) == AckCode.NOT_A_MEMBER
    assert seen(bed, group, unlimited) == group


@both
def test_a_dismissed_group_is_gone(bed: Bed, unlimited: bool) -> None:
    group = bed.group("alice", "bob", unlimited=unlimited)
    assert bed.store.dismiss_group(group.topic_id, unlimited=unlimited)
    assert bed.store.group(APP, group.topic_id, unlimited=unlimited) is None
    assert bed.store.groups_of(APP, bed.uuid("bob"), unlimited=unlimited) == []
    assert not bed.store.dismiss_group(group.topic_id, unlimited=unlimited)


def test_what_waits_outlives_the_group(bed: Bed) -> None:
    group = bed.group("alice", "bob")
    bed.send("alice", group.topic_id, b"last words")
    bed.store.dismiss_group(group.topic_id, unlimited=False)
    assert bed.payloads("bob") == [b"last words"]


def test_a_group_that_does_not_exist_refuses_changes(bed: Bed) -> None:
    other = bed.group("alice", unlimited=True).topic_id
    for topic_id in (15, other):
        for answer in (
            bed.store.add_members(topic_id, [bed.uuid("bob")], unlimited=False),
            bed.store.remove_members(topic_id, [bed.uuid("bob")], unlimited=False),
            bed.store.update_group(topic_id, unlimited=False, name="n"),
        ):
            assert code(answer) == AckCode.NO_SUCH_GROUP


@both
def test_a_group_remembers_whom_it_blocked(bed: Bed, unlimited: bool) -> None:
    group, bob = bed.group("alice", unlimited=unlimited), bed.uuid("bob")
    bed.store.block_in_group(group.topic_id, bob)
    assert bed.store.is_blocked_in_group(group.topic_id, bob)
    bed.store.unblock_in_group(group.topic_id, bob)
    assert not bed.store.is_blocked_in_group(group.topic_id, bob)


def test_a_group_that_does_not_exist_blocks_nobody(bed: Bed) -> None:
    bed.store.block_in_group(15, bed.uuid("bob"))
    bed.store.unblock_in_group(15, bed.uuid("bob"))
    assert not bed.store.is_blocked_in_group(15, bed.uuid("bob"))


def test_a_normal_group_holds_as_many_as_it_may_and_an_unlimited_one_more(
    make_bed: Callable[[StoreConfig], Bed],
) -> None:
    bed = make_bed(StoreConfig(max_group_members=2))
    carol = bed.uuid("carol")
    normal, unlimited = bed.group("alice", "bob"), bed.group("alice", "bob", unlimited=True)
    assert code(bed.store.add_members(normal.topic_id, [carol], unlimited=False)) == AckCode.TOO_MANY
    assert bed.store.add_members(normal.topic_id, [bed.uuid("bob")], unlimited=False) is None
    assert bed.store.add_members(unlimited.topic_id, [carol], unlimited=True) is None
    uuids = [bed.uuid("bob"), carol]
    assert (
        code(bed.store.create_group(APP, bed.uuid("alice"), "n", uuids, bed.now, unlimited=False)) == AckCode.TOO_MANY
    )


def test_a_group_has_500_members_at_most_by_default(bed: Bed) -> None:
    group = bed.group("alice", *(f"user {number}" for number in range(499)))
    answer = bed.store.add_members(group.topic_id, [bed.uuid("one too many")], unlimited=False)
    assert code(answer) == AckCode.TOO_MANY
    assert len(bed.send("alice", group.topic_id).deliveries) == 499


def test_a_user_is_in_as_many_groups_as_it_may(make_bed: Callable[[StoreConfig], Bed]) -> None:
    bed = make_bed(StoreConfig(max_groups_of_user=1))
    bed.group("bob", unlimited=True)
    group = bed.group("alice")
    assert code(bed.store.add_members(group.topic_id, [bed.uuid("bob")], unlimited=False)) == AckCode.TOO_MANY


def test_a_store_holds_as_many_groups_as_it_may(make_bed: Callable[[StoreConfig], Bed]) -> None:
    bed = make_bed(StoreConfig(max_groups=2))
    first = bed.group("alice")
    bed.group("alice", unlimited=True)
    answer = bed.store.create_group(APP, bed.uuid("alice"), "n", [], bed.now, unlimited=False)
    assert code(answer) == AckCode.TOO_MANY
    bed.store.dismiss_group(first.topic_id, unlimited=False)
    assert bed.group("alice")
