"""The HTTP endpoints of a service."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import anyio
import conversations as base
from mimc_server.applications import Application, Applications
from mimc_server.http import HttpService, make_app
from mimc_server.store import MemoryStore
from mimc_server.tokens import TokenIssuer
from mutate_json import mutate_json

from .target import target

__all__ = ["endpoints"]

_APPLICATION = Application.of(app_id=base.ALICE.app_id, app_key="key", app_secret="secret", package=base.ALICE.package)
_BY_SECRET = {"appKey": "key", "appSecret": "secret", "appAccount": "alice", "appId": str(base.ALICE.app_id)}


def _requests() -> list[bytes]:
    login = {**_BY_SECRET, "appId": base.ALICE.app_id}
    span = {"toAccount": "bob", "fromAccount": "alice", "utcFromTime": 0, "utcToTime": 1000, "count": 5}
    group = {"account": "alice", "topicId": 21, "startSeq": 0, "stopSeq": 9, "utcFromTime": "0", "utcToTime": "9"}
    asked: list[tuple[str, str, object]] = [
        ("POST", "/api/account/token", login),
        ("GET", "/gslb/?ver=4.0&type=wifi&list=a,b&", None),
        ("POST", f"/api/topic/{base.ALICE.app_id}", {"topicName": "t", "accounts": "bob,carol", "extra": "x"}),
        ("GET", f"/api/topic/{base.ALICE.app_id}/2135000000000000", None),
        ("GET", f"/api/topic/{base.ALICE.app_id}/account", None),
        ("POST", f"/api/topic/{base.ALICE.app_id}/2135000000000000/accounts", {"accounts": "dave"}),
        ("DELETE", f"/api/topic/{base.ALICE.app_id}/2135000000000000/accounts?accounts=bob", None),
        ("PUT", f"/api/topic/{base.ALICE.app_id}/2135000000000000", {"bulletin": "b", "ownerAccount": "bob"}),
        ("DELETE", f"/api/topic/{base.ALICE.app_id}/2135000000000000", None),
        ("POST", "/api/uctopic", {"topicName": "t"}),
        ("GET", "/api/uctopic/topics", None),
        ("GET", "/api/uctopic/userlist", None),
        ("POST", "/api/uctopic/update", {"topicId": "21", "topicName": "n"}),
        ("POST", "/api/msg/p2p/queryOnTime", span),
        ("POST", "/api/msg/p2p/queryOnCount/v2/", span),
        ("POST", "/api/msg/p2t/queryOnSequence", group),
        ("GET", "/openapi.json", None),
    ]
    return [json.dumps([method, path, _BY_SECRET, body]).encode() for method, path, body in asked]


@target(mutate_json, _requests, share=1)
def endpoints(data: bytes) -> None:
    """Method, path, headers and body as JSON, or only a body: no answer is a 5xx, and all are JSON in the envelope."""
    try:
        method, path, headers, body = json.loads(data)
        path, query = str(path).encode(errors="replace").decode().partition("?")[::2]
        fields = [(str(name).encode("latin-1"), str(value).encode()) for name, value in dict(headers).items()]
        scope = {
            "method": str(method).encode("ascii", "replace").decode(),
            "path": path,
            "query_string": query.encode(),
            "headers": fields,
        }
        content = json.dumps(body).encode()
    except (ValueError, TypeError, RecursionError):
        scope = {"method": "POST", "path": "/api/account/token", "query_string": b"", "headers": []}
        content = data
    status, answer = anyio.run(_asked, scope, content)
    assert status < 500, (status, answer)


async def _asked(scope: dict[str, Any], content: bytes) -> tuple[int, bytes]:
    tokens = TokenIssuer(bytes(16), 3600.0, Random(1))
    http = HttpService(Applications([_APPLICATION]), MemoryStore(), tokens, list, wall_ms=lambda: 1_700_000_000_000)
    app = make_app(http)
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    whole = {"type": "http", "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "root_path": ""}
    raw = scope["path"].encode()
    await app({**whole, **scope, "raw_path": raw, "client": ("127.0.0.1", 1)}, receive, send)
    status: int = said[0]["status"]
    return status, b"".join(message.get("body", b"") for message in said[1:])
