"""What is left behind: by users who leave no descriptor, thread, task or object; by who is forgotten, a warning."""

from __future__ import annotations

import functools
import gc
import os
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import pytest
from mimc_server.testing import LoopbackService
from support.adapters import Adapter
from support.town import Town

LONG = "MIMC_EXAMPLES" in os.environ
"""`make prove`."""

USERS = {"blocking": 40}
MANY = 1000 if LONG else 100
DESCRIPTORS = Path("/proc/self/fd")


def held() -> tuple[int, set[str]]:
    """Descriptors, and threads of ours."""
    gc.collect()
    count = len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.exists() else 0
    return count, {thread.name for thread in threading.enumerate() if thread.name.startswith("mimc")}


def visit(adapter: Adapter, count: int) -> list[weakref.ref[Any]]:
    """So many users log in to a service, talk to each other, and leave."""
    users: list[weakref.ref[Any]] = []
    with LoopbackService.in_thread() as service:
        town = Town(adapter, service)

        async def talk(number: int) -> None:
            async with town.user(f"user{number}") as user:
                users.append(weakref.ref(getattr(user, "inner", user)))
                await user.send(town.name(f"user{(number + 1) % count}"), b"hi")
                message = await user.receive()
                assert message.payload == b"hi"

        async def story() -> None:
            await adapter.together(*[functools.partial(talk, number) for number in range(count)])

        adapter.run(story)
    return users


def test_users_come_talk_and_go_on_sockets_and_nothing_is_left(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.adapters.PATIENCE", 120.0)
    visit(adapter, 2)  # what a library opens once stays open
    before = held()
    users = visit(adapter, USERS.get(adapter.name, MANY))
    assert held() == before
    assert [user for user in users if user() is not None] == []
    assert len(users) == USERS.get(adapter.name, MANY)


def test_one_who_is_forgotten_warns(town: Town) -> None:
    """A loop holds a user that is connected; it is found when the loop is gone. trio has its block's end for that."""
    if town.adapter.name not in ("asyncio", "eager", "uvloop"):
        pytest.skip("threads: in test_blocking; on trio a user is always in a block")

    async def story() -> None:
        assert (await town.user("alice")).online

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        town.adapter.run(story)
        gc.collect()
    said = [str(one.message) for one in caught if one.category is ResourceWarning]
    assert any("User object" in text and "was not closed" in text for text in said)  # beside the loop's own


def test_one_who_was_closed_or_never_entered_does_not_warn(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice"):
            pass
        town.user("bob").abort()
        town.user("carol")

    town.adapter.run(story)
    gc.collect()  # a warning would be an error
