"""Many users in one program, a flood for a slow one, and links that break at any byte: on virtual time."""

from __future__ import annotations

import gc
import importlib.util
import os
from typing import Any

import anyio
import pytest
from support.town import losses
from support.virtual_world import ADAPTERS, LIBRARIES, World

from mimc_proto import Delivery, SessionConfig
from mimc_proto.events import PingReceived
from mimc_proto.packets import P2PMessage, Pull, SequenceAck
from mimc_proto.session import Message
from mimc_proto.testing import FaultyPipe

LONG = "MIMC_EXAMPLES" in os.environ
"""`make prove`."""

USERS = {"asyncio": 1000, "trio": 1000 if LONG else 200}
"""The clock of the tests is slow with many tasks on trio."""

FLOOD = 1_000_000 if LONG else 20_000
"""Messages for one who takes one a second."""

IN_A_LIST = 50
IN_A_LOGOUT = 3
"""A logout is no more than one in so many bytes of a conversation."""

STEP = 1 if LONG else 7
"""Every so many bytes a link is cut."""


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "trio" and importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


# ----------------------------------------------------------------------------------------------------------- many users


def test_a_thousand_users_come_talk_and_go_and_nothing_is_left(library: str) -> None:
    before = alive()
    talk_of_many(library)
    assert alive() <= before


def talk_of_many(library: str) -> None:
    world = World(library)
    names = [f"user{number}" for number in range(USERS[library])]
    for name in names:
        world.server.add_user(name)

    async def one(name: str, peer: str) -> None:
        async with world.user(name) as user:
            await user.send(peer, b"hi")
            world.server.deliver(name, b"hello", sender=peer)
            async for message in user:
                assert message.payload == b"hello"
                break

    async def story() -> None:
        async with anyio.create_task_group() as group:
            for name, peer in zip(names, reversed(names), strict=True):
                group.start_soon(one, name, peer)

    world.run(story)
    assert len(world.server.bodies(P2PMessage)) == USERS[library]
    world.clock.run_for(60.0)  # the server hears of the end
    assert world.clock.waiting == []


def alive() -> int:
    """How many objects of ours there are."""
    gc.collect()
    ours = ("mimc_transports", "mimc_proto.session", "mimc_proto.client")
    return sum(str(type(item).__module__).startswith(ours) for item in gc.get_objects())


# -------------------------------------------------------------------------------------------------------------- a flood


def test_a_flood_for_a_slow_consumer_stays_within_its_marks_while_pings_and_sends_work(adapter: str) -> None:
    """The server pushes four lists a second whatever happens, and answers PULL with the first that nobody has."""
    world = World(adapter)
    config = SessionConfig(high_messages=200, low_messages=50)
    server = world.server
    worst: dict[str, int] = {"unconsumed": 0, "remembered": 0, "queued": 0}
    taken: list[int] = []
    at = 0.0

    async def consume(alice: Any) -> None:
        async for message in alice:
            taken.append(message.sequence)
            await world.sleep(1.0)

    def push(first: int) -> None:
        packets = [server.message("alice", bytes(100), sequence=first + number) for number in range(IN_A_LIST)]
        server.link_of("alice").push(*packets)

    async def flood(alice: Any) -> None:
        heard = acknowledged = 0
        for number in range(FLOOD // IN_A_LIST):
            push(number * IN_A_LIST + 1)
            await world.sleep(0.25)
            acknowledged = max([acknowledged, *(ack.sequence for ack in server.bodies(SequenceAck))])
            if len(server.bodies(Pull)) > heard:
                push(acknowledged + 1)
            heard = len(server.bodies(Pull))
            worst["unconsumed"] = max(worst["unconsumed"], alice.session.unconsumed)
            worst["remembered"] = max(worst["remembered"], len(alice.session._inbox.seen))
            worst["queued"] = max(worst["queued"], len(alice._inflow._queue))

    async def story() -> None:
        nonlocal at
        user = world.user(config=config)
        lost = losses(user)
        async with user as alice:
            consumer = world.start(consume, alice)
            flooding = world.start(flood, alice)
            acknowledged = pings = 0
            while not flooding.done:
                assert (await alice.send("bob", b"still here")).sequence
                acknowledged += 1
                await world.sleep(20.0)  # longer than from a packet to the next ping
                pings += len(server.events(PingReceived))
                server.received.clear()
            await flooding.result()
            at = world.clock.now
            assert acknowledged >= FLOOD / IN_A_LIST * 0.25 / 20.0
            assert pings >= acknowledged // 2  # in the others it sent something else
            assert lost == []
            alice.abort()
            await consumer.result()

    world.run(story)
    assert worst["unconsumed"] <= 200
    assert worst["queued"] <= 200
    assert worst["remembered"] <= config.max_remembered + IN_A_LIST
    assert taken == list(range(1, len(taken) + 1))
    assert len(taken) >= at - 1.0  # one a second, without a break


# ------------------------------------------------------------------------------------------------- cut at any byte


class Cutting(list[FaultyPipe]):
    """The pipes of a network, of which the first is cut."""

    def __init__(self, direction: str, after_bytes: int) -> None:
        super().__init__()
        self.direction, self.after_bytes = direction, after_bytes

    def append(self, pipe: FaultyPipe) -> None:
        if not self:
            getattr(pipe, self.direction).cut(after_bytes=self.after_bytes)
        super().append(pipe)


def conversation(adapter: str, pipes: list[FaultyPipe]) -> World:
    """A login, a message each way, a group joined, a logout: whatever happens to the first connection."""
    world = World(adapter)
    world.network.pipes = pipes
    config = SessionConfig(delivery=Delivery.AT_LEAST_ONCE, send_timeout=60.0)

    async def story() -> None:
        async with world.user(config=config) as alice:
            assert (await alice.send("bob", b"to bob")).sequence
            world.server.deliver("alice", b"to alice")
            async for message in alice:
                assert isinstance(message, Message)
                assert message.payload == b"to alice"
                break
            await alice.join_unlimited(7)
            world.server.deliver("alice", b"once more")
            async for message in alice:
                assert message.payload == b"once more"
                break

    world.run(story)
    world.clock.run_for(60.0)  # the server hears of the end
    assert world.clock.waiting == []
    assert {body.payload for body in world.server.bodies(P2PMessage)} == {b"to bob"}
    assert world.server.errors == []
    return world


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_link_may_break_at_any_byte_of_a_conversation(adapter: str, direction: str) -> None:
    whole = conversation(adapter, []).network.pipe
    length = getattr(whole, direction).written
    assert length > 500
    cuts = range(0, length, STEP)
    again = [len(conversation(adapter, Cutting(direction, after)).network.pipes) for after in cuts]
    assert set(again) <= {1, 2}
    assert again.count(1) * STEP * IN_A_LOGOUT <= length  # only where the user was leaving
