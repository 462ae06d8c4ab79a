"""The official WebJS client 1.0.3, in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import time
from collections import deque
from typing import Any

from support.links import ScriptedClient
from support.wires import TIMEOUT
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from mimc_proto import Framing
from mimc_proto.packets import Group, P2PMessage, P2TMessage, SequenceAck, UcMessage, UcPing, UcSequenceAck, User

from .client import Official, WebStage
from .http import Answer, ask

__all__ = ["ORIGIN", "USER_AGENT", "WebJs", "WebJsPeer"]

ORIGIN = "https://chat.example.org"
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


class WebJsPeer(ScriptedClient):
    """Its packets: ids of ``web<ms><n>``; no cipher, no dir_flag; in BIND ``kick`` is empty and signed
    as 0, and attributes are left out."""

    def __init__(self) -> None:
        super().__init__(Framing.WEBSOCKET, udid="websocket")
        self.milliseconds = itertools.count(time.time_ns() // 1_000_000)

    def next_id(self) -> str:
        self.count += 1
        return f"web{next(self.milliseconds)}{self.count}"

    def conn(self, **changes: Any) -> bytes:
        return super().conn(**{"model": "Netscape", "os": "", "sdk": 31, **changes})

    def bind(self, **changes: Any) -> bytes:
        return super().bind(**{"kick": "", "client_attrs": None, "cloud_attrs": None, **changes})


class WebJs(Official):
    """Asks over HTTP as a page of another origin, and goes to one WebSocket address, whoever its user is."""

    def __init__(self, stage: WebStage, account: str, resource: str | None = None) -> None:
        super().__init__(stage.stage, account, WebJsPeer())
        self.peer.resource = resource or hashlib.md5(USER_AGENT.encode(), usedforsecurity=False).hexdigest()
        self.address = stage.address
        self.topics: list[int] = []
        """It forgets none of these until the page is closed."""
        self._got: deque[bytes] = deque()

    async def start(self) -> None:
        await self.preflight("POST", "/api/account/token", "content-type")
        await self.fetch_token(str(self.stage.app_id))
        await self.connect(*self.address)
        await self.conn()
        assert (await self.bind()).result
        await self.learn_topics()

    # ------------------------------------------------------------------------------------------------------ HTTP

    async def preflight(self, method: str, target: str, *headers: str) -> None:
        """What a browser asks before a request that is not a simple one; it sends that only if all is allowed."""
        asked = {
            "Origin": ORIGIN,
            "User-Agent": USER_AGENT,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": ", ".join(sorted(headers)),
        }
        answer = await ask(self.stage.http_url, "OPTIONS", target, asked)
        assert answer.status in (200, 204)
        assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN)
        assert method in answer.headers["access-control-allow-methods"].split(", ")
        allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
        assert {name.lower() for name in headers} <= allowed

    async def as_page(self, method: str, target: str, **headers: str) -> Answer:
        """A request of the page, which may read the answer only if its origin is allowed to."""
        await self.preflight(method, target, *headers)
        answer = await ask(self.stage.http_url, method, target, {"Origin": ORIGIN, "User-Agent": USER_AGENT, **headers})
        assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN)
        return answer

    async def learn_topics(self) -> None:
        """``GET /api/uctopic/topics``, after login; ids that were numbers would be rounded."""
        answer = await self.as_page("GET", "/api/uctopic/topics", token=self.data["token"])
        assert all(type(topic) is str for topic in answer.data)
        self.topics = [int(topic) for topic in answer.data]

    # ------------------------------------------------------------------------------------------------- WebSocket

    async def connect(self, host: str, port: int) -> None:
        await super().connect(host, port)
        self._protocol = ClientProtocol(parse_uri(f"ws://{host}:{port}/"), max_size=None)
        request = self._protocol.connect()
        request.headers["Origin"] = ORIGIN
        request.headers["User-Agent"] = USER_AGENT
        self._protocol.send_request(request)
        self._flush()
        async with asyncio.timeout(TIMEOUT):
            while self._protocol.state.name == "CONNECTING":
                await self._receive()
        assert self._protocol.handshake_exc is None

    def write(self, *frames: bytes) -> None:
        for frame in frames:
            self._protocol.send_binary(frame)
        self._flush()

    async def frame(self) -> bytes:
        """One packet: a binary message holds exactly one, a second one would be lost."""
        async with asyncio.timeout(TIMEOUT):
            while not self._got:
                if not await self._receive():
                    raise asyncio.IncompleteReadError(b"", None)
        data = self._got.popleft()
        self.check(data)
        return data

    async def ended(self) -> bytes:
        """What comes before the service closes."""
        got = b""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                got += await self.frame()
        return got

    async def leave(self) -> list[bytes]:
        rest = []
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if self._protocol.state.name == "OPEN":
                self._protocol.send_close(1000)
                self._flush()
            while True:
                rest.append(await self.frame())
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()
        return rest

    async def _receive(self) -> bool:
        """Whether the connection is still open."""
        data = await self.reader.read(1 << 16)
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is not Opcode.CLOSE:
                assert (event.opcode, event.fin) == (Opcode.BINARY, True)
                self._got.append(bytes(event.data))
        self._flush()
        return bool(data)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.writer.write(data)

    # ------------------------------------------------------------------------------------------------- messages

    def send_to(self, account: str, payload: bytes, *, biz_type: str = "") -> str:
        """P2P."""
        recipient = User(app_id=self.stage.app_id, account=account)
        body = P2PMessage(sender=self.me, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        return self.write_packet(self.around(body))

    def send_group(self, topic_id: int, payload: bytes, *, biz_type: str = "") -> str:
        """P2T."""
        recipient = Group(app_id=self.stage.app_id, topic_id=topic_id)
        body = P2TMessage(sender=self.me, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        return self.write_packet(self.around(body))

    def acknowledge(self) -> None:
        """Before its application has had the messages."""
        uuid, resource, app_id = self.peer.uuid, self.peer.resource, self.stage.app_id
        sequence = self.compound.max_sequence or 0
        self.write_packet(self.around(SequenceAck(uuid=uuid, resource=resource, sequence=sequence, app_id=app_id)))

    def ping(self) -> None:
        """Every 180 s."""
        self.write(self.peer.command("PING"))

    # ----------------------------------------------------------------------------------------- unlimited groups

    def ping_groups(self, *topics: int) -> str:
        """Every 10 s, with every group that it ever was in."""
        return self.uc(UcPing(groups=tuple(self.group(topic) for topic in topics or self.topics)))

    def send_unlimited(self, topic_id: int, payload: bytes, *, biz_type: str = "") -> tuple[str, str]:
        """The ids outside and inside, which are not the same."""
        outer, inner = self.peer.next_id(), self.peer.next_id()
        group = self.group(topic_id)
        body = UcMessage(group=group, payload=payload, is_store=False, packet_id=inner, biz_type=biz_type)
        self.uc(body, outer, inner)
        return outer, inner

    def acknowledge_unlimited(self, topic_id: int, sequence: int) -> None:
        self.uc(UcSequenceAck(group=self.group(topic_id), sequence=sequence))
