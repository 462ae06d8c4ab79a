"""What every request passes: trailing slashes, HEAD, a limit, and what browsers want (clients.md rule 18)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MAX_BODY", "FrontDoor"]

MAX_BODY = 64 * 1024
"""Bytes of a request's body."""

_HEADERS = "content-type, token, topicId, startUuid, appId, appKey, appSecret, appAccount, appAccountEncode"
_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
    (b"access-control-allow-headers", _HEADERS.encode()),
    (b"access-control-max-age", b"86400"),
]


class FrontDoor:
    """Paths with a trailing slash are those without; pages of any origin may ask; OPTIONS is answered for any path,
    HEAD as GET.

    A body that turns out to be too large raises HTTPException (413) in whoever reads it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": _CORS})
            await send({"type": "http.response.body", "body": b""})
        else:
            headless = scope["method"] == "HEAD"
            changes = {"path": scope["path"].rstrip("/") or "/", "method": "GET" if headless else scope["method"]}
            await self._app({**scope, **changes}, _bounded(receive), _opened(send, headless))


def _bounded(receive: Receive) -> Receive:
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY:
            raise HTTPException(413, f"expected a body of at most {MAX_BODY} bytes")
        return message

    return counted


def _opened(send: Send, headless: bool) -> Send:
    async def changed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_CORS]}
        elif headless:
            message = {**message, "body": b""}
        await send(message)

    return changed
