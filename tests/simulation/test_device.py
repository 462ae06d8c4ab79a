"""What devices do with sessions that have little room, and how a day that does not end well is found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from mimc_server.service import Service, SessionInfo
from mimc_server.simulation import CALM, LawBroken, Scenario, Simulation
from mimc_server.simulation.device import Device

from mimc_proto.session import ClientSession

SCENARIO = Scenario(clients=8, hours=0.2, seed=3, begin=10.0, activity=40.0, faults=5.0)
END = SCENARIO.seconds + CALM


def with_config(part: type[Any], **changes: Any) -> Callable[..., Any]:
    """Makes sessions or services with other settings."""

    def make(*args: Any, config: Any, **options: Any) -> Any:
        return part(*args, config=dataclasses.replace(config, **changes), **options)

    return make


def test_a_program_whose_session_has_no_room_sends_later_what_it_keeps() -> None:
    report = Simulation(SCENARIO, session=with_config(ClientSession, max_pending=1)).run()
    assert report.counts["no room to send"]
    assert report.counts["sent again by an outbox"]


def test_a_program_that_holds_few_messages_drops_what_nobody_stores_and_pulls_the_rest() -> None:
    small = with_config(ClientSession, high_messages=1, low_messages=1)
    report = Simulation(Scenario(clients=8, hours=0.2, seed=3, begin=10.0, activity=90.0), session=small).run()
    assert report.counts["messages dropped"]


def test_a_limit_notice_is_nothing_that_the_service_may_send() -> None:
    with pytest.raises(LawBroken, match="the service sent what it never should: TooManyWaiting"):
        Simulation(SCENARIO, service=with_config(Service, notice_after=1)).run()


def broken_at(when: float, do: Callable[[Device], object]) -> str:
    """What is wrong when this happens to the first device."""
    simulation = Simulation(SCENARIO)
    simulation.clock.call_at(when, lambda: do(simulation.devices[0]))
    with pytest.raises(LawBroken) as caught:
        simulation.run()
    return caught.value.problem


def gone(device: Device) -> None:
    device.wanted = False
    device.crash(power=False, token=True, resource=None)


def asleep(device: Device) -> None:
    device.sleep()


def reads_no_more(device: Device) -> None:
    device.reads = 1e9


def test_who_is_not_there_when_all_is_calm_is_missed() -> None:
    before_the_last_messages = END - 300.5
    assert "does not run, though all is calm" in broken_at(before_the_last_messages, asleep)
    told = broken_at(before_the_last_messages, gone)
    assert "though all is calm" in told
    assert "is not online in the end" in broken_at(END - 1.0, gone)


def test_who_is_not_through_with_his_messages_in_the_end_is_told() -> None:
    assert "does not rest in the end: 0 sends without a verdict" in broken_at(SCENARIO.seconds + 1.0, reads_no_more)


class Overfull(Service):
    """It says that more is on its way than may be."""

    def sessions(self) -> list[SessionInfo]:
        return [info.replace(waiting=1000) for info in super().sessions()]


class Busy(Service):
    """It says that something is never acknowledged."""

    def sessions(self) -> list[SessionInfo]:
        return [info.replace(waiting=1) for info in super().sessions()]


class ShortSighted(Service):
    """It does not see all its sessions."""

    def sessions(self) -> list[SessionInfo]:
        return super().sessions()[1:]


@pytest.mark.parametrize(
    ("service", "problem"),
    [
        (Overfull, "more is on its way to a session than its window"),
        (Busy, "the service does not rest in the end: 8 sessions have not acknowledged all, 8 links for 8 sessions"),
        (ShortSighted, "the service has other sessions than there are"),
    ],
)
def test_a_service_rests_in_the_end_with_the_sessions_that_there_are(service: type[Service], problem: str) -> None:
    with pytest.raises(LawBroken, match=problem):
        Simulation(SCENARIO, service=service).run()
