"""WebSocket: what browsers get, what is refused, and how connections end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from mimc_server.frontend import FrontendConfig
from mimc_server.frontend.connection import WebSocketConnection
from mimc_server.frontend.websocket import MOST_FRAMES, MOST_REQUEST
from mimc_server.service import LinkEnded, ServiceConfig
from support.frontends import LOCAL, Address, PipeConnection, Town, contexts, on_pipes, online, p2p, payloads
from support.web_wires import WebWire, web_wire
from support.wires import TIMEOUT, wire
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from mimc_proto import Framing, ServerConfig
from mimc_proto.events import CloseReason
from mimc_proto.packets import Kick, PacketAck
from mimc_proto.testing import VirtualClock

pytestmark = pytest.mark.anyio

ZERO_MASK = b"\0\0\0\0"


def frame(head: int, data: bytes, *, claimed: int | None = None) -> bytes:
    """A masked frame with this first byte; it may claim to have another size."""
    size = len(data) if claimed is None else claimed
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2) if size < 1 << 16 else None
    return bytes([head]) + (length if length is not None else b"\xff" + size.to_bytes(8)) + ZERO_MASK + data


@contextlib.asynccontextmanager
async def web_town(
    config: ServiceConfig | None = None, limits: FrontendConfig | None = None
) -> AsyncIterator[tuple[Town, Address]]:
    place = Town(config, limits=limits)
    address = await place.runner.listen(*LOCAL, framing=Framing.WEBSOCKET)
    try:
        yield place, address
    finally:
        await place.runner.close()


@contextlib.asynccontextmanager
async def in_browser(place: Town, address: Address, account: str) -> AsyncIterator[WebWire]:
    async with web_wire(address) as client:
        assert (await client.login(await place.token(account))).result
        yield client


async def test_a_browser_logs_in_and_talks_to_a_client_on_tcp() -> None:
    async with web_town() as (place, address):
        tcp = await place.runner.listen(*LOCAL)
        async with in_browser(place, address, "alice") as alice, online(place, tcp, "bob") as bob:
            alice.send(p2p("bob", b"from the browser"))
            assert isinstance((await alice.packet()).body, PacketAck)
            assert payloads((await bob.packet()).body) == [b"from the browser"]
            bob.send(p2p("alice", b"to the browser"))
            assert payloads((await alice.packet()).body) == [b"to the browser"]


async def test_tls_is_spoken_where_a_context_is_given() -> None:
    server, trusting = contexts()
    async with web_town() as (place, _):
        address = await place.runner.listen(*LOCAL, ssl=server, framing=Framing.WEBSOCKET)
        async with web_wire(address, trusting) as client:
            assert (await client.login(await place.token("alice"))).result


async def test_ipv6_is_listened_to_as_well() -> None:
    async with web_town() as (place, _):
        address = await place.runner.listen("::1", 0, framing=Framing.WEBSOCKET)
        reader, writer = await asyncio.open_connection(*address)
        client = WebWire(reader, writer, f"ws://[::1]:{address[1]}/")
        assert (await client.shake_hands()).status_code == 101
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("origin", ["https://chat.example.org", "null", "http://localhost:3000"])
async def test_any_origin_is_welcome(origin: str) -> None:
    async with web_town() as (_, address), web_wire(address, shake_hands=False) as client:
        assert (await client.shake_hands(Origin=origin)).status_code == 101


async def test_neither_compression_nor_a_sub_protocol_is_agreed_on() -> None:
    async with web_town() as (_, address), web_wire(address, shake_hands=False) as client:
        response = await client.shake_hands(
            Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits", Sec_WebSocket_Protocol="chat, mqtt"
        )
        assert response.status_code == 101
        assert "Sec-WebSocket-Extensions" not in response.headers
        assert "Sec-WebSocket-Protocol" not in response.headers


@pytest.mark.parametrize(("path", "status"), [("/", 101), ("/?x=1", 101), ("/chat", 404), ("//", 404)])
async def test_nothing_is_anywhere_but_at_the_root(path: str, status: int) -> None:
    async with web_town() as (place, address), web_wire(address, path=path, shake_hands=False) as client:
        assert (await client.shake_hands()).status_code == status
        if status == 404:
            assert await client.ended() == b""
            assert place.events == []


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 426 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * (MOST_REQUEST + 1), b"HTTP/1.1 431 "),
        (b"\xc2\xfe\0\5\0\0\0\0 no HTTP at all\r\n\r\n", b""),
    ],
    ids=["no upgrade", "no key", "an endless head", "TCP framing"],
)
async def test_what_is_no_handshake_is_refused_in_words_and_cut(request_: bytes, answer: bytes) -> None:
    async with web_town() as (place, address), wire(address) as client:
        client.write(request_)
        assert (await client.ended()).startswith(answer)
        await gone(place)
        assert place.events == []


@pytest.mark.parametrize("headers", [b"X: y\r\n" * 200, b"X: " + b"y" * 9000 + b"\r\n"], ids=["many", "long"])
async def test_headers_that_no_browser_sends_are_refused(headers: bytes) -> None:
    """Without a word by `websockets` 15."""
    async with web_town() as (place, address), wire(address) as client:
        client.write(b"GET / HTTP/1.1\r\n" + headers + b"\r\n")
        assert (await client.ended())[:13] in (b"HTTP/1.1 431 ", b"")
        await gone(place)
        assert place.events == []


async def gone(place: Town) -> None:
    """Wait until no connection is open."""
    async with asyncio.timeout(TIMEOUT):
        while place.runner.connections:
            await asyncio.sleep(0)


async def test_a_wrong_path_together_with_frames_is_refused_all_the_same() -> None:
    async with web_town() as (place, address), wire(address) as client:
        head = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        head += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        client.write(head + frame(0x88, b"") + frame(0x82, b"hi") + frame(0x89, b""))
        assert (await client.ended()).startswith(b"HTTP/1.1 404 ")
        await gone(place)


async def test_a_handshake_and_its_first_message_may_come_in_any_pieces() -> None:
    async with web_town() as (place, address), web_wire(address, shake_hands=False) as client:
        request = client.protocol.connect()
        client.protocol.send_request(request)
        for byte in b"".join(client.protocol.data_to_send()):
            client.raw(bytes([byte]))
            await asyncio.sleep(0)
        async with asyncio.timeout(TIMEOUT):
            while client.response is None:
                await client.receive()
        assert (await client.login(await place.token("alice"))).result


async def test_who_is_slow_to_shake_hands_is_cut() -> None:
    async with web_town(limits=FrontendConfig(handshake_timeout=0.01)) as (place, address), wire(address) as slow:
        slow.write(b"GET / HTTP/1.1\r\n")
        assert await slow.ended() == b""
        assert place.events == []


def test_the_time_for_the_handshake_is_over_with_it() -> None:
    async def work(place: Town, clock: VirtualClock) -> None:
        silent, quick = (PipeConnection(place, clock, WebSocketConnection) for _ in range(2))
        asking = ClientProtocol(parse_uri("ws://x/"))
        asking.send_request(asking.connect())
        quick.write(*asking.data_to_send())
        await asyncio.sleep(0.9)
        assert (silent.ended, quick.ended) == (None, None)
        await asyncio.sleep(0.2)
        assert silent.ended == pytest.approx(1.0, abs=0.05)
        await asyncio.sleep(5.0)
        assert quick.ended is None

    on_pipes(work, limits=FrontendConfig(handshake_timeout=1.0))


async def test_who_says_nothing_after_the_handshake_has_the_time_of_the_link() -> None:
    config = ServiceConfig(link=ServerConfig(handshake_timeout=0.01))
    async with web_town(config) as (place, address), web_wire(address) as silent:
        assert await silent.close_code() == 1000
        await place.ended()
        assert [event.reason for event in place.ends()] == [CloseReason.HANDSHAKE_TIMEOUT]


# ------------------------------------------------------------------------------------------------------------- messages


async def test_pings_of_websocket_are_answered() -> None:
    async with web_town() as (place, address), in_browser(place, address, "alice") as alice:
        alice.protocol.send_ping(b"are you there?")
        alice.flush()
        assert await alice.pong() == b"are you there?"


async def test_a_message_may_come_in_fragments_with_pings_between_them() -> None:
    async with web_town() as (place, address), in_browser(place, address, "alice") as alice:
        message = alice.peer.command("PING")
        alice.raw(frame(0x02, message[:1]) + frame(0x89, b"x") + frame(0x00, b""))
        alice.raw(frame(0x00, message[1:7]) + frame(0x80, message[7:]))
        assert (await alice.read("PING")).payload == b""


async def test_many_messages_in_one_read_are_all_taken_in() -> None:
    async with web_town() as (place, address), in_browser(place, address, "alice") as alice:
        count = 600
        ids = [alice.peer.next_id() for _ in range(count)]
        alice.write(*[alice.peer.send(p2p("bob", b"x" * 400), packet_id) for packet_id in ids])
        assert [(await alice.packet()).body.packet_id for _ in ids] == ids  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (frame(0x81, b"text"), 1003),
        (frame(0x82, b"no packet"), 1002),
        (frame(0xC2, b"compressed"), 1002),
        (frame(0xF2, b"reserved"), 1002),
        (frame(0x83, b"an unknown opcode"), 1002),
        (b"\x82\x04ping", 1002),
        (frame(0x80, b"a continuation of nothing"), 1002),
        (frame(0x02, b"half") + frame(0x82, b"and another one"), 1002),
        (frame(0x82, b"", claimed=1 << 30), 1009),
        (frame(0x82, b"", claimed=(1 << 63) - 1), 1009),
        (frame(0x82, b"x" * 5000), 1009),
        (frame(0x82, b"x" * 5000, claimed=60_000), 1009),
        (frame(0x02, b"x" * 3000) + frame(0x00, b"x" * 3000), 1009),
        (frame(0x89, b"") * (MOST_FRAMES + 1), 1008),
        (frame(0x02, b"") + frame(0x00, b"") * MOST_FRAMES, 1008),
        (b"\xff" * 100, 1002),
    ],
    ids=[
        "text",
        "no packet",
        "compressed",
        "reserved bits",
        "an unknown opcode",
        "without a mask",
        "a continuation of nothing",
        "a message within a message",
        "1 GiB",
        "8 EiB",
        "too large before the login",
        "too large before it is whole",
        "too large in fragments",
        "a flood of pings",
        "endless fragments",
        "noise",
    ],
)
async def test_what_is_no_packet_is_answered_with_a_reason_and_the_link_ends(raw: bytes, code: int) -> None:
    async with web_town() as (place, address), web_wire(address) as client:
        await client.conn()
        client.raw(raw)
        assert await client.close_code() == code
        await place.ended()
        await gone(place)


async def test_after_the_login_messages_may_be_as_large_as_those_of_a_link() -> None:
    async with web_town() as (place, address), in_browser(place, address, "alice") as alice:
        alice.send(p2p("bob", b"x" * 15_000))
        assert isinstance((await alice.packet()).body, PacketAck)
        alice.raw(frame(0x02, b"x" * 30_000) * 1 + frame(0x00, b"x" * 30_000) + frame(0x00, b"x" * 10_000))
        assert await alice.close_code() == 1009


# ---------------------------------------------------------------------------------------------------------- the end


async def test_after_its_logout_a_browser_is_told_and_its_connection_closed() -> None:
    async with web_town() as (place, address), in_browser(place, address, "alice") as alice:
        alice.write(alice.peer.command("UBND"))
        assert (await alice.read("KICK")).payload == b""
        assert await alice.close_code() == 1000
        await place.ended()
        assert [event.reason for event in place.ends()] == [CloseReason.LOGGED_OUT]


async def test_a_peer_that_closes_is_gone_at_once_and_answered() -> None:
    async with web_town() as (place, address), in_browser(place, address, "alice") as alice:
        alice.protocol.send_close(1001)
        alice.flush()
        assert await alice.close_code() == 1001
        await place.ended()
        assert [event.reason for event in place.ends()] == [CloseReason.EOF]
        assert place.accounts() == []


async def test_a_message_that_comes_together_with_a_close_counts() -> None:
    async with web_town() as (place, address), in_browser(place, address, "alice") as alice:
        alice.protocol.send_binary(alice.peer.send(p2p("bob"), "last-words"))
        alice.protocol.send_close(1000)
        alice.flush()
        await alice.ended()
        await place.ended()
        await place.until(lambda: [message.packet_id for message in place.backend.store.kept] == ["last-words"])


async def test_who_does_not_answer_a_close_is_cut() -> None:
    config = ServiceConfig(link=ServerConfig(handshake_timeout=0.01, close_delay=0.01))
    async with web_town(config) as (place, address), wire(address) as client:
        web = WebWire(client.reader, client.writer, "ws://x/")
        assert (await web.shake_hands()).status_code == 101
        async with asyncio.timeout(TIMEOUT):
            assert await client.reader.read(2) == b"\x88\x02"
            await gone(place)


async def test_the_end_says_so_to_browsers_and_waits_for_their_answer() -> None:
    for threaded in (False, True):
        place = Town(threaded=threaded)
        address = await place.runner.listen(*LOCAL, framing=Framing.WEBSOCKET)
        async with in_browser(place, address, "alice") as alice, wire(address):
            ending = asyncio.ensure_future(place.runner.close(TIMEOUT))
            assert await alice.close_code() == 1000
            await ending
            assert place.accounts() == []


async def test_a_message_that_comes_after_the_close_was_said_is_not_taken() -> None:
    place = Town()
    address = await place.runner.listen(*LOCAL, framing=Framing.WEBSOCKET)
    async with in_browser(place, address, "alice") as alice:
        [connection] = place.runner._connections
        ending = asyncio.ensure_future(place.runner.close(TIMEOUT))
        async with asyncio.timeout(TIMEOUT):
            while not connection._finishing:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
        alice.protocol.send_binary(alice.peer.send(p2p("bob"), "too-late"))
        alice.flush()
        assert await alice.close_code() == 1000
        await ending
    assert [message.packet_id for message in place.backend.store.kept] == []


async def test_a_kick_comes_before_the_close() -> None:
    place = Town()
    address = await place.runner.listen(*LOCAL, framing=Framing.WEBSOCKET)
    async with in_browser(place, address, "alice") as alice:
        runner = place.runner
        place.service.kick(alice.peer.uuid, None, "token-expired", runner.now(), runner.wall_ms())
        ending = asyncio.ensure_future(runner.close())
        assert Kick.decode((await alice.read("KICK")).payload).reason == "token-expired"
        assert await alice.close_code() == 1000
        await ending


async def test_places_are_free_again_after_every_kind_of_end() -> None:
    async with web_town(ServiceConfig(max_links=1)) as (place, address):
        async with wire(address) as client:
            client.write(b"GET /x HTTP/1.1\r\n\r\n")
            await client.ended()
        async with web_wire(address) as client:
            client.raw(b"\xff\xff")
            await client.ended()
        async with in_browser(place, address, "alice"):
            pass
        async with in_browser(place, address, "alice"):
            assert place.accounts() == ["alice"]
            assert len([event for event in place.events if isinstance(event, LinkEnded)]) == 2
