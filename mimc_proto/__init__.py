"""MIMC without any I/O: framings, crypto, packets, and a link as each side sees it.

A link (`ClientConnection`, `ServerConnection`) takes in bytes and the time, and gives out events, frames and the
time at which it wants to be called again. It knows no socket, no clock and no chance of its own.
"""

from ._link import Trace
from .client import ClientConnection
from .config import ClientConfig, ServerConfig
from .credentials import Credentials
from .errors import (
    CryptoError,
    LocalProtocolError,
    MimcError,
    PacketError,
    ProtocolError,
    QueueFull,
    RemoteProtocolError,
)
from .framing import Framing
from .server import ServerConnection
from .states import ClientState, ServerState

__all__ = [
    "ClientConfig",
    "ClientConnection",
    "ClientState",
    "Credentials",
    "CryptoError",
    "Framing",
    "LocalProtocolError",
    "MimcError",
    "PacketError",
    "ProtocolError",
    "QueueFull",
    "RemoteProtocolError",
    "ServerConfig",
    "ServerConnection",
    "ServerState",
    "Trace",
]
