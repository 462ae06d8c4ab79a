"""A server with an application, asked as an admin asks it but for the socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mimc_server.administration import ApplicationKeys
from mimc_server.server import Server
from mimc_server.settings import Address, Listen, Settings
from mimc_transports.asyncio import connect
from support.wires import TIMEOUT

ANY = Address("127.0.0.1", 0)
HERE = Listen(tcp=(ANY,), websocket=(), http=())


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Office:
    """A server that runs, with an application ``keys``."""

    def __init__(self, server: Server, keys: ApplicationKeys, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.keys = keys
        self._client = client

    async def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """What the answer holds, or for another status its error."""
        response = await self._client.request(method, path, **options)
        assert response.status_code == status, response.text
        return response.json() if status == 200 else response.json()["error"]

    async def get(self, path: str, **params: Any) -> Any:
        return await self.ask("GET", path, params=params or None)

    async def post(self, path: str, /, **body: Any) -> Any:
        return await self.ask("POST", path, json=body)

    def user(self, account: str, resource: str = "pc") -> Any:
        """A client of ours that logs in."""

        async def token() -> str:
            application = self.server.applications.get(self.keys.app_id)
            assert application is not None
            return json.dumps(await self.server.perform(lambda: self.server.issue_token(application, account)))

        addresses = [self.server.addresses.tcp[0]]
        return connect(self.keys.app_id, account, token, addresses=addresses, resource=resource)

    async def group(self, owner: str, *members: str, unlimited: bool = False, app_id: int | None = None) -> int:
        """The id of a new group."""
        store, app = self.server.store, app_id or self.keys.app_id

        def create() -> Any:
            one, *others = (store.user(app, account, self.server.wall_ms()).uuid for account in (owner, *members))
            return store.create_group(app, one, "team", others, self.server.wall_ms(), unlimited=unlimited)

        made: int = (await self.server.perform(create)).topic_id
        return made


Open = Callable[..., contextlib.AbstractAsyncContextManager[Office]]


@pytest.fixture
def office() -> Open:
    """Opens one, in a folder or in memory, with other settings if need be."""

    @contextlib.asynccontextmanager
    async def opened(folder: Path | None = None, **changes: Any) -> AsyncIterator[Office]:
        settings = Settings(data=folder, memory=folder is None, listen=HERE, stop_timeout=1.0, **changes)
        async with asyncio.timeout(TIMEOUT), Server(settings) as server:
            transport = httpx2.ASGITransport(app=server.operating.admin_app())
            async with httpx2.AsyncClient(transport=transport, base_url="http://mimc") as client:
                yield Office(server, await server.add_application("com.example"), client)

    return opened
