"""A whole server on a disk that is full, fails, or cannot be written: over its sockets it never says what is not so.

What it accepts is on the disk, which is looked at as a power cut would leave it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest
from mimc_server.applications import Application
from mimc_server.server import Server
from mimc_server.service import ServiceConfig
from mimc_server.settings import Address, Listen, Log, Settings
from mimc_server.store import SqliteStore, StoreError
from support.sqlite_disk import FAILED, FULL, READ_ONLY, SYNC_FAILED, Disk, unavailable
from support.wires import TIMEOUT, Wire, wire

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import P2PMessage, PacketAck, User

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]

FAULTS = {"full": FULL, "failing": FAILED, "read-only": READ_ONLY, "failing to sync": SYNC_FAILED}
STORE_FAILED = 500
SEEDS = range(int(os.environ.get("MIMC_EXAMPLES", "50")) // 25)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "data")
    with made.mounted():
        yield made


def settings(tmp_path: Path) -> Settings:
    listen = Listen(tcp=(Address("127.0.0.1", 0),), websocket=(), http=())
    service = ServiceConfig(account_rate=None)  # the disk refuses here, and nobody else
    return Settings(data=tmp_path / "data", listen=listen, service=service, log=Log(level="error"), stop_timeout=0.2)


class Town:
    """A server, and users by hand."""

    def __init__(self, server: Server, application: Application) -> None:
        self.server = server
        self._application = application

    @contextlib.asynccontextmanager
    async def online(self, account: str) -> AsyncIterator[Wire]:
        """One who has logged in."""
        async with wire(self.server.addresses.tcp[0]) as client:
            assert (await client.login(await self.token(account))).result
            yield client

    async def token(self, account: str) -> str:
        """A token answer."""
        server = self.server
        return json.dumps(await server.perform(lambda: server.issue_token(self._application, account)))


@contextlib.asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[tuple[Town, Wire, Wire]]:
    """A server, and alice and bob online."""
    async with asyncio.timeout(3 * TIMEOUT), Server(settings(tmp_path)) as server:
        await server.add_application("com.example")
        [application] = server.applications
        town = Town(server, application)
        async with town.online("alice") as alice, town.online("bob") as bob:
            yield town, alice, bob


def say(client: Wire, number: int) -> str:
    """Send bob a message; its id."""
    packet_id = f"packet_{number}"
    body = P2PMessage(recipient=User(account="bob"), payload=b"%d" % number)
    client.write(client.peer.send(body, packet_id))
    return packet_id


async def answered(client: Wire) -> PacketAck:
    """The next ack."""
    ack = (await client.packet()).body
    assert isinstance(ack, PacketAck)
    return ack


def fail(disk: Disk, fault: int) -> None:
    disk.fault = 0 if fault == SYNC_FAILED else fault
    disk.sync_fault = fault


def stored(image: dict[str, bytes], place: Path, accepted: dict[str, int]) -> dict[str, int]:
    """The sequences by packet id of what a power cut would leave to bob. All that was accepted is there, once."""
    place.mkdir()
    for name, content in image.items():
        (place / name).write_bytes(content)
    store = SqliteStore(place / "mimc.db")
    assert store.check() == []
    [application] = store.applications()
    bob = store.find_account(application.app_id, "bob")
    assert bob is not None
    kept = store.read_inbox(bob.uuid, 0, 1_000_000, 1 << 40).messages
    found = {message.packet_id: message.sequence for message in kept}
    assert len(found) == len(kept)
    assert {packet_id: found.get(packet_id) for packet_id in accepted} == accepted
    store.close()
    return found


@pytest.mark.parametrize("name", FAULTS)
async def test_a_message_that_cannot_be_stored_is_refused_and_may_be_sent_again(
    disk: Disk, tmp_path: Path, name: str
) -> None:
    accepted: dict[str, int] = {}
    async with served(tmp_path) as (_, alice, bob):
        for fault, number in ((0, 0), (FAULTS[name], 1), (FAULTS[name], 2), (0, 1), (0, 2)):
            fail(disk, fault)
            packet_id = say(alice, number)
            ack = await answered(alice)
            assert ack.packet_id == packet_id
            if fault:
                assert (ack.code, ack.sequence) == (STORE_FAILED, 0)
                assert ack.error_message
                bob.write(EMPTY_FRAME)
                assert await bob.frame() == EMPTY_FRAME  # he is online, and has heard nothing
            else:
                assert (ack.code, bool(ack.sequence)) == (0, True)
                accepted[packet_id] = ack.sequence or 0
                [message] = await bob.messages()
                assert (message.packet_id, message.sequence) == (packet_id, ack.sequence)
        image = disk.image()
    assert stored(image, tmp_path / "left", accepted) == accepted


@pytest.mark.parametrize("name", FAULTS)
async def test_nobody_logs_in_whose_session_cannot_be_kept_and_he_does_when_it_can(
    disk: Disk, tmp_path: Path, name: str
) -> None:
    async with served(tmp_path) as (town, _, bob):
        carols = await town.token("carol")
        fail(disk, FAULTS[name])
        with pytest.raises(StoreError):
            await town.server.add_application("com.example.another")
        with pytest.raises(StoreError):
            await town.token("stranger")  # a user who was never seen cannot be kept either
        async with wire(town.server.addresses.tcp[0]) as carol:
            refused = await carol.login(carols)
            assert (refused.result, refused.error_reason) == (False, "try-again")
            fail(disk, 0)
            carol.write(carol.peer.bind())
            await carol.read("BIND")
            packet_id = say(carol, 1)
            assert (await answered(carol)).code == 0
            [message] = await bob.messages()
            assert message.packet_id == packet_id


async def test_a_server_does_not_start_on_a_disk_that_fails(disk: Disk, tmp_path: Path) -> None:
    for fault in (FULL, FAILED, READ_ONLY):
        fail(disk, fault)
        with pytest.raises(StoreError, match="cannot use"):
            async with Server(settings(tmp_path)):
                pass
    fail(disk, 0)
    async with Server(settings(tmp_path)) as server:
        assert server.addresses.tcp


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_fails_whenever_what_was_accepted_is_on_the_disk(disk: Disk, tmp_path: Path, seed: int) -> None:
    """Faults come and go at any write, under messages that nobody waits for; and power cuts at any of them."""
    rng, accepted, refused = Random(seed), dict[str, int](), set[str]()
    cuts: list[tuple[dict[str, int], dict[str, bytes]]] = []

    def before() -> None:
        if rng.random() < 0.05:
            cuts.append((dict(accepted), disk.image(rng)))
        if rng.random() < 0.02:
            fail(disk, rng.choice(list(FAULTS.values())))
        elif rng.random() < 0.2:
            fail(disk, 0)

    async def answers(client: Wire, count: int) -> None:
        for _ in range(count):
            ack = await answered(client)
            if ack.code == 0:
                accepted[ack.packet_id] = ack.sequence or 0
                refused.discard(ack.packet_id)
            else:
                assert (ack.code, ack.sequence) == (STORE_FAILED, 0)
                refused.add(ack.packet_id)

    async with served(tmp_path) as (_, alice, bob):
        disk.before = before
        sent = 0
        for _ in range(30):
            numbers = [int(packet_id.partition("_")[2]) for packet_id in sorted(refused)]
            new = rng.randint(1, 20)
            for number in [*numbers, *range(sent, sent + new)]:
                say(alice, number)
            sent += new
            await answers(alice, len(numbers) + new)
        disk.before = lambda: None
        fail(disk, 0)
        for packet_id in sorted(refused):
            say(alice, int(packet_id.partition("_")[2]))
        await answers(alice, len(refused))
        assert (len(accepted), refused) == (sent, set())
        got: list[int] = []
        while len(got) < sent:
            got += [message.sequence or 0 for message in await bob.messages()]
            bob.acknowledge()
        assert got == sorted(accepted.values())
        cuts.append((accepted, disk.image()))
    assert len(cuts) > 3
    for number, (then, image) in enumerate(cuts[-12:]):
        stored(image, tmp_path / f"cut {number}", then)
