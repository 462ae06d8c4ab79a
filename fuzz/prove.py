"""Tries ten million mutated inputs, over all targets by their shares: `python fuzz/prove.py [-n N]`.

It goes on where it was stopped: ``.fuzz/prove.json`` keeps the seed and what was done; remove it to begin anew. Inputs
are made in batches, each of its own seed, and so are the same on every machine. One that breaks a law is kept in
``.fuzz/TARGET/found``; the other inputs are tried nevertheless. The end tells how many inputs the code as it is now has
seen, for some may have been tried on an earlier one.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import hashlib
import json
import logging
import random
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from smoke import inputs
from targets import TARGETS

__all__ = ["Progress", "batch"]

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".fuzz"
PACKAGES = ("mimc_proto", "transports", "server", "cli", "fuzz")
BATCH = 500
"""Mutations of one target at a time, for each part of its share."""
SLOWEST = 20
"""Seconds of computing that one input may take: of the process, so that a busy or paused machine finds nothing."""
MOST_KEPT = 20
"""Findings that look the same, of which no more are kept."""


@dataclasses.dataclass
class Progress:
    """What was done: whole batches of each target, inputs, how many broke a law, and how many inputs each code saw."""

    seed: int
    batches: dict[str, int]
    inputs: dict[str, int]
    findings: dict[str, int]
    codes: dict[str, int]

    @classmethod
    def load(cls, file: Path, seed: int | None) -> Progress:
        """That of the file, or a new one: of this seed, or of any. Raises `SystemExit` for a file with another seed."""
        none = dict.fromkeys(TARGETS, 0)
        if not file.exists():
            return cls(random.SystemRandom().getrandbits(32) if seed is None else seed, none, {**none}, {**none}, {})
        kept = cls(**json.loads(file.read_bytes()))
        if seed is not None and kept.seed != seed:
            raise SystemExit(
                f"expected the seed {kept.seed}, with which {file} goes on, got {seed}; or remove the file"
            )
        for counts in (kept.batches, kept.inputs, kept.findings):
            counts |= {name: 0 for name in TARGETS if name not in counts}
        return kept

    def save(self, file: Path) -> None:
        """Whole, or not at all."""
        file.parent.mkdir(exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(dataclasses.asdict(self), indent=1))
        part.replace(file)

    def next_target(self) -> str:
        """The one that lags behind most."""
        return min(TARGETS, key=lambda name: self.batches[name])

    @property
    def total(self) -> int:
        """Inputs of all targets."""
        return sum(self.inputs.values())


def code() -> str:
    """What tells one state of the code from another."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _too_slow(_: int, frame: FrameType | None) -> None:
    raise TimeoutError(
        f"an input took longer than {SLOWEST} s of computing, here:\n{''.join(traceback.format_stack(frame))}"
    )


def batch(name: str, count: int, seed: int, slowest: float) -> Iterator[tuple[bytes, Exception]]:
    """Run so many mutations of a target: those that break a law, and how. SIGPROF comes after ``slowest`` seconds."""
    target = TARGETS[name]
    for data in inputs(name, count, seed)[-count:]:
        signal.setitimer(signal.ITIMER_PROF, slowest)
        try:
            target.run(data)
        except Exception as error:
            yield data, error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _keep(name: str, data: bytes, seed: int) -> Path:
    found = WORK / name / "found"
    found.mkdir(parents=True, exist_ok=True)
    path = found / f"prove-{seed:x}-{zlib.crc32(data):08x}"
    path.write_bytes(data)
    return path


def prove(progress: Progress, most: int, file: Path, slowest: float = 0.0) -> None:
    """Go on until so many inputs were tried; 0 seconds for an input are as many as it takes."""
    alike: dict[str, int] = {}
    said, before, start, now_code = 0.0, progress.total, time.monotonic(), code()
    while progress.total < most:
        name = progress.next_target()
        count, seed = BATCH * TARGETS[name].share, progress.seed << 32 | progress.batches[name]
        for data, error in batch(name, count, seed, slowest):
            progress.findings[name] += 1
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{name}: {type(error).__name__} at {last.filename}:{last.lineno}"
            alike[where] = alike.get(where, 0) + 1
            if alike[where] <= MOST_KEPT:
                print(f"{where}: {_keep(name, data, seed)} (seed {seed}): {str(error)[:500]}", flush=True)
        progress.batches[name] += 1
        progress.inputs[name] += count
        progress.codes[now_code] = progress.codes.get(now_code, 0) + count
        progress.save(file)
        now = time.monotonic()
        if now - said > 10 or progress.total >= most:
            said, rate = now, (progress.total - before) / (now - start)
            found = sum(progress.findings.values())
            print(f"{progress.total} of {most} inputs, {found} findings, {rate:.0f}/s; next is {name}", flush=True)


def main() -> None:
    """A line every ten seconds, then one for each target; exits 1 if an input broke a law."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000_000, help="inputs in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of a new run (default: any); it is printed")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # caches that are set aside, ten thousand times
    signal.signal(signal.SIGPROF, _too_slow)
    gc.freeze()  # what is imported stays
    file = WORK / "prove.json"
    progress = Progress.load(file, options.seed)
    print(f"seed {progress.seed}, {progress.total} inputs were tried before", flush=True)
    prove(progress, options.n, file, SLOWEST)
    for name, count in progress.inputs.items():
        print(f"{name}: {count} inputs, {progress.findings[name]} findings")
    print(f"{progress.codes.get(code(), 0)} inputs on the code as it is, of {progress.total}; seed {progress.seed}")
    if any(progress.findings.values()):
        sys.exit(f"some inputs break a law: {WORK}/*/found; replay one: python fuzz/replay.py FILE")


if __name__ == "__main__":
    main()
