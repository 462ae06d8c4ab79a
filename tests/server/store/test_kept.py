"""Applications, settings, users and members: what is listed, and what is found."""

from mimc_server.applications import Application
from support.store_bed import APP, Bed


def application(app_id: int = APP, secret: str = "secret") -> Application:
    return Application.of(app_id=app_id, app_key="key", app_secret=secret, package="com.example")


def test_applications_are_kept_by_their_ids(bed: Bed) -> None:
    assert bed.store.applications() == []
    bed.store.put_application(application(APP + 1))
    bed.store.put_application(application())
    assert bed.store.applications() == [application(), application(APP + 1)]


def test_an_application_replaces_the_one_that_had_its_id(bed: Bed) -> None:
    bed.store.put_application(application())
    bed.store.put_application(application(secret="a new one"))
    [kept] = bed.store.applications()
    assert kept.check("key", "a new one")


def test_an_application_is_removed_and_what_its_users_have_stays(bed: Bed) -> None:
    alice = bed.user("alice")
    bed.store.put_application(application())
    bed.store.put_application(application(APP + 1))
    assert bed.store.remove_application(APP)
    assert not bed.store.remove_application(APP)
    assert bed.store.applications() == [application(APP + 1)]
    assert bed.store.find_account(APP, "alice") == alice


def test_settings_are_kept_by_their_names(bed: Bed) -> None:
    assert bed.store.setting("tokens") is None
    bed.store.put_setting("tokens", b"\0\xff")
    bed.store.put_setting("other", b"")
    assert (bed.store.setting("tokens"), bed.store.setting("other")) == (b"\0\xff", b"")
    bed.store.put_setting("tokens", b"new")
    assert bed.store.setting("tokens") == b"new"


def test_an_account_is_found_and_not_made(bed: Bed) -> None:
    assert bed.store.find_account(APP, "alice") is None
    alice = bed.user("alice")
    assert bed.store.find_account(APP, "alice") == alice
    assert bed.store.find_account(APP + 1, "alice") is None


def test_users_are_listed_by_their_uuids_in_pages(bed: Bed) -> None:
    made = sorted(bed.user(account) for account in ("carol", "alice", "bob"))
    bed.user("another", APP + 1)
    assert bed.store.users(APP, 0, 2) == made[:2]
    assert bed.store.users(APP, made[1].uuid, 2) == made[2:]
    assert bed.store.users(APP, made[2].uuid, 2) == []


def test_members_are_listed_by_their_uuids_in_pages(bed: Bed) -> None:
    group = bed.group("carol", "alice", "bob", unlimited=True)
    made = sorted(bed.user(account) for account in ("carol", "alice", "bob"))
    assert bed.store.members(group.topic_id, 0, 2, unlimited=True) == made[:2]
    assert bed.store.members(group.topic_id, made[1].uuid, 9, unlimited=True) == made[2:]
    assert bed.store.members(group.topic_id, 0, 9, unlimited=False) == []
    assert bed.store.members(group.topic_id + 1, 0, 9, unlimited=True) == []


def test_statistics_count_what_there_is(bed: Bed) -> None:
    bed.group("alice", "bob")
    bed.group("alice", unlimited=True)
    empty = bed.store.statistics()
    for _ in range(200):
        bed.send("alice", "bob", bytes(1000))
    full = bed.store.statistics()
    assert (empty.users, empty.groups, empty.messages) == (2, 2, 0)
    assert (full.users, full.groups, full.messages) == (2, 2, 200)
    assert full.bytes - empty.bytes > 200_000
