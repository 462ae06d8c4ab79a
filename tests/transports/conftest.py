"""Every adapter, the service they are tried on, and the worlds in which time is virtual."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest
from mimc_server.testing import LoopbackService
from support.adapters import ADAPTERS, Adapter
from support.town import Town
from support.virtual_world import ADAPTERS as WORLDS
from support.virtual_world import LIBRARIES, World

NEEDS = {"uvloop": "uvloop", "trio": "trio"}


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    found: Adapter = request.param
    needed = NEEDS.get(found.name)
    if needed is not None and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    return found


def made(library: str) -> World:
    if library == "trio" and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    return World(library)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return made(request.param)


@pytest.fixture(params=LIBRARIES)
def async_world(request: pytest.FixtureRequest) -> World:
    """For what takes a loop: cancelling, coroutine functions."""
    return made(request.param)


@pytest.fixture
def asyncio_world() -> World:
    return made("asyncio")


@pytest.fixture(scope="module")
def service() -> Iterator[LoopbackService]:
    with LoopbackService.in_thread() as running:
        yield running


@pytest.fixture
def town(adapter: Adapter, service: LoopbackService) -> Town:
    return Town(adapter, service)
