"""The heap of alarms."""

from __future__ import annotations

import weakref

from mimc_server.service.timers import Alarm, Timers


def alarms(*names: str) -> tuple[Timers, list[str], list[Alarm]]:
    rung: list[str] = []
    return Timers(), rung, [Alarm(lambda name=name: rung.append(name)) for name in names]  # type: ignore[misc]


def test_alarms_ring_in_the_order_of_their_times() -> None:
    timers, rung, (a, b, c) = alarms("a", "b", "c")
    for alarm, when in ((a, 3.0), (b, 1.0), (c, 2.0)):
        timers.set(alarm, when)
    timers.ring(2.5)
    assert rung == ["b", "c"]
    assert timers.next() == 3.0


def test_an_alarm_rings_once() -> None:
    timers, rung, (a,) = alarms("a")
    timers.set(a, 1.0)
    timers.ring(1.0)
    timers.ring(9.0)
    assert rung == ["a"]


def test_an_alarm_that_was_moved_later_does_not_ring_early() -> None:
    timers, rung, (a,) = alarms("a")
    timers.set(a, 1.0)
    timers.set(a, 5.0)
    assert timers.next() == 5.0
    timers.ring(4.0)
    assert rung == []
    timers.ring(5.0)
    assert rung == ["a"]


def test_an_alarm_that_was_moved_earlier_rings_once_and_early() -> None:
    timers, rung, (a,) = alarms("a")
    timers.set(a, 5.0)
    timers.set(a, 1.0)
    timers.ring(1.0)
    timers.ring(9.0)
    assert rung == ["a"]
    assert timers.next() is None


def test_an_alarm_that_was_taken_back_does_not_ring() -> None:
    timers, rung, (a,) = alarms("a")
    timers.set(a, 1.0)
    timers.set(a, None)
    assert timers.next() is None
    timers.ring(9.0)
    assert rung == []


def test_an_alarm_that_was_taken_back_can_be_set_again() -> None:
    timers, rung, (a,) = alarms("a")
    timers.set(a, 5.0)
    timers.set(a, None)
    timers.set(a, 3.0)
    timers.ring(3.0)
    timers.ring(5.0)
    assert rung == ["a"]


def test_an_alarm_that_was_taken_back_by_one_that_rang_before_it_does_not_ring() -> None:
    timers, rung, (b, c) = alarms("b", "c")

    def act() -> None:
        timers.set(b, None)
        timers.set(c, 5.0)

    a = Alarm(act)
    for alarm, when in ((a, 1.0), (b, 2.0), (c, 3.0)):
        timers.set(alarm, when)
    timers.ring(4.0)
    assert rung == []
    timers.ring(5.0)
    assert rung == ["c"]


def test_an_alarm_that_sets_itself_to_the_past_waits_for_the_next_call() -> None:
    timers = Timers()
    rung: list[float] = []

    def act() -> None:
        rung.append(1.0)
        timers.set(alarm, 0.0)

    alarm = Alarm(act)
    timers.set(alarm, 1.0)
    timers.ring(1.0)
    assert rung == [1.0]
    assert timers.next() == 0.0


def test_alarms_that_were_taken_back_are_not_kept_until_they_would_have_rung() -> None:
    timers = Timers()
    timers.set(Alarm(lambda: None), 86_400.0)
    owners = [Owner() for _ in range(1000)]
    alive = weakref.WeakSet(owners)
    while owners:
        alarm = Alarm(owners.pop().act)
        timers.set(alarm, 86_401.0)
        timers.set(alarm, None)
    assert len(alive) < 100
    assert timers.next() == 86_400.0


class Owner:
    """What an alarm would keep alive."""

    def act(self) -> None:
        """Nothing."""
