"""What comes in on one connection is cut into requests in one way only, and what is no HTTP is refused and not logged.

Whatever stands before the service may see other requests than it does, if a request can be read in two ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
from mimc_server.http import HttpFrontend
from support.http_town import APP, HttpTown
from support.wires import TIMEOUT

pytestmark = pytest.mark.anyio

BODY = b'{"topicName":"mine"}'
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
HIDDEN = b"DELETE /api/uctopic HTTP/1.1\r\nHost: here\r\ntopicId: 1\r\n\r\n"
"""A request of a stranger, in what something before the service takes for the body of the first."""


AMBIGUOUS = [
    (b"Content-Length: 20\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", CHUNKED),
    (b"transfer-encoding: chunked\r\ncontent-length: 0\r\n", CHUNKED),
    (b"Content-Length: 20\r\nContent-Length: 21\r\n", BODY),
    (b"Content-Length: 20, 21\r\n", BODY),
    (b"Content-Length: +20\r\n", BODY),
    (b"Content-Length: 0x14\r\n", BODY),
    (b"Content-Length: 2_0\r\n", BODY),
    (b"Content-Length: -20\r\n", BODY),
    (b"Content-Length: 20 20\r\n", BODY),
    (b"Content-Length: " + b"9" * 5000 + b"\r\n", BODY),
    (b"Transfer-Encoding: xchunked\r\n", CHUNKED),
    (b"Transfer-Encoding: chunked, identity\r\n", CHUNKED),
    (b"Transfer-Encoding: identity, chunked\r\n", CHUNKED),
    (b"Transfer-Encoding: gzip\r\n", CHUNKED),
    (b"Transfer-Encoding : chunked\r\n", CHUNKED),
    (b"Transfer-Encoding: \x0bchunked\r\n", CHUNKED),
    (b"Transfer-Encoding: chunked\r\n", CHUNKED.replace(b"\r\n", b"\n")),
    (b"Transfer-Encoding: chunked\r\n", b"-14\r\n" + CHUNKED[4:]),
    (b"Transfer-Encoding: chunked\r\n", b"0x14\r\n" + CHUNKED[4:]),
    (b"Transfer-Encoding: chunked\r\n", b"f" * 40 + b"\r\n" + CHUNKED[4:]),
    (b"A: b\rtoken: c\r\nContent-Length: 20\r\n", BODY),
    (b"A: b\0\r\nContent-Length: 20\r\n", BODY),
]
PLAIN = [
    (b"Content-Length: 20\r\n", BODY),
    (b"Transfer-Encoding: chunked\r\n", CHUNKED),
    (b"Transfer-Encoding:\tchunked\r\n", CHUNKED.replace(b"\r\n", b";name=value\r\n", 1)),
    (b"Transfer-Encoding: chunked\r\n", CHUNKED[:-2] + b"token: x\r\ntopicId: 1\r\n\r\n"),
]
NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    bytes.fromhex("c2fe0005") + bytes(8) + b"\r\n\r\n",  # a client that mistook the port
    b"GET /\xff HTTP/1.1\r\nHost: here\r\n\r\n",
    b"GET /healthz\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: here\r\nHost: there\r\n\r\n",
    b"G\0T /healthz HTTP/1.1\r\nHost: here\r\n\r\n",
    b"\r\n\r\n\r\nnothing at all\r\n\r\n",
]


@contextlib.asynccontextmanager
async def served(town: HttpTown) -> AsyncIterator[tuple[str, int]]:
    frontend = HttpFrontend(town.app)
    address = await frontend.listen("127.0.0.1", 0)
    try:
        yield address
    finally:
        await frontend.close()


async def said(address: tuple[str, int], data: bytes) -> bytes:
    """All that is answered, until the other side closes or has no more to read."""
    async with asyncio.timeout(TIMEOUT):
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(data)
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def post(town: HttpTown, headers: bytes, data: bytes) -> bytes:
    start = b"POST /api/uctopic HTTP/1.1\r\nHost: here\r\ntoken: %s\r\n" % town.token().encode()
    return start + headers + b"\r\n" + data


async def test_a_request_that_can_be_read_in_two_ways_is_not_done_nor_is_what_follows() -> None:
    town = HttpTown()
    async with served(town) as address:
        for headers, data in AMBIGUOUS:
            answer = await said(address, post(town, headers, data) + HIDDEN)
            assert statuses(answer) == [400], (headers, data, answer)
    assert town.store.groups_of(APP.app_id, town.member("alice").uuid, unlimited=True) == []


async def test_a_request_that_can_be_read_in_one_way_is_done_and_the_next_one_is_another() -> None:
    """Fields behind a body in pieces are none of the request's."""
    town = HttpTown()
    async with served(town) as address:
        for headers, data in PLAIN:
            answer = await said(address, post(town, headers, data) + HIDDEN)
            assert statuses(answer) == [200, 200], (headers, data, answer)
            assert answer.count(b'"code":200') == answer.count(b'"code": 401') == 1


async def test_what_is_no_http_is_refused_and_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with served(HttpTown()) as address:
            for data in NO_HTTP:
                assert statuses(await said(address, data)) == [400], data
    assert caplog.records == []


async def test_a_head_without_end_is_not_kept() -> None:
    async with served(HttpTown()) as address:
        endless = b"GET /healthz HTTP/1.1\r\nHost: here\r\n" + b"a: b\r\n" * 100_000
        with contextlib.suppress(ConnectionError):
            assert statuses(await said(address, endless)) in ([400], [431], [])


async def test_a_method_in_a_header_is_a_header() -> None:
    town = HttpTown()
    topic_id = await town.unlimited_group("alice")
    tricks = {"X-HTTP-Method-Override": "DELETE", "X-Original-URL": "/api/uctopic", "topicId": topic_id}
    assert (await town.answer("GET", "/api/uctopic/topic", by="alice", headers=tricks))["data"]["topicId"] == topic_id
    assert await town.data("GET", "/api/uctopic/topics", by="alice") == [topic_id]


@pytest.mark.parametrize("path", ["/api/uctopic%2ftopics", "/api/./uctopic/topics", "/x/../api/uctopic/topics"])
async def test_another_way_to_write_a_path_leads_past_no_door(path: str) -> None:
    """A path is what it is after one decoding; whoever it leads to asks for credentials as ever."""
    town = HttpTown()
    async with served(town) as address:
        answer = await said(address, b"GET %s HTTP/1.1\r\nHost: here\r\n\r\n" % path.encode())
    assert b'"code": 401' in answer or b'"code": 404' in answer
