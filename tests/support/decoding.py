"""What the tests of `mimc decode` share: frames to decode, and the decoder as the command runs it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

from click.testing import CliRunner, Result
from mimc_cli._output import to_line
from mimc_cli.decoding import Decoder, Keys
from mimc_cli.main import mimc

from mimc_proto.crypto import payload_key, rc4
from mimc_proto.framing import encode_tcp_frame, encode_websocket_packet, join_body
from mimc_proto.packets import Header, Packet

SECURITY_KEY = "XOF8dTB2dOVVkEdZB9O21w=="
BODY_KEY = b"body!"

Shown = dict[str, Any]


def decode(data: bytes, *, direction: str | None = None, hide_secrets: bool = False, **keys: Any) -> list[Shown]:
    """The objects printed for ``data``; each went through the JSON that users get."""
    decoder = Decoder(Keys(**keys), direction=direction, hide_secrets=hide_secrets)
    objects = [json.loads(to_line(shown)) for shown in decoder.decode(data)]
    assert decoder.broken == any("broken" in shown for shown in objects)
    return objects


def decode_one(data: bytes, **options: Any) -> Shown:
    """The only object printed for ``data``."""
    [shown] = decode(data, **options)
    return shown


def run(*arguments: str, stdin: bytes = b"") -> Result:
    """`mimc` with these arguments, standard output and standard error apart."""
    apart: dict[str, Any] = {}
    if "mix_stderr" in inspect.signature(CliRunner).parameters:  # before click 8.2
        apart["mix_stderr"] = False
    return CliRunner(**apart).invoke(mimc, arguments, input=stdin)


def header(cmd: str = "SECMSG", **fields: Any) -> bytes:
    """An encoded ClientHeader."""
    defaults: dict[str, Any] = {"chid": 9, "uuid": 7, "server": "xiaomi.com", "resource": "pc", "id": "id_1"}
    if cmd == "SECMSG":
        defaults["cipher"] = 1
    return Header(**{**defaults, "cmd": cmd, **fields}).encode()


def tcp(head: bytes, payload: bytes = b"", *, key: bytes | None = None) -> bytes:
    """A TCP frame, its body encrypted if there is a key."""
    body = join_body(head, payload)
    return encode_tcp_frame(rc4(key, body) if key else body)


def websocket(head: bytes, payload: bytes = b"") -> bytes:
    """A WebSocket packet."""
    return encode_websocket_packet(head, payload)


def sealed(payload: Packet | bytes, header_id: str = "id_1") -> bytes:
    """The RC4-encrypted payload of a SECMSG."""
    plain = payload if isinstance(payload, bytes) else payload.encode()
    return rc4(payload_key(SECURITY_KEY, header_id), plain)


def down(payload: Packet | bytes, **fields: Any) -> Shown:
    """A SECMSG from the server, decoded with its key."""
    frame = websocket(header(dir_flag=4, **fields), sealed(payload))
    return decode_one(frame, security_key=SECURITY_KEY)


def leaves(value: Any, name: str) -> Iterator[Any]:
    """Every value called ``name``, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, name)


def notes(shown: Shown) -> str:
    """All notes in one text."""
    return "\n".join(shown.get("notes", []))
