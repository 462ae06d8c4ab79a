"""Every test that takes ``town`` is run on every store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from mimc_server.store import StoreConfig
from support.store_bed import STORES, makes
from support.wired_town import WiredTown, wired_town


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=STORES)
async def town(request: pytest.FixtureRequest) -> AsyncIterator[WiredTown]:
    with makes(request.param) as make_store:
        async with wired_town(make_store(StoreConfig())) as made:
            yield made
