"""The outcome of a request: ``{"code": 200, "message": "success", "data": ...}``, and what becomes of errors."""

from __future__ import annotations

import enum
import json
from typing import Any, Generic, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from mimc_proto.errors import LocalProtocolError

from ..observing.requests import ANSWER_CODE
from ..store import AckCode, Refused, StoreError, StoreFull

__all__ = ["ERROR_HANDLERS", "AnswerCode", "Envelope", "Failure", "checked", "success"]

T = TypeVar("T")


class AnswerCode(enum.IntEnum):
    """The codes of the envelope. Of the cloud's own only 200 is known, and 500 for an owner who quits (rest.md 2)."""

    OK = 200
    BAD_REQUEST = 400
    """Something of the request is missing or makes no sense; the message names it."""
    UNAUTHORIZED = 401
    """No token and no secret, or none that is good here: fetch a new token."""
    FORBIDDEN = 403
    """Not for this caller: he is not in the group, not its owner, or not one of the two whose history it is."""
    NOT_FOUND = 404
    """No such group in the caller's application, another application than the caller's, or no such path."""
    TOO_LARGE = 413
    """The request's body is too large."""
    TOO_MANY = 429
    """A group would have too many members, or somebody would be in too many groups."""
    FAILED = 500
    """The store failed or is full; also the documented answer to an owner who quits his group."""


class Envelope(BaseModel, Generic[T]):
    """Every answer but the resolver's."""

    code: int = Field(default=200, description="200, or what went wrong: see the codes.")
    message: str = Field(default="success", description="For people; `success` is what clients look for.")
    data: T | None = Field(default=None, description="`null` unless the code is 200.")


class Failure(Exception):  # noqa: N818 (what an answer says)
    """A request that is answered with this code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


_CODES = {AckCode.BLOCKED: AnswerCode.FORBIDDEN, AckCode.NOT_A_MEMBER: AnswerCode.FORBIDDEN}
"""Where the answers of HTTP and of the wire are not the same number."""


def success(data: T) -> Envelope[T]:
    """The answer to a request that did what was asked."""
    return Envelope(data=data)


def checked(answer: T | Refused) -> T:
    """What the store answered. Raises `Failure` for a refusal."""
    if isinstance(answer, Refused):
        raise Failure(_CODES.get(answer.code, answer.code), answer.message)
    return answer


class _Json(JSONResponse):
    """In ASCII: a message may quote a name that UTF-8 cannot carry."""

    def __init__(self, code: int, message: str, status: int) -> None:
        super().__init__({"code": code, "message": message, "data": None}, status)
        self._code = code

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ANSWER_CODE] = self._code
        await super().__call__(scope, receive, send)


def failed(code: int, message: str, status: int = 200) -> JSONResponse:
    """The answer to a request that did not."""
    return _Json(int(code), message, status)


async def _failure(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Failure)
    return failed(error.code, str(error))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Names the first field that is wrong; never its value, which may be a secret."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return failed(AnswerCode.BAD_REQUEST, f"{place}: {first['msg']}")


async def _unusable(_: Request, error: Exception) -> JSONResponse:
    return failed(AnswerCode.BAD_REQUEST, str(error))


async def _store_failed(_: Request, error: Exception) -> JSONResponse:
    """In our own words: those of a store may tell of files, or of other users."""
    full = isinstance(error, StoreFull)
    return failed(AnswerCode.FAILED, "the store is full: no more users" if full else "the store failed: try again")


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses: unknown paths and methods, bodies that are too large or no JSON at all."""
    assert isinstance(error, HTTPException)
    if error.status_code == AnswerCode.BAD_REQUEST:
        return failed(AnswerCode.BAD_REQUEST, "body: expected JSON")  # it does not say of all that is none
    known = error.status_code != AnswerCode.NOT_FOUND
    message = error.detail if known else f"no such path: {request.method} {request.url.path}"
    return failed(error.status_code, message, error.status_code)


ERROR_HANDLERS: dict[int | type[Exception], Any] = {
    Failure: _failure,
    RequestValidationError: _invalid,
    LocalProtocolError: _unusable,
    StoreError: _store_failed,
    HTTPException: _refused,
}
