"""What is done every few seconds or minutes: finding what lost hints left behind, and having the store tidy up."""

from __future__ import annotations

from ..store import Acknowledgement, StoreError
from .delivery import Delivery
from .links import Core, Session
from .login import Login
from .requests import CheckSessions, ReleaseNode, StoreRequest, TidyStore
from .sending import Sending
from .timers import Alarm

__all__ = ["Upkeep"]

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
        self._ask("the upkeep", TidyStore(request_id=core.next_id()))
        core.timers.set(self._tidy, core.now + core.config.upkeep_interval)

    def _sweep_due(self) -> None:
        self._sending.retry()
        sessions = list(self._core.sessions.values())
        self._sweep_next([sessions[at : at + SWEPT_AT_ONCE] for at in range(0, len(sessions), SWEPT_AT_ONCE)])

    def _sweep_next(self, groups: list[list[Session]]) -> None:
        """One request at a time, so that messages find their way between them."""
        core = self._core
        if not groups:
            core.timers.set(self._sweep, core.now + core.config.sweep_interval)
            return
        sessions = groups.pop()
        asked = [Acknowledgement(uuid=s.uuid, resource=s.resource, epoch=s.epoch, sequence=0) for s in sessions]
        core.ask(
            CheckSessions(request_id=core.next_id(), sessions=asked),
            lambda answer: self._swept(sessions, groups, answer),
        )

    def _swept(
        self, sessions: list[Session], groups: list[list[Session]], answer: list[int | None] | StoreError
    ) -> None:
        if isinstance(answer, StoreError):
            self._core.failed("the sweep", answer)
            groups.clear()
        else:
            for session, end in zip(sessions, answer, strict=True):
                if session.link.session is not session:
                    continue
                if end is None:
                    self._login.displaced(session, session.epoch + 1)
                else:
                    self._delivery.heard(session, end)
        self._sweep_next(groups)
