"""`mimc fuzz`: mutated input for a MIMC server of one's own (docs/how-to/fuzz.md)."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import random
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from mimc_proto import Credentials, Framing, MimcError
from mimc_proto.session.tokens import parse_token_answer

from .fuzzing.attack import Server
from .fuzzing.campaign import Campaign, Finding, Unreachable
from .fuzzing.cases import Case, CaseError, Phase, load
from .fuzzing.wires import Dialer

__all__ = ["fuzz"]

FOUND, UNUSABLE, INTERRUPTED = 1, 2, 130
MOST_TOKEN_BYTES = 64 * 1024
PROGRESS_EVERY = 5.0

EPILOG = """\b
Examples:
  mimc fuzz 127.0.0.1:5222
  mimc fuzz 127.0.0.1:5222 --token alice.json --seconds 600 --rate 500
  mimc fuzz chat.example:5222 --tls --i-own-this-server --token https://chat.example/token
  mimc fuzz 127.0.0.1:5222 --token alice.json --replay mimc-fuzz/control-closed-7-12.jsonl
"""


@click.command(epilog=EPILOG)
@click.argument("address", metavar="HOST:PORT")
@click.option("--token", metavar="FILE|URL", help="Log in with this token answer, '-' for standard input.")
@click.option("--app-id", type=click.IntRange(min=1), help="Log in with a token of --token-url for this application.")
@click.option("--app-key", metavar="TEXT", envvar="MIMC_APP_KEY", help="Its appKey.  [env: MIMC_APP_KEY]")
@click.option("--app-secret", metavar="TEXT", envvar="MIMC_APP_SECRET", help="Its appSecret.  [env: MIMC_APP_SECRET]")
@click.option(
    "--token-url", metavar="URL", help="The token endpoint, for example http://127.0.0.1:5223/api/account/token"
)
@click.option("--account", default="mimc-fuzz", show_default=True, help="Who logs in with --app-id.")
@click.option("--tls", is_flag=True, help="Speak TLS, and check the certificate.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False), help="With --tls: certificates to trust instead.")
@click.option("--websocket", is_flag=True, help="Speak WebSocket instead of TCP; wss with --tls.")
@click.option("--rate", type=click.FloatRange(0.1, 10_000), default=100.0, show_default=True, help="Inputs a second.")
@click.option("--seconds", type=click.FloatRange(0.1, 86_400), default=60.0, show_default=True, help="How long.")
@click.option("--seed", type=click.IntRange(min=0), help="The same seed, the same inputs.  [default: any]")
@click.option(
    "--answer-timeout",
    type=click.FloatRange(0.05, 600),
    default=5.0,
    show_default=True,
    help="Seconds within which an answer is owed.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("mimc-fuzz"),
    show_default=True,
    help="Folder for a reproducer of each finding.",
)
@click.option("--replay", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Try a reproducer again.")
@click.option("--i-own-this-server", "owned", is_flag=True, help="Needed for any address but those of this machine.")
@click.pass_context
def fuzz(context: click.Context, /, address: str, replay: Path | None, seconds: float, **options: Any) -> None:
    """Send mutated input to a MIMC server that is yours, and see whether it bears it.

    One link says what a client says, mutated where it is plain: lengths, checksums and encryption are right again.
    Another one does all as it should, and must not feel it. Without a token only the phase before the login is tried.

    Exit status: 0 if the server bore it all, 1 if something was found, 2 for wrong usage or a server that is not
    healthy to begin with, 130 if interrupted.
    """
    server = _server(address, **options)
    case = _reproducer(replay, server) if replay is not None else None
    seed = options["seed"] if options["seed"] is not None else random.SystemRandom().getrandbits(32)
    about: dict[str, object] = {"framing": server.framing.name.lower()}
    click.echo(f"seed {seed}", err=True)
    try:
        campaign = Campaign(server, seed=seed, rate=options["rate"], folder=options["output"], about=about)
    except (Unreachable, MimcError) as error:  # the latter: no extra for WebSocket
        raise click.UsageError(f"cannot begin: {error}") from None
    try:
        found = _run(campaign, seconds) if case is None else _replayed(campaign, case)
    except KeyboardInterrupt:
        click.echo(_state(campaign), err=True)
        sys.exit(INTERRUPTED)
    finally:
        campaign.close()
    context.exit(FOUND if found else 0)


def _run(campaign: Campaign, seconds: float) -> bool:
    said = time.monotonic()
    for finding in campaign.run(seconds):
        if finding is not None:
            _show(finding)
        if time.monotonic() - said >= PROGRESS_EVERY:
            said = time.monotonic()
            click.echo(_state(campaign), err=True)
    click.echo(_state(campaign))
    if campaign.gone:
        click.echo("the server does not come back: nothing more was tried")
    return bool(campaign.findings)


def _show(finding: Finding) -> None:
    again = "shown again" if finding.again else "not shown again"
    place = finding.path or "it cannot be kept there (--output)"
    click.echo(f"{finding.verdict.kind}: {finding.verdict.detail} ({again}; {place})")


def _state(campaign: Campaign) -> str:
    return f"{campaign.inputs} inputs on {campaign.cases} links, {len(campaign.findings)} findings"


def _reproducer(path: Path, server: Server) -> Case:
    """The case of a file, if it can be tried like this."""
    try:
        case, about = load(path)
    except (CaseError, OSError) as error:
        raise click.BadParameter(str(error), param_hint="--replay") from None
    framing = str(about.get("framing")).upper()
    if framing != server.framing.name:
        raise click.UsageError(f"expected a reproducer for {server.framing.name}, got one for {framing} (--websocket)")
    if case.phase is Phase.ONLINE and server.credentials is None:
        raise click.UsageError("expected --token or --app-id: this was said by a user who is logged in")
    return case


def _replayed(campaign: Campaign, case: Case) -> bool:
    verdict = campaign.replay(case)
    click.echo("the server bears it" if verdict is None else f"{verdict.kind}: {verdict.detail}")
    return verdict is not None


# ------------------------------------------------------------------------------------------------------------- options


def _server(
    address: str,
    *,
    owned: bool,
    tls: bool,
    ca: str | None,
    websocket: bool,
    answer_timeout: float,
    **options: Any,
) -> Server:
    host, port = _host_and_port(address)
    framing = Framing.WEBSOCKET if websocket else Framing.TCP
    if ca is not None and not tls:
        raise click.UsageError("expected --tls with --ca")
    context = ssl.create_default_context(cafile=ca) if tls else None
    resolved = _resolved(host, port, owned)
    dialer = Dialer((resolved, port), framing=framing, host=host, tls=context, timeout=answer_timeout)
    return Server(dialer, framing, _credentials(**options), time.monotonic, time.sleep, answer_timeout)


def _host_and_port(text: str) -> tuple[str, int]:
    """Of HOST:PORT or [IPv6]:PORT."""
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.port and parts.netloc == text and not parts.username:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise click.BadParameter(f"expected HOST:PORT such as 127.0.0.1:5222, got {text!r}", param_hint="HOST:PORT")


def _resolved(host: str, port: int, owned: bool) -> str:
    """The first address of a host. Those of other machines need a word that they are the user's."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise click.BadParameter(f"cannot resolve {host!r}: {error}", param_hint="HOST:PORT") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not owned and not all(ipaddress.ip_address(text.partition("%")[0]).is_loopback for text in addresses):
        raise click.UsageError(
            f"expected an address of this machine, got {addresses[0]}: fuzzing harms a server, so say"
            " --i-own-this-server if that one is yours to harm"
        )
    return addresses[0]


def _credentials(
    *,
    token: str | None,
    app_id: int | None,
    app_key: str | None,
    app_secret: str | None,
    token_url: str | None,
    account: str,
    **_: Any,
) -> Credentials | None:
    """Who logs in; None for nobody."""
    if token is not None:
        if app_id is not None:
            raise click.UsageError("expected --token or --app-id, got both")
        return _parsed(_read(token), "--token")
    if app_id is None:
        return None
    if not (app_key and app_secret and token_url):
        raise click.UsageError("expected --app-key, --app-secret and --token-url with --app-id")
    from mimc_transports import HttpTokenProvider

    try:
        provider = HttpTokenProvider(
            token_url, app_id=app_id, app_key=app_key, app_secret=app_secret, app_account=account
        )
        return _parsed(provider.fetch(), "--token-url")
    except MimcError as error:
        raise click.UsageError(f"no token: {error}") from None


def _read(place: str) -> str:
    """The text of a token answer."""
    try:
        if place.startswith(("http://", "https://")):
            from mimc_transports import HttpTokenProvider

            return HttpTokenProvider.for_own_server(place).fetch()
        with click.open_file(place, "rb") as file:
            data: bytes = file.read(MOST_TOKEN_BYTES)
            return data.decode(errors="replace")
    except (OSError, MimcError) as error:
        raise click.BadParameter(str(error), param_hint="--token") from None


def _parsed(text: str, option: str) -> Credentials:
    """Whoever the answer is about; if it does not say, its reader tells what is wrong with it."""
    app_id, account = 1, "nobody"
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        answer = json.loads(text)
        data = answer.get("data", answer)
        app_id, account = int(data["appId"]), str(data["appAccount"])
    try:
        return parse_token_answer(text, app_id=app_id, account=account).credentials
    except MimcError as error:
        raise click.BadParameter(str(error), param_hint=option) from None
