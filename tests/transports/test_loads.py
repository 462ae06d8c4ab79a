"""Many users in one program, and a flood for one who is slow: on virtual time."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from support.town import losses
from support.virtual_world import World

from mimc_proto import SessionConfig
from mimc_proto.events import PingReceived
from mimc_proto.packets import P2PMessage, Pull, SequenceAck
from mimc_proto.session import LinkLost

LONG = "MIMC_EXAMPLES" in os.environ
"""`make prove`."""

USERS = 1000

FLOOD = 1_000_000 if LONG else 16_000
"""Messages for one who takes one a second."""

IN_A_LIST, IN_AN_ANSWER = 50, 250

PAYLOAD = bytes(100)
CONFIG = SessionConfig(high_messages=100, low_messages=50)
CACHES = 384 * 1024
"""Bytes of what all links of a program share, the scripted server's among them."""

BOUND = CONFIG.high_messages * (len(PAYLOAD) + 1024) + CACHES
"""Bytes, as the documentation says, with all that the network and the server hold."""


class Memory:
    """Bytes that Python's objects take, beyond those at the beginning."""

    def __init__(self) -> None:
        self._at_first = self.most = 0

    def begin(self) -> None:
        gc.collect()
        self._at_first = tracemalloc.get_traced_memory()[0]

    def look(self) -> None:
        self.most = max(self.most, tracemalloc.get_traced_memory()[0] - self._at_first)


@pytest.fixture
def memory() -> Iterator[Memory]:
    tracemalloc.start()
    yield Memory()
    tracemalloc.stop()


# ----------------------------------------------------------------------------------------------------------- many users


def test_a_thousand_users_come_talk_and_go_and_nothing_is_left(async_world: World) -> None:
    before = alive()
    talk_of_many(async_world)
    del async_world
    assert alive() <= before


def talk_of_many(world: World) -> None:
    names = [f"user{number}" for number in range(USERS)]
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
    assert len(world.server.bodies(P2PMessage)) == USERS
    world.clock.run_for(60.0)  # the server hears of the end
    assert world.clock.waiting == []


def alive() -> int:
    """How many objects of ours there are."""
    gc.collect()
    ours = ("mimc_transports", "mimc_proto.session", "mimc_proto.client")
    return sum(str(type(item).__module__).startswith(ours) for item in gc.get_objects())


# -------------------------------------------------------------------------------------------------------------- a flood


def test_a_flood_for_a_slow_consumer_takes_no_more_memory_than_is_said_while_pings_and_sends_work(
    world: World, memory: Memory
) -> None:
    """The server pushes four lists a second whatever happens, and answers PULL with some that nobody has."""
    server = world.server
    unconsumed: set[int] = set()
    taken = pulled = pings = acknowledged = 0
    at = 0.0

    async def consume(alice: Any) -> None:
        nonlocal taken
        async for message in alice:
            taken += 1
            assert message.sequence == taken  # each, once, in order
            await world.sleep(1.0)

    def push(first: int) -> None:
        packets = [server.message("alice", PAYLOAD, sequence=first + number) for number in range(IN_A_LIST)]
        server.link_of("alice").push(*packets)

    async def flood(alice: Any, lost: list[LinkLost]) -> None:
        nonlocal pings, acknowledged, pulled
        for number in range(FLOOD // IN_A_LIST):
            push(number * IN_A_LIST + 1)
            await world.sleep(0.25)
            acknowledged = max([acknowledged, *(ack.sequence for ack in server.bodies(SequenceAck))])
            if server.bodies(Pull):
                pulled += 1
                for begin in range(acknowledged + 1, acknowledged + 1 + IN_AN_ANSWER, IN_A_LIST):
                    push(begin)
            pings += len(server.events(PingReceived))
            server.received.clear()
            unconsumed.add(alice.session.unconsumed)
            memory.look()
        assert lost == []

    async def story() -> None:
        nonlocal at
        user = world.user(config=CONFIG)
        lost = losses(user)
        async with user as alice:
            memory.begin()
            consumer = world.start(consume, alice)
            flooding = world.start(flood, alice, lost)
            sent = 0
            while not flooding.done:
                assert (await alice.send("bob", b"still here")).sequence
                sent += 1
                await world.sleep(20.0)  # longer than from a packet to the next ping
            await flooding.result()
            at = world.clock.now
            assert sent >= FLOOD / IN_A_LIST * 0.25 / 20.0
            assert pings >= sent // 2  # in the others it sent something else
            alice.abort()
            await consumer.result()

    world.run(story)
    assert max(unconsumed) <= CONFIG.high_messages
    assert pulled
    assert memory.most <= BOUND
    assert taken >= at - 1.0  # one a second, without a break
