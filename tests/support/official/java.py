"""The official Java client 2.0.8."""

from __future__ import annotations

import itertools
import random
import string
from typing import Any

from support.links import ScriptedClient

from mimc_proto.packets import (
    Group,
    Header,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    Pull,
    SequenceAck,
    UcMessage,
    UcPing,
    UcSequenceAck,
    User,
)

from .client import Official, Stage
from .http import Answer, ask

__all__ = ["Java", "JavaPeer"]


class JavaPeer(ScriptedClient):
    """Its frames: a counter numbers CONN, BIND, PING and UBND, ``<15 letters>-<n>`` the packets of its user."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = f"{prefix}-"
        self.numbers = itertools.count(2)
        self.host = "127.0.0.1:5222"
        """Where it thinks it is connected to."""

    def header(self, command: str, packet_id: str | None = None, **changes: Any) -> Header:
        if command == "CONN":
            return Header(uuid=next(self.numbers), server="xiaomi.com", cmd="CONN", cipher=0)
        if command != "SECMSG":
            packet_id = str(next(self.numbers))
        return super().header(command, packet_id, **changes)

    def conn(self, **changes: Any) -> bytes:
        empty = {"model": "", "os": "", "connpt": "", "locale": ""}
        return super().conn(**{**empty, "host": self.host, "andver": 0, **changes})

    def bind(self, **changes: Any) -> bytes:
        return super().bind(**{"sso": False, **changes})


class Java(Official):
    """Asks for its unlimited groups before it connects; acknowledges lists after its application has had them."""

    def __init__(self, stage: Stage, account: str, resource: str | None = None) -> None:
        prefix = "".join(random.choices(string.ascii_letters, k=15))
        super().__init__(stage, account, JavaPeer(prefix))
        self.peer.resource = resource or "".join(random.choices(string.ascii_letters, k=8))
        self.topics: list[str] = []

    async def start(self) -> None:
        await self.fetch_token(str(self.stage.app_id))
        self.topics = (await self.topics_of_user()).data
        await self.open()
        assert (await self.bind()).result

    async def open(self) -> None:
        """A link, up to the answer to CONN."""
        host, port = await self.resolve(*self.resolver_request())
        assert isinstance(self.peer, JavaPeer)
        self.peer.host = f"{host}:{port}"
        await self.connect(host, port)
        await self.conn()

    async def topics_of_user(self) -> Answer:
        """``GET /api/uctopic/topics``, right after it has its token."""
        headers = {"token": self.data["token"], "Content-Type": "application/json"}
        return await ask(self.stage.http_url, "GET", "/api/uctopic/topics", headers)

    def resolver_request(self) -> tuple[str, str, str]:
        """Target and domains; the target has many other keys, commas as they are, and a trailing ``&``."""
        frontend, relay = self.data["feDomainName"], self.data["relayDomainName"]
        others = "uuid=0&countrycode=CN&sdkver=33&osver=33&os=5.10:1&mi=2&t=1700000000&ip=127.0.0.1"
        return f"/gslb/?ver=4.0&type=wifi&{others}&list={frontend},{relay}&", frontend, relay

    # ------------------------------------------------------------------------------------------------- messages

    def send_to(self, account: str, payload: bytes, *, conversation: bool = False, biz_type: str = "") -> str:
        """P2P: conversation, isStore and bizType are always there."""
        recipient = User(app_id=self.stage.app_id, account=account)
        body = P2PMessage(sender=self.me, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        return self.write_packet(self.around(body, conversation=conversation))

    def send_group(self, topic_id: int, payload: bytes, *, conversation: bool = False, biz_type: str = "") -> str:
        """P2T."""
        recipient = Group(app_id=self.stage.app_id, topic_id=topic_id)
        body = P2TMessage(sender=self.me, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        return self.write_packet(self.around(body, conversation=conversation))

    def send_online(self, account: str, payload: bytes, *, biz_type: str = "") -> str:
        """An online message: no isStore, no conversation."""
        recipient = User(app_id=self.stage.app_id, account=account)
        body = OnlineMessage(sender=self.me, recipient=recipient, payload=payload, biz_type=biz_type)
        return self.write_packet(self.around(body))

    def answer_online(self, packet: Packet) -> None:
        """ONLINE_MESSAGE_ACK: packet id, uuid and resource of the message's sender, under an id of its own."""
        assert isinstance(packet.body, OnlineMessage)
        sender = packet.body.sender
        assert sender is not None
        ack = OnlineMessageAck(
            packet_id=packet.packet_id or "",
            uuid=sender.uuid,
            resource=sender.resource,
            code=1,
            error_message="RECEIVED",
        )
        self.write_packet(self.around(ack))

    def acknowledge(self) -> None:
        """Under the id of the COMPOUND's header; the packet has an id of its own."""
        uuid, resource, app_id = self.peer.uuid, self.peer.resource, self.stage.app_id
        sequence = self.compound.max_sequence or 0
        body = SequenceAck(uuid=uuid, resource=resource, sequence=sequence, app_id=app_id)
        self.write_packet(self.around(body), self.compound_id)

    def pull(self) -> None:
        """When its application says false to a list."""
        body = Pull(uuid=self.peer.uuid, resource=self.peer.resource, app_id=self.stage.app_id)
        self.write_packet(self.around(body))

    def ping(self) -> None:
        """Every 180 s of silence."""
        self.write(self.peer.command("PING"))

    # ----------------------------------------------------------------------------------------- unlimited groups

    def ping_groups(self, *topics: int) -> str:
        """Every 10 s, with all its groups."""
        return self.uc(UcPing(groups=tuple(self.group(topic) for topic in topics)))

    def send_unlimited(self, topic_id: int, payload: bytes, *, biz_type: str = "") -> str:
        """Names its user in the message too, and one id for both packets."""
        packet_id = self.peer.next_id()
        body = UcMessage(
            group=self.group(topic_id),
            payload=payload,
            is_store=True,
            user=self.me,
            packet_id=packet_id,
            biz_type=biz_type,
        )
        return self.uc(body, packet_id)

    def acknowledge_unlimited(self, topic_id: int, sequence: int) -> None:
        """UC SEQ_ACK; its packets have two ids."""
        inner_id = self.peer.next_id()
        self.uc(UcSequenceAck(group=self.group(topic_id), sequence=sequence), self.peer.next_id(), inner_id)
