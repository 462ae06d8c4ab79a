"""`mimc demo`: two users chat over real TCP on loopback, then a captured frame of the real cloud is decoded."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import click

from mimc_proto import ClientConnection, Credentials
from mimc_proto.events import (
    AckReceived,
    BindAccepted,
    ClientEvent,
    HandshakeCompleted,
    LinkClosed,
    MessagesReceived,
)
from mimc_proto.packets import P2TMessage, Packet, SequenceAck

from ._output import discard_output
from .decoding import Decoder, Keys
from .demonstration.driver import LinkProtocol, closing_links
from .demonstration.service import TOPIC, Service

__all__ = ["demo"]

CAPTURED_TEXT = "I'm OK!"

PATIENCE = 10.0
"""Seconds that the whole conversation may take: it needs a few milliseconds."""


class DemoError(Exception):
    """Something that the demo shows did not happen."""


class Client:
    """A user of the demo, one asyncio client made of a ClientConnection."""

    def __init__(self, credentials: Credentials, say: Callable[[str], None]) -> None:
        self._credentials = credentials
        self._say = say
        self._events: asyncio.Queue[ClientEvent] = asyncio.Queue()
        self.name = credentials.account

    async def log_in(self, host: str, port: int) -> None:
        """Connect, do the handshake, bind."""
        loop = asyncio.get_running_loop()
        _, self.protocol = await loop.create_connection(
            lambda: LinkProtocol(self._new_link, lambda _, event: self._events.put_nowait(event)), host, port
        )
        await self._expect(HandshakeCompleted)
        self.protocol.link.bind(self._credentials, now=self.protocol.now())
        self.protocol.flush()
        await self._expect(BindAccepted)
        self._say(f"{self.name}: online")

    async def send(self, to: str | int, text: str) -> None:
        """Send a text to a user or a group and wait for the server's ack."""
        link, now = self.protocol.link, self.protocol.now()
        if isinstance(to, str):
            packet_id = link.send_p2p(to, text.encode(), now=now)
        else:
            packet_id = link.send_p2t(to, text.encode(), now=now)
        self.protocol.flush()
        self._say(f"{self.name} -> {to}: {text}")
        ack = (await self._expect(AckReceived)).ack
        if ack.packet_id != packet_id or ack.code or not ack.sequence:
            raise DemoError(f"{self.name} expected the ack of {packet_id}, got {ack!r}")
        self._say(f"{self.name}: acknowledged as {ack.sequence}")

    async def receive(self, sender: str, text: str, *, group: bool = False) -> None:
        """Wait for one message, check it, acknowledge it."""
        event = await self._expect(MessagesReceived)
        packet: Packet = event.packets[0]
        body: Any = packet.body
        got = (body.sender.account, body.payload.decode(), isinstance(body, P2TMessage))
        if len(event.packets) != 1 or got != (sender, text, group):
            raise DemoError(f"{self.name} expected {text!r} from {sender}, got {got}")
        self.protocol.link.send(SequenceAck(sequence=event.max_sequence), now=self.protocol.now())
        self.protocol.flush()
        self._say(f"{self.name} <- {sender}{' (group)' if group else ''}: {text}")

    async def log_out(self) -> None:
        """UBND, and wait for the end of the link."""
        self.protocol.link.unbind(now=self.protocol.now())
        self.protocol.flush()
        closed = await self._expect(LinkClosed)
        self._say(f"{self.name}: {closed.reason.value}")

    def _new_link(self, now: float) -> ClientConnection:
        return ClientConnection(resource=f"demo-{self.name}", id_prefix=secrets.token_hex(8), now=now)

    async def _expect(self, kind: type[Any]) -> Any:
        event = await self._events.get()
        if not isinstance(event, kind):
            raise DemoError(f"{self.name} expected {kind.__name__}, got {event!r}")
        return event


async def chat(say: Callable[[str], None]) -> str:
    """The conversation; returns what went over the wire."""
    service = Service(("alice", "bob"), say)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(service.accept, "127.0.0.1", 0)
    async with listener, asyncio.timeout(PATIENCE), closing_links():
        host, port = listener.sockets[0].getsockname()[:2]
        say(f"server: listening on {host}:{port}")
        alice, bob = (Client(account.credentials, say) for account in service.accounts.values())
        await alice.log_in(host, port)
        await alice.send("bob", "Are you there? This waits for you.")
        await bob.log_in(host, port)
        await bob.receive("alice", "Are you there? This waits for you.")
        await bob.send("alice", "你好, Alice")
        await alice.receive("bob", "你好, Alice")
        await alice.send("bob", "Now straight through.")
        await bob.receive("alice", "Now straight through.")
        await bob.send(TOPIC, "Hello, group.")
        await alice.receive("bob", "Hello, group.", group=True)
        await alice.log_out()
        await bob.log_out()
        left = sum(len(account.inbox) for account in service.accounts.values())
        if left:
            raise DemoError(f"{left} messages were not acknowledged by their receivers")
        sent = alice.protocol.sent + bob.protocol.sent
        received = alice.protocol.received + bob.protocol.received
    return f"4 messages sent, acknowledged and received, 1 of them after waiting; {sent} bytes up, {received} down"


def decode_captured(say: Callable[[str], None]) -> str:
    """Decode the one captured frame of the real cloud, as ``mimc decode`` does; returns a summary."""
    captured = json.loads(files("mimc_cli").joinpath("captured.json").read_text("utf-8"))
    keys = Keys(body_key=bytes.fromhex(captured["body_key_hex"]), security_key=captured["security_key"])
    decoder = Decoder(keys)
    (shown,) = decoder.decode(bytes.fromhex(captured["frame_hex"]))
    say(json.dumps(shown, ensure_ascii=False))
    if decoder.broken or CAPTURED_TEXT not in json.dumps(shown):
        raise DemoError(f"the captured frame does not decode to {CAPTURED_TEXT!r}")
    return f'a frame captured from the real cloud says "{CAPTURED_TEXT}"'


def say(line: str) -> None:
    """A line of the transcript; if nobody reads it, the demo goes on in silence."""
    try:
        click.echo(line)
    except BrokenPipeError:
        discard_output()


@click.command()
def demo() -> None:
    """Show two users chatting over real TCP on this machine, and decode a frame of the real cloud.

    Exit status: 0 only if everything happened.
    """
    try:
        chatted = asyncio.run(chat(say))
        decoded = decode_captured(say)
    except (DemoError, OSError, TimeoutError) as error:
        click.echo(f"demo FAILED: {str(error) or 'the conversation took too long'}", err=True)
        sys.exit(1)
    say(f"demo OK: {chatted}; {decoded}")
