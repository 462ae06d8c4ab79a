"""`tools/days.py`: one day after the other, until a law is broken."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from mimc_server.simulation import LawBroken, Simulation

TOOL = Path(__file__).parents[2] / "tools" / "days.py"
SHORT = ["--clients", "4", "--hours", "0.2"]


@pytest.fixture(scope="module")
def days() -> ModuleType:
    spec = importlib.util.spec_from_file_location("days", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_day_has_another_seed_and_its_command(days: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert days.main(["--seed", "7", "--days", "2", *SHORT]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert "mimc simulate --clients 4 --hours 0.2 --seed 7" in first
    assert "--hours 0.2 --seed 8" in second
    assert last == "2 days from seed 7 on: every law held"


def test_the_first_day_that_breaks_a_law_is_the_last(
    days: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(simulation: Simulation) -> None:
        raise LawBroken("delivered twice", simulation.scenario, 1.0, [])

    monkeypatch.setattr(Simulation, "run", broken)
    monkeypatch.setattr(days, "SQLITE", 1.0)
    assert days.main(["--seed", "7", "--days", "2", *SHORT]) == 1
    [command, problem, *_] = capsys.readouterr().out.splitlines()
    assert command.startswith("a law is broken: mimc simulate --clients 4 --hours 0.2 --seed 7")
    assert command.endswith(" --store sqlite")
    assert problem.startswith("delivered twice")
