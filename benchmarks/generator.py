"""Users by the ten thousand, as cheaply as can be: the load of ``benchmarks/server.py``.

One thread, one epoll, no event loop. Messages are encoded before the measured time and what was received is decoded
after it, by a real client link that checks everything: each message acknowledged with code 0, and delivered once and
in order. In between only frames are counted, and each list is answered with a SEQUENCE_ACK.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from served import APP_ID, PACKAGE

from mimc_proto import ClientConnection, Credentials
from mimc_proto.crypto import ARC4
from mimc_proto.events import AckReceived, BindAccepted, HandshakeCompleted, MessagesReceived
from mimc_proto.framing import encode_tcp_frame, join_body
from mimc_proto.packets import Direction, Header
from mimc_proto.packets.encoders import HeaderTemplate
from mimc_proto.packets.wire import encode_varint, read_varint

RESOURCE = "mimc_py_0123456789"
AT_ONCE = 256
"""Logins that run at a time."""
A_SOURCE = 20_000
"""Connections from one address: it has 28 000 ports."""
READ = 1 << 18
FRAME_HEADER = 8
FRAME_ENDS = 12
BODY_ENDS = struct.Struct(">HHI")


class Peer:
    """One connection of one user."""

    def __init__(self, user: dict[str, Any], number: int, resource: str = RESOURCE) -> None:
        self.credentials = Credentials(app_id=APP_ID, package=PACKAGE, **user)
        self.link = ClientConnection(resource=resource, id_prefix=f"bench{number:08x}", now=0.0)
        self.socket = socket.socket()
        self.online = False
        self.frames: deque[bytes] = deque()
        """Messages to send."""
        self.sent: list[float] = []
        """When each of them was sent, or should have been."""
        self.acked: list[float] = []
        """When each was acknowledged."""
        self.lists = 0
        self.received: list[bytes] = []
        self.acks_sent = 0
        self._rest = b""
        self._unwritten = b""
        self._template: HeaderTemplate | None = None

    def connect(self, address: tuple[str, int], source: str) -> None:
        """Begin; everything else follows from what is readable."""
        self.socket.bind((source, 0))
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(b"".join(self.link.data_to_send()))

    def log_in(self) -> None:
        """Readable, and not online yet."""
        self.link.receive_data(self._read(), 0.0)
        for event in self.link.events():
            if isinstance(event, HandshakeCompleted):
                self.link.bind(self.credentials, 0.0)
            elif isinstance(event, BindAccepted):
                self.online = True
        self.socket.sendall(b"".join(self.link.data_to_send()))

    def _read(self) -> bytes:
        data = self.socket.recv(READ)
        if not data:
            raise ConnectionError(f"the server closed the connection of {self.credentials.account}")
        return data

    # ---------------------------------------------------------------------------------------------------- messages

    def prepare(self, count: int, to: str | int, payload: bytes) -> None:
        """Encode messages to an account or a group."""
        for _ in range(count):
            if isinstance(to, str):
                self.link.send_p2p(to, payload, now=0.0)
            else:
                self.link.send_p2t(to, payload, now=0.0)
            self.frames += self.link.data_to_send()

    def send(self, count: int, now: float) -> None:
        """Write some of what was prepared."""
        count = min(count, len(self.frames))
        self.sent += [now] * count
        self.write(b"".join([self.frames.popleft() for _ in range(count)]))

    def write(self, data: bytes = b"") -> None:
        """As much as the socket takes; the rest is written before the next."""
        data = self._unwritten + data
        if data:
            try:
                written = self.socket.send(data)
            except BlockingIOError:
                written = 0
            self._unwritten = data[written:]

    def readable(self) -> int:
        """Count the acks, answer the lists; how many frames came."""
        data = self._read()
        self.received.append(data)
        now = time.perf_counter()
        data, count, at = self._rest + data, 0, 0
        while (end := self._frame_end(data, at)) is not None:
            if self.sent:
                self.acked.append(now)
            else:
                self._acknowledge(data[at + FRAME_HEADER : end - 4])
            count, at = count + 1, end
        self._rest = data[at:]
        return count

    @staticmethod
    def _frame_end(data: bytes, at: int) -> int | None:
        if len(data) < at + FRAME_HEADER:
            return None
        end = at + FRAME_ENDS + int.from_bytes(data[at + 4 : at + 8], "big")
        return end if end <= len(data) else None

    def _acknowledge(self, body: bytes) -> None:
        """SEQUENCE_ACK for a list, of which only the sequence in its envelope is read."""
        link = self.link
        assert link._cipher is not None
        assert link._secret is not None
        assert link._send_template is not None
        body = link._cipher.apply(body)
        opened = self._template.open(body) if self._template is not None else None
        if opened is None:
            size = BODY_ENDS.unpack_from(body)[1]
            raw = body[BODY_ENDS.size : BODY_ENDS.size + size]
            header = Header.decode(raw)
            assert header.dir_flag is Direction.SC_ONEWAY
            self._template = HeaderTemplate.learn(raw, header)
            opened = header.id or "", body[BODY_ENDS.size + size :]
        plain = ARC4(link._secret + opened[0].encode()).encrypt(opened[1][:200])
        at = 2 + plain[1]  # behind the packet id
        at += 2 + plain[at + 1]  # and the package
        sequence = read_varint(plain, at + 1)[0]
        own_id = b"bench_%d" % self.acks_sent
        self.acks_sent += 1
        packet = self._sequence_ack(own_id, sequence)
        header_bytes = link._send_template.encode(own_id)
        encrypted = ARC4(link._secret + own_id).encrypt(packet)
        self.write(encode_tcp_frame(link._cipher.apply(join_body(header_bytes, encrypted))))

    def _sequence_ack(self, own_id: bytes, sequence: int) -> bytes:
        resource, package = self.link.resource.encode(), PACKAGE.encode()
        owner = b"\x08" + encode_varint(self.credentials.uuid) + b"\x12" + bytes([len(resource)]) + resource
        body = owner + b"\x18" + encode_varint(sequence) + b"\x20" + encode_varint(APP_ID)
        outer = b"\x0a" + bytes([len(own_id)]) + own_id + b"\x12" + bytes([len(package)]) + package
        return outer + b"\x20\x03\x2a" + bytes([len(body)]) + body

    # ---------------------------------------------------------------------------------------- after the measured time

    def check(self) -> list[str]:
        """Decode all that came; the packet ids of the messages delivered. Raises `AssertionError`."""
        delivered: list[str] = []
        acked: set[str] = set()
        last = 0
        for data in self.received:
            self.link.receive_data(data, 0.0)
            for event in self.link.events():
                if isinstance(event, AckReceived):
                    assert not event.ack.code, event
                    acked.add(event.ack.packet_id)
                else:
                    assert isinstance(event, MessagesReceived), event
                    assert not event.skipped
                    for packet in event.packets:
                        assert (packet.sequence or 0) > last, "out of order, or twice"
                        last = packet.sequence or 0
                        delivered.append(packet.packet_id or "")
        assert len(acked) == len(self.acked), f"{len(acked)} acks of {len(self.acked)}"
        self.received.clear()
        self.sent, self.acked = [], []
        return delivered


class Generator:
    """All connections of the load."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.peers: list[Peer] = []
        self.epoll = select.epoll()
        self.by_fd: dict[int, Peer] = {}

    def log_in(self, users: Sequence[dict[str, Any]], progress: Callable[[int], object] = lambda _: None) -> list[Peer]:
        """Have these users online, some hundreds at a time."""
        made, waiting = [], 0
        for user in users:
            number = len(self.peers)
            peer = Peer(user, number)
            peer.connect(("127.0.0.1", self.port), f"127.0.0.{1 + number // A_SOURCE}")
            self.by_fd[peer.socket.fileno()] = peer
            self.epoll.register(peer.socket, select.EPOLLIN)
            self.peers.append(peer)
            made.append(peer)
            waiting += 1
            while waiting >= AT_ONCE:
                waiting -= self._log_in()
            if not len(made) % 2000:
                progress(len(made))
        while waiting:
            waiting -= self._log_in()
        return made

    def _log_in(self) -> int:
        """How many came online."""
        count = 0
        for peer in self.ready(10.0):
            assert not peer.online, "a push at login"
            peer.log_in()
            count += peer.online
        return count

    def ready(self, timeout: float) -> Iterator[Peer]:
        """Peers to be read. Raises `TimeoutError` if ``timeout`` seconds, more than one, bring none."""
        found = self.epoll.poll(timeout, 256)
        if not found and timeout > 1:
            raise TimeoutError(f"no answer within {timeout} s")
        for fd, _ in found:
            yield self.by_fd[fd]

    def close(self) -> None:
        """Close all connections."""
        for peer in self.peers:
            peer.socket.close()
        self.epoll.close()

    # -------------------------------------------------------------------------------------------------------- loads

    def flood(self, senders: Sequence[Peer], window: int) -> float:
        """Send all that was prepared, so many of each sender unacknowledged at a time; seconds until all is delivered.

        The run is over when nothing has come for a quarter of a second after the last ack, which is not counted.
        """
        total = sum(len(peer.frames) for peer in senders)
        start = time.perf_counter()
        for peer in senders:
            peer.send(window, time.perf_counter())
        acked, last = 0, start
        while True:
            found = False
            for peer in self.ready(0.25 if acked >= total else 10.0):
                count = peer.readable()
                found = True
                last = time.perf_counter()
                if peer.sent:
                    acked += count
                    peer.send(len(peer.acked) + window - len(peer.sent), last)
                else:
                    peer.write()
            if not found and acked >= total:
                return last - start

    def pace(self, senders: Sequence[Peer], rate: float) -> float:
        """Send what was prepared at ``rate`` messages a second of all, whatever comes back; seconds as with `flood`."""
        total = sum(len(peer.frames) for peer in senders)
        start = time.perf_counter()
        acked, sent, last = 0, 0, start
        while True:
            now = time.perf_counter()
            while sent < total and start + sent / rate <= now:
                senders[sent % len(senders)].send(1, start + sent / rate)
                sent += 1
            pause = max(0.0, start + sent / rate - now) if sent < total else 0.25 if acked >= total else 10.0
            found = False
            for peer in self.ready(pause):
                count = peer.readable()
                found = True
                last = time.perf_counter()
                if peer.sent:
                    acked += count
                peer.write()
            if not found and acked >= total:
                return last - start
