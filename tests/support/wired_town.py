"""The whole service on a store: a frontend on the loopback, the HTTP endpoints, two applications, and clients by hand.

Its wall clock stands still, so a token expires when a test says so.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from random import Random

from mimc_server.frontend import ServiceRunner
from mimc_server.http import RunnerGroups, make_app
from mimc_server.service import Service, ServiceConfig, SessionInfo
from mimc_server.store import Group, Store
from mimc_server.tokens import token_answer

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Body, Packet, PacketAck, PacketList, UcMessageList, UcPacket

from .http_town import APP, OTHER, HttpTown
from .wires import Wire, wire

__all__ = ["WiredTown", "heard", "messages", "sent", "wired_town"]

APPLICATIONS = {application.app_id: application for application in (APP, OTHER)}


class WiredTown(HttpTown):
    """An `HttpTown` whose users can also log in; made by `wired_town`, on a running loop."""

    def __init__(self, store: Store, config: ServiceConfig | None = None) -> None:
        self.address = ("", 0)
        super().__init__(store)
        self.messaging = Service(
            node="n1",
            tokens=self.tokens,
            package_of=lambda app_id: APPLICATIONS[app_id].package if app_id in APPLICATIONS else None,
            rng=Random(2),
            config=config,
        )
        self.runner = ServiceRunner(self.messaging, store, wall_ms=lambda: self.now)
        self.app = make_app(self.service, groups=RunnerGroups(self.runner))

    def sessions(self) -> list[SessionInfo]:
        """Who is online."""
        return self.messaging.sessions()

    def token_answer(self, account: str = "alice", app_id: int = APP.app_id) -> str:
        """A new token answer, as the endpoint gives it."""
        uuid = self.member(account, app_id).uuid
        issued = self.tokens.issue(app_id, account, uuid, self.now)
        return json.dumps(token_answer(APPLICATIONS[app_id], account, uuid, issued))

    @contextlib.asynccontextmanager
    async def shaken(self, account: str = "alice", resource: str = "pc") -> AsyncIterator[Wire]:
        """A link on which this user is about to bind."""
        async with wire(self.address) as client:
            client.trust(self.token_answer(account))
            client.peer.resource = resource
            await client.conn()
            yield client

    @contextlib.asynccontextmanager
    async def online(
        self, account: str = "alice", resource: str = "pc", app_id: int = APP.app_id
    ) -> AsyncIterator[Wire]:
        """A link on which this user is online."""
        async with wire(self.address) as client:
            client.peer.prefix = f"{account}_{resource}_"
            answer = await client.login(self.token_answer(account, app_id), resource)
            assert answer.result, answer
            yield client

    def make_group(self, owner: str, *members: str, unlimited: bool = False, app_id: int = APP.app_id) -> int:
        """The id of a new group."""
        uuids = [self.member(account, app_id).uuid for account in members]
        owner_uuid = self.member(owner, app_id).uuid
        made = self.store.create_group(app_id, owner_uuid, "team", uuids, self.now, unlimited=unlimited)
        assert isinstance(made, Group), made
        return made.topic_id

    def inbox(self, account: str, app_id: int = APP.app_id) -> list[bytes]:
        """The payloads that a user has not removed from his inbox."""
        page = self.store.read_inbox(self.member(account, app_id).uuid, 0, 1000, 1 << 30)
        return [message.payload for message in page.messages]


@contextlib.asynccontextmanager
async def wired_town(store: Store, config: ServiceConfig | None = None) -> AsyncIterator[WiredTown]:
    """One that runs until the block is left."""
    town = WiredTown(store, config)
    town.address = await town.runner.listen("127.0.0.1", 0)
    try:
        yield town
    finally:
        await town.runner.close(timeout=0.1)


async def heard(client: Wire) -> list[Packet]:
    """All packets that have come, and the answers to all that was sent: the first pong overtakes those of its turn."""
    packets = []
    for _ in range(2):
        client.write(EMPTY_FRAME)
        while (frame := await client.frame()) != EMPTY_FRAME:
            packets.append(client.peer.read_packet(frame))
    return packets


async def sent(client: Wire, body: Body, **changes: object) -> PacketAck:
    """Send a message; the answer to it."""
    packet_id = client.peer.next_id()
    client.write(client.peer.send(body, packet_id, **changes))
    [answer] = [packet.body for packet in await heard(client) if isinstance(packet.body, PacketAck)]
    assert answer.packet_id == packet_id
    return answer


async def messages(client: Wire) -> list[Packet]:
    """The P2P and P2T messages that have come, acknowledged; those of unlimited groups are in packets of their own."""
    found: list[Packet] = []
    for packet in await heard(client):
        if isinstance(packet.body, PacketList):
            found += [inner for inner in packet.body.packets if isinstance(inner, Packet)]
            client.compound = packet.body
            client.acknowledge()
        elif isinstance(packet.body, UcPacket) and isinstance(packet.body.body, UcMessageList):
            found += [packet.replace(body=message) for message in packet.body.body.messages]
        else:
            found.append(packet)
    return found
