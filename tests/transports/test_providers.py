"""Tokens and addresses over HTTP, from a server on the loopback: blocking, on asyncio and on trio."""

from __future__ import annotations

import importlib.util
import json
import logging
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from mimc_transports import _http
from mimc_transports._providers import HttpExtraMissing, HttpTokenProvider, fetch_resolver, fetch_resolver_async

from mimc_proto.errors import LocalProtocolError, ResolverError, TokenError
from mimc_proto.session.resolver import parse_resolver_answer, resolver_url

PEM = Path(__file__).with_name("loopback.pem")  # a key and its own certificate for 127.0.0.1, valid until 2120
KEY, SECRET, BEARER = "the-app-key", "the-app-secret", "the-bearer-token"
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Records the request and lets the test answer it."""

    server: Server

    def _handle(self) -> None:
        size = int(self.headers.get("content-length", 0))
        self.server.requests.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
        self.server.answer(self)
        self.close_connection = True

    do_GET = do_POST = do_PUT = _handle  # noqa: N815 (names that http.server looks for)

    def reply(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def wait_until_the_client_leaves(self) -> None:
        self.rfile.read(1)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is not for it."""


class Server(ThreadingHTTPServer):
    """An HTTP server on a free loopback port; TLS with a context."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Answer = lambda handler: handler.reply(b"{}")
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is what some tests are about."""


def serve(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server(tls) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.005))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's environment says must not matter."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def tls_server() -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    yield from serve(context)


without_trio = pytest.mark.skipif(importlib.util.find_spec("trio") is None, reason="trio is not installed")
Way = Callable[[HttpTokenProvider], str]


@pytest.fixture(params=["blocking", "asyncio", pytest.param("trio", marks=without_trio)])
def fetch(request: pytest.FixtureRequest) -> Way:
    """How a program gets a token: each test runs on all of them."""
    if request.param == "blocking":
        return lambda provider: provider.fetch()
    return lambda provider: anyio.run(provider.fetch_async, backend=request.param)


def own(url: str, **options: Any) -> HttpTokenProvider:
    return HttpTokenProvider.for_own_server(url, **{"retries": 0, **options})


def refusal(fetch: Way, provider: HttpTokenProvider) -> TokenError:
    with pytest.raises(TokenError) as caught:
        fetch(provider)
    assert caught.value.__cause__ is None
    for secret in (KEY, SECRET, BEARER):
        assert secret not in str(caught.value)
    return caught.value


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# ------------------------------------------------------------------------------------------------ what is asked


def test_an_application_asks_with_its_key_and_secret(server: Server, fetch: Way) -> None:
    server.answer = lambda handler: handler.reply(b'{"code": 200}')
    provider = HttpTokenProvider(
        f"{server.url}/api/account/token", app_id=2**62, app_key=KEY, app_secret=SECRET, app_account="alice"
    )
    assert fetch(provider) == '{"code": 200}'
    [(method, path, headers, body)] = server.requests
    assert (method, path) == ("POST", "/api/account/token")
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"appId": str(2**62), "appKey": KEY, "appSecret": SECRET, "appAccount": "alice"}


def test_a_region_is_sent_if_there_is_one(server: Server) -> None:
    HttpTokenProvider(
        server.url, app_id=1, app_key=KEY, app_secret=SECRET, app_account="ä", region_key="REGION_CN"
    ).fetch()
    assert json.loads(server.requests[0][3])["regionKey"] == "REGION_CN"
    assert json.loads(server.requests[0][3])["appAccount"] == "ä"


def test_mimcs_own_endpoint_is_the_default() -> None:
    provider = HttpTokenProvider(app_id=1, app_key=KEY, app_secret=SECRET, app_account="alice")
    assert repr(provider) == "<HttpTokenProvider POST https://mimc.chat.xiaomi.net/api/account/token>"


def test_an_own_server_gets_its_own_body_and_headers(server: Server, fetch: Way) -> None:
    headers = {"Authorization": f"Bearer {BEARER}", "X-Empty": ""}
    fetch(own(f"{server.url}/token?for=alice", json={"user": "alice"}, headers=headers))
    [(method, path, sent, body)] = server.requests
    assert (method, path, json.loads(body)) == ("POST", "/token?for=alice", {"user": "alice"})
    assert (sent["authorization"], sent["x-empty"]) == (f"Bearer {BEARER}", "")


def test_an_own_server_is_asked_by_get_if_there_is_no_body(server: Server, fetch: Way) -> None:
    fetch(own(server.url))
    [(method, _, headers, body)] = server.requests
    assert (method, body) == ("GET", b"")
    assert "content-type" not in headers
    assert (headers["accept"], headers["accept-encoding"]) == ("application/json", "identity")


def test_another_method_may_be_asked_for(server: Server) -> None:
    own(server.url, method="PUT", json=[]).fetch()
    assert server.requests[0][0] == "PUT"


def test_headers_of_ones_own_win_but_for_compression(server: Server) -> None:
    own(server.url, json={}, headers={"Content-Type": "application/x", "Accept-Encoding": "gzip"}).fetch()
    headers = server.requests[0][2]
    assert (headers["content-type"], headers["accept-encoding"]) == ("application/x", "identity")


def test_what_was_given_may_change_afterwards(server: Server) -> None:
    body = {"user": "alice"}
    provider = own(server.url, json=body)
    body["user"] = "bob"
    provider.fetch()
    assert json.loads(server.requests[0][3]) == {"user": "alice"}


# ------------------------------------------------------------------------------------------- what may be wrong


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"app_id": "1"}, "appId"),
        ({"app_id": 0}, "appId"),
        ({"app_key": ""}, "appKey"),
        ({"app_secret": SECRET.encode()}, "appSecret"),
        ({"app_account": None}, "appAccount"),
        ({"region_key": 1}, "regionKey"),
        ({"url": None}, "url"),
        ({"url": "mimc.chat.xiaomi.net"}, "url"),
        ({"url": "ftp://host"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": f"https://user:{SECRET}@host"}, "url"),
        ({"url": "https://host/#top"}, "url"),
        ({"url": "https://host/a b"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"url": "https://host:99999"}, "url"),
        ({"url": "https://host:0"}, "url"),
        ({"url": "https://999.1.1.1/"}, "url"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": {7: "c"}}, "headers"),
        ({"headers": {"authorization": f"{SECRET}\r\nx: y"}}, "headers['authorization']"),
        ({"headers": {"authorization": f" {SECRET}"}}, "headers['authorization']"),
        ({"headers": {"authorization": SECRET.encode()}}, "headers['authorization']"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 601}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"retries": 11}, "retries"),
        ({"retries": 1.0}, "retries"),
        ({"verify": "/etc/ssl"}, "verify"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named_and_not_shown(change: dict[str, Any], where: str) -> None:
    good = {"url": "https://host", "app_id": 1, "app_key": KEY, "app_secret": SECRET, "app_account": "alice"}
    with pytest.raises(LocalProtocolError) as caught:
        HttpTokenProvider(**{**good, **change})
    assert caught.value.where == where
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("method", ["", "post", "POST /", 7])
def test_a_method_that_is_none_is_refused(method: Any) -> None:
    with pytest.raises(LocalProtocolError, match="method: expected a method such as"):
        own("https://host", json={}, method=method)


@pytest.mark.parametrize("body", [{"a": {1}}, {"a": float("nan")}, object()])
def test_a_body_that_json_cannot_hold_is_refused(body: object) -> None:
    with pytest.raises(LocalProtocolError, match="json: expected what JSON can hold, got"):
        own("https://host", json=body)


@pytest.mark.parametrize("status", [204, 301, 401, 500])
def test_another_status_than_200_is_an_error(server: Server, fetch: Way, status: int) -> None:
    server.answer = lambda handler: handler.reply(b"", status=status, location=server.url)
    error = refusal(fetch, own(f"{server.url}/token?key={SECRET}"))
    assert error.where == f"GET {server.url}/token"
    assert error.problem.startswith(f"expected HTTP status 200, got {status}")
    assert ("redirects are not followed" in error.problem) == (status == 301)
    assert len(server.requests) == 1


def test_an_answer_has_at_most_64_kib(server: Server, fetch: Way) -> None:
    server.answer = lambda handler: handler.reply(b"x" * 65536)
    assert len(fetch(own(server.url))) == 65536
    server.answer = lambda handler: handler.reply(b"x" * 65537)
    assert refusal(fetch, own(server.url)).problem == "expected an answer of at most 65536 bytes, got more"


def test_an_endless_answer_is_not_read_to_its_end(server: Server, fetch: Way) -> None:
    left = threading.Event()

    def endless(handler: Handler) -> None:
        handler.reply(b"", content_length="1000000000000")
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            left.set()

    server.answer = endless
    assert "at most 65536 bytes" in refusal(fetch, own(server.url)).problem
    assert left.wait(10)


def test_a_compressed_answer_is_refused(server: Server, fetch: Way) -> None:
    server.answer = lambda handler: handler.reply(b"", content_encoding="gzip")
    assert "not compressed" in refusal(fetch, own(server.url)).problem
    server.answer = lambda handler: handler.reply(b"{}", content_encoding="Identity")
    assert fetch(own(server.url)) == "{}"


def test_an_answer_that_is_no_utf_8_is_refused(server: Server, fetch: Way) -> None:
    server.answer = lambda handler: handler.reply(b"ab\xff")
    assert refusal(fetch, own(server.url)).problem == "expected UTF-8, got 3 bytes that are none from byte 2 on"


def test_a_server_that_is_not_there_is_named(fetch: Way) -> None:
    url = f"http://127.0.0.1:{closed_port()}/token"
    error = refusal(fetch, own(url, retries=1))
    assert error.where == f"GET {url}"
    assert error.problem.startswith("expected an answer, got ConnectError: ")


def test_an_answer_that_is_no_http_is_not_shown(server: Server, fetch: Way) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(f"{SECRET}\r\n\r\n".encode())

    server.answer = answer
    assert refusal(fetch, own(server.url)).problem == "expected an answer, got RemoteProtocolError"


def test_an_answer_that_stays_out_is_not_waited_for_long(server: Server, fetch: Way) -> None:
    server.answer = Handler.wait_until_the_client_leaves
    error = refusal(fetch, own(server.url, timeout=0.05))
    assert error.problem.startswith("expected an answer within 0.05 s, got none (")


def one_byte_of_many(handler: Handler) -> None:
    handler.reply(b"x", content_length="9")
    handler.wait_until_the_client_leaves()


def test_a_body_that_does_not_end_in_time_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer = one_byte_of_many
    monkeypatch.setattr(_http, "monotonic", iter([100.0, 105.1]).__next__)
    error = refusal(HttpTokenProvider.fetch, own(server.url))
    assert error.problem == "expected an answer within 5 s, got none (ReadTimeout)"


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=without_trio)])
def test_an_awaited_body_that_does_not_end_in_time_is_given_up(server: Server, backend: str) -> None:
    server.answer = one_byte_of_many
    error = refusal(lambda provider: anyio.run(provider.fetch_async, backend=backend), own(server.url, timeout=0.05))
    assert error.problem.startswith("expected an answer within 0.05 s, got none (")


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=without_trio)])
def test_a_fetch_can_be_cancelled(server: Server, backend: str) -> None:
    asked, left = threading.Event(), threading.Event()

    def answer(handler: Handler) -> None:
        asked.set()
        handler.wait_until_the_client_leaves()
        left.set()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(own(server.url).fetch_async)
            await anyio.to_thread.run_sync(asked.wait, 10)
            tasks.cancel_scope.cancel()

    server.answer = answer
    anyio.run(main, backend=backend)
    assert left.wait(10)


def test_an_attempt_without_an_answer_is_repeated(server: Server, fetch: Way) -> None:
    def answer(handler: Handler) -> None:
        if len(server.requests) == 3:
            handler.reply(b"{}")

    server.answer = answer
    assert fetch(own(server.url, json={"user": "alice"}, retries=2)) == "{}"
    assert [body for _, _, _, body in server.requests] == [b'{"user": "alice"}'] * 3


def test_attempts_end(server: Server, fetch: Way) -> None:
    server.answer = lambda _: None
    assert refusal(fetch, own(server.url, retries=2)).problem == "expected an answer, got RemoteProtocolError"
    assert len(server.requests) == 3


# ----------------------------------------------------------------------------------------- TLS, proxies, secrets


def test_certificates_are_verified(tls_server: Server, fetch: Way) -> None:
    problem = refusal(fetch, own(tls_server.url)).problem
    assert problem.startswith("expected an answer, got ConnectError: ")
    assert "CERTIFICATE_VERIFY_FAILED" in problem
    assert not tls_server.requests


def test_a_certificate_of_ones_own_may_be_trusted(tls_server: Server, fetch: Way) -> None:
    assert fetch(own(tls_server.url, verify=ssl.create_default_context(cafile=PEM))) == "{}"


def test_verification_may_be_turned_off(tls_server: Server, fetch: Way) -> None:
    assert fetch(own(tls_server.url, verify=False)) == "{}"


def test_a_proxy_of_the_environment_is_used(server: Server, fetch: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert fetch(own("http://token.example/token")) == "{}"
    assert server.requests[0][1] == "http://token.example/token"


def test_a_proxy_that_cannot_be_used_is_an_error(fetch: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"gopher://user:{SECRET}@host")
    problem = refusal(fetch, own("http://token.example")).problem
    assert problem == "cannot use the proxies or certificates that the environment names (ValueError)"


def test_what_is_secret_is_neither_shown_nor_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.answer = lambda handler: handler.reply(b'{"token": "the-token-that-came"}')
    provider = HttpTokenProvider(
        server.url,
        app_id=1,
        app_key=KEY,
        app_secret=SECRET,
        app_account="alice",
        headers={"authorization": f"Bearer {BEARER}"},
    )
    provider.fetch()
    anyio.run(provider.fetch_async)
    told = caplog.text + repr(provider) + repr(provider._exchange) + repr(own(f"{server.url}?key={SECRET}"))
    assert caplog.records
    for secret in (KEY, SECRET, BEARER, "the-token-that-came"):
        assert secret not in told


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mimc_transports._http")
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(HttpExtraMissing, match=r"pip install 'mimc-proto\[http\]'"):
        own("https://host")
    with pytest.raises(ImportError):
        fetch_resolver("https://host")


# ------------------------------------------------------------------------------------------------- the resolver


@pytest.fixture(params=["blocking", "asyncio", pytest.param("trio", marks=without_trio)])
def resolve(request: pytest.FixtureRequest) -> Callable[..., str]:
    if request.param == "blocking":
        return fetch_resolver
    return lambda url, **options: anyio.run(partial(fetch_resolver_async, url, **options), backend=request.param)


def test_the_resolver_is_asked_and_its_answer_returned(server: Server, resolve: Callable[..., str]) -> None:
    body = '{"S": "Ok", "R": {"wifi": {"app.example": ["10.0.0.1:5222"]}}}'
    server.answer = lambda handler: handler.reply(body.encode())
    answer = resolve(resolver_url(server.url, "app.example"))
    assert parse_resolver_answer(answer, "app.example") == (("10.0.0.1", 5222),)
    [(method, path, _, _)] = server.requests
    assert (method, path) == ("GET", "/gslb/?ver=4.0&type=wifi&list=app.example")


def test_a_resolver_that_fails_is_a_resolver_error(server: Server, resolve: Callable[..., str]) -> None:
    server.answer = lambda handler: handler.reply(b"", status=503)
    with pytest.raises(ResolverError, match="expected HTTP status 200, got 503"):
        resolve(server.url)


def test_a_resolver_that_is_not_there_is_a_resolver_error(resolve: Callable[..., str]) -> None:
    with pytest.raises(ResolverError, match="got ConnectError"):
        resolve(f"http://127.0.0.1:{closed_port()}/", timeout=2.0, verify=False)
