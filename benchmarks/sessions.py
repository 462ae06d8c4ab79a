"""What is measured of a session: sending, verdicts, lists, and the memory of idle ones."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from collections.abc import Callable

from mimc_proto import ClientSession, ServerConnection
from mimc_proto.events import BindRequested
from mimc_proto.packets import P2PMessage, Packet, PacketAck, PacketList, User
from mimc_proto.session import Acknowledged, FetchToken, MessagesDelivered, OpenLink

APP_ID = 2882303761517613988
SECURITY_KEY = "XOF8dTB2dOVVkEdZB9O21w=="
PACKAGE = "com.xiaomi.imc.test_app1"
PAYLOAD = bytes(range(100))
UUID = 6874178410250241
CHANCE = random.Random(1)


def token_answer(account: str, uuid: int) -> str:
    """What a token endpoint says."""
    data = {
        "appId": str(APP_ID),
        "appPackage": PACKAGE,
        "appAccount": account,
        "miChid": 9,
        "miUserId": str(uuid),
        "miUserSecurityKey": SECURITY_KEY,
        "token": f"{uuid:0128d}",
        "feDomainName": "app.chat.xiaomi.net",
    }
    return json.dumps({"code": 200, "message": "success", "data": data})


class Pair:
    """A session that is online, and the server's side of its link."""

    def __init__(self, number: int = 0, *, max_pending: int = 4096) -> None:
        account, uuid = f"user-{number}", UUID + number
        self.session = session = ClientSession(APP_ID, account, rng=CHANCE, now=0.0, addresses=[("127.0.0.1", 5222)])
        self.server = server = ServerConnection(
            challenge=f"B7cZuZSa57f{number:05d}", first_id=number << 20, host="fe-1", now=0.0
        )
        self.link_id = 0
        session.connect(0.0)
        for request in session.requests():
            if isinstance(request, FetchToken):
                session.token_fetched(request.request_id, token_answer(account, uuid), 0.0)
            elif isinstance(request, OpenLink):
                self.link_id = request.link_id
                session.link_opened(self.link_id, 0.0)
        for _ in range(3):
            self.exchange()
            for event in server.events():
                if isinstance(event, BindRequested):
                    server.accept_bind(
                        app_id=APP_ID, account=account, uuid=uuid, security_key=SECURITY_KEY, package=PACKAGE, now=0.0
                    )
        assert session.online
        session.events()

    def exchange(self) -> None:
        """Carry everything that waits to the other side."""
        for frame in self.session.data_to_send(self.link_id):
            self.server.receive_data(frame, 0.0)
        for frame in self.server.data_to_send():
            self.session.receive_data(self.link_id, frame, 0.0)


def send(count: int) -> tuple[Callable[[], None], int]:
    """From the call to the frame, 50 messages a flush."""
    pair = Pair()
    session, link_id = pair.session, pair.link_id

    def work() -> None:
        for _ in range(count // 50):
            for _ in range(50):
                session.send("leijun", PAYLOAD, now=0.0, biz_type="TEXT")
            session.data_to_send(link_id)

    return work, count


def verdict(count: int) -> tuple[Callable[[], None], int]:
    """From the bytes of a PACKET_ACK to the verdict, ten to a read."""
    pair = Pair()
    session, link_id = pair.session, pair.link_id
    for number in range(count):
        packet_id = session.send("leijun", PAYLOAD, now=0.0, biz_type="TEXT")
        ack = PacketAck(packet_id=packet_id, sequence=15263541607720001 + number, timestamp=1526354160772)
        pair.server.send(ack, now=0.0)
    while session.data_to_send(link_id):
        pass
    frames = pair.server.data_to_send(1 << 30)
    reads = [b"".join(frames[n : n + 10]) for n in range(0, len(frames), 10)]

    def work() -> None:
        for read in reads:
            session.receive_data(link_id, read, 0.0)
            for event in session.events():
                assert type(event) is Acknowledged

    return work, count


def receive(count: int) -> tuple[Callable[[], None], int]:
    """From the bytes of a COMPOUND of 20 messages to their delivery and acknowledgement, a message."""
    pair = Pair()
    session, link_id = pair.session, pair.link_id
    user = User(app_id=APP_ID, account="user-0", uuid=UUID)
    sender = User(app_id=APP_ID, account="linbin", uuid=6874178410250240, resource="pc_java")
    body = P2PMessage(sender=sender, recipient=user, payload=PAYLOAD, is_store=True, biz_type="TEXT")
    for n in range(count // 20):
        first = 15263541607720001 + 20 * n
        packets = tuple(
            Packet(packet_id=f"SNojTVePKxAkYKe-{n}-{m}", sequence=first + m, timestamp=1526354160772 + m, body=body)
            for m in range(20)
        )
        pair.server.send(PacketList(packets=packets), now=0.0)
    frames = pair.server.data_to_send(1 << 30)

    def work() -> None:
        for frame in frames:
            session.receive_data(link_id, frame, 0.0)
            for event in session.events():
                assert type(event) is MessagesDelivered
                session.consumed(event.receipt, 0.0)
            session.data_to_send(link_id)

    return work, count // 20 * 20


def idle(sessions: int = 500, *, remembered: int = 0) -> float:
    """KiB of one idle session that is online, with so many sequences in its memory."""
    user = User(app_id=APP_ID, account="bob", uuid=1, resource="pc")
    body = P2PMessage(sender=user, recipient=user, payload=b"hi", is_store=True)

    def make(number: int) -> ClientSession:
        pair = Pair(number)
        for first in range(1, remembered, 50):
            packets = tuple(
                Packet(packet_id=f"p{n}", sequence=(number << 32) + n, timestamp=1526354160772, body=body)
                for n in range(first, first + 50)
            )
            pair.server.send(PacketList(packets=packets), now=0.0)
            pair.exchange()
            for event in pair.session.events():
                assert type(event) is MessagesDelivered
                pair.session.consumed(event.receipt, 0.0)
            pair.exchange()
        return pair.session

    make(0)  # what the interpreter and protobuf keep for themselves
    gc.collect()
    tracemalloc.start()
    users = [make(number) for number in range(1, sessions + 1)]
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    users.clear()
    gc.collect()
    size = (before - tracemalloc.get_traced_memory()[0]) / sessions / 1024
    tracemalloc.stop()
    return size
