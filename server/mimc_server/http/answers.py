"""What the endpoints answer, whatever framework asks: users, tokens, addresses and groups out of a store."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from mimc_proto._checks import MAX_NAME, check_text
from mimc_proto._record import Record

from ..applications import Application, Applications
from ..frontend import unix_ms
from ..store import AckCode, Group, Member, Refused, Store, StoreConfig
from ..tokens import TokenIssuer, TokenRefused, token_answer

__all__ = ["BAD_REQUEST", "NOT_FOUND", "STORE_FAILED", "UNAUTHORIZED", "Caller", "Failure", "HttpService"]

BAD_REQUEST, UNAUTHORIZED, NOT_FOUND, STORE_FAILED = 400, 401, 404, 500
"""Codes of the envelope; the cloud's own are not known, but for 500."""

ANY_ADDRESS = "0.0.0.0"
_BY_SECRET = ("appKey", "appSecret", "appAccount")
_MAX_GROUP_MEMBERS = StoreConfig().max_group_members


class Failure(Exception):  # noqa: N818 (what an answer says)
    """A request that is answered with this code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Caller(Record):
    """Who a request comes from."""

    __slots__ = ()
    application: Application
    member: Member


class _Domains(TypedDict, total=False):
    """Arguments of `token_answer`, those that are not to be its defaults."""

    frontend: str
    relay: str


class HttpService:
    """Answers the requests of clients (`make_app` puts HTTP before it).

    ``frontends`` gives what the resolver tells clients: pairs of IPv4 literal and port, whatever domain they ask for;
    ``0.0.0.0`` stands for the address at which the request came in. ``frontend_domain`` and ``relay_domain`` are the
    domains of the token answers, where they are not those of `token_answer`. ``max_group_members`` is what the store
    allows (`StoreConfig`): no user is made for a group that would be larger. ``wall_ms`` is the time for tokens, Unix
    milliseconds.

    All methods use the store, on the caller's thread. They raise `Failure` for what is to be answered with another
    code than 200, `StoreError`, and `LocalProtocolError` for names that cannot be.
    """

    def __init__(
        self,
        applications: Applications,
        store: Store,
        tokens: TokenIssuer,
        frontends: Callable[[], Iterable[tuple[str, int]]],
        *,
        frontend_domain: str | None = None,
        relay_domain: str | None = None,
        max_group_members: int = _MAX_GROUP_MEMBERS,
        wall_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self._applications = applications
        self._store = store
        self._tokens = tokens
        self._frontends = frontends
        self._domains: _Domains = {}
        if frontend_domain is not None:
            self._domains["frontend"] = frontend_domain
        if relay_domain is not None:
            self._domains["relay"] = relay_domain
        self._max_group_members = max_group_members
        self._wall_ms = wall_ms

    # --------------------------------------------------------------------------------------------------- endpoints

    def token(self, app_id: int, app_key: str, app_secret: str, account: str) -> dict[str, Any]:
        """A new token; who knows the application's secret is any of its users."""
        application = self._application(app_id, app_key, app_secret)
        check_text(account, "appAccount", MAX_NAME)  # first: users are kept for ever
        wall_ms = self._wall_ms()
        member = self._store.user(application.app_id, account, wall_ms)
        issued = self._tokens.issue(application.app_id, account, member.uuid, wall_ms)
        return token_answer(application, account, member.uuid, issued, **self._domains)

    def resolve(self, domains: str, here: str) -> dict[str, Any]:
        """The frontends for every domain of a comma-joined list: C++ refuses an answer that lacks one.

        ``here`` is the address at which the request came in.
        """
        pairs = [(here if host == ANY_ADDRESS else host, port) for host, port in self._frontends()]
        addresses = [f"{host}:{port}" for host, port in pairs if _is_ipv4(host)]
        return {"S": "Ok", "R": {"wifi": {domain: addresses for domain in domains.split(",") if domain}}}

    def topics(self, caller: Caller) -> list[str]:
        """The caller's unlimited groups; Java asks before it sends CONN."""
        groups = self._store.groups_of(caller.application.app_id, caller.member.uuid, unlimited=True)
        return [str(group.topic_id) for group in groups]

    def create_group(self, caller: Caller, app_id: int, name: str, accounts: str, extra: str) -> dict[str, Any]:
        """A group that the caller owns, of comma-joined accounts; those never seen before become users."""
        if app_id != caller.application.app_id:
            raise Failure(NOT_FOUND, f"expected the caller's application {caller.application.app_id}, got {app_id}")
        wall_ms = self._wall_ms()
        named = dict.fromkeys(filter(None, (account.strip() for account in accounts.split(","))))
        for account in named:
            check_text(account, "accounts", MAX_NAME)
        if len({caller.member.account, *named}) > self._max_group_members:  # the store would say so too late
            raise Failure(AckCode.TOO_MANY, f"a normal group has at most {self._max_group_members} members")
        members = [self._store.user(app_id, account, wall_ms).uuid for account in named]
        group = self._created(caller, name, members, extra, unlimited=False)
        info = {
            "topicId": str(group.topic_id),
            "ownerUuid": str(group.owner.uuid),
            "ownerAccount": group.owner.account,
            "topicName": group.name,
            "bulletin": group.bulletin,
            "extra": group.extra,
        }
        shown = [{"uuid": str(member.uuid), "account": member.account} for member in group.members]
        return {"topicInfo": info, "members": shown}

    def create_unlimited_group(self, caller: Caller, name: str, extra: str) -> dict[str, str]:
        """An unlimited group that the caller owns, and is in."""
        group = self._created(caller, name, [], extra, unlimited=True)
        return {
            "topicId": str(group.topic_id),
            "topicName": group.name,
            "ownerId": str(group.owner.uuid),
            "ownerUuid": str(group.owner.uuid),
            "ownerAccount": group.owner.account,
            "extra": group.extra,
        }

    def _created(self, caller: Caller, name: str, members: list[int], extra: str, *, unlimited: bool) -> Group:
        app_id, owner = caller.application.app_id, caller.member.uuid
        made = self._store.create_group(app_id, owner, name, members, self._wall_ms(), unlimited=unlimited, extra=extra)
        if isinstance(made, Refused):
            raise Failure(made.code, made.message)
        return made

    # ------------------------------------------------------------------------------------------------------ callers

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Who a request comes from: by header ``token``, else by appKey, appSecret, appAccount (rest.md, A and B)."""
        token = headers.get("token")
        return self._by_token(token) if token is not None else self._by_secret(headers)

    def _by_token(self, token: str) -> Caller:
        wall_ms = self._wall_ms()
        try:
            claims = self._tokens.verify(token, wall_ms)
            self._tokens.verify(token, wall_ms, self._store.tokens_good_from(claims.uuid))
        except TokenRefused as error:
            raise Failure(UNAUTHORIZED, f"{error.reason}: {error}") from None
        application = self._applications.get(claims.app_id)
        member = self._store.find_user(claims.app_id, claims.uuid)
        # a store that begins anew gives its uuids anew: the token may be that of another one who had it
        if application is None or member is None or member.account != claims.account:
            raise Failure(UNAUTHORIZED, "invalid-token: its application or user is not known here")
        return Caller(application=application, member=member)

    def _by_secret(self, headers: Mapping[str, str]) -> Caller:
        missing = [name for name in _BY_SECRET if name not in headers]
        if missing:
            raise Failure(UNAUTHORIZED, f"expected the header token, or {', '.join(_BY_SECRET)}; got no {missing[0]}")
        key, secret, account = (headers[name] for name in _BY_SECRET)
        application = self._application(_number(headers.get("appId")), key, secret)
        if headers.get("appAccountEncode") == "base64":
            account = _decoded(account)
        check_text(account, "appAccount", MAX_NAME)
        return Caller(application=application, member=self._store.user(application.app_id, account, self._wall_ms()))

    def _application(self, app_id: int | None, key: str, secret: str) -> Application:
        application = self._applications.with_secret(app_id, key, secret)
        if application is None:
            raise Failure(UNAUTHORIZED, "expected appId, appKey and appSecret of an application that is served here")
        return application


def _is_ipv4(host: str) -> bool:
    """Clients take nothing else (rest.md, Resolver)."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Failure(BAD_REQUEST, "expected a number in the header appId")
    return int(text[:20])


def _decoded(account: str) -> str:
    """An account that is not ASCII (``appAccountEncode: base64``)."""
    try:
        return base64.b64decode(account, validate=True).decode()
    except (binascii.Error, ValueError):
        raise Failure(BAD_REQUEST, "expected base64 of UTF-8 in the header appAccount") from None
