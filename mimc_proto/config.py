"""Timings and limits of a link. Each object checks itself; times are seconds, sizes bytes."""

from __future__ import annotations

import dataclasses

from .errors import LocalProtocolError

__all__ = ["ClientConfig", "ServerConfig"]

KIB = 1024
MIB = 1024 * KIB

_LONGEST = 86_400.0 * 366
_LARGEST = 1 << 31


class _Checked:
    """Every float is a time above zero, every whole number a count or size of at least one."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value, where = getattr(self, field.name), f"{type(self).__name__}.{field.name}"
            if field.type == "float":
                good = isinstance(value, (int, float)) and not isinstance(value, bool) and 1e-3 <= value <= _LONGEST
                wanted = f"seconds from 0.001 to {_LONGEST:.0f}"
            else:
                good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST
                wanted = f"a whole number from 1 to {_LARGEST}"
            if not good:
                raise LocalProtocolError(f"expected {wanted}, got {value!r}", where=where)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig(_Checked):
    """Settings of a `ClientConnection` (defaults: wire.md section 4)."""

    handshake_timeout: float = 5.0
    """From the start of the link to the CONN answer."""
    login_timeout: float = 5.0
    """From BIND to its answer."""
    answer_timeout: float = 10.0
    """From a packet that wants an answer to any frame: then the link is dead."""
    ping_interval: float = 15.0
    """Silence in either direction after which a PING is sent."""
    max_frame: int = MIB
    """The largest body accepted."""
    max_payload: int = 15_360
    """The largest message payload sent: what Java, C# and iOS allow (C++ and WebJS: 10 240)."""
    max_pending: int = 4096
    """Messages that may wait to be taken."""
    max_pending_bytes: int = 4 * MIB
    """Bytes that may wait to be taken."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig(_Checked):
    """Settings of a `ServerConnection` (reasons: clients.md rules 4, 9, 17)."""

    handshake_timeout: float = 10.0
    """From the start of the link to CONN."""
    bind_timeout: float = 240.0
    """How long a link may go without being bound: after a takeover Java opens a link, sends CONN and idles there."""
    idle_timeout: float = 240.0
    """Silence after which a bound link is closed; Java and WebJS ping every 180 s."""
    close_delay: float = 1.0
    """How long a link that is to be closed may take to flush."""
    max_frame_unbound: int = 4 * KIB
    """The largest body accepted before the first BIND is."""
    max_frame: int = 64 * KIB
    """The largest body accepted after, also of what is still on its way when the user was kicked."""
    max_list_messages: int = 50
    """The most messages in one COMPOUND or list of an unlimited group."""
    max_list_bytes: int = 64 * KIB
    """The most bytes of either."""
    max_pending: int = 4096
    """Packets that may wait to be taken."""
    max_pending_bytes: int = 4 * MIB
    """Bytes that may wait to be taken."""
