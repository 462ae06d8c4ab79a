"""The store on a thread: commits that are shared, answers that wait for them, failures that cost nobody an answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest
from mimc_server.service import StoreFailed
from mimc_server.store import (
    MemoryStore,
    StoreError,
)
from support.disks import Disk
from support.frontends import Address, Town, online, p2p, payloads, town
from support.wires import TIMEOUT, Wire

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import PacketAck

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def threaded(disk: Disk) -> AsyncIterator[tuple[Town, Address]]:
    async with town(store=disk, threaded=True) as (place, address):
        try:
            yield place, address
        finally:
            disk.go_on()


async def pong(client: Wire) -> None:
    """Ping, and have the answer as the next thing."""
    client.write(client.peer.command("PING"))
    assert await client.frame() == EMPTY_FRAME


async def ack(client: Wire) -> PacketAck:
    """The next packet is one."""
    packet = await client.packet()
    assert isinstance(packet.body, PacketAck)
    return packet.body


async def test_a_message_is_acknowledged_and_delivered(disk: Disk) -> None:
    async with (
        threaded(disk) as (place, here),
        online(place, here, "alice") as alice,
        online(place, here, "bob") as bob,
    ):
        packet_id = alice.send(p2p("bob"))
        assert (await ack(alice)).packet_id == packet_id
        assert payloads((await bob.packet()).body) == [b"hi"]


async def test_a_message_is_acknowledged_when_it_is_committed_and_pings_meanwhile(disk: Disk) -> None:
    async with (
        threaded(disk) as (place, here),
        online(place, here, "alice") as alice,
        online(place, here, "bob") as bob,
    ):
        disk.stop()
        alice.send(p2p("bob"))
        await disk.waits()
        for client in (alice, bob, alice):
            await pong(client)
        disk.go_on()
        assert (await ack(alice)).code == 0
        assert payloads((await bob.packet()).body) == [b"hi"]


async def test_what_is_asked_while_a_commit_runs_has_one_commit_together(disk: Disk) -> None:
    names = [f"user{number}" for number in range(20)]
    async with threaded(disk) as (place, here), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(online(place, here, name)) for name in names]
        before = disk.commits
        disk.stop()
        clients[0].send(p2p("bob"))
        await disk.waits()
        for client in clients:
            client.send(p2p("bob"))
            await pong(client)
        disk.go_on()
        for client in clients:
            assert (await ack(client)).code == 0
        assert (await ack(clients[0])).code == 0
        assert disk.commits == before + 2


async def test_a_commit_that_fails_is_tried_again_for_each_by_itself(disk: Disk) -> None:
    async with threaded(disk) as (place, here), contextlib.AsyncExitStack() as stack:
        alice, bob, carol = [
            await stack.enter_async_context(online(place, here, name)) for name in ("alice", "bob", "carol")
        ]
        bob.send(p2p("alice"))
        await ack(bob)
        await alice.messages()
        disk.stop()
        bob.send(p2p("carol", b"first"))
        await disk.waits()
        carol.send(p2p("alice", b"second"))  # a message and an acknowledgement are two requests
        alice.acknowledge()
        for client in (carol, alice):
            await pong(client)
        disk.failures += [None, StoreError("the disk is full")]
        disk.go_on()
        assert (await ack(bob)).code == 0
        await carol.messages()
        assert (await ack(carol)).code == 0
        assert [packet.body.payload for packet in await alice.messages()] == [b"second"]  # type: ignore[union-attr]
        assert not disk.failures
        assert not [event for event in place.events if isinstance(event, StoreFailed)]


async def test_a_medium_that_fails_is_told_to_those_who_sent_and_the_next_message_is_stored(disk: Disk) -> None:
    async with threaded(disk) as (place, here), online(place, here, "alice") as alice:
        disk.failures.append(StoreError("the disk is full"))
        alice.send(p2p("bob"))
        assert (await ack(alice)).code == 500
        assert [event.what for event in place.events if isinstance(event, StoreFailed)] == ["storing messages"]
        alice.send(p2p("bob"))
        assert (await ack(alice)).code == 0


async def test_the_end_waits_for_what_was_accepted_and_tells_it(disk: Disk) -> None:
    place = Town(store=disk, threaded=True)
    here = await place.runner.listen("127.0.0.1", 0)
    async with online(place, here, "alice") as alice:
        disk.stop()
        for n in range(3):
            alice.send(p2p("bob", b"%d" % n))
            await pong(alice)
        await disk.waits()
        ending = asyncio.ensure_future(place.runner.close(TIMEOUT))
        await asyncio.sleep(0)
        disk.go_on()
        assert [(await ack(alice)).code for _ in range(3)] == [0, 0, 0]
        assert await alice.ended() == b""
        await ending
    assert disk.statistics().messages == 3


async def test_the_end_does_not_wait_for_the_store_before_it_cuts_connections(disk: Disk) -> None:
    place = Town(store=disk, threaded=True)
    here = await place.runner.listen("127.0.0.1", 0)
    async with online(place, here, "alice") as alice:
        disk.stop()
        alice.send(p2p("bob"))
        await disk.waits()
        ending = asyncio.ensure_future(place.runner.close(0.01))
        assert await alice.ended() == b""
        assert not ending.done()
        disk.go_on()
        await ending
    assert disk.statistics().messages == 1


async def test_the_thread_has_ended_when_the_runner_is_closed(disk: Disk) -> None:
    async with threaded(disk):
        assert [thread for thread in threading.enumerate() if thread.name.startswith("mimc-store")]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mimc-store")]


# ------------------------------------------------------------------------------------------------------------- perform


@pytest.fixture(params=["here", "on a thread"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Town, Address]]:
    async with town(store=MemoryStore(), threaded=request.param == "on a thread") as found:
        yield found


async def test_work_with_the_store_gives_what_it_returns(place: tuple[Town, Address]) -> None:
    assert await place[0].runner.perform(lambda: 42) == 42


@pytest.mark.parametrize("error", [StoreError("no"), KeyError("no"), StopIteration(), asyncio.CancelledError()])
async def test_work_that_fails_raises_where_it_is_awaited(place: tuple[Town, Address], error: BaseException) -> None:
    def fails() -> None:
        raise error

    with pytest.raises((type(error), RuntimeError)):
        await place[0].runner.perform(fails)
    assert await place[0].runner.perform(lambda: "good") == "good"


async def test_works_are_done_in_the_order_of_the_calls(place: tuple[Town, Address]) -> None:
    done: list[int] = []
    await asyncio.gather(*(place[0].runner.perform(lambda n=n: done.append(n)) for n in range(50)))  # type: ignore[misc]
    assert done == list(range(50))


async def test_work_sees_what_the_service_has_stored_before(place: tuple[Town, Address]) -> None:
    town, here = place
    store = town.backend.store
    async with online(town, here, "alice") as alice:
        for n in range(1, 4):
            alice.send(p2p("bob"))
            while (count := await town.runner.perform(store.statistics)).messages < n:
                pass
            await ack(alice)
            assert count.messages == n


async def test_work_whose_caller_is_cancelled_before_its_turn_is_not_done(place: tuple[Town, Address]) -> None:
    done: list[str] = []
    runner = place[0].runner
    first, second = (
        asyncio.ensure_future(runner.perform(lambda name=name: done.append(name)))  # type: ignore[misc]
        for name in ("first", "second")
    )
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert done == ["second"]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_work_under_way_is_finished_also_when_its_caller_is_cancelled(disk: Disk) -> None:
    began, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        assert go_on.wait(TIMEOUT)
        done.set()

    async with threaded(disk) as (place, _):
        performing = asyncio.ensure_future(place.runner.perform(work))
        assert await asyncio.to_thread(began.wait, TIMEOUT)
        performing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await performing
        go_on.set()
        assert await place.runner.perform(done.is_set)


async def test_after_the_end_nothing_is_performed(place: tuple[Town, Address]) -> None:
    runner = place[0].runner
    await runner.close()
    with pytest.raises(StoreError, match="this one is closed"):
        await runner.perform(lambda: 42)
    place[0].service.kick(1, None, "token-expired", runner.now(), runner.wall_ms())
    runner.wake()
    await asyncio.sleep(0)
