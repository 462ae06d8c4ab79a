"""While one peer attacks, the others are served, and what the attack costs is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest
from mimc_server.frontend import FrontendConfig
from mimc_server.frontend.connection import HIGH_WATER
from mimc_server.service import MessageRefused, ServiceConfig
from mimc_server.store import AckCode
from support.frontends import LOCAL, Address, PipeConnection, Town, contexts, on_pipes, online, online_message, p2p
from support.web_wires import web_wire
from support.wires import TIMEOUT, Wire, wire

from mimc_proto import Framing
from mimc_proto.config import KIB, MIB
from mimc_proto.events import CloseReason
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import PacketAck
from mimc_proto.testing import VirtualClock

pytestmark = pytest.mark.anyio

LONG = "MIMC_EXAMPLES" in os.environ
"""`make prove`."""

GARBAGE = 10_000 if LONG else 2_000
"""Connections that bring nothing but that."""

ROOM = ServiceConfig(max_links=100, account_rate=None)
LIMITS = FrontendConfig(max_of_address=20, max_parked=30)


class Besieged(Town):
    """A service that an enemy knows by one address, and everybody else by another one."""

    def __init__(self, config: ServiceConfig, limits: FrontendConfig) -> None:
        super().__init__(config, limits=limits)
        self.enemys: Address = LOCAL
        self.elsewhere: Address = LOCAL
        self.alice: Wire


@contextlib.asynccontextmanager
async def besieged(
    config: ServiceConfig = ROOM,
    limits: FrontendConfig = LIMITS,
    framing: Framing = Framing.TCP,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Besieged]:
    """With a client from elsewhere, who is online from the beginning."""
    place = Besieged(config, limits)
    try:
        place.enemys = await place.runner.listen(*LOCAL, ssl=tls, framing=framing)
        place.elsewhere = await place.runner.listen("::1", 0)
        async with online(place, place.elsewhere, "alice") as place.alice:
            yield place
    finally:
        await place.runner.close(0.1)


async def served(client: Wire) -> None:
    """Send, and have the acknowledgement as the next thing."""
    packet_id = client.send(p2p("nobody"))
    ack = (await client.packet()).body
    assert isinstance(ack, PacketAck)
    assert (ack.packet_id, ack.code) == (packet_id, 0)


@contextlib.asynccontextmanager
async def crowd(address: Address, count: int) -> AsyncIterator[list[Wire]]:
    """So many connections."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(wire(address)) for _ in range(count)]


@contextlib.contextmanager
def memory(most: int) -> Iterator[None]:
    """What is done needs no more than so many bytes at any time."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < most


# ---------------------------------------------------------------------------------------------------------- handshakes


FRAMINGS = {"TCP": Framing.TCP, "TLS": Framing.TCP, "WebSocket": Framing.WEBSOCKET, "TLS, WebSocket": Framing.WEBSOCKET}
FIRST_BYTES = {"TCP": b"\xc2", "TLS": b"\x16", "WebSocket": b"GET / HTTP/1.1\r\nX: ", "TLS, WebSocket": b"\x16"}


@pytest.mark.parametrize("kind", FRAMINGS)
async def test_who_opens_many_connections_and_is_slow_takes_only_his_own_places(kind: str) -> None:
    framing = Framing.WEBSOCKET if "WebSocket" in kind else Framing.TCP
    tls = contexts()[0] if "TLS" in kind else None
    async with besieged(framing=framing, tls=tls) as place, crowd(place.enemys, 45) as enemies:
        for enemy in enemies:
            enemy.write(b"\x16" if tls is not None else b"GET / HTTP/1.1\r\nX: " if "Web" in kind else b"\xc2")
        admission = place.runner._admission
        async with asyncio.timeout(TIMEOUT):
            while admission.count + len(admission.parking) < 46:
                await asyncio.sleep(0)
        assert admission.count == LIMITS.max_of_address + 1
        for n in range(5):
            await served(place.alice)
            async with online(place, place.elsewhere, f"user{n}") as other:
                await served(other)


async def test_who_waits_for_a_place_is_not_read_and_costs_little() -> None:
    async with besieged() as place, crowd(place.enemys, LIMITS.max_of_address) as first:
        for enemy in first:
            await enemy.conn()
        with memory(2 * MIB):
            async with crowd(place.enemys, 20) as more:
                for enemy in more:
                    enemy.writer.transport.set_write_buffer_limits(high=0)
                    enemy.writer.write(b"x" * MIB)
                    enemy.writer.transport.abort()
                for _ in range(20):
                    await served(place.alice)
        assert place.ends() == []


def test_links_whose_peers_have_vanished_are_given_up_and_those_who_ping_are_not() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        names = [f"user{number}" for number in range(50)]
        gone = [PipeConnection(place, clock) for _ in names]
        alice = PipeConnection(place, clock)
        await alice.login(place.backend.token_answer("alice"), "alice")
        for name, connection in zip(names, gone, strict=True):
            await connection.login(place.backend.token_answer(name), name)
            connection.pipe.drop()
        for _ in range(5):
            await alice.served()
            assert len(place.accounts()) == 51
            await asyncio.sleep(45.0)
        await asyncio.sleep(30.0)
        await alice.served()
        assert place.accounts() == ["alice"]
        assert place.runner.connections == 1
        assert {event.reason for event in place.ends()} == {CloseReason.IDLE_TIMEOUT}

    on_pipes(work)


def test_links_that_never_log_in_are_given_up() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        silent = [PipeConnection(place, clock) for _ in range(50)]
        talking = [PipeConnection(place, clock) for _ in range(50)]
        for connection in talking:
            connection.write(connection.peer.conn())
        await asyncio.sleep(11.0)
        assert [connection.ended is None for connection in silent] == [False] * 50
        assert place.runner.connections == 50
        for _ in range(24):
            await asyncio.sleep(10.0)
            for connection in talking:
                if connection.ended is None:
                    connection.write(EMPTY_FRAME)
        assert place.runner.connections == 0

    on_pipes(work)


# ---------------------------------------------------------------------------------------------------- lies about sizes

GIB = 1 << 30


@pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
async def test_a_length_of_a_gibibyte_is_believed_by_nobody(framing: Framing) -> None:
    async with besieged(framing=framing) as place:
        with memory(2 * MIB):
            for _ in range(10):
                await (lie_on_tcp(place) if framing is Framing.TCP else lie_on_websocket(place))
                await served(place.alice)
        await place.ended(10)


async def lie_on_tcp(place: Besieged) -> None:
    async with wire(place.enemys) as enemy:
        await enemy.conn()
        enemy.write(b"\xc2\xfe\x00\x05" + GIB.to_bytes(4), b"x" * 100_000)
        await enemy.ended()


async def lie_on_websocket(place: Besieged) -> None:
    async with web_wire(place.enemys) as enemy:
        await enemy.conn()
        enemy.raw(b"\x82\xff" + GIB.to_bytes(8) + b"\0\0\0\0" + b"x" * 100_000)
        assert await enemy.close_code() == 1009


async def test_compression_that_nobody_agreed_on_is_not_undone() -> None:
    deflate = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(deflate.compress(bytes(MIB)) for _ in range(3)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 4 * KIB
    async with besieged(framing=Framing.WEBSOCKET) as place:
        with memory(2 * MIB):
            async with web_wire(place.enemys, shake_hands=False) as enemy:
                await enemy.shake_hands(Sec_WebSocket_Extensions="permessage-deflate")
                enemy.raw(b"\xc2\xfe" + len(bomb).to_bytes(2) + b"\0\0\0\0" + bomb)
                assert await enemy.close_code() == 1002
            await served(place.alice)


# --------------------------------------------------------------------------------------------------------------- floods


async def test_who_floods_is_refused_and_the_others_are_not() -> None:
    config = ServiceConfig(max_links=100, account_rate=10, account_burst=50)
    async with besieged(config) as place, online(place, place.enemys, "mallory") as mallory:
        mallory.write(*[mallory.peer.send(p2p("bob"), f"m{n}") for n in range(5000)])
        for _ in range(20):
            await served(place.alice)
        codes = [(await mallory.packet()).body.code for _ in range(5000)]  # type: ignore[union-attr]
        assert codes.count(0) < 100
        assert codes.count(int(AckCode.TOO_MANY)) == 5000 - codes.count(0)
        assert [event for event in place.events if isinstance(event, MessageRefused)]
        assert len(place.backend.store.kept) < 100 + 20


def test_who_floods_without_reading_is_not_read_and_costs_a_bounded_memory() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        mallory, alice = PipeConnection(place, clock), PipeConnection(place, clock)
        await mallory.login(place.backend.token_answer("mallory"), "mallory")
        await alice.login(place.backend.token_answer("alice"), "alice")
        mallory.pipe.client.pause_reading()
        link = place.service._core.links[mallory.connection._link_id]  # type: ignore[index]
        sent = 0
        while mallory.pipe.client.writable:
            mallory.write(mallory.peer.send(p2p("bob"), f"m{sent}"))
            sent += 1
            if sent % 20 == 0:
                await alice.served()
        assert not mallory.connection._writable
        assert mallory.transport.buffered < 4 * HIGH_WATER
        assert link.connection.pending < 5000
        assert len(place.backend.store.kept) < 100
        for _ in range(10):
            await alice.served()
        await asyncio.sleep(61.0)
        assert place.accounts() == ["alice"]

    on_pipes(work, ServiceConfig(account_rate=10, account_burst=50))


# -------------------------------------------------------------------------------------------------------------- garbage


def garbage(rng: Random) -> bytes:
    """What comes to an open port in the internet, and worse."""
    kind = rng.randrange(8)
    if kind == 0:
        return b""
    if kind == 1:
        return b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    if kind == 2:
        return b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(200)
    if kind == 3:
        return rng.randbytes(rng.randrange(2000))
    if kind == 4:
        return EMPTY_FRAME * rng.randrange(1, 50)
    if kind == 5:
        return b"\xc2\xfe\x00\x05" + rng.randbytes(rng.randrange(60))
    if kind == 6:
        return b"SSH-2.0-OpenSSH_9.6\r\n"
    return b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n" + bytes(rng.randrange(5000))


@pytest.mark.parametrize(("kind", "share"), [("TCP", 2), ("TLS", 4), ("WebSocket", 4)])
async def test_garbage_from_thousands_of_connections_leaves_nothing_and_holds_nobody_up(kind: str, share: int) -> None:
    rng, count = Random(7), GARBAGE // share
    framing, tls = FRAMINGS[kind], contexts()[0] if kind == "TLS" else None
    async with besieged(framing=framing, tls=tls) as place:
        await bring_garbage(place, rng, 200)  # what grows once grows now
        with memory((8 if tls is None else 32) * MIB):  # asyncio's TLS has 512 KiB of buffers for each
            await bring_garbage(place, rng, count)
        async with asyncio.timeout(TIMEOUT):
            while place.runner._admission.count > 1:
                await asyncio.sleep(0.01)
        assert place.runner.connections == 1
        assert place.accounts() == ["alice"]
        await served(place.alice)


async def bring_garbage(place: Besieged, rng: Random, count: int) -> None:
    """Some of them go away at once, some are reset, some stay until a few others have come."""
    loop, staying = asyncio.get_running_loop(), list[socket.socket]()
    for n in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        await loop.sock_connect(sock, place.enemys)
        with contextlib.suppress(OSError):
            sock.send(garbage(rng))
        if n % 3 == 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        staying.append(sock)
        for old in itertools.islice(staying, max(0, len(staying) - rng.randrange(10))):
            old.close()
        staying = [old for old in staying if old.fileno() >= 0]
        if n % 50 == 0:
            await served(place.alice)
        place.events.clear()
    for sock in staying:
        sock.close()


async def test_receivers_that_never_read_cost_a_bounded_memory_and_the_sender_goes_on() -> None:
    limits = FrontendConfig(max_of_address=20, write_timeout=0.05)
    async with besieged(limits=limits) as place, contextlib.AsyncExitStack() as stack:
        names = ["bob", "carol"]
        for name in names:
            client = await stack.enter_async_context(online(place, place.enemys, name))
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(TIMEOUT):
            while place.accounts() != ["alice"]:
                for name in names:
                    place.alice.send(online_message(name))
                await served(place.alice)
        assert {event.reason for event in place.ends()} == {CloseReason.SEND_FAILED}
