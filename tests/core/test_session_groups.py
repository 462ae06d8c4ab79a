"""Unlimited groups: pinged while somebody is online, restored after a reconnect, each message once."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import APP_ID, ME, PACKAGE

from mimc_proto._requests import MAX_PACKET, RequestEncoder
from mimc_proto.config import SessionConfig
from mimc_proto.errors import LocalProtocolError
from mimc_proto.packets import Group, UcPing
from mimc_proto.session.groups import MOST_IN_PING, UnlimitedGroups


def groups(*joined: int, **settings: Any) -> UnlimitedGroups:
    return UnlimitedGroups(APP_ID, joined, SessionConfig(**settings))


def ping_of(*topic_ids: int) -> UcPing:
    return UcPing(groups=tuple(Group(app_id=APP_ID, topic_id=topic_id) for topic_id in topic_ids))


def test_the_groups_of_a_user_are_remembered_in_order_and_once() -> None:
    assert groups(3, 1, 3).joined == (3, 1)


@pytest.mark.parametrize("wrong", [-1, 1 << 64, "7", True, None, 1.0])
def test_a_group_is_a_number_of_64_bits(wrong: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        groups(wrong)
    assert caught.value.where == "joined_groups"


def test_there_is_a_limit_to_the_groups_one_begins_with() -> None:
    assert groups(1, 2, max_groups=2).full()
    with pytest.raises(LocalProtocolError, match=r"joined_groups: expected at most 2 \(max_groups\), got 3"):
        groups(1, 2, 3, max_groups=2)


def test_there_is_room_until_the_limit_is_reached() -> None:
    mine = groups(1, max_groups=2)
    assert not mine.full()
    mine.add(2, now=0.0)
    assert mine.full()


def test_nobody_is_pinged_before_somebody_is_online() -> None:
    assert groups(1).ping_at is None


def test_after_a_login_the_server_learns_the_groups_at_once() -> None:
    mine = groups(1, 2)
    mine.online(now=5.0)
    assert mine.ping_at == 5.0
    assert mine.pings(now=5.0) == [ping_of(1, 2)]


def test_then_they_are_pinged_every_ten_seconds() -> None:
    mine = groups(1)
    mine.online(now=5.0)
    mine.pings(now=5.0)
    assert mine.ping_at == 15.0
    mine.pings(now=16.0)
    assert mine.ping_at == 26.0


def test_the_interval_can_be_set() -> None:
    mine = groups(1, group_ping_interval=50.0)
    mine.pings(now=0.0)
    assert mine.ping_at == 50.0


def test_who_is_in_no_group_pings_none() -> None:
    mine = groups()
    mine.online(now=5.0)
    assert mine.ping_at is None


def test_without_a_link_there_is_nobody_to_ping() -> None:
    mine = groups(1)
    mine.online(now=5.0)
    mine.offline()
    assert mine.ping_at is None
    mine.online(now=9.0)
    assert mine.ping_at == 9.0


def test_the_first_group_starts_the_pings_and_further_ones_do_not_delay_them() -> None:
    mine = groups()
    mine.online(now=0.0)
    mine.add(7, now=3.0)
    assert mine.ping_at == 13.0
    mine.add(8, now=9.0)
    assert mine.ping_at == 13.0
    assert mine.pings(now=13.0) == [ping_of(7, 8)]


def test_a_group_that_was_left_is_pinged_no_more() -> None:
    mine = groups(1, 2)
    mine.online(now=0.0)
    assert mine.remove(1)
    assert mine.joined == (2,)
    assert mine.ping_at == 0.0


def test_with_the_last_group_the_pings_end() -> None:
    mine = groups(1)
    mine.online(now=0.0)
    assert mine.remove(1)
    assert mine.ping_at is None


def test_leaving_a_group_one_is_not_in_changes_nothing() -> None:
    mine = groups(1)
    mine.online(now=0.0)
    assert not mine.remove(2)
    assert (mine.joined, mine.ping_at) == ((1,), 0.0)


def test_more_groups_than_one_packet_carries_are_pinged_in_several() -> None:
    first = (1 << 64) - 2 * MOST_IN_PING - 1
    mine = groups(*range(first, first + 2 * MOST_IN_PING + 1), max_groups=10_000)
    pings = mine.pings(now=0.0)
    assert [len(ping.groups) for ping in pings] == [MOST_IN_PING, MOST_IN_PING, 1]
    assert tuple(group.topic_id for ping in pings for group in ping.groups) == mine.joined
    longest = ME.replace(account="a" * 1024, app_id=(1 << 63) - 1)
    assert all(len(RequestEncoder(longest, PACKAGE).encode(ping, "p" * 128)) <= MAX_PACKET for ping in pings)


def test_a_message_is_new_once_in_each_group() -> None:
    mine = groups()
    assert [mine.is_new(1, 9), mine.is_new(2, 9), mine.is_new(1, 9), mine.is_new(1, 10)] == [True, True, False, True]


def test_a_message_without_a_sequence_cannot_be_known() -> None:
    mine = groups()
    assert mine.is_new(1, None)
    assert mine.is_new(1, None)


def test_repeats_are_known_among_the_last_few_only() -> None:
    mine = groups(remembered=2)
    assert all(mine.is_new(1, sequence) for sequence in (1, 2, 3))
    assert not mine.is_new(1, 3)
    assert mine.is_new(1, 1)
