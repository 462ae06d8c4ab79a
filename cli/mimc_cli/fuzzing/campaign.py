"""Case after case against a server, with a healthy link beside: what is found, made small, and kept in files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from random import Random

from .attack import Attack, Server, Verdict
from .cases import Case, Phase, Step, make, save
from .control import Control, Unhealthy
from .listening import Listener
from .speech import Speaker

__all__ = ["Campaign", "Finding", "Unreachable"]

MESSAGE_EVERY = 20
"""Cases after which the healthy link sends a message."""
MOST_ALIKE = 3
"""Findings of one kind and cause that are kept."""
MOST_TRIES = 12
"""Runs to make a case small."""
CALM = 0.02
"""Seconds to wait for what may never come, beside the time that a PING takes."""
RETRY_EVERY = 0.2
ATTACKER, CONTROL = "fuzz-attack", "fuzz-control"
"""The resources of the two links."""


class Unreachable(Exception):  # noqa: N818 (says what is the matter)
    """The server cannot be reached, or lets nobody in, before anything was mutated."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found, the case that shows it, whether it did so again, and where it is kept; None if it cannot be."""

    verdict: Verdict
    case: Case
    again: bool
    path: Path | None


class Campaign:
    """Tries cases of one seed. ``rate`` is mutated inputs a second at most; ``folder`` is where reproducers go.

    Raises `Unreachable` if the server is not healthy at the beginning.
    """

    def __init__(self, server: Server, *, seed: int, rate: float, folder: Path, about: dict[str, object]) -> None:
        self._server = server
        self._seed = seed
        self._gap = 1.0 / rate
        self._next_at = server.now()
        self._folder = folder
        self._about = {**about, "seed": seed}
        self._alike: dict[tuple[str, str], int] = {}
        self._links = 0
        self.inputs = self.cases = 0
        self.findings: list[Finding] = []
        self.gone = False
        """Whether the server does not come back."""
        try:
            self._control = self._new_control()
        except (OSError, Unhealthy) as error:
            raise Unreachable(str(error)) from error

    def run(self, seconds: float) -> Iterator[Finding | None]:
        """Go on for so long: after each case what was found, or None. Ends early if the server does not come back."""
        until = self._server.now() + seconds
        while self._server.now() < until and not self.gone:
            yield self._try(self._case(self.cases))
            self.cases += 1

    def replay(self, case: Case) -> Verdict | None:
        """One case as it is."""
        return self._observe(case)

    def close(self) -> None:
        """Leave the server alone."""
        self._control.close()

    # ------------------------------------------------------------------------------------------------------ one case

    def _case(self, number: int) -> Case:
        """Every number has chance of its own, so one case can be made again without those before it."""
        server = self._server
        rng = Random(f"{self._seed}/{number}")
        speaker = Speaker(server.framing, server.credentials, ATTACKER, f"fuzz{number}")
        keys = Listener(server.framing, server.credentials, ATTACKER).keys
        return make(number, rng, speaker, keys, logs_in=server.credentials is not None)

    def _try(self, case: Case) -> Finding | None:
        verdict = self._observe(case)
        if verdict is None:
            return None
        self._recover()
        key = verdict.kind, verdict.detail
        self._alike[key] = self._alike.get(key, 0) + 1
        if self._alike[key] > MOST_ALIKE:
            return None
        again = False
        if not self.gone:
            case, again = self._smaller(case, verdict)
        finding = Finding(verdict, case, again, self._keep(case, verdict, again))
        self.findings.append(finding)
        return finding

    def _observe(self, case: Case) -> Verdict | None:
        """Run a case, then ask the healthy link."""
        try:
            self._links += 1
            wait = CALM + 3 * self._control.round_trip
            attack = Attack(self._server, ATTACKER, f"fuzz{self._seed}-{self._links}", pace=self._pace, wait=wait)
            verdict = attack.run(case)
        except OSError as error:
            verdict = Verdict("refused", f"no new connection: {type(error).__name__}")
        try:
            self._control.check(message=self._links % MESSAGE_EVERY == 0)
        except Unhealthy as error:
            return Verdict(error.kind, error.detail)
        return verdict

    def _pace(self) -> None:
        self.inputs += 1
        now = self._server.now()
        if now < self._next_at:
            self._server.sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + self._gap

    def _new_control(self) -> Control:
        server = self._server
        self._links += 1
        prefix = f"control{self._seed}-{self._links}"
        return Control(
            server.dial(), server.framing, server.credentials, CONTROL, prefix, server.now, server.answer_timeout
        )

    def _recover(self) -> None:
        """A new healthy link, as soon as the server lets one in; if it does not, it is gone."""
        self._control.close()
        until = self._server.now() + 2 * self._server.answer_timeout
        while True:
            try:
                self._control = self._new_control()
                return
            except (OSError, Unhealthy):
                if self._server.now() >= until:
                    self.gone = True
                    return
                self._server.sleep(RETRY_EVERY)

    # -------------------------------------------------------------------------------------------------------- findings

    def _smaller(self, case: Case, verdict: Verdict) -> tuple[Case, bool]:
        """A case that shows the same with less, and whether it was shown again at all."""
        tries = MOST_TRIES

        def shows(candidate: Case) -> bool:
            nonlocal tries
            if self.gone or tries <= 0:
                return False
            tries -= 1
            found = self._observe(candidate)
            if found is not None:
                self._recover()
            return found is not None and found.kind == verdict.kind

        if not shows(case):
            return case, False
        for candidate in _single_steps(case):
            if shows(candidate):
                case = candidate
                break
        for candidate in _single_pieces(case):
            if shows(candidate):
                case = candidate
                break
        return case, True

    def _keep(self, case: Case, verdict: Verdict, again: bool) -> Path | None:
        path = self._folder / f"{verdict.kind}-{self._seed}-{case.number}.jsonl"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save(path, case, {**self._about, "kind": verdict.kind, "detail": verdict.detail, "again": again})
        except OSError:
            return None
        return path


def _single_steps(case: Case) -> Iterator[Case]:
    """With one step only; the last one first, as it is the likeliest."""
    if len(case.steps) > 1:
        for step in reversed(case.steps):
            yield dataclasses.replace(case, steps=(step,))


def _single_pieces(case: Case) -> Iterator[Case]:
    if len(case.steps) == 1 and case.phase in (Phase.READY, Phase.ONLINE) and len(case.steps[0].pieces) > 1:
        for piece in dict.fromkeys(case.steps[0].pieces):
            yield dataclasses.replace(case, steps=(Step((piece,)),))
