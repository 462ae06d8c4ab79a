"""Simulated days, one seed after the other, until a law is broken: a stage of ``make prove``.

Each is another day: so many things go wrong, so much is said, in memory or in SQLite, as its seed says. A line for each
day has what `mimc simulate` needs to show it again. Exits 1 at the first day that breaks a law.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from mimc_server.simulation import LawBroken, Scenario, Simulation
from mimc_server.store import SqliteStore

FAULTS, ACTIVITY = (0.3, 1.0, 1.0, 3.0), (0.5, 1.0, 2.0)
SQLITE = 0.1
"""Of all days: it takes longer."""


def day(seed: int, clients: int, hours: float) -> bool:
    """Whether every law held on the day of this seed; says so."""
    chance, began = Random(seed), time.monotonic()
    faults, activity, on_disk = chance.choice(FAULTS), chance.choice(ACTIVITY), chance.random() < SQLITE
    scenario = Scenario(clients=clients, hours=hours, seed=seed, faults=faults, activity=activity)
    again = scenario.command + " --store sqlite" * on_disk
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder, "simulation.db")) if on_disk else None
        try:
            Simulation(scenario, store=store).run()
        except LawBroken as broken:
            print(f"a law is broken: {again}\n{broken}", flush=True)
            return False
        finally:
            if store is not None:
                store.close()
    print(f"every law held in {time.monotonic() - began:.0f} s: {again}", flush=True)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """1 if a law was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the first day (default: %(default)s)")
    parser.add_argument("--days", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--hours", type=float, default=24.0, help="of each day (default: %(default)s)")
    options = parser.parse_args(arguments)
    seeds = range(options.seed, options.seed + options.days)
    if all(day(seed, options.clients, options.hours) for seed in seeds):
        print(f"{options.days} days from seed {options.seed} on: every law held")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
