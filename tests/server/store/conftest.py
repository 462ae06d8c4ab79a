"""Every test that takes ``bed`` or ``make_bed`` is run on every store."""

from collections.abc import Callable, Iterator

import pytest
from mimc_server.store import StoreConfig
from support.store_bed import STORES, Bed, makes


@pytest.fixture(params=STORES)
def make_bed(request: pytest.FixtureRequest) -> Iterator[Callable[[StoreConfig], Bed]]:
    with makes(request.param) as make_store:
        yield lambda config: Bed(make_store(config))


@pytest.fixture
def bed(make_bed: Callable[[StoreConfig], Bed]) -> Bed:
    return make_bed(StoreConfig())
