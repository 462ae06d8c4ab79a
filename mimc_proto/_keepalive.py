"""What a client link does about silence: the deadlines of its peer's answers, and PINGs where it has nothing to ask."""

from __future__ import annotations

import abc

from ._link import Link, Trace
from .config import ClientConfig
from .events import ClientEvent, CloseReason
from .framing import Framing
from .states import ClientInput, ClientState

__all__ = ["MOST_PINGS", "Keepalive"]

MOST_PINGS = 8
"""Control frames that wait while the transport cannot write: any of them is as good as one PING more."""

_TIMEOUTS = {
    ClientState.HANDSHAKE: CloseReason.HANDSHAKE_TIMEOUT,
    ClientState.BINDING: CloseReason.LOGIN_TIMEOUT,
    ClientState.UNBINDING: CloseReason.LOGOUT_TIMEOUT,
}


class Keepalive(Link[ClientState, ClientEvent]):
    """The part of a client link that is about time.

    A base and not an object of the link's own, because all that is sent and received touches its times.
    """

    __slots__ = ("_last_sent", "_stalled_at", "config", "pings")

    def __init__(self, framing: Framing, config: ClientConfig, now: float, trace: Trace | None) -> None:
        limits = (config.max_pending, config.max_pending_bytes)
        super().__init__(framing, config.max_frame, limits, ClientState.HANDSHAKE, now, trace)
        self.config = config
        self.pings = 0
        """PINGs queued so far."""
        self._last_sent = self._now
        self._stalled_at: float | None = None
        self._phase_at = self._now + config.handshake_timeout

    def ping(self, now: float) -> None:
        """Queue a PING; the link also does so by itself after ``ping_interval`` of silence.

        While the transport cannot write, a few are all that wait.
        """
        self._tick(now)
        self._verb(ClientInput.PING)
        self._queue_ping()

    def get_timer(self) -> float | None:
        """When `handle_timer` wants to be called: a deadline, or the time of the next PING."""
        if self._close_at is not None:
            return None
        if self._phase_at is not None:
            return self._phase_at
        return self._ping_at() if self._answer_at is None else self._answer_at

    def handle_timer(self, now: float) -> None:
        """End the link if a deadline has passed, send a PING if it was silent.

        An answer's deadline that is noticed late by more than half of it was a stall of this program: one PING, and
        a second chance, before the link counts as dead.
        """
        self._tick(now)
        if self._close_at is not None:
            return
        now = self._now
        if self._phase_at is not None:
            if now >= self._phase_at:
                self._end(_TIMEOUTS[self._state])
        elif self._answer_at is not None:
            if now >= self._answer_at:
                self._answer_overdue(now - self._answer_at)
        elif now >= self._ping_at():
            self._queue_ping()
            self._trim()

    def _answer_overdue(self, late: float) -> None:
        used = self._stalled_at is not None and self._last_received < self._stalled_at
        if late > self.config.answer_timeout / 2 and not used:
            self._stalled_at = self._now
            self._answer_at = None
            self._queue_ping()
        else:
            self._end(CloseReason.ANSWER_TIMEOUT)

    def _ping_at(self) -> float:
        return min(self._last_received, self._last_sent) + self.config.ping_interval

    def _queue_ping(self) -> None:
        if len(self._control) < MOST_PINGS:
            self._control.append(self._ping_frame())
            self.pings += 1
        self._taken(True)

    @abc.abstractmethod
    def _ping_frame(self) -> bytes:
        """The frame of a PING."""

    def _taken(self, wants_answer: bool) -> None:
        self._last_sent = self._now
        if wants_answer and self._answer_at is None:
            self._answer_at = self._now + self.config.answer_timeout
