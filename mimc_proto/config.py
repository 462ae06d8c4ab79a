"""Timings and limits of links and sessions. Each object checks itself; times are seconds, sizes bytes."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from .errors import LocalProtocolError

__all__ = ["ClientConfig", "Delivery", "ServerConfig", "SessionConfig"]

KIB = 1024
MIB = 1024 * KIB

_LONGEST = 86_400.0 * 366
_LARGEST_PAYLOAD = 54 * KIB
"""Of a session: with the longest names around it a message still fits the 64 KiB that servers take."""


class _Checked:
    """Every float is a time above zero, every whole number a count or size of at least one."""

    __slots__ = ()
    _largest: ClassVar[int] = 1 << 31

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value, where = getattr(self, field.name), f"{type(self).__name__}.{field.name}"
            if field.type == "float":
                good = isinstance(value, (int, float)) and not isinstance(value, bool) and 1e-3 <= value <= _LONGEST
                wanted = f"seconds from 0.001 to {_LONGEST:.0f}"
            elif field.type != "int":
                continue  # the subclass checks it
            else:
                good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= self._largest
                wanted = f"a whole number from 1 to {self._largest}"
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


class Delivery(enum.Enum):
    """What becomes of a message that was handed to a link which is lost before the acknowledgement."""

    AT_MOST_ONCE = "at-most-once"
    """It fails at once, and may have arrived."""
    AT_LEAST_ONCE = "at-least-once"
    """It is sent again on the next link, with its id and its deadline; a server that knows repeats stores it once."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionConfig(ClientConfig):
    """Settings of a `ClientSession` and of its links (defaults: wire.md section 4)."""

    connect_timeout: float = 5.0
    """From OpenLink to its answer."""
    token_timeout: float = 30.0
    """From FetchToken to its answer."""
    resolve_timeout: float = 5.0
    """From Resolve to its answer."""
    login_gap: float = 5.0
    """From a BIND to the next one after a kick; doubles while kicks come soon after going online."""
    longest_login_gap: float = 60.0
    """Where the doubling ends."""
    stable_after: float = 10.0
    """Seconds online after which back-offs and the login gap start again from the beginning."""
    send_timeout: float = 10.0
    """From a send to its verdict."""
    online_timeout: float = 10.0
    """From an online message to the acknowledgement of a receiver (Java)."""
    group_ping_interval: float = 10.0
    """Between two pings of the unlimited groups (Java, WebJS)."""
    token_backoff: float = 0.1
    """The first delay after a failed or refused token; doubles, with full jitter."""
    longest_token_backoff: float = 30.0
    """Where the doubling ends."""
    connect_backoff: float = 1.0
    """The first delay after all addresses failed, a link was lost or a login refused; doubles, with full jitter."""
    longest_connect_backoff: float = 30.0
    """Where the doubling ends."""
    pull_interval: float = 1.0
    """Between two PULLs, at least."""
    high_messages: int = 1024
    """Messages in the application's hands above which a further list is left to the server."""
    high_bytes: int = MIB
    """The same in bytes of payload."""
    low_messages: int = 256
    """Messages at which what was left is pulled."""
    low_bytes: int = 256 * KIB
    """The same in bytes of payload."""
    remembered: int = 256
    """Sequences of delivered messages that are always remembered, to know repeats."""
    max_remembered: int = 65_536
    """And at most, while the server does not confirm that it has the acknowledgements."""
    max_groups: int = 1024
    """Unlimited groups that one session may be in."""
    delivery: Delivery = Delivery.AT_MOST_ONCE
    """What becomes of messages whose link is lost."""
    accepted_codes: frozenset[int] = frozenset({0, 100, 200})
    """Codes of PACKET_ACK that mean acceptance (the live service was seen to answer 100)."""

    def __post_init__(self) -> None:
        ClientConfig.__post_init__(self)
        if not isinstance(self.delivery, Delivery):
            raise LocalProtocolError(f"expected a Delivery, got {self.delivery!r}", where="SessionConfig.delivery")
        if self.max_payload > _LARGEST_PAYLOAD:
            raise LocalProtocolError(
                f"expected at most {_LARGEST_PAYLOAD} bytes, got {self.max_payload}", where="SessionConfig.max_payload"
            )
        codes = self.accepted_codes
        if not isinstance(codes, frozenset) or not all(type(code) is int for code in codes):
            raise LocalProtocolError(
                f"expected a frozenset of whole numbers, got {codes!r}", where="SessionConfig.accepted_codes"
            )
        for small, large in _ORDERED:
            if getattr(self, small) > getattr(self, large):
                raise LocalProtocolError(
                    f"expected at most {large} ({getattr(self, large)}), got {getattr(self, small)}",
                    where=f"SessionConfig.{small}",
                )


_ORDERED = (
    ("login_gap", "longest_login_gap"),
    ("token_backoff", "longest_token_backoff"),
    ("connect_backoff", "longest_connect_backoff"),
    ("low_messages", "high_messages"),
    ("low_bytes", "high_bytes"),
    ("remembered", "max_remembered"),
)


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
