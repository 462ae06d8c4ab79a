"""`mimc serve`: a whole server in one command."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import click

from ._extras import not_installed
from ._output import say, standard_output

if TYPE_CHECKING:
    from mimc_server.settings import Loaded

__all__ = ["serve"]

CANNOT_SERVE, WRONG_SETTINGS = 1, 2

F = TypeVar("F", bound=Callable[..., Any])


class Setting(NamedTuple):
    """An option that is a setting of this key. A flag has no ``metavar``."""

    option: str
    key: str
    metavar: str | None
    help: str

    @property
    def parameter(self) -> str:
        """What click calls its value."""
        return self.option.lstrip("-").replace("-", "_")


SETTINGS = (
    Setting("--data", "data", "FOLDER", "Keep everything in this folder; it is made if need be."),
    Setting("--memory", "memory", None, "Keep everything in memory, and forget it at the end."),
    Setting("--tcp", "listen.tcp", "HOST:PORT", "Listen there for clients in general.  [default: 127.0.0.1:5222]"),
    Setting("--tls", "listen.tls", "HOST:PORT", "The same inside TLS."),
    Setting("--websocket", "listen.websocket", "HOST:PORT", "... for browsers.  [default: 127.0.0.1:5280]"),
    Setting("--websocket-tls", "listen.websocket_tls", "HOST:PORT", "The same inside TLS."),
    Setting("--http", "listen.http", "HOST:PORT", "... for tokens, the resolver, groups.  [default: 127.0.0.1:5223]"),
    Setting("--https", "listen.https", "HOST:PORT", "The same inside TLS."),
    Setting("--certificate", "tls.certificate", "FILE", "The certificate for TLS, in PEM."),
    Setting("--key", "tls.key", "FILE", "Its private key, if that is in another file."),
    Setting("--public", "public.addresses", "IPv4:PORT", "What the resolver tells clients in place of --tcp."),
    Setting("--log-level", "log.level", "LEVEL", "debug, info, warning or error.  [default: info]"),
    Setting("--log-format", "log.format", "FORMAT", "text or json.  [default: text]"),
)


def _setting_options(command: F) -> F:
    for setting in reversed(SETTINGS):
        several = setting.metavar == "HOST:PORT" or setting.key == "public.addresses"
        command = click.option(
            setting.option,
            setting.parameter,
            metavar=setting.metavar,
            is_flag=setting.metavar is None,
            multiple=several,
            help=setting.help,
        )(command)
    return command


@click.command()
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, readable=False),  # what cannot be read is told as what is wrong in it
    metavar="FILE",
    envvar="MIMC_CONFIG",
    help="A configuration in TOML; MIMC_CONFIG names one, too.",
)
@click.option("--dev", "development", is_flag=True, help="Make an application, and print how to log in to it.")
@_setting_options
@click.option("--set", "others", metavar="KEY=VALUE", multiple=True, help="Any setting: --set tokens.lifetime=3600.")
@click.option("--print-config", is_flag=True, help="Print all settings as a file with explanations, and end.")
def serve(file: Path | None, development: bool, others: tuple[str, ...], print_config: bool, **given: Any) -> None:
    """Serve MIMC: clients of any kind log in here, unmodified.

    \b
        mimc serve --dev                       try it out: in memory, with an application
        mimc serve --dev --data FOLDER         the same, and the next start finds everything again
        mimc serve --config mimc.toml          in earnest; mimc admin makes applications

    Options go before environment variables (MIMC_LISTEN__TCP is listen.tcp), those before the file. Options with
    HOST:PORT may be given several times, or once and empty for none; port 0 takes a free one.

    It ends at SIGINT (Ctrl-C) or SIGTERM, once connections have taken what waits for them; at the second one at once.
    At SIGHUP it reads the certificate again.
    Exit status: 0 after a signal, 1 if it cannot serve, 2 if a setting is wrong.
    """
    _ignore_hangups()
    try:
        from mimc_server.settings import SettingsError
    except ModuleNotFoundError as error:
        not_installed(error)
    try:
        loaded = _load(file, development, others, given)
        if print_config:
            _print(loaded)
        else:
            _run(loaded, development)
    except SettingsError as error:
        _fail(error, WRONG_SETTINGS)


def _ignore_hangups() -> None:
    """Who has a terminal ends with it. For all others SIGHUP is about certificates, and ends them at no time, down to
    the last moment of the process."""
    if sys.platform != "win32" and not sys.stderr.isatty():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _load(file: Path | None, development: bool, others: tuple[str, ...], given: dict[str, Any]) -> Loaded:
    from mimc_server.settings import load_settings

    options = dict(_other(text) for text in others)
    for setting in SETTINGS:
        value = given[setting.parameter]
        if value is True:
            options[setting.key] = (setting.option, "true")
        elif value not in (None, False, ()):
            options[setting.key] = (setting.option, value if isinstance(value, str) else ",".join(value))
    loaded = load_settings(file, os.environ, options)
    if development and loaded.settings.data is None:
        loaded = load_settings(file, os.environ, {**options, "memory": ("--dev", "true")})
    return loaded


def _other(text: str) -> tuple[str, tuple[str, str]]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter("expected KEY=VALUE, such as tokens.lifetime=3600", param_hint="--set")
    return key.strip(), ("--set", value.strip())


def _print(loaded: Loaded) -> None:
    from mimc_server.settings import as_toml

    with standard_output() as output:
        for line in as_toml(loaded.settings, loaded.origins):
            output.write(line.encode(errors="backslashreplace") + b"\n")


def _run(loaded: Loaded, development: bool) -> None:
    try:
        from mimc_server.admin import CannotOpenSocket
        from mimc_server.server import CannotListen
        from mimc_server.store import StoreError

        from .serving.running import run
        from .serving.running import serve as whole_server
    except ModuleNotFoundError as error:
        not_installed(error)
    try:
        run(whole_server(loaded.settings, say, development=development))
    except (CannotListen, CannotOpenSocket, StoreError) as error:
        _fail(error, CANNOT_SERVE)
    except KeyboardInterrupt:
        pass  # where the loop has no signal handlers


def _fail(error: Exception, status: int) -> NoReturn:
    """In one line."""
    click.echo(f"mimc serve: {error}", err=True)
    sys.exit(status)
