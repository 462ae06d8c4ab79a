"""The sockets that frontends of all kinds listen on."""

from __future__ import annotations

import asyncio
import socket

__all__ = ["listening_socket"]


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
