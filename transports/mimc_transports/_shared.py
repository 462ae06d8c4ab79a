"""What the adapters share: verdicts as results and errors, messages with their receipts, and the status."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypedDict

from mimc_proto.errors import (
    LocalProtocolError,
    LoginError,
    LoginTimeout,
    SendFailed,
    SendRejected,
    SendTimeout,
    SessionEnded,
)
from mimc_proto.session import (
    Ended,
    EndReason,
    Failed,
    FailReason,
    GroupMessage,
    LinkLost,
    LoginRefused,
    Message,
    MessagesDelivered,
    OnlineMessage,
    Rejected,
    ResolverFailed,
    SessionEvent,
    TokenFailed,
    TooManyWaiting,
    UnlimitedMessage,
)

__all__ = [
    "REFUSED",
    "AnyMessage",
    "Inflow",
    "OnlineOptions",
    "SendOptions",
    "Token",
    "TokenSource",
    "ended_error",
    "login_error",
    "problem_of",
    "verdict_error",
]

AnyMessage = Message | GroupMessage | OnlineMessage | UnlimitedMessage | TooManyWaiting
"""What iterating over a user gives."""

Token = str | bytes | Mapping[str, object]
"""A token answer."""


class AsyncTokenProvider(Protocol):
    """Something like `HttpTokenProvider`."""

    async def fetch_async(self) -> Token:
        """A token answer."""


TokenSource = Token | AsyncTokenProvider | Callable[[], Token | Awaitable[Token]]
"""Where tokens come from: an answer itself, a provider, or a function or coroutine function that gives an answer."""


class OnlineOptions(TypedDict, total=False):
    """What may be given to `send_online` beside account and payload: see `ClientSession.send_online`."""

    biz_type: str | None
    packet_id: str | None
    timeout: float | None


class SendOptions(OnlineOptions, total=False):
    """What may be given to the other sends beside target and payload: see `ClientSession.send`."""

    is_store: bool


def verdict_error(verdict: Rejected | Failed) -> SendRejected | SendFailed:
    """The error that a verdict is."""
    match verdict:
        case Rejected(packet_id=packet_id, code=code, message=text, may_have_arrived=arrived):
            return SendRejected(packet_id=packet_id, code=code, text=text, may_have_arrived=arrived)
        case Failed(packet_id=packet_id, reason=reason, may_have_arrived=arrived):
            kind = SendTimeout if reason is FailReason.TIMEOUT else SendFailed
            return kind(reason.value, packet_id=packet_id, may_have_arrived=arrived)


def ended_error(ended: Ended) -> SessionEnded:
    """The error for whoever uses a session that has ended."""
    told = " ".join(dict.fromkeys(filter(None, (ended.error_type, ended.error_reason, ended.error_desc))))
    return SessionEnded(f"{ended.reason.value}{f': {told}' if told else ''}", reason=ended.reason)


def problem_of(event: SessionEvent) -> str:
    """What an event says went wrong; "" for one that says nothing of the kind."""
    match event:
        case TokenFailed(problem=problem) | ResolverFailed(problem=problem):
            return problem
        case LinkLost(host=host, port=port, problem=problem):
            return f"{host}:{port}: {problem}"
        case LoginRefused(error_type=kind, error_reason=reason):
            return f"login refused: {kind} {reason}".rstrip()
        case _:
            return ""


def login_error(ended: Ended | None, timeout: float, problem: str) -> LoginError:
    """The error of a first login that did not succeed: refused, or not in time."""
    last = f"; last problem: {problem}" if problem else ""
    if ended is None:
        return LoginTimeout(f"not online within {timeout:g} s{last}")
    told = {"error_type": ended.error_type, "error_reason": ended.error_reason, "error_desc": ended.error_desc}
    return LoginError(f"{ended.reason.value}: {' '.join(filter(None, told.values()))}{last}", **told)


class Inflow:
    """Messages on their way to the application, with the receipts that say when it is through with them.

    ``consumed(receipt)`` is called when the last message of a delivery was handed back. With ``automatic``, asking for
    the next message hands back the one before; otherwise `acknowledge` does, for each.
    """

    __slots__ = ("_automatic", "_by_sequence", "_consumed", "_current", "_left", "_queue", "_skip")

    def __init__(self, consumed: Callable[[int], None], skip: Callable[[int], None], *, automatic: bool) -> None:
        self._consumed, self._skip = consumed, skip
        self._automatic = automatic
        self._queue: deque[tuple[AnyMessage, int]] = deque()
        self._left: dict[int, int] = {}  # messages of a receipt that were not handed back
        self._by_sequence: dict[int, int] = {}  # receipts of messages that wait for `acknowledge`
        self._current: int | None = None

    def __bool__(self) -> bool:
        return bool(self._queue)

    def add(self, event: MessagesDelivered | TooManyWaiting) -> None:
        """A delivery came."""
        receipt = event.receipt
        messages: tuple[AnyMessage, ...] = (event,) if isinstance(event, TooManyWaiting) else event.messages
        if messages:
            self._left[receipt] = len(messages)
            self._queue.extend([(message, receipt) for message in messages])
        else:  # all of it could not be read
            self._consumed(receipt)

    def finish(self) -> None:
        """The application asks for the next: it is through with the one it has."""
        receipt, self._current = self._current, None
        if receipt is not None:
            self._hand_back(receipt)

    def next(self) -> AnyMessage:
        """The next message; `finish` was called, and there is one."""
        message, receipt = self._queue.popleft()
        if self._automatic or not isinstance(message, (Message, GroupMessage)):
            self._current = receipt
        else:
            self._by_sequence[message.sequence] = receipt
        return message

    def acknowledge(self, message: AnyMessage) -> None:
        """The application is through with this message. Raises `LocalProtocolError` if it had said so before."""
        if self._automatic:
            raise LocalProtocolError("expected auto_acknowledge=False", where="acknowledge")
        if not isinstance(message, (Message, GroupMessage)):
            return  # those were acknowledged on arrival
        receipt = self._by_sequence.pop(message.sequence, None)
        if receipt is None:
            raise LocalProtocolError(
                "expected a message of this user that is not acknowledged yet", where="acknowledge"
            )
        self._hand_back(receipt)

    def skip(self, notice: TooManyWaiting) -> None:
        """Do without all that a limit notice speaks of."""
        if self._left.pop(notice.receipt, None) is None:
            raise LocalProtocolError("expected a limit notice that is not answered yet", where="skip")
        if self._current == notice.receipt:
            self._current = None
        self._skip(notice.receipt)

    def _hand_back(self, receipt: int) -> None:
        left = self._left[receipt] - 1
        if left:
            self._left[receipt] = left
        else:
            del self._left[receipt]
            self._consumed(receipt)


REFUSED = (EndReason.KICKED, EndReason.LOGIN_REFUSED)
"""Ends that the application did not ask for."""
