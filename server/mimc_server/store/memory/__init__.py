"""A store in memory: all of the contract, and nothing survives the process.

Memory is bounded: users, resources, groups, conversations and repeats by their number, messages and inboxes by their
bytes (`StoreConfig`). What is full refuses, and nothing that somebody has yet to read is dropped for room.
"""

from .store import MemoryStore

__all__ = ["MemoryStore"]
