"""Runs a service on asyncio (and uvloop): sockets, timers and the store around the machine that decides."""

from __future__ import annotations

from .config import FrontendConfig
from .runner import ServiceRunner, unix_ms

__all__ = ["FrontendConfig", "ServiceRunner", "unix_ms"]
