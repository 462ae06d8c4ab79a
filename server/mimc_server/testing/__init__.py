"""A whole service for tests of programs that use one, and pytest fixtures for it (`mimc_server.testing.plugin`).

`ServiceWorld` is on virtual time and needs no network: for programs that embed `mimc_proto`. `LoopbackService` is on
ports of this machine: for everything else, the official clients included; it needs the extra ``[server]``.
``docs/how-to/test-your-program.md`` shows the use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend import StoredMessage
    from .loopback import LoopbackService
    from .world import Node, ServiceWorld, WorldUser

__all__ = ["LoopbackService", "Node", "ServiceWorld", "StoredMessage", "WorldUser"]

_MODULES = {
    "LoopbackService": "loopback",
    "Node": "world",
    "ServiceWorld": "world",
    "StoredMessage": "backend",
    "WorldUser": "world",
}


def __getattr__(name: str) -> object:
    """Imported when asked for: pytest loads the plugin before it measures coverage, and a world needs no HTTP."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
