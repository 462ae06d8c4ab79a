"""The payload of a SECMSG: encrypted or plain, by its direction and cipher, and what is inside."""

from __future__ import annotations

from typing import Any

from mimc_proto.crypto import rc4
from mimc_proto.errors import CryptoError
from mimc_proto.packets import Packet

from .bodies import Contents
from .direction import UP
from .findings import Findings
from .keys import Keys
from .messages import MessageReader, looks_like, reads_as

__all__ = ["read_secmsg"]

MARKER = "type"
"""Every MIMCPacket has one."""


def read_secmsg(
    contents: Contents, header: dict[str, Any], direction: str, keys: Keys, reader: MessageReader, findings: Findings
) -> tuple[dict[str, Any], str]:
    """The payload as shown, and the state of its encryption.

    Downwards it is always encrypted; upwards if ``cipher`` is 1, for WebJS sends it plain (wire.md section 1).
    """
    payload, base = contents.payload, contents.payload_base
    plain: bytes | None
    if direction == UP and header.get("cipher") != 1:
        plain, state = _expect_plain(payload, header, keys, findings, base)
    else:
        plain, state = _expect_encrypted(payload, header, direction, keys, findings, base)
    shown: dict[str, Any] = {"size": len(payload)}
    if plain is not None:
        shown["MIMCPacket"] = reader.read(Packet, plain, base)
    return shown, state


def _expect_plain(
    payload: bytes, header: dict[str, Any], keys: Keys, findings: Findings, base: int
) -> tuple[bytes, str]:
    if not looks_like(Packet, payload, MARKER):
        opened = _opened(payload, header, keys)
        if isinstance(opened, bytes) and looks_like(Packet, opened, MARKER):
            problem = "expected a plain payload, for cipher is not 1 (servers go by it), got an RC4-encrypted one"
            findings.fault("payload", base, problem)
            return opened, "opened"
    return payload, "none"


def _expect_encrypted(
    payload: bytes, header: dict[str, Any], direction: str, keys: Keys, findings: Findings, base: int
) -> tuple[bytes | None, str]:
    if not payload:
        return payload, "none"
    opened = _opened(payload, header, keys)
    if isinstance(opened, bytes) and looks_like(Packet, opened, MARKER):
        return opened, "opened"
    if reads_as(Packet, payload, MARKER):
        rule = "cipher is 1" if direction == UP else "clients decrypt all of them downwards"
        findings.fault("payload", base, f"expected an RC4-encrypted payload ({rule}), got a plain one")
        return payload, "none"
    if isinstance(opened, bytes):
        problem = (
            "the payload does not open with this security key and header.id: expected a MIMCPacket,"
            f" got {opened[:4].hex()}... after decryption"
        )
        findings.fault("payload", base, problem)
    else:
        findings.note(f"the payload is encrypted: {opened}")
    return None, "closed"


def _opened(payload: bytes, header: dict[str, Any], keys: Keys) -> bytes | str:
    """The decrypted payload, or why there is none."""
    if keys.security_key is None:
        return "--security-key opens it"
    try:
        key = keys.payload_key(header.get("id", ""))
    except CryptoError as error:
        return f"no key can be made ({error})"
    return rc4(key, payload) if key is not None else ""
