"""What the service tells of itself, as log lines under ``mimc.server``: never a token, a key or what a message says."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from ..service import (
    CallbackFailed,
    Dropped,
    HintLost,
    LinkEnded,
    LoggedIn,
    LoggedOut,
    LoginRefused,
    MessageRefused,
    PacketIgnored,
    ServiceEvent,
    StoreFailed,
)
from ..settings import Log
from .lines import FIELDS, SUPPRESSED
from .pacing import Pace

__all__ = ["LOGGER", "Journal", "tell", "tell_rest"]

LOGGER = logging.getLogger("mimc.server")
LOGGER.addHandler(logging.NullHandler())  # silent until somebody listens

Told = tuple[int, str, dict[str, Any]]


class Journal:
    """Logs events; of each kind at most ``log.rate`` lines a second in the long run, and ``log.burst`` at once.

    ``now`` gives seconds of any clock. The line after some that were not written says how many those were
    (``suppressed``); `close` says it of those that none came after.
    """

    def __init__(self, log: Log, now: Callable[[], float]) -> None:
        self._pace = Pace(log, now)

    def __call__(self, event: ServiceEvent) -> None:
        """For `ServiceRunner`."""
        level = _level(event)
        if LOGGER.isEnabledFor(level):
            kind = _KINDS[type(event)]
            if self._pace.admits(kind):
                tell(level, kind, **_fields(event), **{SUPPRESSED: self._pace.missed(kind)})

    def close(self) -> None:
        """Say how much was not written since the last line of each kind."""
        tell_rest(self._pace.rest())


def tell(level: int, event: str, /, **fields: Any) -> None:
    """Log something, whatever there was before; fields that are None are not shown."""
    LOGGER.log(level, event, extra={FIELDS: fields})


def tell_rest(missed: Mapping[str, int]) -> None:
    """Log how many lines of each kind were not written last."""
    for kind, count in missed.items():
        tell(logging.INFO, "suppressed", kind=kind, **{SUPPRESSED: count})


_KINDS: dict[type[ServiceEvent], str] = {
    LinkEnded: "link-ended",
    LoggedIn: "login",
    LoggedOut: "logout",
    LoginRefused: "login-refused",
    MessageRefused: "message-refused",
    PacketIgnored: "packet-ignored",
    Dropped: "packet-dropped",
    HintLost: "hint-lost",
    StoreFailed: "store-failed",
    CallbackFailed: "callback-failed",
}


def _level(event: ServiceEvent) -> int:
    match event:
        case LinkEnded(error=None) | PacketIgnored():
            return logging.DEBUG
        case LoggedIn() | LoggedOut() | LinkEnded():
            return logging.INFO
        case LoginRefused() | MessageRefused() | Dropped() | HintLost():
            return logging.WARNING
        case StoreFailed() | CallbackFailed():
            return logging.ERROR
        case _:
            assert_never(event)


def _fields(event: ServiceEvent) -> dict[str, Any]:
    match event:
        case LinkEnded(link_id=link, peer=peer, reason=reason, error=error):
            return {"link": link, "peer": peer, "reason": reason.value, "error": error and str(error)}
        case LoggedIn(app_id=app_id, account=account, resource=resource, uuid=uuid, link_id=link, peer=peer):
            who = {"app": app_id, "account": account, "resource": resource, "uuid": uuid}
            return {**who, "link": link, "peer": peer}
        case LoggedOut(account=account, resource=resource, uuid=uuid, link_id=link, reason=ended):
            return {"account": account, "resource": resource, "uuid": uuid, "link": link, "reason": ended.value}
        case LoginRefused(link_id=link, peer=peer, reason=told, description=description):
            return {"link": link, "peer": peer, "reason": told, "description": description or None}
        case MessageRefused(account=account, resource=resource, uuid=uuid, packet_id=packet_id, kind=kind, code=code):
            who = {"account": account, "resource": resource, "uuid": uuid}
            return {**who, "packet": packet_id, "kind": kind.name, "code": int(code), "reason": code.name}
        case PacketIgnored(link_id=link, what=what):
            return {"link": link, "what": what}
        case Dropped(account=account, resource=resource, uuid=uuid, what=what, error=error):
            return {"account": account, "resource": resource, "uuid": uuid, "what": what, "error": str(error)}
        case HintLost(what=what):
            return {"what": what}
        case StoreFailed(what=what, error=error):
            return {"what": what, "error": str(error)}
        case CallbackFailed(error=failure):
            return {"error": type(failure).__name__, "place": _place(failure)}
        case _:
            assert_never(event)


def _place(error: Exception) -> str | None:
    """Where it was raised. Its text is not told: an application may put there what a message said."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None
