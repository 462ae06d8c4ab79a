"""The recorded and generated frames of the official clients, in tests/data/vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["load"]

DIRECTORY = Path(__file__).parents[1] / "data" / "vectors"


def load(name: str) -> Any:
    """The vectors of one client: ``go``, ``java`` or ``webjs``."""
    return json.loads((DIRECTORY / f"{name}.json").read_bytes())
