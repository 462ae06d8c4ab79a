"""Options whose values are secrets: no message repeats what was given."""

from __future__ import annotations

import click

from mimc_proto.crypto import BodyCipher
from mimc_proto.errors import CryptoError

from .decoding import HexError, Keys, from_hex

__all__ = ["keys_from_options"]


def keys_from_options(body_key: str | None, challenge: str | None, udid: str | None, security_key: str | None) -> Keys:
    """The keys given on the command line. Raises `click.UsageError`."""
    if body_key is not None and challenge is not None:
        raise click.UsageError("expected --body-key or --challenge, got both: a challenge gives the body key")
    if challenge is not None:
        _check("--challenge", challenge=challenge)
    if security_key is not None:
        security_key = security_key.strip()
        _check("--security-key", security_key=security_key)
    if udid is not None:
        _check("--udid", challenge=challenge or "any", udid=udid)
    key = _body_key(body_key) if body_key is not None else None
    return Keys(body_key=key, challenge=challenge, udid=udid, security_key=security_key)


def _body_key(text: str) -> bytes:
    try:
        key = from_hex(text)
        BodyCipher(key)
    except (HexError, CryptoError) as error:
        raise click.BadParameter(f"{error} (1 to 256 bytes in hex)", param_hint="--body-key") from None
    return key


def _check(
    option: str, *, challenge: str | None = None, udid: str | None = None, security_key: str | None = None
) -> None:
    try:
        Keys(challenge=challenge, udid=udid, security_key=security_key)
    except CryptoError as error:
        raise click.BadParameter(error.problem, param_hint=option) from None
