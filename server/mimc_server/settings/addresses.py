"""Addresses to listen at, as people write them."""

from __future__ import annotations

import re
from typing import NamedTuple

from mimc_proto.errors import shown

__all__ = ["Address", "parse_address"]

LAST_PORT = 65535

_WRITTEN = re.compile(r"(?:\[(?P<bracketed>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:,\[\]]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Address(NamedTuple):
    """Host and port; port 0 takes a free one. Its text is what `parse_address` reads."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local(self) -> Address:
        """Where this machine reaches what listens here."""
        return Address(_ANYWHERE.get(self.host, self.host), self.port)


def parse_address(text: str) -> Address:
    """The address that is written as ``HOST:PORT`` or ``[IPv6]:PORT``. Raises `ValueError`."""
    found = _WRITTEN.fullmatch(text)
    if found is None or int(found["port"]) > LAST_PORT or not text.isprintable():
        raise ValueError(f"expected HOST:PORT such as 127.0.0.1:5222, got {shown(text)}")
    return Address(found["bracketed"] or found["host"], int(found["port"]))
