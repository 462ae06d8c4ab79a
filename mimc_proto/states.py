"""The states of links and sessions, and what each input does in each of them. Tables only: no bytes, no time, no logic.

A table has one row an input and one column a state. A cell is the next state, or what happens instead:

- ``REFUSE``: a verb that does not fit; the caller gets LocalProtocolError, nothing changes;
- ``IGNORE``: a packet that is out of place but harmless (it may have crossed ours on the way);
- ``FATAL``: a packet that the peer cannot have meant; RemoteProtocolError, the link is closed.

`mermaid` draws a table for the documentation.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeVar

__all__ = [
    "CLIENT_TABLE",
    "SERVER_TABLE",
    "SESSION_TABLE",
    "ClientInput",
    "ClientState",
    "Outcome",
    "ServerInput",
    "ServerState",
    "SessionInput",
    "SessionState",
    "mermaid",
]


class _Singleton(enum.Enum):
    """An enum whose members hash by identity: Enum's own hash is a Python function, and links look up all day."""

    __hash__ = object.__hash__


class Outcome(enum.Enum):
    """What an input does where it does not lead to a state."""

    REFUSE = "refuse"
    IGNORE = "ignore"
    FATAL = "fatal"


class ClientState(_Singleton):
    """A link as the client sees it."""

    HANDSHAKE = "handshake"  # CONN is on its way
    READY = "ready"  # keys are there, nobody is logged in
    BINDING = "binding"  # BIND is on its way
    BOUND = "bound"  # online
    UNBINDING = "unbinding"  # UBND is on its way
    CLOSED = "closed"


class ClientInput(_Singleton):
    """What can happen to a client's link: verbs, packets, and the end."""

    BIND = "bind()"
    SEND = "send()"
    PING = "ping()"
    UNBIND = "unbind()"
    CLOSE = "close()"
    CONN_ANSWER = "CONN answer"
    BIND_ACCEPTED = "BIND accepted"
    BIND_REFUSED = "BIND refused"
    PONG = "PING or empty frame"
    KICK = "KICK"
    UNBOUND = "UBND"
    PACKET = "SECMSG"
    OTHER = "other command"
    LOST = "end of input, failed write or deadline"


class ServerState(_Singleton):
    """A link as the server sees it."""

    HANDSHAKE = "handshake"  # nothing came yet
    READY = "ready"  # CONN is answered, nobody is logged in
    BINDING = "binding"  # BIND waits for the service's decision
    BOUND = "bound"  # online
    REBINDING = "rebinding"  # online, and another BIND waits
    CLOSING = "closing"  # what is queued is flushed, then the link is closed
    CLOSED = "closed"


class ServerInput(_Singleton):
    """What can happen to a server's link."""

    ACCEPT = "accept_bind()"
    REFUSE = "refuse_bind()"
    SEND = "send()"
    KICK = "kick()"
    CLOSE = "close()"
    CONN = "CONN"
    BIND = "BIND"
    PING = "PING or empty frame"
    UNBIND = "UBND"
    UNBIND_WEBSOCKET = "UBND on WebSocket"
    PACKET = "SECMSG"
    OTHER = "other command"
    LOST = "end of input, failed write or deadline"


class SessionState(_Singleton):
    """A session: one user across many links."""

    NEW = "new"  # made, not told to connect yet
    CONNECTING = "connecting"  # on the way to the first login
    ONLINE = "online"
    OFFLINE = "offline"  # was online, on the way to the next login
    LEAVING = "leaving"  # logging out
    ENDED = "ended"


class SessionInput(_Singleton):
    """What can happen to a session."""

    CONNECT = "connect()"
    SEND = "send()"
    LOGOUT = "logout()"
    ACCEPTED = "BIND accepted"
    LOST = "kicked, refused or link lost"
    END = "close(), taken over, logged out or first login refused"


S = TypeVar("S", bound=enum.Enum)
I = TypeVar("I", bound=enum.Enum)  # noqa: E741 (input)

Table = Mapping[tuple[S, I], S | Outcome]


def _table(states: type[S], rows: Mapping[I, tuple[S | Outcome, ...]]) -> Table[S, I]:
    return {(state, item): cell for item, cells in rows.items() for state, cell in zip(states, cells, strict=True)}


_REFUSE, _IGNORE, _FATAL = Outcome.REFUSE, Outcome.IGNORE, Outcome.FATAL


def _client() -> Table[ClientState, ClientInput]:
    _, ready, binding, bound, unbinding, closed = ClientState
    item = ClientInput
    # fmt: off
    return _table(ClientState, {
        #                    HANDSHAKE  READY     BINDING    BOUND      UNBINDING  CLOSED
        item.BIND:          (_REFUSE,   binding,  _REFUSE,   _REFUSE,   _REFUSE,   _REFUSE),
        item.SEND:          (_REFUSE,   _REFUSE,  _REFUSE,   bound,     _REFUSE,   _REFUSE),
        item.PING:          (_REFUSE,   ready,    binding,   bound,     unbinding, _REFUSE),
        item.UNBIND:        (_REFUSE,   _REFUSE,  unbinding, unbinding, _REFUSE,   _REFUSE),
        item.CLOSE:         (closed,    closed,   closed,    closed,    closed,    closed),
        item.CONN_ANSWER:   (ready,     _FATAL,   _FATAL,    _FATAL,    _FATAL,    _IGNORE),
        item.BIND_ACCEPTED: (_FATAL,    _IGNORE,  bound,     _IGNORE,   _IGNORE,   _IGNORE),
        item.BIND_REFUSED:  (_FATAL,    _IGNORE,  ready,     ready,     closed,    _IGNORE),
        item.PONG:          (_IGNORE,   ready,    binding,   bound,     unbinding, _IGNORE),
        item.KICK:          (_FATAL,    ready,    ready,     ready,     closed,    _IGNORE),
        item.UNBOUND:       (_FATAL,    _IGNORE,  _IGNORE,   _IGNORE,   closed,    _IGNORE),
        item.PACKET:        (_FATAL,    _IGNORE,  _IGNORE,   bound,     unbinding, _IGNORE),
        item.OTHER:         (_IGNORE,   _IGNORE,  _IGNORE,   _IGNORE,   _IGNORE,   _IGNORE),
        item.LOST:          (closed,    closed,   closed,    closed,    closed,    _IGNORE),
    })
    # fmt: on


def _server() -> Table[ServerState, ServerInput]:
    handshake, ready, binding, bound, rebinding, closing, closed = ServerState
    item = ServerInput
    # fmt: off
    return _table(ServerState, {
        #                       HANDSHAKE  READY     BINDING   BOUND      REBINDING  CLOSING   CLOSED
        item.ACCEPT:           (_REFUSE,   _REFUSE,  bound,    _REFUSE,   bound,     _REFUSE,  _REFUSE),
        item.REFUSE:           (_REFUSE,   _REFUSE,  ready,    _REFUSE,   ready,     _REFUSE,  _REFUSE),
        item.SEND:             (_REFUSE,   _REFUSE,  _REFUSE,  bound,     rebinding, _REFUSE,  _REFUSE),
        item.KICK:             (_REFUSE,   _REFUSE,  ready,    ready,     ready,     _REFUSE,  _REFUSE),
        item.CLOSE:            (closing,   closing,  closing,  closing,   closing,   closing,  closed),
        item.CONN:             (ready,     _FATAL,   _FATAL,   _FATAL,    _FATAL,    _IGNORE,  _IGNORE),
        item.BIND:             (_FATAL,    binding,  binding,  rebinding, rebinding, _IGNORE,  _IGNORE),
        item.PING:             (handshake, ready,    binding,  bound,     rebinding, _IGNORE,  _IGNORE),
        item.UNBIND:           (_FATAL,    ready,    ready,    ready,     ready,     _IGNORE,  _IGNORE),
        item.UNBIND_WEBSOCKET: (_FATAL,    closing,  closing,  closing,   closing,   _IGNORE,  _IGNORE),
        item.PACKET:           (_FATAL,    _IGNORE,  _IGNORE,  bound,     rebinding, _IGNORE,  _IGNORE),
        item.OTHER:            (_FATAL,    _IGNORE,  _IGNORE,  _IGNORE,   _IGNORE,   _IGNORE,  _IGNORE),
        item.LOST:             (closed,    closed,   closed,   closed,    closed,    closed,   _IGNORE),
    })
    # fmt: on


def _session() -> Table[SessionState, SessionInput]:
    new, connecting, online, offline, leaving, ended = SessionState
    item = SessionInput
    # fmt: off
    return _table(SessionState, {
        #               NEW         CONNECTING  ONLINE    OFFLINE   LEAVING   ENDED
        item.CONNECT:  (connecting, _REFUSE,    _REFUSE,  _REFUSE,  _REFUSE,  _REFUSE),
        item.SEND:     (new,        connecting, online,   offline,  _REFUSE,  _REFUSE),
        item.LOGOUT:   (leaving,    leaving,    leaving,  leaving,  leaving,  ended),
        item.ACCEPTED: (_IGNORE,    online,     _IGNORE,  online,   leaving,  _IGNORE),
        item.LOST:     (_IGNORE,    connecting, offline,  offline,  leaving,  _IGNORE),
        item.END:      (ended,      ended,      ended,    ended,    ended,    ended),
    })
    # fmt: on


CLIENT_TABLE = _client()
SERVER_TABLE = _server()
SESSION_TABLE = _session()


def mermaid(table: Table[S, I]) -> str:
    """A table as a Mermaid state diagram; what changes no state is left out."""
    labels: dict[tuple[S, S], list[str]] = {}
    for (state, item), cell in table.items():
        if not isinstance(cell, Outcome) and cell is not state:
            labels.setdefault((state, cell), []).append(item.value)
    first = next(iter(table))[0]
    lines = ["stateDiagram-v2", f"    [*] --> {first.name}"]
    lines += [f"    {a.name} --> {b.name}: {' / '.join(items)}" for (a, b), items in labels.items()]
    return "\n".join(lines)
