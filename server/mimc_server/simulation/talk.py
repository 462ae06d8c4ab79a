"""What people say in a simulated day, to whom, and when."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial

from mimc_proto.testing import VirtualClock

from ..store import Kind
from .device import Device
from .laws import Said
from .population import Population, busyness
from .scenario import HOUR, Scenario

__all__ = ["Talk"]

SENDS_PER_HOUR = 3.2
"""That the user of a device says in the busiest hour, beside replies."""

REPLIES = 0.3
"""How many messages of a user are replied to."""

LARGE = 6000
"""Bytes of one message in fifty."""


class Talk:
    """Has users say something. ``groups`` are the members of the normal and of the unlimited groups, by id."""

    def __init__(
        self,
        scenario: Scenario,
        clock: VirtualClock,
        rng: random.Random,
        population: Population,
        groups: Sequence[Mapping[int, Sequence[str]]],
    ) -> None:
        self._scenario, self._clock, self._rng, self._population = scenario, clock, rng, population
        self._groups = {
            account: [[topic for topic, members in of_kind.items() if account in members] for of_kind in groups]
            for account in population.friends
        }

    def begin(self, device: Device) -> None:
        """Its user is here from now on."""
        rate = SENDS_PER_HOUR * self._scenario.activity / HOUR
        if rate:
            when = self._clock.now + self._rng.expovariate(rate)
            if when < self._scenario.seconds:
                self._clock.call_at(when, partial(self._maybe_say, device), "a user")

    def read(self, device: Device, said: Said) -> None:
        """A user has read a message: he may reply, in a while."""
        if said.kind is Kind.P2P and said.sender != device.spec.account and self._rng.random() < REPLIES:
            when = self._clock.now + self._rng.uniform(2.0, 25.0)
            if when < self._scenario.seconds:
                self._clock.call_at(when, lambda: device.say(Kind.P2P, said.sender, self._text()), "a reply")

    def _maybe_say(self, device: Device) -> None:
        if self._rng.random() < busyness(self._scenario.hour_of_day(self._clock.now)):
            self._say(device)
        self.begin(device)

    def _say(self, device: Device) -> None:
        rng, account = self._rng, device.spec.account
        normal, unlimited = self._groups[account]
        friend = rng.choice(self._population.friends[account])
        draw = rng.random()
        if draw < 0.2 and normal:
            device.say(Kind.P2T, rng.choice(normal), self._text())
        elif draw < 0.3 and unlimited:
            device.say(Kind.UNLIMITED, rng.choice(unlimited), self._text())
        elif draw < 0.4:
            device.say(Kind.ONLINE, friend, b"is typing")
        elif draw < 0.5 and self._population.bots:
            device.say(Kind.P2P, rng.choice(self._population.bots), self._text())
        else:
            for _ in range(1 if draw < 0.97 else 6):
                device.say(Kind.P2P, friend, self._text())

    def _text(self) -> bytes:
        large = self._rng.random() < 0.02
        return b"x" * (LARGE if large else 10 + int(200 * self._rng.random() ** 2))
