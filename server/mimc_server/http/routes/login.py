"""Tokens and the resolver."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from ..envelope import Envelope
from ..fields import Answered, Asked, Id, Text
from .asking import Ask

__all__ = ["router"]

router = APIRouter(tags=["login"], strict_content_type=False)


class TokenRequest(Asked):
    """Who wants a token, and the application's secret; others (`regionKey`) are ignored."""

    app_id: Id
    app_key: Text
    app_secret: Text
    app_account: Text = Field(description="The user; made when seen for the first time.")


class TokenData(Answered):
    """A token and what a client needs with it."""

    app_id: str
    app_package: str
    app_account: str
    mi_chid: int
    mi_user_id: str = Field(description="The user's uuid.")
    mi_user_security_key: str = Field(description="base64 of 16 bytes; signs the login, and encrypts what is sent.")
    token: str
    region_bucket: int
    fe_domain_name: str = Field(description="What to ask the resolver for.")
    relay_domain_name: str


class Addresses(BaseModel):
    """The addresses of each domain."""

    wifi: dict[str, list[str]] = Field(description="`<IPv4 literal>:<port>` of every frontend, for each domain.")


class Resolved(BaseModel):
    """Where the frontends are; the only answer without the envelope."""

    S: str = Field(description="`Ok`")
    R: Addresses


@router.post("/api/account/token", response_model=Envelope[TokenData])
async def token(body: TokenRequest, ask: Ask) -> Any:
    """A new token for a user.

    For an application's own server, which knows the secret and has made sure who the user is.
    """
    login = ask.service.login
    return await ask.perform(lambda: login.token(body.app_id, body.app_key, body.app_secret, body.app_account))


@router.get("/gslb", response_model=Resolved)
async def resolve(
    request: Request,
    ask: Ask,
    asked: Annotated[list[str] | None, Query(alias="list", description="Domains, joined by commas.")] = None,
) -> Any:
    """The addresses of the frontends, for every domain that is asked for. Other parameters are ignored."""
    here, _ = request.scope.get("server") or ("", 0)
    return ask.service.login.resolve(",".join(asked or ()), here)
