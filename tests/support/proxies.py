"""Proxies for tests: small, on loopback, each in threads of its own, and as badly behaved as a test wants."""

from __future__ import annotations

import abc
import base64
import contextlib
import enum
import selectors
import socket
import sys
import threading
from typing import ClassVar, Self
from urllib.parse import quote

__all__ = ["HttpProxy", "Mood", "Proxy", "SocksProxy"]

TIMEOUT = 10.0
"""Seconds after which a thread that hangs is given up."""

Address = tuple[str, int]


class Mood(enum.Enum):
    """What a proxy does with whoever comes."""

    GOOD = "connects"
    REFUSES = "says that it cannot connect"
    CLOSES = "closes at once"
    GARBAGE = "says something else"


class _Limited:
    """A connection that is used for so many bytes at most; then it ends."""

    def __init__(self, connection: socket.socket, up: int = sys.maxsize, down: int = sys.maxsize) -> None:
        self._connection, self._up, self._down = connection, up, down

    def recv(self, size: int) -> bytes:
        data = self._connection.recv(min(size, self._up))
        self._up -= len(data)
        return data

    def sendall(self, data: bytes) -> None:
        if data:
            self._connection.sendall(data[: self._down])
        if len(data) > self._down:
            raise EOFError
        self._down -= len(data)


class Proxy(abc.ABC):
    """A proxy that runs inside its block. ``login`` is the user and password it wants; ``names`` are the host names
    that it knows, with what they stand for; ``asked`` are the targets it was asked for."""

    scheme: ClassVar[str]

    def __init__(
        self,
        mood: Mood = Mood.GOOD,
        *,
        login: tuple[str, str] | None = None,
        names: dict[str, Address] | None = None,
        garbage: bytes = b"\xff\xfe\r\n\r\n" * 8,
    ) -> None:
        self.mood, self.login, self.names, self.garbage = mood, login, names or {}, garbage
        self.asked: list[Address] = []
        self.limits: dict[str, int] = {}
        """Of the next who comes so many bytes are read of its handshake ("up") or written ("down"), and no more."""
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopped = False

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self.cut()
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes who accepts
        for thread in self._threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "a proxy hangs"
        self._listener.close()

    @property
    def url(self) -> str:
        """What to give to ``proxy=``."""
        login = "" if self.login is None else "{}:{}@".format(*(quote(part, safe="") for part in self.login))
        return f"{self.scheme}://{login}127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End all connections."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # it is closed already
                    connection.shutdown(socket.SHUT_RDWR)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with self._lock:
                if self._stopped:
                    client.close()
                    return
                self._open.add(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError):
            client.settimeout(TIMEOUT)
            if self.mood is Mood.CLOSES:
                return
            if self.mood is Mood.GARBAGE:
                client.recv(1)
                client.sendall(self.garbage)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
                return
            limited, self.limits = _Limited(client, **self.limits), {}
            target = self._greet(limited)
            if target is None:
                return
            self.asked.append(target)
            if self.mood is Mood.REFUSES:
                self._refuse(limited)
                return
            with socket.create_connection(self.names.get(target[0], target)) as server:
                with self._lock:
                    self._open.add(server)
                try:
                    self._agree(limited)
                    _relay(client, server)
                finally:
                    with self._lock:
                        self._open.discard(server)
        with self._lock:
            self._open.discard(client)

    @abc.abstractmethod
    def _greet(self, client: _Limited) -> Address | None:
        """What the client wants; None if it was sent away."""

    @abc.abstractmethod
    def _refuse(self, client: _Limited) -> None:
        """Say that there is no connection."""

    @abc.abstractmethod
    def _agree(self, client: _Limited) -> None:
        """Say that there is one."""


class SocksProxy(Proxy):
    """SOCKS5 (RFC 1928), with user and password if wanted (RFC 1929)."""

    scheme = "socks5"

    def _greet(self, client: _Limited) -> Address | None:
        _, count = _exactly(client, 2)
        methods = _exactly(client, count)
        wanted = 0 if self.login is None else 2
        if wanted not in methods:
            client.sendall(b"\x05\xff")
            return None
        client.sendall(bytes((5, wanted)))
        if self.login is not None:
            _exactly(client, 1)
            user, password = (_exactly(client, _exactly(client, 1)[0]).decode() for _ in range(2))
            good = (user, password) == self.login
            client.sendall(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return None
        _, _, _, kind = _exactly(client, 4)
        if kind == 3:
            host = _exactly(client, _exactly(client, 1)[0]).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, _exactly(client, size))
        return host, int.from_bytes(_exactly(client, 2))

    def _refuse(self, client: _Limited) -> None:
        client.sendall(b"\x05\x05\x00\x01" + bytes(6))

    def _agree(self, client: _Limited) -> None:
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))


class HttpProxy(Proxy):
    """HTTP CONNECT, with user and password if wanted."""

    scheme = "http"

    def _greet(self, client: _Limited) -> Address | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += _exactly(client, 1)
        line, *headers = head.decode().split("\r\n")
        if self.login is not None:
            told = base64.b64encode(":".join(self.login).encode()).decode()
            if f"Proxy-Authorization: Basic {told}" not in headers:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                return None
        host, _, port = line.split()[1].rpartition(":")
        return host.strip("[]"), int(port)

    def _refuse(self, client: _Limited) -> None:
        client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno")

    def _agree(self, client: _Limited) -> None:
        client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")


def _exactly(connection: _Limited, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Bytes go both ways until either side ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, (one, other))
        selector.register(other, selectors.EVENT_READ, (other, one))
        while True:
            for key, _ in selector.select():
                source, target = key.data
                data = source.recv(65536)
                if not data:
                    return
                target.sendall(data)
