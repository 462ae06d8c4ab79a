"""The steps of `mimc demo`: each shows one thing, checks it, and says in one line what it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..stage import Stage
from . import captured, messages, trouble

__all__ = ["STEPS"]

STEPS: tuple[tuple[str, Callable[[Stage], Awaitable[str]]], ...] = (
    ("p2p", messages.p2p),
    ("group", messages.group),
    ("offline delivery", messages.offline),
    ("two resources", messages.resources),
    ("online message", messages.online_message),
    ("unlimited group", messages.unlimited_group),
    ("send timeout", trouble.send_timeout),
    ("takeover", trouble.takeover),
    ("lost link", trouble.lost_link),
    ("slow consumer", trouble.slow_consumer),
    ("logout", trouble.logout),
    ("captured frame", captured.captured_frame),
)
"""Names and functions, in the order in which they are shown."""
