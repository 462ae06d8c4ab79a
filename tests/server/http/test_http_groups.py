"""Normal groups: rest.md 2, with the inconsistencies that a server has to put up with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mimc_server.store import MemoryStore, StoreConfig
from support.http_town import APP, BY_SECRET, OTHER, HttpTown

pytestmark = pytest.mark.anyio

GROUPS = f"/api/topic/{APP.app_id}"
Maker = Callable[..., HttpTown]


async def members(town: HttpTown, topic_id: str, by: str = "alice") -> list[str]:
    shown = await town.data("GET", f"{GROUPS}/{topic_id}", by=by)
    return [member["account"] for member in shown["members"]]


async def test_a_group_is_made_of_accounts_joined_by_commas(town: HttpTown) -> None:
    body = {"topicName": "team", "accounts": "bob, carol,,bob", "extra": "more"}
    made = await town.data("POST", GROUPS, json=body, headers=BY_SECRET)
    group = town.store.group(APP.app_id, int(made["topicInfo"]["topicId"]), unlimited=False)
    assert group is not None
    assert [member["account"] for member in made["members"]] == ["alice", "bob", "carol"]
    assert [member["uuid"] for member in made["members"]] == [str(member.uuid) for member in group.members]
    assert made["topicInfo"] == {
        "topicId": str(group.topic_id),
        "ownerUuid": str(group.owner.uuid),
        "ownerAccount": "alice",
        "topicName": "team",
        "bulletin": "",
        "extra": "more",
    }


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_member_sees_the_group_and_finds_it_among_his(town: HttpTown, slash: str) -> None:
    topic_id = await town.group("alice", "bob", topicName="team", extra="more")
    await town.group("carol", "dave")
    shown = await town.data("GET", f"{GROUPS}/{topic_id}{slash}", by="bob")
    assert [member["account"] for member in shown["members"]] == ["alice", "bob"]
    assert await town.data("GET", f"{GROUPS}/account{slash}", by="bob") == [shown["topicInfo"]]


async def test_who_is_in_no_group_has_none(town: HttpTown) -> None:
    assert await town.data("GET", f"{GROUPS}/account", by="bob") == []


async def test_any_member_invites_and_strangers_become_users(town: HttpTown) -> None:
    topic_id = await town.group("alice", "bob")
    town.member("dave")
    body = {"accounts": "carol, dave,bob,,carol"}
    shown = await town.data("POST", f"{GROUPS}/{topic_id}/accounts/", json=body, by="bob")
    assert [member["account"] for member in shown["members"]][:2] == ["alice", "bob"]
    assert sorted(await members(town, topic_id)) == ["alice", "bob", "carol", "dave"]


async def test_a_member_quits_and_the_owner_cannot(town: HttpTown) -> None:
    topic_id = await town.group("alice", "bob")
    path = f"{GROUPS}/{topic_id}/account"
    assert await town.data("DELETE", path, by="bob") is None
    assert await town.failure("DELETE", path, by="alice") == (500, "quit topic fail")
    assert await members(town, topic_id) == ["alice"]


async def test_the_owner_removes_members_and_passes_over_others(town: HttpTown) -> None:
    topic_id = await town.group("alice", "bob", "carol", "dave")
    path = f"{GROUPS}/{topic_id}/accounts?accounts=bob,nobody, carol"
    shown = await town.data("DELETE", path, by="alice")
    assert [member["account"] for member in shown["members"]] == ["alice", "dave"]
    assert "nobody" not in town.accounts()


async def test_the_owner_cannot_remove_himself(town: HttpTown) -> None:
    topic_id = await town.group("alice", "bob")
    code, message = await town.failure("DELETE", f"{GROUPS}/{topic_id}/accounts?accounts=bob,alice", by="alice")
    assert code == 400
    assert "owner" in message
    assert await members(town, topic_id) == ["alice", "bob"]


@pytest.mark.parametrize("accounts", ["", ",", " , "])
async def test_somebody_has_to_be_invited_or_removed(town: HttpTown, accounts: str) -> None:
    topic_id = await town.group("alice")
    path = f"{GROUPS}/{topic_id}/accounts"
    assert (await town.failure("POST", path, json={"accounts": accounts}, by="alice"))[0] == 400
    assert (await town.failure("DELETE", path, params={"accounts": accounts}, by="alice"))[0] == 400


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"topicName": "new"}, {"topicName": "new"}),
        ({"bulletin": "read this"}, {"bulletin": "read this"}),
        ({"extra": "x" * 10240, "bulletin": None}, {"extra": "x" * 10240}),
        ({"topicName": "", "extra": ""}, {"topicName": "", "extra": ""}),
        ({"ownerAccount": "bob"}, {"ownerAccount": "bob"}),
        ({"ownerAccount": "", "bulletin": "b"}, {"bulletin": "b"}),
    ],
)
async def test_an_update_changes_what_it_names(town: HttpTown, changes: Any, expected: Any) -> None:
    topic_id = await town.group("alice", "bob", extra="old")
    before = (await town.data("GET", f"{GROUPS}/{topic_id}", by="alice"))["topicInfo"]
    after = (await town.data("PUT", f"{GROUPS}/{topic_id}", json=changes, by="alice"))["topicInfo"]
    if "ownerAccount" in expected:
        expected = {**expected, "ownerUuid": str(town.member("bob").uuid)}
    assert after == {**before, **expected}


@pytest.mark.parametrize("convert", [int, str])
async def test_the_older_form_of_an_update_names_the_owner_by_uuid(town: HttpTown, convert: Any) -> None:
    topic_id = await town.group("alice", "bob")
    uuid = town.member("bob").uuid
    body = {"topicId": convert(topic_id), "ownerUuid": convert(uuid), "topicName": "new", "bulletin": "b"}
    shown = await town.data("PUT", f"{GROUPS}/{topic_id}/", json=body, by="alice")
    assert shown["topicInfo"]["ownerAccount"] == "bob"
    assert [member["account"] for member in shown["members"]] == ["bob", "alice"]


@pytest.mark.parametrize(
    "body",
    [
        {"ownerAccount": "carol"},
        {"ownerAccount": "nobody"},
        {"ownerUuid": 7},
        {"ownerUuid": 0},
        {"ownerUuid": 7, "ownerAccount": "bob"},
        {"topicId": 7},
        {"topicName": "x" * 1025},
        {"bulletin": "ä" * 1024},
        {"extra": "x" * 10241},
        {"extra": "\ud800"},
        {"topicName": ["x"]},
    ],
)
async def test_an_update_that_makes_no_sense_changes_nothing(town: HttpTown, body: Any) -> None:
    topic_id = await town.group("alice", "bob")
    town.member("carol")
    path = f"{GROUPS}/{topic_id}"
    before = await town.data("GET", path, by="alice")
    if "\ud800" in body.values():
        code, _ = await town.failure("PUT", path, content='{"extra": "\\ud800"}', by="alice")
    else:
        code, _ = await town.failure("PUT", path, json=body, by="alice")
    assert code == 400
    assert await town.data("GET", path, by="alice") == before
    assert "nobody" not in town.accounts()


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_dismissed_group_is_gone_and_the_answer_has_its_own_words(town: HttpTown, slash: str) -> None:
    topic_id = await town.group("alice", "bob")
    path = f"{GROUPS}/{topic_id}"
    answer = await town.answer("DELETE", path + slash, by="alice")
    assert answer == {"code": 200, "message": "success！", "data": None}  # noqa: RUF001
    assert (await town.failure("GET", path, by="bob"))[0] == 404
    assert await town.data("GET", f"{GROUPS}/account", by="bob") == []


# ------------------------------------------------------------------------------------------------------------ who may

CALLS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PUT", "", {"topicName": "mine"}),
    ("DELETE", "", None),
    ("POST", "/accounts", {"accounts": "mallory"}),
    ("DELETE", "/accounts?accounts=bob", None),
    ("DELETE", "/account", None),
]
OWNERS_ONLY = [CALLS[1], CALLS[2], CALLS[4]]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_others_see_and_change_nothing(town: HttpTown, method: str, path: str, body: Any) -> None:
    topic_id = await town.group("alice", "bob")
    for topic, expected in ((topic_id, 403), ("1", 404)):
        code, message = await town.failure(method, f"{GROUPS}/{topic}{path}", json=body, by="mallory")
        assert code == expected, message
        assert "alice" not in message
    assert await members(town, topic_id) == ["alice", "bob"]


@pytest.mark.parametrize(("method", "path", "body"), OWNERS_ONLY)
async def test_members_do_not_do_what_is_the_owners(town: HttpTown, method: str, path: str, body: Any) -> None:
    topic_id = await town.group("alice", "bob", "carol")
    before = await town.data("GET", f"{GROUPS}/{topic_id}", by="alice")
    code, message = await town.failure(method, f"{GROUPS}/{topic_id}{path}", json=body, by="carol")
    assert (code, "owner" in message) == (403, True)
    assert await town.data("GET", f"{GROUPS}/{topic_id}", by="alice") == before


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_an_owner_of_before_is_one_no_more(town: HttpTown, method: str, path: str, body: Any) -> None:
    topic_id = await town.group("alice", "bob")
    await town.data("PUT", f"{GROUPS}/{topic_id}", json={"ownerAccount": "bob"}, by="alice")
    await town.data("DELETE", f"{GROUPS}/{topic_id}/account", by="alice")
    assert (await town.failure(method, f"{GROUPS}/{topic_id}{path}", json=body, by="alice"))[0] == 403


@pytest.mark.parametrize(("method", "path", "body"), [*CALLS, ("POST", None, {}), ("GET", "account", None)])
async def test_a_group_is_its_applications(town: HttpTown, method: str, path: str | None, body: Any) -> None:
    """Neither through the path nor with the secret of another application."""
    topic_id = await town.group("alice", "bob")
    rest = "" if path is None else "/account" if path == "account" else f"/{topic_id}{path}"
    assert (await town.failure(method, f"/api/topic/{OTHER.app_id}{rest}", json=body, by="alice"))[0] == 404
    foreign = {"appKey": "its key", "appSecret": "its secret", "appAccount": "alice"}
    if path not in (None, "account"):
        answer = await town.failure(method, f"/api/topic/{OTHER.app_id}{rest}", json=body, headers=foreign)
        assert answer[0] == 404
    assert (await town.failure(method, f"{GROUPS}{rest}", json=body, headers=foreign))[0] == 404
    assert await members(town, topic_id) == ["alice", "bob"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_unlimited_group_is_no_normal_group(town: HttpTown, method: str) -> None:
    topic_id = await town.unlimited_group("alice")
    assert (await town.failure(method, f"{GROUPS}/{topic_id}", json={}, by="alice"))[0] == 404


# -------------------------------------------------------------------------------------------------------------- limits


async def test_a_group_has_only_accounts_that_can_be(town: HttpTown) -> None:
    body = {"accounts": "bob," + "x" * 1025}
    code, message = await town.failure("POST", GROUPS, json=body, headers=BY_SECRET)
    assert code == 400
    assert "accounts" in message
    assert town.accounts() == {"alice"}


@pytest.mark.parametrize(("others", "fit"), [(499, True), (500, False)])
async def test_a_group_that_would_be_too_large_makes_no_users(town: HttpTown, others: int, fit: bool) -> None:
    """Here the owner is one of those that are named."""
    named = ["alice", *(f"user{number}" for number in range(others))]
    answer = await town.answer("POST", GROUPS, json={"accounts": ",".join(named)}, headers=BY_SECRET)
    if fit:
        assert len(answer["data"]["members"]) == 500
    else:
        assert (answer["code"], answer["message"]) == (429, "a normal group has at most 500 members")
    assert len(town.accounts()) == (500 if fit else 1)


async def test_an_invitation_of_too_many_makes_no_users(make_town: Maker) -> None:
    town = make_town(StoreConfig(max_group_members=3), max_group_members=3)
    topic_id = await town.group("alice", "bob")
    code, _ = await town.failure("POST", f"{GROUPS}/{topic_id}/accounts", json={"accounts": "c,d"}, by="alice")
    assert (code, town.accounts()) == (429, {"alice", "bob"})
    await town.data("POST", f"{GROUPS}/{topic_id}/accounts", json={"accounts": "bob,c"}, by="alice")


@pytest.mark.parametrize("config", [StoreConfig(max_groups_of_user=1), StoreConfig(max_groups=1)])
async def test_a_group_that_the_store_refuses_makes_no_users(make_town: Maker, config: StoreConfig) -> None:
    town = make_town(config)
    await town.group("bob")
    body = {"accounts": "stranger,bob"}
    assert (await town.failure("POST", GROUPS, json=body, by="alice"))[0] == 429
    assert town.accounts() == {"alice", "bob"}


async def test_an_invitation_that_the_store_refuses_makes_no_users(make_town: Maker) -> None:
    town = make_town(StoreConfig(max_groups_of_user=1))
    await town.group("bob")
    topic_id = await town.group("alice")
    path = f"{GROUPS}/{topic_id}/accounts"
    assert (await town.failure("POST", path, json={"accounts": "stranger,bob"}, by="alice"))[0] == 429
    assert town.accounts() == {"alice", "bob"}
    assert await members(town, topic_id) == ["alice"]


async def test_without_room_for_users_a_group_is_not_made_and_nobody_is_invited(make_town: Maker) -> None:
    town = make_town(StoreConfig(max_users=3))
    topic_id = await town.group("alice", "bob")
    town.member("carol")
    full = (500, "the store is full: no more users")
    assert await town.failure("POST", GROUPS, json={"accounts": "bob,stranger"}, by="alice") == full
    path = f"{GROUPS}/{topic_id}/accounts"
    assert await town.failure("POST", path, json={"accounts": "carol,stranger"}, by="alice") == full
    assert len(await town.data("GET", f"{GROUPS}/account", by="alice")) == 1
    assert await members(town, topic_id) == ["alice", "bob"]


async def test_a_store_whose_groups_are_smaller_than_was_said_still_says_so(make_town: Maker) -> None:
    town = make_town(StoreConfig(max_group_members=2))
    code, message = await town.failure("POST", GROUPS, json={"accounts": "bob,carol"}, by="alice")
    assert (code, "2" in message) == (429, True)
    assert await town.data("GET", f"{GROUPS}/account", by="alice") == []


@pytest.mark.parametrize("topic", ["0", "-1", "x", str(1 << 63), "9" * 400, "1.0", "%00", "1'--"])
async def test_what_is_no_id_is_no_group(topic: str) -> None:
    code, message = await HttpTown(MemoryStore()).failure("GET", f"{GROUPS}/{topic}", by="alice")
    assert (code, "topicId" in message) == (400, True)
