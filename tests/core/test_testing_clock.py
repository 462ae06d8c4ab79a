"""The virtual clock: time moves only when a test says so, and callbacks come one after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mimc_proto import LocalProtocolError
from mimc_proto.testing import Alarm, Stuck, VirtualClock


def noted(clock: VirtualClock, notes: list[tuple[float, str]], name: str) -> Callable[[], None]:
    """A callback that writes down when it ran."""
    return lambda: notes.append((clock.now, name))


def test_callbacks_run_at_their_times_in_order() -> None:
    clock, notes = VirtualClock(100.0), list[tuple[float, str]]()
    clock.call_at(103.0, noted(clock, notes, "second"))
    clock.call_later(1.5, noted(clock, notes, "first"))
    clock.run_for(10.0)
    assert notes == [(101.5, "first"), (103.0, "second")]
    assert clock.now == 110.0


def test_callbacks_of_one_moment_run_in_the_order_in_which_they_were_scheduled() -> None:
    clock, notes = VirtualClock(), list[tuple[float, str]]()
    for name in "abc":
        clock.call_at(1.0, noted(clock, notes, name))
    clock.run_until(1.0)
    assert [name for _, name in notes] == ["a", "b", "c"]


def test_a_run_leaves_what_is_due_later() -> None:
    clock, notes = VirtualClock(), list[tuple[float, str]]()
    item = clock.call_at(5.0, noted(clock, notes, "late"), "the late one")
    clock.run_for(4.9)
    assert not notes
    assert clock.waiting == [item]
    assert repr(item) == "<the late one at 5 s>"


def test_what_is_cancelled_is_not_called() -> None:
    clock, notes = VirtualClock(), list[tuple[float, str]]()
    item = clock.call_at(1.0, noted(clock, notes, "never"))
    item.cancel()
    clock.run_for(2.0)
    item.call()
    assert not notes
    assert not item.waits
    assert repr(item) == "<a callback at 1 s, over>"
    assert clock.waiting == []


def test_a_past_time_runs_as_soon_as_possible_and_not_at_once() -> None:
    clock, notes = VirtualClock(10.0), list[tuple[float, str]]()
    clock.call_at(3.0, noted(clock, notes, "now"))
    assert not notes
    clock.run_for(0.0)
    assert notes == [(10.0, "now")]


def test_a_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"call_at: expected seconds, got NaN"):
        VirtualClock().call_at(float("nan"), lambda: None)


def test_the_wall_clock_moves_with_the_seconds() -> None:
    clock = VirtualClock(5.0, wall_ms=1_000)
    clock.run_for(2.5)
    assert clock.wall_ms == 3_500


@pytest.mark.parametrize("wall_ms", [0, 999, 10**15], ids=str)
def test_the_wall_clock_can_be_set_and_nothing_else_notices(wall_ms: int) -> None:
    clock, notes = VirtualClock(5.0, wall_ms=1_000), list[tuple[float, str]]()
    clock.call_at(8.0, noted(clock, notes, "on time"))
    clock.run_for(2.0)
    clock.set_wall(wall_ms)
    assert (clock.now, clock.wall_ms) == (7.0, wall_ms)
    clock.run_for(1.5)
    assert clock.wall_ms == wall_ms + 1_500
    assert notes == [(8.0, "on time")]


def test_a_wall_clock_counts_whole_milliseconds() -> None:
    with pytest.raises(LocalProtocolError, match=r"set_wall: expected whole milliseconds, got 1\.5"):
        VirtualClock().set_wall(1.5)  # type: ignore[arg-type]


def test_advancing_runs_nothing_and_what_fell_due_runs_late() -> None:
    clock, notes = VirtualClock(), list[tuple[float, str]]()
    clock.call_at(1.0, noted(clock, notes, "late"))
    clock.advance(60.0)
    assert not notes
    clock.run_for(0.0)
    assert notes == [(60.0, "late")]


def test_time_does_not_go_back() -> None:
    clock = VirtualClock(7.0)
    with pytest.raises(LocalProtocolError, match=r"expected seconds of at least 0, got -1"):
        clock.advance(-1)
    clock.run_until(3.0)
    assert clock.now == 7.0


def test_a_run_stops_when_its_predicate_holds() -> None:
    clock, notes = VirtualClock(), list[tuple[float, str]]()
    for second in (1.0, 2.0, 3.0):
        clock.call_at(second, noted(clock, notes, "tick"))
    clock.run_until(lambda: len(notes) == 2)
    assert clock.now == 2.0
    clock.run_until(lambda: True)
    assert len(notes) == 2


def test_waiting_in_vain_says_what_was_waiting() -> None:
    clock = VirtualClock()
    for number in range(7):
        clock.call_at(30.0 + number, lambda: None, f"timer {number}")
    with pytest.raises(Stuck) as caught:
        clock.run_until(lambda: False, timeout=10.0, what="alice to be online")
    assert str(caught.value) == (
        "expected alice to be online within 10 s; at 0 s these wait: timer 0 at 30 s, timer 1 at 31 s,"
        " timer 2 at 32 s, timer 3 at 33 s, timer 4 at 34 s and 2 more"
    )


def test_waiting_with_nothing_scheduled_says_so() -> None:
    with pytest.raises(Stuck, match=r"what the test waits for and nothing is scheduled .*at 0 s nothing waits"):
        VirtualClock().run_until(lambda: False)


def test_callbacks_without_end_end_in_an_error_that_names_them() -> None:
    clock = VirtualClock(max_steps=50)

    def again() -> None:
        clock.call_at(0.0, again, "a program that never rests")

    again()
    with pytest.raises(Stuck, match="expected the time 1 s within 50 callbacks; ran a program that never rests 50"):
        clock.run_for(1.0)


def test_runs_are_not_nested() -> None:
    clock = VirtualClock()
    clock.call_at(1.0, lambda: clock.run_for(1.0))
    with pytest.raises(LocalProtocolError, match="they are not nested"):
        clock.run_for(2.0)
    clock.run_for(2.0)
    assert clock.now == 3.0


def test_drivers_are_told_when_a_run_begins_until_they_are_not() -> None:
    clock, notes = VirtualClock(), list[tuple[float, str]]()
    stop = clock.before_run(noted(clock, notes, "begins"))
    clock.run_for(1.0)
    clock.run_for(1.0)
    stop()
    stop()
    clock.run_for(1.0)
    assert notes == [(0.0, "begins"), (1.0, "begins")]


def test_an_alarm_rings_at_the_time_set_last() -> None:
    clock, notes = VirtualClock(), list[tuple[float, str]]()
    alarm = Alarm(clock, noted(clock, notes, "rings"), "an alarm")
    for when in (5.0, 9.0, 7.0):
        alarm.set(when)
    assert len(clock.waiting) == 1
    clock.run_for(20.0)
    assert notes == [(7.0, "rings")]


def test_an_alarm_moves_earlier() -> None:
    clock, notes = VirtualClock(), list[tuple[float, str]]()
    alarm = Alarm(clock, noted(clock, notes, "rings"), "an alarm")
    alarm.set(5.0)
    alarm.set(2.0)
    clock.run_for(20.0)
    assert notes == [(2.0, "rings")]


def test_an_alarm_that_is_called_off_waits_for_nothing() -> None:
    clock = VirtualClock()
    alarm = Alarm(clock, lambda: pytest.fail("rang"), "an alarm")
    alarm.set(None)
    alarm.set(5.0)
    alarm.set(None)
    assert clock.waiting == []
    clock.run_for(20.0)
