"""A day in the life of a service and its clients, on virtual time."""

from __future__ import annotations

import json
import math
import random
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial

from mimc_proto.packets import KickReason
from mimc_proto.session import ClientSession
from mimc_proto.testing import APP_ID, FRONTEND, PACKAGE, VirtualClock

from ..applications import Application, Applications
from ..service import (
    Service,
    ServiceConfig,
)
from ..store import Group, Kind, MemoryStore, Store
from ..tokens import TokenIssuer, token_answer
from .device import Device
from .faults import Fault, plan_faults
from .host import Host
from .laws import LawBroken, Laws, Said
from .network import Network
from .population import QUICK_READER, DeviceKind, GroupSpec, Population, populate
from .report import Report, Times
from .scenario import CALM, HOUR, Scenario
from .talk import Talk
from .tally import MINUTE, Tally
from .trace import Trace
from .watch import Watch
from .weather import Weather

__all__ = ["Simulation"]

MIDNIGHT = 1_800_000_000_000 - 1_800_000_000_000 % 86_400_000
"""Unix time in milliseconds of the midnight before it begins: some day of January 2027."""

MOST_STEPS = 10_000_000
"""Callbacks in one minute, after which it counts as one that never ends."""

TOKEN_HOURS = 5.0
"""How long a token lives, at most: everybody needs several a day."""

PROBES_AT = CALM - 300.0
"""Seconds into the calm at which everybody must hear everybody."""

SECRET = b"the secret of a simulated token issuer"


class Simulation:
    """One run of a scenario; `run` it once.

    ``store`` is what survives crashes of the service, by default one in memory. ``service`` and ``session`` make a
    service and a session, given what `Service` and `ClientSession` are given. ``write`` gets the trace in pieces of
    text, some lines each.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        store: Store | None = None,
        service: Callable[..., Service] = Service,
        session: Callable[..., ClientSession] = ClientSession,
        write: Callable[[str], object] | None = None,
    ) -> None:
        self.scenario = scenario
        begins = MIDNIGHT + round(scenario.begin * HOUR * 1000)
        self.clock = clock = VirtualClock(wall_ms=begins, max_steps=MOST_STEPS)
        self.rng = scenario.chance("life")
        self.trace = Trace(clock, write)
        self.tally = Tally(math.ceil((scenario.seconds + CALM) / MINUTE))
        self.session = session
        self.tokens_fail = False
        self.population: Population = populate(scenario)
        self.faults: list[Fault] = plan_faults(scenario)
        self.trace_sha256 = ""
        self._store = store if store is not None else MemoryStore()
        self._application = Application.of(app_id=APP_ID, app_key="key", app_secret="secret", package=PACKAGE)
        self._issuer = TokenIssuer(SECRET, _token_lifetime(scenario), scenario.chance("tokens"))
        self._wire_bytes = self._wire_sum = 0
        groups = self._make_groups()
        self._groups = {topic: group.members for topic, group in groups.items() if not group.unlimited}
        self._unlimited = {topic: group.members for topic, group in groups.items() if group.unlimited}
        self.laws = Laws({topic: group.members for topic, group in groups.items()})
        self.host = self._make_host(service)
        self.network = Network(clock, scenario.chance("network"), self.host.accept, self._written)
        self.devices = [
            Device(spec, self, tuple(topic for topic, members in self._unlimited.items() if spec.account in members))
            for spec in self.population.devices
        ]
        self._weather = Weather(self, scenario.chance("weather"))
        self._talk = Talk(scenario, clock, self.rng, self.population, [self._groups, self._unlimited])

    # ---------------------------------------------------------------------------------------------------------- making

    def _make_groups(self) -> dict[int, GroupSpec]:
        wall_ms = self.clock.wall_ms
        made: dict[int, GroupSpec] = {}
        for spec in self.population.groups:
            owner, *others = [self._store.user(APP_ID, account, wall_ms).uuid for account in spec.members]
            group = self._store.create_group(APP_ID, owner, "a group", others, wall_ms, unlimited=spec.unlimited)
            assert isinstance(group, Group), group
            made[group.topic_id] = spec
        return made

    def _make_host(self, service: Callable[..., Service]) -> Host:
        config = ServiceConfig(window=64, sweep_interval=60.0)
        packages = Applications([self._application])
        chance = self.scenario.chance("service")
        watch = Watch(self.clock, self.laws, self.tally, self.trace)

        def make() -> Service:
            return service(
                node="n1",
                tokens=self._issuer,
                package_of=packages.package_of,
                rng=random.Random(chance.getrandbits(64)),
                config=config,
            )

        return Host(self.clock, self.scenario.chance("host"), self._store, make, watch.performed, watch.told)

    # --------------------------------------------------------------------------------------------------------- running

    def run(self, progress: Callable[[float], object] | None = None) -> Report:
        """Run it all; ``progress(seconds)`` is called for each virtual minute.

        Raises `LawBroken` when a law is broken, and when a machine raises something; at the end what ``write`` raised.
        """
        end = self.scenario.seconds + CALM
        try:
            self._begin()
            while self.clock.now < end:
                self.clock.run_until(min(end, self.clock.now + MINUTE), what="the end of a minute")
                self._minute()
                if progress is not None:
                    progress(self.clock.now)
            self._finish()
        except Laws.Broken as broken:
            raise self._broken(str(broken)) from None
        except Exception as error:
            raise self._broken(f"expected machines that never raise, got {type(error).__name__}: {error}") from error
        finally:
            self.trace_sha256 = self.trace.close()
        if self.trace.failed is not None:
            raise self.trace.failed
        return self._report()

    def _report(self) -> Report:
        tally = self.tally
        counts = tally.counts + Counter({"given again": self.laws.again, "bytes": self._wire_bytes})
        return Report(
            scenario=self.scenario,
            people=len(self.population.friends),
            bots=len(self.population.bots),
            faults=tuple(self.faults),
            counts=counts,
            times={name: Times.of(tally.times.get(name, ())) for name in ("acknowledgement", "delivery")},
            minutes={name: tuple(row) for name, row in tally.minutes.items()},
            latencies=tuple(map(Times.of, tally.latencies)),
            trace_lines=self.trace.lines,
            trace_sha256=self.trace_sha256,
        )

    def _broken(self, problem: str) -> LawBroken:
        return LawBroken(problem, self.scenario, self.clock.now, self.trace.tail())

    def _begin(self) -> None:
        scenario, clock = self.scenario, self.clock
        self.host.start()
        for device in self.devices:
            for first, last in device.spec.present:
                clock.call_at(first + self.rng.random() * 60.0, partial(self._arrives, device), "a login")
                if last < scenario.seconds:
                    clock.call_at(last, partial(self._leaves, device), "a logout")
            for first, last in device.spec.suspended:
                clock.call_at(first, device.sleep, "a suspended machine")
                clock.call_at(last, device.wake_up, "a machine that wakes up")
            if device.spec.kind is not DeviceKind.BOT:
                self._talk.begin(device)
        self._weather.begin(self.faults)
        clock.call_at(scenario.seconds, self._calm, "the calm")
        clock.call_at(scenario.seconds + PROBES_AT, self._probe, "the last messages")

    def _arrives(self, device: Device) -> None:
        if self.clock.now < self.scenario.seconds:
            device.wanted = True
            device.start_if_wanted()

    def _leaves(self, device: Device) -> None:
        device.wanted = False
        device.stop()

    def _minute(self) -> None:
        """What is looked at once a minute."""
        now = self.clock.now - MINUTE / 2
        service = self.host.service
        online = sum(1 for device in self.devices if device.run is not None)
        self.tally.level("online", now, online)
        if service is not None:
            sessions = service.sessions()
            if any(session.waiting > service.config.window for session in sessions):
                raise Laws.Broken("more is on its way to a session than its window")
        self.trace.tell(
            "-", "minute", online=online, service=service is not None, bytes=self._wire_bytes, crc32=self._wire_sum
        )

    # ------------------------------------------------------------------------------------------- what devices have

    def read(self, device: Device, said: Said) -> None:
        """The user of a device has read a message."""
        self._talk.read(device, said)

    def moment(self, device: Device) -> None:
        """A device has just sent or been given something."""
        self._weather.moment(device)

    # -------------------------------------------------------------------------------------------------------- the end

    def _calm(self) -> None:
        """Nothing goes wrong any more; everybody comes online and reads, and nobody says anything new.

        All get new tokens, so that none expires while it is looked whether all is well.
        """
        self.trace.tell("-", "calm")
        for account in sorted({device.spec.account for device in self.devices}):
            self.kick(account, KickReason.TOKEN_EXPIRED, revoke=True)
        for device in self.devices:
            device.wanted = True
            device.reads = QUICK_READER
            device.wake_up()
            self.clock.call_later(self.rng.random() * 120.0, device.start_if_wanted, "a login")

    def _probe(self) -> None:
        """Everybody is online and hears what nobody stores."""
        by_account: dict[str, list[Device]] = {}
        for device in self.devices:
            by_account.setdefault(device.spec.account, []).append(device)
        for topic, members in self._unlimited.items():
            self._expect(by_account[members[0]][0], Kind.UNLIMITED, topic, [d for m in members for d in by_account[m]])
        accounts = list(by_account)
        for sender, receiver in zip(accounts, [*accounts[1:], accounts[0]], strict=True):
            self._expect(by_account[sender][0], Kind.ONLINE, receiver, by_account[receiver])

    def _expect(self, sender: Device, kind: Kind, target: str | int, receivers: list[Device]) -> None:
        said = sender.say(kind, target, b"are you there?")
        if said is None:
            raise Laws.Broken(f"{sender.spec.name} does not run, though all is calm")
        for device in receivers:
            if device.run is None:
                raise Laws.Broken(f"{device.spec.name} is not online, though all is calm")
            if said.attempts:  # else its session had no room for it
                self.laws.expect(said, device.run)

    def _finish(self) -> None:
        """All has come to rest."""
        runs = []
        for device in self.devices:
            program = device.program
            if device.run is None or program is None:
                raise Laws.Broken(f"{device.spec.name} is not online in the end")
            session = program.session
            if session.unsettled or session.unconsumed or device.unsent or device.programs != 1:
                raise Laws.Broken(
                    f"{program.name} does not rest in the end: {session.unsettled} sends without a verdict,"
                    f" {session.unconsumed} messages in hand, {device.unsent} in the outbox, {device.programs} programs"
                )
            self.tally.count("repeats", session.repeats)
            runs.append(device.run)
        self.laws.finish(runs)
        self._service_rests({(run.account, run.resource) for run in runs})

    def _service_rests(self, expected: set[tuple[str, str]]) -> None:
        service = self.host.service
        assert service is not None  # it was started when its last crash was over
        sessions = service.sessions()
        online = {(session.account, session.resource) for session in sessions}
        if online != expected or len(sessions) != len(expected):
            raise Laws.Broken(f"the service has other sessions than there are: {sorted(online ^ expected)}")
        waiting = [session.account for session in sessions if session.waiting]
        if waiting or not self.host.rests or service.store_requests() or self.host.links != len(expected):
            raise Laws.Broken(
                f"the service does not rest in the end: {len(waiting)} sessions have not acknowledged all,"
                f" {self.host.links} links for {len(expected)} sessions"
            )

    def ask_for_token(self, account: str) -> tuple[float, str | Exception]:
        """The token endpoint, beside the service: how many seconds it takes, and its answer."""
        delay = 0.03 + 0.3 * self.rng.random()
        if self.tokens_fail:
            self.tally.count("token requests failed")
            return delay * 10, OSError("no network")
        self.tally.count("tokens issued")
        wall_ms = self.clock.wall_ms
        uuid = self._store.user(APP_ID, account, wall_ms).uuid
        issued = self._issuer.issue(APP_ID, account, uuid, max(wall_ms, self._store.tokens_good_from(uuid)))
        answer = token_answer(self._application, account, uuid, issued, frontend=FRONTEND, relay="relay.example.net")
        return delay, json.dumps(answer)

    def kick(self, account: str, reason: str, *, revoke: bool) -> None:
        """An operator takes a user offline."""
        uuid = self._store.user(APP_ID, account, self.clock.wall_ms).uuid
        if revoke:
            self._store.revoke_tokens(uuid, self.clock.wall_ms + 1)
        if self.host.service is not None:
            self.host.service.kick(uuid, None, reason, self.clock.now, self.clock.wall_ms)
            self.host.turn()

    def _written(self, frames: list[bytes]) -> None:
        for frame in frames:
            self._wire_bytes += len(frame)
            self._wire_sum = zlib.crc32(frame, self._wire_sum)


def _token_lifetime(scenario: Scenario) -> float:
    """In seconds: some expire in a short run as well, but none that was got in the calm before that is over."""
    return min(TOKEN_HOURS * HOUR, max(CALM + 300.0, scenario.seconds / 2))
