"""The sockets that are listened on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

__all__ = ["listening_socket", "short_path", "somebody_listens"]

LONGEST = 103
"""Bytes of a Unix socket's path that every system takes."""

OPEN_FILES = Path("/proc/self/fd")

PROBE = 1.0
"""Seconds that who listens at a Unix socket gets to show it."""


async def listening_socket(host: str, port: int, backlog: int | None = None) -> tuple[socket.socket, tuple[str, int]]:
    """A socket that listens at the first address of a host, and where that is: port 0 takes a free one.

    ``backlog`` connections wait in the system until they are accepted (None: as many as Python finds right). Raises
    `OSError` if the address cannot be used.
    """
    [(family, _, _, _, address), *_] = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sock = socket.create_server(address, family=family, backlog=backlog)
    sock.setblocking(False)
    bound_host, bound_port = sock.getsockname()[:2]
    return sock, (bound_host, bound_port)


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """The path of a socket as systems take it, while the block lasts: they take only short ones. Raises `OSError`."""
    if len(os.fsencode(path)) <= LONGEST or not OPEN_FILES.exists():
        yield os.fspath(path)  # too long for the system, its own error says so
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield os.fspath(OPEN_FILES / str(folder) / path.name)
    finally:
        os.close(folder)


def somebody_listens(path: Path) -> bool:
    """Whether a process listens at this Unix socket. Raises `OSError` if that is not for us to know."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE)
        try:
            with short_path(path) as short:
                probe.connect(short)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
        except (BlockingIOError, TimeoutError):  # its queue is full: it lives, after a fashion
            pass
    return True
