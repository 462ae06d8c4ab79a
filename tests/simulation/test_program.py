"""One run of a program: a device that sleeps and crashes, and has a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from mimc_server.applications import Application
from mimc_server.service import Service, SessionInfo
from mimc_server.simulation.host import Host
from mimc_server.simulation.network import Line, Network
from mimc_server.simulation.program import ADDRESS, LocalClock, Program
from mimc_server.store import MemoryStore
from mimc_server.tokens import TokenIssuer, token_answer

from mimc_proto._record import Record
from mimc_proto.config import SessionConfig
from mimc_proto.session import (
    Acknowledged,
    ClientSession,
    Ended,
    Failed,
    LinkLost,
    MessagesDelivered,
    Offline,
    Online,
    SessionEvent,
    TokenFailed,
)
from mimc_proto.testing import APP_ID, PACKAGE, VirtualClock


class Town:
    """A service, and programs that know how to reach it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore()
        self.issuer = TokenIssuer(b"a secret of sixteen", 3600.0, Random(1))
        self.host = Host(self.clock, Random(1), self.store, self._make, lambda *_: None, lambda *_: None)
        self.network = Network(self.clock, Random(1), self.host.accept, list)
        self.session: Callable[..., ClientSession] = ClientSession
        self.tokens: list[Exception] = []
        self.told: list[tuple[str, SessionEvent]] = []
        self.host.start()

    def _make(self) -> Service:
        return Service(node="n1", tokens=self.issuer, package_of=lambda _: PACKAGE, rng=Random(1))

    def ask_for_token(self, account: str) -> tuple[float, str | Exception]:
        if self.tokens:
            return 0.1, self.tokens.pop()
        application = Application.of(app_id=APP_ID, app_key="key", app_secret="secret", package=PACKAGE)
        uuid = self.store.user(APP_ID, account, self.clock.wall_ms).uuid
        issued = self.issuer.issue(APP_ID, account, uuid, self.clock.wall_ms)
        return 0.1, json.dumps(token_answer(application, account, uuid, issued, frontend="fe.example.net"))

    def program(self, account: str = "ann", *, rate: float = 1.0, resolver: bool = False, **settings: Any) -> Program:
        """One that has begun to log in."""

        def made(now: float) -> ClientSession:
            addresses = () if resolver else (ADDRESS,)
            config = SessionConfig(**settings)
            return self.session(
                APP_ID, account, rng=Random(1), now=now, resource="pc", addresses=addresses, config=config
            )

        line = Line(latency=0.05, jitter=0.0, loss=0.0)
        clock = LocalClock(self.clock, 1e6, rate)
        program = Program(f"{account}/pc", self, line, clock, Random(1), made, self._hear)
        program.session.connect(program.now)
        program.wake()
        return program

    def _hear(self, program: Program, event: SessionEvent) -> None:
        self.told.append((program.name, event))
        if isinstance(event, MessagesDelivered):
            program.session.consumed(event.receipt, program.now)

    def heard(self, kind: type[Record]) -> list[Any]:
        """The events of one type so far."""
        return [event for _, event in self.told if isinstance(event, kind)]

    def sessions(self) -> list[SessionInfo]:
        assert self.host.service is not None
        return self.host.service.sessions()


def test_a_device_has_a_clock_of_its_own() -> None:
    world = VirtualClock(100.0)
    clock = LocalClock(world, 5000.0, 1.01)
    assert clock.now == 5101.0
    world.advance(100.0)
    assert clock.now == 5202.0
    assert clock.in_the_world(5303.0) == 300.0


@pytest.mark.parametrize("rate", [0.9, 1.0, 1.0123456789])
def test_a_program_times_by_its_own_clock(rate: float) -> None:
    town = Town()
    program = town.program(rate=rate, ping_interval=100.0)
    town.clock.run_for(5.0)
    assert program.session.online
    program.lose_link(lambda wire: wire.pipe.drop())
    town.clock.run_for(30.0)
    sent = town.clock.now
    program.session.send("ben", b"hi", now=program.now, timeout=7.0)
    program.wake()
    while not town.heard(Failed):
        town.clock.run_for(0.01)
    assert town.clock.now - sent == pytest.approx(7.0 / rate, abs=0.02)


@pytest.mark.parametrize("resolver", [False, True])
def test_a_program_logs_in_sends_and_logs_out(resolver: bool) -> None:
    town = Town()
    program = town.program(resolver=resolver)
    town.clock.run_for(5.0)
    assert [info.account for info in town.sessions()] == ["ann"]
    program.session.send("ann", b"hi", now=program.now)
    program.wake()
    town.clock.run_for(1.0)
    assert len(town.heard(Acknowledged)) == len(town.heard(MessagesDelivered)) == 1
    program.session.logout(program.now)
    program.wake()
    town.clock.run_for(1.0)
    assert len(town.heard(Ended)) == 1
    assert not program.runs
    assert town.sessions() == []
    assert town.host.links == 0


def test_a_program_asks_again_for_a_token_that_it_did_not_get() -> None:
    town = Town()
    town.tokens.append(OSError("no network"))
    program = town.program()
    town.clock.run_for(5.0)
    assert len(town.heard(TokenFailed)) == 1
    assert program.token is not None


def test_a_suspended_machine_does_nothing_and_catches_up_when_it_wakes() -> None:
    town = Town()
    program, other = town.program(), town.program("ben")
    town.clock.run_for(5.0)
    program.later(10.0, lambda: program.session.send("ben", b"late", now=program.now), "a user")
    program.sleep()
    program.sleep()
    other.session.send("ann", b"hi", now=other.now)
    other.wake()
    town.clock.run_for(60.0)
    assert town.heard(MessagesDelivered) == []
    assert len(town.heard(Acknowledged)) == 1
    program.wake_up()
    program.wake_up()
    assert program.awake_since == town.clock.now
    town.clock.run_for(1.0)
    assert [name for name, event in town.told if isinstance(event, MessagesDelivered)] == ["ann/pc", "ben/pc"]
    assert not town.heard(Offline)


def test_what_is_answered_while_a_machine_sleeps_is_told_when_it_wakes() -> None:
    town = Town()
    program = town.program(connect_timeout=300.0, handshake_timeout=300.0, token_timeout=300.0)
    program.sleep()
    town.clock.run_for(0.0)
    program.wake_up()  # it asks for a link and a token
    town.clock.run_for(0.01)
    program.sleep()
    town.clock.run_for(60.0)
    assert program.token is None
    program.wake_up()
    town.clock.run_for(2.0)
    assert program.session.online


@pytest.mark.parametrize("power", [False, True])
def test_a_program_that_crashed_is_gone_with_a_word_to_the_service_or_without(power: bool) -> None:
    town = Town()
    program = town.program()
    town.clock.run_for(5.0)
    told = len(town.told)
    program.later(1.0, lambda: pytest.fail("it is gone"), "a user")
    left = program.crash(power=power)
    assert len(left) == power
    assert not program.runs
    town.clock.run_for(60.0)
    assert len(town.told) == told
    assert len(town.sessions()) == power
    town.clock.run_for(300.0)
    assert town.sessions() == []
    assert not program.lose_link(lambda wire: wire.pipe.cut())


def test_a_program_that_crashes_while_it_connects_leaves_nothing() -> None:
    town = Town()
    program = town.program()
    town.clock.run_for(0.01)
    assert program.crash(power=True) == []
    town.clock.run_for(60.0)
    assert town.host.links_opened == 0


def test_a_program_whose_link_breaks_comes_back() -> None:
    town = Town()
    program = town.program()
    town.clock.run_for(5.0)
    assert program.lose_link(lambda wire: wire.pipe.cut())
    town.clock.run_for(10.0)
    assert len(town.heard(LinkLost)) == 1
    assert len(town.heard(Online)) == 2


def test_a_link_that_does_not_take_what_is_written_is_written_when_it_does() -> None:
    town = Town()
    program = town.program()
    town.clock.run_for(5.0)
    for number in range(30):
        program.session.send("ben", bytes(10_000), now=program.now, packet_id=f"m{number}")
    program.wake()
    town.clock.run_for(5.0)
    assert len(town.heard(Acknowledged)) == 30


class Restless(ClientSession):
    """It always has something to tell."""

    __slots__ = ()

    def events(self) -> list[SessionEvent]:
        return [*super().events(), Offline()]


def test_a_session_that_never_rests_is_a_mistake() -> None:
    town = Town()
    town.session = Restless
    town.program()
    with pytest.raises(RuntimeError, match="ann/pc does not come to rest"):
        town.clock.run_for(1.0)


def flooded() -> tuple[Town, Program]:
    """A town with a program that sleeps while much comes for it."""
    town = Town()
    program, other = town.program(), town.program("ben")
    town.clock.run_for(5.0)
    program.sleep()
    for number in range(20):
        other.session.send("ann", bytes(12_000), now=other.now, packet_id=f"m{number}")
        other.wake()
        town.clock.run_for(1.0)
    assert len(town.heard(Acknowledged)) == 20
    return town, program


def test_what_the_service_cannot_write_waits_until_it_can() -> None:
    town, program = flooded()
    program.wake_up()
    town.clock.run_for(30.0)
    assert sum(len(event.messages) for event in town.heard(MessagesDelivered)) == 20


def test_who_reads_nothing_for_too_long_is_closed_and_gets_it_all_the_same() -> None:
    town, program = flooded()
    town.clock.run_for(300.0)
    assert [info.account for info in town.sessions()] == ["ben"]
    assert town.host.links == 1
    program.wake_up()
    town.clock.run_for(60.0)
    assert sum(len(event.messages) for event in town.heard(MessagesDelivered)) == 20
