"""Peers that do not read: they get no more, are not read, and at last are cut."""

from __future__ import annotations

import asyncio

import pytest
from mimc_server.frontend import FrontendConfig
from mimc_server.frontend.connection import LINGER
from support.frontends import (
    PAYLOAD,
    Deaf,
    PipeConnection,
    Town,
    broken,
    flood,
    on_pipes,
    online,
    online_message,
    p2p,
    town,
    with_deaf,
)
from support.wires import TIMEOUT, Wire, wire

from mimc_proto.config import KIB
from mimc_proto.events import CloseReason
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import P2PMessage
from mimc_proto.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def test_who_does_not_read_gets_no_more_than_the_window_and_loses_nothing() -> None:
    payload, count = PAYLOAD, 60
    async with town() as (place, address), online(place, address, "alice") as alice:
        async with wire(address) as bob:
            assert (await bob.login(place.backend.token_answer("bob"))).result
            bob.reader._transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(count):
                alice.send(p2p("bob", payload))
                await alice.packet()
            [session] = [session for session in place.service.sessions() if session.account == "bob"]
            assert session.waiting * len(payload) <= 256 * 1024
        async with online(place, address, "bob") as bob:
            got = await received(bob, count)
        assert got == [payload] * count


async def received(client: Wire, count: int) -> list[bytes]:
    """So many payloads, acknowledged as they come."""
    payloads: list[bytes] = []
    while len(payloads) < count:
        payloads += [packet.body.payload for packet in await client.messages() if isinstance(packet.body, P2PMessage)]
        client.acknowledge()
    return payloads


async def test_who_does_not_read_is_not_written_to_and_not_read_until_he_does() -> None:
    async with (
        town() as (place, address),
        online(place, address, "alice") as alice,
        online(place, address, "bob") as bob,
    ):
        connection = await flood(place, alice, bob)
        assert not connection._transport.is_reading()  # type: ignore[union-attr]
        bob.write(bob.peer.command("PING"))
        bob.reader._transport.resume_reading()  # type: ignore[attr-defined]
        while (frame := await bob.frame()) != EMPTY_FRAME:
            assert bob.peer.read_packet(frame).body.payload == PAYLOAD  # type: ignore[union-attr]
        assert connection._transport.is_reading()  # type: ignore[union-attr]


async def test_when_a_peer_reads_on_the_service_is_looked_after_for_there_is_room_again() -> None:
    async with (
        town() as (place, address),
        online(place, address, "alice") as alice,
        online(place, address, "bob") as bob,
    ):
        connection, due = await flood(place, alice, bob), asyncio.get_running_loop().create_future()

        def resume() -> None:
            resumed()
            if not due.done():
                due.set_result(place.runner._turn_due)

        resumed, connection._resume = connection._resume, resume  # type: ignore[method-assign]
        bob.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert await due


async def test_a_link_that_is_to_close_does_so_when_its_peer_reads_on() -> None:
    async with (
        town() as (place, address),
        online(place, address, "alice") as alice,
        online(place, address, "bob") as bob,
    ):
        connection = await flood(place, alice, bob)
        connection.close(TIMEOUT)
        bob.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert await bob.ended()


def test_a_link_whose_peer_does_not_read_is_cut_after_its_time_and_what_the_system_gets() -> None:
    async def work(place: Town, transport: Deaf) -> None:
        close_at = broken(place, transport)
        assert await transport.cut == pytest.approx(close_at + LINGER)

    with_deaf(work)


# --------------------------------------------------------------------------------------------------- the write deadline


async def stuffed(alice: PipeConnection, bob: PipeConnection) -> None:
    """Have Alice send to Bob, who does not read, until the service cannot write to him."""
    bob.pipe.client.pause_reading()
    for _ in range(1000):
        if not bob.connection._writable:
            return
        alice.write(alice.peer.send(online_message("bob"), alice.peer.next_id()))
        await asyncio.sleep(0)
    raise AssertionError("the service can write for ever")


async def two(place: Town, clock: VirtualClock) -> tuple[PipeConnection, PipeConnection]:
    """Alice and Bob, online."""
    alice, bob = PipeConnection(place, clock), PipeConnection(place, clock)
    await alice.login(place.backend.token_answer("alice"), "alice")
    await bob.login(place.backend.token_answer("bob"), "bob")
    return alice, bob


def test_who_reads_nothing_is_cut_after_the_write_timeout_and_not_before() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        alice, bob = await two(place, clock)
        await stuffed(alice, bob)
        await asyncio.sleep(19.0)
        assert place.accounts() == ["alice", "bob"]
        await asyncio.sleep(2.0)
        assert place.accounts() == ["alice"]
        assert place.runner.connections == 1
        assert [event.reason for event in place.ends()] == [CloseReason.SEND_FAILED]
        await alice.served()

    on_pipes(work, limits=FrontendConfig(write_timeout=20.0))


def test_who_reads_on_in_time_stays_and_has_the_whole_time_again() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        alice, bob = await two(place, clock)
        for _ in range(3):
            await stuffed(alice, bob)
            await asyncio.sleep(19.0)
            bob.pipe.client.resume_reading()
            await asyncio.sleep(1.0)
            assert bob.connection._writable
            bob.got.clear()
        await bob.served()
        assert place.ends() == []

    on_pipes(work, limits=FrontendConfig(write_timeout=20.0))


def test_what_waits_for_who_reads_nothing_is_bounded_and_nobody_else_waits_for_him() -> None:
    """Messages that nobody stores, which only the link's own limits bound."""

    async def work(place: Town, clock: VirtualClock) -> None:
        alice, bob = await two(place, clock)
        await stuffed(alice, bob)
        before = bob.transport.buffered
        link = place.service._core.links[bob.connection._link_id]  # type: ignore[index]
        for n in range(1000):
            alice.write(alice.peer.send(online_message("bob"), alice.peer.next_id()))
            if n % 3 == 0:
                await alice.served()
        await alice.served()
        assert bob.transport.buffered == before < 256 * KIB
        assert link.connection._queue_size <= place.service.config.link.max_pending_bytes
        await asyncio.sleep(70.0)
        assert place.accounts() == ["alice"]
        assert place.runner._connections == {alice.connection: None}

    on_pipes(work)


# ---------------------------------------------------------------------------------------------------- many small frames


def test_the_smallest_frames_of_one_peer_are_taken_in_by_slices_between_which_others_are_served() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        alice, bob = await two(place, clock)
        pings = EMPTY_FRAME * 20_000
        connection, taken = bob.connection, list[int]()
        take = connection._take

        def counted(data: bytes) -> None:
            taken.append(len(data))
            take(data)

        connection._take = counted  # type: ignore[method-assign]  # counts, and does the same
        connection.data_received(pings)
        assert sum(taken) == connection.slice
        connection.data_received(bob.peer.command("PING"))  # TLS may have some more
        await alice.served()
        await asyncio.sleep(1.0)
        assert max(taken) == connection.slice
        assert sum(taken) == len(pings) + len(bob.peer.command("PING"))
        bob.got.clear()
        await bob.served()

    on_pipes(work)


def test_slices_of_a_connection_that_was_lost_are_dropped() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        alice, bob = await two(place, clock)
        bob.connection.data_received(EMPTY_FRAME * 20_000)
        bob.transport.abort()
        await asyncio.sleep(1.0)
        assert place.accounts() == ["alice"]
        await alice.served()

    on_pipes(work)


def test_slices_wait_while_their_sender_does_not_read() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        alice, bob = await two(place, clock)
        await stuffed(alice, bob)
        bob.connection.data_received(EMPTY_FRAME * 20_000)
        await asyncio.sleep(1.0)
        assert len(bob.connection._unread) == 20_000 * len(EMPTY_FRAME)
        bob.pipe.client.resume_reading()
        await asyncio.sleep(1.0)
        assert bob.connection._unread == b""
        bob.got.clear()
        await bob.served()

    on_pipes(work)


async def test_a_transport_that_has_failed_already_hurts_nobody() -> None:
    """uvloop's raises when it has failed and has not told so yet; and this is a turn of all connections."""

    class Failed(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async with town() as (place, address), online(place, address, "alice") as alice, wire(address) as bob:
        assert (await bob.login(place.backend.token_answer("bob"))).result
        [_, connection] = place.runner._connections
        transport, connection._transport = connection._transport, Failed()
        alice.send(p2p("bob", b"hi"))
        await alice.packet()
        connection._transport = transport
