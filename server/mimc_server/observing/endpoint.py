"""Where Prometheus gets the figures: the path ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI, Response
from starlette.types import ASGIApp

from ..store import Statistics, StoreError

__all__ = ["StoreFigures", "metrics_app", "metrics_router"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads; newer ones differ only in names that are not ours."""

FRESH = 30.0
"""Seconds for which the figures of the store are good: counting its messages reads an index from end to end."""

PATIENCE = 5.0
"""Seconds that the store gets; then it is said what it held before."""


class StoreFigures:
    """How much the store holds, counted now and then. ``read`` counts it, ``now`` gives seconds."""

    def __init__(self, read: Callable[[], Awaitable[Statistics]], now: Callable[[], float]) -> None:
        self._read = read
        self._now = now
        self._latest: Statistics | None = None
        self._fresh_until = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def latest(self) -> Statistics | None:
        """None if the store fails, or has not answered yet."""
        if self._reading is None and self._now() >= self._fresh_until:
            self._reading = asyncio.create_task(self._count())
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=PATIENCE)
        return self._latest

    async def _count(self) -> None:
        try:
            self._latest = await self._read()
        except StoreError:
            self._latest = None
        finally:
            self._fresh_until = self._now() + FRESH
            self._reading = None


def metrics_router(text: Callable[[], Awaitable[bytes]]) -> APIRouter:
    """The endpoint, for an application that has others; ``text`` gives what it answers."""
    router = APIRouter()

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(await text(), media_type=CONTENT_TYPE)

    return router


def metrics_app(text: Callable[[], Awaitable[bytes]]) -> ASGIApp:
    """An application that has nothing else."""
    app = FastAPI(openapi_url=None)
    app.include_router(metrics_router(text))
    return app
