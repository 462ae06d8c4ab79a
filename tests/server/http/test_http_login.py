"""Tokens and the resolver: names and types of rest.md."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.http_town import APP, LOGIN, OTHER, FailingStore, HttpTown

from mimc_proto.session.resolver import parse_resolver_answer
from mimc_proto.session.tokens import parse_token_answer

pytestmark = pytest.mark.anyio

TOKEN = "/api/account/token"


@pytest.mark.parametrize("path", [TOKEN, f"{TOKEN}/"])
@pytest.mark.parametrize("app_id", [APP.app_id, str(APP.app_id)], ids=["number", "text"])
async def test_a_token_is_given_to_who_knows_the_secret(town: HttpTown, app_id: int | str, path: str) -> None:
    response = await town.ask("POST", path, json={**LOGIN, "appId": app_id, "regionKey": "REGION_CN"})
    credentials = parse_token_answer(response.text, app_id=APP.app_id, account="alice").credentials
    claims = town.tokens.verify(credentials.token, town.now)
    assert (claims.account, claims.uuid) == ("alice", town.member("alice").uuid)


async def test_ids_of_the_token_answer_are_text_and_the_channel_is_a_number(town: HttpTown) -> None:
    data = await town.data("POST", TOKEN, json=LOGIN)
    assert isinstance(data["miUserId"], str)
    assert (data["appId"], data["miChid"], data["regionBucket"]) == (str(APP.app_id), 9, 0)
    assert (data["feDomainName"], data["relayDomainName"]) == ("app.chat.xiaomi.net", "relay.mimc.chat.xiaomi.net")


async def test_a_clock_set_back_after_a_revocation_locks_nobody_out(town: HttpTown) -> None:
    uuid = town.member("alice").uuid
    town.store.revoke_tokens(uuid, town.now + 60_000)
    data = await town.data("POST", TOKEN, json=LOGIN)
    assert await town.data("GET", "/api/uctopic/topics", headers={"token": data["token"]}) == []
    assert town.tokens.verify(data["token"], town.now).issued_ms == town.now + 60_000


@pytest.mark.parametrize(
    "wrong",
    [{"appKey": "another"}, {"appSecret": "another"}, {"appId": OTHER.app_id}, {"appId": 7}],
    ids=["key", "secret", "application", "unknown"],
)
async def test_who_does_not_know_the_secret_gets_no_token(town: HttpTown, wrong: dict[str, Any]) -> None:
    code, message = await town.failure("POST", TOKEN, json={**LOGIN, **wrong})
    assert code == 401
    assert "appKey" in message
    assert town.accounts() == set()


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (json.dumps({**LOGIN, "appId": "seven"}), "body.appId"),
        (json.dumps({**LOGIN, "appId": 0}), "body.appId"),
        (json.dumps({**LOGIN, "appId": 1 << 63}), "body.appId"),
        (json.dumps({**LOGIN, "appId": "9" * 5000}), "body.appId"),
        (json.dumps({**LOGIN, "appId": True}), "body.appId"),
        (json.dumps({**LOGIN, "appId": 1.0}), "body.appId"),
        (json.dumps({**LOGIN, "appId": float("nan")}), "body.appId"),
        (json.dumps({**LOGIN, "appId": float("inf")}), "body.appId"),
        (json.dumps({**LOGIN, "appId": None}), "body.appId"),
        (json.dumps({name: value for name, value in LOGIN.items() if name != "appSecret"}), "body.appSecret"),
        (json.dumps({**LOGIN, "appKey": ["a key"]}), "body.appKey"),
        (json.dumps({**LOGIN, "appAccount": ""}), "appAccount"),
        (json.dumps({**LOGIN, "appAccount": "x" * 1025}), "body.appAccount"),
        (json.dumps({**LOGIN, "appAccount": "ä" * 1024}), "appAccount"),
        (json.dumps({**LOGIN, "appAccount": "\ud800"}), "body.appAccount"),
        ('{"appId": 1' + "0" * 5000 + "}", "body"),
        ("[" * 60_000, "body"),
        ("[]", "body"),
        ("{", "body"),
        ("", "body"),
    ],
)
async def test_what_makes_no_sense_is_named_and_makes_no_user(body: str, named: str) -> None:
    town = HttpTown()
    code, message = await town.failure("POST", TOKEN, content=body)
    assert (code, town.accounts()) == (400, set())
    assert named in message
    assert "a secret" not in message


async def test_text_that_is_no_utf_8_is_no_json() -> None:
    assert await HttpTown().failure("POST", TOKEN, content=b'{"appId": "\xff"}') == (400, "body: expected JSON")


async def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    body = json.dumps(LOGIN)[:-1] + ', "appAccount": "bob"}'
    assert (await HttpTown().data("POST", TOKEN, content=body))["appAccount"] == "bob"


@pytest.mark.parametrize("account", ["爱丽丝", "a'; DROP TABLE user; --", "a\0b", "a\r\nb: c", "%_\\", " "])
async def test_any_text_may_be_an_account(town: HttpTown, account: str) -> None:
    data = await town.data("POST", TOKEN, json={**LOGIN, "appAccount": account})
    assert (data["appAccount"], town.accounts()) == (account, {account})


async def test_json_is_read_whatever_a_client_calls_it() -> None:
    kinds = ["application/json;charset=UTF-8", "application/x-www-form-urlencoded", "text/plain", "", "none at all"]
    for headers in ({}, *({"content-type": kind} for kind in kinds)):
        await HttpTown().data("POST", TOKEN, content=json.dumps(LOGIN), headers=headers)


async def test_a_store_that_fails_is_said_without_its_words() -> None:
    town = HttpTown(FailingStore())
    assert await town.failure("POST", TOKEN, json=LOGIN) == (500, "the store failed: try again")


# ------------------------------------------------------------------------------------------------------------- resolver


@pytest.mark.parametrize("path", ["/gslb", "/gslb/"])
async def test_every_domain_that_is_asked_for_has_all_frontends(path: str) -> None:
    town = HttpTown(frontends=[("10.0.0.7", 5222), ("10.0.0.8", 80)])
    query = "?ver=4.0&type=wifi&list=app.chat.xiaomi.net,relay.mimc.chat.xiaomi.net&uuid=0&"
    answer = await town.answer("GET", path + query)
    addresses = ["10.0.0.7:5222", "10.0.0.8:80"]
    domains = {"app.chat.xiaomi.net": addresses, "relay.mimc.chat.xiaomi.net": addresses}
    assert answer == {"S": "Ok", "R": {"wifi": domains}}


async def test_our_own_client_reads_the_resolvers_answer() -> None:
    response = await HttpTown().ask("GET", "/gslb/?list=fe.example.net")
    assert parse_resolver_answer(response.text, "fe.example.net") == (("10.0.0.7", 5222),)


async def test_a_frontend_at_any_address_is_told_by_the_address_that_was_asked() -> None:
    town = HttpTown(frontends=[("0.0.0.0", 5222)])
    answer = await town.answer("GET", "/gslb/?list=fe.example.net", here="192.0.2.1")
    assert answer["R"]["wifi"] == {"fe.example.net": ["192.0.2.1:5222"]}


@pytest.mark.parametrize(("frontend", "here"), [("::1", "127.0.0.1"), ("0.0.0.0", "::1"), ("fe.example", "127.0.0.1")])
async def test_only_ipv4_literals_are_told(frontend: str, here: str) -> None:
    town = HttpTown(frontends=[(frontend, 5222)])
    answer = await town.answer("GET", "/gslb/?list=fe.example.net", here=here)
    assert answer["R"]["wifi"] == {"fe.example.net": []}


async def test_nobody_asked_for_is_answered_with_nobody() -> None:
    assert await HttpTown().answer("GET", "/gslb/") == {"S": "Ok", "R": {"wifi": {}}}
