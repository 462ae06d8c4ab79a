"""Runs the steps one after the other and shows how each went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

import click

from mimc_proto.errors import MimcError

from .stage import DemoError, Stage
from .steps import STEPS

__all__ = ["StepFailed", "show"]

STEP_LIMIT = 12.0
"""Seconds that a step may take, whatever it waits for."""


class StepFailed(Exception):  # noqa: N818 (says what happened)
    """A step did not show what it promises; the text names it."""


async def show(say: Callable[[str], None]) -> None:
    """All steps, a line for each, and the bytes of each user. Raises `StepFailed` at the first that fails."""
    started = perf_counter()
    async with Stage() as stage:
        host, port = stage.service.address
        say(f"a service on {host}:{port}; each user's connections go through a line that counts, and can be cut")
        for name, step in STEPS:
            begun = perf_counter()
            try:
                async with asyncio.timeout(STEP_LIMIT):
                    shown = await step(stage)
            except DemoError as error:
                raise StepFailed(f'step "{name}": {error}') from error
            except (MimcError, OSError) as error:  # TimeoutError is an OSError
                problem = f"{type(error).__name__} {error}".rstrip()
                raise StepFailed(f'step "{name}": expected no error, got {problem}') from error
            took = click.style(f"({(perf_counter() - begun) * 1000:.0f} ms)", dim=True)
            say(f"{click.style('ok', fg='green')}  {click.style(f'{name:16}', bold=True)}  {shown} {took}")
        for line in _bytes(stage):
            say(line)
    took = f"{perf_counter() - started:.1f} s"
    say(click.style(f"demo OK: {len(STEPS)} steps shown and checked in {took}", fg="green", bold=True))


def _bytes(stage: Stage) -> list[str]:
    """What went over each user's line."""
    head = f"    {'bytes':16}  {'up':>10}  {'down':>10}"
    rows = [
        f"    {account:16}  {line.up.carried:10,}  {line.down.carried:10,}"
        for account, line in sorted(stage.lines.items())
    ]
    return [click.style(head, bold=True), *rows]
