"""The paths, bodies and types of the endpoints. Not every client says that its JSON is JSON: no router asks for it."""

from . import groups, health, history, login, unlimited

__all__ = ["ROUTERS"]

ROUTERS = (login.router, groups.router, unlimited.router, history.router, health.router)
"""In the order in which the documents show them."""
