"""Every operation of the blocking adapter, while another thread ends the user at any line, and with any timeout.

On virtual time threads run one at a time and always alike. So each story is run once to count the lines of the adapter
that any thread comes to while the operation lasts, and then once per line, where another thread goes first.
"""

from __future__ import annotations

import abc
import itertools
import os
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from mimc_transports.blocking import User
from support.preemption import Preemption
from support.virtual_world import World

from mimc_proto import (
    LoginError,
    LoginTimeout,
    QueueFull,
    SendFailed,
    SendTimeout,
    SessionConfig,
    SessionEnded,
)
from mimc_proto.packets import P2PMessage
from mimc_proto.session import Acknowledged, Ended, EndReason, Message
from mimc_proto.testing import AckRule, Conditions

LARGEST = bytes(SessionConfig().max_payload)
LATENCY = 0.01
STEP = 1 if "MIMC_EXAMPLES" in os.environ else 31
"""Every so many lines somebody else goes first, other ones for each ending; at each in `make prove`."""


@pytest.fixture(autouse=True)
def chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_transports._user.SystemRandom", lambda: Random(1))


class Case(abc.ABC):
    """An operation of a user, and what may come of it."""

    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    ended: tuple[type[Exception], ...] = (SessionEnded,)
    """What it raises when the user was ended meanwhile, if anything."""

    late: type[Exception] = TimeoutError
    """What it raises when its time is over."""

    enters = True
    """Whether the user is logged in before."""

    def __init__(self, world: World) -> None:
        self.world, self.server = world, world.server
        self.alice: User = world.user(**self.options).inner

    def prepare(self) -> None:  # noqa: B027 (there may be nothing to do; so below)
        """Make it wait for something."""

    @abc.abstractmethod
    def operate(self, timeout: float | None) -> object:
        """The operation, with as much patience as it can be given."""

    def check(self) -> None:  # noqa: B027
        """What holds when it was done or had ended, beside that the user works or has ended."""

    def recover(self) -> None:  # noqa: B027
        """Wait until the user can be used again after a timeout."""

    def payloads(self) -> Counter[bytes]:
        """What the server got, and how often."""
        return Counter(message.payload for message in self.server.bodies(P2PMessage))


class Connect(Case):
    enters = False
    ended = (LoginError, SessionEnded)
    late = LoginTimeout

    def operate(self, timeout: float | None) -> object:
        self.alice._login_timeout = 30.0 if timeout is None else timeout
        self.alice.__enter__()
        return True


class SendIntoASlowSocket(Case):
    ended: tuple[type[Exception], ...] = (SendFailed, SessionEnded)
    late = SendTimeout

    def prepare(self) -> None:
        self.world.network.pipe.up.capacity = 4096

    def operate(self, timeout: float | None) -> object:
        self.acknowledged = False
        self.alice.send("bob", b"1" + LARGEST[1:], timeout=timeout)
        self.acknowledged = True
        return True

    def check(self) -> None:
        assert self.payloads()[b"1" + LARGEST[1:]] in ((1,) if self.acknowledged else (0, 1))


class SendThatWaitsForRoom(SendIntoASlowSocket):
    options = {"config": SessionConfig(max_pending=1)}  # noqa: RUF012
    ended = (SendFailed, SessionEnded, QueueFull)

    def prepare(self) -> None:
        self.server.acks = AckRule(delay=0.1)
        self.alice.send_nowait("bob", b"first")


class Iterate(Case):
    def prepare(self) -> None:
        self.got: list[bytes] = []
        self.delivered = 0
        self.deliver(b"1", b"2")
        self.world.clock.call_later(0.1, lambda: self.deliver(b"3"))
        self.world.clock.call_later(0.2, lambda: self.deliver(b"4"))

    def deliver(self, *payloads: bytes) -> None:
        self.delivered += len(payloads)
        self.server.deliver("alice", *payloads)

    def operate(self, timeout: float | None) -> object:
        deadline = None if timeout is None else self.world.clock.now + timeout
        while len(self.got) < 4:
            left = None if deadline is None else deadline - self.world.clock.now
            message = self.alice.receive(timeout=left)
            assert isinstance(message, Message)
            self.got.append(message.payload)
        return True

    def check(self) -> None:
        assert self.got == [b"1", b"2", b"3", b"4"][: len(self.got)]
        acknowledged = self.delivered - self.server.unacknowledged("alice", "pc")
        assert acknowledged <= len(self.got)  # nothing is lost

    def recover(self) -> None:
        while len(self.got) < 4:
            message = self.alice.receive()
            assert isinstance(message, Message)
            self.got.append(message.payload)


class IterateToTheEnd(Iterate):
    """`for` ends quietly where `receive` raises."""

    def operate(self, timeout: float | None) -> object:
        for message in self.alice:
            assert isinstance(message, Message)
            self.got.append(message.payload)
            if len(self.got) == 4:
                break
        return True


class JoinUnlimited(Case):
    ended = (SendFailed, SessionEnded)
    late = SendTimeout

    def operate(self, timeout: float | None) -> object:
        self.alice.join_unlimited(9, timeout=timeout)
        return True


class WaitForRoom(Case):
    options = {"config": SessionConfig(max_pending=1)}  # noqa: RUF012

    def prepare(self) -> None:
        self.server.acks = AckRule(delay=0.1)
        self.alice.send_nowait("bob", b"first")

    def operate(self, timeout: float | None) -> object:
        self.alice.wait_room(timeout=timeout)
        return True

    def recover(self) -> None:
        self.alice.wait_room()


class WaitOnline(Case):
    def prepare(self) -> None:
        self.world.network.pipe.cut()
        self.world.threads.sleep(2 * LATENCY)  # type: ignore[union-attr]

    def operate(self, timeout: float | None) -> object:
        self.alice.wait_online(timeout=timeout)
        return True


class Events(Case):
    def prepare(self) -> None:
        self.world.clock.call_later(0.1, self.world.network.pipe.cut)

    def operate(self, timeout: float | None) -> object:
        return [event for event, _ in zip(self.alice.events(), range(2), strict=False)]


class Logout(Case):
    def prepare(self) -> None:
        self.server.acks = AckRule(delay=0.1)
        self.alice.send_nowait("bob", b"last")

    def operate(self, timeout: float | None) -> object:
        self.alice.logout(drain=5.0)
        return True


class LeaveTheBlock(Logout):
    def operate(self, timeout: float | None) -> object:
        self.alice.__exit__(None, None, None)
        return True


class LeaveTheBlockOfAHandler(Case):
    def __init__(self, world: World) -> None:
        self.handled: list[bytes] = []
        self.options = {"on_message": self._handle}
        super().__init__(world)

    def _handle(self, message: Any) -> None:
        self.world.threads.sleep(0.05)  # type: ignore[union-attr]
        self.handled.append(message.payload)

    def prepare(self) -> None:
        self.server.deliver("alice", b"1", b"2", b"3")
        self.world.threads.sleep(0.08)  # type: ignore[union-attr]

    def operate(self, timeout: float | None) -> object:
        self.alice.__exit__(None, None, None)
        return True

    def check(self) -> None:
        assert self.server.unacknowledged("alice", "pc") >= 3 - len(self.handled)


CASES: tuple[type[Case], ...] = (
    Connect,
    SendIntoASlowSocket,
    SendThatWaitsForRoom,
    Iterate,
    IterateToTheEnd,
    JoinUnlimited,
    WaitForRoom,
    WaitOnline,
    Events,
    Logout,
    LeaveTheBlock,
    LeaveTheBlockOfAHandler,
)
PATIENT = (Connect, SendIntoASlowSocket, SendThatWaitsForRoom, Iterate, JoinUnlimited, WaitForRoom, WaitOnline)
"""Those that take a timeout."""

ENDINGS: dict[str, Callable[[User], object]] = {
    "abort": lambda user: user.abort(),
    "logout": lambda user: user.logout(drain=1.0),
    "leaving": lambda user: user.__exit__(None, None, None),
    "leaving by an error": lambda user: user.__exit__(ValueError, ValueError(), None),
}


class Run:
    """A story from its beginning: ``at`` a line another thread ends the user, or the operation has a ``timeout``."""

    def __init__(
        self,
        kind: type[Case],
        end: Callable[[User], object],
        at: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self.lines, self.took = 0, 0.0
        self._kind, self._end, self._at, self._timeout = kind, end, at, timeout
        self._failure: BaseException | None = None
        self._world = World("blocking")
        self._world.network.conditions = Conditions(latency=LATENCY)
        try:
            self._world.run(self._whole)
        except BaseException as error:
            error.add_note(f"at line {at}, with a timeout of {timeout}")
            raise
        assert self._world.server.errors == []  # it saw good frames only

    async def _whole(self) -> None:
        world = self._world
        assert world.threads is not None
        case = self._kind(world)
        with Preemption(world.threads, self._at, lambda: self._intervene(case)) as preemption:
            if case.enters:
                case.alice.__enter__()
                case.prepare()
            start = world.clock.now
            expected = case.ended if self._timeout is None else case.late
            preemption.begin()
            try:
                done = bool(case.operate(self._timeout))
            except expected:
                done = False
                if self._timeout is None:
                    assert preemption.intervening is not None
                else:
                    assert world.clock.now == pytest.approx(start + self._timeout)
            preemption.end()
        self.lines, self.took = preemption.lines, world.clock.now - start
        if preemption.intervening is not None:
            preemption.intervening.join()
            if self._failure is not None:
                raise self._failure
            self._assert_ended(case)
        elif done or case.enters:
            self._assert_usable(case)
        case.check()
        case.alice.abort()
        self._assert_ended(case)
        assert case.alice._deadlines == []
        world.threads.sleep(60.0)
        assert world.clock.waiting == []  # no connection, no timer
        again = world.user().inner
        with again:
            assert again.send("bob", b"after").sequence

    def _intervene(self, case: Case) -> None:
        try:
            self._end(case.alice)
        except BaseException as error:
            self._failure = error

    @staticmethod
    def _assert_ended(case: Case) -> None:
        alice = case.alice
        assert alice.status == alice.session.ended
        assert isinstance(alice.status, Ended)
        assert alice.status.reason in (EndReason.LOGGED_OUT, EndReason.CLOSED)
        assert not alice._unsettled

    @staticmethod
    def _assert_usable(case: Case) -> None:
        alice = case.alice
        if alice.session.ended is not None or alice._message_handler is not None:
            return  # it was to leave
        case.recover()
        assert isinstance(alice.send("bob", b"usable"), Acknowledged)
        case.server.deliver("alice", b"for alice")
        message = alice.receive(timeout=30.0)
        assert isinstance(message, Message)
        assert message.payload == b"for alice"


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_ended_by_another_thread_at_any_line_it_returns_or_raises_and_nothing_is_left(
    case: type[Case], end: str
) -> None:
    lines = Run(case, ENDINGS[end]).lines
    assert lines > 20
    for at in range(1 + 3 * list(ENDINGS).index(end) % STEP, lines + 1, STEP):
        Run(case, ENDINGS[end], at)


@pytest.mark.parametrize("case", PATIENT, ids=lambda case: case.__name__)
def test_timed_out_at_any_time_it_leaves_a_user_who_works_or_has_ended(case: type[Case]) -> None:
    took = Run(case, ENDINGS["abort"]).took
    assert took > 0.0
    for timeout in itertools.takewhile(lambda seconds: seconds < took, itertools.count(LATENCY / 2, LATENCY / 2)):
        Run(case, ENDINGS["abort"], timeout=timeout)
