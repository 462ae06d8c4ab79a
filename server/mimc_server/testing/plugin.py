"""Fixtures for pytest, installed with the package: a service in memory for your own tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # pytest loads this before it measures coverage: what is imported now would never count as run
    from .loopback import LoopbackService
    from .world import ServiceWorld

__all__ = ["mimc_service", "mimc_world"]


@pytest.fixture
def mimc_world() -> ServiceWorld:
    """The whole service on virtual time, without sockets."""
    from .world import ServiceWorld

    return ServiceWorld()


@pytest.fixture
def mimc_service() -> Iterator[LoopbackService]:
    """The whole service on free ports of this machine, in a thread of its own."""
    from .loopback import LoopbackService

    with LoopbackService.in_thread() as service:
        yield service
