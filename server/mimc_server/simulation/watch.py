"""Looks on at the service: what its store commits goes to the laws, what it tells into trace and numbers."""

from __future__ import annotations

from mimc_proto.packets import Command
from mimc_proto.testing import VirtualClock

from ..service import (
    Append,
    CallbackFailed,
    Dropped,
    LinkEnded,
    LoggedIn,
    LoggedOut,
    LoginRefused,
    MessageRefused,
    PacketIgnored,
    ServiceEvent,
    StoreRequest,
)
from ..store import Stored
from .laws import Laws
from .tally import Tally
from .trace import Trace

__all__ = ["Watch"]


class Watch:
    """What a `Host` is to call."""

    def __init__(self, clock: VirtualClock, laws: Laws, tally: Tally, trace: Trace) -> None:
        self._clock, self._laws, self._tally, self._trace = clock, laws, tally, trace

    def performed(self, request: StoreRequest, answer: object) -> None:
        """The store has done something, or failed to."""
        if not isinstance(request, Append) or not isinstance(answer, list):
            return
        for message, appended in zip(request.batch, answer, strict=True):
            if isinstance(appended, Stored) and appended.repeated:
                self._tally.at("repeats known by the store", self._clock.now)
                self._trace.tell("store", "repeat", sequence=appended.sequence)
            elif isinstance(appended, Stored):
                said = self._laws.committed(message, appended)
                self._tally.at("stored", self._clock.now)
                self._trace.tell("store", "stored", n=said.number, sequence=appended.sequence)

    def told(self, event: ServiceEvent) -> None:
        """The service tells what happened. Our clients give it no reason to complain."""
        tally, trace = self._tally, self._trace
        match event:
            case LoggedIn():
                session = f"{event.account}/{event.resource}"
                trace.tell("service", "logged in", uuid=event.uuid, session=session, epoch=event.epoch)
            case LoggedOut():
                tally.at(f"logged out: {event.reason.value}", self._clock.now)
                trace.tell("service", "logged out", uuid=event.uuid, resource=event.resource, why=event.reason.name)
            case LoginRefused():
                tally.count(f"refused: login ({event.reason})")
            case MessageRefused():
                tally.count(f"refused: message ({event.code.name})")
            case Dropped():
                tally.count("packets dropped by the service")
            case LinkEnded():
                tally.count(f"links ended: {event.reason.value}")
                if event.error is not None:
                    raise Laws.Broken(f"a client breaks the protocol: {event.error}")
            case PacketIgnored(what=Command.SECMSG):
                tally.count("packets that crossed a kick")
            case PacketIgnored() | CallbackFailed():
                raise Laws.Broken(f"the service was asked what it does not know: {event}")
            case _:
                pass
