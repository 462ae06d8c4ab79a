"""How fast an account may send."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_server.service import MessageRefused, ServiceConfig
from mimc_server.service.rates import Rates
from mimc_server.store import AckCode
from support.service_bed import Client, Town, pushed

from mimc_proto import LocalProtocolError

FAST, SLOW = AckCode.OK, AckCode.TOO_MANY


def limited(rate: int | None = 2, burst: int = 3) -> Town:
    return Town(ServiceConfig(account_rate=rate, account_burst=burst))


def codes(client: Client, count: int) -> list[int | None]:
    """The answers to so many messages, sent now."""
    return [client.ack_of(client.send("bob")).code for _ in range(count)]


def test_what_comes_faster_than_the_limit_is_refused_with_the_limit_in_words() -> None:
    town = limited()
    alice = town.login("alice")
    assert codes(alice, 5) == [FAST, FAST, FAST, SLOW, SLOW]
    text = alice.acks[-1].error_message or ""
    assert "at most 2 messages a second" in text
    assert "account_rate" in text
    assert "3 at once (account_burst)" in text
    assert [event.code for event in town.node.said(MessageRefused)] == [SLOW, SLOW]


def test_refused_messages_are_not_stored() -> None:
    town = limited(burst=1)
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob", b"1")
    alice.send("bob", b"2")
    assert bob.payloads == [b"1"]


def test_who_slows_down_gets_through_again_whatever_was_refused_before() -> None:
    town = limited()
    alice = town.login("alice")
    codes(alice, 20)
    town.run_for(0.49)
    assert codes(alice, 1) == [SLOW]
    town.run_for(0.02)
    assert codes(alice, 2) == [FAST, SLOW]
    town.run_for(1.0)
    assert codes(alice, 3) == [FAST, FAST, SLOW]


def test_after_a_pause_of_any_length_there_is_one_burst() -> None:
    town = limited()
    alice = town.login("alice")
    codes(alice, 3)
    town.run_for(60.0)
    assert codes(alice, 4) == [FAST, FAST, FAST, SLOW]


def test_the_limit_is_one_for_all_sessions_of_an_account() -> None:
    town = limited()
    pc, phone, other = town.login("alice", "pc"), town.login("alice", "phone"), town.login("carol")
    assert codes(pc, 2) == [FAST, FAST]
    assert codes(phone, 2) == [FAST, SLOW]
    assert codes(pc, 1) == [SLOW]
    assert codes(other, 3) == [FAST, FAST, FAST]


def test_a_new_login_is_no_new_start() -> None:
    town = limited()
    alice = town.login("alice")
    codes(alice, 3)
    alice.drop()
    assert codes(town.login("alice"), 1) == [SLOW]


def test_messages_of_all_kinds_count() -> None:
    town = limited(burst=4)
    group, unlimited = town.group("alice", "bob"), town.group("alice", unlimited=True)
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob")
    alice.send(group)
    alice.send_online("bob")
    assert alice.ack_of(alice.send_unlimited(unlimited)).code == FAST
    for packet_id in (alice.send("bob"), alice.send(group), alice.send_online("bob"), alice.send_unlimited(unlimited)):
        assert alice.ack_of(packet_id).code == SLOW
    assert len(bob.payloads) == 2


def test_messages_that_are_refused_for_other_reasons_count() -> None:
    town = limited(burst=2)
    alice = town.login("alice")
    for _ in range(2):
        assert alice.ack_of(alice.send(12345)).code == AckCode.NO_SUCH_GROUP
    assert codes(alice, 1) == [SLOW]


def test_receiving_costs_nothing() -> None:
    town = limited(burst=1)
    alice, bob = town.login("alice"), town.login("bob")
    alice.send("bob")
    bob.acknowledge()
    assert codes(bob, 1) == [FAST]


def test_the_applications_server_has_no_limit() -> None:
    town = limited(burst=1)
    for number in range(5):
        town.node.service.push(
            pushed(town, "alice", "bob", packet_id=f"push_{number}"), lambda _: None, town.now, town.wall_ms
        )
    assert len(town.login("bob").payloads) == 5


@pytest.mark.parametrize("rate", [None, 0])
def test_there_may_be_no_limit(rate: int | None) -> None:
    town = limited(rate, burst=1)
    assert codes(town.login("alice"), 50) == [FAST] * 50


def test_by_default_a_user_is_never_limited_and_a_flood_is() -> None:
    config = ServiceConfig()
    assert (config.account_rate, config.account_burst) == (1000, 2000)


@pytest.mark.parametrize("rate", [-1, 1.5, True, "fast", 1 << 31])
def test_a_rate_is_a_whole_number(rate: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"ServiceConfig\.account_rate: expected whole messages a second"):
        ServiceConfig(account_rate=rate)


@pytest.mark.parametrize("burst", [0, -1, 1.5])
def test_a_burst_is_at_least_one(burst: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"account_burst: expected a whole number from 1"):
        ServiceConfig(account_burst=burst)


def test_who_did_not_send_lately_takes_no_memory() -> None:
    town = Town(ServiceConfig(account_rate=2, account_burst=3, sweep_interval=5.0))
    rates = town.node.service._sending._rates
    assert rates is not None
    for account in ("alice", "carol", "dave"):
        town.login(account).send("bob")
    assert len(rates) == 3
    town.run_for(5.1)
    assert len(rates) == 0


def test_a_bucket_that_is_not_full_again_is_not_forgotten() -> None:
    rates = Rates(2.0, 3)
    for _ in range(3):
        rates.take(1, 0.0)
    rates.forget_full(1.49)
    assert len(rates) == 1
    rates.forget_full(1.5)
    assert len(rates) == 0


@given(
    st.integers(1, 5000),
    st.integers(1, 50),
    st.lists(st.floats(0.0, 1.0) | st.just(0.0), max_size=200),
    st.floats(0.0, 1e6),
)
def test_in_no_time_more_is_done_than_rate_and_burst_allow(
    rate: int, burst: int, pauses: list[float], start: float
) -> None:
    rates, now, taken = Rates(rate, burst), start, list[float]()
    for pause in pauses:
        now += pause
        if rates.take(1, now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) * rate + 0.01


@given(st.integers(1, 1000), st.integers(1, 20), st.integers(1, 200), st.floats(0.0, 1e6))
def test_who_keeps_to_the_rate_is_never_refused(rate: int, burst: int, count: int, start: float) -> None:
    rates = Rates(rate, burst)
    assert all(rates.take(1, start + number / rate) for number in range(count))
