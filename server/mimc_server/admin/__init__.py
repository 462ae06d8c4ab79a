"""What whoever runs a server can ask of it: HTTP with JSON over a Unix socket, for nobody else.

`mimc admin` speaks it; docs/how-to/operate.md shows it. Paths begin with the version, ``/v1``. The HTTP status says
what came of a request: 200, 400 (something of it makes no sense), 404 (no such application, account or group), 409 (not
on this server), 413, 500 and 507 (the store failed, or is full); then the body is ``{"error": "..."}``.
"""

from .app import make_admin_app
from .socket import CannotOpenSocket, bind_admin_socket, only_users, remove_socket

__all__ = ["CannotOpenSocket", "bind_admin_socket", "make_admin_app", "only_users", "remove_socket"]
