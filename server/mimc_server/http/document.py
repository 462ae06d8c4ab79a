"""The OpenAPI document: what the framework knows of the endpoints, and what holds for all of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .routes.asking import SCHEMES

__all__ = ["openapi_document"]

_DESCRIPTION = """\
The HTTP endpoints of a messaging service for MIMC clients.

A trailing slash makes no difference in any path. All answers but the resolver's are in an envelope, `code`, `message`
and `data`, with the HTTP status 200 whatever the outcome; only unknown paths (404), wrong methods (405) and bodies over
64 KiB (413) have another one, and `/healthz`. Ids are text in answers, and text or numbers in requests. Fields that an
endpoint does not know are ignored."""

_METHODS = ("get", "put", "post", "delete")
_TOO_LARGE = {"description": "The body is too large."}


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document of an application."""
    document = get_openapi(title="MIMC", version="1", description=_DESCRIPTION, routes=app.routes)
    components = document["components"]
    components["securitySchemes"] = SCHEMES
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    nothing = {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope_NoneType_"}}}
    for path in document["paths"].values():
        for operation in (path[method] for method in _METHODS if method in path):
            # what the framework would answer with 422 is an envelope with the code 400
            operation["responses"].pop("422", None)
            if "requestBody" in operation:
                operation["responses"]["413"] = {**_TOO_LARGE, "content": nothing}
    return document
