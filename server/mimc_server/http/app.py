"""The endpoints as an ASGI application."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable

from fastapi import APIRouter, FastAPI, Response
from starlette.types import ASGIApp

from ..observing.requests import Answered, CountRequests
from .document import openapi_document
from .door import FrontDoor
from .envelope import ERROR_HANDLERS
from .routes import ROUTERS
from .routes.asking import Desk
from .service import HttpService
from .watching import GroupWatcher, Perform, at_once

__all__ = ["make_app"]


def make_app(
    service: HttpService,
    perform: Perform = at_once,
    groups: GroupWatcher | None = None,
    routers: Iterable[APIRouter] = (),
    answered: Answered | None = None,
) -> ASGIApp:
    """The endpoints as an ASGI application, for one event loop: that of the messaging service.

    ``perform`` does what uses the store where the store may be used (`ServiceRunner.perform`). ``groups`` is told of
    unlimited groups that are dismissed, and knows who is online in them; without it nobody is. ``routers`` are other
    endpoints to be served beside these. ``answered`` hears of every request (`Metrics.answered`).
    """
    app = FastAPI(
        title="MIMC",
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers=ERROR_HANDLERS,
    )
    if answered is not None:
        app.add_middleware(CountRequests, answered=answered)
    app.state.desk = Desk(service, perform, groups)
    for router in (*ROUTERS, *routers):
        app.routes.extend(router.routes)  # `include_router` would make them all again, in 50 ms for each application
    _serve_document(app)
    return FrontDoor(app)


def _serve_document(app: FastAPI) -> None:
    @functools.cache
    def document() -> bytes:
        return json.dumps(openapi_document(app)).encode()

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> Response:  # on a thread of the framework's: it takes a fifth of a second, once
        return Response(document(), media_type="application/json")
