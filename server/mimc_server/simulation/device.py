"""A client over the day: its programs one after the other, what its user says, how its application takes messages."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from mimc_proto import SessionConfig
from mimc_proto.errors import QueueFull
from mimc_proto.events import CloseReason
from mimc_proto.session import (
    Acknowledged,
    ClientSession,
    Ended,
    Failed,
    LinkLost,
    LoginRefused,
    MessagesDelivered,
    MessagesDropped,
    Offline,
    Online,
    Rejected,
    SessionEvent,
    TokenFailed,
    TooManyWaiting,
    Unreadable,
    Verdict,
)
from mimc_proto.testing import APP_ID, Side

from ..store import Kind
from .laws import Laws, Run, Said
from .life import Life, World
from .network import Line, Wire
from .population import DeviceKind, DeviceSpec
from .program import ADDRESS, LocalClock, Program

__all__ = ["Device", "Town"]

SEND_TIMEOUT, BOT_TIMEOUT = 30.0, 10.0
RETRY = (5.0, 30.0)
"""Seconds until an outbox sends again what failed."""

START_AGAIN = (10.0, 60.0)
"""Seconds until a user starts a program again whose session has ended against his will."""

SLOW_HIGH, SLOW_LOW = 4, 1
"""Marks of messages in hand of slow readers, so that the service has to wait for them."""

_TIMEOUTS = {reason.value for reason in CloseReason if reason.name.endswith("TIMEOUT")}


class Town(World, Protocol):
    """What a device has around it."""

    def read(self, device: Device, said: Said) -> None:
        """The user of a device has read a message."""
        ...

    def moment(self, device: Device) -> None:
        """A device has just sent or been given something: a bad moment for a fault."""
        ...


class Device:
    """One client. ``wanted`` says whether it is to be logged in."""

    def __init__(self, spec: DeviceSpec, world: Town, unlimited: tuple[int, ...]) -> None:
        self.spec = spec
        self.line = Line(spec.latency, spec.jitter, spec.loss)
        self.clock = LocalClock(world.clock, spec.offset, spec.rate)
        self.wanted = False
        self.reads = spec.reads
        """Seconds that its user takes over a delivery, at most."""
        self.token: str | None = None
        self.resource = spec.resource
        self.crashes = 0
        self._world = world
        self._rng = world.rng
        self._unlimited = unlimited
        self._lives: list[Life] = []
        self._outbox: dict[int, Said] = {}
        self._left: list[Wire] = []

    # ----------------------------------------------------------------------------------------------------- programs

    @property
    def life(self) -> Life | None:
        """Its newest program, if that is not over."""
        return self._lives[-1] if self._lives and not self._lives[-1].over else None

    @property
    def program(self) -> Program | None:
        """The newest that runs."""
        life = self.life
        return None if life is None else life.program

    @property
    def run(self) -> Run | None:
        """That of the newest program, if it is online."""
        life = self.life
        return life.run if life is not None and life.online_since is not None else None

    @property
    def programs(self) -> int:
        """How many are not over."""
        return len(self._lives)

    @property
    def unsent(self) -> int:
        """Messages in its outbox."""
        return len(self._outbox)

    def start(self) -> None:
        """Start the program and log in; with the token of before, if it is still there."""
        spec, world = self.spec, self._world
        name = f"{spec.account}/{self.resource}"
        bits, slow = self._rng.getrandbits(64), spec.slow

        def made(now: float) -> ClientSession:
            return world.session(
                APP_ID,
                spec.account,
                rng=random.Random(bits),
                now=now,
                resource=self.resource,
                addresses=() if spec.resolver else (ADDRESS,),
                token=self.token,
                joined_groups=self._unlimited,
                config=SessionConfig(
                    ping_interval=spec.ping_interval,
                    group_ping_interval=100.0,
                    send_timeout=SEND_TIMEOUT,
                    high_messages=SLOW_HIGH if slow else 60,
                    low_messages=SLOW_LOW if slow else 20,
                    delivery=spec.delivery,
                ),
            )

        for wire in self._left:
            wire.forget()
        self._left.clear()
        program = Program(name, world, self.line, self.clock, self._rng, made, self._told)
        self._lives.append(Life(self, program, world.laws.begin(spec.account, self.resource, name), world))
        world.trace.tell(name, "start", token=self.token is not None)
        program.session.connect(program.now)
        program.wake()

    def stop(self) -> None:
        """Log out."""
        life = self.life
        if life is not None and not life.program.asleep:
            life.leaving, program = True, life.program
            self._world.trace.tell(program.name, "log out")
            program.session.logout(program.now, 5.0)
            program.wake()

    def crash(self, *, power: bool, token: bool, resource: str | None) -> None:
        """The program is gone, or with ``power`` the machine, and with it what its user had sent and read. A later one
        begins with its ``token`` or without, and with its resource or another, because it lost its files."""
        lives = list(self._lives) if power else self._lives[-1:]
        if not lives:
            return
        world = self._world
        self.crashes += 1
        world.tally.at("crashes of clients", world.clock.now)
        for life in lives:
            world.trace.tell(life.program.name, "crash", power=power, token=token, resource=resource)
            world.tally.count("unacknowledged at a crash", world.laws.crashed(life.run))
            self._left += life.program.crash(power=power)
            self._over(life)
        for said in self._outbox.values():
            self._send_again_later(said)  # if another program is left
        if not token:
            self.token = None
        if resource is not None:
            self.resource = resource

    def sleep(self) -> None:
        """Its machine is suspended, with all that runs there."""
        for life in self._lives:
            self._world.trace.tell(life.program.name, "suspended")
            life.program.sleep()

    def wake_up(self) -> None:
        """Its machine goes on."""
        for life in list(self._lives):
            if life.program.asleep:
                self._world.trace.tell(life.program.name, "wakes up")
                life.program.wake_up()

    def lose_link(self, how: str) -> None:
        """Its connection ends: ``cut`` for both sides, ``half-open`` unseen by the service, ``unnoticed`` by this side,
        ``silent`` by either."""
        breaks: dict[str, Callable[[Wire], object]] = {
            "cut": lambda wire: wire.pipe.cut(),
            "half-open": lambda wire: wire.pipe.cut(unaware=Side.SERVER),
            "unnoticed": lambda wire: wire.pipe.cut(unaware=Side.CLIENT),
            "silent": lambda wire: wire.pipe.drop(),
        }
        program = self.program
        if program is not None and program.lose_link(breaks[how]):
            self._world.trace.tell(program.name, "link lost", how=how)
            self._world.tally.at("connections broken", self._world.clock.now)
            self._world.tally.count(f"connections broken: {how}")

    # -------------------------------------------------------------------------------------------------------- sending

    def say(self, kind: Kind, target: str | int, filler: bytes) -> Said | None:
        """Its user sends a message, online or not; None if no program runs."""
        life = self.life
        if life is None or not life.may_send or life.program.asleep:
            return None
        said = self._say(kind, target, filler)
        self._send(life, said)
        return said

    def _say(self, kind: Kind, target: str | int, filler: bytes) -> Said:
        world = self._world
        said = world.laws.say(kind, self.spec.account, target, filler, world.clock.now)
        world.tally.at("said", world.clock.now)
        world.tally.count(f"said: {kind.name}")
        if self.spec.outbox and kind <= Kind.P2T:
            self._outbox[said.number] = said
        return said

    def _send(self, life: Life, said: Said) -> str | None:
        """One attempt; its packet id."""
        world, program = self._world, life.program
        session, now = program.session, program.now
        packet_id = f"out-{self.spec.resource}-{said.number}" if said.number in self._outbox else None
        timeout = BOT_TIMEOUT if self.spec.kind is DeviceKind.BOT else SEND_TIMEOUT
        target, payload = said.target, said.payload
        try:
            if said.kind is Kind.P2P:
                sent = session.send(str(target), payload, now=now, packet_id=packet_id, timeout=timeout)
            elif said.kind is Kind.P2T:
                sent = session.send_group(int(target), payload, now=now, packet_id=packet_id, timeout=timeout)
            elif said.kind is Kind.UNLIMITED:
                sent = session.send_unlimited(int(target), payload, now=now, timeout=timeout)
            else:
                sent = session.send_online(str(target), payload, now=now, timeout=timeout)
        except QueueFull:
            world.tally.count("no room to send")
            if said.number in self._outbox:
                self._send_again_later(said)
            return None
        world.laws.attempted(life.run, said, sent)
        world.trace.tell(program.name, "send", n=said.number, kind=said.kind.name, to=target, id=sent)
        program.wake()
        world.moment(self)
        return sent

    def _settled(self, life: Life, verdict: Verdict) -> None:
        world = self._world
        said = world.laws.settled(life.run, verdict)
        now = world.clock.now
        if isinstance(verdict, Acknowledged):
            world.trace.tell(life.program.name, "acknowledged", n=said.number, sequence=verdict.sequence)
            world.tally.at("acknowledged", now)
            world.tally.time("acknowledgement", now - said.since)
            self._outbox.pop(said.number, None)
        elif isinstance(verdict, Rejected):
            world.trace.tell(life.program.name, "rejected", n=said.number, code=verdict.code)
            world.tally.at("rejected", now)
        else:
            reason = verdict.reason.name
            world.trace.tell(life.program.name, "failed", n=said.number, why=reason, maybe=verdict.may_have_arrived)
            world.tally.at("failed", now)
            world.tally.count(f"failed: {reason}")
            if not verdict.may_have_arrived:
                world.tally.count("certainly not sent")
        if said.number in self._outbox:
            self._send_again_later(said)
        life.settled(verdict.packet_id)

    def _send_again_later(self, said: Said) -> None:
        """The outbox has it still. If no program runs then, the next one sends it when it is online."""
        self._world.clock.call_later(self._rng.uniform(*RETRY), lambda: self._send_again(said), "an outbox")

    def _send_again(self, said: Said) -> None:
        life = self.life
        if life is None or said.number not in self._outbox or said.attempts:
            return
        if life.may_send and not life.program.asleep:
            self._world.tally.count("sent again by an outbox")
            self._send(life, said)
        else:
            self._send_again_later(said)

    # ------------------------------------------------------------------------------------------- what a program tells

    def _told(self, program: Program, event: SessionEvent) -> None:
        life = next(life for life in reversed(self._lives) if life.program is program)
        world = self._world
        now = world.clock.now
        match event:
            case MessagesDelivered():
                life.delivered(event)
            case Acknowledged() | Rejected() | Failed():
                self._settled(life, event)
            case Online():
                self._online(life)
            case Offline():
                life.online_since = None
                world.trace.tell(program.name, "offline", why=event.error_reason)
            case LinkLost():
                world.trace.tell(program.name, "no link", why=event.problem)
                world.tally.at("links lost", now)
                if event.problem in _TIMEOUTS or event.problem.endswith("_timeout)"):
                    world.tally.at("timeouts", now)
            case LoginRefused():
                world.trace.tell(program.name, "login refused", why=event.error_reason)
                world.tally.count("logins refused")
            case TokenFailed():
                world.tally.count("tokens not got")
            case MessagesDropped():
                world.laws.dropped(life.run, event.online, event.unlimited)
                world.trace.tell(program.name, "dropped", online=event.online, unlimited=event.unlimited)
                world.tally.count("messages dropped", event.online + event.unlimited)
            case Ended():
                self._ended(life, event)
            case TooManyWaiting() | Unreadable():
                raise Laws.Broken(f"{program.name}: the service sent what it never should: {event}")
            case _:
                pass

    def _online(self, life: Life) -> None:
        world = self._world
        life.online_since = world.clock.now
        life.logins += 1
        world.trace.tell(life.program.name, "online")
        world.tally.at("logins", life.online_since)
        if life.logins > 1:
            world.tally.at("reconnects", life.online_since)
        world.laws.online(life.run)
        if life.logins == 1 and life.may_send:  # what came behind it in the same read may have ended the session
            for said in [said for said in self._outbox.values() if not said.attempts]:
                self._send(life, said)

    def _ended(self, life: Life, event: Ended) -> None:
        world = self._world
        world.laws.ended(life.run)
        world.trace.tell(life.program.name, "ended", why=event.reason.name)
        world.tally.count(f"sessions ended: {event.reason.name}")
        self._over(life)
        if self.wanted and self.life is None:
            world.clock.call_later(self._rng.uniform(*START_AGAIN), self.start_if_wanted, "starting again")

    def start_if_wanted(self) -> None:
        """Unless it runs already."""
        if self.wanted and self.life is None:
            self.start()

    def _over(self, life: Life) -> None:
        self.token = life.program.token or self.token
        self._world.tally.count("repeats", life.program.session.repeats)
        life.end()
        self._lives.remove(life)

    # ------------------------------------------------------------------------------------------------------ receiving

    def had(self, life: Life) -> None:
        """A program of it was given something."""
        self._world.moment(self)

    def read(self, said: Said) -> None:
        """Its user has read a message."""
        if self.spec.kind is not DeviceKind.BOT:
            self._world.read(self, said)

    def answer(self, life: Life, account: str) -> str | None:
        """A bot answers somebody."""
        return self._send(life, self._say(Kind.P2P, account, b"an answer"))
