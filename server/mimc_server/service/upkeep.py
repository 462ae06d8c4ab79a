"""What is done every few seconds or minutes: finding what lost hints left behind, and having the store tidy up."""

from __future__ import annotations

from mimc_proto.packets import KickReason

from ..store import StoreError
from .delivery import Delivery
from .events import EndReason
from .links import Core, Session
from .login import Login
from .requests import CheckSessions, HeldSession, ReleaseNode, StoreRequest, TidyStore
from .sending import Sending
from .timers import Alarm

__all__ = ["Upkeep"]

TIDY_PAUSE = 1.0
"""Seconds between two pieces of a long upkeep."""

SWEPT_AT_ONCE = 500
"""Sessions that one request of the sweep asks about."""


class Upkeep:
    """The part of a service that looks after the others."""

    def __init__(self, core: Core, sending: Sending, delivery: Delivery, login: Login) -> None:
        self._core = core
        self._sending = sending
        self._delivery = delivery
        self._login = login
        self._sweep = Alarm(self._sweep_due)
        self._tidy = Alarm(self._tidy_due)
        self._ask("the start", ReleaseNode(request_id=core.next_id(), node=core.node))

    def start(self) -> None:
        """The time is known: from now on."""
        core = self._core
        core.timers.set(self._sweep, core.now + core.config.sweep_interval)
        core.timers.set(self._tidy, core.now + core.config.upkeep_interval)

    def _ask(self, what: str, request: StoreRequest) -> None:
        self._core.ask(request, lambda answer: self._core.failed(what, answer))

    def _tidy_due(self) -> None:
        core = self._core
        core.ask(TidyStore(request_id=core.next_id()), self._tidied)

    def _tidied(self, more: bool | StoreError) -> None:
        """A store that has more to remove does so in pieces, between which messages find their way."""
        core = self._core
        failed = core.failed("the upkeep", more)
        core.timers.set(self._tidy, core.now + (TIDY_PAUSE if more and not failed else core.config.upkeep_interval))

    def _sweep_due(self) -> None:
        self._sending.retry()
        self._login.retry()
        sessions = list(self._core.sessions.values())
        self._sweep_next([sessions[at : at + SWEPT_AT_ONCE] for at in range(0, len(sessions), SWEPT_AT_ONCE)])

    def _sweep_next(self, groups: list[list[Session]]) -> None:
        """One request at a time, so that messages find their way between them."""
        core = self._core
        if not groups:
            core.timers.set(self._sweep, core.now + core.config.sweep_interval)
            return
        sessions = groups.pop()
        held = [HeldSession(uuid=s.uuid, resource=s.resource, epoch=s.epoch, issued_ms=s.issued_ms) for s in sessions]
        asked = list(zip(sessions, held, strict=True))
        core.ask(
            CheckSessions(request_id=core.next_id(), sessions=held),
            lambda answer: self._swept(asked, groups, answer),
        )

    def _swept(
        self,
        asked: list[tuple[Session, HeldSession]],
        groups: list[list[Session]],
        answer: list[int | EndReason] | StoreError,
    ) -> None:
        if isinstance(answer, StoreError):
            self._core.failed("the sweep", answer)
            groups.clear()
        else:
            for (session, held), found in zip(asked, answer, strict=True):
                if session.link.session is session:
                    self._look_after(session, held, found)
        self._sweep_next(groups)

    def _look_after(self, session: Session, held: HeldSession, found: int | EndReason) -> None:
        if not isinstance(found, EndReason):
            self._delivery.heard(session, found)
        elif found is EndReason.TAKEN_OVER:
            self._login.displaced(session, session.epoch + 1)
        elif session.issued_ms == held.issued_ms:  # it has not logged in with a newer token meanwhile
            self._login.kick(session, KickReason.TOKEN_EXPIRED, "the token was revoked", found)
