"""A simulated day: every law holds, whatever goes wrong, and the same seed gives the same trace in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mimc_server.simulation import CALM, FaultKind, LawBroken, Scenario, Simulation
from mimc_server.simulation.trace import AT_ONCE
from mimc_server.store import SqliteStore

SMALL = Scenario(clients=12, hours=0.3, seed=5, begin=10.0, activity=8.0, faults=10.0)

RUN = """
from mimc_server.simulation import Scenario, Simulation
print(Simulation(Scenario(clients=12, hours=0.3, seed=5, begin=10.0, activity=8.0, faults=10.0)).run().trace_sha256)
"""


HAPPENS = (
    "connections broken: cut",
    "connections broken: half-open",
    "connections broken: unnoticed",
    "connections broken: silent",
    "crashes of clients",
    "reconnects",
    "timeouts",
    "failed",
    "rejected",
    "given again",
    "repeats",
    "repeats known by the store",
    "sent again by an outbox",
    "unacknowledged at a crash",
    "delivered: P2P",
    "delivered: P2T",
    "delivered: ONLINE",
    "delivered: UNLIMITED",
    "logged out: another link took over",
    "logged out: it was kicked",
    "logged out: its token expired, or was revoked",
    "sessions ended: KICKED",
)
"""Whatever else the seeds bring: without these the laws would have little to say."""


def test_every_law_holds_in_three_hours_full_of_trouble() -> None:
    counts: Counter[str] = Counter()
    for seed in (1, 2, 3):
        report = Simulation(Scenario(clients=60, hours=1.0, seed=seed, begin=10.0, activity=2.0, faults=8.0)).run()
        assert {fault.kind for fault in report.faults} == set(FaultKind)
        counts.update(report.counts)
    assert all(counts[f"faults: {kind.value}"] >= 3 for kind in FaultKind)
    for what in HAPPENS:
        assert counts[what], what
    assert counts["acknowledged"] > 600
    assert counts["delivered: P2P"] + counts["delivered: P2T"] >= counts["acknowledged"] / 2


def test_people_go_home_look_in_and_are_suspended_and_every_law_holds() -> None:
    noon = Simulation(Scenario(clients=20, hours=1.2, seed=1, begin=11.7, activity=2.0)).run()
    evening = Simulation(Scenario(clients=20, hours=2.0, seed=1, begin=16.5, activity=2.0)).run()
    assert noon.counts["timeouts"]
    assert evening.counts["sessions ended: LOGGED_OUT"] > 3
    online = evening.minutes["online"]
    assert max(online[:20]) > 1.2 * max(online[100:120])
    assert online[-1] == 20  # in the calm


def test_without_faults_nothing_is_lost_refused_or_late() -> None:
    report = Simulation(Scenario(clients=30, hours=1.0, seed=4, begin=14.0, activity=4.0, faults=0.0)).run()
    counts = report.counts
    assert report.faults == ()
    assert counts["acknowledged"] > 200
    for what in ("links lost", "timeouts", "crashes of clients", "given again", "rejected"):
        assert not counts[what], what
    nobody_was_there = counts["failed: TIMEOUT"] + counts["failed: CLOSED"]  # of online messages
    assert counts["acknowledged"] + nobody_was_there == counts["said"]
    assert nobody_was_there <= counts["said: ONLINE"]
    assert report.times["delivery"].median < 0.5


def test_the_same_seed_gives_the_same_trace_in_every_process() -> None:
    found = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout.strip())
    assert found == {Simulation(SMALL).run().trace_sha256}


def test_another_seed_gives_another_trace() -> None:
    one = Simulation(Scenario(clients=4, hours=0.1, seed=1)).run()
    other = Simulation(Scenario(clients=4, hours=0.1, seed=2)).run()
    assert one.trace_sha256 != other.trace_sha256


def test_a_store_on_disk_gives_the_same_trace_as_one_in_memory(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    assert Simulation(SMALL, store=store).run().trace_sha256 == Simulation(SMALL).run().trace_sha256
    store.close()


def test_progress_is_told_for_each_minute_and_the_trace_is_written_as_it_grows() -> None:
    scenario = Scenario(clients=3, hours=0.1, seed=1)
    minutes: list[float] = []
    written: list[str] = []
    simulation = Simulation(scenario, write=written.append)
    report = simulation.run(minutes.append)
    assert minutes == [60.0 * number for number in range(1, 32)]
    lines = "".join(written).splitlines()
    assert len(lines) == report.trace_lines
    assert sum('"what":"minute"' in line for line in lines) == 31


def test_a_trace_that_cannot_be_written_breaks_no_law_and_is_told_in_the_end() -> None:
    def full(_: str) -> None:
        raise OSError(28, "No space left on device")

    simulation = Simulation(Scenario(clients=12, hours=0.3, seed=1, begin=10.0, activity=40.0), write=full)
    with pytest.raises(OSError, match="No space left"):
        simulation.run()
    assert simulation.clock.now == simulation.scenario.seconds + CALM
    assert simulation.trace.lines > 2 * AT_ONCE


def test_a_broken_law_says_how_to_see_it_again_and_what_came_before() -> None:
    simulation = Simulation(SMALL)
    simulation.clock.call_at(600.0, lambda: simulation.kick("nobody", "", revoke=False))
    with pytest.raises(LawBroken) as caught:
        simulation.run()
    broken = caught.value
    assert broken.problem.startswith("expected machines that never raise, got LocalProtocolError: ")
    assert broken.at == 600.0
    text = str(broken)
    command = "mimc simulate --clients 12 --hours 0.3 --seed 5 --begin 10 --activity 8 --faults 10"
    assert f"after 600.000000 virtual seconds of: {command}\n" in text
    assert text.endswith(broken.tail[-1])
    assert len(broken.tail) > 20
    assert simulation.trace_sha256
