"""Has the planned faults happen, and with every device what happens to devices."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

from .device import Device, Town
from .faults import Fault, FaultKind
from .host import QUICK, Host
from .population import DeviceKind
from .scenario import HOUR, Scenario

__all__ = ["Sky", "Weather"]

CRASHES_PER_DAY = 1.5
"""Of a client."""

BAD_MOMENTS = 0.01
"""How often something happens to a device that has just sent or been given something."""

BREAKS = (("cut", 0.45), ("half-open", 0.25), ("unnoticed", 0.15), ("silent", 0.15))
"""How a connection ends, and how often."""


class Sky(Town, Protocol):
    """What a weather has around it."""

    host: Host
    devices: list[Device]
    scenario: Scenario
    tokens_fail: bool

    def kick(self, account: str, reason: str, *, revoke: bool) -> None:
        """Take a user offline, and say that the tokens so far are no longer good."""
        ...


class Weather:
    """`begin` schedules all that goes wrong."""

    def __init__(self, sky: Sky, rng: random.Random) -> None:
        self._sky = sky
        self._rng = rng
        self._struck: dict[int, list[Device]] = {}

    def begin(self, faults: list[Fault]) -> None:
        """The faults at their times, and what happens to single devices in between."""
        clock = self._sky.clock
        for number, fault in enumerate(faults):
            clock.call_at(fault.begin, partial(self._strike, number, fault), "a fault")
            if fault.end > fault.begin:
                clock.call_at(fault.end, partial(self._lift, number, fault), "a fault's end")
        if self._sky.scenario.faults:
            for device in self._sky.devices:
                self._next_break(device)
                self._next_crash(device)

    # ---------------------------------------------------------------------------------------------- planned faults

    def _strike(self, number: int, fault: Fault) -> None:
        sky, rng = self._sky, self._rng
        sky.tally.count(f"faults: {fault.kind.value}")
        devices = [device for device in sky.devices if rng.random() < fault.share]
        told = {"share": len(devices)} if fault.share else {}
        sky.trace.tell("-", fault.kind.value, begins=True, size=round(fault.size, 3), **told)
        match fault.kind:
            case FaultKind.PARTITION:
                self._struck[number] = [device for device in devices if not device.line.held]
                for device in devices:
                    device.line.hold(True)
            case FaultKind.BAD_RADIO:
                self._struck[number] = devices
                for device in devices:
                    device.line.loss = max(device.line.loss, fault.size)
            case FaultKind.SLOW_STORE:
                sky.host.store_delay = fault.size
            case FaultKind.FAILING_STORE:
                sky.host.store_fails += 1
            case FaultKind.SERVICE_DOWN:
                sky.host.crash(power=bool(fault.size))
            case FaultKind.NO_TOKENS:
                sky.tokens_fail = True
            case FaultKind.WALL_CLOCK:
                sky.clock.set_wall(sky.clock.wall_ms + round(fault.size * 1000))
            case FaultKind.KICK | FaultKind.REVOKED:
                revoke = fault.kind is FaultKind.REVOKED
                for device in devices:
                    sky.kick(device.spec.account, "token-expired" if revoke else "maintenance", revoke=revoke)
            case FaultKind.TWIN:
                running = [device for device in sky.devices if device.program is not None]
                if running:
                    rng.choice(running).start()

    def _lift(self, number: int, fault: Fault) -> None:
        sky = self._sky
        sky.trace.tell("-", fault.kind.value, begins=False)
        match fault.kind:
            case FaultKind.PARTITION:
                for device in self._struck.pop(number):
                    device.line.hold(False)
            case FaultKind.BAD_RADIO:
                for device in self._struck.pop(number):
                    device.line.loss = device.spec.loss
            case FaultKind.SLOW_STORE:
                sky.host.store_delay = QUICK
            case FaultKind.FAILING_STORE:
                sky.host.store_fails -= 1
            case FaultKind.SERVICE_DOWN:
                sky.host.start()
            case FaultKind.NO_TOKENS:
                sky.tokens_fail = False
            case _:
                pass

    # --------------------------------------------------------------------------------------------- single devices

    def _next_break(self, device: Device) -> None:
        self._after(device.spec.link_hours * HOUR, lambda: self._break(device), "a connection's end")

    def moment(self, device: Device) -> None:
        """A device has just sent or been given something: its connection may end now, or its program crash."""
        scenario, rng, clock = self._sky.scenario, self._rng, self._sky.clock
        if rng.random() < BAD_MOMENTS * scenario.faults and clock.now < scenario.seconds - 5.0:
            strike = rng.choices((self._lose_link, self._crash, self._store_fails), (0.75, 0.2, 0.05))[0]
            clock.call_later(0.5 * rng.random() ** 2, partial(strike, device), "a bad moment")

    def _store_fails(self, device: Device) -> None:
        """For a moment, and soon: when what is sent again is on its way."""
        host, clock, rng = self._sky.host, self._sky.clock, self._rng

        def fails(more: int) -> None:
            host.store_fails += more

        begins = 3.0 * rng.random() ** 2
        clock.call_later(begins, partial(fails, 1), "a failing store")
        clock.call_later(begins + 0.5 * rng.random(), partial(fails, -1), "the end of a failing store")

    def _lose_link(self, device: Device) -> None:
        device.lose_link(self._rng.choices([name for name, _ in BREAKS], [often for _, often in BREAKS])[0])

    def _break(self, device: Device) -> None:
        self._lose_link(device)
        self._next_break(device)

    def _next_crash(self, device: Device) -> None:
        def crash() -> None:
            self._crash(device)
            self._next_crash(device)

        self._after(24 * HOUR / CRASHES_PER_DAY, crash, "a crash")

    def _crash(self, device: Device) -> None:
        """Who keeps no outbox sometimes loses all files, and comes back as another resource."""
        rng = self._rng
        spec = device.spec
        token, lost = rng.random() < 0.6, not spec.outbox and rng.random() < 0.25
        resource = f"{spec.resource}-{device.crashes + 2}" if lost else None
        device.crash(power=spec.kind is not DeviceKind.BOT and rng.random() < 0.5, token=token, resource=resource)
        self._sky.clock.call_later(1.0 + 600.0 * rng.random() ** 3, device.start_if_wanted, "starting after a crash")

    def _after(self, mean: float, act: Callable[[], object], what: str) -> None:
        """Some time, if it is before the calm."""
        scenario = self._sky.scenario
        when = self._sky.clock.now + self._rng.expovariate(scenario.faults / mean)
        if when < scenario.seconds:
            self._sky.clock.call_at(when, act, what)
