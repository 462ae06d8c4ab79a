"""Runs targets on their seeds and on mutations of them, without a fuzzer: `python fuzz/smoke.py [TARGET]... [-n N]`."""

from __future__ import annotations

import argparse
import logging
import time
from random import Random

from targets import TARGETS

__all__ = ["inputs", "smoke"]


def inputs(name: str, count: int, seed: int = 1) -> list[bytes]:
    """The seeds of a target, and so many mutations: of mutations, now and then."""
    target, rng = TARGETS[name], Random(seed)
    found = list(target.seeds())
    seeds = len(found)
    for _ in range(count):
        start = rng.choice(found) if rng.random() < 0.3 else found[rng.randrange(seeds)]
        found.append(target.mutate(start, rng))
    return found


def smoke(name: str, count: int, seed: int = 1) -> None:
    """Raises what the target raises, with the input in a note."""
    for data in inputs(name, count, seed):
        try:
            TARGETS[name].run(data)
        except BaseException as error:
            error.add_note(f"input of {name}: {data.hex()}")
            raise


def main() -> None:
    """One line for each target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", default=list(TARGETS))
    parser.add_argument("-n", type=int, default=1000, help="mutations of each target (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # caches that are set aside, ten thousand times
    for name in options.target:
        start = time.perf_counter()
        smoke(name, options.n, options.seed)
        print(f"{name}: {options.n} inputs, {(time.perf_counter() - start) / options.n * 1e6:.0f} us each", flush=True)


if __name__ == "__main__":
    main()
