"""Tokens: how users prove who they are, without the service having to keep anything for them.

A token is signed, not encrypted: whoever has it can read its account. It carries no key: the security key that comes
with it is derived from it and the secret of the issuer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from typing import Any, ClassVar, Protocol

from mimc_proto._checks import MAX_NAME, check_text
from mimc_proto._record import Record
from mimc_proto.errors import LocalProtocolError, MimcError

from .applications import Application

__all__ = [
    "IssuedToken",
    "Randomness",
    "TokenClaims",
    "TokenExpired",
    "TokenInvalid",
    "TokenIssuer",
    "TokenRefused",
    "token_answer",
]

_HEAD = struct.Struct(">QQQQQ")  # app id, uuid, issued at, expires at (ms), nonce; the account follows
_MAC_BYTES = hashlib.sha256().digest_size
_KEY_BYTES = 16
_LEAST_SECRET = 16

_LONGEST_TEXT = -(-(_HEAD.size + MAX_NAME + _MAC_BYTES) * 4 // 3)
"""Of a token for the longest account: 1 462 characters, well below the 2 048 that fit a BIND."""


class TokenRefused(MimcError):  # noqa: N818 (as LoginRefused)
    """A token is not good; the client has to fetch another. The message never holds the token."""

    reason: ClassVar[str]
    """What BIND and KICK say (wire.md section 3); every client takes it as a call for a new token."""


class TokenExpired(TokenRefused):
    """It was good once: its lifetime is over, or it was revoked."""

    reason = "token-expired"


class TokenInvalid(TokenRefused):
    """It was never issued here: forged, cut, changed or another service's."""

    reason = "invalid-token"


class Randomness(Protocol):
    """What issuer and service need of a source of randomness, as `random.Random` has it."""

    def getrandbits(self, k: int, /) -> int: ...


class IssuedToken(Record, secret=("token", "security_key")):
    """A new token; ``security_key`` is the base64 of 16 bytes, ``expires_ms`` Unix time in milliseconds."""

    __slots__ = ()
    token: str
    security_key: str
    expires_ms: int


class TokenClaims(Record, secret=("security_key",)):
    """What a good token says of its user; times are Unix time in milliseconds."""

    __slots__ = ()
    app_id: int
    account: str
    uuid: int
    security_key: str
    issued_ms: int
    expires_ms: int


class TokenIssuer:
    """Issues tokens, and knows those it issued: anybody with the same secret does.

    ``secret``: at least 16 bytes; ``lifetime``: seconds. Raises `LocalProtocolError` for anything else. Tokens need not
    be unpredictable, for they are signed: ``rng`` makes two of the same millisecond different.
    """

    def __init__(self, secret: bytes, lifetime: float, rng: Randomness) -> None:
        if len(secret) < _LEAST_SECRET:
            raise LocalProtocolError(f"expected at least {_LEAST_SECRET} bytes, got {len(secret)}", where="secret")
        if not 1e-3 <= lifetime <= 1e10:
            raise LocalProtocolError(f"expected seconds from 0.001 to 1e10, got {lifetime}", where="lifetime")
        self._signing_key = _hmac(secret, b"MIMC token signature, version 1")
        self._deriving_key = _hmac(secret, b"MIMC security key, version 1")
        self._lifetime_ms = round(lifetime * 1000)
        self._rng = rng

    def issue(self, app_id: int, account: str, uuid: int, wall_ms: int) -> IssuedToken:
        """A token for a user. Raises `LocalProtocolError` if the account or a number cannot be in one."""
        check_text(account, "account", MAX_NAME)
        expires_ms = wall_ms + self._lifetime_ms
        try:
            head = _HEAD.pack(app_id, uuid, wall_ms, expires_ms, self._rng.getrandbits(64))
        except struct.error:
            problem = f"expected numbers from 0 to 2**64 - 1, got {app_id}, {uuid} and {wall_ms}"
            raise LocalProtocolError(problem, where="app_id, uuid, wall_ms") from None
        body = head + account.encode()
        token = base64.urlsafe_b64encode(body + _hmac(self._signing_key, body)).rstrip(b"=").decode()
        return IssuedToken(token=token, security_key=self._security_key(body), expires_ms=expires_ms)

    def verify(self, token: str, wall_ms: int, good_from_ms: int = 0) -> TokenClaims:
        """What a token says, if it was issued here and is still good.

        Raises `TokenExpired` if its time is over or it was issued before ``good_from_ms`` (revoked), `TokenInvalid`
        for anything else that is not one of our tokens, letter for letter.
        """
        body = self._signed_body(token)
        app_id, uuid, issued_ms, expires_ms, _ = _HEAD.unpack_from(body)
        if wall_ms >= expires_ms:
            raise TokenExpired(f"the token expired {wall_ms - expires_ms} ms ago")
        if issued_ms < good_from_ms:
            raise TokenExpired(f"the token was revoked: it was issued {good_from_ms - issued_ms} ms too early")
        return TokenClaims(
            app_id=app_id,
            account=body[_HEAD.size :].decode(),
            uuid=uuid,
            security_key=self._security_key(body),
            issued_ms=issued_ms,
            expires_ms=expires_ms,
        )

    def _signed_body(self, token: str) -> bytes:
        if len(token) > _LONGEST_TEXT:
            raise TokenInvalid(f"expected at most {_LONGEST_TEXT} characters, got {len(token)}")
        try:
            text = token.encode("ascii")
            signed = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
        except (UnicodeEncodeError, binascii.Error):
            raise TokenInvalid("expected base64url without padding") from None
        # the decoder skips foreign characters and ignores spare bits: only one text of each token is good
        if base64.urlsafe_b64encode(signed).rstrip(b"=") != text:
            raise TokenInvalid("expected base64url in its one canonical form")
        body, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, _hmac(self._signing_key, body)):
            raise TokenInvalid("the signature is wrong: another service issued it, or it was changed")
        return body

    def _security_key(self, body: bytes) -> str:
        return base64.b64encode(_hmac(self._deriving_key, body)[:_KEY_BYTES]).decode()


def token_answer(
    application: Application,
    account: str,
    uuid: int,
    issued: IssuedToken,
    *,
    frontend: str = "app.chat.xiaomi.net",
    relay: str = "relay.mimc.chat.xiaomi.net",
    region_bucket: int = 0,
) -> dict[str, Any]:
    """The answer to ``POST /api/account/token``, ready for ``json.dumps``; it holds secrets.

    Ids are text and ``miChid`` and ``regionBucket`` numbers, because the Go client fails on anything else (rest.md).
    ``frontend`` and ``relay`` are the domains that clients ask the resolver for; C++ refuses to go without the relay.
    """
    data = {
        "appId": str(application.app_id),
        "appPackage": application.package,
        "appAccount": account,
        "miChid": 9,
        "miUserId": str(uuid),
        "miUserSecurityKey": issued.security_key,
        "token": issued.token,
        "regionBucket": region_bucket,
        "feDomainName": frontend,
        "relayDomainName": relay,
    }
    return {"code": 200, "message": "success", "data": data}


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
