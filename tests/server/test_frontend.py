"""The driver of the service: real connections on the loopback, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mimc_server import frontend
from mimc_server.frontend import ServiceRunner, unix_ms
from mimc_server.router import MemoryRouter
from mimc_server.service import LinkEnded, LoggedIn, ServiceConfig, ServiceEvent
from mimc_server.testing.backend import Backend
from support.wires import TIMEOUT, Wire, wire

from mimc_proto import ServerConfig
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Kick, OnlineMessage, P2PMessage, PacketAck, PacketList, User

pytestmark = pytest.mark.anyio
PAYLOAD = b"x" * 15_000
PEM = Path(__file__).parents[1] / "transports" / "loopback.pem"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


class Town:
    """A service that runs, and what it told."""

    def __init__(self, config: ServiceConfig | None = None, **options: Any) -> None:
        self.events: list[ServiceEvent] = []
        self.backend = Backend(options.get("wall_ms", unix_ms), Random(1))
        self.changed = asyncio.Event()
        self.service = self.backend.service("n1", config)
        self.runner = ServiceRunner(self.service, self.backend.store, on_event=self._tell, **options)

    def _tell(self, event: ServiceEvent) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, done: Callable[[], object]) -> None:
        """Wait for an event after which something holds."""
        async with asyncio.timeout(TIMEOUT):
            while not done():
                self.changed.clear()
                await self.changed.wait()

    async def ended(self) -> None:
        """Wait until a link has ended."""
        await self.until(lambda: any(isinstance(event, LinkEnded) for event in self.events))


@contextlib.asynccontextmanager
async def town(config: ServiceConfig | None = None, **options: Any) -> AsyncIterator[tuple[Town, tuple[str, int]]]:
    """A service at an address."""
    place = Town(config, **options)
    address = await place.runner.listen("127.0.0.1", 0)
    try:
        yield place, address
    finally:
        await place.runner.close()


@contextlib.asynccontextmanager
async def online(place: Town, address: tuple[str, int], account: str) -> AsyncIterator[Wire]:
    async with wire(address) as client:
        answer = await client.login(place.backend.token_answer(account))
        assert answer.result
        yield client


def p2p(to: str, payload: bytes = b"hi") -> P2PMessage:
    return P2PMessage(recipient=User(account=to), payload=payload, is_store=True)


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


async def test_small_frames_are_not_held_back_by_the_system() -> None:
    async with town() as (place, address), wire(address) as client:
        await client.conn()
        [connection] = place.runner._connections.values()
        sock = connection._transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_the_service_is_told_who_the_peer_is() -> None:
    async with town() as (place, address), online(place, address, "alice"):
        assert [session.peer for session in place.service.sessions()] == ["127.0.0.1"]


async def test_it_listens_at_as_many_addresses_as_it_is_told() -> None:
    async with town() as (place, first):
        second = await place.runner.listen("127.0.0.1", 0)
        assert first != second
        async with online(place, first, "alice") as alice, online(place, second, "bob") as bob:
            alice.send(p2p("bob"))
            assert isinstance((await bob.packet()).body, PacketList)


async def test_an_address_that_is_taken_is_an_error() -> None:
    async with town() as (place, address):
        with pytest.raises(OSError, match="ddress already in use"):
            await place.runner.listen(*address)


async def test_ipv6_is_listened_to_as_well() -> None:
    async with town() as (place, _):
        address = await place.runner.listen("::1", 0)
        async with online(place, address, "alice"):
            assert [session.peer for session in place.service.sessions()] == ["::1"]


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
        runner = place.runner
        place.service.kick(alice.peer.uuid, None, "token-expired", runner.now(), runner.wall_ms())
        runner.wake()
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


# --------------------------------------------------------------------------------------------------------- pressure


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


async def flood(place: Town, alice: Wire, bob: Wire) -> Any:
    """Have Alice send to Bob, who does not read, until the service cannot write to him; his connection."""
    bob.reader._transport.pause_reading()  # type: ignore[attr-defined]
    [link_id] = [session.link_id for session in place.service.sessions() if session.account == "bob"]
    connection = place.runner._connections[link_id]
    for _ in range(5000):
        if not connection._writable:
            return connection
        alice.send(OnlineMessage(recipient=User(account="bob"), payload=PAYLOAD))
        await asyncio.sleep(0)
    raise AssertionError("the service can write for ever")


async def test_who_does_not_read_is_not_written_to_and_not_read_until_he_does() -> None:
    async with (
        town() as (place, address),
        online(place, address, "alice") as alice,
        online(place, address, "bob") as bob,
    ):
        await flood(place, alice, bob)
        bob.write(bob.peer.command("PING"))
        bob.reader._transport.resume_reading()  # type: ignore[attr-defined]
        while (frame := await bob.frame()) != EMPTY_FRAME:
            assert bob.peer.read_packet(frame).body.payload == PAYLOAD  # type: ignore[union-attr]


async def test_with_no_room_for_links_connections_wait_and_none_is_turned_away() -> None:
    async with (
        town(ServiceConfig(max_links=1)) as (place, address),
        online(place, address, "alice") as alice,
        wire(address) as second,
    ):
        second.write(second.peer.conn())
        async with wire(address):
            pass
        assert place.runner.connections == 1
        second_is_answered = asyncio.ensure_future(second.frame())
        alice.writer.close()
        assert await second_is_answered


async def test_while_the_system_cannot_accept_it_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontend, "ACCEPT_PAUSE", 0.0)
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, [OSError("too many open files")] * 3

    class Loop:
        """The loop, but at times without file descriptors."""

        async def sock_accept(self, sock: socket.socket) -> Any:
            if failures:
                raise failures.pop()
            return await accept(sock)

        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

    async with town() as (place, _):
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "get_running_loop", Loop)
            address = await place.runner.listen("127.0.0.1", 0)
        async with online(place, address, "alice"):
            assert not failures


# ------------------------------------------------------------------------------------------------------------------ TLS


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's, and that of a client who trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(PEM)
    return server, ssl.create_default_context(cafile=str(PEM))


async def test_tls_is_spoken_where_a_context_is_given() -> None:
    server, trusting = contexts()
    async with town() as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with wire(address, trusting) as client:
            assert (await client.login(place.backend.token_answer("alice"))).result


async def test_who_speaks_no_tls_is_cut_off_and_the_next_one_is_not() -> None:
    server, trusting = contexts()
    async with town() as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with wire(address) as client:
            client.write(client.peer.conn())
            await client.ended()
        async with wire(address, trusting) as client:
            assert (await client.login(place.backend.token_answer("alice"))).result


async def test_of_two_handshakes_for_one_place_one_is_cut_off() -> None:
    server, trusting = contexts()
    place = Town(ServiceConfig(max_links=1))
    address = await place.runner.listen("127.0.0.1", 0, ssl=server)
    connecting = [asyncio.ensure_future(asyncio.open_connection(*address, ssl=trusting)) for _ in range(2)]
    async with asyncio.timeout(TIMEOUT):
        streams = [await connection for connection in connecting]
        ends = [asyncio.ensure_future(reader.read()) for reader, _ in streams]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), place.runner.connections) == (1, 1)
        await place.runner.close()
        await asyncio.gather(*ends, return_exceptions=True)
    for _, writer in streams:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_handshake_under_way_does_not_hold_up_the_end() -> None:
    server, _ = contexts()
    place = Town()
    address = await place.runner.listen("127.0.0.1", 0, ssl=server)
    async with wire(address) as silent:
        [listener] = place.runner._listeners
        async with asyncio.timeout(TIMEOUT):
            while not listener._handshakes:
                await asyncio.sleep(0)
            await place.runner.close()
        assert await silent.ended() == b""


# ------------------------------------------------------------------------------------------------------- nodes, the end


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
    for runner in runners:
        await runner.close()


async def test_the_end_lets_everything_out_and_tells_the_store() -> None:
    place = Town()
    address = await place.runner.listen("127.0.0.1", 0)
    async with online(place, address, "alice") as alice:
        runner = place.runner
        place.service.kick(alice.peer.uuid, None, "token-expired", runner.now(), runner.wall_ms())
        await runner.close()
        await alice.read("KICK")
        assert await alice.ended() == b""
    assert place.service.sessions() == []
    assert place.service.store_requests() == []
    assert place.service.events() == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


async def test_the_end_does_not_wait_for_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontend, "LINGER", 0.01)
    place = Town()
    address = await place.runner.listen("127.0.0.1", 0)
    async with online(place, address, "alice") as alice, online(place, address, "bob") as bob:
        await flood(place, alice, bob)
        async with asyncio.timeout(TIMEOUT):
            await place.runner.close(timeout=0.01)
        assert place.runner.connections == 0


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


async def test_what_was_logged_is_what_happened() -> None:
    async with town() as (place, address), online(place, address, "alice"):
        [event] = [event for event in place.events if isinstance(event, LoggedIn)]
        assert event.account == "alice"
