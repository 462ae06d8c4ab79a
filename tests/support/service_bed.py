"""A service, its store and its clients on a clock that only tests move."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, TypeVar

from mimc_server.router import MemoryRouter
from mimc_server.service import Hint, Service, ServiceConfig, ServiceEvent, StoreRequest
from mimc_server.store import Group as StoredGroup
from mimc_server.store import Kind, Member, MemoryStore, NewMessage, Store, StoreError
from mimc_server.tokens import TokenIssuer

from mimc_proto import ClientConnection, ClientState, Credentials, Framing
from mimc_proto.events import AckReceived, ClientEvent, MessagesReceived, PacketReceived
from mimc_proto.packets import (
    Group,
    OnlineMessage,
    P2PMessage,
    P2TMessage,
    PacketAck,
    SequenceAck,
    UcJoin,
    UcMessage,
    UcPacket,
    UcPing,
    UcQuit,
    User,
)

__all__ = ["APP", "NOON", "PACKAGE", "Client", "Node", "Town", "pushed"]

APP = 2882303761500000001
PACKAGE = "com.example.mimc"
NOON = 1_700_049_600_000
"""Unix time in milliseconds when ``now`` is 0."""

E = TypeVar("E")


class Town:
    """One store, any number of nodes, and a clock."""

    def __init__(
        self, config: ServiceConfig | None = None, *, lifetime: float = 86_400.0, store: Store | None = None
    ) -> None:
        self.now = 0.0
        self.store = store if store is not None else MemoryStore()
        self.rng = random.Random(1)
        self.tokens = TokenIssuer(b"a secret of the issuer", lifetime, self.rng)
        self.router = MemoryRouter()
        self.nodes: list[Node] = []
        self.clients: list[Client] = []
        self.node = self.start_node("n1", config)

    @property
    def wall_ms(self) -> int:
        return NOON + round(self.now * 1000)

    def start_node(self, name: str, config: ServiceConfig | None = None) -> Node:
        node = Node(self, name, config)
        self.nodes.append(node)
        return node

    def member(self, account: str) -> Member:
        return self.store.user(APP, account, self.wall_ms)

    def credentials(self, account: str, issuer: TokenIssuer | None = None) -> Credentials:
        """With a token that was just issued."""
        member = self.member(account)
        issued = (issuer or self.tokens).issue(APP, account, member.uuid, self.wall_ms)
        return Credentials(
            app_id=APP,
            account=account,
            uuid=member.uuid,
            token=issued.token,
            security_key=issued.security_key,
            package=PACKAGE,
        )

    def open(
        self, account: str, resource: str = "pc", node: Node | None = None, framing: Framing = Framing.TCP
    ) -> Client:
        """A client that has sent CONN and got its answer."""
        client = Client(self, node or self.node, account, resource, framing)
        self.clients.append(client)
        self.settle()
        return client

    def login(
        self, account: str, resource: str = "pc", node: Node | None = None, framing: Framing = Framing.TCP
    ) -> Client:
        client = self.open(account, resource, node, framing)
        client.bind()
        assert client.online, client.seen
        return client

    def group(self, owner: str, *members: str, unlimited: bool = False) -> int:
        uuids = [self.member(account).uuid for account in members]
        owner_uuid = self.member(owner).uuid
        group = self.store.create_group(APP, owner_uuid, "a group", uuids, self.wall_ms, unlimited=unlimited)
        assert isinstance(group, StoredGroup)
        return group.topic_id

    def settle(self) -> None:
        """Carry bytes, hints and answers of the store until nothing moves."""
        while any([node.step() for node in self.nodes] + [client.step() for client in self.clients]):
            pass

    def run_for(self, seconds: float) -> None:
        """Let time pass; the services' timers ring when they are due."""
        end = self.now + seconds
        while True:
            due = min((node.service.get_timer() or end) for node in self.nodes)
            if due > end:
                break
            self.now = max(self.now, due)
            for node in self.nodes:
                node.service.handle_timer(self.now, self.wall_ms)
            self.settle()
        self.now = end
        self.settle()


class Node:
    """A service and what drives it."""

    def __init__(self, town: Town, name: str, config: ServiceConfig | None) -> None:
        self.town = town
        self.service = Service(
            node=name,
            tokens=town.tokens,
            package_of=lambda app_id: PACKAGE if app_id == APP else None,
            rng=town.rng,
            config=config,
        )
        self.port = town.router.join(name)
        self.held: list[StoreRequest] | None = None
        """Requests that wait, while a test holds the store."""
        self.failing: tuple[type[Any], ...] = ()
        """Requests at which the store fails."""
        self.lose_hints = False
        self.deaf = False
        """Whether it takes no hints."""
        self.published: list[Hint] = []
        self.events: list[ServiceEvent] = []

    def step(self) -> bool:
        """Whether anything moved."""
        requests = self.service.store_requests()
        if self.held is not None:
            self.held += requests
            requests = []
        for request in requests:
            self.perform(request)
        hints = [] if self.deaf else self.service.hints()
        self.published += hints
        for hint in hints:
            if not self.lose_hints:
                self.port.publish(hint)
        received = self.port.received()
        for hint in received:
            self.service.hinted(hint, self.town.now, self.town.wall_ms)
        self.events += self.service.events()
        return bool(requests or hints or received)

    def perform(self, request: StoreRequest) -> None:
        answer = request.perform(self.town.store, self.town.wall_ms) if not self.fails(request) else StoreError("full")
        self.service.store_answered(request.request_id, answer, self.town.now, self.town.wall_ms)

    def fails(self, request: StoreRequest) -> bool:
        return isinstance(request, self.failing)

    def hold(self) -> None:
        """Have the store answer nothing until `release`."""
        self.held = []

    def release(self) -> None:
        """Perform what waits, and go on as usual."""
        held, self.held = self.held or [], None
        for request in held:
            self.perform(request)
        self.town.settle()

    def said(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


class Client:
    """A user on a `ClientConnection`; everything that it is told is in ``seen``."""

    def __init__(self, town: Town, node: Node, account: str, resource: str, framing: Framing) -> None:
        self.town = town
        self.node = node
        self.account = account
        self.uuid = town.member(account).uuid
        self.connection = ClientConnection(
            resource=resource, id_prefix=f"client{town.rng.getrandbits(32)}", now=town.now, framing=framing
        )
        self.link_id = node.service.link_opened(town.now, framing=framing, peer=f"peer of {account}")
        self.seen: list[ClientEvent] = []
        self.reading = True
        """Whether its side of the connection reads."""
        self.gone = False

    @property
    def online(self) -> bool:
        return self.connection.state is ClientState.BOUND

    def step(self) -> bool:
        """Carry bytes both ways; whether there were any."""
        if self.gone:
            return False
        town, service = self.town, self.node.service
        up = self.connection.data_to_send()
        for frame in up:
            service.receive_data(self.link_id, frame, town.now, town.wall_ms)
        down = service.data_to_send(self.link_id) if self.reading else []
        for frame in down:
            self.connection.receive_data(frame, town.now)
        self.seen += self.connection.events()
        if service.close_expected(self.link_id) is not None and self.reading:
            self.drop()
        return bool(up or down)

    def drop(self) -> None:
        """The connection is lost, on both sides."""
        self.gone = True
        self.node.service.link_lost(self.link_id, self.town.now, self.town.wall_ms)
        self.connection.receive_eof(self.town.now)
        self.seen += self.connection.events()
        self.town.settle()

    # ------------------------------------------------------------------------------------------------------ verbs

    def bind(self, credentials: Credentials | None = None) -> None:
        self.connection.bind(credentials or self.town.credentials(self.account), self.town.now)
        self.town.settle()

    def unbind(self) -> None:
        self.connection.unbind(self.town.now)
        self.town.settle()

    def send(self, to: str | int, payload: bytes = b"hi", *, settle: bool = True, **options: Any) -> str:
        """P2P to an account, P2T to a topic."""
        if isinstance(to, str):
            packet_id = self.connection.send_p2p(to, payload, now=self.town.now, **options)
        else:
            packet_id = self.connection.send_p2t(to, payload, now=self.town.now, **options)
        if settle:
            self.town.settle()
        return packet_id

    def request(self, body: Any, packet_id: str | None = None) -> str:
        """Any other packet."""
        packet_id = self.connection.send(body, now=self.town.now, packet_id=packet_id)
        self.town.settle()
        return packet_id

    def send_online(self, account: str, payload: bytes = b"hi") -> str:
        return self.request(OnlineMessage(recipient=User(account=account), payload=payload))

    def join(self, topic: int) -> str:
        return self.request(UcJoin(group=Group(app_id=APP, topic_id=topic)))

    def quit(self, topic: int) -> str:
        return self.request(UcQuit(group=Group(app_id=APP, topic_id=topic)))

    def ping_groups(self, *topics: int) -> str:
        return self.request(UcPing(groups=tuple(Group(app_id=APP, topic_id=topic) for topic in topics)))

    def send_unlimited(self, topic: int, payload: bytes = b"hi", packet_id: str | None = None) -> str:
        return self.request(UcMessage(group=Group(app_id=APP, topic_id=topic), payload=payload), packet_id)

    def acknowledge(self, sequence: int | None = None) -> None:
        """SEQUENCE_ACK, by default of all it got."""
        if sequence is None:
            sequence = max(event.max_sequence for event in self.seen if isinstance(event, MessagesReceived))
        self.request(SequenceAck(sequence=sequence))

    # ------------------------------------------------------------------------------------------------ what it was told

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.seen if isinstance(event, kind)]

    def forget(self) -> None:
        self.seen.clear()

    @property
    def messages(self) -> list[P2PMessage | P2TMessage]:
        found = [packet.body for event in self.all(MessagesReceived) for packet in event.packets]
        return [body for body in found if isinstance(body, (P2PMessage, P2TMessage))]

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    @property
    def acks(self) -> list[PacketAck]:
        return [event.ack for event in self.all(AckReceived)]

    def ack_of(self, packet_id: str) -> PacketAck:
        [ack] = [ack for ack in self.acks if ack.packet_id == packet_id]
        return ack

    def bodies(self, kind: type[E]) -> list[E]:
        """Of the packets that are neither acks nor lists; those of unlimited groups without their envelope."""
        bodies: Iterable[object] = (event.packet.body for event in self.all(PacketReceived))
        bare = [body.body if isinstance(body, UcPacket) else body for body in bodies]
        return [body for body in bare if isinstance(body, kind)]


def pushed(town: Town, sender: str, to: str, payload: bytes = b"hi", packet_id: str = "push_1") -> NewMessage:
    """A message of the application's server."""
    return NewMessage(
        app_id=APP,
        sender=town.member(sender),
        resource="",
        epoch=0,
        packet_id=packet_id,
        kind=Kind.P2P,
        target=to,
        payload=payload,
        biz_type=None,
        is_store=True,
    )
