"""What a service keeps: the contract, and the stores that fulfil it."""

from .config import StoreConfig
from .contract import (
    AckCode,
    Acknowledgement,
    Appended,
    Claim,
    Conversation,
    Delivery,
    Group,
    HistoryMessage,
    InboxMessage,
    InboxPage,
    Kind,
    Member,
    NewMessage,
    Refused,
    Statistics,
    Store,
    Stored,
    StoreError,
    StoreFull,
    UnknownUser,
)
from .memory import MemoryStore
from .sqlite import SqliteStore

__all__ = [
    "AckCode",
    "Acknowledgement",
    "Appended",
    "Claim",
    "Conversation",
    "Delivery",
    "Group",
    "HistoryMessage",
    "InboxMessage",
    "InboxPage",
    "Kind",
    "Member",
    "MemoryStore",
    "NewMessage",
    "Refused",
    "SqliteStore",
    "Statistics",
    "Store",
    "StoreConfig",
    "StoreError",
    "StoreFull",
    "Stored",
    "UnknownUser",
]
