"""Fuzzes with atheris (libFuzzer): `python fuzz/fuzz.py [TARGET]... [--seconds N]`; needs `pip install atheris`.

Each target runs in a process of its own. What it has found is kept in ``.fuzz/TARGET``: the corpus, which the next run
goes on with, and inputs that break a law, each in a file of its own. The corpora are replayed at the end: a report says
how many lines of the core they reach, and why not the others.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".fuzz"
LONGEST = 64 * 1024
"""Bytes of an input."""
SLOWEST = 20
"""Seconds that one input may take."""


def names(asked: list[str]) -> list[str]:
    """The targets that are asked for, or all."""
    from targets import TARGETS

    unknown = set(asked) - set(TARGETS)
    if unknown:
        raise SystemExit(f"expected targets out of {', '.join(TARGETS)}, got {', '.join(sorted(unknown))}")
    return asked or list(TARGETS)


def fuzz_here(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    logging.disable(logging.CRITICAL)  # caches that are set aside, ten thousand times

    with atheris.instrument_imports(include=["mimc_proto", "mimc_cli", "mimc_transports", "mimc_server"]):
        from targets import TARGETS
    target = TARGETS[name]

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.1:
            mutated: bytes = atheris.Mutate(data, most)
            return mutated
        return target.mutate(data, rng)[:most]

    atheris.Setup([sys.argv[0], *arguments], target.run, custom_mutator=mutate, internal_libfuzzer=True)
    atheris.Fuzz()


def prepare(name: str) -> tuple[Path, Path, Path]:
    """The folders of a target, with its seeds: of the corpus, and of what was found; and its dictionary."""
    from dictionaries import dictionary
    from targets import TARGETS

    corpus, found, words = (WORK / name / part for part in ("corpus", "found", "words.dict"))
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    seeds = TARGETS[name].seeds()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    words.write_text(dictionary(seeds))
    return corpus, found, words


def fuzz(name: str, seconds: int) -> tuple[int, str, list[Path]]:
    """Fuzz one target in a process of its own: executions, libFuzzer's coverage, and the inputs that break a law."""
    corpus, found, words = prepare(name)
    command = [sys.executable, __file__, "--here", name, f"-max_total_time={seconds}", f"-max_len={LONGEST}"]
    command += [f"-timeout={SLOWEST}", "-rss_limit_mb=4096", f"-artifact_prefix={found}/", "-print_final_stats=1"]
    log = WORK / name / "log.txt"
    with log.open("wb") as output:
        arguments = [*command, f"-dict={words}", str(corpus)]
        subprocess.run(arguments, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, check=False)
    text = log.read_text(errors="replace")
    executions = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text) or re.findall(
        r"^#(\d+)", text, re.MULTILINE
    )
    covered = re.findall(r"cov: (\d+)", text)
    return int(executions[-1]) if executions else 0, covered[-1] if covered else "?", sorted(found.iterdir())


def replayed() -> Iterator[str]:
    """Run all corpora again under coverage.py: what is reached of the core, and why not the rest."""
    from unreached import report

    data = WORK / "coverage"
    environment = {**os.environ, "COVERAGE_FILE": str(data)}
    run = [sys.executable, "-m", "coverage", "run", "--source=mimc_proto", str(Path(__file__).with_name("replay.py"))]
    subprocess.run([*run, str(WORK)], env=environment, cwd=ROOT, check=False)  # it tells what breaks a law
    yield from report(data)


def main() -> None:
    """One line for each target, then what was not reached; exits 1 if anything broke a law."""
    if len(sys.argv) > 1 and sys.argv[1] == "--here":
        fuzz_here(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="*")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    options = parser.parse_args()
    broken = 0
    for name in names(options.target):
        executions, covered, found = fuzz(name, options.seconds)
        broken += len(found)
        print(f"{name}: {executions} executions, cov {covered}, {len(found)} findings", *found, sep="\n  ", flush=True)
    print(*replayed(), sep="\n")
    if broken:
        raise SystemExit(f"{broken} inputs break a law; replay one: python fuzz/replay.py FILE")


if __name__ == "__main__":
    main()
