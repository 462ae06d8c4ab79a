"""The endpoints as clients ask them: names, types and codes of rest.md."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import Callable
from random import Random
from typing import Any

import httpx2
import pytest
from mimc_server.applications import Application, Applications
from mimc_server.http import Failure, HttpFrontend, HttpService, make_app, serving
from mimc_server.store import AckCode, MemoryStore, StoreConfig, StoreError
from mimc_server.tokens import TokenIssuer
from support.wires import TIMEOUT

from mimc_proto.session.resolver import parse_resolver_answer
from mimc_proto.session.tokens import parse_token_answer

pytestmark = pytest.mark.anyio

NOON = 1_700_049_600_000
APP = Application.of(app_id=2882303761500000001, app_key="a key", app_secret="a secret", package="com.example.mimc")
OTHER = Application.of(app_id=2882303761500000002, app_key="its key", app_secret="its secret", package="com.other")
LOGIN = {"appId": APP.app_id, "appKey": "a key", "appSecret": "a secret", "appAccount": "alice"}
BY_SECRET = {name: str(value) for name, value in LOGIN.items()}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Store(MemoryStore):
    """Fails when told to, and remembers which users it was asked for: it makes those that it does not know."""

    failing = False

    def __init__(self, config: StoreConfig | None = None) -> None:
        super().__init__(config)
        self.asked_for: list[str] = []

    def user(self, app_id: int, account: str, wall_ms: int) -> Any:
        self.asked_for.append(account)
        if self.failing:
            raise StoreError("the disk is full of alice")
        return super().user(app_id, account, wall_ms)


@dataclasses.dataclass
class Town:
    """The endpoints on a store."""

    store: Store = dataclasses.field(default_factory=Store)
    frontends: list[tuple[str, int]] = dataclasses.field(default_factory=lambda: [("10.0.0.7", 5222)])
    now: int = NOON

    def __post_init__(self) -> None:
        self.tokens = TokenIssuer(b"a secret of the issuer", 3600.0, Random(1))
        self.service = HttpService(
            Applications([APP, OTHER]), self.store, self.tokens, lambda: self.frontends, wall_ms=lambda: self.now
        )
        self.app = make_app(self.service)

    def token(self, account: str = "alice") -> str:
        answer = self.service.token(APP.app_id, "a key", "a secret", account)
        token: str = answer["data"]["token"]
        return token

    async def ask(self, method: str, path: str, here: str = "127.0.0.1", **options: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app)
        host = f"[{here}]" if ":" in here else here
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}", verify=False) as client:
            return await client.request(method, path, **options)

    async def answer(self, method: str, path: str, **options: Any) -> Any:
        """The body of an answer with status 200."""
        response = await self.ask(method, path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    async def data(self, method: str, path: str, **options: Any) -> Any:
        """What a request that succeeded gives."""
        answer = await self.answer(method, path, **options)
        assert (answer["code"], answer["message"]) == (200, "success"), answer
        return answer["data"]

    async def failure(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Code and message of a request that failed."""
        answer = await self.answer(method, path, **options)
        assert answer["data"] is None
        return answer["code"], answer["message"]


# --------------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("app_id", [APP.app_id, str(APP.app_id)], ids=["number", "text"])
async def test_a_token_is_given_to_who_knows_the_secret(app_id: int | str) -> None:
    town = Town()
    response = await town.ask("POST", "/api/account/token", json={**LOGIN, "appId": app_id, "regionKey": "REGION_CN"})
    credentials = parse_token_answer(response.text, app_id=APP.app_id, account="alice").credentials
    claims = town.tokens.verify(credentials.token, NOON)
    assert (claims.account, claims.uuid) == ("alice", town.store.user(APP.app_id, "alice", NOON).uuid)


async def test_ids_of_the_token_answer_are_text_and_the_channel_is_a_number() -> None:
    data = await Town().data("POST", "/api/account/token", json=LOGIN)
    assert isinstance(data["miUserId"], str)
    assert (data["appId"], data["miChid"], data["regionBucket"]) == (str(APP.app_id), 9, 0)
    assert (data["feDomainName"], data["relayDomainName"]) == ("app.chat.xiaomi.net", "relay.mimc.chat.xiaomi.net")


@pytest.mark.parametrize(
    "wrong",
    [{"appKey": "another"}, {"appSecret": "another"}, {"appId": OTHER.app_id}, {"appId": 7}],
    ids=["key", "secret", "application", "unknown"],
)
async def test_who_does_not_know_the_secret_gets_no_token(wrong: dict[str, Any]) -> None:
    code, message = await Town().failure("POST", "/api/account/token", json={**LOGIN, **wrong})
    assert code == 401
    assert "appKey" in message


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (json.dumps({**LOGIN, "appId": "seven"}), "body.appId"),
        (json.dumps({**LOGIN, "appId": 0}), "body.appId"),
        (json.dumps({**LOGIN, "appId": 1 << 63}), "body.appId"),
        (json.dumps({name: value for name, value in LOGIN.items() if name != "appSecret"}), "body.appSecret"),
        (json.dumps({**LOGIN, "appKey": ["a key"]}), "body.appKey"),
        (json.dumps({**LOGIN, "appAccount": ""}), "appAccount"),
        (json.dumps({**LOGIN, "appAccount": "x" * 1025}), "body.appAccount"),
        (json.dumps({**LOGIN, "appAccount": "ä" * 1024}), "appAccount"),
        (json.dumps({**LOGIN, "appAccount": "\ud800"}), "body.appAccount"),
        ("[]", "body"),
        ("{", "body"),
        ("", "body"),
    ],
)
async def test_what_makes_no_sense_is_named_and_makes_no_user(body: str, named: str) -> None:
    town = Town()
    code, message = await town.failure("POST", "/api/account/token", content=body)
    assert (code, town.store.asked_for) == (400, [])
    assert named in message
    assert "a secret" not in message


async def test_json_is_read_whatever_a_client_calls_it() -> None:
    for kind in ({}, {"content-type": "application/json;charset=UTF-8"}):
        await Town().data("POST", "/api/account/token", content=json.dumps(LOGIN), headers=kind)


async def test_a_store_that_fails_is_said_without_its_words() -> None:
    town = Town()
    town.store.failing = True
    assert await town.failure("POST", "/api/account/token", json=LOGIN) == (500, "the store failed: try again")


# ------------------------------------------------------------------------------------------------------------- resolver


@pytest.mark.parametrize("path", ["/gslb", "/gslb/"])
async def test_every_domain_that_is_asked_for_has_all_frontends(path: str) -> None:
    town = Town(frontends=[("10.0.0.7", 5222), ("10.0.0.8", 80)])
    query = "?ver=4.0&type=wifi&list=app.chat.xiaomi.net,relay.mimc.chat.xiaomi.net&uuid=0&"
    answer = await town.answer("GET", path + query)
    addresses = ["10.0.0.7:5222", "10.0.0.8:80"]
    domains = {"app.chat.xiaomi.net": addresses, "relay.mimc.chat.xiaomi.net": addresses}
    assert answer == {"S": "Ok", "R": {"wifi": domains}}


async def test_our_own_client_reads_the_resolvers_answer() -> None:
    response = await Town().ask("GET", "/gslb/?list=fe.example.net")
    assert parse_resolver_answer(response.text, "fe.example.net") == (("10.0.0.7", 5222),)


async def test_a_frontend_at_any_address_is_told_by_the_address_that_was_asked() -> None:
    town = Town(frontends=[("0.0.0.0", 5222)])
    answer = await town.answer("GET", "/gslb/?list=fe.example.net", here="192.0.2.1")
    assert answer["R"]["wifi"] == {"fe.example.net": ["192.0.2.1:5222"]}


@pytest.mark.parametrize(("frontend", "here"), [("::1", "127.0.0.1"), ("0.0.0.0", "::1"), ("fe.example", "127.0.0.1")])
async def test_only_ipv4_literals_are_told(frontend: str, here: str) -> None:
    town = Town(frontends=[(frontend, 5222)])
    answer = await town.answer("GET", "/gslb/?list=fe.example.net", here=here)
    assert answer["R"]["wifi"] == {"fe.example.net": []}


async def test_nobody_asked_for_is_answered_with_nobody() -> None:
    assert await Town().answer("GET", "/gslb/") == {"S": "Ok", "R": {"wifi": {}}}


# --------------------------------------------------------------------------------------------------------------- groups


async def test_java_asks_for_its_unlimited_groups_by_token() -> None:
    town = Town()
    made = await town.data("POST", "/api/uctopic", json={"topicName": "all"}, headers={"token": town.token()})
    for path in ("/api/uctopic/topics", "/api/uctopic/topics/"):
        assert await town.data("GET", path, headers={"token": town.token()}) == [made["topicId"]]
        assert await town.data("GET", path, headers={"token": town.token("bob")}) == []


async def test_an_unlimited_group_belongs_to_who_made_it() -> None:
    town = Town()
    body = {"topicName": "all", "extra": "more", "ownerUuid": 7}
    made = await town.data("POST", "/api/uctopic/", json=body, headers=BY_SECRET)
    group = town.store.group(APP.app_id, int(made["topicId"]), unlimited=True)
    assert group is not None
    assert (group.owner.account, group.name, group.extra) == ("alice", "all", "more")
    assert (made["topicName"], made["ownerId"]) == ("all", str(group.owner.uuid))


async def test_a_group_is_made_of_accounts_joined_by_commas() -> None:
    town = Town()
    body = {"topicName": "team", "accounts": "bob, carol,,bob", "extra": "more"}
    made = await town.data("POST", f"/api/topic/{APP.app_id}", json=body, headers=BY_SECRET)
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


async def test_a_group_that_the_store_refuses_is_refused_with_its_words() -> None:
    town = Town(Store(StoreConfig(max_group_members=2)))
    body = {"topicName": "team", "accounts": "bob,carol"}
    code, message = await town.failure("POST", f"/api/topic/{APP.app_id}", json=body, headers=BY_SECRET)
    assert code != 200
    assert "2" in message


async def test_a_group_has_only_accounts_that_can_be() -> None:
    town = Town()
    body = {"accounts": "bob," + "x" * 1025}
    code, message = await town.failure("POST", f"/api/topic/{APP.app_id}", json=body, headers=BY_SECRET)
    assert code == 400
    assert "accounts" in message


@pytest.mark.parametrize(("others", "fit"), [(499, True), (500, False)])
async def test_a_group_that_would_be_too_large_makes_no_users(others: int, fit: bool) -> None:
    """Here the owner is one of those that are named."""
    town = Town()
    named = ["alice", *(f"user{number}" for number in range(others))]
    body = {"accounts": ",".join(named)}
    answer = await town.answer("POST", f"/api/topic/{APP.app_id}", json=body, headers=BY_SECRET)
    if fit:
        assert len(answer["data"]["members"]) == 500
    else:
        assert (answer["code"], answer["message"]) == (AckCode.TOO_MANY, "a normal group has at most 500 members")
    assert town.store.asked_for == ["alice", *(named if fit else ())]


async def test_a_store_may_allow_groups_of_another_size() -> None:
    store, tokens = Store(StoreConfig(max_group_members=2)), TokenIssuer(b"a secret of the issuer", 3600.0, Random(1))
    service = HttpService(Applications([APP]), store, tokens, list, max_group_members=2)
    caller = service.caller(BY_SECRET)
    assert service.create_group(caller, APP.app_id, "pair", "bob", "")
    with pytest.raises(Failure, match="at most 2 members"):
        service.create_group(caller, APP.app_id, "team", "bob,carol", "")
    assert "carol" not in store.asked_for


async def test_a_group_of_another_application_is_not_made() -> None:
    path = f"/api/topic/{OTHER.app_id}"
    code, _ = await Town().failure("POST", path, json={}, headers=BY_SECRET)
    assert code == 404


# ------------------------------------------------------------------------------------------------------- who is calling


async def test_without_an_app_id_the_secret_says_which_application_it_is() -> None:
    headers = {"appKey": "its key", "appSecret": "its secret", "appAccount": "alice"}
    town = Town()
    made = await town.data("POST", "/api/uctopic", json={}, headers=headers)
    assert town.store.group(OTHER.app_id, int(made["topicId"]), unlimited=True) is not None


async def test_an_account_that_is_no_ascii_comes_as_base64() -> None:
    town = Town()
    account = base64.b64encode("爱丽丝".encode()).decode()
    headers = {**BY_SECRET, "appAccount": account, "appAccountEncode": "base64"}
    made = await town.data("POST", "/api/uctopic", json={}, headers=headers)
    assert made["ownerAccount"] == "爱丽丝"


async def test_a_token_counts_before_a_secret() -> None:
    town = Town()
    made = await town.data("POST", "/api/uctopic", json={}, headers={**BY_SECRET, "token": town.token("bob")})
    assert made["ownerAccount"] == "bob"


def revoked(town: Town) -> str:
    token = town.token()
    town.store.revoke_tokens(town.store.user(APP.app_id, "alice", NOON).uuid, NOON + 1)
    return token


def outlived(town: Town) -> str:
    token = town.token()
    town.now += 3_600_001
    return token


def of_nobody(town: Town) -> str:
    return town.tokens.issue(APP.app_id, "nobody", 7, NOON).token


def of_nowhere(town: Town) -> str:
    return town.tokens.issue(7, "alice", town.store.user(7, "alice", NOON).uuid, NOON).token


def of_a_uuid_that_is_another_account_here(town: Town) -> str:
    """A store that was begun anew gives its uuids anew, while the tokens of before are still signed."""
    return town.tokens.issue(APP.app_id, "mallory", town.store.user(APP.app_id, "alice", NOON).uuid, NOON).token


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: "x", "invalid-token"),
        (of_nobody, "invalid-token"),
        (of_nowhere, "invalid-token"),
        (of_a_uuid_that_is_another_account_here, "invalid-token"),
        (revoked, "token-expired"),
        (outlived, "token-expired"),
    ],
)
async def test_a_token_that_is_no_good_is_refused_with_the_reason(make: Callable[[Town], str], reason: str) -> None:
    town = Town()
    token = make(town)
    code, message = await town.failure("GET", "/api/uctopic/topics", headers={"token": token})
    assert code == 401
    assert message.startswith(reason)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 401),
        ({**BY_SECRET, "appSecret": "wrong"}, 401),
        ({**BY_SECRET, "appId": str(OTHER.app_id)}, 401),
        ({**BY_SECRET, "appId": "9" * 5000}, 401),
        ({**BY_SECRET, "appId": "seven"}, 400),
        ({**BY_SECRET, "appAccount": "///", "appAccountEncode": "base64"}, 400),
        ({**BY_SECRET, "appAccount": "/w==", "appAccountEncode": "base64"}, 400),
        ({**BY_SECRET, "appAccount": ""}, 400),
    ],
)
async def test_who_does_not_say_who_he_is_is_refused(headers: dict[str, str], code: int) -> None:
    assert (await Town().failure("GET", "/api/uctopic/topics", headers=headers))[0] == code


# ------------------------------------------------------------------------------------------------------ for all of them


async def test_the_service_says_that_it_is_well() -> None:
    assert await Town().data("GET", "/healthz") is None


@pytest.mark.parametrize("path", ["/", "//", "/api", "/api/account/token/x", "/docs", "/openapi.json", "/gslb/x"])
async def test_unknown_paths_are_answered_in_json(path: str) -> None:
    response = await Town().ask("GET", f"http://127.0.0.1{path}")
    assert response.status_code == response.json()["code"] == 404
    assert response.headers["access-control-allow-origin"] == "*"


async def test_a_wrong_method_is_answered_in_json() -> None:
    response = await Town().ask("GET", "/api/account/token")
    assert response.status_code == response.json()["code"] == 405


@pytest.mark.parametrize("path", ["/api/account/token", "/api/uctopic/", "/anything"])
async def test_browsers_may_ask_from_any_page(path: str) -> None:
    response = await Town().ask("OPTIONS", path, headers={"origin": "https://chat.example"})
    assert (response.status_code, response.content) == (204, b"")
    allowed = {name.strip() for name in response.headers["access-control-allow-headers"].split(",")}
    assert allowed == {
        "content-type",
        "token",
        "topicId",
        "startUuid",
        "appId",
        "appKey",
        "appSecret",
        "appAccount",
        "appAccountEncode",
    }
    assert response.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE, OPTIONS"
    answer = await Town().ask("POST", "/api/account/token", json=LOGIN)
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_what_is_no_request_is_left_to_the_framework() -> None:
    """A server may tell an application that it starts and stops (ASGI lifespan)."""
    told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    answers: list[str] = []

    async def receive() -> Any:
        return next(told)

    async def send(message: Any) -> None:
        answers.append(message["type"])

    await Town().app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_body_of_64_kib_is_read_and_one_byte_more_is_not() -> None:
    body = json.dumps(LOGIN)
    town = Town()
    await town.data("POST", "/api/account/token", content=body.ljust(65536))
    response = await town.ask("POST", "/api/account/token", content=body.ljust(65537))
    assert response.status_code == response.json()["code"] == 413


async def test_a_body_in_pieces_is_bounded_as_well() -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 1000

    response = await Town().ask("POST", "/api/account/token", content=pieces())
    assert response.status_code == response.json()["code"] == 413


# ------------------------------------------------------------------------------------------------------- over a socket


async def test_the_end_does_not_wait_for_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SHUTDOWN", 0)
    asked, cut = asyncio.Event(), asyncio.Event()

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    http = HttpFrontend(app)
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(*await http.listen("127.0.0.1", 0))
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        await asked.wait()
        await http.close()
        assert cut.is_set()
        await reader.read()
        writer.close()
        await writer.wait_closed()
