"""The long runs, one after the other, each with its own seed: ``make prove``.

What was done is kept in ``.prove/state.json``: a run that is broken off goes on with the stage it was at, which
resumes by itself where it can. ``--again`` forgets all that; names of stages run only those. Each stage's output goes
to ``.prove/STAGE.log``. Exits 1 if a stage has failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".prove"
STATE = WORK / "state.json"
PYTHON = sys.executable


@dataclasses.dataclass(frozen=True)
class Stage:
    """A command; ``{seed}`` in it is the stage's seed, ``examples`` go to the tests as MIMC_EXAMPLES."""

    about: str
    command: tuple[str, ...]
    examples: int | None = None


def tests(*arguments: str) -> tuple[str, ...]:
    """The command for some tests."""
    return (PYTHON, "-m", "pytest", "--numprocesses=2", "--quiet", *arguments)


STAGES = {
    "model": Stage(
        "property tests and the models with other examples in every run",
        tests("-m", "hypothesis", "--hypothesis-seed={seed}"),
        1000,
    ),
    "adapters": Stage("a million messages at slow consumers, links cut at every byte", tests("tests/transports"), 1000),
    "attacks": Stage("garbage connections by the ten thousand, and other attacks", tests("tests/server"), 1000),
    "kills": Stage("200 kills of a server under load", tests("tests/kills"), 1000),
    "fuzz": Stage("ten million mutated inputs", (PYTHON, "fuzz/prove.py")),
    "simulation": Stage("days of hundreds of clients", (PYTHON, "tools/days.py", "--seed={seed}")),
    "soak": Stage("an hour of users on all adapters, with memory curves", (PYTHON, "tools/soak.py", "--seed={seed}")),
}
"""In the order in which they run."""


def load(again: bool) -> dict[str, Any]:
    """What was done before: by stage, its seed and how it ended."""
    if again or not STATE.exists():
        return {}
    state: dict[str, Any] = json.loads(STATE.read_text())
    return state


def run(name: str, stage: Stage, seed: int) -> tuple[bool, float]:
    """Whether it succeeded, and in how many seconds."""
    log, started = WORK / f"{name}.log", time.monotonic()
    environment = dict(os.environ)
    if stage.examples is not None:
        environment["MIMC_EXAMPLES"] = os.environ.get("MIMC_EXAMPLES", str(stage.examples))
    with log.open("w") as output:
        command = [part.format(seed=seed) for part in stage.command]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    return done.returncode == 0, time.monotonic() - started


def main() -> int:
    """1 if a stage has failed."""
    about = "\n".join(f"  {name:12}{stage.about}" for name, stage in STAGES.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nstages:\n{about}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", nargs="*", metavar="STAGE", help="only these, also when they have passed before")
    parser.add_argument("--again", action="store_true", help="all from the beginning")
    options = parser.parse_args()
    unknown = [name for name in options.stage if name not in STAGES]
    if unknown:
        parser.error(f"expected stages out of {', '.join(STAGES)}, got {', '.join(unknown)}")
    WORK.mkdir(exist_ok=True)
    state, failed = load(options.again), []
    for name in options.stage or STAGES:
        kept = state.setdefault(name, {"seed": random.SystemRandom().getrandbits(32), "passed": False})
        if kept["passed"] and not options.stage:
            print(f"{name}: passed before, in {kept['seconds']:.0f} s with seed {kept['seed']}")
            continue
        print(f"{name}: {STAGES[name].about}; seed {kept['seed']}, log {WORK.name}/{name}.log", flush=True)
        STATE.write_text(json.dumps(state, indent=2))
        kept["passed"], seconds = run(name, STAGES[name], kept["seed"])
        kept["seconds"] = round(seconds)
        STATE.write_text(json.dumps(state, indent=2))
        last = (WORK / f"{name}.log").read_text(errors="replace").splitlines()[-1:]
        print(f"{name}: {'passed' if kept['passed'] else 'FAILED'} in {seconds:.0f} s: {''.join(last)}", flush=True)
        failed += [] if kept["passed"] else [name]
    if failed:
        print(f"failed: {', '.join(failed)}; the same again: python tools/prove.py {' '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
