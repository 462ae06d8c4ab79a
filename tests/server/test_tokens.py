"""Tokens and the token answer."""

import base64
import hmac
import json
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_server.applications import Application
from mimc_server.tokens import (
    IssuedToken,
    TokenClaims,
    TokenExpired,
    TokenInvalid,
    TokenIssuer,
    TokenRefused,
    token_answer,
)
from support.store_bed import APP, NOON

from mimc_proto.errors import LocalProtocolError
from mimc_proto.session.tokens import parse_token_answer

SECRET = b"a secret of the service"
APPLICATION = Application.of(app_id=APP, app_key="key", app_secret="secret", package="com.example")
HOUR = 3_600.0
HOUR_MS = 3_600_000
ALPHABET = string.ascii_letters + string.digits + "-_"

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def issuer(secret: bytes = SECRET, lifetime: float = HOUR, seed: int = 1) -> TokenIssuer:
    return TokenIssuer(secret, lifetime, random.Random(seed))


def issued(account: str = "alice") -> IssuedToken:
    return issuer().issue(APP, account, 4711, NOON)


# --------------------------------------------------------------------------------------------------------- issuing


@given(
    app_id=st.integers(0, 2**64 - 1),
    account=names,
    uuid=st.integers(0, 2**64 - 1),
    seed=st.integers(0, 99),
)
def test_a_token_says_what_it_was_issued_for(app_id: int, account: str, uuid: int, seed: int) -> None:
    """Law: verify(issue(x)) gives x back, and the security key that came with the token."""
    token = issuer(seed=seed).issue(app_id, account, uuid, NOON)
    assert issuer().verify(token.token, NOON) == TokenClaims(
        app_id=app_id,
        account=account,
        uuid=uuid,
        security_key=token.security_key,
        issued_ms=NOON,
        expires_ms=NOON + HOUR_MS,
    )


def test_a_token_says_when_it_expires() -> None:
    assert issued().expires_ms == NOON + HOUR_MS


def test_a_token_of_the_longest_account_fits_a_bind() -> None:
    token = issued("é" * 512).token
    assert len(token) <= 2048
    assert issuer().verify(token, NOON).account == "é" * 512


def test_a_token_is_text_that_needs_no_escaping() -> None:
    assert set(issued().token) <= set(ALPHABET)


def test_the_security_key_is_the_base64_of_16_bytes() -> None:
    assert len(base64.b64decode(issued().security_key, validate=True)) == 16


def test_two_tokens_of_the_same_millisecond_differ_and_so_do_their_keys() -> None:
    one_issuer = issuer()
    one, other = (one_issuer.issue(APP, "alice", 4711, NOON) for _ in range(2))
    assert one.token != other.token
    assert one.security_key != other.security_key


def test_the_security_key_cannot_be_read_off_the_token() -> None:
    token = issued()
    signed = base64.urlsafe_b64decode(token.token + "=" * (-len(token.token) % 4))
    assert base64.b64decode(token.security_key) not in signed


@pytest.mark.parametrize("account", ["", "é" * 513, "\ud800"], ids=["empty", "too long", "no UTF-8"])
def test_an_account_that_no_client_could_send_gets_no_token(account: str) -> None:
    with pytest.raises(LocalProtocolError, match="account"):
        issuer().issue(APP, account, 4711, NOON)


@pytest.mark.parametrize("numbers", [(-1, 1, NOON), (1, 1 << 64, NOON), (1, 1, 1 << 64)], ids=str)
def test_numbers_out_of_range_get_no_token(numbers: tuple[int, int, int]) -> None:
    app_id, uuid, wall_ms = numbers
    with pytest.raises(LocalProtocolError, match=r"0 to 2\*\*64 - 1"):
        issuer().issue(app_id, "alice", uuid, wall_ms)


@pytest.mark.parametrize("lifetime", [0, -1, float("nan"), float("inf")])
def test_a_lifetime_has_to_be_one(lifetime: float) -> None:
    with pytest.raises(LocalProtocolError, match="lifetime"):
        issuer(lifetime=lifetime)


def test_a_short_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(LocalProtocolError, match="at least 16 bytes, got 10") as caught:
        issuer(secret=b"too-little")
    assert "too-little" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------- verifying


def test_a_token_is_good_until_its_lifetime_is_over() -> None:
    token = issued().token
    assert issuer().verify(token, NOON + HOUR_MS - 1)
    with pytest.raises(TokenExpired):
        issuer().verify(token, NOON + HOUR_MS)


@given(late=st.integers(0, 10**12))
def test_an_expired_token_is_expired_for_ever(late: int) -> None:
    with pytest.raises(TokenExpired, match="expired"):
        issuer().verify(issued().token, NOON + HOUR_MS + late)


def test_a_clock_that_goes_back_does_not_spoil_a_token() -> None:
    assert issuer().verify(issued().token, NOON - HOUR_MS)


def test_the_lifetime_is_that_of_its_issuer() -> None:
    assert issuer(lifetime=1.0).verify(issued().token, NOON + 2_000)


def test_a_revoked_token_is_expired_and_a_newer_one_is_good() -> None:
    with pytest.raises(TokenExpired, match="revoked"):
        issuer().verify(issued().token, NOON, good_from_ms=NOON + 1)
    assert issuer().verify(issued().token, NOON, good_from_ms=NOON)


@given(position=st.integers(0), character=st.sampled_from(ALPHABET + "+/= \n.é\0\ud800"), account=names)
def test_any_one_character_change_is_refused(position: int, character: str, account: str) -> None:
    """Law: a token has exactly one text, to its last character."""
    token = issued(account).token
    position %= len(token)
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        with pytest.raises(TokenInvalid):
            issuer().verify(changed, NOON)


def test_each_last_character_but_its_own_is_refused() -> None:
    """The last character of base64 has spare bits that a decoder ignores."""
    for account in ("a", "ab", "abc"):
        token = issued(account).token
        for character in set(ALPHABET) - {token[-1]}:
            with pytest.raises(TokenInvalid):
                issuer().verify(token[:-1] + character, NOON)


@given(position=st.integers(0), character=st.sampled_from(ALPHABET + "= \n"))
def test_any_character_more_is_refused(position: int, character: str) -> None:
    token = issued().token
    position %= len(token) + 1
    changed = token[:position] + character + token[position:]
    with pytest.raises(TokenInvalid):
        issuer().verify(changed, NOON)


@given(length=st.integers(0), start=st.integers(0))
def test_a_truncated_token_is_refused(length: int, start: int) -> None:
    token = issued().token
    for part in (token[: length % len(token)], token[start % len(token) + 1 :]):
        with pytest.raises(TokenInvalid):
            issuer().verify(part, NOON)


@given(secret=st.binary(min_size=16, max_size=64))
def test_a_token_of_another_service_is_refused(secret: bytes) -> None:
    token = issuer(secret).issue(APP, "alice", 4711, NOON)
    if secret != SECRET:
        with pytest.raises(TokenInvalid, match="another service"):
            issuer().verify(token.token, NOON)


@given(body=st.binary(max_size=80), key=st.binary(min_size=1, max_size=64))
def test_a_forged_token_is_refused(body: bytes, key: bytes) -> None:
    signed = body + hmac.digest(key, body, "sha256")
    with pytest.raises(TokenInvalid):
        issuer().verify(base64.urlsafe_b64encode(signed).rstrip(b"=").decode(), NOON)


@given(text=st.text())
def test_any_text_is_refused_with_the_right_error(text: str) -> None:
    with pytest.raises(TokenInvalid):
        issuer().verify(text, NOON)


def test_a_text_without_end_is_refused_before_it_is_looked_at() -> None:
    with pytest.raises(TokenInvalid, match="at most 1462 characters, got 1000000"):
        issuer().verify("A" * 1_000_000, NOON)


def test_an_expired_forgery_is_a_forgery() -> None:
    token = issuer(b"another secret of 16").issue(APP, "alice", 4711, NOON)
    with pytest.raises(TokenInvalid):
        issuer().verify(token.token, NOON + 2 * HOUR_MS)


def test_refusals_say_what_bind_and_kick_have_to_say() -> None:
    assert (TokenExpired.reason, TokenInvalid.reason) == ("token-expired", "invalid-token")
    assert issubclass(TokenExpired, TokenRefused)
    assert issubclass(TokenInvalid, TokenRefused)


# -------------------------------------------------------------------------------------------------------- secrets


def test_no_repr_and_no_error_shows_a_secret() -> None:
    token = issued()
    claims = issuer().verify(token.token, NOON)
    with pytest.raises(TokenInvalid) as caught:
        issuer().verify(token.token[:-1], NOON)
    shown = f"{token!r} {claims!r} {caught.value!r} {issuer()!r}"
    for secret in (token.token, token.token[:-1], token.security_key, SECRET.decode()):
        assert secret not in shown
    assert "alice" in shown


# ---------------------------------------------------------------------------------------------------------- answer


def test_the_token_answer_is_what_every_client_can_read() -> None:
    """Ids are text, miChid and regionBucket numbers (rest.md section 1; clients.md rules 13 and 19)."""
    token = issued()
    answer = json.loads(json.dumps(token_answer(APPLICATION, "alice", 4711, token)))
    assert answer == {
        "code": 200,
        "message": "success",
        "data": {
            "appId": str(APP),
            "appPackage": "com.example",
            "appAccount": "alice",
            "miChid": 9,
            "miUserId": "4711",
            "miUserSecurityKey": token.security_key,
            "token": token.token,
            "regionBucket": 0,
            "feDomainName": "app.chat.xiaomi.net",
            "relayDomainName": "relay.mimc.chat.xiaomi.net",
        },
    }


def test_a_service_may_name_its_own_domains_and_region() -> None:
    answer = token_answer(APPLICATION, "alice", 1, issued(), frontend="fe.test", relay="relay.test", region_bucket=7)
    data = answer["data"]
    assert (data["feDomainName"], data["relayDomainName"], data["regionBucket"]) == ("fe.test", "relay.test", 7)


def test_our_own_client_reads_the_token_answer() -> None:
    token = issued()
    answer = json.dumps(token_answer(APPLICATION, "alice", 4711, token))
    credentials = parse_token_answer(answer, app_id=APP, account="alice").credentials
    assert (credentials.uuid, credentials.token, credentials.security_key) == (4711, token.token, token.security_key)
