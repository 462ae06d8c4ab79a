"""A client made by hand on a real connection: the frames of `ScriptedClient`, and asyncio's streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import BindAnswer, Body, ConnAnswer, Packet, PacketList, SequenceAck

from .links import Frame, ScriptedClient

__all__ = ["TIMEOUT", "Wire", "wire"]

TIMEOUT = 10.0
"""Seconds after which a test has failed; nothing takes a hundredth of it."""


class Wire:
    """One connection and who is at its other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.peer = ScriptedClient()
        self.compound = PacketList()

    def write(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def frame(self) -> bytes:
        """The next whole frame."""
        async with asyncio.timeout(TIMEOUT):
            head = await self.reader.readexactly(8)
            if head == EMPTY_FRAME[:8]:
                return head + await self.reader.readexactly(len(EMPTY_FRAME) - 8)
            return head + await self.reader.readexactly(int.from_bytes(head[4:], "big") + 4)

    async def read(self, command: str) -> Frame:
        """The next frame, which has this command."""
        found = self.peer.read(await self.frame())
        assert found.command == command, found
        return found

    async def packet(self) -> Packet:
        """The packet of the next SECMSG."""
        return self.peer.read_packet(await self.frame())

    async def messages(self) -> list[Packet]:
        """The packets of the next list; `acknowledge` is for it."""
        compound = (await self.packet()).body
        assert isinstance(compound, PacketList)
        self.compound = compound
        return [packet for packet in compound.packets if isinstance(packet, Packet)]

    def acknowledge(self) -> None:
        """SEQUENCE_ACK for the newest list, with its uuid and resource as Go does it."""
        compound = self.compound
        self.send(SequenceAck(uuid=compound.uuid, resource=compound.resource, sequence=compound.max_sequence or 0))

    async def ended(self) -> bytes:
        """What comes before the other side closes."""
        async with asyncio.timeout(TIMEOUT):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def conn(self) -> ConnAnswer:
        """Shake hands."""
        self.write(self.peer.conn())
        answer = ConnAnswer.decode((await self.read("CONN")).payload)
        self.peer.challenge = answer.challenge
        self.peer.encrypt_bodies()
        return answer

    def trust(self, token_answer: str) -> dict[str, Any]:
        """Be the user of a token answer; its data."""
        data: dict[str, Any] = json.loads(token_answer)["data"]
        self.peer.uuid, self.peer.chid = int(data["miUserId"]), data["miChid"]
        self.peer.token, self.peer.security_key = data["token"], data["miUserSecurityKey"]
        return data

    async def login(self, token_answer: str, resource: str = "by_hand") -> BindAnswer:
        """Shake hands and bind."""
        self.trust(token_answer)
        self.peer.resource = resource
        await self.conn()
        self.write(self.peer.bind())
        return BindAnswer.decode((await self.read("BIND")).payload)

    def send(self, body: Body) -> str:
        """Send a packet; its id."""
        packet_id = self.peer.next_id()
        self.write(self.peer.send(body, packet_id))
        return packet_id


@contextlib.asynccontextmanager
async def wire(address: tuple[str, int], context: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """A connection, closed at the end."""
    reader, writer = await asyncio.open_connection(*address, ssl=context, limit=1 << 24)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
