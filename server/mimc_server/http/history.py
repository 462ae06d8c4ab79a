"""Histories of conversations (rest.md 4): by time, by count, by sequence; of two users, and of groups."""

from __future__ import annotations

import base64
from typing import Any

from pydantic import Field

from mimc_proto._record import Record

from ..store import Conversation, HistoryMessage, Kind, Store
from .callers import Caller
from .envelope import AnswerCode, Failure
from .fields import Answered

__all__ = [
    "MAX_COUNT",
    "MAX_MESSAGES",
    "GroupHistory",
    "GroupMessage",
    "Histories",
    "PairHistory",
    "PairMessage",
    "Wanted",
]

MAX_COUNT = 200
"""Messages that may be asked for by count."""

MAX_MESSAGES = 1_000
MAX_BYTES = 4 << 20
"""Messages, and bytes of payloads, in any answer: of the payload of `MAX_COUNT` messages there is always room."""

MAX_EXAMINED = 5_000
"""Messages that are looked at for one answer, where only those of one bizType are wanted."""

DAY = 86_400_000
_CHUNK = 250
_LAST = (1 << 63) - 1
_PER_MS = 10_000


class GroupMessage(Answered):
    """A message of a group's history."""

    sequence: str
    payload: str = Field(description="base64")
    ts: int = Field(description="Unix time in milliseconds.")
    from_account: str
    biz_type: str = Field(description="Empty if there is none.")


class PairMessage(GroupMessage):
    """A message of the history of two users."""

    to_account: str


class _History(Answered):
    app_id: str
    row: int = Field(description="How many messages this answer has.")
    timestamp: int = Field(description="When the first of them was stored; 0 if there is none.")
    more: bool = Field(description="Whether there are others that were asked for, beyond what one answer may have.")


class PairHistory(_History):
    """Messages of two users, both ways, by their sequences."""

    messages: list[PairMessage]


class GroupHistory(_History):
    """Messages of a group, by their sequences."""

    topic_id: str
    messages: list[GroupMessage]


class Wanted(Record):
    """What of a history: ``from_sequence <= sequence < to_sequence``, at most so many, the oldest or the newest; of
    one bizType, unless that is empty."""

    __slots__ = ()
    from_sequence: int
    to_sequence: int
    most: int
    newest: bool = False
    biz_type: str = ""

    @classmethod
    def on_time(cls, from_ms: int, to_ms: int, biz_type: str) -> Wanted:
        """From a time on and before another, in Unix milliseconds. Raises `Failure` if that is over a day."""
        _check_order("utcFromTime", from_ms, "utcToTime", to_ms)
        if to_ms - from_ms > DAY:
            raise Failure(AnswerCode.BAD_REQUEST, f"expected at most a day ({DAY} ms), got {to_ms - from_ms} ms")
        first, end = _first_from(from_ms), _first_from(to_ms)
        return cls(from_sequence=first, to_sequence=end, most=MAX_MESSAGES, biz_type=biz_type)

    @classmethod
    def on_count(cls, to_ms: int, count: int, biz_type: str) -> Wanted:
        """The newest before a time in Unix milliseconds. Raises `Failure` for more than `MAX_COUNT`."""
        if not 1 <= count <= MAX_COUNT:
            raise Failure(AnswerCode.BAD_REQUEST, f"expected a count from 1 to {MAX_COUNT}, got {count}")
        return cls(from_sequence=0, to_sequence=_first_from(to_ms), most=count, newest=True, biz_type=biz_type)

    @classmethod
    def on_sequence(cls, start: int, stop: int) -> Wanted:
        """From a sequence on and before another."""
        _check_order("startSeq", start, "stopSeq", stop)
        return cls(from_sequence=start, to_sequence=stop, most=MAX_MESSAGES)


class Histories:
    """Shows callers what is theirs. All methods use the store, on the caller's thread; `Failure`, `StoreError`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of_pair(self, caller: Caller, from_account: str, to_account: str, wanted: Wanted) -> PairHistory:
        """What two users said to each other. A user has to be one of them; his application may see all."""
        if not caller.by_secret and caller.member.account not in (from_account, to_account):
            raise Failure(AnswerCode.FORBIDDEN, "expected the token's account as toAccount or fromAccount")
        members = [self._store.find_account(caller.app_id, account) for account in (from_account, to_account)]
        found: list[HistoryMessage] = []
        more = False
        if members[0] is not None and members[1] is not None:
            uuids = {"one": members[0].uuid, "other": members[1].uuid}
            found, more = self._found(Conversation(app_id=caller.app_id, kind=Kind.P2P, **uuids), wanted)
        return PairHistory(
            app_id=str(caller.app_id),
            messages=[PairMessage(**_shown(message), to_account=str(message.target)) for message in found],
            row=len(found),
            timestamp=_earliest(found),
            more=more,
        )

    def of_group(self, caller: Caller, account: str, topic_id: int, wanted: Wanted, *, unlimited: bool) -> GroupHistory:
        """What was said in a group, also before this account joined it. It has to be the token's, and a member."""
        if not caller.by_secret and caller.member.account != account:
            raise Failure(AnswerCode.FORBIDDEN, "expected the token's account as account")
        if self._store.group(caller.app_id, topic_id, unlimited=unlimited) is None:
            raise Failure(AnswerCode.NOT_FOUND, f"there is no {'unlimited ' * unlimited}group {topic_id}")
        member = self._store.find_account(caller.app_id, account)
        if member is None or not self._store.is_member(topic_id, member.uuid, unlimited=unlimited):
            raise Failure(AnswerCode.FORBIDDEN, f"account is not in {'unlimited ' * unlimited}group {topic_id}")
        kind = Kind.UNLIMITED if unlimited else Kind.P2T
        found, more = self._found(Conversation(app_id=caller.app_id, kind=kind, one=topic_id), wanted)
        return GroupHistory(
            app_id=str(caller.app_id),
            topic_id=str(topic_id),
            messages=[GroupMessage(**_shown(message)) for message in found],
            row=len(found),
            timestamp=_earliest(found),
            more=more,
        )

    def _found(self, conversation: Conversation, wanted: Wanted) -> tuple[list[HistoryMessage], bool]:
        """The messages in their order, and whether there are more."""
        low, high = wanted.from_sequence, wanted.to_sequence
        found: list[HistoryMessage] = []
        size = examined = 0
        more = False
        while low < high and not more:
            chunk = self._store.history(conversation, low, high, _CHUNK, newest=wanted.newest)
            for message in reversed(chunk) if wanted.newest else chunk:
                if wanted.biz_type in ("", message.biz_type):
                    size += len(message.payload)
                    more = len(found) == wanted.most or size > MAX_BYTES
                    if more:
                        break
                    found.append(message)
            examined += len(chunk)
            if len(chunk) < _CHUNK:
                break
            if wanted.newest:
                high = chunk[0].sequence
            else:
                low = chunk[-1].sequence + 1
            more = more or examined >= MAX_EXAMINED
        return (found[::-1] if wanted.newest else found), more


def _check_order(first_name: str, first: int, end_name: str, end: int) -> None:
    if first > end:
        raise Failure(AnswerCode.BAD_REQUEST, f"expected {first_name} not above {end_name}, got {first} and {end}")


def _first_from(ms: int) -> int:
    """The lowest sequence of what was stored from this time on (`Store.history`)."""
    return min(ms * _PER_MS + 1, _LAST)


def _earliest(found: list[HistoryMessage]) -> int:
    """Read off the sequence, so that asking for what is before it goes on where this answer began, also where the
    clock was set back in between."""
    return (found[0].sequence - 1) // _PER_MS if found else 0


def _shown(message: HistoryMessage) -> dict[str, Any]:
    return {
        "sequence": str(message.sequence),
        "payload": base64.b64encode(message.payload).decode(),
        "ts": message.timestamp,
        "from_account": message.sender.account,
        "biz_type": message.biz_type or "",
    }
