"""`mimc demo`: what the protocol can do, shown over real TCP on this machine; or a service that stays up."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from ._output import discard_output

__all__ = ["demo"]

FAILED = 1
LAST_PORT = 65535

_ADDRESS = re.compile(r"(?:\[(?P<bracketed>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]{1,5})", re.ASCII)


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # older versions of click have no type arguments


class AddressType(_ParamType):
    """HOST:PORT, also [::1]:PORT; the value is a pair."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Raises `click.BadParameter`."""
        found = _ADDRESS.fullmatch(value)
        if found is None or int(found["port"]) > LAST_PORT:
            self.fail(f"expected HOST:PORT such as 127.0.0.1:5222, got {value!r}", param, ctx)
        return found["bracketed"] or found["host"], int(found["port"])


@click.command()
@click.option(
    "--serve",
    "address",
    type=AddressType(),
    metavar="HOST:PORT",
    help="Show nothing; be a service for clients of any kind at this address until Ctrl-C. Port 0 takes a free one.",
)
@click.option(
    "--http",
    "http_address",
    type=AddressType(),
    metavar="HOST:PORT",
    help="With --serve: where tokens and the resolver are.  [default: the next port]",
)
@click.pass_context
def demo(context: click.Context, address: tuple[str, int] | None, http_address: tuple[str, int] | None) -> None:
    """Show on this machine what MIMC does, over real TCP: messages, groups, lost links, slow programs.

    Each step is checked. Exit status: 0 only if everything happened, 1 if not, 2 if it could not begin.

    With --serve the service stays up instead, and tells how to log in to it with curl, Python and the official Go
    client. It logs logins, logouts and how many messages there were, never what they say:

    \b
        mimc demo --serve 127.0.0.1:5222
        mimc demo --serve 0.0.0.0:5222 --http 0.0.0.0:80
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
    if address is None:
        if http_address is not None:
            raise click.UsageError("expected --serve with --http: only a service that stays up has HTTP endpoints")
        _show()
    else:
        _serve(address, http_address)


def _show() -> None:
    try:
        from .demonstration.show import StepFailed, show
    except ModuleNotFoundError as error:
        _not_installed(error)
    try:
        asyncio.run(show(say))
    except StepFailed as error:
        click.secho(f"demo FAILED: {error}", fg="red", bold=True, err=True)
        sys.exit(FAILED)


def _serve(address: tuple[str, int], http_address: tuple[str, int] | None) -> None:
    try:
        from .demonstration.serving import CannotListen, serve
    except ModuleNotFoundError as error:
        _not_installed(error)
    if http_address is None:
        host, port = address
        if port == LAST_PORT:
            raise click.UsageError(f"expected --http, as there is no port after {LAST_PORT}")
        http_address = (host, port + 1 if port else 0)
    try:
        asyncio.run(serve(address, http_address, say))
    except CannotListen as error:
        raise click.BadParameter(str(error), param_hint=error.option) from None
    except KeyboardInterrupt:
        pass  # where asyncio has no signal handlers


def _not_installed(error: ModuleNotFoundError) -> Any:
    """Ends the command, if what is missing is somebody else's."""
    if error.name is None or error.name.startswith("mimc"):
        raise error
    raise click.UsageError(f"this needs {error.name}, which is not installed: pip install 'mimc-proto[server]'")


def say(line: str) -> None:
    """A line on standard output; if that cannot be written, the demo goes on in silence."""
    try:
        click.echo(line)
    except OSError as error:
        discard_output()
        if not isinstance(error, BrokenPipeError):
            click.echo(f"mimc: cannot write to standard output: {error.strerror}", err=True)
