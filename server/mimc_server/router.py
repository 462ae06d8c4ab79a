"""The router: how nodes of one store tell each other what happened.

What it loses costs time, or what was meant only for this moment: `mimc_server.service.hints` says what of each hint.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from .service.hints import Hint

__all__ = ["MemoryRouter", "Router"]

MOST_WAITING = 65_536
"""Hints that wait for a node which does not take them; beyond it the oldest are lost."""


class Router(Protocol):
    """A node's place among the others. Hints of one node arrive in their order, or not at all."""

    def publish(self, hint: Hint) -> None:
        """Tell all other nodes. Never waits, never fails: a hint may be lost."""
        ...

    def received(self) -> list[Hint]:
        """What other nodes told since the last call, for `Service.hinted`."""
        ...


class MemoryRouter:
    """Connects several services of one process."""

    def __init__(self) -> None:
        self._ports: dict[str, _Port] = {}

    def join(self, node: str, wake: Callable[[], object] = lambda: None) -> Router:
        """The place of a node, for which hints are kept from now on; ``wake()`` is called when one has come.

        A node that joins again takes the place of the one it was.
        """
        port = self._ports[node] = _Port(self, wake)
        return port

    def leave(self, node: str) -> None:
        """A node is gone; harmless if it never was there."""
        self._ports.pop(node, None)

    def carry(self, hint: Hint, sender: _Port) -> None:
        """To all but the sender."""
        for port in list(self._ports.values()):
            if port is not sender:
                port.take(hint)


class _Port:
    def __init__(self, router: MemoryRouter, wake: Callable[[], object]) -> None:
        self._router = router
        self._wake = wake
        self._waiting: deque[Hint] = deque(maxlen=MOST_WAITING)

    def publish(self, hint: Hint) -> None:
        self._router.carry(hint, self)

    def received(self) -> list[Hint]:
        hints = list(self._waiting)
        self._waiting.clear()
        return hints

    def take(self, hint: Hint) -> None:
        self._waiting.append(hint)
        self._wake()
