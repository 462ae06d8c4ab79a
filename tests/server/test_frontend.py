"""The driver of the service: real connections on the loopback, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from mimc_server import frontend
from mimc_server.frontend import ServiceRunner, unix_ms
from mimc_server.router import MemoryRouter
from mimc_server.service import LinkEnded, LoggedIn, ServiceConfig, ServiceEvent
from mimc_server.testing.backend import Backend
from support.virtual_loop import run
from support.wires import TIMEOUT, Wire, wire

from mimc_proto import ServerConfig
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Kick, OnlineMessage, P2PMessage, PacketAck, PacketList, User
from mimc_proto.testing import Network, VirtualClock

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
    monkeypatch.setattr(frontend, "MOST_ROUNDS", 1)
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
        connection = await flood(place, alice, bob)
        assert not connection._transport.is_reading()
        bob.write(bob.peer.command("PING"))
        bob.reader._transport.resume_reading()  # type: ignore[attr-defined]
        while (frame := await bob.frame()) != EMPTY_FRAME:
            assert bob.peer.read_packet(frame).body.payload == PAYLOAD  # type: ignore[union-attr]
        assert connection._transport.is_reading()


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


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Awaitable[None]]:
    """Waits until so many connections were accepted, whether there was a place for them or not."""
    count, reserve = 0, ServiceRunner.reserve

    async def counted(self: ServiceRunner) -> None:
        nonlocal count
        count += 1
        await reserve(self)

    async def until(most: int) -> None:
        async with asyncio.timeout(TIMEOUT):
            while count < most:
                await asyncio.sleep(0)

    monkeypatch.setattr(ServiceRunner, "reserve", counted)
    return until


async def test_one_place_that_gets_free_is_not_given_to_two_listeners(
    accepted: Callable[[int], Awaitable[None]],
) -> None:
    async with town(ServiceConfig(max_links=1)) as (place, here), contextlib.AsyncExitStack() as stack:
        there = await place.runner.listen("127.0.0.1", 0)
        alice = await stack.enter_async_context(online(place, here, "alice"))
        waiting = [await stack.enter_async_context(wire(address)) for address in (here, there)]
        await accepted(3)
        for client in waiting:
            client.write(client.peer.conn())
        answers = [asyncio.ensure_future(client.frame()) for client in waiting]
        alice.writer.close()
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert [answer.done() for answer in answers].count(True) == 1
        waiting[[answer.done() for answer in answers].index(True)].writer.close()
        assert all(await asyncio.gather(*answers))


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


async def handshaking(place: Town, count: int) -> None:
    """Wait until so many handshakes are under way."""
    while sum(len(listener._handshakes) for listener in place.runner._listeners) < count:
        await asyncio.sleep(0)


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


async def test_a_handshake_begins_only_when_there_is_a_place_for_its_link() -> None:
    server, trusting = contexts()
    async with town(ServiceConfig(max_links=1)) as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with asyncio.timeout(TIMEOUT):
            connecting = [asyncio.ensure_future(asyncio.open_connection(*address, ssl=trusting)) for _ in range(2)]
            done, pending = await asyncio.wait(connecting, return_when=asyncio.FIRST_COMPLETED)
            assert (len(done), place.runner.connections) == (1, 1)
            for opened in (done, pending):
                for connection in opened:
                    _, writer = await connection
                    writer.close()
                    await writer.wait_closed()


async def test_a_place_that_another_driver_of_the_service_took_meanwhile_is_not_there() -> None:
    server, trusting = contexts()
    async with town(ServiceConfig(max_links=1)) as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        sock = socket.create_connection(address)
        async with asyncio.timeout(TIMEOUT):
            await handshaking(place, 1)
            link_id = place.service.link_opened(place.runner.now())
            reader, writer = await asyncio.open_connection(sock=sock, ssl=trusting, server_hostname="127.0.0.1")
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        place.service.link_lost(link_id, place.runner.now(), unix_ms())


async def test_places_that_another_driver_took_are_not_there(accepted: Callable[[int], Awaitable[None]]) -> None:
    async with town(ServiceConfig(max_links=2)) as (place, address), online(place, address, "alice") as alice:
        place.service.link_opened(place.runner.now())
        async with wire(address) as client:
            client.write(client.peer.conn())
            await accepted(2)
            await asyncio.sleep(0)
            assert place.runner.connections == 1
            answer = asyncio.ensure_future(client.frame())
            alice.writer.close()
            assert await answer


async def test_a_handshake_that_fails_leaves_its_place_to_who_waits(
    accepted: Callable[[int], Awaitable[None]],
) -> None:
    server, trusting = contexts()
    async with town(ServiceConfig(max_links=1)) as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with asyncio.timeout(TIMEOUT):
            async with wire(address):
                await handshaking(place, 1)
                connecting = asyncio.ensure_future(asyncio.open_connection(*address, ssl=trusting))
                await accepted(2)
            _, writer = await connecting
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_handshake_that_is_over_makes_way_for_the_next_one(
    monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    monkeypatch.setattr(frontend, "MOST_HANDSHAKES", 1)
    server, trusting = contexts() if encrypted else (None, None)
    async with town() as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        for _ in range(3):
            async with wire(address, trusting) as client:
                await client.conn()


async def test_a_handshake_that_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontend, "HANDSHAKE_TIMEOUT", 0.01)
    server, _ = contexts()
    async with town() as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with wire(address) as silent:
            assert await silent.ended() == b""


async def test_a_handshake_under_way_does_not_hold_up_the_end() -> None:
    server, _ = contexts()
    place = Town()
    address = await place.runner.listen("127.0.0.1", 0, ssl=server)
    async with wire(address) as silent:
        async with asyncio.timeout(TIMEOUT):
            await handshaking(place, 1)
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


async def test_the_end_does_not_wait_for_who_does_not_read() -> None:
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


class Deaf(asyncio.Transport):
    """A connection whose peer reads nothing: with bytes in its buffer it does not close, it has to be cut."""

    protocol: frontend._Connection

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.cut: asyncio.Future[float] = self.loop.create_future()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: object) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        assert not self.cut.done(), "it was cut already"
        self.cut.set_result(self.loop.time())
        self.loop.call_soon(self.protocol.connection_lost, None)


def with_deaf(work: Callable[[Town, Deaf], Coroutine[Any, Any, None]]) -> None:
    """Do something with a service and a connection whose peer does not read, on virtual time."""

    async def run_it() -> None:
        place, transport = Town(wall_ms=lambda: 1_800_000_000_000), Deaf()
        transport.protocol = frontend._Connection(place.runner, "a peer")
        transport.protocol.connection_made(transport)
        errors: list[Any] = []
        transport.loop.set_exception_handler(lambda _, context: errors.append(context))
        await work(place, transport)
        await asyncio.sleep(3600.0)  # virtual: nothing that was planned comes after it
        assert errors == []
        await place.runner.close()

    clock = VirtualClock()
    run(clock, Network(clock), run_it())


def broken(place: Town, transport: Deaf) -> float:
    """Have the peer break the protocol; when its link is to be closed."""
    transport.protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    link_id = transport.protocol._link_id
    assert link_id is not None
    close_at = place.service.close_expected(link_id)
    assert close_at is not None
    return close_at


def test_a_link_whose_peer_does_not_read_is_cut_after_its_time_and_what_the_system_gets() -> None:
    async def work(place: Town, transport: Deaf) -> None:
        close_at = broken(place, transport)
        assert await transport.cut == pytest.approx(close_at + frontend.LINGER)

    with_deaf(work)


@pytest.mark.parametrize("timeout", [0.0, 0.25, 3.0])
def test_at_the_end_a_connection_is_cut_after_the_timeout_and_no_later(timeout: float) -> None:
    async def work(place: Town, transport: Deaf) -> None:
        asked = place.runner.now()
        await place.runner.close(timeout)
        assert await transport.cut == pytest.approx(asked + timeout)

    with_deaf(work)


def test_at_the_end_a_link_that_is_to_close_anyway_has_the_time_that_ends_first() -> None:
    async def work_short(place: Town, transport: Deaf) -> None:
        close_at = broken(place, transport)
        await asyncio.sleep(0)
        asked, left = place.runner.now(), close_at - place.runner.now() + frontend.LINGER
        await place.runner.close(left / 2)
        assert await transport.cut == pytest.approx(asked + left / 2)

    async def work_long(place: Town, transport: Deaf) -> None:
        close_at = broken(place, transport)
        await asyncio.sleep(0)
        await place.runner.close(1000.0)
        assert await transport.cut == pytest.approx(close_at + frontend.LINGER)

    with_deaf(work_short)
    with_deaf(work_long)


def test_the_end_may_be_asked_for_again_and_the_shortest_timeout_counts() -> None:
    async def work(place: Town, transport: Deaf) -> None:
        asked = place.runner.now()
        ends = [asyncio.ensure_future(place.runner.close(timeout)) for timeout in (9.0, 2.0, 5.0)]
        await asyncio.sleep(0)
        ends.pop(0).cancel()  # who waits no more takes nothing from those who do
        await asyncio.gather(*ends)
        assert await transport.cut == pytest.approx(asked + 2.0)
        assert place.service.sessions() == []

    with_deaf(work)


async def test_every_end_that_is_asked_for_ends_when_nobody_listens_any_more() -> None:
    place = Town()
    await place.runner.listen("127.0.0.1", 0)
    [listener] = place.runner._listeners
    closed: list[bool] = []

    async def end() -> None:
        await place.runner.close()
        closed.append(listener._socket.fileno() < 0)

    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(end(), end(), end())
    assert closed == [True] * 3


async def test_what_was_logged_is_what_happened() -> None:
    async with town() as (place, address), online(place, address, "alice"):
        [event] = [event for event in place.events if isinstance(event, LoggedIn)]
        assert event.account == "alice"
