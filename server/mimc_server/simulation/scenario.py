"""What is simulated: how many clients, for how long, how much they say, how much goes wrong, and the seed of it all."""

from __future__ import annotations

import dataclasses
import random

from mimc_proto.errors import LocalProtocolError

__all__ = ["CALM", "HOUR", "Scenario"]

HOUR = 3600.0
CALM = 1500.0
"""Seconds after the last hour in which nothing goes wrong, nobody says anything new, and all has to come to rest."""

MOST_CLIENTS, MOST_HOURS, MOST_TIMES = 10_000, 168.0, 100.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Settings of a simulation; raises `LocalProtocolError` for one that makes no sense.

    The same scenario gives the same trace, byte for byte, on any machine.
    """

    clients: int = 200
    """Programs, of somewhat fewer people: some have two devices."""
    hours: float = 24.0
    """Virtual time with traffic and faults; `CALM` follows."""
    seed: int = 1
    """Where all chance comes from."""
    begin: float = 6.0
    """The hour of the day at which it starts: 6.0 is before people get up."""
    activity: float = 1.0
    """How much people say, as a factor: 1.0 is about thirty messages a client and day."""
    faults: float = 1.0
    """How often something goes wrong, as a factor; 0.0 for never, else every kind of fault happens at least once."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("clients", 2, MOST_CLIENTS),
            ("hours", 0.1, MOST_HOURS),
            ("seed", 0, (1 << 63) - 1),
            ("begin", 0.0, 24.0),
            ("activity", 0.0, MOST_TIMES),
            ("faults", 0.0, MOST_TIMES),
        ):
            value = getattr(self, name)
            whole = name in ("clients", "seed")
            kinds: tuple[type, ...] = (int,) if whole else (int, float)
            if type(value) not in kinds or not least <= value <= most:
                wanted = "a whole number" if whole else "a number"
                problem = f"expected {wanted} from {least} to {most}, got {value!r}"
                raise LocalProtocolError(problem, where=f"Scenario.{name}")

    @property
    def seconds(self) -> float:
        """`hours` in seconds."""
        return self.hours * HOUR

    def chance(self, what: str) -> random.Random:
        """Randomness for one purpose, so that what one part draws changes nothing for the others."""
        return random.Random(f"{self.seed}/{what}")

    def hour_of_day(self, now: float) -> float:
        """From 0 up to 24, after ``now`` seconds."""
        return (self.begin + now / HOUR) % 24.0

    @property
    def command(self) -> str:
        """How to run it again."""
        told = [f"--clients {self.clients} --hours {self.hours:g} --seed {self.seed}"]
        for name in ("begin", "activity", "faults"):
            value = getattr(self, name)
            if value != _DEFAULTS[name]:
                told.append(f"--{name} {value:g}")
        return " ".join(["mimc simulate", *told])


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Scenario)}
