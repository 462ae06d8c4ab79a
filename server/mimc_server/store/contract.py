"""What a service keeps, as a contract: every store does exactly this, whatever it is made of.

All methods are plain calls that block for as long as the medium needs; drivers decide on which thread, one at a time.
Each call is one transaction: it happens wholly or not at all, and what it returned has reached the medium; within
`Store.transaction` it has so at the end of that. ``wall_ms`` is Unix time in
milliseconds; if it goes back, sequences rise on. Texts are at most 1 024 bytes, ``extra`` 10 KiB.

The laws: sequences of an application are unique and rising, ``max(last + 1, wall_ms * 10_000 + 1)``; when one is
visible, no lower one becomes visible later. Positions in an inbox are dense from 1. A message is in the inbox of all
its receivers or of none. A cursor never goes back while it lives. Age (retention, the window of repeats) is read off
the sequence, so it is the same for every reader and does not turn back with the clock.
"""

from __future__ import annotations

import enum
from contextlib import AbstractContextManager
from typing import Protocol

from mimc_proto._record import Record
from mimc_proto.errors import MimcError

from ..applications import Application

__all__ = [
    "AckCode",
    "Acknowledgement",
    "Appended",
    "Claim",
    "Conversation",
    "Delivery",
    "Group",
    "GroupSummary",
    "HistoryMessage",
    "InboxMessage",
    "InboxPage",
    "Kind",
    "Member",
    "NewMessage",
    "Refused",
    "Statistics",
    "Store",
    "StoreError",
    "StoreFull",
    "Stored",
    "UnknownUser",
]


class StoreError(MimcError):
    """The medium failed; nothing was changed."""


class StoreFull(StoreError):  # noqa: N818 (as queue.Full)
    """There is no room for another user; the message names the limit."""


class UnknownUser(StoreError):  # noqa: N818 (as LookupError)
    """No user has this uuid: its token came from another store."""


class AckCode(enum.IntEnum):
    """The codes of PACKET_ACK that this service gives (0 is acceptance; the cloud's own codes are not known)."""

    OK = 0
    BAD_REQUEST = 400
    """A field is missing or makes no sense."""
    BLOCKED = 403
    """The receiver (or the group) has blocked the sender."""
    NO_SUCH_GROUP = 404
    NOT_A_MEMBER = 405
    TAKEN_OVER = 409
    """Another link has taken over this resource."""
    TOO_LARGE = 413
    """The payload is over the limit."""
    TOO_MANY = 429
    """The sender sends faster than allowed, or too much of his waits for the store."""
    STORE_FAILED = 500
    """Could not be stored; the message may be sent again."""


class Kind(enum.IntEnum):
    """What a message is."""

    P2P = 1
    P2T = 2
    UNLIMITED = 3
    """Gets a sequence, but no place in an inbox; its body is kept only if ``is_store``."""
    ONLINE = 4
    """Gets a sequence and nothing else."""


class Member(Record):
    """A user of an application."""

    __slots__ = ()
    uuid: int
    account: str


class NewMessage(Record):
    """A message to append. ``target`` is the receiver's account (P2P, ONLINE) or the group's id (P2T, UNLIMITED).

    ``epoch`` is that of the sending session's `Claim`; 0: sent without a session (pushed through REST), not checked.
    """

    __slots__ = ()
    app_id: int
    sender: Member
    resource: str
    epoch: int
    packet_id: str
    kind: Kind
    target: str | int
    payload: bytes
    biz_type: str | None
    is_store: bool


class Delivery(Record):
    """A message's place in one receiver's inbox; ``position`` is None where it has none (ONLINE).

    UNLIMITED messages have no deliveries at all: who is online in the group is known to the service, not to the store.
    """

    __slots__ = ()
    receiver: int
    position: int | None


class Stored(Record):
    """A message was stored; ``repeated``: it had been before (same user, resource, packet id, kind, target, payload
    within 24 hours), and ``deliveries`` is empty. ``timestamp`` is in Unix milliseconds.

    ``conv_index`` counts the messages of a conversation from 1: a pair of users, whoever of them sends, or a group; it
    is 0 for ONLINE, which belongs to none. ONLINE is never a repeat: nothing of it is kept.
    """

    __slots__ = ()
    sequence: int
    timestamp: int
    conv_index: int
    deliveries: tuple[Delivery, ...] = ()
    repeated: bool = False


class Refused(Record):
    """A message was not stored."""

    __slots__ = ()
    code: AckCode
    message: str


Appended = Stored | Refused


class InboxMessage(Record):
    """A message as it lies in an inbox."""

    __slots__ = ()
    position: int
    sequence: int
    timestamp: int
    conv_index: int
    app_id: int
    sender: Member
    resource: str
    packet_id: str
    kind: Kind
    target: str | int
    payload: bytes
    biz_type: str | None
    is_store: bool


class InboxPage(Record):
    """Messages after a position, in its order; ``examined`` is the last position looked at, which may be beyond the
    last message where others were removed; ``more`` says whether there are positions after it.

    A page that is full looks on to the next message there is: with ``more`` there is one at ``examined + 1``.
    """

    __slots__ = ()
    messages: tuple[InboxMessage, ...]
    examined: int
    more: bool


class Claim(Record):
    """A session owns (uuid, resource) from now on: ``epoch`` is higher than any before. ``sequence`` and ``position``
    are its cursor: everything up to them is acknowledged. ``previous_node`` held it before, ``""`` if nobody did."""

    __slots__ = ()
    epoch: int
    sequence: int
    position: int
    previous_node: str = ""


class Acknowledgement(Record):
    """A session has everything up to ``sequence``; ignored if its epoch is old or the cursor is beyond it.

    A sequence above all in the inbox means its newest: nothing can be acknowledged before it is there.
    """

    __slots__ = ()
    uuid: int
    resource: str
    epoch: int
    sequence: int


class Group(Record):
    """A group. ``size`` counts its members, the owner among them; ``members`` of a normal group begin with the owner,
    and of an unlimited one, where they may be a million, `Store.members` reads some."""

    __slots__ = ()
    topic_id: int
    app_id: int
    owner: Member
    name: str
    size: int
    bulletin: str = ""
    extra: str = ""
    members: tuple[Member, ...] = ()


class GroupSummary(Record):
    """A group of either kind without its members; ``size`` counts them, the owner among them."""

    __slots__ = ()
    topic_id: int
    unlimited: bool
    owner: Member
    name: str
    size: int


class Conversation(Record):
    """What a history is of: two users (P2P; ``one`` and ``other`` are their uuids, in any order, and may be the same),
    or a group (P2T, UNLIMITED; ``one`` is its id, ``other`` 0)."""

    __slots__ = ()
    app_id: int
    kind: Kind
    one: int
    other: int = 0


class HistoryMessage(Record):
    """A message as a history shows it, to everybody alike."""

    __slots__ = ()
    sequence: int
    timestamp: int
    conv_index: int
    sender: Member
    resource: str
    packet_id: str
    kind: Kind
    target: str | int
    payload: bytes
    biz_type: str | None


class Statistics(Record):
    """How much a store holds; ``bytes`` is what it takes of its medium."""

    __slots__ = ()
    users: int
    groups: int
    messages: int
    bytes: int


class Store(Protocol):
    """The contract. Raises `StoreError` when the medium fails; nothing was changed then.

    What is asked about users and groups that do not exist is answered "no", "none" or with `Refused`; what would change
    a user that does not exist raises `UnknownUser`.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """Calls inside are committed together when it is left: one wait for the medium in place of many.

        What they returned holds only then. If the medium fails in a call or at the end, that raises `StoreError`, all
        calls are undone, and those that follow in the same transaction raise it again, and so does leaving it. A
        `StoreFull` or an `UnknownUser` is no failure of the medium, and undoes nothing but its own call. Transactions
        are not nested.
        """
        ...

    def close(self) -> None:
        """Let go of the medium; nothing may be called afterwards but this."""
        ...

    # ---- applications

    def put_application(self, application: Application) -> None:
        """Keep an application, in place of the one that had its id."""
        ...

    def remove_application(self, app_id: int) -> bool:
        """Keep it no more; whether there was one. What its users have stays, and is theirs again if it comes again."""
        ...

    def applications(self) -> list[Application]:
        """All of them, by their ids."""
        ...

    def setting(self, name: str) -> bytes | None:
        """What `put_setting` kept under this name."""
        ...

    def put_setting(self, name: str, value: bytes) -> None:
        """Keep something of the service itself, such as the secret of its tokens."""
        ...

    # ---- users

    def user(self, app_id: int, account: str, wall_ms: int) -> Member:
        """The user with this account; made, with a stable uuid of its own, when seen for the first time.

        The uuid is below 2**53, so that it survives JavaScript. Raises `StoreFull` if there is no room for another.
        """
        ...

    def find_user(self, app_id: int, uuid: int) -> Member | None:
        """The user with this uuid."""
        ...

    def find_account(self, app_id: int, account: str) -> Member | None:
        """The user with this account, if there is one."""
        ...

    def users(self, app_id: int, after_uuid: int, most: int) -> list[Member]:
        """At most so many users of an application whose uuids are higher, by their uuids."""
        ...

    def revoke_tokens(self, uuid: int, before_ms: int) -> None:
        """Tokens of this user that were issued before this time are no longer good; never takes a revocation back."""
        ...

    def tokens_good_from(self, uuid: int) -> int:
        """Tokens issued before this time (ms) are revoked; 0 if none ever were."""
        ...

    def block(self, uuid: int, blocked: int) -> None:
        """``uuid`` gets no P2P and ONLINE messages of ``blocked`` any more."""
        ...

    def unblock(self, uuid: int, blocked: int) -> None:
        """Take a `block` back; without effect if there is none."""
        ...

    def is_blocked(self, uuid: int, blocked: int) -> bool:
        """Whether ``uuid`` has blocked ``blocked``."""
        ...

    # ---- messages

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        """Store all of a batch in one commit; one answer for each, in order.

        The refusals: `AckCode.TAKEN_OVER` for an old epoch, BAD_REQUEST for an unknown sender, BLOCKED, NO_SUCH_GROUP,
        NOT_A_MEMBER, and STORE_FAILED when the store is full. A repeat comes before the last four: what was stored was
        stored. A refused message takes no sequence. P2P to an unknown account makes the account; ONLINE does not, and
        has no deliveries then. A P2T message lies in the inbox of every member but its sender, P2P to oneself in one's
        own.
        """
        ...

    def read_inbox(self, receiver: int, after_position: int, max_messages: int, max_bytes: int) -> InboxPage:
        """At most so many messages and payload bytes (but at least one message, if there is any)."""
        ...

    def acknowledge(self, acks: list[Acknowledgement], wall_ms: int) -> list[int | None]:
        """Move cursors; the position each has now, None where the ack was ignored for its epoch."""
        ...

    def inbox_end(self, receiver: int) -> tuple[int, int]:
        """Position and sequence of the newest message in an inbox, (0, 0) if there was none ever."""
        ...

    def history(
        self, conversation: Conversation, from_sequence: int, to_sequence: int, most: int, *, newest: bool = False
    ) -> list[HistoryMessage]:
        """Messages of a conversation with ``from_sequence <= sequence < to_sequence``, in their order.

        Of more than ``most`` the oldest, with ``newest`` the newest. What was sent with ``is_store`` False is in no
        history, nor is what is older than `StoreConfig.history` or went for want of room. Times are sequences as well:
        what was stored from a time on has at least ``ms * 10_000 + 1``. A dismissed group has no history any more.
        """
        ...

    # ---- sessions

    def claim(self, uuid: int, resource: str, node: str, wall_ms: int) -> Claim:
        """A new session of this resource, which displaces any older one.

        A resource without a cursor starts at the account's floor (the highest sequence ever acknowledged by any of its
        resources), but not before the offline retention. Raises `UnknownUser`: a token that is good for a user who is
        not there comes from another store, and its client needs a new one.
        """
        ...

    def release(self, uuid: int, resource: str, epoch: int, wall_ms: int) -> None:
        """The session ended; without effect for an old epoch. Its cursor lives on until it has been idle for long."""
        ...

    def release_node(self, node: str, wall_ms: int) -> None:
        """All sessions of a node ended. For a node that starts: what it held before it died would never idle."""
        ...

    # ---- groups (``unlimited`` chooses the kind)

    def create_group(
        self, app_id: int, owner: int, name: str, members: list[int], wall_ms: int, *, unlimited: bool, extra: str = ""
    ) -> Group | Refused:
        """A new group; ``members`` need not name the owner. Refused: too many members, too many groups, no such user.

        Ids of groups are below 2**53; no group of one kind has the id of one of the other.
        """
        ...

    def group(self, app_id: int, topic_id: int, *, unlimited: bool) -> Group | None:
        """The group with this id; None if this application has none of this kind."""
        ...

    def groups(self, app_id: int, after_topic_id: int, most: int) -> list[GroupSummary]:
        """At most so many groups of an application, of both kinds, whose ids are higher, by their ids."""
        ...

    def groups_of(self, app_id: int, uuid: int, *, unlimited: bool) -> list[Group]:
        """The groups of this kind that a user is in, as owner or not; none if he is not this application's."""
        ...

    def is_member(self, topic_id: int, uuid: int, *, unlimited: bool) -> bool:
        """Whether there is such a group and this user in it; costs the same however large the group is."""
        ...

    def members(self, topic_id: int, after_uuid: int, most: int, *, unlimited: bool) -> list[Member]:
        """At most so many members whose uuids are higher, by their uuids; none of a group that does not exist."""
        ...

    def add_members(self, topic_id: int, uuids: list[int], *, unlimited: bool) -> Refused | None:
        """None if all of them are members now, also those who were before; a group that is full or unknown refuses."""
        ...

    def remove_members(self, topic_id: int, uuids: list[int], *, unlimited: bool) -> Refused | None:
        """None if none of them is a member now; an unknown group refuses, and the owner cannot be removed."""
        ...

    def update_group(
        self,
        topic_id: int,
        *,
        unlimited: bool,
        owner: int | None = None,
        name: str | None = None,
        bulletin: str | None = None,
        extra: str | None = None,
    ) -> Refused | None:
        """Change what is not None; an unknown group refuses, and an owner who is not a member."""
        ...

    def dismiss_group(self, topic_id: int, *, unlimited: bool) -> bool:
        """Remove a group; whether there was one. What members have not read yet stays in their inboxes."""
        ...

    def block_in_group(self, topic_id: int, uuid: int) -> None:
        """The group takes no messages of this user any more, be he a member or not; without effect if it is unknown."""
        ...

    def unblock_in_group(self, topic_id: int, uuid: int) -> None:
        """Take a `block_in_group` back; without effect if there is none."""
        ...

    def is_blocked_in_group(self, topic_id: int, uuid: int) -> bool:
        """Whether there is such a group, of either kind, and it has blocked this user."""
        ...

    # ---- upkeep

    def statistics(self) -> Statistics:
        """How much there is, at no great cost."""
        ...

    def sweep(self, wall_ms: int) -> bool:
        """Remove what is past its retention: idle cursors, messages, histories, repeats that can no longer come.

        A sweep that would take long does a part: True if there is more to do, call it again.

        No answer depends on when it is called, but that of `read_inbox`, which shows what has not been removed yet.
        """
        ...
