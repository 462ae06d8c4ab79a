"""Every test that takes ``bed`` or ``make_bed`` is run on every store."""

from collections.abc import Callable

import pytest
from mimc_server.store import StoreConfig
from support.store_bed import STORES, Bed


@pytest.fixture(params=STORES)
def make_bed(request: pytest.FixtureRequest) -> Callable[[StoreConfig], Bed]:
    make_store = STORES[request.param]
    return lambda config: Bed(make_store(config))


@pytest.fixture
def bed(make_bed: Callable[[StoreConfig], Bed]) -> Bed:
    return make_bed(StoreConfig())
