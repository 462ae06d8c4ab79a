"""Who is calling: by token or by an application's secret, and everybody who is not who he says he is."""

from __future__ import annotations

import base64
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from mimc_server.tokens import TokenIssuer
from support.http_town import APP, BY_SECRET, NOON, OTHER, HttpTown

pytestmark = pytest.mark.anyio

MINE = "/api/uctopic/topics"


async def owner(town: HttpTown, headers: Any) -> str:
    """Whom the endpoints take the caller for."""
    made = await town.data("POST", "/api/uctopic", json={}, headers=headers)
    account: str = made["ownerAccount"]
    return account


async def test_without_an_app_id_the_secret_says_which_application_it_is(town: HttpTown) -> None:
    headers = {"appKey": "its key", "appSecret": "its secret", "appAccount": "alice"}
    made = await town.data("POST", "/api/uctopic", json={}, headers=headers)
    assert town.store.group(OTHER.app_id, int(made["topicId"]), unlimited=True) is not None


@pytest.mark.parametrize("encoding", ["base64", "Base64"])
@pytest.mark.parametrize("account", ["爱丽丝", "a\r\ntoken: b", "a\0b", "' OR 1=1 --"])
async def test_an_account_that_no_header_can_carry_comes_as_base64(town: HttpTown, account: str, encoding: str) -> None:
    text = base64.b64encode(account.encode()).decode()
    assert await owner(town, {**BY_SECRET, "appAccount": text, "appAccountEncode": encoding}) == account
    assert town.accounts() == {account}


async def test_a_token_counts_before_a_secret(town: HttpTown) -> None:
    assert await owner(town, {**BY_SECRET, "token": town.token("bob")}) == "bob"


async def test_a_token_that_is_no_good_is_not_made_good_by_a_secret(town: HttpTown) -> None:
    for token in ("x", ""):
        assert (await town.failure("GET", MINE, headers={**BY_SECRET, "token": token}))[0] == 401


def revoked(town: HttpTown) -> str:
    token = town.token()
    town.store.revoke_tokens(town.member("alice").uuid, NOON + 1)
    return token


def outlived(town: HttpTown) -> str:
    token = town.token()
    town.now += 3_600_001
    return token


def of_nobody(town: HttpTown) -> str:
    return town.tokens.issue(APP.app_id, "nobody", 7, NOON).token


def of_nowhere(town: HttpTown) -> str:
    return town.tokens.issue(7, "alice", town.member("alice", 7).uuid, NOON).token


def of_another_application(town: HttpTown) -> str:
    """A good signature over a user of ours, in the name of another application."""
    return town.tokens.issue(OTHER.app_id, "alice", town.member("alice").uuid, NOON).token


def of_another_service(town: HttpTown) -> str:
    issuer = TokenIssuer(b"another secret of an issuer", 3600.0, Random(1))
    return issuer.issue(APP.app_id, "alice", town.member("alice").uuid, NOON).token


def of_a_uuid_that_is_another_account_here(town: HttpTown) -> str:
    """A store that was begun anew gives its uuids anew, while the tokens of before are still signed."""
    return town.tokens.issue(APP.app_id, "mallory", town.member("alice").uuid, NOON).token


def changed(town: HttpTown) -> str:
    token = town.token()
    return token[:40] + ("A" if token[40] != "A" else "B") + token[41:]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: "x", "invalid-token"),
        (lambda _: "x" * 5000, "invalid-token"),
        (lambda _: "' OR '1'='1", "invalid-token"),
        (lambda town: town.token()[:-1], "invalid-token"),
        (lambda town: town.token() + "=", "invalid-token"),
        (lambda town: " ".join(town.token()), "invalid-token"),
        (changed, "invalid-token"),
        (of_nobody, "invalid-token"),
        (of_nowhere, "invalid-token"),
        (of_another_application, "invalid-token"),
        (of_another_service, "invalid-token"),
        (of_a_uuid_that_is_another_account_here, "invalid-token"),
        (revoked, "token-expired"),
        (outlived, "token-expired"),
    ],
)
async def test_a_token_that_is_no_good_is_refused_with_the_reason(
    town: HttpTown, make: Callable[[HttpTown], str], reason: str
) -> None:
    token = make(town)
    code, message = await town.failure("GET", MINE, headers={"token": token})
    assert code == 401
    assert message.startswith(reason)
    assert token not in message or len(token) == 1


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 401),
        ({"appKey": "a key", "appSecret": "a secret"}, 401),
        ({"appSecret": "a secret", "appAccount": "alice"}, 401),
        ({**BY_SECRET, "appSecret": "wrong"}, 401),
        ({**BY_SECRET, "appSecret": ""}, 401),
        ({**BY_SECRET, "appKey": "' OR '1'='1"}, 401),
        ({**BY_SECRET, "appKey": "x" * 20_000}, 401),
        ({**BY_SECRET, "appKey": "its key", "appSecret": "its secret"}, 401),
        ({**BY_SECRET, "appId": str(OTHER.app_id)}, 401),
        ({**BY_SECRET, "appId": "9" * 5000}, 400),
        ({**BY_SECRET, "appId": "seven"}, 400),
        ({**BY_SECRET, "appId": ""}, 400),
        ({**BY_SECRET, "appId": "²"}, 400),
        ({**BY_SECRET, "appAccount": "///", "appAccountEncode": "base64"}, 400),
        ({**BY_SECRET, "appAccount": "/w==", "appAccountEncode": "base64"}, 400),
        ({**BY_SECRET, "appAccount": "YWxp!Y2U=", "appAccountEncode": "base64"}, 400),
        ({**BY_SECRET, "appAccount": "", "appAccountEncode": "base64"}, 400),
        ({**BY_SECRET, "appAccount": "alice", "appAccountEncode": "rot13"}, 400),
        ({**BY_SECRET, "appAccount": ""}, 400),
        ({**BY_SECRET, "appAccount": "x" * 1025}, 400),
        ({**BY_SECRET, "appAccount": "爱丽丝".encode()}, 400),
        ({**BY_SECRET, "appAccount": "\xff".encode("latin-1")}, 400),
    ],
)
async def test_who_does_not_say_who_he_is_is_refused(town: HttpTown, headers: Any, code: int) -> None:
    encoded = {name: value if isinstance(value, bytes) else value.encode() for name, value in headers.items()}
    got, message = await town.failure("GET", MINE, headers=encoded)
    assert got == code
    assert "secret" not in message.replace("appSecret", "")
    assert town.accounts() == set()


@pytest.mark.parametrize(
    "name", ["token", "appKey", "appSecret", "appAccount", "appId", "appAccountEncode", "topicId", "startUuid"]
)
async def test_a_header_that_decides_comes_once(town: HttpTown, name: str) -> None:
    """Whatever stands before us may have looked at the other one."""
    topic_id = await town.unlimited_group("alice")
    usual = {**BY_SECRET, "topicId": topic_id, "startUuid": "0"}
    if name == "token":
        usual = {"token": town.token(), "topicId": topic_id}
    elif name == "appAccountEncode":
        usual |= {"appAccount": "YWxpY2U=", "appAccountEncode": "base64"}
    assert await town.data("GET", "/api/uctopic/userlist", headers=usual)
    for again in (name, name.lower(), name.upper()):
        twice = [*usual.items(), (again, usual[name])]
        answer = await town.failure("GET", "/api/uctopic/userlist", headers=twice)
        assert answer == (400, f"expected the header {name} once")


async def test_names_of_headers_are_the_same_in_any_case(town: HttpTown) -> None:
    assert await town.data("GET", MINE, headers={"TOKEN": town.token()}) == []
    assert await town.data("GET", MINE, headers={name.upper(): value for name, value in BY_SECRET.items()}) == []
