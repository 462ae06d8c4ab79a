"""A store in an SQLite database: all of the contract, and it outlives the process, the machine's power included.

One file, one process, one thread at a time. What a call returned has reached the disk (write-ahead log, full sync);
calls in one `transaction` share the wait. What is asked about again and again is kept in memory, bounded, and dropped
whenever something failed, so that memory never says what the file does not.
"""

from .snapshot import Snapshot
from .store import SqliteStore

__all__ = ["Snapshot", "SqliteStore"]
