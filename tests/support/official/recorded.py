"""A service to which recorded frames can be sent as they are: it draws the challenge of the recording, and knows its
token, its user and its groups. Everything else about it is real, the sockets too."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest import mock

from mimc_server.frontend import ServiceRunner
from mimc_server.service import Service, ServiceConfig, SessionInfo
from mimc_server.service import service as service_module
from mimc_server.store import Group, Kind, Member, MemoryStore, NewMessage, Stored
from mimc_server.store.memory.users import User as KeptUser
from mimc_server.tokens import TokenClaims, TokenInvalid
from support.links import Peer

from mimc_proto import pb

__all__ = ["RecordedService", "answer_to"]

NEVER_MS = 1 << 52
ALPHABET_SIZE = 64


class RecordedService:
    """One application with the users of a recording; a `Stage` without HTTP.

    ``tokens`` are the claims of each token there is; ``wall_ms`` is the time at which everything happens.
    """

    http_url = app_key = app_secret = ""

    def __init__(
        self, app_id: int, package: str, challenge: str, wall_ms: int, config: ServiceConfig | None = None
    ) -> None:
        self.app_id, self.package, self.challenge, self.wall_ms = app_id, package, challenge, wall_ms
        self.store = _Store()
        self.tokens: dict[str, TokenClaims] = {}
        self.config = config
        self.address = ("", 0)

    def add_user(self, account: str, uuid: int, token: str, security_key: str) -> None:
        """A user who has this uuid, and a token that is good for ever."""
        self.store.recorded[account] = uuid
        self.store.user(self.app_id, account, self.wall_ms)
        fields: dict[str, Any] = {"app_id": self.app_id, "account": account, "uuid": uuid}
        self.tokens[token] = TokenClaims(**fields, security_key=security_key, issued_ms=0, expires_ms=NEVER_MS)

    def add_message(self, sender: str, target: str, packet_id: str, payload: bytes) -> int:
        """A P2P message from the resource ``pc`` that waits for its receiver; its sequence."""
        message = NewMessage(
            app_id=self.app_id,
            sender=self.store.user(self.app_id, sender, self.wall_ms),
            resource="pc",
            epoch=0,
            packet_id=packet_id,
            kind=Kind.P2P,
            target=target,
            payload=payload,
            biz_type=None,
            is_store=True,
        )
        [stored] = self.store.append([message], self.wall_ms)
        assert isinstance(stored, Stored)
        return stored.sequence

    def add_group(self, topic_id: int, owner: str, *members: str, unlimited: bool = False) -> None:
        """A group that has this id."""
        self.store._next_topic = topic_id
        uuids = [self.store.user(self.app_id, account, self.wall_ms).uuid for account in (owner, *members)]
        made = self.store.create_group(self.app_id, uuids[0], "a group", uuids, self.wall_ms, unlimited=unlimited)
        assert isinstance(made, Group)

    def dismiss(self, topic_id: int) -> None:
        """Dissolve an unlimited group, as the owner does it over HTTP."""
        self.store.dismiss_group(topic_id, unlimited=True)
        self._service.unlimited_dismissed(self.app_id, topic_id, self.runner.now(), self.wall_ms)
        self.runner.wake()

    def verify(self, token: str, wall_ms: int, good_from_ms: int = 0) -> TokenClaims:
        """As `TokenIssuer` does it."""
        if token not in self.tokens:
            raise TokenInvalid("it is not in the recording")
        return self.tokens[token]

    def getrandbits(self, k: int) -> int:
        """What every challenge is made of, and the first packet id of every link."""
        return self._bits if k == 6 * len(self.challenge) else 0xABC

    def sessions(self) -> list[SessionInfo]:
        return self._service.sessions()

    def expire_tokens(self, account: str) -> None:
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listens at ``address``."""
        with self._challenges():
            self._service = Service(
                node="recorded",
                tokens=self,
                package_of=lambda app_id: self.package if app_id == self.app_id else None,
                rng=self,
                config=self.config,
            )
            self.runner = ServiceRunner(self._service, self.store, wall_ms=lambda: self.wall_ms)
            try:
                self.address = await self.runner.listen("127.0.0.1", 0)
                yield
            finally:
                await self.runner.close()

    @contextlib.contextmanager
    def _challenges(self) -> Iterator[None]:
        """Ours have 16 characters of base64url. Of a recorded one that has others, those stand in for some of these."""
        letters, ours = self.challenge, service_module._ALPHABET
        if len(letters) == service_module.CHALLENGE and set(letters) <= set(ours):
            alphabet = ours
        else:
            alphabet = "".join(dict.fromkeys(letters)).ljust(ALPHABET_SIZE, "-")
        self._bits = sum(alphabet.index(letter) << 6 * place for place, letter in enumerate(letters))
        with mock.patch.multiple(service_module, CHALLENGE=len(letters), _ALPHABET=alphabet):
            yield


class _Store(MemoryStore):
    """Gives the recorded users the uuids of the recording."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: dict[str, int] = {}

    def _new_user(self, app_id: int, account: str) -> KeptUser | None:
        uuid = self.recorded.get(account)
        if uuid is None:
            return super()._new_user(app_id, account)
        user = KeptUser(app_id, Member(uuid=uuid, account=account))
        self._accounts[app_id, account] = self._users[uuid] = user
        return user


def answer_to(peer: Peer, request: bytes, payload: bytes = b"", command: str = "") -> bytes:
    """The one right answer to a recorded frame, made by protobuf itself: the request's header, as a response."""
    header = pb.ClientHeader.FromString(peer.read(request).header_bytes)
    header.cmd, header.dir_flag, header.cipher = command or header.cmd, pb.MSG_DIR_FLAG.SC_RESP, 0
    return peer.raw(header.SerializeToString(), payload)
