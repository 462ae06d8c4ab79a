"""A server that is killed at any moment under load has lost nothing that it acknowledged, and goes on where it was.

Ten kills in `make test`, the same moments in every run as far as a machine has such; 200 others in `make prove`.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import pytest
from support.killing import Load, Premises, Servers

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed there as it is elsewhere"),
]

EXAMPLES = os.environ.get("MIMC_EXAMPLES")
KILLS = 5
"""In a row, of one server."""
ANY = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))  # all processes of a run have to name the same tests
SEEDS = range(2) if EXAMPLES is None else [ANY.getrandbits(32) for _ in range(int(EXAMPLES) // 25)]
"""The seed of a test is in its name."""

MOST = 400
"""Acknowledgements and deliveries that a server lives for at most; usually it makes some thousands a second."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_a_killed_server_has_acknowledged_is_stored_once_and_read_once_and_in_order(
    tmp_path: Path, seed: int
) -> None:
    rng, premises = random.Random(seed), Premises(tmp_path / "data")
    async with Servers.on(premises) as servers:
        await servers.begin()
        await servers.serving()
        load = Load(premises)
        async with load.running():
            for kill in range(KILLS):
                if rng.random() < 0.9:  # else it is killed while it starts
                    await servers.serving()
                    await load.until(load.happened + rng.choice([0, 1, rng.randrange(MOST), rng.randrange(MOST)]))
                await servers.end(signal.SIGKILL)
                copy = premises.copied(tmp_path / f"after kill {kill}")
                load.check_stored(copy)
                copy.close()
                await servers.begin()
            await servers.serving()
            await load.until(load.happened + MOST)
            await load.drain()
        assert await servers.end(signal.SIGTERM) == 0
        assert servers.complaints == []
    store = premises.open()
    load.check_stored(store)
    load.check_read()
    store.close()
    assert len(load.stored) > 100
