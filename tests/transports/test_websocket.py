"""WebSocket, told to every adapter: a frontend that speaks it, and what such a frontend may do wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from mimc_transports._link import WebSocketExtraMissing
from mimc_transports._websocket import WebSocket
from support.adapters import Adapter
from support.proxies import HttpProxy
from support.town import QUICK, Back, aside, impatient, losses, server_context, trusting
from support.websocket_frontend import CLOSE, WebSocketFrontend, binary

from mimc_proto import LocalProtocolError, LoginTimeout, SessionConfig
from mimc_proto.events import Unbound
from mimc_proto.packets import P2PMessage
from mimc_proto.session import Ended, EndReason
from mimc_proto.testing import APP_ID, token_answer


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def any_frontend(request: pytest.FixtureRequest) -> Iterator[WebSocketFrontend]:
    with WebSocketFrontend(tls=server_context() if request.param else None) as running:
        yield running


@pytest.fixture
def frontend() -> Iterator[WebSocketFrontend]:
    with WebSocketFrontend() as running:
        yield running


def user(adapter: Adapter, frontend: WebSocketFrontend, **options: Any) -> Any:
    options = {
        "addresses": [frontend.address],
        "websocket": True,
        "resource": "pc",
        "ssl": trusting() if frontend.tls else None,
        "config": QUICK,
        **options,
    }
    return adapter.connect(APP_ID, "alice", token_answer("alice"), **options)


def test_a_user_logs_in_sends_receives_and_logs_out(adapter: Adapter, any_frontend: WebSocketFrontend) -> None:
    frontend = any_frontend

    async def story() -> None:
        async with user(adapter, frontend) as alice:
            assert (await alice.send("bob", b"hi")).sequence
            frontend.do(lambda: frontend.server.deliver("alice", b"one", b"two"))
            got = []
            async for message in alice:
                got.append(message.payload)
                if len(got) == 2:
                    break
            assert got == [b"one", b"two"]
        assert alice.status == Ended(reason=EndReason.LOGGED_OUT)

    adapter.run(story)
    frontend.wait_gone(1)
    assert [message.payload for message in frontend.server.bodies(P2PMessage)] == [b"hi"]
    assert len(frontend.server.events(Unbound)) == 1
    assert frontend.server.errors == []
    [request] = frontend.requests
    assert request.path == "/"
    assert request.headers["Host"] == "{}:{}".format(*frontend.address)
    assert "Sec-WebSocket-Protocol" not in request.headers
    assert "Sec-WebSocket-Extensions" not in request.headers


def test_large_messages_go_both_ways(adapter: Adapter, any_frontend: WebSocketFrontend) -> None:
    frontend, payload = any_frontend, bytes(range(256)) * 216

    async def story() -> None:
        async with user(adapter, frontend, config=SessionConfig(max_payload=len(payload))) as alice:
            assert (await alice.send("bob", payload)).sequence
            frontend.do(lambda: frontend.server.deliver("alice", payload))
            assert (await anext(aiter(alice))).payload == payload

    adapter.run(story)
    assert [message.payload for message in frontend.server.bodies(P2PMessage)] == [payload]


def test_the_certificate_is_checked(adapter: Adapter) -> None:
    with WebSocketFrontend(tls=server_context()) as frontend:

        async def story() -> None:
            with pytest.raises(LoginTimeout, match=r"certificate is not valid for 'other\.example'"):
                async with impatient(user(adapter, frontend, server_hostname="other.example")):
                    pass

        adapter.run(story)
        assert frontend.requests == []


def test_it_goes_through_a_proxy_as_well(adapter: Adapter, any_frontend: WebSocketFrontend) -> None:
    with HttpProxy() as proxy:

        async def story() -> None:
            async with user(adapter, any_frontend, proxy=proxy.url) as alice:
                assert (await alice.send("bob", b"hi")).sequence

        adapter.run(story)
        assert proxy.asked == [any_frontend.address]


def test_pings_are_answered(adapter: Adapter, frontend: WebSocketFrontend) -> None:
    async def story() -> None:
        async with user(adapter, frontend) as alice:
            await aside(adapter, frontend.ping)
            assert alice.online

    adapter.run(story)


def test_fragments_are_put_together(adapter: Adapter, frontend: WebSocketFrontend) -> None:
    async def story() -> None:
        async with user(adapter, frontend) as alice:
            [frame] = frontend.do(lambda: frontend.frames_of(lambda: frontend.server.deliver("alice", b"hi")))
            frontend.send([frame[:1], frame[1:7], b"", frame[7:]])
            assert (await anext(aiter(alice))).payload == b"hi"

    adapter.run(story)


@pytest.mark.parametrize("how", ["close", "text", "fragmented text", "garbage", "too large", "reserved bits", "cut"])
def test_a_link_that_ends_or_goes_wrong_is_closed_and_replaced(
    adapter: Adapter, frontend: WebSocketFrontend, how: str
) -> None:
    async def story() -> None:
        back = Back(adapter)
        alice = user(adapter, frontend, on_status=back.on_status)
        lost = losses(alice)
        async with alice:
            match how:
                case "close":
                    await aside(adapter, frontend.close)
                case "text":
                    frontend.send("hi")
                case "fragmented text":
                    frontend.raw(b"\x01\x02hi\x80\x02ho")
                case "garbage":
                    frontend.raw(b"\xff" * 100)
                case "too large":
                    frontend.raw(b"\x82\x7f" + (3 << 20).to_bytes(8))
                case "reserved bits":
                    frontend.raw(b"\xf2\x02hi")
                case _:
                    frontend.do(lambda: frontend.sockets[-1].transport.abort())
            await back.wait()
            await aside(adapter, lambda: frontend.wait_gone(1))  # while the user lives
            assert (await alice.send("bob", b"hi")).sequence
        [event] = lost
        wanted = {
            "close": "the peer closed",
            "text": "expected binary messages, got text",
            "fragmented text": "expected binary messages, got text",
            "garbage": "expected WebSocket, got ProtocolError",
            "too large": "expected WebSocket, got PayloadTooBig",
            "reserved bits": "expected WebSocket, got ProtocolError: reserved bits",
            "cut": "",
        }
        assert wanted[how] in event.problem

    adapter.run(story)


def test_what_comes_together_with_a_close_is_delivered(adapter: Adapter, frontend: WebSocketFrontend) -> None:
    async def story() -> None:
        back = Back(adapter)
        got: list[bytes] = []
        alice = user(
            adapter, frontend, on_status=back.on_status, on_message=lambda message: got.append(message.payload)
        )
        async with alice:

            def last_words() -> None:
                [frame] = frontend.frames_of(lambda: frontend.server.deliver("alice", b"hi"))
                frontend.sockets[-1].transport.write(binary(frame) + CLOSE)

            alice.send_nowait("bob", b"on its way")
            frontend.do(last_words)
            await back.wait()
            assert (await alice.send("bob", b"hi")).sequence
        assert got == [b"hi"]

    adapter.run(story)


def test_an_answer_that_comes_together_with_a_close_is_not_answered(
    adapter: Adapter, frontend: WebSocketFrontend
) -> None:
    frontend.farewells = 1

    async def story() -> None:
        alice = user(adapter, frontend)
        lost = losses(alice)
        async with alice:
            assert alice.online
            assert len(lost) == 1

    adapter.run(story)


def test_an_answer_that_is_no_websocket_says_what_it_was(adapter: Adapter, frontend: WebSocketFrontend) -> None:
    frontend.answers += [403, 200]

    async def story() -> None:
        alice = user(adapter, frontend)
        lost = losses(alice)
        async with alice:
            assert alice.online
            await aside(adapter, lambda: frontend.wait_gone(2))  # before anything else ends them
        assert [event.problem[-8:] for event in lost] == ["HTTP 403", "HTTP 200"]

    adapter.run(story)


def test_a_host_that_cannot_be_is_passed_over(adapter: Adapter, frontend: WebSocketFrontend) -> None:
    hosts = [
        "fe..example",
        "fe[example",
        "user@fe..example",
        "fe..example/x",
        "fe..example#x",
        "b\xfccher..example",
        "::zz",
    ]

    async def story() -> None:
        alice = user(adapter, frontend, addresses=[*((host, 1) for host in hosts), frontend.address])
        lost = losses(alice)
        async with alice:
            assert alice.online
        assert [event.host for event in lost] == hosts

    adapter.run(story)


def test_nothing_that_is_sent_is_logged(
    adapter: Adapter, frontend: WebSocketFrontend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)

    async def story() -> None:
        async with user(adapter, frontend) as alice:
            await alice.send("bob", b"a secret")

    adapter.run(story)
    assert "a secret" not in caplog.text
    assert "Sec-WebSocket" not in caplog.text


def test_the_library_is_needed(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mimc_transports._websocket", None)

    async def story() -> None:
        with pytest.raises(WebSocketExtraMissing, match=r"pip install 'mimc-proto\[websocket\]'"):
            adapter.connect(APP_ID, "alice", token_answer("alice"), addresses=[("127.0.0.1", 1)], websocket=True)

    adapter.run(story)


def test_addresses_are_needed(adapter: Adapter) -> None:
    async def story() -> None:
        with pytest.raises(LocalProtocolError, match="expected addresses"):
            adapter.connect(APP_ID, "alice", token_answer("alice"), websocket=True)

    adapter.run(story)


# ------------------------------------------------------------------------------------------------- without any adapter


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "did not receive a valid HTTP response"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\nno", "HTTP 403"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "missing Connection header"),
        (b"SSH-2.0-OpenSSH\r\n", "did not receive a valid HTTP response"),
    ],
)
def test_what_is_no_handshake_is_named_at_the_end_at_the_latest(data: bytes, problem: str) -> None:
    websocket = WebSocket("127.0.0.1", 80, secure=False)
    websocket.receive(data)
    assert problem in websocket.problem_at_end()
    assert not websocket.opened


def test_a_host_name_that_is_not_ascii_is_written_as_http_does() -> None:
    websocket = WebSocket("b\xfccher.example", 443, secure=True)
    assert b"Host: xn--bcher-kva.example\r\n" in websocket.data_to_send()


def test_an_address_of_ipv6_gets_its_brackets() -> None:
    assert b"Host: [::1]:8080\r\n" in WebSocket("::1", 8080, secure=False).data_to_send()
