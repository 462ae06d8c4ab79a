"""Delays that double, with full jitter."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimc_proto.config import SessionConfig
from mimc_proto.session.backoff import Backoff, Chance, LoginPace


class Fixed:
    """Chance that is none."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value

    def getrandbits(self, k: int, /) -> int:
        return int(self.value * (1 << k))


def delays(backoff: Backoff, count: int) -> list[float]:
    return [backoff.next() for _ in range(count)]


def test_the_longest_possible_delay_doubles_up_to_its_limit() -> None:
    assert delays(Backoff(1.0, 30.0, Fixed(0.5)), 7) == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_a_delay_may_be_nothing_at_all() -> None:
    assert delays(Backoff(1.0, 30.0, Fixed(0.0)), 3) == [0.0, 0.0, 0.0]


def test_after_a_success_it_starts_again_from_the_beginning() -> None:
    backoff = Backoff(1.0, 30.0, Fixed(0.5))
    delays(backoff, 5)
    backoff.reset()
    assert delays(backoff, 2) == [0.5, 1.0]


def test_a_limit_below_twice_the_first_is_kept() -> None:
    assert delays(Backoff(2.0, 3.0, Fixed(0.5)), 3) == [1.0, 1.5, 1.5]


def test_equal_limits_do_not_grow() -> None:
    assert delays(Backoff(2.0, 2.0, Fixed(0.5)), 3) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("chance", [random.Random(1), random.SystemRandom()], ids=["Random", "SystemRandom"])
def test_pythons_own_sources_are_chance(chance: Chance) -> None:
    assert 0 <= Backoff(1.0, 1.0, chance).next() < 1


@given(st.floats(0.001, 60), st.floats(1, 100), st.integers(0, 1 << 32), st.integers(1, 60))
def test_no_delay_is_longer_than_its_turn_allows(first: float, factor: float, seed: int, failures: int) -> None:
    longest = first * factor
    found = delays(Backoff(first, longest, random.Random(seed)), failures)
    assert all(0 <= delay <= min(first * 2**turn, longest) for turn, delay in enumerate(found))


def pace(**settings: float) -> LoginPace:
    return LoginPace(SessionConfig(**settings), Fixed(0.5), 100.0)  # type: ignore[arg-type]


def test_the_first_bind_may_go_out_at_once() -> None:
    assert pace().bind_at == 100.0


def test_refusals_back_off_until_one_is_accepted() -> None:
    it = pace(connect_backoff=2.0)
    waits = []
    for _ in range(3):
        it.refused(100.0)
        waits.append(it.bind_at - 100.0)
    it.accepted()
    it.refused(100.0)
    assert [*waits, it.bind_at - 100.0] == [1.0, 2.0, 4.0, 1.0]


def test_the_gap_after_a_kick_counts_from_the_last_bind() -> None:
    it = pace(login_gap=5.0, stable_after=10.0)
    it.bound(100.0)
    it.kicked(102.0, 10.0, token_refused=False)
    assert it.bind_at == 105.0
    it.kicked(110.0, 10.0, token_refused=False)
    assert it.bind_at == 110.0


def test_the_gap_doubles_while_kicks_come_early_and_has_a_limit() -> None:
    it = pace(login_gap=5.0, longest_login_gap=60.0, stable_after=10.0)
    waits = []
    for online_for in (9.9, 0.0, None, 1.0, 1.0, 1.0, 10.0):
        it.bound(100.0)
        it.kicked(100.0, online_for, token_refused=False)
        waits.append(it.bind_at - 100.0)
    assert waits == [10.0, 20.0, 20.0, 40.0, 60.0, 60.0, 5.0]


def test_one_token_may_expire_early_without_any_wait_but_not_two() -> None:
    it = pace(login_gap=5.0, stable_after=10.0)
    it.bound(100.0)
    it.kicked(100.5, 0.5, token_refused=True)
    assert it.bind_at == 100.0
    it.kicked(100.5, 0.5, token_refused=True)
    assert it.bind_at == 120.0


def test_a_kick_that_crosses_a_bind_has_the_next_wait_for_its_answer() -> None:
    it = pace(login_timeout=4.0)
    it.bound(100.0)
    it.crossed()
    assert it.bind_at == 104.0
    it.answered(101.0)
    assert it.bind_at == 101.0


def test_times_count_from_the_bind_that_went_out_last() -> None:
    it = pace(login_timeout=4.0, login_gap=5.0)
    it.bound(107.0)
    it.crossed()
    assert it.bind_at == 111.0
    it.kicked(108.0, None, token_refused=False)
    assert it.bind_at == 112.0


def test_a_kick_before_any_bind_has_the_first_wait_from_the_start() -> None:
    it = pace(login_gap=5.0)
    it.answered(101.0)
    assert it.bind_at == 100.0
    it.kicked(102.0, None, token_refused=False)
    assert it.bind_at == 105.0


def test_a_kick_that_crosses_nothing_has_nobody_wait() -> None:
    it = pace()
    it.crossed()
    it.bound(100.0)
    it.answered(101.0)
    it.crossed()
    assert it.bind_at == 100.0


def test_an_answer_that_is_late_does_not_shorten_the_gap_after_a_kick() -> None:
    it = pace(login_gap=5.0)
    it.bound(100.0)
    it.crossed()
    it.kicked(100.0, None, token_refused=False)
    it.answered(101.0)
    assert it.bind_at == 105.0
