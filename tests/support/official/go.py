"""The official Go client."""

from __future__ import annotations

import random
import string
import urllib.parse
from typing import Any

from support.links import ScriptedClient

from mimc_proto.packets import Group, P2PMessage, P2TMessage, SequenceAck, User

from .client import Official, Stage

__all__ = ["Go", "GoPeer"]


class GoPeer(ScriptedClient):
    """Its frames: full headers, one id of ``mimc_go_<10 letters>_<n>`` for header and packet, no udid."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = f"{prefix}_"

    def conn(self, **changes: Any) -> bytes:
        return super().conn(**{"os": "macOs", **changes})


class Go(Official):
    """Logs in over HTTP without TLS; acknowledges lists before its application has them."""

    def __init__(self, stage: Stage, account: str, resource: str | None = None) -> None:
        drawn = ["mimc_go_" + "".join(random.choices(string.ascii_letters, k=10)) for _ in range(2)]
        super().__init__(stage, account, GoPeer(drawn[0]))
        self.peer.resource = drawn[1] if resource is None else resource

    async def start(self) -> None:
        await self.fetch_token(self.stage.app_id)
        await self.connect(*await self.resolve(*self.resolver_request()))
        await self.conn()
        assert (await self.bind()).result

    def resolver_request(self) -> tuple[str, str]:
        """Target and domain."""
        domain = self.data["feDomainName"]
        query = urllib.parse.urlencode({"ver": "4.0", "type": "wifi", "list": domain})
        return f"/gslb/?{query}", domain

    # ------------------------------------------------------------------------------------------------- messages

    def send_to(self, account: str, payload: bytes, **changes: Any) -> str:
        """P2P: the receiver has uuid 0 and an empty resource; no conversation, no bizType."""
        recipient = User(app_id=self.stage.app_id, account=account, uuid=0, resource="")
        body = P2PMessage(
            **{"sender": self.me, "recipient": recipient, "payload": payload, "is_store": True, **changes}
        )
        return self.write_packet(self.around(body))

    def send_group(self, topic_id: int, payload: bytes, **changes: Any) -> str:
        """P2T."""
        recipient = Group(app_id=self.stage.app_id, topic_id=topic_id)
        body = P2TMessage(
            **{"sender": self.me, "recipient": recipient, "payload": payload, "is_store": True, **changes}
        )
        return self.write_packet(self.around(body))

    def acknowledge(self) -> None:
        """With the list's own uuid and resource, and a sequence of the packet too."""
        compound = self.compound
        sequence = compound.max_sequence or 0
        app_id = self.stage.app_id
        body = SequenceAck(uuid=compound.uuid, resource=compound.resource, sequence=sequence, app_id=app_id)
        self.write_packet(self.around(body, sequence=sequence))

    def ping(self) -> None:
        """Every 3 s of silence."""
        self.write(self.peer.command("PING"))
