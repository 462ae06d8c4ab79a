"""Addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_server.settings import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5222", Address("127.0.0.1", 5222)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
        ("[fe80::1:2.3.4.5]:80", Address("fe80::1:2.3.4.5", 80)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5222",
        "localhost",
        ":5222",
        "127.0.0.1:",
        "a:x",
        "a:65536",
        "::1:5222",
        "a b:1",
        "[]:1",
        "\x00:1",
        "a\x1b[0m:1",
    ],
)
def test_what_is_no_address_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected HOST:PORT such as 127\.0\.0\.1:5222, got '"):
        parse_address(text)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_is_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address


def test_what_listens_everywhere_is_reached_on_this_machine() -> None:
    assert [str(Address(host, 80).local) for host in ("0.0.0.0", "::", "10.0.0.7")] == [
        "127.0.0.1:80",
        "[::1]:80",
        "10.0.0.7:80",
    ]
