"""What a service wants of its store. A driver performs requests in their order and brings back each answer::

for request in service.store_requests():
    service.store_answered(request.request_id, request.perform(store, wall_ms), now, wall_ms)
"""

from __future__ import annotations

import abc
from typing import Any

from mimc_proto._record import Record

from ..store import (
    AckCode,
    Acknowledgement,
    Appended,
    Claim,
    InboxPage,
    NewMessage,
    Refused,
    Store,
    StoreError,
    UnknownUser,
)
from .events import EndReason

__all__ = [
    "Acknowledge",
    "Append",
    "Backlog",
    "ChangeMembership",
    "CheckMembership",
    "CheckSessions",
    "CheckToken",
    "ClaimSession",
    "HeldSession",
    "ReadInbox",
    "Release",
    "ReleaseNode",
    "StoreRequest",
    "TidyStore",
]


class _Request(Record):
    __slots__ = ()
    request_id: int

    def perform(self, store: Store, wall_ms: int) -> Any:
        """Do it, on any thread; the answer for `Service.store_answered`.

        A `StoreError` is returned, not raised; so is one for whatever else the store raised (its ``__cause__``): a
        request that is never answered would have all wait that come after it.
        """
        try:
            return self._perform(store, wall_ms)
        except StoreError as error:
            return error
        except Exception as error:
            failed = StoreError(f"the store raised {type(error).__name__}: {error}")
            failed.__cause__ = error
            return failed

    @abc.abstractmethod
    def _perform(self, store: Store, wall_ms: int) -> Any: ...


class Append(_Request):
    """Store a batch of messages in one commit."""

    __slots__ = ()
    batch: list[NewMessage]

    def _perform(self, store: Store, wall_ms: int) -> list[Appended]:
        return store.append(self.batch, wall_ms)


class Acknowledge(_Request):
    """Move cursors."""

    __slots__ = ()
    acks: list[Acknowledgement]

    def _perform(self, store: Store, wall_ms: int) -> list[int | None]:
        return store.acknowledge(self.acks, wall_ms)


class Backlog(Record):
    """More is waiting than ``notice_after``: from this sequence to that."""

    __slots__ = ()
    min_sequence: int
    max_sequence: int


class ReadInbox(_Request):
    """Read what waits; if that is more than ``notice_after`` messages, only say so."""

    __slots__ = ()
    receiver: int
    after_position: int
    max_messages: int
    max_bytes: int
    notice_after: int | None

    def _perform(self, store: Store, wall_ms: int) -> InboxPage | Backlog:
        if self.notice_after is not None:
            end, newest = store.inbox_end(self.receiver)
            if end - self.after_position > self.notice_after:
                first = store.read_inbox(self.receiver, self.after_position, 1, 1).messages
                if first:
                    return Backlog(min_sequence=first[0].sequence, max_sequence=newest)
        return store.read_inbox(self.receiver, self.after_position, self.max_messages, self.max_bytes)


class CheckToken(_Request):
    """Whether a token that was issued at ``issued_ms`` has not been revoked."""

    __slots__ = ()
    uuid: int
    issued_ms: int

    def _perform(self, store: Store, wall_ms: int) -> bool:
        return self.issued_ms >= store.tokens_good_from(self.uuid)


class ClaimSession(_Request):
    """Take over a resource, if the token is not revoked (None) and its user is there (`UnknownUser`)."""

    __slots__ = ()
    app_id: int
    account: str
    uuid: int
    resource: str
    node: str
    issued_ms: int

    def _perform(self, store: Store, wall_ms: int) -> Claim | None:
        if self.issued_ms < store.tokens_good_from(self.uuid):
            return None
        member = store.find_user(self.app_id, self.uuid)
        if member is None or member.account != self.account:
            raise UnknownUser(f"no user of application {self.app_id} has the uuid {self.uuid} and this account")
        return store.claim(self.uuid, self.resource, self.node, wall_ms)


class Release(_Request):
    """A session ended."""

    __slots__ = ()
    uuid: int
    resource: str
    epoch: int

    def _perform(self, store: Store, wall_ms: int) -> None:
        store.release(self.uuid, self.resource, self.epoch, wall_ms)


class ReleaseNode(_Request):
    """This node starts: what it held before is gone."""

    __slots__ = ()
    node: str

    def _perform(self, store: Store, wall_ms: int) -> None:
        store.release_node(self.node, wall_ms)


class HeldSession(Record):
    """A session as its node knows it; its token was issued at ``issued_ms``."""

    __slots__ = ()
    uuid: int
    resource: str
    epoch: int
    issued_ms: int


class CheckSessions(_Request):
    """For each session the end of its inbox, or why it is over: taken over, or its token was revoked."""

    __slots__ = ()
    sessions: list[HeldSession]

    def _perform(self, store: Store, wall_ms: int) -> list[int | EndReason]:
        # sequence 0 acknowledges nothing: at most it takes a cursor over messages that have been removed
        asked = [Acknowledgement(uuid=s.uuid, resource=s.resource, epoch=s.epoch, sequence=0) for s in self.sessions]
        held = store.acknowledge(asked, wall_ms)
        return [self._found(store, *found) for found in zip(self.sessions, held, strict=True)]

    @staticmethod
    def _found(store: Store, session: HeldSession, position: int | None) -> int | EndReason:
        if position is None:
            return EndReason.TAKEN_OVER
        if session.issued_ms < store.tokens_good_from(session.uuid):
            return EndReason.TOKEN_EXPIRED
        return store.inbox_end(session.uuid)[0]


class CheckMembership(_Request):
    """In which of these unlimited groups a user is."""

    __slots__ = ()
    uuid: int
    topic_ids: tuple[int, ...]

    def _perform(self, store: Store, wall_ms: int) -> list[int]:
        return [topic for topic in self.topic_ids if store.is_member(topic, self.uuid, unlimited=True)]


class ChangeMembership(_Request):
    """Have a user join or leave an unlimited group.

    Of groups of other applications the answers tell nothing: it is as if there were none, and who is in no such group
    has left it.
    """

    __slots__ = ()
    uuid: int
    topic_id: int
    joins: bool

    def _perform(self, store: Store, wall_ms: int) -> Refused | None:
        if not self.joins:
            if not store.is_member(self.topic_id, self.uuid, unlimited=True):
                return None
            return store.remove_members(self.topic_id, [self.uuid], unlimited=True)
        refused = store.add_members(self.topic_id, [self.uuid], unlimited=True)
        if refused is not None and refused.code is AckCode.BAD_REQUEST:  # the user is none of its application's
            return Refused(code=AckCode.NO_SUCH_GROUP, message=f"there is no group {self.topic_id}")
        return refused


class TidyStore(_Request):
    """Remove what is past its retention; whether there is more to do."""

    __slots__ = ()

    def _perform(self, store: Store, wall_ms: int) -> bool:
        return store.sweep(wall_ms)


StoreRequest = (
    Append
    | Acknowledge
    | ReadInbox
    | CheckToken
    | ClaimSession
    | Release
    | ReleaseNode
    | CheckSessions
    | CheckMembership
    | ChangeMembership
    | TidyStore
)
