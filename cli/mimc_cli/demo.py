"""`mimc demo`: what the protocol can do, shown over real TCP on this machine."""

from __future__ import annotations

import asyncio
import os
import sys

import click

from ._extras import not_installed
from ._output import say

__all__ = ["demo"]

FAILED = 1


@click.command()
@click.pass_context
def demo(context: click.Context) -> None:
    """Show on this machine what MIMC does, over real TCP: messages, groups, lost links, slow programs.

    Each step is checked. Exit status: 0 only if everything happened, 1 if not, 2 if it could not begin. A server that
    stays up is `mimc serve --dev`.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
    try:
        from .demonstration.show import StepFailed, show
    except ModuleNotFoundError as error:
        not_installed(error)
    try:
        asyncio.run(show(say))
    except StepFailed as error:
        click.secho(f"demo FAILED: {error}", fg="red", bold=True, err=True)
        sys.exit(FAILED)
