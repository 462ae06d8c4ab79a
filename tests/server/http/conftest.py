"""Every test that takes ``town`` or ``make_town`` is run on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mimc_server.store import StoreConfig
from support.http_town import HttpTown
from support.store_bed import STORES, makes


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=STORES)
def make_town(request: pytest.FixtureRequest) -> Iterator[Callable[..., HttpTown]]:
    with makes(request.param) as make_store:

        def make(config: StoreConfig | None = None, **options: Any) -> HttpTown:
            return HttpTown(make_store(config or StoreConfig()), **options)

        yield make


@pytest.fixture
def town(make_town: Callable[..., HttpTown]) -> HttpTown:
    return make_town()
