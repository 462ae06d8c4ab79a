"""Who a request comes from: by token (a user), or by an application's secret (its server; rest.md, A and B)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from starlette.datastructures import Headers

from mimc_proto._checks import MAX_NAME, check_text
from mimc_proto._record import Record

from ..applications import Application, Applications
from ..store import Member, Store
from ..tokens import TokenIssuer, TokenRefused
from .envelope import AnswerCode, Failure
from .fields import whole_number

__all__ = ["Caller", "Callers"]

_BY_SECRET = ("appKey", "appSecret", "appAccount")
_ONCE = ("token", *_BY_SECRET, "appId", "appAccountEncode", "topicId", "startUuid")


class Caller(Record):
    """Who a request comes from; ``by_secret``: it is the application's server that acts for this user."""

    __slots__ = ()
    application: Application
    member: Member
    by_secret: bool = False

    @property
    def app_id(self) -> int:
        """The application's id."""
        return self.application.app_id

    def check_application(self, app_id: int | None) -> None:
        """Raises `Failure` if a request names another application than the caller's."""
        if app_id is not None and app_id != self.app_id:
            raise Failure(AnswerCode.NOT_FOUND, f"expected the caller's application {self.app_id}, got {app_id}")


class Callers:
    """Knows callers by the headers of their requests. The store is asked in every call."""

    def __init__(
        self, applications: Applications, store: Store, tokens: TokenIssuer, wall_ms: Callable[[], int]
    ) -> None:
        self._applications = applications
        self._store = store
        self._tokens = tokens
        self._wall_ms = wall_ms

    def caller(self, headers: Headers) -> Caller:
        """By the header ``token``, else by appKey, appSecret and appAccount. Raises `Failure`.

        What decides who it is may not come twice: something before us may have looked at the other one.
        """
        for name in _ONCE:
            if len(headers.getlist(name)) > 1:
                raise Failure(AnswerCode.BAD_REQUEST, f"expected the header {name} once")
        token = headers.get("token")
        return self._by_token(token) if token is not None else self._by_secret(headers)

    def application(self, app_id: int | None, key: str, secret: str) -> Application:
        """The application with this key and secret; ``app_id`` None: any whose they are. Raises `Failure`."""
        application = self._applications.with_secret(app_id, key, secret)
        if application is None:
            expected = "expected appId, appKey and appSecret of an application that is served here"
            raise Failure(AnswerCode.UNAUTHORIZED, expected)
        return application

    def _by_token(self, token: str) -> Caller:
        wall_ms = self._wall_ms()
        try:
            claims = self._tokens.verify(token, wall_ms)
            self._tokens.verify(token, wall_ms, self._store.tokens_good_from(claims.uuid))
        except TokenRefused as error:
            raise Failure(AnswerCode.UNAUTHORIZED, f"{error.reason}: {error}") from None
        application = self._applications.get(claims.app_id)
        member = self._store.find_user(claims.app_id, claims.uuid)
        # a store that begins anew gives its uuids anew: the token may be that of another one who had it
        if application is None or member is None or member.account != claims.account:
            raise Failure(AnswerCode.UNAUTHORIZED, "invalid-token: its application or user is not known here")
        return Caller(application=application, member=member)

    def _by_secret(self, headers: Headers) -> Caller:
        missing = [name for name in _BY_SECRET if name not in headers]
        if missing:
            expected = f"expected the header token, or {', '.join(_BY_SECRET)}; got no {missing[0]}"
            raise Failure(AnswerCode.UNAUTHORIZED, expected)
        key, secret, account = (headers[name] for name in _BY_SECRET)
        application = self.application(_app_id(headers.get("appId")), key, secret)
        account = check_text(_account(account, headers.get("appAccountEncode")), "appAccount", MAX_NAME)
        member = self._store.user(application.app_id, account, self._wall_ms())
        return Caller(application=application, member=member, by_secret=True)


def _app_id(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return whole_number(text)
    except ValueError:
        raise Failure(AnswerCode.BAD_REQUEST, "expected a number in the header appId") from None


def _account(text: str, encoding: str | None) -> str:
    """An account that is not ASCII comes as base64 (``appAccountEncode: base64``); headers have no other encoding."""
    if encoding is None:
        if not text.isascii():
            expected = "expected ASCII in the header appAccount, or base64 with appAccountEncode: base64"
            raise Failure(AnswerCode.BAD_REQUEST, expected)
        return text
    if encoding.lower() != "base64":
        raise Failure(AnswerCode.BAD_REQUEST, "expected base64 in the header appAccountEncode")
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Failure(AnswerCode.BAD_REQUEST, "expected base64 of UTF-8 in the header appAccount") from None
