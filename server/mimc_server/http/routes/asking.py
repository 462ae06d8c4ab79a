"""How an endpoint gets at the service: on the store's thread, and for its caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from ..callers import Caller
from ..service import HttpService
from ..watching import GroupWatcher, Perform

__all__ = ["BY_CALLER", "SCHEMES", "Ask", "Desk"]

T = TypeVar("T")

SCHEMES: dict[str, Any] = {
    "token": {"type": "apiKey", "in": "header", "name": "token", "description": "A user's token; it counts first."},
    "appKey": {"type": "apiKey", "in": "header", "name": "appKey", "description": "Of an application's server."},
    "appSecret": {"type": "apiKey", "in": "header", "name": "appSecret", "description": "With `appKey`."},
    "appAccount": {
        "type": "apiKey",
        "in": "header",
        "name": "appAccount",
        "description": "The user that the server acts for; base64 of UTF-8 with the header `appAccountEncode: base64`. "
        "The header `appId` may name the application.",
    },
}
"""Both ways to say who is calling, for the OpenAPI document."""

BY_CALLER: dict[str, Any] = {"security": [{"token": []}, {"appKey": [], "appSecret": [], "appAccount": []}]}
"""``openapi_extra`` of the endpoints that are for callers."""


class Desk:
    """What all endpoints of an application share."""

    def __init__(self, service: HttpService, perform: Perform, groups: GroupWatcher | None) -> None:
        self.service = service
        self.perform = perform
        self.groups = groups


class Asking:
    """A request, as its endpoint sees it."""

    def __init__(self, desk: Desk, request: Request) -> None:
        self.service = desk.service
        self.perform = desk.perform
        self.groups = desk.groups
        self._headers = request.headers

    async def __call__(self, work: Callable[[Caller], T]) -> T:
        """Do it for the caller, in one go with finding out who that is. Raises what ``work`` does, and `Failure`."""
        return await self.perform(lambda: work(self.service.callers.caller(self._headers)))


# A coroutine function, though nothing is awaited: any other would run on a thread of the framework's.
async def _asking(request: Request) -> Asking:
    return Asking(request.app.state.desk, request)


Ask = Annotated[Asking, Depends(_asking)]
