"""`mimc decode`: frames to JSON (docs/how-to/decode.md)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ._options import keys_from_options
from ._output import standard_output, to_line
from ._sources import read_sources
from .decoding import DIRECTIONS, PLAIN_MESSAGES, Decoder, decode_plain

__all__ = ["decode"]

DEFAULT_MAX_BYTES = 64 * 1024 * 1024

EPILOG = """\b
Examples:
  mimc decode c2fe0005000000000d2301c6
  mimc decode --challenge a1B2c3D4e5 --security-key XOF8dTB2dOVVkEdZB9O21w== session.bin
  xxd -p capture.bin | mimc decode --security-key XOF8dTB2dOVVkEdZB9O21w== | jq .payload
"""


@click.command(epilog=EPILOG)
@click.argument("source", nargs=-1)
@click.option("--body-key", metavar="HEX", help="Key of the bodies of TCP frames.")
@click.option("--challenge", metavar="TEXT", help="Challenge of the CONN answer: gives the body key.")
@click.option("--udid", metavar="TEXT", help="The udid of the CONN, a part of the body key. [default: empty]")
@click.option("--security-key", metavar="B64", help="miUserSecurityKey of the token: opens SECMSG payloads.")
@click.option(
    "--direction",
    type=click.Choice([*DIRECTIONS, "auto"]),
    default="auto",
    show_default=True,
    help="Client to server is up; auto goes by dir_flag, then by command and fields.",
)
@click.option("--hide-secrets", is_flag=True, help="Mask tokens, signatures, challenges and session keys.")
@click.option("--pretty", is_flag=True, help="Indent the JSON; one object takes many lines then.")
@click.option(
    "--plain",
    metavar="MESSAGE",
    type=click.Choice(PLAIN_MESSAGES, case_sensitive=False),
    help="The input is one bare protobuf message and no frame, for example MIMCPacket.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    default=DEFAULT_MAX_BYTES,
    show_default=True,
    help="Largest input that is read.",
)
@click.pass_context
def decode(
    ctx: click.Context,
    source: tuple[str, ...],
    body_key: str | None,
    challenge: str | None,
    udid: str | None,
    security_key: str | None,
    direction: str,
    hide_secrets: bool,
    pretty: bool,
    plain: str | None,
    max_bytes: int,
) -> None:
    """Print MIMC frames as JSON, one object per line.

    SOURCE is a file, '-' for standard input (the default), or the frames themselves in hex. Files hold hex or
    binary, one frame or many, of the TCP and the WebSocket framing. A CONN and its answer in the input give the
    body key of what follows.

    Exit status: 0, or 1 if anything was broken, or 2 for wrong usage or output that cannot be written; 130 and 141 if
    interrupted or if nobody reads the output.
    """
    keys = keys_from_options(body_key, challenge, udid, security_key)
    decoder = Decoder(keys, direction=None if direction == "auto" else direction, hide_secrets=hide_secrets)
    broken = False
    with standard_output() as output:
        for name, data in read_sources(source, max_bytes):
            if not data:
                click.echo(f"mimc decode: {name} is empty", err=True)
            objects: Iterator[dict[str, Any]] = decoder.decode(data)
            if plain is not None:
                objects = iter([decode_plain(plain, data, hide_secrets=hide_secrets)])
            for shown in objects:
                if len(source) > 1:
                    shown = {"source": name, **shown}
                output.write(to_line(shown, pretty=pretty))
                broken = broken or "broken" in shown
    ctx.exit(1 if broken else 0)
