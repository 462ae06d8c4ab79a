"""What the counts of instructions are of, and when they are too many; valgrind itself is not needed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import instructions  # noqa: E402 (benchmarks is a folder of programs, not a package)


def test_every_figure_of_make_bench_is_counted_and_recorded() -> None:
    command = [sys.executable, str(BENCHMARKS / "instructions.py"), "--here"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    counted = dict(json.loads(done.stdout))
    assert set(counted) == {instructions.UNIT, *(name for name, _, _ in instructions.figures())}
    assert all(operations > 0 for operations in counted.values())
    assert set(json.loads(instructions.RECORD.read_text())["figures"]) == set(counted)


@pytest.mark.parametrize(("now", "grown"), [(1000, False), (1019, False), (1021, True), (900, False)])
def test_a_figure_may_grow_within_the_tolerance(now: int, grown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    before = {instructions.UNIT: 100.0, "send": 1000.0}
    assert instructions.compare(before, {instructions.UNIT: 100.0, "send": now}, 0.02) is grown
    assert ("MORE" in capsys.readouterr().out) is grown


def test_a_figure_that_is_new_has_nothing_to_be_compared_with() -> None:
    assert not instructions.compare({}, {instructions.UNIT: 100.0, "send": 1000.0}, 0.02)


def test_a_revision_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(SystemExit, match="expected a revision, got 'no-such-revision'"),
        instructions.checkout("no-such-revision"),
    ):
        pass
