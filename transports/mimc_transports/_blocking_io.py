"""The thread that reads for a blocking user, and the sockets it reads from."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import socket
import ssl
import threading
import weakref
from typing import TYPE_CHECKING, Any

from mimc_proto.session import OpenLink

from ._link import Link
from ._proxy import connect_blocking

if TYPE_CHECKING:
    from ._blocking_threads import ThreadUser

__all__ = ["IoThread", "SocketLink"]

PIECE = 65536

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class SocketLink(Link):
    """One connection: a socket that never blocks. Everything here happens under the user's lock."""

    _user: ThreadUser

    def __init__(self, user: ThreadUser, request: OpenLink) -> None:
        super().__init__(user, request)
        self._host = request.host
        self._addresses: list[Any] = []  # as getaddrinfo gives them, still to be tried
        self._connecting = False
        self._tls: _Tls | None = None
        self._out = bytearray()
        self.socket: socket.socket | None = None

    # ------------------------------------------------------------------------------------------------------- connecting

    def look_up(self, host: str, port: int, timeout: float) -> None:
        """Ask for addresses, or have a proxy connect; blocks, so it has a thread of its own."""
        user = self._user
        found: Any
        try:
            if user._proxy is not None:
                found = connect_blocking(user._proxy, host, port, timeout)
            else:
                found = user._getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            found = error
        with user._lock:
            if self._given_up:
                if isinstance(found, socket.socket):
                    found.close()
                return
            if isinstance(found, Exception):
                self.lost(found)
            elif isinstance(found, socket.socket):
                self._take(found)
                self._connected()
            else:
                self._addresses = list(found)
                self._try_next(OSError("the name has no address"))
            user._io.wake()

    def _try_next(self, problem: OSError) -> None:
        """Connect to the next address; when there is none, that was the problem."""
        while self._addresses:
            family, kind, protocol, _, address = self._addresses.pop(0)
            try:
                self._take(self._user._socket(family, kind, protocol))
                assert self.socket is not None  # taken
                self._connecting = True
                self.socket.connect(address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                problem = error
                self._drop()
            else:
                self._connected()
                return
        self.lost(problem)

    def _take(self, connection: socket.socket) -> None:
        self.socket = connection
        connection.setblocking(False)

    def _drop(self) -> None:
        self._connecting = False
        if self.socket is not None:
            self._user._io.discard(self.socket)
            self.socket = None

    def _connected(self) -> None:
        user, connection = self._user, self.socket
        assert connection is not None  # it is connected
        self._connecting = False
        with contextlib.suppress(OSError):  # it is not TCP
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if user._tls is None:
            self.connected()
        else:
            self._tls = _Tls(user._tls, user._server_hostname or self._host)
            self._received_tls(b"")

    # -------------------------------------------------------------------------------------------------- bytes

    def wanted(self) -> int:
        """What the thread is to wait for."""
        if self._connecting:
            return _WRITE
        return _READ | _WRITE if self._out else _READ

    def ready(self, mask: int) -> None:
        """The socket can be read or written."""
        connection = self.socket
        if connection is None:
            return
        if self._connecting:
            error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._drop()
                self._try_next(OSError(error, os.strerror(error)))
            else:
                self._connected()
            return
        if mask & _READ:
            self._read(connection)
        if mask & _WRITE:
            self.flush()

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.lost(error)
            return
        if self._tls is not None and data:
            self._received_tls(data)
        else:
            self.received(data)

    def _received_tls(self, data: bytes) -> None:
        tls = self._tls
        assert tls is not None  # the caller looked
        was_open = tls.is_open
        try:
            pieces = tls.receive(data)
        except ssl.SSLError as error:
            self._write(tls.data_to_send())  # what is the matter
            self.lost(error)
            return
        self._write(tls.data_to_send())
        if tls.is_open and not was_open:
            self.connected()
        for piece in pieces:
            self.received(piece)

    def flush(self) -> None:
        """Write what waits, as far as the socket takes it."""
        if self.socket is None or self._connecting or (self._tls is not None and not self._tls.is_open):
            return
        self._write(b"")
        while not self._out and (data := self.data_to_send()):
            self._write(data if self._tls is None else self._tls.send(data))

    def _write(self, data: bytes) -> None:
        out = self._out
        out += data
        if out and self.socket is not None:
            try:
                del out[: self.socket.send(out)]
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                out.clear()  # the reader hears of it, after what came before

    def close(self) -> None:
        """Give it up; what the session still had to say was written before."""
        last_words = self.give_up()
        if last_words and not self._out:
            self._write(last_words if self._tls is None else self._tls.send(last_words))
        self._drop()


class _Tls:
    """TLS between bytes and bytes."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_hostname=name)
        self.is_open = False

    def receive(self, data: bytes) -> list[bytes]:
        """The plain bytes that are there now; b"" at their end. Raises `ssl.SSLError`."""
        self._in.write(data)
        pieces: list[bytes] = []
        try:
            if not self.is_open:
                self._object.do_handshake()
                self.is_open = True
            while not pieces or pieces[-1]:
                pieces.append(self._object.read(PIECE))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            pieces.append(b"")
        return pieces

    def send(self, data: bytes) -> bytes:
        """What these bytes become."""
        self._object.write(data)
        return self._out.read()

    def data_to_send(self) -> bytes:
        """What TLS itself has to say."""
        return self._out.read()


class IoThread:
    """Waits for sockets and for the time, and calls the user when there is something to do.

    It knows the user only weakly: one that is forgotten without being closed can be collected, and warns.
    """

    def __init__(self, user: ThreadUser) -> None:
        self._user = weakref.ref(user)
        self._lock = user._lock
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, _READ)
        self._watched: tuple[socket.socket, int] | None = None
        self._discarded: list[socket.socket] = []
        self._stopped = False
        self.sleeps_until = -math.inf
        """The time at which it looks again by itself."""
        self.thread = threading.Thread(target=self._run, name=f"mimc {user._session.account}", daemon=True)

    def wake(self) -> None:
        """Look again."""
        if threading.current_thread() is not self.thread:
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it will wake up; closed: it has ended
            self._waker.send(b"\0")

    def stop(self) -> None:
        """End, and close what is open."""
        self._stopped = True
        self._wake()  # also from its own thread: the user may be collected there, just before it sleeps

    def discard(self, connection: socket.socket) -> None:
        """Close a socket: only this thread does that, for it may be waiting for it."""
        self._discarded.append(connection)
        self.wake()

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    user = self._user()
                    if user is None or self._stopped:
                        return
                    timeout = self._prepare(user)
                    del user
                ready = self._selector.select(timeout)
                with self._lock:
                    user = self._user()
                    if user is None or self._stopped:
                        return
                    self._turn(user, ready)
                    del user
        finally:
            with self._lock:
                self._watch(None)
                for end in (*self._discarded, self._woken, self._waker):
                    end.close()
                self._selector.close()

    def _prepare(self, user: ThreadUser) -> float | None:
        """Watch what is to be watched; how long to wait at most, in seconds."""
        self._watch(user._link)
        while self._discarded:
            self._discarded.pop().close()
        self.sleeps_until = when = user._next_deadline()
        return None if when == math.inf else max(0.0, when - user._now())

    def _watch(self, link: SocketLink | None) -> None:
        connection = None if link is None else link.socket
        wanted = None if link is None or connection is None else (connection, link.wanted())
        if wanted == self._watched:
            return
        if self._watched is not None:
            self._selector.unregister(self._watched[0])
        if wanted is not None:
            self._selector.register(*wanted)
        self._watched = wanted

    def _turn(self, user: ThreadUser, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        """Bytes that wait are fed before the timer."""
        self.sleeps_until = -math.inf  # it looks at the time once more before it sleeps
        for key, mask in ready:
            if key.fileobj is self._woken:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(PIECE)
            elif user._link is not None and user._link.socket is key.fileobj:
                user._link.ready(mask)
        user._on_time()
