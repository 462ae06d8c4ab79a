"""What holds for every request: paths, methods, sizes, and what browsers want (clients.md rule 18)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mimc_server.http.routes import health
from support.http_town import LOGIN, FailingStore, HttpTown

pytestmark = pytest.mark.anyio


async def test_the_service_says_that_it_is_well() -> None:
    assert await HttpTown().data("GET", "/healthz") is None


@pytest.mark.parametrize("path", ["/", "//", "/api", "/api/account/token/x", "/docs", "/gslb/x"])
async def test_unknown_paths_are_answered_in_json(path: str) -> None:
    response = await HttpTown().ask("GET", f"http://127.0.0.1{path}")
    assert response.status_code == response.json()["code"] == 404
    assert response.headers["access-control-allow-origin"] == "*"


async def test_a_wrong_method_is_answered_in_json() -> None:
    response = await HttpTown().ask("GET", "/api/account/token")
    assert response.status_code == response.json()["code"] == 405


@pytest.mark.parametrize("path", ["/api/account/token", "/api/uctopic/", "/anything"])
async def test_browsers_may_ask_from_any_page(path: str) -> None:
    response = await HttpTown().ask("OPTIONS", path, headers={"origin": "https://chat.example"})
    assert (response.status_code, response.content) == (204, b"")
    allowed = {name.strip() for name in response.headers["access-control-allow-headers"].split(",")}
    assert allowed == {
        "content-type",
        "token",
        "topicId",
        "startUuid",
        "appId",
        "appKey",
        "appSecret",
        "appAccount",
        "appAccountEncode",
    }
    assert response.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE, OPTIONS"
    answer = await HttpTown().ask("POST", "/api/account/token", json=LOGIN)
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_what_is_no_request_is_left_to_the_framework() -> None:
    """A server may tell an application that it starts and stops (ASGI lifespan)."""
    told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    answers: list[str] = []

    async def receive() -> Any:
        return next(told)

    async def send(message: Any) -> None:
        answers.append(message["type"])

    await HttpTown().app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_body_of_64_kib_is_read_and_one_byte_more_is_not() -> None:
    body = json.dumps(LOGIN)
    town = HttpTown()
    await town.data("POST", "/api/account/token", content=body.ljust(65536))
    response = await town.ask("POST", "/api/account/token", content=body.ljust(65537))
    assert response.status_code == response.json()["code"] == 413


async def test_a_body_in_pieces_is_bounded_as_well() -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 1000

    response = await HttpTown().ask("POST", "/api/account/token", content=pieces())
    assert response.status_code == response.json()["code"] == 413


async def test_the_document_of_the_endpoints_is_served() -> None:
    answer = await HttpTown().answer("GET", "/openapi.json")
    assert {"/api/account/token", "/gslb", "/healthz", "/api/uctopic"} <= set(answer["paths"])


async def test_a_store_that_fails_is_not_well() -> None:
    response = await HttpTown(FailingStore()).ask("GET", "/healthz")
    assert (response.status_code, response.json()["message"]) == (503, "the store failed")


async def test_a_store_that_does_not_answer_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.0)

    async def never(_work: Any) -> Any:
        await asyncio.Event().wait()

    response = await HttpTown(perform=never).ask("GET", "/healthz")
    assert (response.status_code, response.json()["code"]) == (503, 500)
