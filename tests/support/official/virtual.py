"""Official clients on the virtual network of a `ServiceWorld`: what they get, and at which moment."""

from __future__ import annotations

from typing import Generic, TypeVar

from mimc_server.testing import ServiceWorld

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import BindAnswer, ConnAnswer, Packet
from mimc_proto.testing import FaultyPipe

from .client import Official

__all__ = ["OnNetwork", "World"]

C = TypeVar("C", bound=Official)


class World(ServiceWorld):
    """A `Stage` without HTTP."""

    http_url = ""


class OnNetwork(Generic[C]):
    """A client that is logged in to a world; its frames go out by its own verbs, and what comes is in ``got``.

    Without ``bind`` it goes no further than CONN.
    """

    def __init__(self, world: World, client: C, *, bind: bool = True) -> None:
        self.world, self.client = world, client
        self.got: list[tuple[float, bytes]] = []
        """When each frame came, and what it was; all are checked."""
        self.ended: float | None = None
        """When the service closed."""
        self._buffer = b""
        self._pipes: list[FaultyPipe] = []
        client.write = self._write  # type: ignore[method-assign]
        client.data = client.trust(world.token_answer(client.account))
        world.network.connect(*world.nodes[0].address, self._opened, _failed)
        world.run_until(lambda: self._pipes)
        client.write(client.peer.conn())
        world.run_until(lambda: self.got)
        client.peer.challenge = ConnAnswer.decode(client.peer.read(self.got[-1][1]).payload).challenge
        client.peer.encrypt_bodies()
        if bind:
            client.write(client.peer.bind())
            world.run_until(lambda: len(self.got) > 1)
            assert BindAnswer.decode(client.peer.read(self.got.pop(1)[1]).payload).result
        del self.got[0]

    def _write(self, *frames: bytes) -> None:
        self._pipes[0].client.write(frames)

    def _opened(self, pipe: FaultyPipe) -> None:
        pipe.client.attach(self)
        self._pipes.append(pipe)

    # -------------------------------------------------------------------------------------- as a user of its pipe

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= len(EMPTY_FRAME):
            size = len(EMPTY_FRAME) + int.from_bytes(self._buffer[4:8], "big")
            if len(self._buffer) < size:
                return
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            self.client.check(frame)
            self.got.append((self.world.clock.now, frame))

    def eof_received(self) -> None:
        self.ended = self.world.clock.now

    def connection_lost(self) -> None:
        raise AssertionError("the connection broke")

    def writing_resumed(self) -> None:
        """It sends little."""

    # ------------------------------------------------------------------------------------------------- what it got

    def packet(self) -> tuple[float, Packet]:
        """The next packet that came, and when."""
        at, frame = self.got.pop(0)
        return at, self.client.peer.read_packet(frame)


def _failed(error: Exception) -> None:
    raise error
