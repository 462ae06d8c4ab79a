"""Mutation testing of the core: does a test notice each small change of its code?

Every mutant is tried with its module's own test file; those that survive it, with ``--wide``, with the tests of whole
links and sessions that run the changed line. Results are kept in .mutants/: what was killed is not tried again, so a
run may be stopped at any time. docs/explanation/mutants.md says which may survive, and why; the end is 1 if others do.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / part) for part in ("", "transports", "server", "cli")
]  # this checkout, whatever is installed
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
os.environ["PYTEST_PLUGINS"] = "_hypothesis_pytestplugin"

import google.protobuf.message_factory  # noqa: E402, F401  # the tests import it, and it is never a mutant

from tools.module_coverage import CORE, test_file  # noqa: E402
from tools.mutation.mutations import Module, Mutant  # noqa: E402
from tools.mutation.sessions import Outcome, Setup, inside, lines_of, outside  # noqa: E402

RESULTS = Path(".mutants/results.jsonl")
UNFIT = Path(".mutants/unfit")
JUSTIFIED = Path("docs/explanation/mutants.md")
LEFT_OUT = ("pb", "testing")  # generated; and what others use in their tests
WIDE = [
    "tests/states",
    "tests/vectors",
    *(f"tests/core/test_{name}.py" for name in ("client", "keepalive", "link", "server")),
]
WIDE_CPU = 10.0  # seconds of tests, the quickest first, that a mutant has to survive there

Mutants = dict[str, list[Mutant]]  # by module


class Results:
    """What came of the mutants. Each is written at once; the last line of a mutant counts."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self.outcomes: dict[str, str] = {}
        RESULTS.parent.mkdir(exist_ok=True)
        self.load()

    def load(self) -> None:
        lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
        self.outcomes = {entry["key"]: entry["outcome"] for entry in map(json.loads, lines)}

    def add(self, path: str, mutant: Mutant, outcome: Outcome, by: str) -> None:
        entry = {"key": mutant.key, "path": path, "where": mutant.where, "line": mutant.line, "change": mutant.change}
        with RESULTS.open("a") as output:
            output.write(json.dumps(entry | {"outcome": outcome[0], "test": outcome[1], "by": by}) + "\n")
        self.outcomes[mutant.key] = outcome[0]

    def of(self, mutant: Mutant) -> str:
        return self.outcomes.get(mutant.key, "not run")

    def in_time(self) -> bool:
        return time.monotonic() < self._until


def modules(names: list[str]) -> list[Path]:
    """The modules of the core, or those of them that are named."""
    everything = [path for path in sorted(CORE.rglob("*.py")) if path.parts[1] not in LEFT_OUT]
    if unknown := set(names) - set(map(str, everything)):
        sys.exit(f"expected modules of {CORE}/, got {', '.join(sorted(unknown))}")
    return [path for path in everything if not names or str(path) in names]


def sample(mutants: list[Mutant], share: float, seed: int, results: Results) -> list[Mutant]:
    """So large a part of them, and what was tried before."""
    kept = set(random.Random(seed).sample(range(len(mutants)), round(len(mutants) * share)))
    return [mutant for index, mutant in enumerate(mutants) if index in kept or results.of(mutant) != "not run"]


def try_all(mutants: Mutants, setup: Setup, results: Results, by: str) -> None:
    """Those in functions first; then, with a module's own tests, what has to be tried by importing the module anew."""
    lines = lines_of([os.path.abspath(path) for path in mutants], setup)
    at_import = {path: {n for n, names in lines.tests.get(path, {}).items() if "" in names} for path in mutants}
    UNFIT.write_text("")

    def done(path: str, mutant: Mutant, outcome: Outcome | None) -> None:
        """In the child that tries those in functions."""
        if outcome is None or (outcome[0] == "survived" and mutant.line in at_import[path]):
            with UNFIT.open("a") as output:
                output.write(f"{mutant.key}\n")
        else:
            results.add(path, mutant, outcome, by)
        if not results.in_time():
            os._exit(0)

    inside({path: [m for m in some if m.first_line is not None] for path, some in mutants.items()}, lines, setup, done)
    results.load()
    if by != "own":
        return
    unfit = set(UNFIT.read_text().split())
    for path, some in mutants.items():
        for mutant in some:
            if (mutant.first_line is None or mutant.key in unfit) and results.in_time():
                results.add(path, mutant, outside(path, mutant, setup, sum(lines.times.values())), by)


def justified() -> set[tuple[str, str, str]]:
    """What the document lists: module, function and change."""
    found = set()
    lines = JUSTIFIED.read_text().splitlines() if JUSTIFIED.exists() else []
    for line in lines:
        if start := re.match(r"- `(\S+)` `?(\S*?)`?:", line):
            path, where = start.groups()
            found |= {(f"{CORE}/{path}", where, change) for change in re.findall(r"`([^`]+ -> [^`]+)`", line)}
    return found


def summary(mutants: Mutants, results: Results) -> int:
    """Print what came of them; 1 if one survives that may not."""
    known = justified()
    rows = [(path, mutant, results.of(mutant)) for path, some in mutants.items() for mutant in some]
    counts = Counter(outcome for _, _, outcome in rows)
    survivors = [(path, mutant) for path, mutant, outcome in rows if outcome == "survived"]
    unknown = [(path, m) for path, m in survivors if (path, m.where, m.change) not in known]
    for path, mutant in unknown:
        print(f"{path}:{mutant.line}: {mutant.where}: `{mutant.change}` survived")
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    print(f"{len(rows)} mutants: {told}, {len(survivors) - len(unknown)} of these justified in {JUSTIFIED}")
    return 1 if unknown else 0


def try_own(mutants: Mutants, wanted: set[str], examples: int, results: Results) -> None:
    """With each module's own tests."""
    for path, some in mutants.items():
        pending = [mutant for mutant in some if results.of(mutant) in wanted]
        tests = test_file(Path(path))
        if pending and tests and results.in_time():
            print(f"{path}: {len(pending)} to try", flush=True)
            try_all({path: pending}, Setup(tests=[str(tests)], examples=examples, most_cpu=1e9), results, "own")


def try_wide(mutants: Mutants, examples: int, results: Results) -> None:
    """Survivors that are not justified, with the tests of links and sessions."""
    known = justified()
    left = {}
    for path, some in mutants.items():
        survivors = [mutant for mutant in some if results.of(mutant) == "survived" and mutant.first_line is not None]
        if unknown := [mutant for mutant in survivors if (path, mutant.where, mutant.change) not in known]:
            left[path] = unknown
    if left and results.in_time():
        print(f"tests of links and sessions: {sum(map(len, left.values()))} to try", flush=True)
        tests = [*WIDE, *(str(path) for path in sorted(Path("tests/core").glob("test_session*.py")))]
        try_all(left, Setup(tests=tests, examples=examples, most_cpu=WIDE_CPU), results, "wide")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help="such as mimc_proto/framing.py; default: all")
    parser.add_argument("--share", type=float, default=1.0, help="part of the mutants of each module, 0 to 1")
    parser.add_argument("--seed", type=int, default=1, help="which part")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin nothing new after that")
    parser.add_argument("--examples", type=int, default=20, help="of each property test")
    parser.add_argument("--wide", action="store_true", help="then try survivors with the tests of links and sessions")
    parser.add_argument("--again", action="store_true", help="try survivors again with their module's tests")
    options = parser.parse_args()
    os.chdir(ROOT)
    results = Results(options.seconds)
    every = {str(path): Module(str(path), path.read_text()).mutants() for path in modules(options.modules)}
    chosen = {path: sample(some, options.share, options.seed, results) for path, some in every.items()}
    total, count = sum(map(len, every.values())), sum(map(len, chosen.values()))
    print(f"{count} of {total} mutants, seed {options.seed}, {options.examples} examples of each property", flush=True)
    try_own(chosen, {"not run", "survived"} if options.again else {"not run"}, options.examples, results)
    if options.wide:
        try_wide(chosen, options.examples, results)
    return summary(chosen, results)


if __name__ == "__main__":
    sys.exit(main())
