"""A small server without sockets, for `mimc fuzz`: healthy, or broken in one way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from mimc_cli.fuzzing.attack import Server
from mimc_cli.fuzzing.wires import Closed

from mimc_proto import Framing, RemoteProtocolError, ServerConnection
from mimc_proto.events import BindRequested, PacketReceived
from mimc_proto.packets import P2PMessage, P2TMessage, Packet, PacketAck

from .links import CHALLENGE, accept, credentials

__all__ = ["FuzzedServer", "Gullible"]

Fault = Callable[["FuzzedServer", "ServerWire", Packet], object]


class Gullible(ServerConnection):
    """Looks at no signature."""

    def _signed_by(self, request: BindRequested, security_key: str) -> bool:
        return True


class FuzzedServer:
    """Lets the user of the tests in and acknowledges messages; time passes only while somebody waits for it.

    ``fault`` is called with every packet. It may break something: ``die``, ``back_at``, a wire's ``mute``, ``change``.
    """

    def __init__(
        self,
        fault: Fault = lambda *_: None,
        *,
        framing: Framing = Framing.TCP,
        link: type[ServerConnection] = ServerConnection,
        change: Callable[[bytes], bytes] = lambda frame: frame,
        logs_in: bool = True,
    ) -> None:
        self.now = 0.0
        self.alive = True
        self.back_at = 1e9
        """When it is started again."""
        self.full = False
        """Whether it closes new links at once."""
        self.quiet = False
        """Whether it says nothing on new links."""
        self.lets_in: bool | None = True
        """Whether logins are good; None: they are not answered."""
        self.wires: list[ServerWire] = []
        self.fault = fault
        self.change = change
        """What becomes of the frames that go out."""
        self._framing = framing
        self._link = link
        self._numbers = iter(range(1, 1 << 30))
        self.server = Server(
            dial=self.dial,
            framing=framing,
            credentials=credentials() if logs_in else None,
            now=lambda: self.now,
            sleep=self.sleep,
            answer_timeout=5.0,
        )

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    def dial(self) -> ServerWire:
        """A new link."""
        self.alive = self.alive or self.now >= self.back_at
        if not self.alive:
            raise ConnectionRefusedError
        link = self._link(challenge=CHALLENGE, first_id=0, now=self.now, framing=self._framing)
        wire = ServerWire(self, link)
        wire.mute = self.quiet
        if not self.full:
            self.wires.append(wire)
        return wire

    def die(self) -> None:
        """All links end, and there are no new ones."""
        self.alive = False
        self.wires.clear()

    def acknowledge(self, link: ServerConnection, packet: Packet) -> None:
        """As every server answers a message."""
        if isinstance(packet.body, P2PMessage | P2TMessage) and packet.packet_id:
            ack = PacketAck(packet_id=packet.packet_id, sequence=next(self._numbers), timestamp=1)
            link.send(ack, now=self.now)


class ServerWire:
    """A client's connection to it."""

    def __init__(self, server: FuzzedServer, link: ServerConnection) -> None:
        self._server = server
        self.link = link
        self.mute = False
        self.change = server.change

    def send(self, frames: list[bytes]) -> None:
        """The server acts at once."""
        self._check()
        for frame in frames:
            with contextlib.suppress(RemoteProtocolError):  # it closes then
                self.link.receive_data(frame, self._server.now)
            for event in self.link.events():
                if isinstance(event, BindRequested):
                    self._answer_login()
                elif isinstance(event, PacketReceived):
                    self._server.acknowledge(self.link, event.packet)
                    self._server.fault(self._server, self, event.packet)

    def _answer_login(self) -> None:
        if self._server.lets_in:
            accept(self.link, now=self._server.now)
        elif self._server.lets_in is not None:
            self.link.refuse_bind("other", now=self._server.now)

    def receive(self, timeout: float) -> list[bytes]:
        """What it said, or nothing after so many seconds."""
        self._check()
        frames = [] if self.mute else [self.change(frame) for frame in self.link.data_to_send()]
        if not frames:
            if self.link.close_expected() is not None:
                raise Closed
            self._server.now += max(timeout, 0.001)
        return frames

    def close(self) -> None:
        """The client's end."""
        if self in self._server.wires:
            self._server.wires.remove(self)

    def _check(self) -> None:
        if self not in self._server.wires:
            raise Closed
