"""Users and groups as the clients write them."""

from mimc_proto import pb
from mimc_proto.packets import Group, User


def test_a_user_is_application_account_uuid_and_resource() -> None:
    user = User(app_id=5, account="bob", uuid=77, resource="pc")
    assert user.encode() == bytes.fromhex("0805 1203626f62 184d 22027063")


def test_a_recipient_as_go_writes_it_has_zero_and_empty_and_not_nothing() -> None:
    user = User.decode(bytes.fromhex("0805 1203626f62 1800 2200"))
    assert user == User(app_id=5, account="bob", uuid=0, resource="")
    assert user != User(app_id=5, account="bob")


def test_the_ids_of_users_and_groups_use_all_of_64_bits() -> None:
    most = (1 << 64) - 1
    assert User.decode(User(app_id=most, uuid=most).encode()) == User(app_id=most, uuid=most)
    assert Group.decode(Group(app_id=most, topic_id=most).encode()) == Group(app_id=most, topic_id=most)


def test_one_record_serves_both_kinds_of_groups() -> None:
    group = Group(app_id=1, topic_id=2)
    assert group.encode() == pb.UCGroup(appId=1, topicId=2).SerializeToString()
    assert group.encode() == pb.MIMCGroup(appId=1, topicId=2).SerializeToString()


def test_a_party_may_be_empty() -> None:
    assert (User().encode(), Group().encode()) == (b"", b"")
