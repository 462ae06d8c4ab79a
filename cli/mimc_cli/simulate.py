"""`mimc simulate`: a day in the life of a service and its clients, in seconds, and whether every promise was kept."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from mimc_proto.errors import LocalProtocolError, shown

from ._extras import not_installed
from ._output import standard_output

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
    from mimc_server.simulation import Report, Scenario
    from mimc_server.store import Store
else:
    _ParamType = click.ParamType  # older versions of click have no type arguments

__all__ = ["simulate"]

BROKEN, INTERRUPTED = 1, 130

PROGRESS_EVERY = 0.2
"""Seconds between two looks of the progress line."""


class _OutputType(_ParamType):
    """A file to write; that it can be made is known before anything runs."""

    name = "file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Raises `click.BadParameter`."""
        path = Path(value)
        if path.is_dir() or not path.parent.is_dir():
            self.fail(f"expected a file in a folder that exists, got {shown(value)}", param, ctx)
        return path


@click.command()
@click.option("--clients", default=200, show_default=True, help="Programs that log in, of people and bots.")
@click.option("--hours", default=24.0, show_default=True, help="Virtual hours; 25 minutes of calm follow.")
@click.option("--seed", default=1, show_default=True, help="Where all chance comes from: the same seed, the same day.")
@click.option("--begin", default=6.0, show_default=True, help="The hour of the day at which it starts.")
@click.option("--activity", default=1.0, show_default=True, help="How much is said, as a factor.")
@click.option("--faults", default=1.0, show_default=True, help="How much goes wrong, as a factor; 0: nothing.")
@click.option(
    "--store",
    "kind",
    type=click.Choice(["memory", "sqlite"]),
    default="memory",
    show_default=True,
    help="What survives the service's crashes; SQLite in a temporary folder takes longer, and gives the same trace.",
)
@click.option("--report", type=_OutputType(), metavar="FILE", help="Draw the day, as SVG.")
@click.option("--json", "numbers", type=_OutputType(), metavar="FILE", help="Write all numbers, as JSON.")
@click.option("--trace", type=_OutputType(), metavar="FILE", help="Write what happened, as JSON lines.")
@click.option("--quiet", is_flag=True, help="No progress line.")
def simulate(
    clients: int,
    hours: float,
    seed: int,
    begin: float,
    activity: float,
    faults: float,
    kind: str,
    report: Path | None,
    numbers: Path | None,
    trace: Path | None,
    quiet: bool,
) -> None:
    """Simulate a day of one service and many clients on virtual time, and check that every promise is kept.

    People, bots and groups talk; links lose segments and break half-way, the network falls apart, clocks differ and
    jump, programs and the service crash, the store is slow or fails. All along it is checked that what was acknowledged
    is delivered, once and in order, that every send has one verdict, and that in the end all comes to rest. The real
    machines do it all: the client session and the service, byte for byte. Nothing but the seed is left to chance.

    Exit status: 0 if every law held, 1 if one was broken (with the end of the trace, and how to see it again), 2 for
    settings and files that cannot be.

    \b
        mimc simulate --clients 200 --hours 24 --seed 7 --report day.svg --json day.json --trace day.jsonl
        mimc simulate --clients 60 --hours 1 --begin 9 --faults 5 --seed 3
    """
    try:
        from mimc_server.simulation import LawBroken, Scenario, draw
    except ModuleNotFoundError as error:
        not_installed(error)
    try:
        scenario = Scenario(clients=clients, hours=hours, seed=seed, begin=begin, activity=activity, faults=faults)
    except LocalProtocolError as error:
        name = error.where.rpartition(".")[2]
        raise click.BadParameter(error.problem, param_hint=f"--{name}") from None
    try:
        with _opened(trace) as lines, _store(kind) as store:
            told = _run(scenario, store, lines, quiet)
        if report is not None:
            report.write_text(draw(told), "utf-8")
        if numbers is not None:
            numbers.write_text(told.as_json(), "utf-8")
    except LawBroken as broken:
        click.secho(f"mimc: a law is broken: {broken}", fg="red", err=True)
        sys.exit(BROKEN)
    except OSError as error:
        where = f" to {error.filename}" if error.filename else ""
        raise click.UsageError(f"cannot write{where}: {error.strerror}") from None
    except KeyboardInterrupt:
        click.echo("mimc: interrupted", err=True)
        sys.exit(INTERRUPTED)
    with standard_output() as output:
        output.write(told.as_text().encode())


def _run(scenario: Scenario, store: Store | None, lines: TextIO | None, quiet: bool) -> Report:
    from mimc_server.simulation import Simulation

    simulation = Simulation(scenario, store=store, write=None if lines is None else lines.write)
    line = _Progress(scenario) if not quiet and _is_a_terminal() else None
    try:
        return simulation.run(line.show) if line is not None else simulation.run()
    finally:
        if line is not None:
            line.clear()


def _is_a_terminal() -> bool:
    return sys.stderr.isatty()


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
    else:
        with path.open("w", encoding="utf-8") as file:
            yield file


@contextmanager
def _store(kind: str) -> Iterator[Store | None]:
    """None for the one in memory that a simulation has by itself."""
    if kind == "memory":
        yield None
        return
    from mimc_server.store import SqliteStore

    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder, "simulation.db"))
        try:
            yield store
        finally:
            store.close()


class _Progress:
    """One line on a terminal, which says what time it is there."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._began = self._shown = time.monotonic()

    def show(self, now: float) -> None:
        """``now`` in virtual seconds; the line changes a few times a second."""
        real = time.monotonic()
        if real - self._shown < PROGRESS_EVERY:
            return
        self._shown = real
        hour, part = divmod(self._scenario.hour_of_day(now) * 60, 60)
        done = min(1.0, now / self._scenario.seconds)
        bar = "#" * round(30 * done)
        click.echo(
            f"\r{int(hour):02}:{int(part):02} [{bar:30}] {done:4.0%}  {real - self._began:.0f} s ", nl=False, err=True
        )

    def clear(self) -> None:
        """The line goes."""
        click.echo("\r" + " " * 60 + "\r", nl=False, err=True)
