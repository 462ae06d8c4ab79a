"""Services that run on the loop of a test, with real connections on the loopback, and clients made by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

from mimc_server.frontend import FrontendConfig, ServiceRunner, unix_ms
from mimc_server.frontend.admission import Place
from mimc_server.frontend.connection import Connection, TcpConnection
from mimc_server.service import LinkEnded, ServiceConfig, ServiceEvent
from mimc_server.store import Store
from mimc_server.testing.backend import Backend

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import BindAnswer, ConnAnswer, OnlineMessage, P2PMessage, PacketList, User
from mimc_proto.testing import FaultyPipe, Network, VirtualClock

from .links import ScriptedClient
from .virtual_loop import PipeTransport, VirtualLoop, run
from .wires import TIMEOUT, Wire, wire

__all__ = [
    "LOCAL",
    "PAYLOAD",
    "Address",
    "Deaf",
    "PipeConnection",
    "Town",
    "broken",
    "contexts",
    "flood",
    "on_pipes",
    "online",
    "online_message",
    "p2p",
    "payloads",
    "town",
    "with_deaf",
]

Address = tuple[str, int]
LOCAL = ("127.0.0.1", 0)
PAYLOAD = b"x" * 15_000
PEM = Path(__file__).parents[1] / "transports" / "loopback.pem"


class Town:
    """A service that runs, and what it told; ``limits`` are those of its frontend, ``options`` go to the runner."""

    def __init__(
        self,
        config: ServiceConfig | None = None,
        *,
        store: Store | None = None,
        limits: FrontendConfig | None = None,
        **options: Any,
    ) -> None:
        self.events: list[ServiceEvent] = []
        self.backend = Backend(options.get("wall_ms", unix_ms), Random(1))
        if store is not None:
            self.backend.store = store  # type: ignore[assignment]  # the one it makes remembers more
        self.changed = asyncio.Event()
        self.service = self.backend.service("n1", config)
        self.runner = ServiceRunner(self.service, self.backend.store, config=limits, on_event=self._tell, **options)

    def _tell(self, event: ServiceEvent) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, done: Callable[[], object]) -> None:
        """Wait for an event after which something holds."""
        async with asyncio.timeout(TIMEOUT):
            while not done():
                self.changed.clear()
                await self.changed.wait()

    def ends(self) -> list[LinkEnded]:
        """The links that have ended."""
        return [event for event in self.events if isinstance(event, LinkEnded)]

    async def ended(self, count: int = 1) -> None:
        """Wait until so many links have ended."""
        await self.until(lambda: len(self.ends()) >= count)

    async def token(self, account: str) -> str:
        """A token answer."""
        return await self.runner.perform(lambda: self.backend.token_answer(account))

    def place(self) -> Place:
        """For a connection that no listener has accepted."""
        places: list[Place] = []
        with socket.socket() as sock:
            self.runner._admission.admit("nobody", sock, lambda _, place: places.append(place))
        return places[0]

    def connection(self, account: str) -> Connection:
        """Of one who is online."""
        [link_id] = [session.link_id for session in self.service.sessions() if session.account == account]
        return self.runner._links[link_id]

    def accounts(self) -> list[str]:
        """Who is online."""
        return sorted(session.account for session in self.service.sessions())


@contextlib.asynccontextmanager
async def town(config: ServiceConfig | None = None, **options: Any) -> AsyncIterator[tuple[Town, Address]]:
    """A service at an address."""
    place = Town(config, **options)
    address = await place.runner.listen(*LOCAL)
    try:
        yield place, address
    finally:
        await place.runner.close()


@contextlib.asynccontextmanager
async def online(place: Town, address: Address, account: str, **options: Any) -> AsyncIterator[Wire]:
    """A client that has logged in; ``options`` are those of `wire`."""
    async with wire(address, **options) as client:
        answer = await client.login(await place.token(account))
        assert answer.result
        yield client


def p2p(to: str, payload: bytes = b"hi") -> P2PMessage:
    return P2PMessage(recipient=User(account=to), payload=payload, is_store=True)


def online_message(to: str) -> OnlineMessage:
    """A large one, which nobody stores."""
    return OnlineMessage(recipient=User(account=to), payload=PAYLOAD)


def payloads(compound: object) -> list[bytes]:
    """What is in a list of messages."""
    assert isinstance(compound, PacketList)
    return [packet.body.payload for packet in compound.packets]  # type: ignore[union-attr]


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's, and that of a client who trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(PEM)
    return server, ssl.create_default_context(cafile=str(PEM))


async def flood(place: Town, alice: Wire, bob: Wire) -> Connection:
    """Have Alice send to Bob, who does not read, until the service cannot write to him; his connection."""
    bob.reader._transport.pause_reading()  # type: ignore[attr-defined]
    connection = place.connection("bob")
    for _ in range(5000):
        if not connection._writable:
            return connection
        alice.send(online_message("bob"))
        await asyncio.sleep(0)
    raise AssertionError("the service can write for ever")


class Deaf(asyncio.Transport):
    """A connection whose peer reads nothing: with bytes in its buffer it does not close, it has to be cut."""

    protocol: Connection

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.cut: asyncio.Future[float] = self.loop.create_future()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return self.cut.done()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
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
        transport.protocol = TcpConnection(place.runner, "a peer", place.place())
        transport.protocol.connection_made(transport)
        errors: list[Any] = []
        transport.loop.set_exception_handler(lambda _, context: errors.append(context))
        await work(place, transport)
        await asyncio.sleep(3600.0)  # virtual: nothing that was planned comes after it
        assert errors == []
        await place.runner.close()

    clock = VirtualClock()
    run(clock, Network(clock), run_it())


class PipeConnection:
    """A connection of a service on the virtual network, and the client at its other end, who reads all or nothing."""

    def __init__(self, place: Town, clock: VirtualClock, kind: type[Connection] = TcpConnection) -> None:
        self.peer = ScriptedClient()
        self.got = bytearray()
        self.ended: float | None = None
        """When the service closed."""
        self._loop = asyncio.get_running_loop()
        self.pipe = FaultyPipe(clock)
        self.connection = kind(place.runner, "a peer", place.place())
        assert isinstance(self._loop, VirtualLoop)
        self.transport = ServerTransport(self._loop, self.pipe.server, self.connection)
        self.connection.connection_made(self.transport)
        self.pipe.server.attach(self.transport)
        self.pipe.client.attach(self)

    def write(self, *frames: bytes) -> None:
        self.pipe.client.write(frames)

    async def login(self, token_answer: str, account: str) -> None:
        """Be online; the answers are taken in."""
        data = json.loads(token_answer)["data"]
        self.peer.uuid, self.peer.chid, self.peer.resource = int(data["miUserId"]), data["miChid"], account
        self.peer.token, self.peer.security_key = data["token"], data["miUserSecurityKey"]
        self.write(self.peer.conn())
        self.peer.challenge = ConnAnswer.decode(self.peer.read(await self.frame()).payload).challenge
        self.peer.encrypt_bodies()
        self.write(self.peer.bind())
        assert BindAnswer.decode(self.peer.read(await self.frame()).payload).result

    async def frame(self) -> bytes:
        """The next whole frame."""
        while len(self.got) < 12 or len(self.got) < 12 + int.from_bytes(self.got[4:8]):
            assert self.ended is None, "the service closed"
            await asyncio.sleep(0.01)
        size = 12 + int.from_bytes(self.got[4:8])
        frame = bytes(self.got[:size])
        del self.got[:size]
        return frame

    async def served(self) -> None:
        """Ping, and have the answer as the next thing."""
        self.write(self.peer.command("PING"))
        assert await self.frame() == EMPTY_FRAME

    # --------------------------------------------------------------------------------------- as a user of its pipe

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> None:
        self.ended = self._loop.time()

    connection_lost = eof_received

    def writing_resumed(self) -> None:
        """It sends little."""


class ServerTransport(PipeTransport):
    """A `PipeTransport` with all that a server asks of one."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Those of the class."""

    def pause_reading(self) -> None:
        self._end.pause_reading()

    def resume_reading(self) -> None:
        self._end.resume_reading()

    @property
    def buffered(self) -> int:
        """Bytes that wait to be written."""
        return sum(map(len, self._buffer))


def on_pipes(work: Callable[[Town, VirtualClock], Coroutine[Any, Any, None]], *arguments: Any, **options: Any) -> None:
    """Do something with a `Town` of these arguments, on virtual time."""
    clock = VirtualClock(max_steps=10_000_000)

    async def run_it() -> None:
        place = Town(*arguments, wall_ms=lambda: clock.wall_ms, **options)
        errors: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        await work(place, clock)
        assert errors == []
        await place.runner.close()

    run(clock, Network(clock), run_it())


def broken(place: Town, transport: Deaf) -> float:
    """Have the peer break the protocol; when its link is to be closed."""
    transport.protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    link_id = transport.protocol._link_id
    assert link_id is not None
    close_at = place.service.close_expected(link_id)
    assert close_at is not None
    return close_at
