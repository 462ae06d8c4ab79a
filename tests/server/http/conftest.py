"""Every test that takes ``town`` or ``make_town`` is run on every store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mimc_server.store import StoreConfig
from support.http_town import HttpTown
from support.store_bed import STORES


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=STORES)
def make_town(request: pytest.FixtureRequest) -> Callable[..., HttpTown]:
    def make(config: StoreConfig | None = None, **options: Any) -> HttpTown:
        return HttpTown(STORES[request.param](config or StoreConfig()), **options)

    return make


@pytest.fixture
def town(make_town: Callable[..., HttpTown]) -> HttpTown:
    return make_town()
