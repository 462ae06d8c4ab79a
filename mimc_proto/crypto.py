"""RC4, the two key derivations and the BIND signature (wire.md section 3).

MIMC uses RC4 with keys of any length from 1 to 256 bytes and drops no keystream. It hides nothing from someone on
the path (wire.md section 8): run the connection inside TLS where that matters.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from .errors import CryptoError

try:
    from arc4 import ARC4
except ImportError:  # no wheel and no compiler: everything works, more slowly
    from ._rc4 import ARC4  # type: ignore[assignment]  # the same interface, in Python

__all__ = [
    "ARC4",
    "BodyCipher",
    "bind_signature",
    "body_key",
    "payload_key",
    "rc4",
    "verify_bind_signature",
]

SERVER = "xiaomi.com"
"""The domain that every header and signature names."""

MAX_KEY = 256
KEYSTREAM_LIMIT = 4096
"""Bytes of a link's body keystream that are kept; longer bodies are encrypted by arc4 in one go."""


def rc4(key: bytes, data: bytes) -> bytes:
    """``data`` encrypted (or decrypted: it is the same) under ``key``, from the first byte of the keystream.

    Raises `CryptoError` unless the key has 1 to 256 bytes, `TypeError` for data that is not bytes.
    """
    if not isinstance(key, bytes) or not 0 < len(key) <= MAX_KEY:
        raise _bad_key(key)
    if not isinstance(data, bytes):  # arc4 would take text, as UTF-8
        raise TypeError(f"expected bytes, got {type(data).__name__}")
    return ARC4(key).encrypt(data)


def _bad_key(key: object) -> CryptoError:
    got = len(key) if isinstance(key, bytes) else type(key).__name__
    return CryptoError(f"expected a key of 1 to {MAX_KEY} bytes, got {got}", where="RC4 key")


def _check_text(value: object, where: str) -> None:
    if not isinstance(value, str):
        raise CryptoError(f"expected text, got {type(value).__name__}", where=where)


def body_key(challenge: str, udid: str) -> bytes:
    """The key of all bodies of one TCP connection: RC4 of the second halves under the whole challenge.

    ``challenge`` comes from the CONN answer, ``udid`` from CONN (often empty). Each is cut at its own ``len // 2``.
    Raises `CryptoError` if one is not ASCII, or if the challenge is empty or the key would be too long.
    """
    for name, text in (("challenge", challenge), ("udid", udid)):
        _check_text(text, name)
        if not text.isascii():
            raise CryptoError("expected ASCII characters only", where=name)
    if not 0 < len(challenge) <= MAX_KEY:
        raise CryptoError(f"expected 1 to {MAX_KEY} characters, got {len(challenge)}", where="challenge")
    halves = challenge[len(challenge) // 2 :] + udid[len(udid) // 2 :]
    if len(halves) > MAX_KEY:
        limit = 2 * (MAX_KEY - len(challenge) + len(challenge) // 2)
        raise CryptoError(f"expected at most {limit} characters, got {len(udid)}", where="udid")
    return rc4(challenge.encode(), halves.encode())


def security_key_bytes(security_key: str) -> bytes:
    """The binary form of a token's ``miUserSecurityKey``, with the ``_`` that follows it in every payload key.

    Standard, padded base64; line breaks are skipped, as Go and Java do. Anything else raises `CryptoError`.
    """
    _check_text(security_key, "security key")
    try:
        text = security_key.replace("\n", "").replace("\r", "").encode("ascii")
        secret = base64.b64decode(text, validate=True)
        if len(text) != (len(secret) + 2) // 3 * 4:  # Python lets surplus padding pass
            raise binascii.Error
    except (UnicodeEncodeError, binascii.Error):
        raise CryptoError("expected standard base64 with its padding", where="security key") from None
    if not 0 < len(secret) <= MAX_KEY - 2:
        raise CryptoError(f"expected 1 to {MAX_KEY - 2} bytes in base64, got {len(secret)}", where="security key")
    return secret + b"_"


def payload_key(security_key: str, packet_id: str) -> bytes:
    """The RC4 key of one SECMSG payload: the decoded security key, ``_`` and the id of *that* packet's header.

    ``security_key`` is the base64 text of the token answer. Raises `CryptoError` for bad base64, an empty key or
    id, an id that is no text, or a key of more than 256 bytes.
    """
    _check_text(packet_id, "packet id")
    if not packet_id:
        raise CryptoError("expected a header id, got an empty one", where="packet id")
    secret = security_key_bytes(security_key)
    try:
        key = secret + packet_id.encode()
    except UnicodeEncodeError:
        raise CryptoError("expected text that UTF-8 can carry", where="packet id") from None
    if len(key) > MAX_KEY:
        raise _bad_key(key)
    return key


def bind_signature(
    *,
    token: str,
    challenge: str,
    chid: int,
    uuid: int,
    resource: str,
    packet_id: str,
    security_key: str,
    kick: str = "0",
    method: str = "XIAOMI-PASS",
    client_attrs: str = "",
    cloud_attrs: str = "",
) -> str:
    """The ``sig`` field of BIND, as base64 text; ``packet_id`` is the header id of that BIND.

    Signs its texts exactly as given; `verify_bind_signature` knows what a verifier has to read otherwise. Raises
    `CryptoError` for text that UTF-8 cannot carry.
    """
    for name, number in (("chid", chid), ("uuid", uuid)):
        if type(number) is not int:
            raise CryptoError(f"expected an integer, got {type(number).__name__}", where=name)
    _check_text(resource, "resource")
    fields = {
        "challenge": challenge,
        "chid": str(chid),
        "client_attrs": client_attrs,
        "cloud_attrs": cloud_attrs,
        "from": f"{uuid}@{SERVER}/{resource}",
        "id": packet_id,
        "kick": kick,
        "to": SERVER,
        "token": token,
    }
    return _signature(method, fields, security_key)


def verify_bind_signature(
    signature: str,
    *,
    token: str,
    challenge: str,
    chid: int,
    uuid: int,
    resource: str,
    packet_id: str,
    security_key: str,
    kick: str = "0",
    method: str = "XIAOMI-PASS",
    client_attrs: str = "",
    cloud_attrs: str = "",
) -> bool:
    """Whether ``signature`` is the one of these fields, compared in constant time.

    An empty ``kick`` counts as ``0``: WebJS leaves the field empty but signs ``kick=0``.
    """
    _check_text(signature, "signature")
    expected = bind_signature(
        token=token,
        challenge=challenge,
        chid=chid,
        uuid=uuid,
        resource=resource,
        packet_id=packet_id,
        security_key=security_key,
        kick=kick or "0",
        method=method,
        client_attrs=client_attrs,
        cloud_attrs=cloud_attrs,
    )
    return hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), expected.encode())


def _signature(method: str, fields: dict[str, str], security_key: str) -> str:
    """base64(sha1) over the method in upper case, the fields by name, and the key as its base64 text."""
    for name, value in {**fields, "method": method, "security key": security_key}.items():
        _check_text(value, name)
    parts = [method.upper(), *(f"{name}={fields[name]}" for name in sorted(fields)), security_key]
    try:
        text = "&".join(parts).encode()
    except UnicodeEncodeError:
        raise CryptoError("expected text that UTF-8 can carry", where="BIND signature") from None
    return base64.b64encode(hashlib.sha1(text, usedforsecurity=False).digest()).decode("ascii")


class BodyCipher:
    """RC4 of frame bodies under one connection's body key.

    The keystream restarts with every frame (wire.md section 1.1), so it is computed once, grown as needed and
    XORed as one big integer. The integers of the lengths seen last are kept; `trim` gives the memory back.
    """

    __slots__ = ("_integers", "_key", "_keystream")

    INTEGERS = 4
    LONGEST_INTEGER = 1024

    def __init__(self, key: bytes) -> None:
        if not isinstance(key, bytes) or not 0 < len(key) <= MAX_KEY:
            raise _bad_key(key)
        self._key = key
        self._keystream = b""
        self._integers: dict[int, int] = {}

    def apply(self, body: bytes) -> bytes:
        """The body encrypted or decrypted; any length, in time linear in it."""
        size = len(body)
        stream = self._integers.get(size)
        if stream is None:
            if size > KEYSTREAM_LIMIT:
                return rc4(self._key, body)
            stream = self._integer(size)
        return (int.from_bytes(body, "little") ^ stream).to_bytes(size, "little")

    def trim(self) -> None:
        """Forget the cached keystream; the next frame computes it again."""
        self._keystream = b""
        self._integers = {}

    def _integer(self, size: int) -> int:
        if size > len(self._keystream):
            grown = min(KEYSTREAM_LIMIT, -(-size // 256) * 256)
            self._keystream = rc4(self._key, bytes(grown))
        stream = int.from_bytes(self._keystream[:size], "little")
        if size <= self.LONGEST_INTEGER:
            if len(self._integers) >= self.INTEGERS:
                self._integers = {}
            self._integers[size] = stream
        return stream

    def __repr__(self) -> str:
        return "BodyCipher(***)"
