"""One run of a client's program: a session, the driver that it needs, and a machine that sleeps, crashes and has a
clock of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol, assert_never
from urllib.parse import parse_qs, urlsplit

from mimc_proto.session import (
    ClientSession,
    CloseLink,
    FetchToken,
    OpenLink,
    Resolve,
    SessionEvent,
    SessionRequest,
)
from mimc_proto.testing import Alarm, Side, VirtualClock, resolver_answer

from .network import Attempt, Line, Network, Wire

__all__ = ["ADDRESS", "LocalClock", "Program", "Surroundings"]

ADDRESS = ("10.0.0.1", 5222)
"""Where the service is."""

MOST_ROUNDS = 1000
"""Rounds of requests and bytes without time passing, after which a session counts as one that never rests."""


class LocalClock:
    """A device's clock: it started at another time than others, and goes a little fast or slow.

    ``rate`` is its seconds in one of the world's.
    """

    def __init__(self, world: VirtualClock, offset: float, rate: float) -> None:
        self._world, self._offset, self._rate = world, offset, rate

    @property
    def now(self) -> float:
        """Its seconds."""
        return self._offset + self._world.now * self._rate

    def in_the_world(self, when: float) -> float:
        """When it is so late by this clock."""
        return (when - self._offset) / self._rate


class Surroundings(Protocol):
    """What a program has around it."""

    clock: VirtualClock
    network: Network

    def ask_for_token(self, account: str) -> tuple[float, str | Exception]:
        """How many seconds the token endpoint takes, and its answer."""
        ...


class Program:
    """A session and its driver. ``told(program, event)`` hears of all that the session tells, never from within a call
    to the program. `wake` has to be called after verbs of ``session``.

    ``made`` makes the session, when it is given the time of this device's clock.
    """

    def __init__(
        self,
        name: str,
        world: Surroundings,
        line: Line,
        clock: LocalClock,
        rng: random.Random,
        made: Callable[[float], ClientSession],
        told: Callable[[Program, SessionEvent], object],
    ) -> None:
        self.name = name
        self.runs = True
        """Whether it was neither crashed nor is its session at its end."""
        self.asleep = False
        self.awake_since = world.clock.now
        """When it started, or woke up the last time, in seconds of the world."""
        self.token: str | None = None
        """The last answer of the token endpoint."""
        self._world, self._line, self._clock, self._rng, self._told = world, line, clock, rng, told
        self._links: dict[int, _Link] = {}
        self._late: list[Callable[[], object]] = []
        self._alarm = Alarm(world.clock, self._ring, f"the timer of {name}")
        self._wake = Alarm(world.clock, self._step, f"{name}, woken")
        self._latest = clock.now
        self.session = made(self._latest)

    @property
    def now(self) -> float:
        """The time of its device, which never goes back."""
        self._latest = max(self._latest, self._clock.now)
        return self._latest

    def wake(self) -> None:
        """Look after the session when the callback that runs is over."""
        self._wake.set(self._world.clock.now)

    def later(self, delay: float, act: Callable[[], object], what: str) -> None:
        """Have the program do something in so many seconds, if it still runs; if it sleeps then, when it wakes."""
        self._world.clock.call_later(delay, lambda: self._do(act), what)

    def _do(self, act: Callable[[], object]) -> None:
        if self.asleep:
            self._late.append(act)
        elif self.runs:
            act()
            self._step()

    # --------------------------------------------------------------------------------------- what its machine does

    def sleep(self) -> None:
        """The device is suspended: it reads nothing, writes nothing and runs no timers."""
        if self.runs and not self.asleep:
            self.asleep = True
            for link in self._links.values():
                link.read(False)

    def wake_up(self) -> None:
        """End `sleep`: what waits comes first, then timers."""
        if not self.asleep:
            return
        self.asleep = False
        self.awake_since = self._world.clock.now
        late, self._late = self._late, []
        for act in late:
            self._do(act)
        for link in list(self._links.values()):
            link.read(True)
        self._ring()

    def crash(self, *, power: bool) -> list[Wire]:
        """All is lost. With ``power`` the device goes without a word; the connections that the service still has."""
        self.runs = self.asleep = False
        self._late.clear()
        self._alarm.set(None)
        self._wake.set(None)
        left = [link.crash(power=power) for link in list(self._links.values())]
        self._links.clear()
        return [wire for wire in left if wire is not None]

    def lose_link(self, break_wire: Callable[[Wire], object]) -> bool:
        """Have something happen to the connections that it has; whether there were any."""
        wires = [link.wire for link in self._links.values() if link.wire is not None]
        for wire in wires:
            break_wire(wire)
        return bool(wires)

    # ------------------------------------------------------------------------------------------ what its links tell

    def link_opened(self, link: _Link) -> None:
        """It is connected."""
        self._do(lambda: self.session.link_opened(link.link_id, self.now))

    def link_received(self, link: _Link, data: bytes) -> None:
        """Bytes came."""
        if link.close_by is None:
            self.session.receive_data(link.link_id, data, self.now)
            self._step()

    def link_lost(self, link: _Link, error: Exception | None) -> None:
        """It could not be opened, or ended (None: at the end of input)."""
        self._links.pop(link.link_id, None)
        link.leave()
        if link.close_by is None:
            self._do(lambda: self.session.link_lost(link.link_id, error, self.now))

    def link_writable(self) -> None:
        """There is room again."""
        self._step()

    # ----------------------------------------------------------------------------------------------------- driving

    def _ring(self) -> None:
        if self.asleep or not self.runs:
            return
        for link in list(self._links.values()):
            link.pump()  # bytes that wait come before timers
        due = self.session.get_timer()
        if due is not None and self._clock.in_the_world(due) <= self._world.clock.now:
            self._latest = max(self.now, due)  # from one clock to the other and back is not exact
            self.session.handle_timer(self._latest)
        self._step()

    def _step(self) -> None:
        if self.asleep or not self.runs:
            return
        session, links = self.session, self._links
        for _ in range(MOST_ROUNDS):
            requests, events = session.requests(), session.events()
            for request in requests:
                self._answer(request)
            for event in events:
                self._told(self, event)
            for link in links.values():
                link.flush(session)
            if not requests and not events:
                break
        else:
            raise RuntimeError(f"{self.name} does not come to rest: {MOST_ROUNDS} rounds in one moment")
        due = session.get_timer()
        for link in [link for link in links.values() if link.close_by is not None]:
            due = self._close(link, due)
        if session.ended is not None and not links:
            self.runs = False
        self._alarm.set(None if due is None else self._clock.in_the_world(due))

    def _close(self, link: _Link, due: float | None) -> float | None:
        """Close what is to be closed, if all was written or its time is over; when to look again."""
        assert link.close_by is not None
        if link.writable or link.close_by <= self.now:
            del self._links[link.link_id]
            link.leave()
            return due
        return link.close_by if due is None else min(due, link.close_by)

    def _answer(self, request: SessionRequest) -> None:
        session = self.session
        match request:
            case FetchToken(request_id=number):
                delay, answer = self._world.ask_for_token(session.account)
                self.later(delay, lambda: self._got_token(number, answer), "an answer of the token endpoint")
            case Resolve(request_id=number):
                [domain] = parse_qs(urlsplit(request.url).query)["list"]
                found = resolver_answer({domain: [ADDRESS]})
                delay = 0.02 + 0.2 * self._rng.random()
                self.later(delay, lambda: session.resolved(number, found, self.now), "an answer of the resolver")
            case OpenLink(link_id=number):
                self._links[number] = _Link(self, self._world.network, self._line, number)
            case CloseLink(link_id=number):
                if number in self._links:
                    self._links[number].close_by = request.flush_until
            case _:
                assert_never(request)

    def _got_token(self, number: int, answer: str | Exception) -> None:
        if isinstance(answer, str):
            self.token = answer
        self.session.token_fetched(number, answer, self.now)


class _Link:
    """The program's end of one connection, open or on its way. ``close_by``: flush and close by then (its time)."""

    def __init__(self, program: Program, network: Network, line: Line, link_id: int) -> None:
        self.link_id = link_id
        self.wire: Wire | None = None
        self.close_by: float | None = None
        self._program = program
        self._attempt: Attempt = network.connect(line, self._opened, self._failed)

    def _opened(self, wire: Wire) -> None:
        self.wire = wire
        self.read(not self._program.asleep)
        wire.pipe.client.attach(self)
        self._program.link_opened(self)

    def _failed(self, error: Exception) -> None:
        self._program.link_lost(self, error)

    # -------------------------------------------------------------------------------------- what the pipe tells it

    def data_received(self, data: bytes) -> None:
        self._program.link_received(self, data)

    def eof_received(self) -> None:
        self._program.link_lost(self, None)

    def connection_lost(self) -> None:
        self._program.link_lost(self, ConnectionResetError("the connection broke"))

    def writing_resumed(self) -> None:
        self._program.link_writable()

    # ----------------------------------------------------------------------------------------- what its program does

    @property
    def writable(self) -> bool:
        """Whether nothing hinders it from writing; there is nothing to write before it is open."""
        return self.wire is None or self.wire.pipe.client.writable

    def flush(self, session: ClientSession) -> None:
        """Write what waits, as far as there is room."""
        wire = self.wire
        if wire is not None:
            end = wire.pipe.client
            while end.writable and (frames := session.data_to_send(self.link_id, end.room)):
                wire.write(Side.CLIENT, frames)

    def read(self, reads: bool) -> None:
        """Whether to read."""
        if self.wire is not None:
            (self.wire.pipe.client.resume_reading if reads else self.wire.pipe.client.pause_reading)()

    def pump(self) -> None:
        """Read what has arrived by now."""
        if self.wire is not None:
            self.wire.pipe.client.pump()

    def leave(self) -> None:
        """Close, or give up opening."""
        self._attempt.cancel()
        if self.wire is not None:
            self.wire.pipe.client.close()
            self.wire.over(Side.CLIENT)

    def crash(self, *, power: bool) -> Wire | None:
        """The program is gone; with ``power`` the wire, of which the other side still thinks well."""
        self._attempt.cancel()
        wire = self.wire
        if wire is None:
            return None
        if power:
            wire.vanish(Side.CLIENT)
            return wire
        wire.pipe.client.reset()
        wire.over(Side.CLIENT)
        return None
