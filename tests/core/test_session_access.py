"""Tokens and addresses: when to ask, what to do when there is no answer or a wrong one."""

from __future__ import annotations

from typing import Any

import pytest

from mimc_proto.config import SessionConfig
from mimc_proto.errors import LocalProtocolError, TokenError
from mimc_proto.session.access import Frontends, Tokens

CONFIG = SessionConfig()
DOMAIN = "app.chat.xiaomi.net"
RESOLVER = "https://resolver.example"
ANSWER = {
    "appId": 1,
    "appPackage": "com.example.app",
    "appAccount": "alice",
    "miUserId": 77,
    "miUserSecurityKey": "XOF8dTB2dOVVkEdZB9O21w==",
    "token": "the-secret-token",
    "feDomainName": DOMAIN,
}
FOUND = {"S": "Ok", "R": {"wifi": {DOMAIN: ["10.0.0.1:5222", "10.0.0.2:80"]}}}


class Half:
    """Chance that is always in the middle."""

    def random(self) -> float:
        return 0.5

    def getrandbits(self, k: int, /) -> int:
        return 1 << (k - 1)


def tokens(cached: Any = None) -> Tokens:
    return Tokens(1, "alice", CONFIG, Half(), cached)


def fetched(answer: Any = ANSWER, *, now: float = 0.0) -> Tokens:
    """Tokens after one request that was answered so."""
    mine = tokens()
    fetch(mine, answer, now=now)
    return mine


def fetch(mine: Tokens, answer: Any = ANSWER, *, now: float = 0.0) -> None:
    mine.asked(1, now)
    mine.fetched(answer, now)


def bound(mine: Tokens) -> Tokens:
    """A BIND with the token was accepted."""
    mine.used()
    mine.accepted()
    return mine


def frontends(*explicit: Any, resolver: Any = RESOLVER) -> Frontends:
    return Frontends(explicit, resolver, CONFIG)


def asked(domain: str = DOMAIN) -> Frontends:
    """Frontends whose resolver was asked at time 0."""
    mine = frontends()
    mine.domain = domain
    mine.asked(1, 0.0)
    return mine


# ----------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("now", [-1e9, 0.0, 1.8e9])
def test_without_a_token_one_is_wanted_at_once_wherever_time_begins(now: float) -> None:
    mine = tokens()
    assert mine.wanted(now)
    due = mine.timer()
    assert due is not None
    assert due <= now


def test_a_cached_token_is_used_and_none_is_wanted() -> None:
    mine = tokens(ANSWER)
    assert mine.answer is not None
    assert mine.answer.credentials.token == "the-secret-token"
    assert not mine.wanted(1e9)
    assert mine.timer() is None


@pytest.mark.parametrize("broken", ["", "{}", {**ANSWER, "token": ""}, {**ANSWER, "appAccount": "bob"}])
def test_a_cached_token_that_cannot_be_read_is_refused(broken: Any) -> None:
    with pytest.raises(TokenError):
        tokens(broken)


def test_without_a_request_there_is_no_deadline() -> None:
    assert tokens().deadline is None
    assert Frontends([], RESOLVER, CONFIG).deadline is None


def test_only_one_request_is_out_at_a_time() -> None:
    mine = tokens()
    mine.asked(7, 1.0)
    assert mine.request == 7
    assert not mine.wanted(20.0)
    assert mine.timer() == 1.0 + CONFIG.token_timeout


def test_a_good_answer_ends_the_request() -> None:
    mine = tokens()
    mine.asked(7, 1.0)
    assert mine.fetched(ANSWER, 2.0) is None
    assert mine.answer is not None
    assert (mine.request, mine.deadline, mine.timer()) == (None, None, None)


def test_a_wrong_answer_says_what_is_wrong_and_leaves_no_token() -> None:
    mine = tokens()
    mine.asked(7, 1.0)
    assert mine.fetched({**ANSWER, "miUserId": 0}, 2.0) == (
        "token answer.miUserId: expected a whole number from 1 to 9223372036854775807, got 0"
    )
    assert mine.answer is None
    assert (mine.request, mine.timer()) == (None, 2.05)


@pytest.mark.parametrize(
    "junk", [None, 7, [], object(), b"\xff", "nul", "[" * 100_000], ids=lambda junk: type(junk).__name__
)
def test_an_answer_may_be_anything_at_all(junk: Any) -> None:
    mine = tokens()
    mine.asked(7, 1.0)
    assert mine.fetched(junk, 2.0)
    assert not mine.wanted(2.0)


def test_failures_wait_longer_and_longer_up_to_the_limit() -> None:
    mine, waits = tokens(), []
    for _ in range(11):
        mine.asked(1, 0.0)
        mine.fetched(OSError("down"), 0.0)
        waits.append(mine.timer())
    assert waits[:4] == [0.05, 0.1, 0.2, 0.4]
    assert waits[-2:] == [15.0, 15.0]
    assert not mine.wanted(14.9)
    assert mine.wanted(15.0)


def test_a_request_without_an_answer_is_a_failure() -> None:
    mine = tokens()
    mine.asked(1, 0.0)
    assert mine.overdue(30.0) == "token answer: no answer within 30 s (token_timeout)"
    assert (mine.request, mine.timer()) == (None, 30.05)


def test_an_error_of_ours_is_told_in_full_and_of_any_other_only_its_type() -> None:
    mine = tokens()
    mine.asked(1, 0.0)
    assert mine.fetched(TokenError("status 500", where="https://tokens.example"), 0.0) == (
        "token: https://tokens.example: status 500"
    )
    mine.asked(2, 0.0)
    assert mine.fetched(OSError("https://tokens.example?key=secret"), 0.0) == "token: OSError"


def test_a_cached_token_that_is_refused_is_replaced_at_once() -> None:
    mine = tokens(ANSWER)
    mine.used()
    mine.refused(3.0)
    assert mine.answer is None
    assert mine.wanted(3.0)


def test_a_token_that_was_good_and_expires_is_replaced_at_once() -> None:
    mine = bound(fetched())
    assert mine.kicked(100.0)
    assert mine.wanted(100.0)


def test_a_fresh_token_that_is_refused_advances_the_back_off() -> None:
    mine, waits = tokens(), []
    for _ in range(3):
        fetch(mine)
        mine.used()
        mine.refused(10.0)
        waits.append(mine.timer())
    assert waits == [10.05, 10.1, 10.2]
    assert not mine.wanted(10.1)


def test_a_login_ends_the_back_off() -> None:
    mine = tokens()
    for _ in range(5):
        fetch(mine)
        mine.used()
        mine.refused(0.0)
    fetch(mine)
    bound(mine)
    assert mine.kicked(0.0)
    mine.fetched(OSError(), 10.0)
    assert mine.timer() == 10.05


def test_a_kick_that_crosses_the_bind_with_the_next_token_is_about_the_one_before() -> None:
    mine = bound(tokens(ANSWER))
    mine.kicked(0.0)
    fetch(mine)
    mine.used()
    assert not mine.kicked(1.0)
    assert not mine.kicked(1.0)
    assert mine.answer is not None
    mine.used()
    mine.accepted()
    assert mine.kicked(2.0)
    assert mine.wanted(2.0)


def test_a_kick_after_a_second_bind_with_the_same_token_is_about_that() -> None:
    mine = bound(tokens(ANSWER))
    mine.kicked(0.0)
    fetch(mine)
    mine.used()
    mine.kicked(1.0)
    mine.used()
    assert mine.kicked(1.0)
    assert mine.timer() == 1.05


def test_a_kick_that_crosses_the_first_bind_of_a_link_is_about_its_token() -> None:
    mine = tokens(ANSWER)
    mine.used()
    assert mine.kicked(1.0)


def test_a_kick_about_a_token_that_is_gone_already_does_not_shorten_the_wait_for_the_next() -> None:
    mine = bound(tokens(ANSWER))
    mine.kicked(0.0)
    fetch(mine, OSError("down"))
    assert not mine.kicked(0.0)
    assert mine.timer() == 0.05


def test_a_kick_before_the_first_bind_is_about_no_token() -> None:
    mine = tokens(ANSWER)
    assert not mine.kicked(1.0)
    assert mine.answer is not None


@pytest.mark.parametrize("replaced", [False, True])
def test_a_kick_on_a_link_that_was_told_no_token_is_about_none(replaced: bool) -> None:
    mine = bound(tokens(ANSWER))
    if replaced:
        mine.kicked(0.0)
        fetch(mine)
    mine.link_gone()
    assert not mine.kicked(1.0)
    assert mine.answer is not None
    mine.used()
    assert mine.kicked(1.0)


def test_a_refusal_is_about_the_last_bind_even_if_another_token_was_bound_before() -> None:
    mine = bound(tokens(ANSWER))
    mine.kicked(0.0)
    fetch(mine)
    mine.used()
    mine.refused(1.0)
    assert mine.answer is None
    assert mine.timer() == 1.05


# -------------------------------------------------------------------------------------------------------- addresses


def test_given_addresses_are_tried_in_their_order() -> None:
    mine = frontends(("a", 1), ("b", 2))
    assert mine.next() == ("a", 1)
    assert mine.failed()
    assert mine.next() == ("b", 2)


def test_after_the_last_address_the_round_begins_again() -> None:
    mine = frontends(("a", 1), ("b", 2))
    assert mine.failed()
    assert not mine.failed()
    assert mine.next() == ("a", 1)


def test_with_given_addresses_no_resolver_is_asked() -> None:
    mine = frontends(("a", 1))
    mine.domain = DOMAIN
    assert mine.url() is None
    mine.failed()
    assert mine.url() is None


def test_without_addresses_the_resolver_is_asked_for_the_domain_of_the_token_answer() -> None:
    mine = frontends()
    assert mine.url() is None
    mine.domain = DOMAIN
    assert mine.url() == f"{RESOLVER}/gslb/?ver=4.0&type=wifi&list={DOMAIN}"


def test_the_resolver_is_asked_once_at_a_time_and_has_a_deadline() -> None:
    mine = asked()
    assert mine.url() is None
    assert (mine.request, mine.deadline) == (1, 5.0)


def test_the_resolvers_addresses_are_tried_in_their_order() -> None:
    mine = asked()
    assert mine.known == ()
    assert mine.resolved(FOUND) is None
    assert mine.known == tuple(mine._round)
    assert (mine.request, mine.deadline) == (None, None)
    assert mine.next() == ("10.0.0.1", 5222)
    assert mine.failed()
    assert mine.next() == ("10.0.0.2", 80)


def test_when_all_of_them_failed_the_resolver_is_asked_again() -> None:
    mine = asked()
    mine.resolved(FOUND)
    assert mine.failed()
    assert not mine.failed()
    assert mine.next() is None
    assert mine.url() is not None


@pytest.mark.parametrize(
    "answer",
    [OSError("down"), {"S": "No"}, "", "{", b"\xff", None, 7, {"S": "Ok", "R": {"wifi": {DOMAIN: []}}}],
    ids=repr,
)
def test_without_a_usable_answer_the_domain_itself_is_the_address(answer: Any) -> None:
    mine = asked()
    assert mine.resolved(answer)
    assert mine.next() == (DOMAIN, 5222)
    assert mine.url() is None


def test_when_the_domain_fails_too_the_resolver_is_asked_again() -> None:
    mine = asked()
    mine.resolved(OSError())
    assert not mine.failed()
    assert mine.url() is not None


def test_a_resolver_without_an_answer_is_a_failure() -> None:
    mine = asked()
    assert mine.overdue() == "resolver answer: no answer within 5 s (resolve_timeout)"
    assert (mine.request, mine.next()) == (None, (DOMAIN, 5222))


def test_the_resolvers_own_errors_are_not_told() -> None:
    assert asked().resolved(OSError("https://user:secret@resolver.example")) == "resolver: OSError"


def test_failing_without_an_address_is_harmless() -> None:
    assert not frontends().failed()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("host", r"expected \(host, port\), got 'host'"),
        (None, r"expected \(host, port\), got None"),
        (("a", 1, 2), r"expected \(host, port\)"),
        (("", 1), "expected 1 to 1024 bytes, got 0"),
        ((7, 1), "expected text"),
        (("a", "1"), "expected a port from 1 to 65535, got '1'"),
        (("a", True), "got True"),
        (("a", 0), "got 0"),
        (("a", 65536), "got 65536"),
    ],
)
def test_an_address_is_a_host_and_a_port(wrong: Any, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"addresses: .*{problem}"):
        frontends(wrong)


@pytest.mark.parametrize("port", [1, 65535])
def test_every_port_may_be_given(port: int) -> None:
    assert frontends(["a", port]).next() == ("a", port)


@pytest.mark.parametrize("resolver", ["", "resolver.example", "ftp://resolver.example", None])
def test_a_resolver_that_cannot_be_asked_is_refused_at_once(resolver: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        frontends(("a", 1), resolver=resolver)
    assert caught.value.where == "resolver URL"


def test_known_addresses_are_tried_once_before_the_resolver_is_asked() -> None:
    them = Frontends((), RESOLVER, CONFIG, [("10.0.0.9", 5222), ("10.0.0.8", 80)])
    them.domain = "fe.example"
    assert them.url() is None
    assert them.next() == ("10.0.0.9", 5222)
    assert them.failed()
    assert them.next() == ("10.0.0.8", 80)
    assert not them.failed()
    assert them.next() is None
    assert them.url() is not None


def test_given_addresses_leave_no_room_for_known_ones() -> None:
    them = Frontends([("10.0.0.1", 5222)], RESOLVER, CONFIG, [("10.0.0.9", 5222)])
    assert them.next() == ("10.0.0.1", 5222)


def test_known_addresses_are_checked() -> None:
    with pytest.raises(LocalProtocolError, match="port"):
        Frontends((), RESOLVER, CONFIG, [("10.0.0.9", 0)])
