"""Runs inputs again: `python fuzz/replay.py FILE...` or a folder like ``.fuzz``; the target is in the path."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path

from targets import TARGETS

__all__ = ["inputs"]


def inputs(places: list[str]) -> list[tuple[str, Path]]:
    """Targets and files: a file lies in ``TARGET/corpus`` or ``TARGET/found``, or its name begins with ``TARGET-``."""
    found = []
    for place in map(Path, places):
        files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
        for path in files:
            name = next((part for part in path.parts if part in TARGETS), path.name.partition("-")[0])
            if name in TARGETS and path.suffix not in (".txt", ".dict"):
                found.append((name, path))
    return found


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # caches that are set aside, ten thousand times
    broken = 0
    for name, path in inputs(sys.argv[1:]):
        try:
            TARGETS[name].run(path.read_bytes())
        except Exception:
            broken += 1
            print(f"{name}: {path}\n{traceback.format_exc()}", file=sys.stderr)
    sys.exit(1 if broken else 0)
