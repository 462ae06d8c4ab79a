"""The checks that several modules make."""

from __future__ import annotations

import base64

import pytest

from mimc_proto._checks import MAX_ID, check_text, link_secret, read_strictly
from mimc_proto.crypto import MAX_KEY
from mimc_proto.errors import CryptoError, LocalProtocolError, RemoteProtocolError
from mimc_proto.packets import Header


def test_a_text_is_checked_for_its_bytes() -> None:
    assert check_text("é" * 5, "here", 10) == "é" * 5
    assert check_text("", "here", 10, empty=True) == ""
    for value, problem in {
        "": "expected 1 to 10 bytes, got 0",
        "é" * 6: "expected 1 to 10 bytes, got 12",
        "\ud800": "expected text that UTF-8 can carry, got '\\ud800'",
        7: "expected text that UTF-8 can carry, got 7",
    }.items():
        with pytest.raises(LocalProtocolError) as caught:
            check_text(value, "here", 10)  # type: ignore[arg-type]
        assert (caught.value.where, caught.value.problem) == ("here", problem)
    with pytest.raises(LocalProtocolError, match="expected 0 to 3 bytes, got 4"):
        check_text("abcd", "here", 3, empty=True)


def test_a_secret_text_is_never_shown() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        check_text("secret\ud800", "here", 10, secret=True)
    assert caught.value.problem == "expected text that UTF-8 can carry, got a str"


def test_what_a_link_cannot_do_without_is_read_strictly() -> None:
    assert read_strictly(Header, b"*\x01X") == Header(cmd="X")
    with pytest.raises(RemoteProtocolError) as caught:
        read_strictly(Header, b"*\x05X")
    assert (caught.value.where, caught.value.offset) == ("ClientHeader", 1)


def test_the_longest_security_key_leaves_room_for_the_longest_id() -> None:
    most = MAX_KEY - MAX_ID - 1
    assert link_secret(base64.b64encode(bytes(most)).decode()) == bytes(most) + b"_"
    with pytest.raises(CryptoError, match=f"expected at most {most} bytes in base64, got {most + 1}"):
        link_secret(base64.b64encode(bytes(most + 1)).decode())
