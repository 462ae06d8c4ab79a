"""The official C# client."""

from __future__ import annotations

import itertools
import random
import string
import time
from typing import Any

from support.links import ScriptedClient

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Group, P2PMessage, P2TMessage, SequenceAck, UcMessage, UcPing, UcSequenceAck, User

from .client import Official, Stage
from .http import ask

__all__ = ["CSharp", "CSharpPeer"]

_LETTERS = string.ascii_letters + string.digits


class CSharpPeer(ScriptedClient):
    """Its frames: ids of ``<15 random>-<n>``, drawn anew for each; no sdk; attributes signed as empty and left out."""

    def next_id(self) -> str:
        self.count += 1
        return "".join(random.choices(_LETTERS, k=15)) + f"-{self.count}"

    def conn(self, **changes: Any) -> bytes:
        return super().conn(**{"os": "macOS", "sdk": None, **changes})

    def bind(self, **changes: Any) -> bytes:
        return super().bind(**{"client_attrs": None, "cloud_attrs": None, **changes})


class CSharp(Official):
    """Knows where its frontend is; its unlimited groups are those that HTTP tells it."""

    def __init__(self, stage: Stage, account: str, resource: str | None = None) -> None:
        super().__init__(stage, account, CSharpPeer())
        self.peer.resource = resource or "".join(random.choices(string.digits + string.ascii_lowercase, k=10))
        self.clock = itertools.count(time.time_ns() // 1_000_000)
        self.topics: list[int] = []

    async def start(self) -> None:
        await self.fetch_token(self.stage.app_id)
        await self.connect(*await self.fixed_address())
        await self.conn()
        assert (await self.bind()).result
        await self.learn_topics()

    async def fixed_address(self) -> tuple[str, int]:
        """It always goes to app.chat.xiaomi.net:5222, wherever its name leads; here we have to ask."""
        domain = self.data["feDomainName"]
        return await self.resolve(f"/gslb/?ver=4.0&type=wifi&list={domain}", domain)

    async def learn_topics(self) -> None:
        """``GET /api/uctopic/topics``, after login: joining does not tell it of a group."""
        headers = {"token": self.data["token"], "Content-Type": "application/json"}
        answer = await ask(self.stage.http_url, "GET", "/api/uctopic/topics", headers)
        self.topics = [int(topic) for topic in answer.data]

    # ------------------------------------------------------------------------------------------------- messages

    def send_to(self, account: str, payload: bytes, *, biz_type: str = "") -> str:
        """P2P; one id for header and packet, no conversation, a timestamp in milliseconds."""
        recipient = User(app_id=self.stage.app_id, account=account)
        body = P2PMessage(sender=self.me, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        return self.write_packet(self.around(body, timestamp=next(self.clock)))

    def send_group(self, topic_id: int, payload: bytes, *, biz_type: str = "") -> str:
        """P2T."""
        recipient = Group(app_id=self.stage.app_id, topic_id=topic_id)
        body = P2TMessage(sender=self.me, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        return self.write_packet(self.around(body, timestamp=next(self.clock)))

    def acknowledge(self) -> None:
        """With the list's own uuid and resource, without the application."""
        compound = self.compound
        ack = SequenceAck(uuid=compound.uuid, resource=compound.resource, sequence=compound.max_sequence or 0)
        self.write_packet(self.around(ack))

    def ping(self) -> None:
        """Every 15 s of silence."""
        self.write(EMPTY_FRAME)

    # ----------------------------------------------------------------------------------------- unlimited groups

    def ping_groups(self) -> str:
        """Every 50 s, with those that HTTP told it of."""
        return self.uc(UcPing(groups=tuple(self.group(topic) for topic in self.topics)))

    def send_unlimited(self, topic_id: int, payload: bytes, *, biz_type: str = "") -> str:
        """It never hears that one was not acknowledged."""
        packet_id = self.peer.next_id()
        group = self.group(topic_id)
        body = UcMessage(group=group, payload=payload, is_store=True, packet_id=packet_id, biz_type=biz_type)
        return self.uc(body, packet_id)

    def acknowledge_unlimited(self, topic_id: int, sequence: int) -> None:
        self.uc(UcSequenceAck(group=self.group(topic_id), sequence=sequence))
