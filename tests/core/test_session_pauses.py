"""How long a session waits before it tries again: rounds of addresses, refusals, kicks, and what ends the waiting."""

from __future__ import annotations

from itertools import pairwise

from support.session_bed import HERE, THERE, Bed, Hand

from mimc_proto.packets import Command
from mimc_proto.session.events import LinkLost, LoginRefused, Offline


def test_the_pause_between_rounds_has_an_end() -> None:
    bed = Bed(connect_backoff=1.0, longest_connect_backoff=4.0)
    bed.network.refuse(*HERE)
    bed.connect(20.0)
    assert [event.retry_in for event in bed.of(LinkLost)[:5]] == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_after_a_round_of_resolved_addresses_the_resolver_is_asked_again() -> None:
    bed = Bed(addresses=())
    bed.network.refuse(*HERE)
    bed.connect(1.0)
    bed.network.restore(*HERE)
    bed.run(5.0)
    assert bed.session.online
    assert len(bed.driver.resolver.asked) == len(bed.network.attempts)


def test_the_pause_after_a_refusal_holds_on_the_next_link_too() -> None:
    bed = Bed(connect_backoff=20.0).login()
    bed.run(20.0)
    bed.server.link.kick("maintenance")
    bed.server.refuse_next_bind("overloaded")
    bed.run(0.0)
    bed.clock.run_until(lambda: bed.of(LoginRefused))
    refused = bed.now
    bed.server.link.close()
    bed.clock.run_until(lambda: bed.session.online)
    assert bed.binds()[-1][1] == 2
    assert bed.now >= refused + 10.0


def test_any_other_kick_binds_again_on_the_same_link_after_the_login_gap() -> None:
    bed = Bed(stable_after=2.0).login()
    bed.run(3.0)
    bed.server.link.kick("maintenance")
    bed.run(30.0)
    assert bed.binds() == [(0.0, 1), (5.0, 1)]
    assert bed.of(Offline) == [Offline(error_type="maintenance", error_reason="maintenance")]


def test_a_kick_long_after_the_login_binds_again_at_once() -> None:
    bed = Bed().login()
    bed.run(100.0)
    bed.server.link.kick("maintenance")
    bed.run(0.0)
    assert bed.session.online


def test_the_login_gap_doubles_while_kicks_come_soon_after_the_login() -> None:
    bed = Bed().login()
    for _ in range(6):
        bed.server.link.kick("go away")
        bed.clock.run_until(lambda: not bed.driver.online)
        bed.clock.run_until(lambda: bed.driver.online)
    times = [at for at, _ in bed.binds()]
    assert [late - early for early, late in pairwise(times)] == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    bed.run(10.0)
    bed.server.link.kick("go away")
    bed.run(0.0)
    assert bed.session.online


def test_a_second_kick_in_a_row_does_not_end_the_doubling() -> None:
    hand = Hand().bound()
    hand.say(hand.peer.kick("go away"), hand.peer.kick("go away"))
    assert hand.session.get_timer() == 10.0


def test_the_login_gap_holds_when_the_link_is_lost_after_a_kick() -> None:
    bed = Bed().login()
    bed.server.link.kick("go away")
    bed.server.link.close()
    bed.run(60.0)
    assert bed.binds() == [(0.0, 1), (10.0, 2)]


def test_the_address_that_worked_is_tried_first_again() -> None:
    bed = Bed(addresses=(THERE, HERE)).login()
    bed.network.pipe.cut()
    bed.run(5.0)
    assert bed.session.online
    assert [item.host for item in bed.network.attempts] == [THERE[0], HERE[0], HERE[0]]


def test_back_off_starts_again_only_after_a_link_that_was_stable() -> None:
    bed = Bed().login()
    for stable in (False, False, True, False):
        bed.run(10.0 if stable else 9.9)
        bed.network.pipe.cut()
        bed.clock.run_until(lambda: not bed.driver.online)
        bed.clock.run_until(lambda: bed.driver.online)
    assert [event.retry_in for event in bed.of(LinkLost)] == [0.5, 1.0, 0.5, 1.0]


def test_back_off_starts_again_also_when_a_stable_login_ended_by_a_kick() -> None:
    bed = Bed()
    bed.network.refuse(*HERE)
    bed.connect(3.0)
    bed.network.restore(*HERE)
    bed.clock.run_until(lambda: bed.driver.online)
    bed.run(2.0)
    bed.run(10.0)
    bed.server.silence(Command.BIND)
    bed.server.link.kick("maintenance")
    bed.run(0.0)
    bed.server.link.close()
    bed.run(0.0)
    assert bed.of(LinkLost)[-1].retry_in == 0.5
