"""The command `mimc`: the group that its sub-commands are registered in, and the entry point."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click

from .admin import admin
from .decode import decode
from .demo import demo
from .fuzz import fuzz
from .serve import serve
from .simulate import simulate

__all__ = ["main", "mimc"]

DISTRIBUTION = "mimc-proto"

COMMANDS: tuple[click.Command, ...] = (admin, decode, demo, fuzz, serve, simulate)
"""Every sub-command; a new one is written in a module of its own and added here."""


def _version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # run from a checkout, not installed
        return "(not installed)"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), prog_name="mimc")
def mimc() -> None:
    """Tools for MIMC, Xiaomi's instant-messaging protocol.

    `mimc COMMAND --help` explains a command.
    """


for _command in COMMANDS:
    mimc.add_command(_command)


def main() -> None:
    """Run the command line of this process; ends it with the command's exit status."""
    mimc(prog_name="mimc")


if __name__ == "__main__":
    main()
