"""Counts the requests of an HTTP application, as a middleware of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ANSWER_CODE", "Answered", "CountRequests"]

ANSWER_CODE = "mimc.answer-code"
"""In a scope: the code of an answer whose HTTP status does not tell it (that of an envelope)."""

Answered = Callable[[str, str, int, float], object]
"""Method, route, code and seconds of a request that was answered (`Metrics.answered`)."""

METHODS = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})


class CountRequests:
    """Tells of every request: its method and route, both of a few that there are, the code of its answer, seconds."""

    def __init__(self, app: ASGIApp, answered: Answered, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._answered = answered
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = self._now(), 500  # what the framework answers if nothing else is

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            seconds = self._now() - started
            self._answered(method, _route(scope.get("route")), scope.get(ANSWER_CODE, status), seconds)


def _route(route: Any) -> str:
    """Its path with names in place of what varies; ``unknown`` for a path of the peer's invention."""
    return getattr(route, "path", "unknown")
