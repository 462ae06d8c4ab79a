"""HTTP to the letter: requests as the official clients write them, which no HTTP library would leave alone."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, NamedTuple

from support.wires import TIMEOUT

__all__ = ["Answer", "ask"]


class Answer(NamedTuple):
    """What came back; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def data(self) -> Any:
        """``data`` of the envelope of a request that succeeded."""
        envelope = json.loads(self.text)
        assert (self.status, envelope["code"], envelope["message"]) == (200, 200, "success"), self.text
        return envelope["data"]


async def ask(
    base: str, method: str, target: str, headers: Mapping[str, str] | None = None, body: object = None
) -> Answer:
    """One request on a connection of its own; ``target`` goes out as it is, ``body`` as JSON."""
    url = urllib.parse.urlsplit(base)
    content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    lines = {"Host": url.netloc, "Connection": "close", **(headers or {})}
    if content:
        lines = {**lines, "Content-Length": str(len(content))}
    head = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write("\r\n".join(head).encode() + content)
        async with asyncio.timeout(TIMEOUT):
            answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    top, _, rest = answer.partition(b"\r\n\r\n")
    status, *fields = top.decode().split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    assert "transfer-encoding" not in named
    return Answer(int(status.split()[1]), named, rest.decode())
