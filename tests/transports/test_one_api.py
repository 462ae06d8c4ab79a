"""The adapters have one API: the same names with the same parameters, wherever one can wait in the same way."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

NAMES = ("asyncio", "trio", "blocking")
WAITERS = {"receive", "wait_online", "wait_room"}
"""What takes a ``timeout`` on the blocking adapter only: elsewhere a scope does that."""


@pytest.fixture(params=NAMES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "trio" and importlib.util.find_spec("trio") is None:
        pytest.skip("trio is not installed")
    return importlib.import_module(f"mimc_transports.{request.param}")


def api(module: ModuleType) -> dict[str, Any]:
    """The public methods and properties of a user."""
    return {name: member for name, member in inspect.getmembers(module.User) if not name.startswith("_")}


def parameters(function: Callable[..., object]) -> dict[str, tuple[object, object, object]]:
    """Names, with kind, default and type."""
    found = inspect.signature(function).parameters.values()
    return {one.name: (one.kind, one.default, one.annotation) for one in found}


REFERENCE = importlib.import_module("mimc_transports.asyncio")


def test_a_module_has_the_same_public_names(module: ModuleType) -> None:
    assert module.__all__ == REFERENCE.__all__
    assert module.connect is module.User


def test_a_user_has_the_same_members(module: ModuleType) -> None:
    assert list(api(module)) == list(api(REFERENCE))


def test_to_connect_takes_the_same_arguments(module: ModuleType) -> None:
    assert parameters(module.User) == parameters(REFERENCE.User)


@pytest.mark.parametrize("name", [name for name, member in api(REFERENCE).items() if callable(member)])
def test_a_method_takes_the_same_arguments_and_says_the_same(module: ModuleType, name: str) -> None:
    taken, expected = parameters(api(module)[name]), parameters(api(REFERENCE)[name])
    if module.__name__.endswith("blocking") and name in WAITERS:
        assert taken.pop("timeout") == (inspect.Parameter.KEYWORD_ONLY, None, "float | None")
    assert taken == expected
    assert inspect.getdoc(api(module)[name])


@pytest.mark.parametrize("name", [name for name, member in api(REFERENCE).items() if callable(member)])
def test_a_method_that_waits_is_a_coroutine_function_where_there_is_a_loop(module: ModuleType, name: str) -> None:
    waits = inspect.iscoroutinefunction(api(REFERENCE)[name])
    if module.__name__.endswith("blocking"):
        assert not inspect.iscoroutinefunction(api(module)[name])
    else:
        assert inspect.iscoroutinefunction(api(module)[name]) is waits
