"""What clients need to log in: tokens, and where the frontends are."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any, TypedDict

from mimc_proto._checks import MAX_NAME, check_text

from ..applications import Application
from ..store import Store
from ..tokens import TokenIssuer, token_answer
from .callers import Callers

__all__ = ["Domains", "Login"]

ANY_ADDRESS = "0.0.0.0"


class Domains(TypedDict, total=False):
    """Arguments of `token_answer`, those that are not to be its defaults."""

    frontend: str
    relay: str


class Login:
    """Tokens and addresses; ``frontends`` and ``domains`` as `HttpService` has them."""

    def __init__(
        self,
        callers: Callers,
        store: Store,
        tokens: TokenIssuer,
        frontends: Callable[[], Iterable[tuple[str, int]]],
        domains: Domains,
        wall_ms: Callable[[], int],
    ) -> None:
        self._callers = callers
        self._store = store
        self._tokens = tokens
        self._frontends = frontends
        self._domains = domains
        self._wall_ms = wall_ms

    def token(self, app_id: int, app_key: str, app_secret: str, account: str) -> dict[str, Any]:
        """A new token in its envelope; who knows the application's secret is any of its users."""
        return self.issue(self._callers.application(app_id, app_key, app_secret), account)

    def issue(self, application: Application, account: str) -> dict[str, Any]:
        """A new token in its envelope.

        It is issued after all that were revoked, also where the clock was set back since: its user could not log
        in until the clock has caught up.
        """
        check_text(account, "appAccount", MAX_NAME)  # first: users are kept for ever
        wall_ms = self._wall_ms()
        uuid = self._store.user(application.app_id, account, wall_ms).uuid
        issued_ms = max(wall_ms, self._store.tokens_good_from(uuid))
        issued = self._tokens.issue(application.app_id, account, uuid, issued_ms)
        return token_answer(application, account, uuid, issued, **self._domains)

    def resolve(self, domains: str, here: str) -> dict[str, Any]:
        """The frontends for every domain of a comma-joined list: C++ refuses an answer that lacks one.

        ``here`` is the address at which the request came in. The store is not asked.
        """
        pairs = [(here if host == ANY_ADDRESS else host, port) for host, port in self._frontends()]
        addresses = [f"{host}:{port}" for host, port in pairs if _is_ipv4(host)]
        return {"S": "Ok", "R": {"wifi": {domain: addresses for domain in domains.split(",") if domain}}}


def _is_ipv4(host: str) -> bool:
    """Clients take nothing else (rest.md, Resolver)."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
