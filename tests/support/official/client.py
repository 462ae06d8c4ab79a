"""What the five official clients have in common when they are played by hand: HTTP, a connection, and one checker.

Each client of this package does what its original does, from its first request on: `start` is its login. Whatever the
service sends to any of them goes through `check_frame`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Protocol, TypeVar

from mimc_server.service import SessionInfo
from support.frame_rules import check_frame, check_numbers
from support.links import ScriptedClient
from support.wires import TIMEOUT, Wire

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import BindAnswer, Group, Kick, Packet, PacketAck, PacketList, UcJoin, UcPacket, UcQuit, User

from .http import ask

__all__ = ["Official", "Stage", "WebStage", "online"]


TOKEN_ANSWER = {
    **dict.fromkeys(("appId", "appPackage", "appAccount", "miUserId", "miUserSecurityKey", "token"), str),
    **dict.fromkeys(("feDomainName", "relayDomainName"), str),
    **dict.fromkeys(("miChid", "regionBucket"), int),
}
"""What one client or another insists on in the data of a token answer, and of which type (rules 13 and 19)."""


class Stage(Protocol):
    """A whole service that runs, as clients and those who watch them see it."""

    @property
    def http_url(self) -> str: ...
    @property
    def app_id(self) -> int: ...
    @property
    def app_key(self) -> str: ...
    @property
    def app_secret(self) -> str: ...

    def sessions(self) -> list[SessionInfo]: ...
    def expire_tokens(self, account: str) -> None: ...


class WebStage(NamedTuple):
    """A stage, and where browsers connect to."""

    stage: Stage
    address: tuple[str, int]


class Official(Wire):
    """An official client with its user."""

    def __init__(self, stage: Stage, account: str, peer: ScriptedClient) -> None:
        # `Wire` is made of a connection; here that comes last, in `connect`
        self.stage = stage
        self.account = account
        self.peer = peer
        self.compound = PacketList()
        self.compound_id = ""
        """Id of the newest list's header."""
        self.data: dict[str, Any] = {}
        """Of the token answer."""
        self.frames = 0
        """How many came and passed `check_frame`."""

    async def start(self) -> None:
        """From the first request to the answer to BIND."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------------- a connection

    async def connect(self, host: str, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection(host, port)

    async def frame(self) -> bytes:
        data = await super().frame()
        self.check(data)
        return data

    def check(self, data: bytes) -> None:
        check_frame(data, self.peer)
        self.frames += 1
        if data != EMPTY_FRAME and self.peer.read(data).command == "SECMSG":
            check_numbers(self.peer.read_packet(data))

    async def leave(self) -> list[bytes]:
        """Close; what had not been read until then, checked as well."""
        rest = []
        if not self.writer.is_closing():
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                self.writer.write_eof()
                while True:
                    rest.append(await self.frame())
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()
        return rest

    async def bind(self) -> BindAnswer:
        """BIND on this link, and its answer."""
        self.write(self.peer.bind())
        return BindAnswer.decode((await self.read("BIND")).payload)

    async def kicked(self) -> Kick:
        """The next frame, which is a KICK."""
        return Kick.decode((await self.read("KICK")).payload)

    async def log_out(self) -> None:
        """UBND, and the empty KICK that ends it."""
        self.write(self.peer.command("UBND"))
        assert (await self.read("KICK")).payload == b""

    # ------------------------------------------------------------------------------------------------- messages

    @property
    def me(self) -> User:
        """As this client names its user in what it sends."""
        peer = self.peer
        return User(app_id=self.stage.app_id, account=self.account, uuid=peer.uuid, resource=peer.resource)

    def write_packet(self, packet: Packet, header_id: str | None = None) -> str:
        """A SECMSG around this packet; its id."""
        packet_id = packet.packet_id or ""
        self.write(self.peer.send(packet.encode(), header_id or packet_id))
        return packet_id

    def around(self, body: Any, **fields: Any) -> Packet:
        """A packet as this client makes it."""
        return Packet(packet_id=self.peer.next_id(), package=self.data["appPackage"], body=body, **fields)

    async def messages(self) -> list[Packet]:
        data = await self.frame()
        header = self.peer.read(data).header
        assert header is not None
        packet = self.peer.read_packet(data)
        assert isinstance(packet.body, PacketList)
        self.compound, self.compound_id = packet.body, header.id or ""
        return [item for item in packet.body.packets if isinstance(item, Packet)]

    async def acked(self, packet_id: str) -> PacketAck:
        """The next frame, which accepts this packet."""
        body = (await self.packet()).body
        assert isinstance(body, PacketAck)
        assert (body.packet_id, body.code) == (packet_id, 0)
        return body

    # ----------------------------------------------------------------------------------------- unlimited groups

    def group(self, topic_id: int) -> Group:
        return Group(app_id=self.stage.app_id, topic_id=topic_id)

    def join(self, topic_id: int) -> str:
        return self.uc(UcJoin(group=self.group(topic_id)))

    def quit(self, topic_id: int) -> str:
        return self.uc(UcQuit(group=self.group(topic_id)))

    def uc(self, body: Any, packet_id: str | None = None, inner_id: str | None = None) -> str:
        """A UC packet, by default with one id inside and outside; the inner one."""
        packet_id = packet_id or self.peer.next_id()
        packet = UcPacket(user=self.me, packet_id=inner_id or packet_id, body=body)
        self.write_packet(Packet(packet_id=packet_id, package=self.data["appPackage"], body=packet))
        return packet.packet_id

    async def uc_answer(self, inner_id: str = "") -> Any:
        """The body of the next packet, which is a UC packet; of one that answers, with the request's id (rule 11)."""
        body = (await self.packet()).body
        assert isinstance(body, UcPacket)
        assert inner_id in ("", body.packet_id)
        return body.body

    # ------------------------------------------------------------------------------------------------------ HTTP

    async def fetch_token(self, app_id: int | str, **more: str) -> dict[str, Any]:
        """``POST /api/account/token``; be the user of its answer."""
        stage = self.stage
        body = {"appId": app_id, "appKey": stage.app_key, "appSecret": stage.app_secret, "appAccount": self.account}
        headers = {"Content-Type": "application/json"}
        answer = await ask(stage.http_url, "POST", "/api/account/token", headers, {**body, **more})
        assert answer.data.keys() >= TOKEN_ANSWER.keys()
        assert all(type(answer.data[name]) is kind for name, kind in TOKEN_ANSWER.items())
        self.data = self.trust(answer.text)
        return self.data

    async def create_unlimited(self, name: str, **more: str) -> int:
        """``POST /api/uctopic`` by the user's token; the id of a group that he owns."""
        headers = {"token": self.data["token"], "Content-Type": "application/json"}
        made = await ask(self.stage.http_url, "POST", "/api/uctopic", headers, {"topicName": name, **more})
        assert {"topicId", "topicName", "ownerId"} <= made.data.keys()
        return int(made.data["topicId"])

    async def resolve(self, target: str, *domains: str) -> tuple[str, int]:
        """The first address of the first domain; the answer has addresses for all of them."""
        answer = await ask(self.stage.http_url, "GET", target)
        found = json.loads(answer.text)
        assert found["S"] == "Ok"  # in exactly this case: Go insists
        wifi = found["R"]["wifi"]
        assert all(wifi[domain] for domain in domains)
        host, port = wifi[domains[0]][0].split(":")
        return host, int(port)


C = TypeVar("C", bound=Official)


@contextlib.asynccontextmanager
async def online(client: C) -> AsyncIterator[C]:
    """This client, logged in; what it has not read when the block is left is checked as well."""
    async with asyncio.timeout(TIMEOUT * 3):
        await client.start()
        try:
            yield client
        finally:
            await client.leave()
