"""The file of the socket: made for its owner alone, taken over from a server that was killed, and from no other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from mimc_proto.errors import MimcError

from ..sockets import short_path, somebody_listens

__all__ = ["CannotOpenSocket", "bind_admin_socket", "only_users", "remove_socket"]

BACKLOG = 16


class CannotOpenSocket(MimcError):  # noqa: N818 (says what happened)
    """The admin socket cannot be where it is to be."""


def bind_admin_socket(path: Path) -> socket.socket:
    """A socket that listens at this file, which only its owner can use. Raises `CannotOpenSocket`.

    A file that a killed server left behind is replaced; one at which a server answers, or that is no socket, is not.
    """
    with contextlib.ExitStack() as failing:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sock = failing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            with short_path(path) as short:
                _make_way(path)
                sock.bind(short)
            path.chmod(0o600)  # nobody can connect before it listens
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except OSError as error:
            reason = error.strerror or error
            raise CannotOpenSocket(f"cannot open the admin socket {path} (admin.socket): {reason}") from error
        failing.pop_all()
        return sock


def _make_way(path: Path) -> None:
    """Remove what a killed server left behind."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotOpenSocket(f"expected nothing or an old socket at {path} (admin.socket), found another file")
    if somebody_listens(path):
        raise CannotOpenSocket(f"another server answers at {path}: stop it, or set admin.socket to another file")
    path.unlink(missing_ok=True)


def remove_socket(path: Path, inode: int) -> None:
    """Remove the file of a socket, unless another one has taken its place."""
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def only_users(*uids: int) -> Callable[[asyncio.Transport], bool]:
    """Tells of a connection whether one of these users made it; where the system does not know, the mode of the file
    has to do."""

    def welcome(transport: asyncio.Transport) -> bool:
        if not hasattr(socket, "SO_PEERCRED"):
            return True
        layout = struct.Struct("3i")  # pid, uid, gid
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as sock:
            _, uid, _ = layout.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size))
        return uid in uids

    return welcome
