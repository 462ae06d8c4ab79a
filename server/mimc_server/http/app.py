"""Paths, bodies and errors of HTTP, around `HttpService`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from mimc_proto.errors import LocalProtocolError

from ..store import StoreError
from .answers import BAD_REQUEST, NOT_FOUND, STORE_FAILED, Caller, Failure, HttpService
from .door import FrontDoor

__all__ = ["make_app"]

Id = Annotated[int, Field(gt=0, lt=1 << 63)]
"""A number, or the same as text."""

Text = Annotated[str, Field(max_length=1024)]
Extra = Annotated[str, Field(max_length=10 * 1024)]


class TokenRequest(BaseModel):
    """Body of ``POST /api/account/token``; names of the wire, as in all bodies. Others (``regionKey``) are ignored."""

    appId: Id  # noqa: N815
    appKey: Text  # noqa: N815
    appSecret: Text  # noqa: N815
    appAccount: Text  # noqa: N815


class GroupRequest(BaseModel):
    """Body of ``POST /api/topic/<app id>``."""

    topicName: Text = ""  # noqa: N815
    accounts: str = ""
    extra: Extra = ""


class UnlimitedGroupRequest(BaseModel):
    """Body of ``POST /api/uctopic``."""

    topicName: Text = ""  # noqa: N815
    extra: Extra = ""


def make_app(service: HttpService) -> ASGIApp:
    """The endpoints as an ASGI application, for one event loop: that of the store."""
    app = FastAPI(
        title="MIMC",
        openapi_url=None,
        redirect_slashes=False,
        strict_content_type=False,  # not every client says that its JSON is JSON
        exception_handlers={
            Failure: _failed,
            RequestValidationError: _invalid,
            LocalProtocolError: _unusable,
            StoreError: _store_failed,
            HTTPException: _unknown,
        },
    )
    app.state.service = service
    app.include_router(_router)
    return FrontDoor(app)


# Coroutine functions all, also where nothing is awaited: others would run on a thread, and the store knows only one.


async def _service(request: Request) -> HttpService:
    service: HttpService = request.app.state.service
    return service


Service = Annotated[HttpService, Depends(_service)]


async def _caller(request: Request, service: Service) -> Caller:
    return service.caller(request.headers)


Who = Annotated[Caller, Depends(_caller)]

_router = APIRouter()


@_router.get("/healthz")
async def _healthz() -> dict[str, Any]:
    return _success(None)


@_router.post("/api/account/token")
async def _token(body: TokenRequest, service: Service) -> dict[str, Any]:
    return service.token(body.appId, body.appKey, body.appSecret, body.appAccount)


@_router.get("/gslb")
async def _gslb(request: Request, service: Service) -> dict[str, Any]:
    host, _ = request.scope.get("server") or ("", 0)
    return service.resolve(",".join(request.query_params.getlist("list")), host)


@_router.get("/api/uctopic/topics")
async def _topics(caller: Who, service: Service) -> dict[str, Any]:
    return _success(service.topics(caller))


@_router.post("/api/uctopic")
async def _create_unlimited(body: UnlimitedGroupRequest, caller: Who, service: Service) -> dict[str, Any]:
    return _success(service.create_unlimited_group(caller, body.topicName, body.extra))


@_router.post("/api/topic/{app_id}")
async def _create(app_id: Id, body: GroupRequest, caller: Who, service: Service) -> dict[str, Any]:
    return _success(service.create_group(caller, app_id, body.topicName, body.accounts, body.extra))


# ------------------------------------------------------------------------------------------------------------- answers


def _success(data: object) -> dict[str, Any]:
    return {"code": 200, "message": "success", "data": data}


def _envelope(code: int, message: str, status: int = 200) -> JSONResponse:
    return JSONResponse({"code": code, "message": message, "data": None}, status)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Failure)
    return _envelope(error.code, str(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Names the first field that is wrong; never its value, which may be a secret."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return _envelope(BAD_REQUEST, f"{place}: {first['msg']}")


async def _unusable(_: Request, error: Exception) -> JSONResponse:
    return _envelope(BAD_REQUEST, str(error))


async def _store_failed(_: Request, __: Exception) -> JSONResponse:
    return _envelope(STORE_FAILED, "the store failed: try again")


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses: unknown paths and methods, bodies that are too large."""
    assert isinstance(error, HTTPException)
    known = error.status_code != NOT_FOUND
    message = error.detail if known else f"no such path: {request.method} {request.url.path}"
    return _envelope(error.status_code, message, error.status_code)
