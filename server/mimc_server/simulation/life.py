"""One program from its start to its end: its place in the laws, and the application that takes its messages."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

from mimc_proto.session import ClientSession, Message, MessagesDelivered

from ..store import Kind
from .laws import Laws, Run, Said
from .program import Program, Surroundings
from .tally import Tally
from .trace import Trace

__all__ = ["Life", "Owner", "World"]

PAGE = 8
"""Messages of a delivery that are read about as fast as one."""


class World(Surroundings, Protocol):
    """What programs and devices have around them."""

    laws: Laws
    tally: Tally
    trace: Trace
    rng: random.Random
    session: Callable[..., ClientSession]
    """Makes a session."""


class Owner(Protocol):
    """Whose program it is."""

    reads: float
    """Seconds that its user takes over a delivery, at most; 0.0 for a bot, which answers each message instead."""

    def had(self, life: Life) -> None:
        """It was given something."""

    def read(self, said: Said) -> None:
        """Its user has read a message."""

    def answer(self, life: Life, account: str) -> str | None:
        """A bot answers; the packet id whose verdict it waits for."""


class _Reading:
    """A delivery in an application's hands: its stored messages, and whom a bot has yet to answer."""

    def __init__(self, receipt: int, stored: list[Said], questions: list[str]) -> None:
        self.receipt, self.stored = receipt, stored
        self.questions = deque(questions)


class Life:
    """A program and its application. People read each delivery for a while; bots answer its messages one by one, and
    wait for each verdict. Deliveries are consumed in their order."""

    def __init__(self, owner: Owner, program: Program, run: Run, world: World) -> None:
        self.program, self.run = program, run
        self.leaving = self.over = False
        self.logins = 0
        self.online_since: float | None = None
        self._owner, self._world = owner, world
        self._hand: deque[_Reading] = deque()
        self._answering: str | None = None

    @property
    def may_send(self) -> bool:
        """Whether its session takes messages."""
        return not self.leaving and not self.over and self.program.session.ended is None

    def end(self) -> None:
        """It is over."""
        self.over = True
        self.online_since = None
        self._hand.clear()

    def delivered(self, event: MessagesDelivered) -> None:
        """Its session gave it messages."""
        world, run = self._world, self.run
        if event.skipped:
            raise Laws.Broken(f"{run.name} was given what it cannot read: {event.skipped}")
        all_said = [world.laws.delivered(run, message) for message in event.messages]
        world.trace.tell(run.name, "delivered", n=[said.number for said in all_said])
        for said in all_said:
            self._count(said)
        questions = [message.from_account for message in event.messages if isinstance(message, Message)]
        stored = [said for said in all_said if said.kind <= Kind.P2T]
        self._hand.append(_Reading(event.receipt, stored, [] if self._owner.reads else questions))
        self._owner.had(self)
        if len(self._hand) == 1:
            self._take()

    def settled(self, packet_id: str) -> None:
        """A verdict came: it may be what a bot waits for."""
        if packet_id == self._answering:
            self._answering = None
            self._take()

    def _count(self, said: Said) -> None:
        tally, now = self._world.tally, self._world.clock.now
        tally.at("delivered", now)
        tally.count(f"delivered: {said.kind.name}")
        if self.online_since is not None and max(self.online_since, self.program.awake_since) <= said.since:
            tally.latency(now, now - said.since)

    def _take(self) -> None:
        """Go on with the delivery that has been in hand for longest."""
        while self._hand and self._answering is None and self.may_send:
            reading = self._hand[0]
            if self._owner.reads:
                pages = 1 + len(reading.stored) // PAGE
                delay = self._world.rng.random() * self._owner.reads * pages
                self.program.later(delay, self._read, "reading")
                return
            if reading.questions:
                self._answering = self._owner.answer(self, reading.questions.popleft())
            else:
                self._through()

    def _read(self) -> None:
        if not self.over:
            self._through()
            self._take()

    def _through(self) -> None:
        """The application is through with the delivery in its hand."""
        reading = self._hand.popleft()
        self.program.session.consumed(reading.receipt, self.program.now)
        for said in reading.stored:
            self._world.laws.done(self.run, said)
            self._owner.read(said)
        self.program.wake()
