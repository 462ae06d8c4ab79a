"""Waiting longer after each failure: doubling, with full jitter, so that many clients do not come back at once."""

from __future__ import annotations

from typing import Protocol

from ..config import SessionConfig

__all__ = ["Backoff", "Chance", "LoginPace"]


class Chance(Protocol):
    """Where randomness comes from: ``random.Random`` and ``random.SystemRandom`` are such."""

    def random(self) -> float:
        """From 0 up to, but not including, 1."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """So many random bits."""
        ...


class Backoff:
    """Delays from 0 to ``first``, then to twice that, up to ``longest`` seconds."""

    __slots__ = ("_first", "_longest", "_most", "_rng")

    def __init__(self, first: float, longest: float, rng: Chance) -> None:
        self._first, self._longest, self._rng = first, longest, rng
        self._most = first

    def next(self) -> float:
        """The delay after one more failure, in seconds."""
        delay = self._rng.random() * self._most
        self._most = min(self._most * 2, self._longest)
        return delay

    def reset(self) -> None:
        """It went well: start again from the beginning."""
        self._most = self._first


class LoginPace:
    """When the next BIND may go out: later after a refusal, and ever later while kicks follow logins at once.

    One BIND at a time: a KICK that crosses one makes the link forget it, but its answer may yet come.
    """

    __slots__ = ("_backoff", "_config", "_crossed", "_early_kicks", "_last_bind", "_unanswered", "bind_at")

    def __init__(self, config: SessionConfig, rng: Chance, now: float) -> None:
        self._config = config
        self._backoff = Backoff(config.connect_backoff, config.longest_connect_backoff, rng)
        self._early_kicks = 0
        self._last_bind = now
        self._unanswered = False  # BIND is out
        self._crossed = False  # and a KICK made the link forget it
        self.bind_at = now
        """Not before; it holds across links."""

    def bound(self, now: float) -> None:
        """BIND goes out."""
        self._last_bind = now
        self._unanswered, self._crossed = True, False

    def crossed(self) -> None:
        """A KICK says nothing of the BIND that may be out: the next may follow when its answer came or is overdue."""
        if self._unanswered:
            self._crossed = True
            self.bind_at = self._last_bind + self._config.login_timeout

    def answered(self, now: float) -> None:
        """To the last BIND there is an answer, or none can come any more."""
        if self._crossed:
            self.bind_at = now
        self._unanswered = self._crossed = False

    def accepted(self) -> None:
        """The user is online."""
        self._backoff.reset()

    def refused(self, now: float) -> None:
        """Not because of the token."""
        self.bind_at = now + self._backoff.next()

    def kicked(self, now: float, online_for: float | None, *, token_refused: bool) -> None:
        """After so many seconds online; None if the user was not, for then this KICK says nothing new."""
        config = self._config
        self._unanswered = self._crossed = False  # the KICK is the answer
        if online_for is not None:
            self._early_kicks = self._early_kicks + 1 if online_for < config.stable_after else 0
        if not token_refused or self._early_kicks > 1:  # one token may expire at a bad time, but not all
            gap = min(config.login_gap * 2 ** min(self._early_kicks, 64), config.longest_login_gap)
            self.bind_at = max(now, self._last_bind + gap)
