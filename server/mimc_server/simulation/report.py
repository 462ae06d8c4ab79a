"""What a simulated day was like: numbers, as text and as JSON. `mimc_server.simulation.picture` draws them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping

from mimc_proto._record import Record

from .faults import Fault
from .scenario import CALM, Scenario

__all__ = ["Report", "Times"]


class Times(Record):
    """How long something took, in seconds; 0.0 for what never happened."""

    __slots__ = ()
    samples: int
    median: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Times:
        """Of single times; quantiles are some that there were."""
        ordered = sorted(seconds)
        last = len(ordered) - 1
        at = [ordered[round(part * last)] if ordered else 0.0 for part in (0.5, 0.99, 1.0)]
        return cls(samples=len(ordered), median=at[0], p99=at[1], longest=at[2])


class Report(Record):
    """All numbers of one run, whose laws held.

    ``counts`` are totals by name, ``times`` of what took time (from a message being said to its acknowledgement, and to
    its delivery to who was online). ``minutes`` have a number for every minute, ``latencies`` the times of the
    deliveries in it.
    """

    __slots__ = ()
    scenario: Scenario
    people: int
    bots: int
    faults: tuple[Fault, ...]
    counts: Mapping[str, int]
    times: Mapping[str, Times]
    minutes: Mapping[str, tuple[int, ...]]
    latencies: tuple[Times, ...]
    trace_lines: int
    trace_sha256: str

    def as_json(self) -> str:
        """One JSON object, indented, with its line end."""
        told = {
            "scenario": dataclasses.asdict(self.scenario),
            "command": self.scenario.command,
            "people": self.people,
            "bots": self.bots,
            "calm_seconds": CALM,
            "counts": dict(sorted(self.counts.items())),
            "seconds": {name: _rounded(times) for name, times in self.times.items()},
            "faults": [_shown(fault) for fault in self.faults],
            "minutes": {name: list(row) for name, row in sorted(self.minutes.items())},
            "delivery_seconds_by_minute": [_rounded(times) if times.samples else None for times in self.latencies],
            "trace": {"lines": self.trace_lines, "sha256": self.trace_sha256},
        }
        return json.dumps(told, indent=1) + "\n"

    def as_text(self) -> str:
        """Some lines for a terminal, with the last line end."""
        scenario, count = self.scenario, self._count
        head = (
            f"{scenario.clients} clients ({self.people} people, {self.bots} bots), {scenario.hours:g} hours from"
            f" {int(scenario.begin):02}:{int(scenario.begin % 1 * 60):02}, seed {scenario.seed}; then"
            f" {CALM / 60:g} minutes of calm. Every law held."
        )
        rows = [
            ("said", f"{count('said')}  {self._parts('said: ')}"),
            ("", f"acknowledged {count('acknowledged')}, rejected {count('rejected')}, failed {count('failed')}"),
            ("failed", f"{self._parts('failed: ')}; of these certainly not sent {count('certainly not sent')}"),
            ("", f"no verdict, because of a crash: {count('unacknowledged at a crash')}"),
            ("delivered", f"{count('delivered')}  {self._parts('delivered: ')}"),
            ("", f"again, after a crash: {count('given again')}; dropped by slow readers: {count('messages dropped')}"),
            ("repeats", f"known by the store {count('repeats known by the store')}, by sessions {count('repeats')}"),
            ("", f"messages sent again by outboxes: {count('sent again by an outbox')}"),
            ("acknowledged", _took(self.times["acknowledgement"])),
            ("delivered", _took(self.times["delivery"])),
            (
                "logins",
                f"{count('logins')}, of these reconnects {count('reconnects')}; refused {count('logins refused')}",
            ),
            ("links lost", f"{count('links lost')}, of these by timeouts {count('timeouts')}"),
            ("tokens", f"{count('tokens issued')} issued, {count('token requests failed')} requests failed"),
            ("logged out", self._parts("logged out: ")),
            ("refused", self._parts("refused: ")),
            ("broken", f"{self._parts('connections broken: ')}; clients crashed: {count('crashes of clients')}"),
            ("faults", self._parts("faults: ")),
            ("trace", f"{self.trace_lines:,} lines, {count('bytes')} bytes on the wire, SHA-256 {self.trace_sha256}"),
        ]
        return head + "\n\n" + "".join(f"{name:15}{value}\n" for name, value in rows)

    def _count(self, name: str) -> str:
        return f"{self.counts.get(name, 0):,}"

    def _parts(self, prefix: str) -> str:
        parts = {name.removeprefix(prefix): n for name, n in self.counts.items() if name.startswith(prefix)}
        shown = sorted(parts.items(), key=lambda part: (-part[1], part[0]))
        return ", ".join(f"{name.replace('_', ' ').lower()} {n:,}" for name, n in shown) or "none"


def _took(times: Times) -> str:
    return f"after {times.median:.3f} s (median), {times.p99:.2f} s (p99), {times.longest:.1f} s (longest)"


def _rounded(times: Times) -> dict[str, float]:
    return {name: round(value, 6) for name, value in zip(times.field_names, times, strict=True)}


def _shown(fault: Fault) -> dict[str, object]:
    return {
        "kind": fault.kind.value,
        "begin": round(fault.begin, 3),
        "end": round(fault.end, 3),
        "share": round(fault.share, 3),
        "size": round(fault.size, 3),
    }
