"""The endpoints over a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mimc_server.http import HttpFrontend, serving
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
