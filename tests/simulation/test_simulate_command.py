"""`mimc simulate`: files, exit statuses, and what it says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result
from mimc_cli import simulate
from mimc_cli.main import mimc
from mimc_server.simulation import LawBroken, Scenario, Simulation

QUICK = ["--clients", "4", "--hours", "0.1", "--begin", "10", "--activity", "20"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mimc, ["simulate", *arguments])


def test_it_writes_a_picture_the_numbers_and_the_trace(tmp_path: Path) -> None:
    picture, numbers, trace = (tmp_path / name for name in ("day.svg", "day.json", "day.jsonl"))
    files = ["--report", str(picture), "--json", str(numbers), "--trace", str(trace)]
    result = run(*QUICK, "--seed", "7", *files)
    assert result.exit_code == 0, result.output
    told = json.loads(numbers.read_text("utf-8"))
    assert told["trace"]["sha256"] == hashlib.sha256(trace.read_bytes()).hexdigest()
    assert told["trace"]["sha256"] in result.stdout
    assert told["command"] == "mimc simulate --clients 4 --hours 0.1 --seed 7 --begin 10 --activity 20"
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert result.stderr == ""


def test_the_command_that_it_tells_gives_the_same_trace() -> None:
    told = Simulation(Scenario(clients=4, hours=0.1, seed=3, begin=10.0, activity=20.0, faults=2.0)).run()
    result = run(*told.scenario.command.split()[2:])
    assert told.trace_sha256 in result.stdout


def test_a_store_on_disk_gives_the_same_trace() -> None:
    one, other = run(*QUICK, "--store", "memory"), run(*QUICK, "--store", "sqlite")
    assert one.exit_code == other.exit_code == 0
    assert one.stdout == other.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--clients", "1"], "Invalid value for --clients: expected a whole number from 2 to 10000, got 1"),
        (["--hours", "0"], "Invalid value for --hours: expected a number from 0.1"),
        (["--faults", "-1"], "Invalid value for --faults"),
        (["--trace", "/nowhere/at/all.jsonl"], "Invalid value for '--trace': expected a file in a folder that exists"),
        (["--report", "/"], "Invalid value for '--report': expected a file in a folder that exists"),
        (["--store", "paper"], "'paper' is not one of 'memory', 'sqlite'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_a_broken_law_is_an_exit_status_of_one_and_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: Simulation, *_: Any) -> None:
        raise LawBroken("nothing is delivered", self.scenario, 5.0, ['{"what":"send"}'])

    monkeypatch.setattr(Simulation, "run", breaks)
    result = run(*QUICK)
    assert result.exit_code == 1
    assert (
        "mimc: a law is broken: nothing is delivered\n  after 5.000000 virtual seconds of: mimc simu" in result.stderr
    )
    assert '{"what":"send"}' in result.stderr
    assert result.stdout == ""


def test_what_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(self: Path, *_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    result = run(*QUICK, "--report", str(tmp_path / "day.svg"))
    assert result.exit_code == 2
    assert "day.svg: No space left on device" in result.stderr


def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulation, "run", interrupted)
    result = run(*QUICK)
    assert (result.exit_code, result.stderr) == (130, "mimc: interrupted\n")


def test_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.1, 0.5, 0.6, 3.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    line = simulate._Progress(Scenario(hours=1.0, begin=9.5))
    for now in (60.0, 900.0, 960.0, 4000.0):
        line.show(now)
    line.clear()
    shown = [text for text in capsys.readouterr().err.split("\r") if text.strip()]
    assert shown == [f"09:45 [{'#' * 8:30}]  25%  0 s ", f"10:36 [{'#' * 30}] 100%  3 s "]


@pytest.mark.parametrize(("arguments", "told"), [([], True), (["--quiet"], False)])
def test_the_progress_line_is_for_terminals_that_want_it(
    arguments: list[str], told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def runs(_: Simulation, *progress: object) -> None:
        asked.extend(progress)
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulation, "run", runs)
    monkeypatch.setattr(simulate, "_is_a_terminal", lambda: True)
    assert run(*QUICK, *arguments).exit_code == 130
    assert bool(asked) is told


def test_without_the_extras_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name == "mimc_server.simulation":
            raise ModuleNotFoundError("no anyio", name="anyio")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    result = run(*QUICK)
    assert result.exit_code == 2
    assert "this needs anyio, which is not installed: pip install 'mimc-proto[server]'" in result.stderr


def test_its_help_shows_how_to_use_it() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for word in ("--clients", "--seed", "--report", "Exit status", "mimc simulate --clients 200 --hours 24 --seed 7"):
        assert word in result.stdout
