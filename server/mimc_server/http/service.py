"""Everything that the endpoints answer, whatever framework asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..applications import Applications
from ..frontend import unix_ms
from ..store import Store, StoreConfig
from ..tokens import TokenIssuer
from .callers import Callers
from .groups import NormalGroups
from .history import Histories
from .login import Domains, Login
from .unlimited import UnlimitedGroups

__all__ = ["HttpService"]

_MAX_GROUP_MEMBERS = StoreConfig().max_group_members


class HttpService:
    """Answers the requests of clients (`make_app` puts HTTP before it).

    ``frontends`` gives what the resolver tells clients: pairs of IPv4 literal and port, whatever domain they ask for;
    ``0.0.0.0`` stands for the address at which the request came in. ``frontend_domain`` and ``relay_domain`` are the
    domains of the token answers, where they are not those of `token_answer`. ``max_group_members`` is what the store
    allows (`StoreConfig`): no user is made for a group that would be larger. ``wall_ms`` is the time for tokens, Unix
    milliseconds.

    What the methods of its parts do with the store they do on the thread that calls them.
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
        domains: Domains = {}
        if frontend_domain is not None:
            domains["frontend"] = frontend_domain
        if relay_domain is not None:
            domains["relay"] = relay_domain
        self._store = store
        self.callers = Callers(applications, store, tokens, wall_ms)
        self.login = Login(self.callers, store, tokens, frontends, domains, wall_ms)
        self.groups = NormalGroups(store, max_group_members, wall_ms)
        self.unlimited = UnlimitedGroups(store, wall_ms)
        self.histories = Histories(store)

    def check_health(self) -> None:
        """Ask the store something. Raises `StoreError` if it fails."""
        self._store.applications()
