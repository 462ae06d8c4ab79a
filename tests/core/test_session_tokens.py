"""Token answers: what is read from them, what is refused and how, and what is never shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import mutated

from mimc_proto import Credentials
from mimc_proto.errors import TokenError
from mimc_proto.session.tokens import TokenAnswer, parse_token_answer

APP_ID, ACCOUNT = 2882303761517613988, "alice"
TOKEN, KEY = "the-secret-token", "XOF8dTB2dOVVkEdZB9O21w=="
DATA = {
    "appId": "2882303761517613988",
    "appPackage": "com.example.app",
    "appAccount": ACCOUNT,
    "miChid": 9,
    "miUserId": "31415926535897932",
    "miUserSecurityKey": KEY,
    "token": TOKEN,
    "regionBucket": 1,
    "feDomainName": "app.chat.xiaomi.net",
    "relayDomainName": "relay.mimc.chat.xiaomi.net",
}
READ = TokenAnswer(
    credentials=Credentials(
        app_id=APP_ID,
        account=ACCOUNT,
        uuid=31415926535897932,
        token=TOKEN,
        security_key=KEY,
        package="com.example.app",
        chid=9,
    ),
    fe_domain="app.chat.xiaomi.net",
    relay_domain="relay.mimc.chat.xiaomi.net",
)


def parse(body: Any) -> TokenAnswer:
    return parse_token_answer(body, app_id=APP_ID, account=ACCOUNT)


def envelope(**changes: object) -> dict[str, object]:
    return {"code": 200, "message": "success", "data": {**DATA, **changes}}


def without(*names: str) -> dict[str, object]:
    return {name: value for name, value in DATA.items() if name not in names}


def refusal(body: Any) -> TokenError:
    with pytest.raises(TokenError) as caught:
        parse(body)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    return caught.value


def outcome(body: Any) -> TokenAnswer | TokenError:
    """What comes of an answer; everything else that is raised is a failure."""
    try:
        return parse(body)
    except TokenError as error:
        return error


@pytest.mark.parametrize("answer", [envelope(), DATA], ids=["envelope", "data alone"])
@pytest.mark.parametrize("form", [dict, json.dumps, lambda body: json.dumps(body).encode()])
def test_an_answer_is_read_with_and_without_its_envelope(answer: dict[str, object], form: Any) -> None:
    assert parse(form(answer)) == READ


def test_ids_may_be_numbers() -> None:
    assert parse(envelope(appId=APP_ID, miUserId=31415926535897932, miChid="9")) == READ


def test_what_an_old_answer_lacks_has_defaults() -> None:
    answer = parse(without("miChid", "relayDomainName", "regionBucket"))
    assert (answer.credentials.chid, answer.relay_domain) == (9, None)


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_relay_domain_may_be_empty(nothing: object) -> None:
    assert parse(envelope(relayDomainName=nothing)).relay_domain is None


def test_null_is_no_chid() -> None:
    assert parse(envelope(miChid=None)).credentials.chid == 9


def test_another_chid_is_taken() -> None:
    assert parse(envelope(miChid=10)).credentials.chid == 10


def test_fields_that_nobody_needs_may_be_anything() -> None:
    assert parse(envelope(regionBucket=[{}], ppsMiotDomainName=7)) == READ


def test_a_package_may_be_empty() -> None:
    assert parse(envelope(appPackage="")).credentials.package == ""


@pytest.mark.parametrize(
    "name", ["appId", "appAccount", "miUserId", "miUserSecurityKey", "token", "appPackage", "feDomainName"]
)
def test_a_missing_field_is_named(name: str) -> None:
    inner = refusal({"code": 200, "data": without(name)})
    assert (inner.where, inner.problem.partition(", got ")[2]) == (f"token answer.data.{name}", "nothing")
    assert refusal(without(name)).where == f"token answer.{name}"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("appId", "one", "expected a whole number from 1 to 9223372036854775807, got 'one'"),
        ("appId", 0, "expected a whole number from 1 to 9223372036854775807, got 0"),
        ("appAccount", 7, "expected text, got 7"),
        ("miUserId", 0, "expected a whole number from 1 to 9223372036854775807, got 0"),
        ("miUserId", "-1", "expected a whole number from 1 to 9223372036854775807, got '-1'"),
        ("miUserId", 2**63, "expected a whole number from 1 to 9223372036854775807, got 9223372036854775808"),
        ("miUserId", 1.5, "expected a whole number from 1 to 9223372036854775807, got 1.5"),
        ("miUserId", True, "expected a whole number from 1 to 9223372036854775807, got true"),
        ("miChid", -1, "expected a whole number from 0 to 2147483647, got -1"),
        ("miChid", 2**31, "expected a whole number from 0 to 2147483647, got 2147483648"),
        ("token", "", "expected 1 to 2048 bytes, got 0"),
        ("token", "x" * 2049, "expected 1 to 2048 bytes, got 2049"),
        ("token", 31415, "expected text, got a number"),
        ("token", "\ud800", "expected text that UTF-8 can carry, got a str"),
        ("miUserSecurityKey", 31415, "expected text, got a number"),
        ("miUserSecurityKey", "XOF8dTB2dOV", "expected standard base64 with its padding; the text has 11 characters"),
        ("miUserSecurityKey", "A" * 512, "expected 1 to 254 bytes in base64, got 384; the text has 512 characters"),
        ("miUserSecurityKey", "A" * 200, "expected at most 127 bytes in base64, got 150; the text has 200 characters"),
        ("miUserSecurityKey", "A" * 516, "expected 1 to 512 bytes, got 516"),
        ("appPackage", "x" * 1025, "expected 0 to 1024 bytes, got 1025"),
        ("appPackage", {"token": TOKEN}, "expected text, got an object with 1 keys"),
        ("feDomainName", "", "expected 1 to 253 bytes, got 0"),
        ("feDomainName", "app.example:80", "expected a plain host name, got 'app.example:80'"),
        ("feDomainName", "https://app.example/", "expected a plain host name, got 'https://app.example/'"),
        ("feDomainName", "a,b", "expected a plain host name, got 'a,b'"),
        ("feDomainName", ["app.example"], "expected text, got a list of 1"),
        ("relayDomainName", "a b", "expected a plain host name, got 'a b'"),
        ("relayDomainName", 7, "expected text, got 7"),
    ],
)
def test_a_wrong_field_is_named(name: str, value: object, problem: str) -> None:
    error = refusal(envelope(**{name: value}))
    assert (error.where, error.problem) == (f"token answer.data.{name}", problem)


def test_another_application_is_refused() -> None:
    assert str(refusal(envelope(appId="5"))) == (
        "token answer.data.appId: expected 2882303761517613988, got 5: the token endpoint serves another application"
    )


def test_another_account_is_refused() -> None:
    assert str(refusal(envelope(appAccount="bob"))) == (
        "token answer.data.appAccount: expected 'alice', got 'bob': the token endpoint logs in another account"
    )


@pytest.mark.parametrize(
    ("body", "where", "problem"),
    [
        (
            {"code": 500, "message": "no such app", "data": None},
            "code",
            "expected 200, got 500 with the message 'no such",
        ),
        ({"code": 500}, "code", "expected 200, got 500 with the message nothing"),
        (
            {"code": 1, "message": {"token": TOKEN}},
            "code",
            "expected 200, got 1 with the message an object with 1 keys",
        ),
        ({"code": 1, "message": "x" * 999}, "code", f"expected 200, got 1 with the message '{'x' * 76}..."),
        ({"code": "200", "data": DATA}, "code", "expected 200, got '200'"),
        ({"code": True, "data": DATA}, "code", "expected 200, got true"),
        ({"code": 200.0, "data": DATA}, "code", "expected 200, got 200.0"),
        ({"data": DATA}, "code", "expected 200, got nothing"),
        ({"code": 200}, "data", "expected an object, got nothing"),
        ({"code": 200, "data": TOKEN}, "data", "expected an object, got text of 16 characters"),
    ],
)
def test_an_envelope_without_success_is_refused(body: object, where: str, problem: str) -> None:
    error = refusal(body)
    assert error.where == f"token answer.{where}"
    assert error.problem.startswith(problem)


@pytest.mark.parametrize("body", ["", "[]", f'"{TOKEN}"', b"\xff", "x" * 65537, "[" * 65536, TOKEN, None, 7])
def test_what_is_no_answer_is_refused(body: Any) -> None:
    error = refusal(body)
    assert error.where == "token answer"
    assert TOKEN not in str(error)


def test_an_answer_shows_no_secret() -> None:
    text = repr(parse(DATA))
    assert "fe_domain='app.chat.xiaomi.net'" in text
    assert TOKEN not in text
    assert KEY not in text


@given(mutated(st.just(json.dumps(envelope()).encode())))
def test_a_damaged_answer_is_read_or_refused_without_showing_secrets(body: bytes) -> None:
    found = outcome(body)
    assert TOKEN not in repr(found)
    assert KEY not in repr(found)
    if isinstance(found, TokenAnswer):
        assert (found.credentials.app_id, found.credentials.account) == (APP_ID, ACCOUNT)
        assert found.credentials.checked_secret()


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just(2**70)),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.sampled_from([*DATA, "code", "data"]), inner)),
    max_leaves=10,
)


@given(st.lists(st.tuples(st.sampled_from([*DATA, "code", "data", "message"]), JSON), max_size=3), st.booleans())
def test_whatever_a_field_holds_nothing_undeclared_is_raised(changes: list[tuple[str, object]], wrapped: bool) -> None:
    body = {**(envelope() if wrapped else DATA), **dict(changes)}
    if wrapped and isinstance(data := body["data"], dict):
        body["data"] = {**data, **dict(changes)}
    found = outcome(body)
    if isinstance(found, TokenError):
        assert found.where.startswith("token answer")


@given(JSON)
def test_whatever_comes_nothing_undeclared_is_raised(body: Any) -> None:
    with pytest.raises(TokenError):
        parse(body)
