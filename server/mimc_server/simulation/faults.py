"""What goes wrong in a simulated day, and when: drawn before it begins, so that a picture can show it."""

from __future__ import annotations

import enum
import random

from mimc_proto._record import Record

from .scenario import HOUR, Scenario

__all__ = ["Fault", "FaultKind", "plan_faults"]


class FaultKind(enum.Enum):
    """What goes wrong for many at once, or with the service."""

    __hash__ = object.__hash__

    PARTITION = "partition"
    """Nothing passes between some clients and the service; TCP holds back what is under way."""
    BAD_RADIO = "bad radio"
    """Some clients lose many segments, and some of them their links."""
    SLOW_STORE = "slow store"
    """Whatever the store is asked takes long."""
    FAILING_STORE = "failing store"
    """Whatever the store is asked fails."""
    SERVICE_DOWN = "service down"
    """The service crashed; what its store has committed survives."""
    NO_TOKENS = "no tokens"
    """The endpoint that gives tokens does not answer, or with errors."""
    WALL_CLOCK = "wall clock set"
    """The server's wall clock jumps."""
    KICK = "kick"
    """Users are kicked by an operator."""
    REVOKED = "tokens revoked"
    """Users' tokens are revoked; who is online is kicked for it."""
    TWIN = "started twice"
    """A user starts the program once more while it runs: the newest wins."""


class Fault(Record):
    """Something that goes wrong from ``begin`` to ``end``, in seconds; the same if it is over at once.

    ``share`` is how many it concerns, from 0 to 1; ``size`` depends on the kind: the loss of segments (bad radio), the
    seconds that a request takes (slow store), by how many seconds the wall clock jumps; whether a crash takes the whole
    machine (1.0) or only the program (0.0).
    """

    __slots__ = ()
    kind: FaultKind
    begin: float
    end: float
    share: float = 0.0
    size: float = 0.0


class _Shape(Record):
    """How often a day (at ``faults`` 1.0), and from how long to how long, in seconds."""

    __slots__ = ()
    per_day: float
    shortest: float
    longest: float


_SHAPES = {
    FaultKind.PARTITION: _Shape(per_day=6.0, shortest=20.0, longest=600.0),
    FaultKind.BAD_RADIO: _Shape(per_day=8.0, shortest=120.0, longest=480.0),
    FaultKind.SLOW_STORE: _Shape(per_day=4.0, shortest=120.0, longest=600.0),
    FaultKind.FAILING_STORE: _Shape(per_day=2.0, shortest=5.0, longest=60.0),
    FaultKind.SERVICE_DOWN: _Shape(per_day=5.0, shortest=2.0, longest=120.0),
    FaultKind.NO_TOKENS: _Shape(per_day=3.0, shortest=120.0, longest=900.0),
    FaultKind.WALL_CLOCK: _Shape(per_day=5.0, shortest=0.0, longest=0.0),
    FaultKind.KICK: _Shape(per_day=6.0, shortest=0.0, longest=0.0),
    FaultKind.REVOKED: _Shape(per_day=3.0, shortest=0.0, longest=0.0),
    FaultKind.TWIN: _Shape(per_day=8.0, shortest=0.0, longest=0.0),
}

QUIET_START = 120.0
"""Seconds at the beginning in which nothing of this happens."""

LARGEST_PART = 0.2
"""Of the whole time that one fault takes at most."""

LARGEST_JUMP = 2 * HOUR
"""Of the wall clock, in seconds: what is promised by it (a week of retention, a day of repeats) has to hold."""


def plan_faults(scenario: Scenario) -> list[Fault]:
    """All that will go wrong for many at once, in order; all is over when the traffic ends."""
    if not scenario.faults:
        return []
    rng = scenario.chance("faults")
    planned = [fault for kind, shape in _SHAPES.items() for fault in _of_kind(scenario, kind, shape, rng)]
    _crash_while_slow(planned, scenario.seconds)
    return sorted(planned, key=lambda fault: (fault.begin, fault.kind.value))


def _of_kind(scenario: Scenario, kind: FaultKind, shape: _Shape, rng: random.Random) -> list[Fault]:
    """Each has a slot of its own, in which it begins anywhere."""
    count = max(1, round(shape.per_day * scenario.seconds / (24 * HOUR) * scenario.faults))
    slot = (scenario.seconds - QUIET_START) / count
    faults = []
    for number in range(count):
        longest = min(shape.longest, scenario.seconds * LARGEST_PART, slot * 0.8)
        length = min(longest, shape.shortest) + max(0.0, longest - shape.shortest) * rng.random() ** 2
        begin = QUIET_START + slot * number + (slot - length) * rng.random()
        share, size = _how_much(kind, rng)
        faults.append(Fault(kind=kind, begin=begin, end=begin + length, share=share, size=size))
    return faults


def _how_much(kind: FaultKind, rng: random.Random) -> tuple[float, float]:
    draw = rng.random()
    match kind:
        case FaultKind.PARTITION:
            return 0.15 + 0.45 * draw, 0.0
        case FaultKind.BAD_RADIO:
            return 0.1 + 0.2 * draw, rng.uniform(0.2, 0.6)
        case FaultKind.SLOW_STORE:
            return 0.0, 0.05 + 1.5 * draw * draw
        case FaultKind.SERVICE_DOWN:
            return 0.0, float(draw < 0.4)
        case FaultKind.WALL_CLOCK:
            return 0.0, rng.choice((-1.0, 1.0)) * 10 ** rng.uniform(-1.0, 3.85)
        case FaultKind.KICK | FaultKind.REVOKED:
            return 0.02 + 0.1 * draw, 0.0
        case FaultKind.NO_TOKENS | FaultKind.TWIN | FaultKind.FAILING_STORE:
            return 0.0, 0.0


def _crash_while_slow(faults: list[Fault], latest: float) -> None:
    """Let every second crash come while the store is slow: then much is under way."""
    slow = [fault for fault in faults if fault.kind is FaultKind.SLOW_STORE]
    crashes = [index for index, fault in enumerate(faults) if fault.kind is FaultKind.SERVICE_DOWN]
    for index, while_slow in zip(crashes[::2], slow, strict=False):
        crash = faults[index]
        begin = while_slow.begin + 0.6 * (while_slow.end - while_slow.begin)
        faults[index] = crash.replace(begin=begin, end=min(begin + (crash.end - crash.begin), latest))
