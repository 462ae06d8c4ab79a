"""A client user across many links.

`ClientSession` decides what the official SDKs decide in threads: when to log in and again, what to send again, what
to acknowledge. It is a state machine like a link: no socket, no clock, no chance of its own.
"""

from ._lifecycle import DEFAULT_RESOLVER
from .access import Address
from .backoff import Chance
from .events import (
    Acknowledged,
    Ended,
    EndReason,
    Failed,
    FailReason,
    GroupDismissed,
    GroupMessage,
    LinkLost,
    LoginRefused,
    Message,
    MessagesDelivered,
    MessagesDropped,
    Offline,
    Online,
    OnlineMessage,
    Rejected,
    ResolverFailed,
    SessionEvent,
    TokenFailed,
    TooManyWaiting,
    UnlimitedMessage,
    Unreadable,
    Verdict,
)
from .requests import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest
from .resolver import parse_resolver_answer, resolver_url
from .session import ClientSession
from .tokens import TokenAnswer, parse_token_answer

__all__ = [
    "DEFAULT_RESOLVER",
    "Acknowledged",
    "Address",
    "Chance",
    "ClientSession",
    "CloseLink",
    "EndReason",
    "Ended",
    "FailReason",
    "Failed",
    "FetchToken",
    "GroupDismissed",
    "GroupMessage",
    "LinkLost",
    "LoginRefused",
    "Message",
    "MessagesDelivered",
    "MessagesDropped",
    "Offline",
    "Online",
    "OnlineMessage",
    "OpenLink",
    "Rejected",
    "Resolve",
    "ResolverFailed",
    "SessionEvent",
    "SessionRequest",
    "TokenAnswer",
    "TokenFailed",
    "TooManyWaiting",
    "UnlimitedMessage",
    "Unreadable",
    "Verdict",
    "parse_resolver_answer",
    "parse_token_answer",
    "resolver_url",
]
