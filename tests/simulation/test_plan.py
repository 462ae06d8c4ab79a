"""Who lives in a simulated day and what goes wrong: drawn from the seed alone, and within its bounds."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from mimc_server.simulation import FaultKind, Scenario
from mimc_server.simulation.faults import LARGEST_JUMP, plan_faults
from mimc_server.simulation.population import DeviceKind, busyness, populate
from mimc_server.simulation.scenario import HOUR

from mimc_proto.errors import LocalProtocolError


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"clients": 1}, "Scenario.clients: expected a whole number from 2 to 10000, got 1"),
        ({"clients": 3.0}, "Scenario.clients: expected a whole number"),
        ({"hours": 0}, "Scenario.hours: expected a number from 0.1 to 168.0, got 0"),
        ({"seed": True}, "Scenario.seed: expected a whole number"),
        ({"faults": float("nan")}, "Scenario.faults: expected a number from 0.0 to 100.0, got nan"),
        ({"activity": -1.0}, "Scenario.activity: expected a number"),
        ({"begin": 25}, "Scenario.begin: expected a number from 0.0 to 24.0, got 25"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Scenario(**changes)
    assert str(caught.value).startswith(problem)


def test_a_scenario_says_how_to_run_it_again() -> None:
    assert Scenario().command == "mimc simulate --clients 200 --hours 24 --seed 1"
    scenario = Scenario(clients=5, hours=1.5, seed=3, begin=8.5, activity=2.0, faults=0.0)
    told = "--clients 5 --hours 1.5 --seed 3 --begin 8.5 --activity 2 --faults 0"
    assert scenario.command == f"mimc simulate {told}"


def test_hours_of_the_day_go_round() -> None:
    scenario = Scenario(begin=22.0)
    assert [scenario.hour_of_day(hours * HOUR) for hours in (0, 1.5, 2, 27)] == [22.0, 23.5, 0.0, 1.0]


def test_chances_are_told_apart_by_what_they_are_for() -> None:
    draws = {(seed, what): Scenario(seed=seed).chance(what).random() for seed in (1, 2) for what in ("a", "b")}
    assert len(set(draws.values())) == 4
    assert Scenario(seed=1).chance("a").random() == draws[1, "a"]


@pytest.mark.parametrize("hours", [0.3, 1.0, 24.0, 72.0])
@pytest.mark.parametrize("times", [0.5, 1.0, 20.0])
def test_faults_of_every_kind_are_over_when_the_traffic_is(hours: float, times: float) -> None:
    for seed in range(5):
        scenario = Scenario(hours=hours, seed=seed, faults=times)
        faults = plan_faults(scenario)
        assert {fault.kind for fault in faults} == set(FaultKind)
        assert [fault.begin for fault in faults] == sorted(fault.begin for fault in faults)
        for fault in faults:
            assert 0.0 < fault.begin <= fault.end <= scenario.seconds
            assert 0.0 <= fault.share <= 0.6
            assert fault.kind is not FaultKind.WALL_CLOCK or abs(fault.size) <= LARGEST_JUMP
        for kind in set(FaultKind) - {FaultKind.SERVICE_DOWN}:
            alike = [fault for fault in faults if fault.kind is kind]
            assert all(one.end <= next_one.begin for one, next_one in itertools.pairwise(alike))


def test_every_second_crash_of_the_service_comes_while_the_store_is_slow() -> None:
    faults = plan_faults(Scenario(seed=3))
    slow = [(fault.begin, fault.end) for fault in faults if fault.kind is FaultKind.SLOW_STORE]
    crashes = [fault for fault in faults if fault.kind is FaultKind.SERVICE_DOWN]
    meanwhile = [crash for crash in crashes if any(begin < crash.begin < end for begin, end in slow)]
    assert 2 <= len(meanwhile) < len(crashes)


def test_no_faults_are_planned_where_none_are_wanted() -> None:
    assert plan_faults(Scenario(faults=0.0)) == []


@pytest.mark.parametrize("clients", [2, 3, 10, 200])
def test_there_are_as_many_clients_as_the_scenario_says(clients: int) -> None:
    for seed in range(5):
        scenario = Scenario(clients=clients, seed=seed)
        there = populate(scenario)
        assert len(there.devices) == len({device.name for device in there.devices}) == clients
        accounts = {device.account for device in there.devices}
        assert accounts == {*there.friends, *there.bots}
        for account, friends in there.friends.items():
            assert account not in friends
            assert set(friends) < set(there.friends) or len(there.friends) == 1
        for group in there.groups:
            assert set(group.members) <= accounts
            assert len(set(group.members)) == len(group.members)
        for device in there.devices:
            assert (device.kind is DeviceKind.BOT) == (device.account in there.bots) == (device.reads == 0.0)
            for first, last in (*device.present, *device.suspended):
                assert 0.0 <= first < last <= scenario.seconds


def test_a_population_has_everybody_and_the_same_seed_gives_the_same() -> None:
    scenario = Scenario(seed=2)
    there = populate(scenario)
    assert {device.kind for device in there.devices} == set(DeviceKind)
    assert {group.unlimited for group in there.groups} == {True, False}
    assert any(device.slow for device in there.devices)
    assert any(device.suspended for device in there.devices)
    assert len({device.account for device in there.devices}) < len(there.devices)
    assert there == populate(scenario)


def test_people_are_busiest_in_the_evening_and_not_at_night() -> None:
    assert busyness(20.0) == 1.0
    assert busyness(3.0) == 0.01
    assert busyness(23.5) == pytest.approx(0.11)
    assert busyness(9.5) == pytest.approx(0.75)
