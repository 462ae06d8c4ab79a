"""What every request passes: slashes, content types, HEAD, a limit, and what browsers want (clients.md rule 18)."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .envelope import failed

__all__ = ["MAX_BODY", "FrontDoor", "bounded"]

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
    """Paths with a trailing slash are those without; bodies are JSON whatever their content type says; pages of any
    origin may ask; OPTIONS is answered for any path, HEAD as GET.

    A request that says twice how long it is is refused and its connection closed. A body that turns out to be too large
    raises HTTPException (413) in whoever reads it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # lifespan
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": _CORS})
            await send({"type": "http.response.body", "body": b""})
        elif {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
            # whatever stands before us may have taken the other one to say where this request ends (RFC 9112, 6.3)
            refusal = failed(400, "expected Content-Length or Transfer-Encoding, got both", 400)
            refusal.headers["connection"] = "close"
            await refusal(scope, receive, send)
        else:
            headless = scope["method"] == "HEAD"
            changes = {
                "path": scope["path"].rstrip("/") or "/",
                "method": "GET" if headless else scope["method"],
                # JSON is JSON: curl and others call it a form, and the framework would not look at it
                "headers": [header for header in scope["headers"] if header[0] != b"content-type"],
            }
            await self._app({**scope, **changes}, bounded(receive), _opened(send, headless))


def bounded(receive: Receive) -> Receive:
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
