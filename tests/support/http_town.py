"""The HTTP endpoints on a store, with users who ask them by token."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

import httpx2
from fastapi import FastAPI
from mimc_server.applications import Application, Applications
from mimc_server.http import HttpService, Perform, at_once, make_app
from mimc_server.http.document import openapi_document
from mimc_server.http.routes import ROUTERS
from mimc_server.store import Kind, Member, MemoryStore, NewMessage, Store, Stored, StoreError
from mimc_server.tokens import TokenIssuer

__all__ = ["APP", "BY_SECRET", "LOGIN", "NOON", "OTHER", "FailingStore", "HttpTown", "document"]

NOON = 1_700_049_600_000
APP = Application.of(app_id=2882303761500000001, app_key="a key", app_secret="a secret", package="com.example.mimc")
OTHER = Application.of(app_id=2882303761500000002, app_key="its key", app_secret="its secret", package="com.other")
LOGIN = {"appId": APP.app_id, "appKey": "a key", "appSecret": "a secret", "appAccount": "alice"}
BY_SECRET = {name: str(value) for name, value in LOGIN.items()}
"""Alice, as the application's server names her."""


def document() -> dict[str, Any]:
    """The OpenAPI document of all endpoints, to be changed at will."""
    app = FastAPI()
    for router in ROUTERS:
        app.routes.extend(router.routes)
    return openapi_document(app)


class FailingStore:
    """A store that fails in every call."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise StoreError("the disk of /var/lib/mimc is full of alice")

        return fail


@dataclasses.dataclass
class HttpTown:
    """The endpoints; ``groups`` and ``perform`` as `make_app` takes them."""

    store: Store = dataclasses.field(default_factory=MemoryStore)
    frontends: list[tuple[str, int]] = dataclasses.field(default_factory=lambda: [("10.0.0.7", 5222)])
    now: int = NOON
    groups: Any = None
    perform: Perform = at_once
    max_group_members: int = 500

    def __post_init__(self) -> None:
        self.tokens = TokenIssuer(b"a secret of the issuer", 3600.0, Random(1))
        self.service = HttpService(
            Applications([APP, OTHER]),
            self.store,
            self.tokens,
            lambda: self.frontends,
            max_group_members=self.max_group_members,
            wall_ms=lambda: self.now,
        )
        self.app = make_app(self.service, self.perform, self.groups)
        self._packets = 0

    # ---- the store

    def member(self, account: str, app_id: int = APP.app_id) -> Member:
        return self.store.user(app_id, account, self.now)

    def accounts(self) -> set[str]:
        """Of all users of the application."""
        return {member.account for member in self.store.users(APP.app_id, 0, 10_000)}

    def say(self, sender: str, target: str | int, payload: bytes = b"hi", **changes: Any) -> Stored:
        """Store a message: P2P to an account, P2T to a group."""
        self._packets += 1
        message = NewMessage(
            app_id=APP.app_id,
            sender=self.member(sender),
            resource="phone",
            epoch=0,
            packet_id=f"packet_{self._packets}",
            kind=Kind.P2P if isinstance(target, str) else Kind.P2T,
            target=target,
            payload=payload,
            biz_type=None,
            is_store=True,
        ).replace(**changes)
        [stored] = self.store.append([message], self.now)
        assert isinstance(stored, Stored), stored
        return stored

    # ---- requests

    def token(self, account: str = "alice") -> str:
        issued = self.tokens.issue(APP.app_id, account, self.member(account).uuid, self.now)
        return issued.token

    async def ask(self, method: str, path: str, here: str = "127.0.0.1", **options: Any) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app)
        host = f"[{here}]" if ":" in here else here
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}", verify=False) as client:
            return await client.request(method, path, **options)

    async def answer(self, method: str, path: str, **options: Any) -> Any:
        """The body of an answer with status 200; ``by`` names the user whose token it is asked with."""
        by = options.pop("by", None)
        if by is not None:
            options["headers"] = {"token": self.token(by), **options.get("headers", {})}
        response = await self.ask(method, path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    async def data(self, method: str, path: str, **options: Any) -> Any:
        """What a request that succeeded gives."""
        answer = await self.answer(method, path, **options)
        assert (answer["code"], answer["message"]) == (200, "success"), answer
        return answer["data"]

    async def failure(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Code and message of a request that failed."""
        answer = await self.answer(method, path, **options)
        assert answer["data"] is None, answer
        return answer["code"], answer["message"]

    # ---- groups

    async def group(self, owner: str, *members: str, **fields: str) -> str:
        """The id of a new normal group."""
        body = {"topicName": "team", "accounts": ",".join(members), **fields}
        made = await self.data("POST", f"/api/topic/{APP.app_id}", json=body, by=owner)
        topic_id: str = made["topicInfo"]["topicId"]
        return topic_id

    async def unlimited_group(self, owner: str, *members: str, **fields: str) -> str:
        """The id of a new unlimited group; the others join it in the store."""
        made = await self.data("POST", "/api/uctopic", json={"topicName": "all", **fields}, by=owner)
        topic_id: str = made["topicId"]
        uuids = [self.member(account).uuid for account in members]
        assert self.store.add_members(int(topic_id), uuids, unlimited=True) is None
        return topic_id
