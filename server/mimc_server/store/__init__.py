"""What a service keeps: the contract, and the stores that fulfil it."""

from .config import StoreConfig
from .contract import (
    AckCode,
    Acknowledgement,
    Appended,
    Claim,
    Delivery,
    Group,
    InboxMessage,
    InboxPage,
    Kind,
    Member,
    NewMessage,
    Refused,
    Store,
    Stored,
    StoreError,
    StoreFull,
    UnknownUser,
)
from .memory import MemoryStore

__all__ = [
    "AckCode",
    "Acknowledgement",
    "Appended",
    "Claim",
    "Delivery",
    "Group",
    "InboxMessage",
    "InboxPage",
    "Kind",
    "Member",
    "MemoryStore",
    "NewMessage",
    "Refused",
    "Store",
    "StoreConfig",
    "StoreError",
    "StoreFull",
    "Stored",
    "UnknownUser",
]
