"""Which way a frame went, and how that is known: the option, dir_flag, then command and fields."""

from __future__ import annotations

from typing import Any, NamedTuple

from mimc_proto.packets import Command, Direction, Packet
from mimc_proto.packets.wire import LENGTH, VARINT

from .messages import looks_like, wire_types

__all__ = ["DOWN", "UNKNOWN", "UP", "Way", "conclude"]

UP, DOWN, UNKNOWN = "up", "down", "unknown"

_SERVER_COMMANDS = (Command.KICK, Command.NOTIFY, Command.SYNC, Command.CTRL)


class Way(NamedTuple):
    """A direction and the reason for it."""

    direction: str
    reason: str


def conclude(forced: str | None, header: dict[str, Any], payload: bytes) -> Way:
    """The way of a frame; ``forced`` is what the user said, ``payload`` the bytes as they are in the frame."""
    by_flag = _by_flag(header.get("dir_flag"))
    if forced is not None:
        contradicted = by_flag is not None and by_flag.direction != forced
        return Way(forced, f"--direction, against {header['dir_flag']} in dir_flag" if contradicted else "--direction")
    return by_flag or _by_command(header, payload)


def _by_flag(flag: Any) -> Way | None:
    if flag not in Direction.__members__:  # absent, or a number that MIMC does not have
        return None
    direction = UP if Direction[flag] <= Direction.CS_RESP else DOWN
    return Way(direction, f"dir_flag is {flag}")


def _by_command(header: dict[str, Any], payload: bytes) -> Way:
    command = header.get("cmd")
    if command in _SERVER_COMMANDS:
        return Way(DOWN, f"only servers send {command}")
    if command == Command.UBND:
        return Way(UP, "UBND is a client's, though a server may echo it")
    if command == Command.CONN:
        return _by_conn(wire_types(payload))
    if command == Command.BIND:
        return _by_bind(wire_types(payload))
    if command == Command.SECMSG:
        return _by_encryption(header, payload)
    if command in Command.__members__:
        return Way(UNKNOWN, f"no dir_flag, and both sides send {command}")
    return Way(UNKNOWN, "no dir_flag, and no command that MIMC knows")


def _by_conn(fields: dict[int, int]) -> Way:
    if fields.get(1) == LENGTH:
        return Way(DOWN, "no dir_flag; the payload begins with a challenge")
    if fields.get(1) == VARINT or max(fields, default=0) > 4:
        return Way(UP, "no dir_flag; the payload has the fields of XMMsgConn")
    return Way(UP, "no dir_flag; the payload has no challenge")


def _by_bind(fields: dict[int, int]) -> Way:
    if fields.get(1) == LENGTH or max(fields, default=0) > 4:
        return Way(UP, "no dir_flag; the payload has the fields of XMMsgBind")
    if fields.get(1) == VARINT:
        return Way(DOWN, "no dir_flag; the payload begins with a result")
    return Way(DOWN, "no dir_flag; the payload has no token")


def _by_encryption(header: dict[str, Any], payload: bytes) -> Way:
    if header.get("cipher") == 1:
        return Way(DOWN, "no dir_flag; cipher is 1")
    if looks_like(Packet, payload, "type"):
        return Way(UP, "no dir_flag; the payload is plain, as WebJS sends it")
    return Way(DOWN, "no dir_flag; the payload is not plain")
