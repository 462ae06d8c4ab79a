"""The examples do what the documentation says they do: each is a process of its own, against a service on loopback."""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mimc_server.testing import LoopbackService

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("embed_selectors", "embed_asyncio_protocol", "embed_callback_loop")
DEADLINE = 30.0
"""Seconds until an example that hangs is ended."""

each_example = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def service() -> Iterator[LoopbackService]:
    with LoopbackService.in_thread() as running:
        yield running


class Example:
    """An example that runs. Its output is read line by line; one that hangs is killed and fails the test so."""

    def __init__(self, name: str, *args: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._watchdog = threading.Timer(DEADLINE, self.process.kill)
        self._watchdog.start()
        self.lines: list[str] = []

    def wait_for(self, pattern: str) -> str:
        """The next line that matches."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if re.search(pattern, line):
                return line
        raise AssertionError(f"expected a line like {pattern!r}, got {self.lines}")

    def finish(self) -> int:
        """The exit code; the rest of the output is in ``lines``."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait()

    def __enter__(self) -> Example:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Relay:
    """Carries connections to a service, and cuts them when it is told to."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Break every connection there is."""
        while self._open:
            _shut(self._open.pop())

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        _shut(self._listener)
        self._threads[0].join()
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was shut
            while True:
                inside, _ = self._listener.accept()
                outside = socket.create_connection(self._target)
                self._open += [inside, outside]
                self._threads.append(threading.Thread(target=_join, args=(inside, outside)))
                self._threads[-1].start()


def _join(inside: socket.socket, outside: socket.socket) -> None:
    with inside, outside:
        back = threading.Thread(target=_carry, args=(outside, inside))
        back.start()
        _carry(inside, outside)
        back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    _shut(source)
    _shut(sink)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def token_endpoint(service: LoopbackService, account: str) -> Iterator[str]:
    """A URL that gives a new token of this account each time, as an application's own server would."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = service.token_answer(account).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token"
        finally:
            server.shutdown()
            thread.join()


def token_file(service: LoopbackService, account: str, directory: Path) -> Path:
    path = directory / f"{account}.json"
    path.write_text(service.token_answer(account), "utf-8")
    return path


def address_of(service: LoopbackService) -> str:
    host, port = service.address
    return f"{host}:{port}"


@each_example
def test_an_example_has_less_than_120_lines(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text("utf-8").splitlines()) < 120


@each_example
def test_an_example_says_how_it_is_used(name: str) -> None:
    with Example(name, "--help") as example:
        assert example.finish() == 0
        assert "--token" in "\n".join(example.lines)


@pytest.mark.parametrize(("first", "second"), [*zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)])
def test_two_examples_talk_to_each_other(service: LoopbackService, tmp_path: Path, first: str, second: str) -> None:
    one, two = f"one of {first}", f"two of {second}"
    address = ("--address", address_of(service), "--receive", 1)
    with (
        Example(first, service.app_id, one, two, "hi", "--token", token_file(service, one, tmp_path), *address) as a,
        Example(
            second, service.app_id, two, one, "hello", "--token", token_file(service, two, tmp_path), *address
        ) as b,
    ):
        assert (a.finish(), b.finish()) == (0, 0), [a.lines, b.lines]
        assert f"{two}: b'hello'" in a.lines
        assert f"{one}: b'hi'" in b.lines
        assert a.lines[-1].startswith("Ended(reason=<EndReason.LOGGED_OUT")


@each_example
def test_an_example_logs_in_again_when_its_link_is_cut(service: LoopbackService, tmp_path: Path, name: str) -> None:
    me, friend = f"cut {name}", f"friend of {name}"
    with Relay(service.address) as relay, contextlib.ExitStack() as stack:
        args = ("--token", token_file(service, me, tmp_path), "--address", relay.address, "--receive", 1)
        example = stack.enter_context(Example(name, service.app_id, me, friend, "before", *args))
        example.wait_for("^Acknowledged")
        relay.cut()
        example.wait_for("^LinkLost")
        example.wait_for("^Online")
        direct = ("--token", token_file(service, friend, tmp_path), "--address", address_of(service))
        other = stack.enter_context(Example(name, service.app_id, friend, me, "after", *direct))
        assert (other.finish(), example.finish()) == (0, 0), [example.lines, other.lines]
        assert f"{friend}: b'after'" in example.lines


@each_example
def test_an_example_gets_a_new_token_when_its_own_expires(service: LoopbackService, name: str) -> None:
    me = f"expired {name}"
    with token_endpoint(service, me) as url:
        args = ("--token", url, "--address", address_of(service), "--receive", 2)
        with Example(name, service.app_id, me, me, "to myself", *args) as example:
            example.wait_for(f"^{me}: ")
            service.expire_tokens(me)
            example.wait_for("^Offline.*token-expired")
            example.wait_for("^Online")
            with Example(name, service.app_id, me, me, "again", "--token", url, "--address", address_of(service)) as b:
                assert (b.finish(), example.finish()) == (0, 0), [example.lines, b.lines]


@each_example
def test_an_example_asks_the_resolver_and_a_command(service: LoopbackService, tmp_path: Path, name: str) -> None:
    me = f"resolved {name}"
    path = token_file(service, me, tmp_path)
    command = f"!cat '{path}'"
    args = ("--token", command, "--resolver", service.http_url, "--receive", 1)
    with Example(name, service.app_id, me, me, "to myself", *args) as example:
        assert example.finish() == 0, example.lines
        assert f"{me}: b'to myself'" in example.lines


@each_example
def test_an_example_without_a_token_says_so_and_fails(service: LoopbackService, tmp_path: Path, name: str) -> None:
    args = ("--token", tmp_path / "none.json", "--address", address_of(service), "--timeout", 0.3)
    with Example(name, service.app_id, "alice", "bob", "hi", *args) as example:
        assert example.finish() == 1, example.lines
        assert "TokenFailed(problem='token: FileNotFoundError')" in example.lines
        assert any("may_have_arrived=False" in line for line in example.lines)


@each_example
def test_an_example_without_a_server_says_so_and_fails(service: LoopbackService, tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    args = ("--token", token_file(service, "alice", tmp_path), "--address", nobody, "--timeout", 0.3)
    with Example(name, service.app_id, "alice", "bob", "hi", *args) as example:
        assert example.finish() == 1, example.lines
        assert any(line.startswith("LinkLost") for line in example.lines)
        assert any("may_have_arrived=False" in line for line in example.lines)


@each_example
def test_an_example_says_what_is_wrong_with_its_arguments(name: str) -> None:
    with Example(name, -1, "alice", "bob", "hi", "--token", "t.json") as example:
        assert example.finish() == 2, example.lines
        assert "expected a whole number" in example.lines[-1]
