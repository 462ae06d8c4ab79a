"""One command: whom it asks, and how it ends if that goes wrong."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from mimc_server.settings import Settings, SettingsError, load_settings

from .._extras import not_installed
from .asking import AdminError, Ask, answers, ask_server

__all__ = ["Errand"]

REFUSED, WRONG_SETTINGS = 1, 2


class Errand:
    """Where to ask: options of the command, each of which may be missing."""

    def __init__(self, file: Path | None, data: Path | None, socket: Path | None) -> None:
        self._file = file
        self._data = data
        self._socket = socket

    @contextlib.contextmanager
    def run(self, *, online: bool = False, creates: bool = False) -> Iterator[Ask]:
        """Ask the server; if none runs, its database, unless it is about what is ``online`` only. What goes wrong ends
        the command. ``creates``: there need not be a database yet."""
        try:
            settings = None if self._socket is not None else self._settings()
            socket = self._socket if settings is None else settings.admin_socket
            with self._asking(settings, socket, online, creates) as ask:
                yield ask
        except SettingsError as error:
            click.echo(f"mimc admin: {error}", err=True)
            sys.exit(WRONG_SETTINGS)
        except AdminError as error:
            click.echo(f"mimc admin: {error}", err=True)
            sys.exit(REFUSED)

    def _settings(self) -> Settings:
        """Those of the server, as far as they are the same for this command. Raises `SettingsError`."""
        options = {} if self._data is None else {"data": ("--data", os.fspath(self._data))}
        return load_settings(self._file, os.environ, options).settings

    def _asking(
        self, settings: Settings | None, socket: Path | None, online: bool, creates: bool
    ) -> contextlib.AbstractContextManager[Ask]:
        """Raises `AdminError`."""
        if socket is not None and answers(socket):
            return ask_server(socket)
        named = "--data, --config or --socket, as it was started with"
        if socket is None and (settings is None or settings.data is None):
            raise AdminError(f"expected to be told where the server is: {named}")
        nobody = "there is no admin socket (admin.socket)" if socket is None else f"no server answers at {socket}"
        database = None if settings is None else settings.database_path
        if settings is None or database is None or online:
            raise AdminError(f"{nobody}: start it (mimc serve), or say where it is: {named}")
        if not creates and not database.exists():
            raise AdminError(f"{nobody}, and there is no database {database}: say where it is (--data, --config)")
        click.echo(f"mimc admin: {nobody}; using {database} itself", err=True)
        try:
            from .alone import ask_database  # most of what a server needs takes its time to load
        except ModuleNotFoundError as error:
            not_installed(error)
        return ask_database(settings)
