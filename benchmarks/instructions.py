"""Instructions an operation, counted by valgrind's callgrind: the same in every run, whatever else the machine does.

Without options: count, and compare with what is recorded in ``instructions.json``. ``--base REV`` compares with the
code of that revision instead, counted now, on this machine, with the figures that it has; ``--record`` keeps the
counts. Exits 1 if a figure has grown by more than the tolerance.

The work of a figure is that of ``make bench``. It runs between two calls of a C function that nothing else calls, at
which callgrind writes down what it has counted; preparation and start are not in the figure.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
RECORD = HERE / "instructions.json"
PACKAGES = ("", "transports", "server", "cli", "benchmarks")
"""Folders of a checkout that imports are looked for in."""

MARK = "getppid"
"""The C function: callgrind writes a part whenever it is entered."""

UNIT = "unit: one fresh-key rc4 of 150 bytes"
TOLERANCE = 0.02
TIMEOUT = 600


def figures() -> Sequence[tuple[str, Any, float]]:
    """Those of the checkout that imports come from: names, work and targets."""
    import run

    return run.FIGURES


def run_here() -> None:
    """Under callgrind: each figure once, with a mark before and after its work; names and operations to stdout."""
    import run

    prepared = [(UNIT, run.unit), *((name, prepare) for name, prepare, _ in figures())]
    done = []
    for name, prepare in prepared:
        work, _ = prepare()
        work()  # caches are filled, code is specialised
        work, count = prepare()
        gc.collect()
        gc.disable()
        os.getppid()
        work()
        os.getppid()
        gc.enable()
        done.append((name, count))
    json.dump(done, sys.stdout)


def count(root: Path) -> dict[str, float]:
    """Instructions an operation of each figure of a checkout."""
    if shutil.which("valgrind") is None:
        raise SystemExit("expected valgrind, which is not installed: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "part")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--dump-before={MARK}"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(root / package) for package in PACKAGES),
            "PYTHONHASHSEED": "0",
        }
        done = subprocess.run(
            [*command, sys.executable, str(HERE / "instructions.py"), "--here"],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"the benchmark under valgrind ended with {done.returncode}:\n{done.stderr[-2000:]}")
        counted: list[tuple[str, int]] = json.loads(done.stdout)
        # Part 2n + 2 ends with the second mark of figure n; what comes before the first mark is not of interest.
        return {
            name: total(out.with_name(f"part.{2 * number + 2}")) / operations
            for number, (name, operations) in enumerate(counted)
        }


def total(part: Path) -> int:
    """The instructions in a part that callgrind wrote."""
    found = re.search(r"^totals: (\d+)$", part.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"expected a line with totals in what callgrind wrote, found none in {part.name}")
    return int(found[1])


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """The files of a revision, in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=False)
        if archive.returncode:
            raise SystemExit(f"expected a revision, got {revision!r}: {archive.stderr.decode().strip()}")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def surroundings() -> dict[str, str]:
    """What the counts depend on beside the code."""
    libraries = {name: metadata.version(name) for name in ("protobuf", "arc4")}
    return {"python": platform.python_version(), "machine": platform.machine(), **libraries}


def compare(before: dict[str, float], now: dict[str, float], tolerance: float) -> bool:
    """Print both; whether a figure has grown by more than the tolerance."""
    print(f"{'instructions an operation':46}{'before':>10}{'now':>10}{'ratio':>8}{'units':>8}")
    grown = False
    for name, instructions in now.items():
        units = instructions / now[UNIT]
        if name not in before:
            print(f"{name:46}{'-':>10}{instructions:10.0f}{'-':>8}{units:8.2f}")
            continue
        ratio = instructions / before[name]
        more = ratio > 1 + tolerance
        grown |= more
        print(f"{name:46}{before[name]:10.0f}{instructions:10.0f}{ratio:8.3f}{units:8.2f}{'  MORE' if more else ''}")
    return grown


def main() -> int:
    """1 if a figure has grown."""
    if sys.argv[1:] == ["--here"]:
        run_here()
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", metavar="REV", help="compare with the code of this revision")
    parser.add_argument("--record", action="store_true", help=f"keep the counts in {RECORD.name}")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="default: %(default)s")
    options = parser.parse_args()
    now = count(ROOT)
    if options.base:
        with checkout(options.base) as base:
            before = count(base)
    else:
        recorded: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {"figures": {}}
        before = recorded["figures"]
        different = {key: value for key, value in surroundings().items() if recorded.get(key, value) != value}
        if different:
            print(f"the record is of other surroundings, not compared: {different}", file=sys.stderr)
            before = {}
    grown = compare(before, now, options.tolerance)
    if options.record:
        rounded = {name: round(instructions) for name, instructions in now.items()}
        RECORD.write_text(json.dumps({**surroundings(), "figures": rounded}, indent=2) + "\n")
        return 0
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
