"""Every adapter, and the service they are tried on."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
from mimc_server.testing import LoopbackService
from support.adapters import ADAPTERS, Adapter
from support.town import Town

NEEDS = {"uvloop": "uvloop", "trio": "trio"}


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    found: Adapter = request.param
    needed = NEEDS.get(found.name)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    return found


@pytest.fixture(scope="module")
def service() -> Iterator[LoopbackService]:
    with LoopbackService.in_thread() as running:
        yield running


@pytest.fixture
def town(adapter: Adapter, service: LoopbackService) -> Town:
    return Town(adapter, service)
