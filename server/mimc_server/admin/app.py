"""What an admin asks, as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from mimc_proto.errors import LocalProtocolError, shown_name

from ..administration import Administration
from ..http.door import bounded
from ..observing.endpoint import metrics_router
from ..store import StoreError, StoreFull
from .desk import AdminDesk, AdminFailure
from .routes import router

__all__ = ["make_admin_app"]


def make_admin_app(server: Administration, metrics: Callable[[], Awaitable[bytes]], version: str) -> ASGIApp:
    """The application, for the event loop of the server. ``metrics`` gives what `/metrics` answers."""
    app = FastAPI(openapi_url=None, redirect_slashes=False, exception_handlers=_HANDLERS)
    app.state.desk = AdminDesk(server, version)
    app.include_router(router)
    app.include_router(metrics_router(metrics))
    return _Bounded(app)


class _Bounded:
    """Takes no body that is too large."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, bounded(receive), send)


def _failed(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)


async def _failure(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AdminFailure)
    return _failed(error.status, str(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(shown_name(str(part)) for part in first["loc"])
    return _failed(400, f"{place}: {first['msg']}")


async def _unusable(_: Request, error: Exception) -> JSONResponse:
    return _failed(400, str(error))


async def _store_failed(_: Request, error: Exception) -> JSONResponse:
    """In the store's own words: they are for whoever runs it."""
    return _failed(507 if isinstance(error, StoreFull) else 500, str(error))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    unknown = f"no such path: {request.method} {shown_name(request.url.path)}"
    return _failed(error.status_code, unknown if error.status_code == 404 else error.detail)


_HANDLERS: dict[int | type[Exception], Any] = {
    AdminFailure: _failure,
    RequestValidationError: _invalid,
    LocalProtocolError: _unusable,
    StoreError: _store_failed,
    HTTPException: _refused,
}
