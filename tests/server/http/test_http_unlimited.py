"""Unlimited groups: rest.md 3."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from mimc_server.http.unlimited import PAGE
from support.http_town import APP, BY_SECRET, OTHER, HttpTown

pytestmark = pytest.mark.anyio


@dataclasses.dataclass
class Watcher:
    """Notes what it is told."""

    dismissed: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def unlimited_dismissed(self, app_id: int, topic_id: int) -> None:
        self.dismissed.append((app_id, topic_id))

    def online_in(self, app_id: int, topic_id: int) -> int:
        return topic_id % 1000 if app_id == APP.app_id else -1


@pytest.mark.parametrize("slash", ["", "/"])
async def test_java_asks_for_its_unlimited_groups_by_token(town: HttpTown, slash: str) -> None:
    topic_id = await town.unlimited_group("alice", "carol")
    path = f"/api/uctopic/topics{slash}"
    assert await town.data("GET", path, by="alice") == [topic_id]
    assert await town.data("GET", path, by="carol") == [topic_id]
    assert await town.data("GET", path, by="bob") == []


async def test_an_unlimited_group_belongs_to_who_made_it(town: HttpTown) -> None:
    body = {"topicName": "all", "extra": "x" * 10240, "ownerUuid": 7}
    made = await town.data("POST", "/api/uctopic/", json=body, headers=BY_SECRET)
    uuid = str(town.member("alice").uuid)
    assert made == {
        "topicId": made["topicId"],
        "topicName": "all",
        "ownerId": uuid,
        "ownerUuid": uuid,
        "ownerAccount": "alice",
        "extra": "x" * 10240,
    }
    assert town.store.is_member(int(made["topicId"]), int(uuid), unlimited=True)
    assert await town.data("GET", "/api/uctopic/topic", headers={"topicId": made["topicId"]}, by="alice") == made


async def test_more_than_10_kib_are_too_much_of_an_extra(town: HttpTown) -> None:
    for extra in ("x" * 10241, "ä" * 5121):
        code, message = await town.failure("POST", "/api/uctopic", json={"extra": extra}, by="alice")
        assert (code, "body.extra" in message) == (400, True)


async def test_members_come_in_pages(town: HttpTown) -> None:
    others = [f"user{number}" for number in range(2 * PAGE - 1)]
    topic_id = await town.unlimited_group("alice", *others)
    found: list[dict[str, Any]] = []
    start = "0"
    ends: list[bool] = []
    while not ends or not ends[-1]:
        headers = {"topicId": topic_id, "startUuid": start}
        page = await town.data("GET", "/api/uctopic/userlist", headers=headers, by="user7")
        assert page["memberNum"] == len(page["members"]) == PAGE
        assert (page["topicId"], page["startUuid"]) == (topic_id, page["members"][-1]["uuid"])
        found += page["members"]
        start = page["startUuid"]
        ends.append(page["isEnd"])
    assert ends == [False, True]
    assert {member["appAccount"] for member in found} == {"alice", *others}
    assert all(member["appAccout"] == member["appAccount"] for member in found)
    assert {member["appId"] for member in found} == {str(APP.app_id)}
    assert [int(member["uuid"]) for member in found] == sorted(town.member(m["appAccount"]).uuid for m in found)


async def test_the_first_page_needs_no_start_and_after_the_last_there_is_nobody(town: HttpTown) -> None:
    topic_id = await town.unlimited_group("alice")
    page = await town.data("GET", "/api/uctopic/userlist/", headers={"topicId": topic_id}, by="alice")
    assert ([member["appAccount"] for member in page["members"]], page["isEnd"]) == (["alice"], True)
    headers = {"topicId": topic_id, "startUuid": str((1 << 63) - 1)}
    page = await town.data("GET", "/api/uctopic/userlist", headers=headers, by="alice")
    assert (page["members"], page["isEnd"], page["startUuid"]) == ([], True, headers["startUuid"])


async def test_how_many_are_online_is_asked_of_the_messaging_service() -> None:
    town = HttpTown(groups=Watcher())
    topic_id = await town.unlimited_group("alice")
    for path in ("/api/uctopic/onlineinfo", "/api/uctopic/onlineinfo/"):
        count = await town.data("GET", path, headers={"topicId": topic_id}, by="alice")
        assert count == {"topicId": topic_id, "userCnt": int(topic_id) % 1000}


async def test_without_a_messaging_service_nobody_is_online(town: HttpTown) -> None:
    topic_id = await town.unlimited_group("alice")
    count = await town.data("GET", "/api/uctopic/onlineinfo", headers={"topicId": topic_id}, by="alice")
    assert count["userCnt"] == 0
    assert await town.data("DELETE", "/api/uctopic", headers={"topicId": topic_id}, by="alice") is None


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_messaging_service_is_told_of_a_group_that_is_dismissed(slash: str) -> None:
    watcher = Watcher()
    town = HttpTown(groups=watcher)
    topic_id = await town.unlimited_group("alice", "bob")
    headers = {"topicId": topic_id}
    assert (await town.failure("DELETE", "/api/uctopic", headers=headers, by="bob"))[0] == 403
    assert watcher.dismissed == []
    assert await town.data("DELETE", f"/api/uctopic{slash}", headers=headers, by="alice") is None
    assert watcher.dismissed == [(APP.app_id, int(topic_id))]
    assert await town.data("GET", "/api/uctopic/topics", by="bob") == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"topicName": "new"}, {"topicName": "new"}),
        ({"extra": "", "topicName": None}, {"extra": ""}),
        ({"ownerAccount": "bob"}, {"ownerAccount": "bob"}),
        ({"ownerAccount": "", "topicName": ""}, {"topicName": ""}),
    ],
)
@pytest.mark.parametrize("convert", [int, str])
async def test_an_update_changes_what_it_names(town: HttpTown, changes: Any, expected: Any, convert: Any) -> None:
    topic_id = await town.unlimited_group("alice", "bob", extra="old")
    before = await town.data("GET", "/api/uctopic/topic/", headers={"topicId": topic_id}, by="alice")
    body = {"topicId": convert(topic_id), **changes}
    after = await town.data("POST", "/api/uctopic/update/", json=body, by="alice")
    if "ownerAccount" in expected:
        uuid = str(town.member("bob").uuid)
        expected = {**expected, "ownerId": uuid, "ownerUuid": uuid}
    assert after == {**before, **expected}


@pytest.mark.parametrize("changes", [{}, {"ownerAccount": ""}, {"ownerAccount": "carol"}, {"ownerAccount": "nobody"}])
async def test_an_update_that_makes_no_sense_changes_nothing(town: HttpTown, changes: Any) -> None:
    topic_id = await town.unlimited_group("alice", "bob")
    town.member("carol")
    code, _ = await town.failure("POST", "/api/uctopic/update", json={"topicId": topic_id, **changes}, by="alice")
    assert code == 400
    info = await town.data("GET", "/api/uctopic/topic", headers={"topicId": topic_id}, by="alice")
    assert info["ownerAccount"] == "alice"
    assert "nobody" not in town.accounts()


# ------------------------------------------------------------------------------------------------------------- who may

CALLS: list[tuple[str, str]] = [
    ("GET", "/topic"),
    ("GET", "/userlist"),
    ("GET", "/onlineinfo"),
    ("DELETE", ""),
    ("POST", "/update"),
]


def asked(path: str, topic_id: str) -> dict[str, Any]:
    if path == "/update":
        return {"json": {"topicId": topic_id, "topicName": "mine"}}
    return {"headers": {"topicId": topic_id}}


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_others_see_and_change_nothing(town: HttpTown, method: str, path: str) -> None:
    topic_id = await town.unlimited_group("alice", "bob")
    for topic, expected in ((topic_id, 403), ("1", 404), (await town.group("mallory"), 404)):
        code, message = await town.failure(method, f"/api/uctopic{path}", by="mallory", **asked(path, topic))
        assert code == expected, message
        assert "alice" not in message
    assert await town.data("GET", "/api/uctopic/topics", by="bob") == [topic_id]


@pytest.mark.parametrize(("method", "path"), CALLS[3:])
async def test_members_do_not_do_what_is_the_owners(town: HttpTown, method: str, path: str) -> None:
    topic_id = await town.unlimited_group("alice", "bob")
    code, message = await town.failure(method, f"/api/uctopic{path}", by="bob", **asked(path, topic_id))
    assert (code, "owner" in message) == (403, True)
    info = await town.data("GET", "/api/uctopic/topic", headers={"topicId": topic_id}, by="bob")
    assert info["topicName"] == "all"


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_a_group_is_its_applications(town: HttpTown, method: str, path: str) -> None:
    topic_id = await town.unlimited_group("alice", "bob")
    options = asked(path, topic_id)
    foreign = {"appKey": "its key", "appSecret": "its secret", "appAccount": "alice", "appId": str(OTHER.app_id)}
    options["headers"] = {**options.get("headers", {}), **foreign}
    assert (await town.failure(method, f"/api/uctopic{path}", **options))[0] == 404
    assert await town.data("GET", "/api/uctopic/topics", by="bob") == [topic_id]


@pytest.mark.parametrize("topic", [None, "0", "-1", "x", str(1 << 63), "9" * 400, "1.0", "1'--", ""])
@pytest.mark.parametrize(("method", "path"), CALLS[:4])
async def test_what_is_no_id_is_no_group(method: str, path: str, topic: str | None) -> None:
    headers = {} if topic is None else {"topicId": topic}
    code, message = await HttpTown().failure(method, f"/api/uctopic{path}", headers=headers, by="alice")
    assert (code, "topicId" in message) == (400, True)
