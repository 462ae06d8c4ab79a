"""The endpoints over a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mimc_server.http import HttpFrontend, serving
from support.http_town import HttpTown
from support.wires import TIMEOUT

pytestmark = pytest.mark.anyio


async def test_the_end_does_not_wait_for_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SHUTDOWN", 0)
    asked, cut = asyncio.Event(), asyncio.Event()

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    http = HttpFrontend(app)
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(*await http.listen("127.0.0.1", 0))
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        await asked.wait()
        await http.close()
        assert cut.is_set()
        await reader.read()
        writer.close()
        await writer.wait_closed()


BROKEN = b"POST /api/account/token HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The head of a request; a line that is no size of a chunk breaks it."""


@pytest.mark.parametrize("path", [b"/api/account/token", b"/unknown"])
async def test_a_request_that_breaks_is_answered_once_and_not_logged(
    path: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    http = HttpFrontend(HttpTown().app)
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(*await http.listen("127.0.0.1", 0))
        writer.write(BROKEN.replace(b"/api/account/token", path) + b"zz\r\n")
        answer = await reader.read()
        writer.close()
        await http.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert caplog.records == []


async def test_a_request_that_breaks_behind_its_answer_ends_the_connection_and_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    http = HttpFrontend(HttpTown().app)
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(*await http.listen("127.0.0.1", 0))
        writer.write(BROKEN.replace(b"/api/account/token", b"/unknown"))
        assert b"404" in await reader.readline()
        writer.write(b"zz\r\n")
        rest = await reader.read()
        writer.close()
        await http.close()
    assert b"HTTP/1.1" not in rest
    assert caplog.records == []
