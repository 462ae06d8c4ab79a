"""TLS in front of a listener on a `Network`, without sockets."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from mimc_proto.testing import Endpoint, Listener

__all__ = ["TlsListener"]

PIECE = 65536


class TlsListener:
    """What ``inner`` is, for those who speak TLS. ``context`` may be changed for later connections."""

    def __init__(self, inner: Listener, context: ssl.SSLContext) -> None:
        self.inner, self.context = inner, context

    def accept(self, now: float, wake: Callable[[], None]) -> Endpoint:
        """A connection arrived: see `Listener`."""
        return _TlsEndpoint(self.inner.accept(now, wake), self.context)


class _TlsEndpoint:
    """The server's side of one connection."""

    def __init__(self, inner: Endpoint, context: ssl.SSLContext) -> None:
        self._inner = inner
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._open = False
        self._broken_at: float | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        self._in.write(data)
        try:
            if not self._open:
                self._tls.do_handshake()
                self._open = True
            while piece := self._tls.read(PIECE):
                self._inner.receive_data(piece, now)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:  # the client does not like the certificate
            self._broken_at = now

    def data_to_send(self, max_bytes: int = PIECE) -> list[bytes]:
        if self._open:
            for frame in self._inner.data_to_send(max_bytes):
                self._tls.write(frame)
        data = self._out.read()
        return [data] if data else []

    def close_expected(self) -> float | None:
        return self._inner.close_expected() if self._broken_at is None else self._broken_at

    def receive_eof(self, now: float) -> None:
        self._inner.receive_eof(now)

    def send_failed(self, now: float) -> None:
        self._inner.send_failed(now)

    def get_timer(self) -> float | None:
        return self._inner.get_timer()

    def handle_timer(self, now: float) -> None:
        self._inner.handle_timer(now)
