"""Which connections come in: so many of all, so many of each address, and the others wait where they cost little."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable

from .config import FrontendConfig

__all__ = ["Admission", "Parking", "Place", "source_of"]

NETWORK_BITS = 64
"""Of an IPv6 address: whoever has one has all that begin like it."""

Admitted = Callable[[socket.socket, "Place"], object]
"""What is done with a connection that has a place."""


def source_of(host: str) -> str:
    """Whose connection it is, as far as an address tells: an IPv4 address, or an IPv6 network."""
    address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> NETWORK_BITS << NETWORK_BITS))


class Place:
    """What a connection holds from when it is admitted until it is gone."""

    __slots__ = ("_admission", "_source")

    def __init__(self, admission: Admission, source: str) -> None:
        self._admission: Admission | None = admission
        self._source = source

    def leave(self) -> None:
        """The connection is gone. May be called again."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.left(self._source)


class Admission:
    """The places; ``has_room(taken)`` says whether there is one more of all."""

    def __init__(self, config: FrontendConfig, has_room: Callable[[int], bool]) -> None:
        self._most_of_source = config.max_of_address
        self._has_room = has_room
        self._taken: Counter[str] = Counter()
        self._count = 0
        self._room = asyncio.Event()
        self._closed = False
        self.parking = Parking(config.max_parked, config.park_timeout)

    @property
    def count(self) -> int:
        """Places that are taken."""
        return self._count

    async def room(self) -> None:
        """Wait until there is a place for somebody; it is not kept any longer than until the next ``await``."""
        while not self._is_room():
            self._room.clear()
            await self._room.wait()

    def admit(self, source: str, sock: socket.socket, admitted: Admitted) -> None:
        """Give a connection its place, or have it wait until another one of its source is gone."""
        if self._taken[source] >= self._most_of_source:
            self.parking.put(source, sock, admitted)
        else:
            self._enter(source, sock, admitted)

    def left(self, source: str) -> None:
        """A place is free."""
        self._count -= 1
        self._taken[source] -= 1
        if not self._taken[source]:
            del self._taken[source]
        if self._is_room() and (parked := self.parking.take(source)) is not None:
            self._enter(source, *parked)
        self._room.set()

    def close(self) -> None:
        """Nobody comes in any more."""
        self._closed = True
        self.parking.close()

    def _is_room(self) -> bool:
        return not self._closed and self._has_room(self._count)

    def _enter(self, source: str, sock: socket.socket, admitted: Admitted) -> None:
        self._count += 1
        self._taken[source] += 1
        admitted(sock, Place(self, source))


class Parking:
    """Connections that nobody reads. When there are more than ``most`` the oldest is closed: of the newcomer's own
    source if it has any, so that none drives out the others."""

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._parked: dict[socket.socket, tuple[str, Admitted, float]] = {}  # the oldest first
        self._of_source: dict[str, dict[socket.socket, None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._parked)

    def put(self, source: str, sock: socket.socket, admitted: Admitted) -> None:
        """Keep a connection."""
        if len(self._parked) >= self._most:
            self._drop(next(iter(self._of_source.get(source) or self._parked)))
        self._parked[sock] = (source, admitted, self._loop.time() + self._patience)
        self._of_source.setdefault(source, {})[sock] = None
        self._arm()

    def take(self, source: str) -> tuple[socket.socket, Admitted] | None:
        """The connection of a source that has waited longest."""
        of_source = self._of_source.get(source)
        if of_source is None:
            return None
        sock = next(iter(of_source))
        return sock, self._remove(sock)

    def drop_oldest(self) -> bool:
        """Close the one that has waited longest; whether there was any."""
        if not self._parked:
            return False
        self._drop(next(iter(self._parked)))
        return True

    def close(self) -> None:
        """Close all."""
        while self.drop_oldest():
            pass
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _remove(self, sock: socket.socket) -> Admitted:
        source, admitted, _ = self._parked.pop(sock)
        of_source = self._of_source[source]
        del of_source[sock]
        if not of_source:
            del self._of_source[source]
        return admitted

    def _drop(self, sock: socket.socket) -> None:
        self._remove(sock)
        sock.close()

    def _arm(self) -> None:
        if self._timer is None and self._parked:
            _, _, due = next(iter(self._parked.values()))
            self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """Close those whose time is over."""
        self._timer = None
        now = self._loop.time()
        while self._parked and next(iter(self._parked.values()))[2] <= now:
            self.drop_oldest()
        self._arm()
