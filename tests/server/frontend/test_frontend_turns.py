"""What a service wants is done in turns of the loop: bytes, the store, timers, other nodes."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from mimc_server.frontend import ServiceRunner, runner
from mimc_server.router import MemoryRouter
from mimc_server.service import LoggedIn, ServiceConfig
from support.frontends import Town, online, p2p, town
from support.wires import TIMEOUT, wire

from mimc_proto import ServerConfig
from mimc_proto.packets import Kick, PacketAck, PacketList

pytestmark = pytest.mark.anyio


async def test_a_message_is_acknowledged_and_delivered() -> None:
    async with (
        town() as (place, address),
        online(place, address, "alice") as alice,
        online(place, address, "bob") as bob,
    ):
        packet_id = alice.send(p2p("bob"))
        ack, compound = (await alice.packet()).body, (await bob.packet()).body
        assert isinstance(ack, PacketAck)
        assert ack.packet_id == packet_id
        assert isinstance(compound, PacketList)
        assert [packet.packet_id for packet in compound.packets] == [packet_id]


async def test_messages_that_arrive_together_are_committed_together() -> None:
    batches: list[int] = []
    async with (
        town() as (place, address),
        online(place, address, "alice") as alice,
        online(place, address, "bob") as bob,
    ):
        perform = place.backend.store.append

        def append(batch: list[Any], wall_ms: int) -> Any:
            batches.append(len(batch))
            return perform(batch, wall_ms)

        place.backend.store.append = append  # type: ignore[method-assign]  # counts, and does the same
        alice.write(*[alice.peer.send(p2p("bob", b"%d" % n)) for n in range(40)])
        compound = (await bob.packet()).body
        assert isinstance(compound, PacketList)
        assert len(compound.packets) == 40
    assert batches == [40]


async def test_timers_of_the_service_ring() -> None:
    config = ServiceConfig(link=ServerConfig(handshake_timeout=0.01))
    async with town(config) as (place, address), wire(address) as silent:
        await place.ended()
        assert await silent.ended() == b""


async def test_a_deadline_that_moved_earlier_is_kept() -> None:
    config = ServiceConfig(link=ServerConfig(handshake_timeout=0.01), sweep_interval=100.0)
    async with town(config) as (place, address):
        await asyncio.sleep(0)  # the timer is set for the sweep
        async with wire(address):
            await place.ended()


async def test_bytes_that_wait_are_fed_before_a_deadline_that_they_meet() -> None:
    now = 0.0
    async with town(now=lambda: now) as (place, address), wire(address) as client:
        async with asyncio.timeout(TIMEOUT):
            while not place.runner.connections:
                await asyncio.sleep(0)
        now = place.service.config.link.handshake_timeout + 1.0  # the loop was held up,
        client.write(client.peer.conn())  # and bytes came meanwhile
        place.runner._ring()
        await client.read("CONN")
        assert place.events == []


async def test_what_is_left_of_a_long_turn_is_done_in_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_ROUNDS", 1)
    async with town(ServiceConfig(sweep_interval=1000.0)) as (place, address), online(place, address, "alice") as alice:
        alice.send(p2p("bob"))
        assert isinstance((await alice.packet()).body, PacketAck)
        async with online(place, address, "bob") as bob:
            assert isinstance((await bob.packet()).body, PacketList)


async def test_time_is_what_it_is_told() -> None:
    now, wall_ms = 50.0, 1_800_000_000_000
    async with (
        town(now=lambda: now, wall_ms=lambda: wall_ms) as (place, address),
        online(place, address, "alice") as alice,
    ):
        alice.send(p2p("bob"))
        ack = (await alice.packet()).body
        assert isinstance(ack, PacketAck)
        assert ack.sequence == wall_ms * 10_000 + 1


async def test_a_verb_of_the_service_takes_effect_after_wake() -> None:
    async with town() as (place, address), online(place, address, "alice") as alice:
        driver = place.runner
        place.service.kick(alice.peer.uuid, None, "token-expired", driver.now(), driver.wall_ms())
        driver.wake()
        assert Kick.decode((await alice.read("KICK")).payload).reason == "token-expired"


async def test_what_breaks_the_protocol_is_cut_off() -> None:
    async with town() as (place, address), wire(address) as client:
        client.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.ended() == b""
        await place.ended()


async def test_a_connection_that_is_reset_ends_its_session() -> None:
    async with town() as (place, address), online(place, address, "alice") as alice:
        sock = alice.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        alice.writer.transport.abort()
        await place.ended()
        assert place.service.sessions() == []
        assert place.runner.connections == 0


async def test_nodes_on_one_store_deliver_to_each_other() -> None:
    router = MemoryRouter()
    runners: list[ServiceRunner] = []
    place = Town(router=router.join("n1", lambda: runners[0].wake()))
    second = ServiceRunner(
        place.backend.service("n2", None), place.backend.store, router=router.join("n2", lambda: runners[1].wake())
    )
    runners += [place.runner, second]
    here, there = await place.runner.listen("127.0.0.1", 0), await second.listen("127.0.0.1", 0)
    async with online(place, here, "alice") as alice, online(place, there, "bob") as bob:
        alice.send(p2p("bob"))
        assert isinstance((await bob.packet()).body, PacketList)
    for one in runners:
        await one.close()


async def test_what_was_logged_is_what_happened() -> None:
    async with town() as (place, address), online(place, address, "alice"):
        [event] = [event for event in place.events if isinstance(event, LoggedIn)]
        assert event.account == "alice"
