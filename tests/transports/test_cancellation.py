"""Every operation, cancelled at every point where it can be: what is left works, or has ended clearly.

Each story is run once to count its points, then once per point, from the beginning, on virtual time: between any two
steps of the loop, and at every time at which something happens.
"""

from __future__ import annotations

import abc
import functools
import importlib.util
from collections import Counter
from random import Random
from typing import Any

import anyio
import pytest
from support.sweep import MODES, Sweep
from support.virtual_world import HOST, PORT, World

from mimc_proto import SessionConfig
from mimc_proto.packets import P2PMessage, UcMessage
from mimc_proto.session import Ended, EndReason
from mimc_proto.testing import AckRule, Conditions, FaultyPipe

LARGEST = bytes(SessionConfig().max_payload)
LATENCY = 0.01
RESUME = 0.5
"""Seconds after which a socket that stalled takes bytes again."""


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    found: str = request.param
    if importlib.util.find_spec(found.split()[0]) is None:
        pytest.skip(f"{found} is not installed")
    monkeypatch.setattr("mimc_transports._user.SystemRandom", lambda: Random(1))
    return found


class Case(abc.ABC):
    """An operation, and what has to hold when it was cancelled."""

    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)

    def __init__(self, world: World, sweep: Sweep) -> None:
        self.world, self.sweep, self.server = world, sweep, world.server
        self.alice = world.user(**self.options)

    @abc.abstractmethod
    async def story(self) -> None:
        """The operation, and what is found after it."""

    async def assert_usable(self) -> None:
        """The connection is the first one, and takes and gives messages."""
        alice, server = self.alice, self.server
        with anyio.fail_after(30.0):
            assert (await alice.send("bob", b"after")).sequence
            server.deliver("alice", b"for alice")
            assert (await anext(alice)).payload == b"for alice"
        assert len(self.world.network.pipes) == 1

    async def assert_ended(self) -> None:
        """The user has ended, and another one can take its place: nothing is in the way."""
        assert self.alice.session.ended is not None
        assert self.alice.status == self.alice.session.ended
        assert self.alice.status.reason in (EndReason.LOGGED_OUT, EndReason.CLOSED)
        assert not self.alice._unsettled
        await anyio.sleep(60.0)
        assert self.world.clock.waiting == []  # no connection, no timer
        with anyio.fail_after(30.0):
            async with self.world.user() as again:
                assert (await again.send("bob", b"after")).sequence

    def payloads(self) -> Counter[bytes]:
        """What the server got, and how often."""
        return Counter(message.payload for message in self.server.bodies(P2PMessage))


def run(kind: type[Case], mode: str, at: float | None) -> Sweep:
    world = World(mode.split()[0])
    world.network.conditions = Conditions(latency=LATENCY)
    sweep = Sweep(world, mode, at)

    async def whole() -> None:
        case = kind(world, sweep)
        await case.story()
        await anyio.sleep(60.0)
        assert world.clock.waiting == []

    try:
        world.run(whole)
    except Exception as error:
        error.add_note(f"cancelled at {at}")
        raise
    assert world.server.errors == []  # it saw good frames only
    return sweep


class Connect(Case):
    async def story(self) -> None:
        began = False

        async def connect() -> None:
            nonlocal began
            began = True
            async with self.alice:
                self.sweep.end()
                await self.assert_usable()

        if await self.sweep.run(connect) == "done":
            assert self.alice.status == Ended(reason=EndReason.LOGGED_OUT)
        elif began:
            await self.assert_ended()


class ConnectToTheSecondAddress(Connect):
    options = {"addresses": [("gone", PORT), ("slow", PORT), (HOST, PORT)]}  # noqa: RUF012

    def __init__(self, world: World, sweep: Sweep) -> None:
        super().__init__(world, sweep)
        world.network.refuse("gone", PORT)
        world.network.listen("slow", PORT, world.server)
        world.network.delay("slow", PORT, 30.0)


class _Send(Case):
    """Three payloads, of which the second one is cancelled."""

    async def hinder(self, pipe: FaultyPipe) -> None:
        """Make it slow."""

    def still_waits(self, first_is_done: bool) -> bool:
        """Whether what was cancelled just now cannot have been taken."""
        return False

    async def story(self) -> None:
        async with self.alice as alice:
            await self.hinder(self.world.network.pipe)
            first = self.world.start(alice.send, "bob", b"1" + LARGEST[1:])
            await self.world.settle()
            done = await self.sweep.run(lambda: alice.send("bob", b"2" + LARGEST[1:])) == "done"
            withdrawn = not done and self.still_waits(first.done)
            third = self.world.start(alice.send, "bob", b"3" + LARGEST[1:])
            assert (await first.result()).sequence
            assert (await third.result()).sequence
            await self.assert_usable()
            assert not alice._unsettled
        counts = self.payloads()
        assert [counts.pop(payload) for payload in (b"1" + LARGEST[1:], b"3" + LARGEST[1:], b"after")] == [1, 1, 1]
        assert counts.pop(b"2" + LARGEST[1:], 0) in ([1] if done else [0] if withdrawn else [0, 1])
        assert not counts  # nothing else, and nothing torn


class SendIntoAStalledSocket(_Send):
    async def hinder(self, pipe: FaultyPipe) -> None:
        pipe.up.stall()
        self.world.clock.call_later(RESUME, pipe.up.resume)


class SendIntoASlowSocket(_Send):
    async def hinder(self, pipe: FaultyPipe) -> None:
        pipe.up.capacity = 4096


class SendThatWaitsForRoom(_Send):
    options = {"config": SessionConfig(max_pending=1)}  # noqa: RUF012

    async def hinder(self, pipe: FaultyPipe) -> None:
        self.server.acks = AckRule(delay=0.1)

    def still_waits(self, first_is_done: bool) -> bool:
        return not first_is_done


class SendWithoutALink(_Send):
    async def hinder(self, pipe: FaultyPipe) -> None:
        pipe.cut()
        await anyio.sleep(2 * LATENCY)

    def still_waits(self, first_is_done: bool) -> bool:
        return not self.alice.online

    async def assert_usable(self) -> None:
        self.world.network.pipes.pop(0)
        await super().assert_usable()


class Iterate(Case):
    async def story(self) -> None:
        got: list[bytes] = []

        async def consume() -> None:
            async for message in self.alice:
                got.append(message.payload)
                if len(got) == 5:
                    return

        async with self.alice:
            clock = self.world.clock
            self.server.deliver("alice", b"1", b"2")
            for seconds, payload in ((0.1, b"3"), (0.2, b"4"), (0.2, b"5")):
                clock.call_later(seconds, functools.partial(self.server.deliver, "alice", payload))
            await self.sweep.run(consume)
            with anyio.fail_after(30.0):
                if len(got) < 5:
                    await consume()
            assert got == [b"1", b"2", b"3", b"4", b"5"]
            await self.assert_usable()
        assert self.server.unacknowledged("alice", "pc") == 1  # the last one was not asked beyond


class JoinUnlimited(Case):
    async def story(self) -> None:
        async with self.alice as alice:
            await self.sweep.run(lambda: alice.join_unlimited(9))
            await anyio.sleep(1.0)
            if 9 not in alice.session.joined_groups:
                await alice.join_unlimited(9)
            assert (await alice.send_unlimited(9, b"all")).sequence
            await alice.quit_unlimited(9)
            await self.assert_usable()
        assert [message.payload for message in self.server.bodies(UcMessage)] == [b"all"]


class WaitForRoom(Case):
    options = {"config": SessionConfig(max_pending=1)}  # noqa: RUF012

    async def story(self) -> None:
        async with self.alice as alice:
            self.server.acks = AckRule(delay=0.1)
            alice.send_nowait("bob", b"first")
            other = self.world.start(alice.wait_room)
            await self.sweep.run(alice.wait_room)
            await other.result()
            await self.assert_usable()


class WaitOnline(Case):
    async def story(self) -> None:
        async with self.alice as alice:
            self.world.network.pipe.cut()
            await anyio.sleep(2 * LATENCY)
            other = self.world.start(alice.wait_online)
            await self.sweep.run(alice.wait_online)
            await other.result()
            self.world.network.pipes.pop(0)
            await self.assert_usable()


class Logout(Case):
    async def story(self) -> None:
        async with self.alice as alice:
            waiting = self.world.start(_all_of, alice)
            await anyio.sleep(0.1)
            self.server.acks = AckRule(delay=0.1)
            alice.send_nowait("bob", b"last")
            await self.sweep.run(lambda: alice.logout(drain=5.0))
            if alice.session.ended is None:  # it was cancelled before it began
                await self.assert_usable()
                await alice.logout()
            await self.assert_ended()
            await waiting.result()


async def _all_of(user: Any) -> None:
    async for event in user.events():
        assert event


class LeaveTheBlock(Case):
    async def story(self) -> None:
        verdicts: list[object] = []
        self.alice = self.world.user(on_verdict=verdicts.append)

        async def stay_and_leave() -> None:
            async with self.alice as alice:
                self.server.deliver("alice", b"read", b"not read")
                await anext(alice)
                self.server.acks = AckRule(delay=0.1)
                alice.send_nowait("bob", b"last")
                self.sweep.begin()

        done = await self.sweep.run(stay_and_leave, later=True) == "done"
        assert len(verdicts) == self.sweep.began  # whatever happened to the message, it was told
        assert not done or self.payloads()[b"last"] == 1
        await self.assert_ended()


class TheWholeBlock(Case):
    """What a user runs of its own is cancelled together with the block."""

    async def story(self) -> None:
        entered = False

        async def live() -> None:
            nonlocal entered
            async with self.alice as alice:
                entered = True
                self.world.network.pipe.up.capacity = 4096
                await alice.send("bob", b"1" + LARGEST[1:])
                self.server.deliver("alice", b"for alice")
                await anext(alice)
                await alice.send("bob", b"2" + LARGEST[1:])

        done = await self.sweep.run(live) == "done"
        if entered:
            await self.assert_ended()
        counts = self.payloads()
        counts.pop(b"after", None)
        assert set(counts) <= {b"1" + LARGEST[1:], b"2" + LARGEST[1:]}
        assert set(counts.values()) <= {1}
        assert not done or len(counts) == 2


class LeaveTheBlockOfAHandler(Case):
    async def story(self) -> None:
        handled: list[bytes] = []

        async def on_message(message: Any) -> None:
            await anyio.sleep(0.05)
            handled.append(message.payload)

        self.alice = self.world.user(on_message=on_message)

        async def stay_and_leave() -> None:
            async with self.alice:
                self.server.deliver("alice", b"1", b"2", b"3")
                await anyio.sleep(0.08)
                self.sweep.begin()

        await self.sweep.run(stay_and_leave, later=True)
        await self.assert_ended()
        left = self.server.unacknowledged("alice", "pc")
        assert left >= 3 - len(handled)  # only what was handled is acknowledged


CASES = (
    Connect,
    ConnectToTheSecondAddress,
    SendIntoAStalledSocket,
    SendIntoASlowSocket,
    SendThatWaitsForRoom,
    SendWithoutALink,
    Iterate,
    JoinUnlimited,
    WaitForRoom,
    WaitOnline,
    Logout,
    LeaveTheBlock,
    TheWholeBlock,
    LeaveTheBlockOfAHandler,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_cancelled_anywhere_it_leaves_a_user_who_works_or_has_ended(case: type[Case], mode: str) -> None:
    points = run(case, mode, None).points
    assert len(points) > (0 if mode.endswith("in time") else 1)
    for at in points:
        run(case, mode, at)
