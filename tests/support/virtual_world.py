"""Users of the asyncio adapter, a scripted server, and a network between them, all on virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mimc_transports.asyncio import User, connect
from support.virtual_loop import run

from mimc_proto.testing import APP_ID, Network, ScriptedServer, VirtualClock, token_answer

HOST, PORT = "fe", 5222


class World:
    """A scripted server on a network, and users of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.network = Network(self.clock)
        self.server = ScriptedServer(self.clock)
        self.network.listen(HOST, PORT, self.server)

    def user(self, account: str = "alice", token: Any = None, **options: Any) -> User:
        """A user who is not logged in yet."""
        options = {"addresses": [(HOST, PORT)], "resource": "pc", **options}
        return connect(APP_ID, account, token if token is not None else token_answer(account), **options)

    def run(self, story: Callable[[], Awaitable[object]]) -> None:
        """Run a story to its end."""

        async def whole() -> None:
            await story()

        run(self.clock, self.network, whole())
