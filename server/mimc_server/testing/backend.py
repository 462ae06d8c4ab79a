"""What every service in a test has behind it: an application, its users and their tokens, groups, and a store."""

from __future__ import annotations

import abc
import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mimc_proto._record import Record
from mimc_proto.errors import LocalProtocolError
from mimc_proto.testing import APP_ID, FRONTEND, PACKAGE

from ..applications import Application, Applications
from ..service import Service, ServiceConfig, SessionInfo
from ..store import Appended, Kind, Member, MemoryStore, NewMessage, Refused, Stored
from ..tokens import Randomness, TokenIssuer, token_answer

__all__ = ["RELAY", "TOKEN_LIFETIME", "Backend", "ServiceHandle", "StoredMessage"]

RELAY = "relay.example.net"
T = TypeVar("T")

TOKEN_LIFETIME = 86_400.0
APP_KEY, APP_SECRET = "example-app-key", "example-app-secret"
SECRET = b"the secret of a test's token issuer"

MOST_KEPT = 100_000
"""Stored messages that can be looked at, the newest."""


class StoredMessage(Record):
    """A message that a service has stored: ``target`` is an account or, for groups, an id."""

    __slots__ = ()
    kind: Kind
    sender: str
    resource: str
    target: str | int
    payload: bytes
    packet_id: str
    sequence: int


class _Store(MemoryStore):
    """Remembers what was stored, also when it is read and gone."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: deque[StoredMessage] = deque(maxlen=MOST_KEPT)

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        answers = super().append(batch, wall_ms)
        for message, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Stored) and not answer.repeated:
                kept = StoredMessage(
                    kind=message.kind,
                    sender=message.sender.account,
                    resource=message.resource,
                    target=message.target,
                    payload=message.payload,
                    packet_id=message.packet_id,
                    sequence=answer.sequence,
                )
                self.kept.append(kept)
        return answers


class Backend:
    """One application with a store; ``wall_ms()`` is Unix time in milliseconds, ``token_lifetime`` in seconds."""

    def __init__(self, wall_ms: Callable[[], int], rng: Randomness, token_lifetime: float = TOKEN_LIFETIME) -> None:
        self.application = Application.of(app_id=APP_ID, app_key=APP_KEY, app_secret=APP_SECRET, package=PACKAGE)
        self.applications = Applications([self.application])
        self.store = _Store()
        self.tokens = TokenIssuer(SECRET, token_lifetime, rng)
        self._wall_ms = wall_ms
        self._rng = rng
        self._tokens_from = 0

    def service(self, node: str, config: ServiceConfig | None) -> Service:
        """A service on this store; by default one whose users may send as fast as their tests like."""
        return Service(
            node=node,
            tokens=self.tokens,
            package_of=self.applications.package_of,
            rng=self._rng,
            config=config if config is not None else ServiceConfig(account_rate=None),
        )

    def token_ms(self) -> int:
        """When tokens are issued: now, but after those of the same millisecond that were revoked."""
        return max(self._wall_ms(), self._tokens_from)

    def member(self, account: str) -> Member:
        """The user with this account, made when seen for the first time."""
        return self.store.user(self.application.app_id, account, self._wall_ms())

    def token_answer(self, account: str) -> str:
        """A new token answer for a user: JSON, as the token endpoint gives it."""
        uuid = self.member(account).uuid
        issued = self.tokens.issue(self.application.app_id, account, uuid, self.token_ms())
        answer: dict[str, Any] = token_answer(self.application, account, uuid, issued, frontend=FRONTEND, relay=RELAY)
        return json.dumps(answer)

    def group(self, owner: str, members: Iterable[str], name: str, *, unlimited: bool) -> int:
        """A new group's id. Raises `LocalProtocolError` if the store refuses."""
        uuids = [self.member(account).uuid for account in members]
        made = self.store.create_group(
            self.application.app_id, self.member(owner).uuid, name, uuids, self._wall_ms(), unlimited=unlimited
        )
        if isinstance(made, Refused):
            raise LocalProtocolError(f"the store refused a group: {made.message}", where="group")
        return made.topic_id

    def revoke_tokens(self, account: str) -> int:
        """All tokens so far are no longer good; the user's uuid."""
        uuid = self.member(account).uuid
        self._tokens_from = self.token_ms() + 1
        self.store.revoke_tokens(uuid, self._tokens_from)
        return uuid


class ServiceHandle(abc.ABC):
    """What a test does to a service, wherever it runs."""

    _backend: Backend

    @abc.abstractmethod
    def _call(self, work: Callable[[], T]) -> T:
        """Do it where service and store may be used."""

    @abc.abstractmethod
    def _kick(self, uuid: int, resource: str | None, reason: str) -> None:
        """`Service.kick`."""

    @abc.abstractmethod
    def sessions(self) -> list[SessionInfo]:
        """Who is online."""

    @property
    def app_id(self) -> int:
        """The one application that is served."""
        return self._backend.application.app_id

    @property
    def app_key(self) -> str:
        """For ``POST /api/account/token``, with `app_secret`."""
        return APP_KEY

    @property
    def app_secret(self) -> str:
        """For ``POST /api/account/token``, with `app_key`."""
        return APP_SECRET

    def token_answer(self, account: str) -> str:
        """A new token answer for a user: JSON, as the token endpoint gives it."""
        return self._call(lambda: self._backend.token_answer(account))

    def token(self, account: str) -> Callable[[], str]:
        """Where this user's tokens come from, for `connect`: a function that gives a new token answer each time."""
        return lambda: self.token_answer(account)

    def uuid(self, account: str) -> int:
        """The user's number."""
        return self._call(lambda: self._backend.member(account).uuid)

    def group(self, owner: str, members: Iterable[str] = (), name: str = "a group") -> int:
        """The id of a new group. Raises `LocalProtocolError` if the store refuses."""
        return self._call(lambda: self._backend.group(owner, members, name, unlimited=False))

    def unlimited_group(self, owner: str, name: str = "an unlimited group") -> int:
        """The id of a new unlimited group; its owner is in it, all others join by themselves."""
        return self._call(lambda: self._backend.group(owner, (), name, unlimited=True))

    def kick(self, account: str, resource: str | None = None, reason: str = "kicked") -> None:
        """Take a user offline, with one resource or all. Clients log in again soon, unless the reason is
        ``single-resource-kick``."""
        self._call(lambda: self._kick(self._backend.member(account).uuid, resource, reason))

    def expire_tokens(self, account: str) -> None:
        """No token so far is good any more; who is online has to fetch another one."""
        self._call(lambda: self._kick(self._backend.revoke_tokens(account), None, "token-expired"))

    def stored(self) -> list[StoredMessage]:
        """All messages that got a sequence from the store, in that order; at most the newest 100 000.

        Messages of kind ONLINE are among them, though a store keeps nothing of those.
        """
        return self._call(lambda: list(self._backend.store.kept))
