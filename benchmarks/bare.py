"""A bare client, for scale: what the asyncio adapter is held against, in the same run.

It encodes with the same codec, writes once a turn of the loop and has a future for every message: no timeouts, no
limits, no checks, no reconnects, no state but the link's.
"""

from __future__ import annotations

import asyncio
from typing import cast

from acker import APP_ID, PACKAGE, SECURITY_KEY, UUID

from mimc_proto import ClientConnection, Credentials
from mimc_proto.events import AckReceived, BindAccepted, HandshakeCompleted


class Bare(asyncio.Protocol):
    """One link, driven with the least that works."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.online: asyncio.Future[None] = self.loop.create_future()
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.flush_due = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one
        self.link = ClientConnection(resource="bare", id_prefix="bareclient", now=0.0)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.link.receive_data(data, 0.0)
        for event in self.link.events():
            if type(event) is AckReceived:
                self.waiting.pop(event.ack.packet_id).set_result(None)
            elif isinstance(event, HandshakeCompleted):
                user = Credentials(
                    app_id=APP_ID, account="bare", uuid=UUID, token="bare", security_key=SECURITY_KEY, package=PACKAGE
                )
                self.link.bind(user, 0.0)
                self.flush()
            elif isinstance(event, BindAccepted):
                self.online.set_result(None)

    def send(self, account: str, payload: bytes) -> asyncio.Future[None]:
        """Queue a message; the future is done with its acknowledgement."""
        packet_id = self.link.send_p2p(account, payload, now=0.0)
        future = self.waiting[packet_id] = self.loop.create_future()
        if not self.flush_due:
            self.flush_due = True
            self.loop.call_soon(self.flush)
        return future

    def flush(self) -> None:
        self.flush_due = False
        while frames := self.link.data_to_send():
            self.transport.write(b"".join(frames))
