"""The official C++ client 1.0.1."""

from __future__ import annotations

import base64
import itertools
import random
import string
import time
from typing import Any

from support.links import ScriptedClient

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Group, OnlineMessage, P2PMessage, P2TMessage, SequenceAck, User

from .client import Official, Stage
from .http import Answer, ask

__all__ = ["Cpp", "CppPeer"]

_ALNUM = string.ascii_letters + string.digits


class CppPeer(ScriptedClient):
    """Its frames: ids of ``<15 letters and digits>_<n>``, a random udid of 10, attributes with a trailing comma."""

    def __init__(self, attributes: str = "") -> None:
        super().__init__(udid="".join(random.choices(_ALNUM, k=10)))
        self.prefix = "".join(random.choices(_ALNUM, k=15)) + "_"
        self.attributes = attributes
        """``client_attrs``: ``k:v,`` with the comma, or nothing."""

    def conn(self, **changes: Any) -> bytes:
        return super().conn(**{"model": "", "os": "", "connpt": "", "locale": "", "andver": 0, **changes})

    def bind(self, **changes: Any) -> bytes:
        return super().bind(**{"signed": {"client_attrs": self.attributes}, **changes})


class Cpp(Official):
    """Asks a resolver whose URL has no scheme for two domains; its headers and packets have different ids."""

    def __init__(self, stage: Stage, account: str, resource: str | None = None, *, attributes: str = "") -> None:
        super().__init__(stage, account, CppPeer(attributes))
        self.peer.resource = resource or "".join(random.choices(_ALNUM, k=8))
        self.clock = itertools.count(int(time.time()))

    async def start(self) -> None:
        await self.fetch_token(self.stage.app_id)
        await self.connect(*await self.resolve(*self.resolver_request()))
        await self.conn()
        assert (await self.bind()).result

    def resolver_request(self) -> tuple[str, str, str]:
        """Target and domains: it goes nowhere without addresses for both."""
        frontend, relay = self.data["feDomainName"], self.data["relayDomainName"]
        return f"/gslb/?ver=4.0&type=wifi&list={frontend},{relay}", frontend, relay

    async def create_topic(self, name: str, *accounts: str) -> Answer:
        """``POST /api/topic/<app id>`` by the application's secret; an account that is not ASCII goes as base64."""
        stage = self.stage
        headers = {"appKey": stage.app_key, "appSecret": stage.app_secret, "appAccount": self.account}
        if not self.account.isascii():
            encoded = base64.b64encode(self.account.encode()).decode()
            headers = {**headers, "appAccount": encoded, "appAccountEncode": "base64"}
        body = {"topicName": name, "accounts": ",".join(accounts)}
        headers["Content-Type"] = "application/json;charset=UTF-8"
        return await ask(stage.http_url, "POST", f"/api/topic/{stage.app_id}", headers, body)

    # ------------------------------------------------------------------------------------------------- messages

    def send_to(self, account: str, payload: bytes, *, biz_type: str = "") -> str:
        """P2P; the id is that of the packet."""
        recipient = User(app_id=self.stage.app_id, account=account)
        body = P2PMessage(sender=self.me, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        return self.write_apart(body, conversation=False)

    def send_group(self, topic_id: int, payload: bytes, *, biz_type: str = "") -> str:
        """P2T."""
        recipient = Group(app_id=self.stage.app_id, topic_id=topic_id)
        body = P2TMessage(sender=self.me, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        return self.write_apart(body, conversation=False)

    def send_online(self, account: str, payload: bytes) -> str:
        """It never answers one, and waits for no answer; isStore is there as well."""
        recipient = User(app_id=self.stage.app_id, account=account)
        return self.write_apart(
            OnlineMessage(sender=self.me, recipient=recipient, payload=payload, is_store=False, biz_type="")
        )

    def acknowledge(self) -> None:
        """With the list's own uuid and resource."""
        compound, app_id = self.compound, self.stage.app_id
        sequence = compound.max_sequence or 0
        self.write_apart(SequenceAck(uuid=compound.uuid, resource=compound.resource, sequence=sequence, app_id=app_id))

    def write_apart(self, body: Any, **fields: Any) -> str:
        """A SECMSG whose header has another id than its packet, which says when it was sent: in seconds."""
        header_id = self.peer.next_id()
        packet = self.around(body, timestamp=next(self.clock), **fields)
        assert packet.packet_id != header_id
        return self.write_packet(packet, header_id)

    def ping(self) -> None:
        """Every 15 s of silence, and it does the same for a pong."""
        self.write(EMPTY_FRAME)
