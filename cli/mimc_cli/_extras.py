"""What a command needs that the core does not bring."""

from __future__ import annotations

from typing import NoReturn

import click

__all__ = ["not_installed"]


def not_installed(error: ModuleNotFoundError) -> NoReturn:
    """Ends the command, if what is missing is somebody else's. Raises `click.UsageError`."""
    if error.name is None or error.name.startswith("mimc"):
        raise error
    raise click.UsageError(f"this needs {error.name}, which is not installed: pip install 'mimc-proto[server]'")
