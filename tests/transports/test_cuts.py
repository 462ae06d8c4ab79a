"""A connection that breaks at any byte, of whatever is spoken on it: the user comes back and goes on.

On virtual time; the handshakes of proxies, which their library does on sockets, on loopback.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from support.proxies import HttpProxy, Proxy, SocksProxy
from support.town import QUICK, Town, losses, server_context, trusting
from support.virtual_tls import TlsListener
from support.virtual_websocket import WebSocketListener
from support.virtual_world import HOST, PORT, World

from mimc_proto import Delivery, Framing, SessionConfig
from mimc_proto.packets import P2PMessage
from mimc_proto.session import Message
from mimc_proto.testing import FaultyPipe, Listener

LONG = "MIMC_EXAMPLES" in os.environ
"""`make prove`: at every byte."""

STEPS = {"tcp": 7, "tls": 67, "websocket": 17, "websocket over tls": 101}
"""Every so many bytes a link is cut in `make test`."""

IN_A_LOGOUT = 3
"""A logout is no more than one in so many bytes of a conversation."""


class Cutting(list[FaultyPipe]):
    """The pipes of a network, of which the first is cut."""

    def __init__(self, direction: str, after_bytes: int) -> None:
        super().__init__()
        self.direction, self.after_bytes = direction, after_bytes

    def append(self, pipe: FaultyPipe) -> None:
        if not self:
            getattr(pipe, self.direction).cut(after_bytes=self.after_bytes)
        super().append(pipe)


def conversation(library: str, spoken: str, pipes: list[FaultyPipe]) -> World:
    """A login, a message each way, a group joined, a logout: whatever happens to the first connection."""
    websocket, tls = spoken.startswith("websocket"), spoken.endswith("tls")
    world = World(library, framing=Framing.WEBSOCKET if websocket else Framing.TCP)
    listener: Listener = WebSocketListener(world.server) if websocket else world.server
    world.network.listen(HOST, PORT, TlsListener(listener, server_context()) if tls else listener)
    world.network.pipes = pipes
    config = SessionConfig(delivery=Delivery.AT_LEAST_ONCE, send_timeout=60.0)
    secure: dict[str, Any] = {"ssl": trusting(), "server_hostname": "localhost"} if tls else {}

    async def story() -> None:
        async with world.user(config=config, websocket=websocket, **secure) as alice:
            assert (await alice.send("bob", b"to bob")).sequence
            world.server.deliver("alice", b"to alice")
            async for message in alice:
                assert isinstance(message, Message)
                assert message.payload == b"to alice"
                break
            await alice.join_unlimited(7)
            world.server.deliver("alice", b"once more")
            async for message in alice:
                assert message.payload == b"once more"
                break

    world.run(story)
    world.clock.run_for(60.0)  # the server hears of the end
    assert world.clock.waiting == []
    assert {body.payload for body in world.server.bodies(P2PMessage)} == {b"to bob"}
    assert world.server.errors == []
    return world


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("spoken", STEPS)
def test_a_link_may_break_at_any_byte_of_a_conversation(world: World, spoken: str, direction: str) -> None:
    library = world.library
    whole = conversation(library, spoken, []).network.pipe
    length = getattr(whole, direction).written
    assert length > 500
    step = 1 if LONG else STEPS[spoken]
    again = [
        len(conversation(library, spoken, Cutting(direction, after)).network.pipes) for after in range(0, length, step)
    ]
    assert set(again) <= {1, 2}
    assert again.count(1) * IN_A_LOGOUT <= len(again) + IN_A_LOGOUT  # only where the user was leaving


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize(("kind", "step"), [(SocksProxy, 1), (HttpProxy, 7)], ids=["socks5", "http"])
def test_a_proxy_may_break_at_any_byte_of_its_handshake(
    town: Town, kind: type[Proxy], step: int, direction: str
) -> None:
    with kind(login=("alice", "secret")) as proxy:

        async def story() -> None:
            proxy.limits = {}
            after, broke = 0, True
            while broke:
                proxy.limits = {direction: after}
                user = town.user("alice", proxy=proxy.url, config=QUICK)
                lost = losses(user)
                async with user:
                    assert user.online
                broke = bool(lost)
                assert len(lost) <= 1
                after += step
            assert after > 14

        town.adapter.run(story)
