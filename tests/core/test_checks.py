"""The checks that several modules make."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimc_proto._checks import LATEST, MAX_ID, check_number, check_text, later, link_secret, read_strictly
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
    with pytest.raises(CryptoError, match=f"^security key: expected at most {most} bytes in base64, got {most + 1}"):
        link_secret(base64.b64encode(bytes(most + 1)).decode())


@pytest.mark.parametrize("value", [0, 1, 9])
def test_a_number_is_checked_for_its_range(value: int) -> None:
    assert check_number(value, "here", 10) == value


@pytest.mark.parametrize("value", [-1, 10, True, 1.0, "1", None, b"1", [1]], ids=repr)
def test_what_is_no_such_number_is_refused(value: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        check_number(value, "here", 10)
    assert caught.value.where == "here"
    assert caught.value.problem == f"expected a whole number from 0 to 9, got {value!r}"


def test_without_a_limit_a_number_has_63_bits() -> None:
    assert check_number((1 << 63) - 1, "here") == (1 << 63) - 1
    with pytest.raises(LocalProtocolError, match="to 9223372036854775807, got 9223372036854775808"):
        check_number(1 << 63, "here")


def test_a_wrong_number_does_not_fill_the_log() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        check_number("7" * 10_000, "here")  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


def test_time_goes_on() -> None:
    assert later(1.0, 2.5) == 2.5


@pytest.mark.parametrize("now", [1.0, 0.9, -5, -math.inf])
def test_a_clock_that_goes_back_stands_still(now: float) -> None:
    assert later(1.0, now) == 1.0


@pytest.mark.parametrize("now", [LATEST * 1.001, 1e300, math.inf])
def test_a_time_that_no_clock_shows_is_refused(now: float) -> None:
    with pytest.raises(LocalProtocolError, match=r"now: expected seconds below 1e\+12, got"):
        later(0.0, now)


def test_the_latest_time_of_all_is_a_time() -> None:
    assert later(0.0, LATEST) == LATEST


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="now: expected seconds, got NaN"):
        later(0.0, math.nan)


@pytest.mark.parametrize("now", ["1", None, 1j, []], ids=repr)
def test_a_time_that_is_no_number_is_refused(now: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        later(0.0, now)
    assert str(caught.value) == f"now: expected seconds as a number, got {now!r}"
    assert caught.value.__suppress_context__


@given(st.lists(st.floats(-1e12, 1e12) | st.integers(-(10**12), 10**12), min_size=1))
def test_of_all_times_seen_the_largest_counts(times: list[float]) -> None:
    now = -LATEST
    for time in times:
        now = later(now, time)
    assert now == max(times)
