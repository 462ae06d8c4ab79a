"""The token answer: who a user is and where its frontends are (rest.md, section 1; clients.md, rule 13)."""

from __future__ import annotations

from collections.abc import Mapping

from .._checks import MAX_NAME, MAX_TOKEN, link_secret
from .._record import Record
from ..credentials import Credentials
from ..errors import CryptoError, TokenError, shown
from ._json import JsonObject, described
from .resolver import is_host_name

__all__ = ["TokenAnswer", "parse_token_answer"]

_SUCCESS = 200
_MAX_ID = (1 << 63) - 1
_MAX_CHID = (1 << 31) - 1
_DEFAULT_CHID = 9
_MAX_KEY_TEXT = 512
_MAX_HOST_NAME = 253


class TokenAnswer(Record):
    """A token answer that was checked whole: who logs in, and where.

    ``fe_domain`` is ``feDomainName``, the frontends' domain to ask the resolver for. ``relay_domain`` is
    ``relayDomainName``, that of the relays for calls; None if the answer has none.
    """

    __slots__ = ()
    credentials: Credentials
    fe_domain: str
    relay_domain: str | None = None


def parse_token_answer(body: str | bytes | Mapping[str, object], *, app_id: int, account: str) -> TokenAnswer:
    """Read the answer of a token endpoint: MIMC's whole ``{"code": 200, "message": ..., "data": {...}}`` or its data.

    Application servers often pass on only the ``data`` object, so that alone will do. Ids may be numbers or text,
    other fields are not looked at. ``app_id`` and ``account`` are those that the token was asked for.

    Raises `TokenError`, which names the first field that is missing, of the wrong type or out of range, and says
    what was expected; also for a code other than 200, for another application or account than asked for, and for
    text that is no JSON, has a key twice, is nested deeper than 32 or larger than 64 KiB. Of tokens and keys it says
    no more than type and length.
    """
    answer = JsonObject.read(body, "token answer", TokenError)
    data = _data(answer) if "code" in answer or "data" in answer else answer
    _check_app_id(data, app_id)
    _check_account(data, account)
    credentials = Credentials(
        app_id=app_id,
        account=account,
        uuid=data.whole("miUserId", 1, _MAX_ID),
        token=data.text("token", MAX_TOKEN, secret=True),
        security_key=_security_key(data),
        package=data.text("appPackage", MAX_NAME, empty=True),
        chid=_DEFAULT_CHID if data.absent("miChid") else data.whole("miChid", 0, _MAX_CHID),
    )
    relay = (
        None
        if data.value("relayDomainName") == "" or data.absent("relayDomainName")
        else _host_name(data, "relayDomainName")
    )
    return TokenAnswer(credentials=credentials, fe_domain=_host_name(data, "feDomainName"), relay_domain=relay)


def _data(answer: JsonObject) -> JsonObject:
    """What is in the envelope."""
    code = answer.value("code")
    if type(code) is not int:
        raise answer.wrong("code", f"expected {_SUCCESS}, got {described(code)}")
    if code != _SUCCESS:
        message = answer.value("message")
        raise answer.wrong("code", f"expected {_SUCCESS}, got {described(code)} with the message {described(message)}")
    return answer.object("data")


def _check_app_id(data: JsonObject, app_id: int) -> None:
    got = data.whole("appId", 1, _MAX_ID)
    if got != app_id:
        raise data.wrong("appId", f"expected {app_id}, got {got}: the token endpoint serves another application")


def _check_account(data: JsonObject, account: str) -> None:
    got = data.text("appAccount", MAX_NAME)
    if got != account:
        reason = "the token endpoint logs in another account"
        raise data.wrong("appAccount", f"expected {shown(account)}, got {shown(got)}: {reason}")


def _security_key(data: JsonObject) -> str:
    key = data.text("miUserSecurityKey", _MAX_KEY_TEXT, secret=True)
    try:
        link_secret(key)
    except CryptoError as error:
        problem = error.problem
    else:
        return key
    raise data.wrong("miUserSecurityKey", f"{problem}; the text has {len(key)} characters")


def _host_name(data: JsonObject, key: str) -> str:
    name = data.text(key, _MAX_HOST_NAME)
    if not is_host_name(name):
        raise data.wrong(key, f"expected a plain host name, got {described(name)}")
    return name
