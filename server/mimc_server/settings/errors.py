"""What can be wrong with a configuration."""

from __future__ import annotations

from mimc_proto.errors import MimcError, shown_name

__all__ = ["SettingsError"]


class SettingsError(MimcError):
    """A setting cannot be used. ``origin`` is the file, environment variable or option that gave it, ``key`` its name
    (``listen.tcp``); either may be ``""``. The text never holds what was given for a secret."""

    def __init__(self, problem: str, *, key: str = "", origin: str = "") -> None:
        self.problem = problem
        self.key = key
        self.origin = origin
        super().__init__(": ".join(filter(None, (origin, key and shown_name(key), problem))))
