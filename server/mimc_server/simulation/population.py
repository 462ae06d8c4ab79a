"""Who lives in a simulated day: people with one device or two, bots, groups and friends; and when they are there."""

from __future__ import annotations

import enum
import random

from mimc_proto import Delivery
from mimc_proto._record import Record

from .scenario import HOUR, Scenario

__all__ = ["QUICK_READER", "DeviceKind", "DeviceSpec", "GroupSpec", "Population", "busyness", "populate"]


class DeviceKind(enum.Enum):
    """What a client runs on."""

    __hash__ = object.__hash__

    PHONE = "phone"
    """On the radio. Some are logged in day and night, some from morning to night, most look in every few hours."""
    DESK = "pc"
    """Logged in during office hours; some are suspended at lunch."""
    BOT = "bot"
    """Logged in always; answers each message inside its receive loop, and waits for the acknowledgement before it takes
    the next."""


class DeviceSpec(Record):
    """One client and its habits.

    ``reads`` is how many seconds it takes over a delivery, at most; 0.0 for bots, which answer. ``latency`` (seconds),
    ``jitter`` and ``loss`` are its line's, ``offset`` and ``rate`` its clock's. ``outbox``: it keeps what it sends
    until that is acknowledged, over crashes, and sends it again with the same packet id. ``resolver``: it knows no
    address and asks. ``present`` are the times (seconds) from login to logout, ``suspended`` those in which its machine
    sleeps.
    """

    __slots__ = ()
    account: str
    resource: str
    kind: DeviceKind
    reads: float
    latency: float
    jitter: float
    loss: float
    offset: float
    rate: float
    ping_interval: float
    delivery: Delivery
    outbox: bool
    resolver: bool
    link_hours: float
    """Mean hours until its connection breaks by itself."""
    present: tuple[tuple[float, float], ...]
    suspended: tuple[tuple[float, float], ...]

    @property
    def slow(self) -> bool:
        """Whether its user reads so slowly that the service has to wait."""
        return self.reads > QUICK_READER

    @property
    def name(self) -> str:
        """``account/resource``."""
        return f"{self.account}/{self.resource}"


class GroupSpec(Record):
    """A group, by its members' accounts; the first one owns it."""

    __slots__ = ()
    members: tuple[str, ...]
    unlimited: bool


class Population(Record):
    """Everybody, with what they talk to."""

    __slots__ = ()
    devices: tuple[DeviceSpec, ...]
    friends: dict[str, tuple[str, ...]]
    bots: tuple[str, ...]
    groups: tuple[GroupSpec, ...]


_BY_HOUR = (2, 1, 1, 1, 1, 2, 5, 20, 45, 70, 80, 75, 90, 75, 65, 65, 70, 75, 80, 90, 100, 90, 55, 20)
"""How busy people are at each hour, of 100."""

BUSIEST = 100.0

ALWAYS_ON, ALL_DAY = 0.1, 0.3
"""Parts of phones: that stay logged in at night, and that do so from morning to night. The others look in."""

QUICK_READER = 2.0
"""Seconds that most users take over a delivery, at most."""

SUSPENDED = 0.5
"""Part of the desks whose machines sleep at lunch."""


def busyness(hour: float) -> float:
    """From 0 to 1, at an hour of the day; bends from hour to hour."""
    first, part = int(hour) % 24, hour % 1.0
    return (_BY_HOUR[first] * (1.0 - part) + _BY_HOUR[(first + 1) % 24] * part) / BUSIEST


def populate(scenario: Scenario) -> Population:
    """As many clients as the scenario says."""
    rng = scenario.chance("population")
    devices: list[DeviceSpec] = []
    people: list[str] = []
    bots: list[str] = []
    while len(devices) < scenario.clients:
        left = scenario.clients - len(devices)
        if len(bots) < scenario.clients // 25 and rng.random() < 0.1:
            bots.append(f"bot{len(bots) + 1:02}")
            devices.append(_device(scenario, rng, bots[-1], DeviceKind.BOT))
            continue
        people.append(f"p{len(people) + 1:04}")
        draw = rng.random()
        kinds = [DeviceKind.PHONE] if draw < 0.8 else [DeviceKind.DESK]
        if draw < 0.25 and left > 1:
            kinds.append(DeviceKind.DESK)
        devices += [_device(scenario, rng, people[-1], kind) for kind in kinds]
    friends = {name: tuple(rng.sample([p for p in people if p != name], min(8, len(people) - 1))) for name in people}
    groups = _groups(rng, people, max(1, len(people) // 12), unlimited=False)
    groups += _groups(rng, [*people, *bots], max(1, len(people) // 60), unlimited=True)
    return Population(devices=tuple(devices), friends=friends, bots=tuple(bots), groups=tuple(groups))


def _groups(rng: random.Random, accounts: list[str], count: int, *, unlimited: bool) -> list[GroupSpec]:
    most = min(20, len(accounts))
    return [
        GroupSpec(members=tuple(rng.sample(accounts, rng.randint(min(3, most), most))), unlimited=unlimited)
        for _ in range(count)
    ]


def _device(scenario: Scenario, rng: random.Random, account: str, kind: DeviceKind) -> DeviceSpec:
    radio = kind is DeviceKind.PHONE
    reads = rng.uniform(10.0, 40.0) if rng.random() < 0.1 else QUICK_READER
    if kind is DeviceKind.BOT:
        reads = 0.0
    present, suspended = _times(scenario, rng, kind)
    return DeviceSpec(
        account=account,
        resource=kind.value,
        kind=kind,
        reads=reads,
        latency=rng.uniform(0.02, 0.15) if radio else rng.uniform(0.003, 0.04),
        jitter=rng.uniform(0.2, 1.5) if radio else 0.2,
        loss=rng.uniform(0.002, 0.02) if radio else 0.0005,
        offset=rng.uniform(0.0, 1e6),
        rate=rng.uniform(0.99, 1.01),
        ping_interval=rng.choice((170.0, 180.0)),
        delivery=rng.choice((Delivery.AT_MOST_ONCE, Delivery.AT_LEAST_ONCE)),
        outbox=kind is DeviceKind.BOT or rng.random() < 0.5,
        resolver=rng.random() < 0.2,
        link_hours=2.5 if radio else 8.0,
        present=present,
        suspended=suspended,
    )


Times = tuple[tuple[float, float], ...]


def _times(scenario: Scenario, rng: random.Random, kind: DeviceKind) -> tuple[Times, Times]:
    """When it is logged in, and when its machine sleeps meanwhile; in seconds from the beginning."""
    habit = rng.random()
    if kind is DeviceKind.BOT or (kind is DeviceKind.PHONE and habit < ALWAYS_ON):
        return ((0.0, scenario.seconds),), ()
    present, suspended = [], []
    for midnight in range(0, int(scenario.begin + scenario.hours) + 1, 24):
        if kind is DeviceKind.DESK:
            present.append((midnight + rng.uniform(7.7, 9.7), midnight + rng.uniform(16.0, 19.0)))
            if habit < SUSPENDED:
                noon = midnight + rng.uniform(11.8, 12.6)
                suspended.append((noon, noon + rng.uniform(0.05, 0.9)))
            continue
        first, last = midnight + rng.uniform(5.8, 8.5), midnight + rng.uniform(22.0, 24.5)
        if habit < ALL_DAY:
            present.append((first, last))
        while habit >= ALL_DAY and first < last:
            present.append((first, first + rng.uniform(0.1, 0.8)))
            evening = present[-1][1] % 24 > 18.0
            first = present[-1][1] + rng.uniform(0.2, 1.2 if evening else 3.0)
    return _clipped(scenario, present), _clipped(scenario, suspended)


def _clipped(scenario: Scenario, hours: list[tuple[float, float]]) -> Times:
    """From hours since midnight to seconds since the beginning, without what is before or after."""
    seconds = [((first - scenario.begin) * HOUR, (last - scenario.begin) * HOUR) for first, last in hours]
    clipped = [(max(0.0, first), min(scenario.seconds, last)) for first, last in seconds]
    return tuple((first, last) for first, last in clipped if first < last)
