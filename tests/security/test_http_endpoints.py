"""Every endpoint that there is: without credentials nothing, with somebody else's nothing of others.

They are read off the OpenAPI document, so that one which is added is tested as well.
"""

from __future__ import annotations

import dataclasses
from base64 import b64encode
from typing import Any

import pytest
from mimc_server.store import Group, Kind
from support.http_town import APP, NOON, OTHER, HttpTown, document
from support.wired_town import WiredTown

pytestmark = pytest.mark.anyio

OPEN = {("GET", "/healthz"), ("GET", "/gslb"), ("POST", "/api/account/token")}
"""For whoever has nothing: the last one asks for the application's secret."""

SAID = (b"in the group", b"between the two")
SECRETS = ("carol", "a private team", "read this, team", "the team's own", *(b64encode(said).decode() for said in SAID))
"""What mallory could want to know of the others, and names in no request."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    operation: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


ENDPOINTS = [
    Endpoint(method.upper(), path, operation)
    for path, item in document()["paths"].items()
    for method, operation in item.items()
]
GUARDED = [endpoint for endpoint in ENDPOINTS if (endpoint.method, endpoint.path) not in OPEN]


@dataclasses.dataclass
class Target:
    """What alice and bob have, as a request names it."""

    topic_id: str
    app_id: str = str(APP.app_id)

    def options(self, endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
        """Path and options of a request that would be theirs."""
        path = endpoint.path.replace("{appId}", self.app_id).replace("{topicId}", self.topic_id)
        values = {
            "topicId": self.topic_id,
            "startUuid": "0",
            "accounts": "bob",
            "account": "alice",
            "fromAccount": "alice",
            "toAccount": "bob",
            "utcFromTime": NOON - 1,
            "utcToTime": NOON + 1,
            "startSeq": 0,
            "stopSeq": (1 << 63) - 1,
            "count": 100,
            "topicName": "mine now",
            "extra": "mine now",
            "bulletin": "mine now",
        }
        options: dict[str, Any] = {"headers": {}}
        for parameter in endpoint.operation.get("parameters", ()):
            if parameter["in"] == "header":
                options["headers"][parameter["name"]] = values[parameter["name"]]
            elif parameter["in"] == "query":
                options.setdefault("params", {})[parameter["name"]] = values[parameter["name"]]
        if "requestBody" in endpoint.operation:
            options["json"] = values
        return path, options


async def filled(town: HttpTown, *, unlimited: bool) -> Target:
    """Alice, bob and carol in a group, and what they said."""
    fields = {"topicName": "a private team", "extra": "the team's own"}
    if unlimited:
        topic_id = await town.unlimited_group("alice", "bob", "carol", **fields)
    else:
        topic_id = await town.group("alice", "bob", "carol", **fields)
        path = f"/api/topic/{APP.app_id}/{topic_id}"
        await town.data("PUT", path, json={"bulletin": "read this, team"}, by="alice")
    town.say("alice", int(topic_id), SAID[0], kind=Kind.UNLIMITED if unlimited else Kind.P2T)
    town.say("alice", "bob", SAID[1])
    return Target(topic_id)


def is_unlimited(endpoint: Endpoint) -> bool:
    return "uctopic" in endpoint.path or "p2u" in endpoint.path


def test_the_document_says_of_every_endpoint_whether_it_is_guarded() -> None:
    unguarded = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if "security" not in endpoint.operation}
    assert unguarded == OPEN
    assert len(GUARDED) > 20


@pytest.mark.parametrize("endpoint", GUARDED, ids=str)
async def test_alice_may_ask_for_what_the_others_are_refused_here(town: WiredTown, endpoint: Endpoint) -> None:
    target = await filled(town, unlimited=is_unlimited(endpoint))
    path, options = target.options(endpoint)
    quits = (endpoint.method, path.rpartition("/")[2]) == ("DELETE", "account")
    headers = options.pop("headers") | {"token": town.token("bob" if quits else "alice")}  # an owner cannot quit
    answer = await town.answer(endpoint.method, path, headers=headers, **options)
    assert answer["code"] == 200
    history = "/msg/" in path
    assert not history or answer["data"]["row"] == 1


@pytest.mark.parametrize("endpoint", GUARDED, ids=str)
async def test_without_credentials_there_is_nothing(town: WiredTown, endpoint: Endpoint) -> None:
    target = await filled(town, unlimited=is_unlimited(endpoint))
    path, options = target.options(endpoint)
    headers = options.pop("headers")
    before = snapshot(town)
    for credentials in (
        {},
        {"token": ""},
        {"token": "x"},
        {"appKey": "a key", "appAccount": "alice"},
        {"appKey": "a key", "appSecret": "wrong", "appAccount": "alice"},
        {"appKey": "its key", "appSecret": "a secret", "appAccount": "alice"},
        {"authorization": f"Bearer {town.token('alice')}", "cookie": f"token={town.token('alice')}"},
        {"x-token": town.token("alice"), "to-ken": "x", "X-Original-Token": town.token("alice")},
    ):
        response = await town.ask(endpoint.method, path, headers={**headers, **credentials}, **options)
        assert (response.status_code, response.json()["code"], response.json()["data"]) == (200, 401, None)
        assert not [word for word in SECRETS if word in response.text]
    sneaked = {**options.get("params", {}), "token": town.token("alice")}
    response = await town.ask(endpoint.method, path, headers=headers, **{**options, "params": sneaked})
    assert response.json()["code"] == 401
    assert snapshot(town) == before


@pytest.mark.parametrize("endpoint", GUARDED, ids=str)
async def test_a_stranger_learns_and_changes_nothing(town: WiredTown, endpoint: Endpoint) -> None:
    """By his own good token, and by the good secret of another application in alice's name."""
    target = await filled(town, unlimited=is_unlimited(endpoint))
    theirs = {"appKey": "its key", "appSecret": "its secret", "appAccount": "alice"}
    town.member("mallory")
    town.member("alice", OTHER.app_id)
    before = snapshot(town)
    for app_id in (str(APP.app_id), str(OTHER.app_id)):
        target.app_id = app_id
        path, options = target.options(endpoint)
        for credentials in ({"token": town.token("mallory")}, theirs):
            response = await town.ask(endpoint.method, path, **{**options, "headers": options["headers"] | credentials})
            assert response.status_code == 200
            assert not [word for word in SECRETS if word in response.text]
    assert snapshot(town) == before


def snapshot(town: HttpTown) -> tuple[list[Group], list[Group], set[str]]:
    """All groups of carol's, of each kind, and all users."""
    carol = town.member("carol").uuid
    normal, unlimited = (town.store.groups_of(APP.app_id, carol, unlimited=kind) for kind in (False, True))
    return normal, unlimited, town.accounts()
