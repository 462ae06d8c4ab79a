"""MIMC without any I/O: framings, crypto, packets, a link as each side sees it, and a user across many links.

A link (`ClientConnection`, `ServerConnection`) takes in bytes and the time, and gives out events, frames and the
time at which it wants to be called again. A session (`ClientSession`) is the user of an application above them: it
logs in again, sends again, acknowledges. Neither knows a socket, a clock or chance of its own.
"""

from ._link import Trace
from .client import ClientConnection
from .config import ClientConfig, Delivery, ServerConfig, SessionConfig
from .credentials import Credentials
from .errors import (
    CryptoError,
    LocalProtocolError,
    LoginError,
    LoginTimeout,
    MimcError,
    PacketError,
    ProtocolError,
    QueueFull,
    RemoteProtocolError,
    ResolverError,
    SendError,
    SendFailed,
    SendRejected,
    SendTimeout,
    SessionEnded,
    TokenError,
)
from .framing import Framing
from .server import ServerConnection
from .session import ClientSession
from .states import ClientState, ServerState, SessionState

__all__ = [
    "ClientConfig",
    "ClientConnection",
    "ClientSession",
    "ClientState",
    "Credentials",
    "CryptoError",
    "Delivery",
    "Framing",
    "LocalProtocolError",
    "LoginError",
    "LoginTimeout",
    "MimcError",
    "PacketError",
    "ProtocolError",
    "QueueFull",
    "RemoteProtocolError",
    "ResolverError",
    "SendError",
    "SendFailed",
    "SendRejected",
    "SendTimeout",
    "ServerConfig",
    "ServerConnection",
    "ServerState",
    "SessionConfig",
    "SessionEnded",
    "SessionState",
    "TokenError",
    "Trace",
]
