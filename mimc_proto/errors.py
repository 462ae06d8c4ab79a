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
    "MimcError",
    "PacketError",
    "ProtocolError",
    "QueueFull",
    "RemoteProtocolError",
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


class QueueFull(LocalProtocolError):  # noqa: N818 (the name of design.md, and of queue.Full)
    """The limit of messages or bytes that may wait to be sent is reached; send again when some are written."""


class RemoteProtocolError(ProtocolError):
    """The peer broke a rule that a link cannot survive: framing, checksum, lengths, header or handshake."""


class PacketError(ProtocolError):
    """The contents of one packet cannot be read; the link it came on goes on."""


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
