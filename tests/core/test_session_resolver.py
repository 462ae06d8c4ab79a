"""The resolver: the URL to ask, and the addresses in its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimc_proto.errors import LocalProtocolError, ResolverError
from mimc_proto.session.resolver import MAX_ADDRESSES, is_host_name, parse_resolver_answer, resolver_url

DOMAIN = "app.chat.xiaomi.net"


def answer(entries: object, *, state: object = "Ok", domain: str = DOMAIN) -> dict[str, Any]:
    return {"S": state, "R": {"wifi": {domain: entries, "relay.mimc.chat.xiaomi.net": ["10.0.0.9:80"]}}}


def refusal(body: Any) -> ResolverError:
    with pytest.raises(ResolverError) as caught:
        parse_resolver_answer(body, DOMAIN)
    assert caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(
    ("base", "start"),
    [
        ("https://resolver.example", "https://resolver.example"),
        ("http://resolver.example/", "http://resolver.example"),
        ("HTTP://127.0.0.1:8080", "HTTP://127.0.0.1:8080"),
        ("http://[::1]:8080/prefix/", "http://[::1]:8080/prefix"),
    ],
)
def test_the_url_asks_for_the_domain(base: str, start: str) -> None:
    assert resolver_url(base, DOMAIN) == f"{start}/gslb/?ver=4.0&type=wifi&list=app.chat.xiaomi.net"


@pytest.mark.parametrize(
    "base",
    [
        "",
        "resolver.example",
        "ftp://resolver.example",
        "https://",
        "https:///path",
        "https://resolver.example?list=x",
        "https://resolver.example?",
        "https://resolver.example#top",
        "https://user:password@resolver.example",
        "https://resolver .example",
        "https://resolver.example\n",
        "https://bücher.example",
        "https://resolver.example:99999",
        "https://resolver.example:0",
        "https://[::1",
        None,
        b"https://resolver.example",
    ],
)
def test_a_base_that_is_no_plain_url_is_refused_and_not_shown(base: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        resolver_url(base, DOMAIN)
    assert caught.value.where == "resolver URL"
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("domain", ["", "a b", "a,b", "a&list=b", None])
def test_a_domain_that_is_no_host_name_is_refused(domain: Any) -> None:
    with pytest.raises(LocalProtocolError, match="resolver domain: expected a host name, got"):
        resolver_url("https://resolver.example", domain)


@pytest.mark.parametrize(
    "name", ["localhost", "app.chat.xiaomi.net", "10.0.0.1", "xn--bcher-kva.example", "my_service", "a." * 126 + "b"]
)
def test_host_names(name: str) -> None:
    assert is_host_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a:80",
        "a/b",
        "[::1]",
        "::1",
        "ü",
        "a\n",
        "a" * 64,
        "a." * 126 + "ab",
    ],
)
def test_what_is_no_host_name(name: str) -> None:
    assert not is_host_name(name)


@pytest.mark.parametrize("state", ["Ok", "OK", "ok"])
@pytest.mark.parametrize("read", [lambda body: body, json.dumps, lambda body: json.dumps(body).encode()])
def test_addresses_are_taken_in_order(state: str, read: Any) -> None:
    body = read(answer(["10.0.0.2:5222", "10.0.0.1:80"], state=state))
    assert parse_resolver_answer(body, DOMAIN) == (("10.0.0.2", 5222), ("10.0.0.1", 80))


def test_an_address_may_be_of_ipv6() -> None:
    assert parse_resolver_answer(answer(["[::1]:5222", "[2001:DB8::1.2.3.4]:1"]), DOMAIN) == (
        ("::1", 5222),
        ("2001:db8::102:304", 1),
    )


def test_the_last_port_is_one() -> None:
    assert parse_resolver_answer(answer(["10.0.0.1:65535"]), DOMAIN) == (("10.0.0.1", 65535),)


def test_a_repeated_address_is_taken_once() -> None:
    body = answer(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80", "10.0.0.1:5222"])
    assert parse_resolver_answer(body, DOMAIN) == (("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.1", 5222))


def test_the_first_64_addresses_are_taken() -> None:
    entries: list[object] = [f"10.0.0.1:{port}" for port in range(1, MAX_ADDRESSES + 1)]
    found = parse_resolver_answer(answer([*entries, "10.0.0.1:65", "rubbish"]), DOMAIN)
    assert [port for _, port in found] == list(range(1, 65))


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "10.0.0.1",
        "10.0.0.1:",
        "10.0.0.1:0",
        "10.0.0.1:080",
        "10.0.0.1:65536",
        "10.0.0.1:100000",
        "10.0.0.256:80",
        "10.0.0:80",
        "010.0.0.1:80",
        " 10.0.0.1:80",
        "10.0.0.1:80\n",
        "frontend.example:80",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[10.0.0.1]:80",
        "[:::]:80",
        "[fe80::1%eth0]:80",
        "10.0.0.1:٨٠",
        80,
        None,
        ["10.0.0.1:80"],
    ],
)
def test_an_entry_that_is_no_address_is_named(entry: object) -> None:
    error = refusal(answer(["10.0.0.1:80", entry]))
    assert error.where == f"resolver answer.R.wifi.{DOMAIN}[1]"
    assert error.problem.startswith('expected "address:port" or "[address]:port", got ')


@pytest.mark.parametrize(
    ("body", "where", "problem"),
    [
        ({}, "S", 'expected "Ok", got nothing'),
        ({"S": "Err"}, "S", "expected \"Ok\", got 'Err'"),
        ({"S": 200}, "S", 'expected "Ok", got 200'),
        ({"S": "Ok"}, "R", "expected an object, got nothing"),
        ({"S": "Ok", "R": []}, "R", "expected an object, got a list of 0"),
        ({"S": "Ok", "R": {"wap": {}}}, "R.wifi", "expected an object, got nothing"),
        (answer("10.0.0.1:80"), f"R.wifi.{DOMAIN}", "expected a list of \"address:port\", got '10.0.0.1:80'"),
    ],
)
def test_what_is_wrong_is_named(body: object, where: str, problem: str) -> None:
    error = refusal(body)
    assert (error.where, error.problem) == (f"resolver answer.{where}", problem)


@pytest.mark.parametrize(("entries", "got"), [([], "a list of 0"), (None, "null")])
def test_a_domain_without_addresses_is_an_error(entries: object, got: str) -> None:
    assert refusal(answer(entries)).problem == f'expected a list of "address:port", got {got}'


def test_an_answer_without_the_domain_is_an_error() -> None:
    error = refusal(answer(["10.0.0.1:80"], domain="other.example"))
    assert str(error) == f'resolver answer.R.wifi.{DOMAIN}: expected a list of "address:port", got nothing'


def test_what_is_no_json_is_an_error() -> None:
    assert refusal("<html>").where == "resolver answer"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.from_regex(r"[0-9.]+:[0-9]+")),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.sampled_from(["S", "R", "wifi", DOMAIN]), inner)),
    max_leaves=10,
)


@given(st.one_of(JSON, JSON.map(answer), JSON.map(lambda value: {"S": "Ok", "R": value}), st.text(), st.binary()))
def test_nothing_undeclared_is_raised(body: Any) -> None:
    try:
        found = parse_resolver_answer(body, DOMAIN)
    except ResolverError:
        return
    assert 0 < len(found) <= MAX_ADDRESSES
