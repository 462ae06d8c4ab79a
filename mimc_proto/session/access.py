"""What a session needs before it can log in: a token, and the address of a frontend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._checks import LATEST, MAX_NAME, check_text
from ..config import SessionConfig
from ..errors import LocalProtocolError, MimcError, ResolverError, TokenError, shown
from .backoff import Backoff, Chance
from .resolver import parse_resolver_answer, resolver_url
from .tokens import TokenAnswer, parse_token_answer

__all__ = ["Address", "Frontends", "Tokens"]

Address = tuple[str, int]
Answer = str | bytes | Mapping[str, object] | BaseException

FRONTEND_PORT = 5222
"""Where frontends listen, when only their domain is known."""

_NONE = 0
"""No token has this generation."""


def described(error: BaseException) -> str:
    """An error for an event: the text of our own says no secret, of others only the type is known to be harmless."""
    return str(error) if isinstance(error, MimcError) else type(error).__name__


class Tokens:
    """The token of a session: at most one request at a time, and a back-off that a refused fresh token advances.

    Tokens are counted, because what a frontend says of one may cross the BIND with the next. A refusal is about the
    last BIND of its link. A KICK is about the token that was bound, or came before a BIND that has no answer yet; about
    the one of that BIND only if there was none before it on this link, or the same. What is about an older token than
    the present one is ignored.
    """

    __slots__ = (
        "_account",
        "_app_id",
        "_backoff",
        "_before",
        "_fetch_at",
        "_fresh",
        "_generation",
        "_timeout",
        "_used",
        "answer",
        "deadline",
        "request",
    )

    def __init__(self, app_id: int, account: str, config: SessionConfig, rng: Chance, cached: Answer | None) -> None:
        self._app_id, self._account = app_id, account
        self._backoff = Backoff(config.token_backoff, config.longest_token_backoff, rng)
        self._timeout = config.token_timeout
        self._fetch_at = -LATEST  # at once
        self._fresh = False
        self._generation = 1  # of the token that is there, or comes next
        self._used = _NONE  # by the last BIND of this link
        self._before = _NONE  # what a KICK is about
        self.answer: TokenAnswer | None = None
        self.request: int | None = None
        self.deadline: float | None = None
        if cached is not None:
            self._read(cached)

    def wanted(self, now: float) -> bool:
        """Whether to ask for a token now."""
        return self.answer is None and self.request is None and now >= self._fetch_at

    def asked(self, request_id: int, now: float) -> None:
        """A request is out."""
        self.request, self.deadline = request_id, now + self._timeout

    def fetched(self, answer: Answer, now: float) -> str | None:
        """The request was answered; what is wrong with the answer."""
        self.request = self.deadline = None
        try:
            self._read(answer)
        except TokenError as error:
            self._fetch_at = now + self._backoff.next()
            return str(error)
        self._fresh = True
        return None

    def overdue(self, now: float) -> str:
        """The request was not answered in time."""
        problem = TokenError(f"no answer within {self._timeout:g} s (token_timeout)", where="token answer")
        self.fetched(problem, now)
        return str(problem)

    def used(self) -> None:
        """A BIND with the token goes out."""
        self._before = self._used or self._generation
        self._used = self._generation

    def accepted(self) -> None:
        """The frontend took the token of the last BIND."""
        self._before = self._used
        self._fresh = False
        self._backoff.reset()

    def refused(self, now: float) -> None:
        """The frontend does not take the token of the last BIND: get another, at once if this one had been good."""
        self._drop(self._used, now)

    def kicked(self, now: float) -> bool:
        """A KICK was about a token; False if an older one was meant: the present one may be good."""
        return self._drop(self._before, now)

    def link_gone(self) -> None:
        """The next link knows no token."""
        self._used = self._before = _NONE

    def timer(self) -> float | None:
        """When something is due."""
        if self.request is not None:
            return self.deadline
        return self._fetch_at if self.answer is None else None

    def _drop(self, generation: int, now: float) -> bool:
        if generation != self._generation:
            return False
        self._generation += 1
        self.answer = None
        self._fetch_at = now + self._backoff.next() if self._fresh else now
        return True

    def _read(self, answer: Answer) -> None:
        if isinstance(answer, BaseException):
            raise TokenError(described(answer), where="token")
        self.answer = parse_token_answer(answer, app_id=self._app_id, account=self._account)


class Frontends:
    """Addresses to connect to, in rounds: given ones, or the resolver's, or the domain of the token answer itself.

    ``known`` ones, which the resolver gave some other time, are tried once before it is asked.
    """

    __slots__ = ("_explicit", "_resolver", "_round", "_timeout", "deadline", "domain", "known", "request")

    def __init__(
        self, explicit: Iterable[Address], resolver: str, config: SessionConfig, known: Iterable[Address] = ()
    ) -> None:
        self._explicit = tuple(_checked(address) for address in explicit)
        self.known = tuple(_checked(address) for address in known)
        """What the resolver said last."""
        resolver_url(resolver, "domain.example")  # raises for one that cannot be asked
        self._resolver = resolver
        self._timeout = config.resolve_timeout
        self._round: list[Address] = list(self._explicit or self.known)
        self.domain: str | None = None
        self.request: int | None = None
        self.deadline: float | None = None

    def url(self) -> str | None:
        """What to ask the resolver, if that has to be done now."""
        if self._round or self.request is not None or self.domain is None:
            return None
        return resolver_url(self._resolver, self.domain)

    def asked(self, request_id: int, now: float) -> None:
        """A request is out."""
        self.request, self.deadline = request_id, now + self._timeout

    def resolved(self, answer: Answer) -> str | None:
        """The resolver answered; what is wrong with the answer: then the domain itself is the address."""
        assert self.domain is not None  # a request is only made with one
        self.request = self.deadline = None
        try:
            if isinstance(answer, BaseException):
                raise ResolverError(described(answer), where="resolver")
            self.known = tuple(parse_resolver_answer(answer, self.domain))
            self._round = list(self.known)
        except ResolverError as error:
            self._round = [(self.domain, FRONTEND_PORT)]
            return str(error)
        return None

    def overdue(self) -> str:
        """The resolver did not answer in time."""
        problem = ResolverError(f"no answer within {self._timeout:g} s (resolve_timeout)", where="resolver answer")
        self.resolved(problem)
        return str(problem)

    def next(self) -> Address | None:
        """The address to try, None if there is none yet."""
        return self._round[0] if self._round else None

    def failed(self) -> bool:
        """The address did not lead to a login; whether there is another one to try at once."""
        del self._round[:1]
        if self._round:
            return True
        self._round = list(self._explicit)
        return False


def _checked(address: Address) -> Address:
    try:
        host, port = address
    except (TypeError, ValueError):
        raise LocalProtocolError(f"expected (host, port), got {shown(address)}", where="addresses") from None
    check_text(host, "addresses", MAX_NAME)
    if type(port) is not int or not 0 < port < 65536:
        raise LocalProtocolError(f"expected a port from 1 to 65535, got {shown(port)}", where="addresses")
    return host, port
