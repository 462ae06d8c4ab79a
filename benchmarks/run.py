"""Speed and memory of the core, as ratios within one run: ``make bench``.

The unit is one fresh-key ``rc4`` of 150 bytes, measured in the same rounds, because the machines that run this are
shared and their clocks differ. Each figure is the median over rounds of the ratio to the unit of its own round;
the targets are those the project set itself. Exits 1 if one is missed.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable

from mimc_proto import ClientConnection, Credentials, ServerConnection
from mimc_proto.crypto import rc4
from mimc_proto.events import AckReceived, MessagesReceived, PacketReceived
from mimc_proto.packets import P2PMessage, Packet, PacketAck, PacketList, User

ROUNDS = 25
APP_ID = 2882303761517613988
SECURITY_KEY = "XOF8dTB2dOVVkEdZB9O21w=="
PACKAGE = "com.xiaomi.imc.test_app1"
PAYLOAD = bytes(range(100))

Prepare = Callable[[], tuple[Callable[[], None], int]]
"""Makes the work of one round, outside the measured time, and says how many operations it is."""


def bound_pair(number: int = 0) -> tuple[ClientConnection, ServerConnection]:
    """A client and a server link after login, their queues empty."""
    resource = f"mimc_py_{number:010d}"
    client = ClientConnection(resource=resource, id_prefix=f"a1B2c3D4e5F6{number:04d}", now=0.0)
    server = ServerConnection(challenge=f"B7cZuZSa57f{number:05d}", first_id=number << 20, host="fe-1", now=0.0)
    exchange(client, server)
    uuid = 6874178410250241 + number
    token = f"{number:0128d}"
    client.bind(
        Credentials(
            app_id=APP_ID, account=f"user-{number}", uuid=uuid, token=token, security_key=SECURITY_KEY, package=PACKAGE
        ),
        now=0.0,
    )
    exchange(client, server)
    assert server.accept_bind(
        app_id=APP_ID, account=f"user-{number}", uuid=uuid, security_key=SECURITY_KEY, package=PACKAGE, now=0.0
    )
    exchange(client, server)
    client.events()
    server.events()
    return client, server


def exchange(client: ClientConnection, server: ServerConnection) -> None:
    """Carry everything that waits to the other side."""
    for frame in client.data_to_send():
        server.receive_data(frame, 0.0)
    for frame in server.data_to_send():
        client.receive_data(frame, 0.0)


def unit() -> tuple[Callable[[], None], int]:
    """Fresh keys of the usual 37 bytes, 150 bytes of data."""
    keys = [bytes([n & 255, n >> 8]) * 18 + b"k" for n in range(1000)]
    data = bytes(150)

    def work() -> None:
        for key in keys:
            rc4(key, data)

    return work, len(keys)


def encode_p2p() -> tuple[Callable[[], None], int]:
    """From the verb to the frame, 50 messages a flush."""
    client, _ = bound_pair()

    def work() -> None:
        for _ in range(20):
            for _ in range(50):
                client.send_p2p("leijun", PAYLOAD, now=0.0, biz_type="TEXT")
            client.data_to_send()

    return work, 1000


def receive_ack() -> tuple[Callable[[], None], int]:
    """From the bytes of a PACKET_ACK to its event, ten to a read."""
    client, server = bound_pair()
    for n in range(1000):
        server.send(
            PacketAck(packet_id=f"a1B2c3D4e5F60000_{n}", sequence=15263541607720001 + n, timestamp=1526354160772),
            now=0.0,
        )
    frames = server.data_to_send(1 << 30)
    reads = [b"".join(frames[n : n + 10]) for n in range(0, len(frames), 10)]

    def work() -> None:
        for read in reads:
            client.receive_data(read, 0.0)
            for event in client.events():
                assert type(event) is AckReceived

    return work, 1000


def receive_list() -> tuple[Callable[[], None], int]:
    """From the bytes of a COMPOUND of 20 messages to its event, a message."""
    client, server = bound_pair()
    for n in range(50):
        packets = tuple(
            Packet(
                packet_id=f"SNojTVePKxAkYKe-{n}-{m}",
                sequence=15263541607720001 + 20 * n + m,
                timestamp=1526354160772 + m,
                body=P2PMessage(
                    sender=User(app_id=APP_ID, account="linbin", uuid=6874178410250240, resource="pc_java"),
                    recipient=User(app_id=APP_ID, account="user-0", uuid=6874178410250241),
                    payload=PAYLOAD,
                    is_store=True,
                    biz_type="TEXT",
                ),
            )
            for m in range(20)
        )
        server.send(PacketList(packets=packets), now=0.0)
    frames = server.data_to_send(1 << 30)

    def work() -> None:
        for frame in frames:
            client.receive_data(frame, 0.0)
            for event in client.events():
                assert type(event) is MessagesReceived

    return work, 1000


def serve_p2p() -> tuple[Callable[[], None], int]:
    """The server link takes in a message and builds the frame of its ack; ten messages to a read."""
    client, server = bound_pair()
    for _ in range(1000):
        client.send_p2p("leijun", PAYLOAD, now=0.0, biz_type="TEXT")
    frames = client.data_to_send(1 << 30)
    reads = [b"".join(frames[n : n + 10]) for n in range(0, len(frames), 10)]

    def work() -> None:
        for read in reads:
            server.receive_data(read, 0.0)
            for event in server.events():
                assert type(event) is PacketReceived
                ack = PacketAck(
                    packet_id=event.packet.packet_id or "", sequence=15263541607720001, timestamp=1526354160772
                )
                server.send(ack, now=0.0)
            server.data_to_send()

    return work, 1000


def measure(prepare: Prepare) -> float:
    """Seconds an operation, in one round."""
    work, count = prepare()
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        work()
        return (time.process_time() - start) / count
    finally:
        gc.enable()


def idle_link() -> tuple[float, float]:
    """KiB of one bound, idle link: the client's and the server's."""
    pairs = [bound_pair(n) for n in range(3)]  # caches of the interpreter and of protobuf
    sizes = []
    for side in (0, 1):
        del pairs
        gc.collect()
        tracemalloc.start()
        pairs = [bound_pair(n) for n in range(10, 510)]
        gc.collect()
        both = tracemalloc.get_traced_memory()[0]
        links = [pair[side] for pair in pairs]
        del pairs[:]
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert both > kept
        sizes.append(kept / len(links) / 1024)
        pairs = []
    return sizes[0], sizes[1]


FIGURES: tuple[tuple[str, Prepare, float], ...] = (
    ("encode a 100-byte p2p message", encode_p2p, 4.5),
    ("take in a PACKET_ACK", receive_ack, 5.5),
    ("take in a COMPOUND of 20, a message", receive_list, 5.0),
    ("server: p2p message in, ack out", serve_p2p, 12.0),
)


def main() -> int:
    """Print the table; 1 if a target is missed."""
    ratios: dict[str, list[float]] = {name: [] for name, _, _ in FIGURES}
    units = []
    for number in range(ROUNDS):
        print(f"\rround {number + 1} of {ROUNDS}", end="", file=sys.stderr, flush=True)
        for name, prepare, _ in FIGURES:
            one = min(measure(unit), measure(unit))
            units.append(one)
            ratios[name].append(measure(prepare) / one)
    print("\r" + " " * 20 + "\r", end="", file=sys.stderr)
    print(f"unit: one fresh-key rc4 of 150 bytes = {statistics.median(units) * 1e6:.2f} us (median of {len(units)})\n")
    print(f"{'':38}{'units':>8}{'10 %':>8}{'90 %':>8}{'target':>8}")
    missed = False
    for name, _, target in FIGURES:
        figures = sorted(ratios[name])
        low, median, high = figures[len(figures) // 10], statistics.median(figures), figures[-1 - len(figures) // 10]
        missed |= median > target
        print(f"{name:38}{median:8.2f}{low:8.2f}{high:8.2f}{target:8.1f}{'  MISSED' if median > target else ''}")
    print()
    for side, size in zip(("client", "server"), idle_link(), strict=True):
        missed |= size > 3.0
        print(f"{f'idle {side} link, KiB':38}{size:8.2f}{'':16}{3.0:8.1f}{'  MISSED' if size > 3.0 else ''}")
    return missed


if __name__ == "__main__":
    sys.exit(main())
