"""What can go wrong, as types.

``LocalProtocolError`` is a mistake of the program that drives a machine: nothing was changed by the call that
raised it but the clock, which has seen ``now``. ``RemoteProtocolError`` is a mistake of the peer: the link is dead.
``PacketError`` is a mistake in the *contents* of one packet: the link lives on. Every message says what was expected
and what came, and never holds a token, a key, a signature or the text of a message.
"""

from __future__ import annotations

__all__ = [
    "CryptoError",
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
    "SessionEnded",
    "TokenError",
]


LONGEST_SHOWN = 80


class MimcError(Exception):
    """Base of everything this project raises on purpose."""


class ProtocolError(MimcError):
    """A rule of the protocol was broken.

    ``problem`` is one sentence; ``where`` names the field or structure (``"ClientHeader.cmd"``); ``offset`` is the
    position of the first offending byte, counted from the start of the frame, or of the message or text named by
    ``where``.
    """

    def __init__(self, problem: str, *, where: str = "", offset: int | None = None) -> None:
        self.problem = problem
        self.where = where
        self.offset = offset
        super().__init__(problem, where, offset)

    def __str__(self) -> str:
        place = self.where
        if self.offset is not None:
            place += f" at byte {self.offset}" if place else f"byte {self.offset}"
        return f"{place}: {self.problem}" if place else self.problem

    def __eq__(self, other: object) -> bool:
        """Errors that say the same are equal, so that events which hold them can be compared."""
        return type(self) is type(other) and self.args == other.args

    def __hash__(self) -> int:
        return hash((type(self), self.args))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.problem, self.where, self.offset)


class LocalProtocolError(ProtocolError):
    """The caller asked for something that the protocol, the state or the arguments do not allow."""


class CryptoError(LocalProtocolError, ValueError):
    """A key, challenge or id cannot be used: it has the wrong length, alphabet or encoding."""


class QueueFull(LocalProtocolError):
    """The limit of messages or bytes that may wait to be sent is reached; send again when some are written."""


class RemoteProtocolError(ProtocolError):
    """The peer broke a rule that a link cannot survive: framing, checksum, lengths, header or handshake."""


class PacketError(ProtocolError):
    """The contents of one packet cannot be read; the link it came on goes on."""


class TokenError(ProtocolError):
    """There is no usable token: the token endpoint failed, or a field of its answer is missing or wrong."""


class ResolverError(ProtocolError):
    """There are no usable addresses: the resolver failed, or its answer is wrong or does not have the domain."""


class LoginError(MimcError):
    """The first login was refused, for a reason that trying again does not change.

    ``error_type``, ``error_reason`` and ``error_desc`` are the frontend's words.
    """

    def __init__(self, problem: str, *, error_type: str = "", error_reason: str = "", error_desc: str = "") -> None:
        self.error_type, self.error_reason, self.error_desc = error_type, error_reason, error_desc
        super().__init__(problem)


class LoginTimeout(LoginError, TimeoutError):
    """Nobody was online in time; the text says what had gone wrong last."""


class SendError(MimcError):
    """A message got another verdict than its acknowledgement. ``packet_id`` is its id, "" if it never got one."""

    def __init__(self, problem: str, *, packet_id: str) -> None:
        self.packet_id = packet_id
        super().__init__(f"{problem} (packet {shown_name(packet_id)})" if packet_id else problem)

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class SendRejected(SendError):
    """The server refused the message; ``code`` and ``text`` are its words.

    ``may_have_arrived``: it had been sent before, on a link that was lost, and may have arrived then.
    """

    def __init__(self, *, packet_id: str, code: int, text: str, may_have_arrived: bool = False) -> None:
        self.code, self.text, self.may_have_arrived = code, text, may_have_arrived
        super().__init__(f"refused with code {code}: {shown_name(text or 'no reason given')}", packet_id=packet_id)


class SendFailed(SendError):
    """No acknowledgement came; only if ``may_have_arrived`` is False was the message certainly never sent."""

    def __init__(self, problem: str, *, packet_id: str, may_have_arrived: bool) -> None:
        self.may_have_arrived = may_have_arrived
        arrived = "it may have arrived" if may_have_arrived else "it was never sent"
        super().__init__(f"{problem}; {arrived}", packet_id=packet_id)


class SendTimeout(SendFailed, TimeoutError):
    """No acknowledgement came in time."""


class SessionEnded(MimcError):
    """The user is logged out for good: kicked, logged out or closed; ``reason`` is the session's `EndReason`."""

    def __init__(self, problem: str, *, reason: object = None) -> None:
        self.reason = reason
        super().__init__(problem)


def shown(value: object) -> str:
    """A value as an error or a log line may show it: on one line, and not without end."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def shown_name(name: object) -> str:
    """A command or an id as an error or a log line may show it: as it is, if that does no harm there."""
    plain = isinstance(name, str) and name.isprintable() and len(name) <= LONGEST_SHOWN
    return str(name) if plain or name is None else shown(name)


def _rebuild(cls: type[ProtocolError], problem: str, where: str, offset: int | None) -> ProtocolError:
    return cls(problem, where=where, offset=offset)


def _restore(cls: type[SendError], args: tuple[object, ...], attributes: dict[str, object]) -> SendError:
    """An error whose text was made by its constructor, without making it again."""
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error
