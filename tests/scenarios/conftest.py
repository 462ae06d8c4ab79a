"""The services that official clients are played against."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from mimc_server.testing import LoopbackService
from support.official.client import Stage, WebStage

from mimc_proto import Framing


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A whole service over HTTP and TCP."""
    async with LoopbackService() as service:
        yield service


@pytest.fixture
async def web_stage() -> AsyncIterator[WebStage]:
    """The same, and its address for browsers."""
    async with LoopbackService() as service:
        yield WebStage(service, await service._running().listen("127.0.0.1", 0, framing=Framing.WEBSOCKET))
