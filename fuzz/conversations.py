"""What the fuzzers start from: conversations of our own two links, and the packets of the official clients in them."""

from __future__ import annotations

import functools
import struct
from random import Random

import vectors
from mimc_cli.fuzzing import FuzzKeys, Piece, join, split
from mimc_server.store import MemoryStore

from mimc_proto import ClientConnection, Framing, ServerConnection, SessionConfig
from mimc_proto.packets import (
    BindAnswer,
    Body,
    Command,
    Direction,
    Group,
    Header,
    Kick,
    KickReason,
    ListStatus,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    Pull,
    RtsSignal,
    SequenceAck,
    UcDismiss,
    UcJoin,
    UcMessage,
    UcPacket,
    UcPing,
    UcPong,
    UcQuit,
    User,
)
from mimc_proto.session import ClientSession, FetchToken, OpenLink
from mimc_proto.testing import APP_ID, example_user, token_answer

__all__ = [
    "ALICE",
    "CHALLENGE",
    "ME",
    "RESOURCE",
    "accept",
    "after_login",
    "downward",
    "header_of",
    "keys",
    "login_of",
    "new_client",
    "new_list",
    "new_server",
    "online_client",
    "online_server",
    "online_session",
    "packets",
    "secmsg",
    "upward",
]

ALICE = example_user().replace(uuid=MemoryStore().user(APP_ID, "alice", 0).uuid)
RESOURCE = "fuzz"
CHALLENGE = "fuzzingChallenge"
TOPIC = Group(app_id=ALICE.app_id, topic_id=21)
ME = User(app_id=ALICE.app_id, account=ALICE.account, uuid=ALICE.uuid, resource=RESOURCE)
BOB = User(app_id=ALICE.app_id, account="bob", uuid=77, resource="pc")


def keys(framing: Framing) -> FuzzKeys:
    """Those of all conversations here."""
    return FuzzKeys(CHALLENGE, "", ALICE.security_key, framing)


def new_client(framing: Framing) -> ClientConnection:
    """The client's link of each run, which is always the same."""
    return ClientConnection(resource=RESOURCE, id_prefix="fuzzPrefix", now=0.0, framing=framing)


def new_server(framing: Framing) -> ServerConnection:
    """The server's link of each run."""
    return ServerConnection(challenge=CHALLENGE, first_id=1, now=0.0, framing=framing)


def accept(link: ServerConnection, now: float) -> bool:
    """Let Alice in."""
    user = ALICE
    return link.accept_bind(
        app_id=user.app_id,
        account=user.account,
        uuid=user.uuid,
        security_key=user.security_key,
        package=user.package,
        now=now,
    )


def online_client() -> ClientConnection:
    """A client's link after its login."""
    link = new_client(Framing.TCP)
    conn, bind = _login(downward(Framing.TCP)[0])
    link.receive_data(conn, 0.0)
    link.bind(ALICE, now=0.0)
    link.receive_data(bind, 0.0)
    link.data_to_send()
    link.events()
    return link


def online_server() -> ServerConnection:
    """A server's link after the login of its client."""
    link = new_server(Framing.TCP)
    link.receive_data(b"".join(_login(upward(Framing.TCP)[0])), 0.0)
    assert accept(link, 0.0)
    link.data_to_send()
    link.events()
    return link


def online_session(config: SessionConfig | None = None) -> tuple[ClientSession, int]:
    """A session after its login, and the id of its link."""
    conn, bind = _login(downward(Framing.TCP)[0])
    addresses = [("10.0.0.1", 5222)]
    session = ClientSession(
        ALICE.app_id,
        ALICE.account,
        rng=Random(1),
        now=0.0,
        resource=RESOURCE,
        addresses=addresses,
        config=config,
    )
    session.connect(0.0)
    fetch, opening = session.requests()
    assert isinstance(fetch, FetchToken)
    assert isinstance(opening, OpenLink)
    session.token_fetched(fetch.request_id, token_answer(ALICE), 0.0)
    session.link_opened(opening.link_id, 0.0)
    session.receive_data(opening.link_id, conn, 0.0)
    session.data_to_send(opening.link_id)
    session.receive_data(opening.link_id, bind, 0.0)
    assert session.online
    session.events()
    return session, opening.link_id


def login_of(stream: bytes) -> bytes:
    """CONN and BIND at the beginning of a TCP stream."""
    return b"".join(_login(stream))


def after_login(streams: list[bytes]) -> list[bytes]:
    """What comes in these TCP streams behind CONN and BIND."""
    return [stream[len(login_of(stream)) :] for stream in streams]


def _login(stream: bytes) -> tuple[bytes, bytes]:
    """The first two frames of a TCP stream."""
    ends = [0]
    for _ in range(2):
        [size] = struct.unpack_from(">I", stream, ends[-1] + 4)
        ends.append(ends[-1] + 12 + size)
    return stream[: ends[1]], stream[ends[1] : ends[2]]


# ------------------------------------------------------------------------------------------------------------- packets


def packets() -> list[bytes]:
    """Plain packets: one of each kind of ours, and all that the vectors hold."""
    bodies: list[Body] = [
        P2PMessage(sender=BOB, recipient=ME, payload=b"hello", biz_type="TEXT", is_store=True),
        P2PMessage(sender=BOB, recipient=ME, payload="\U0010fffd".encode()),  # marks what is absent (packets/fast.py)
        P2TMessage(sender=BOB, recipient=TOPIC, payload=b"all"),
        PacketAck(packet_id="m", uuid=ALICE.uuid, resource=RESOURCE, sequence=9, timestamp=1, code=0),
        PacketList(uuid=ALICE.uuid, resource=RESOURCE, max_sequence=6, packets=(_inner(5), _inner(6))),
        PacketList(uuid=ALICE.uuid, resource=RESOURCE, max_sequence=9, status=ListStatus.EXCEED_COUNT_LIMIT),
        PacketList(uuid=ALICE.uuid, resource=RESOURCE, max_sequence=9, status=7),
        PacketList(uuid=ALICE.uuid, resource=RESOURCE, max_sequence=9, packets=_odd_items()),
        PacketList(uuid=ALICE.uuid, resource=RESOURCE, max_sequence=9, packets=(_call(7),)),
        SequenceAck(uuid=ALICE.uuid, resource=RESOURCE, sequence=6),
        Pull(uuid=ALICE.uuid, resource=RESOURCE),
        OnlineMessage(sender=BOB, recipient=ME, payload=b"now"),
        OnlineMessageAck(packet_id="m", code=1),
        UcPacket(user=ME, packet_id="u", body=UcJoin(group=TOPIC)),
        UcPacket(user=ME, packet_id="u", body=UcQuit(group=TOPIC)),
        UcPacket(user=ME, packet_id="u", body=UcDismiss(group=TOPIC)),
        UcPacket(user=ME, packet_id="u", body=UcMessage(packet_id="u", group=TOPIC, user=BOB, payload=b"uc")),
        UcPacket(user=ME, packet_id="u", body=UcPing(groups=(TOPIC,))),
        UcPacket(user=ME, packet_id="u", body=UcPong()),
    ]
    ours = [Packet(packet_id=f"p{n}", package=ALICE.package, body=body).encode() for n, body in enumerate(bodies)]
    return [*ours, *vectors.packets()]


def _odd_items() -> tuple[Packet, ...]:
    """What a list should not hold: packets without a sequence or a sender, repeats, answers, a list."""
    group = P2TMessage(sender=BOB, recipient=TOPIC, payload=b"all")
    nobody = P2PMessage(recipient=ME, payload=b"hi")
    listed = PacketList(uuid=ALICE.uuid, resource=RESOURCE, max_sequence=1, packets=(_inner(1),))
    items = (
        Packet(packet_id="a", package=ALICE.package, sequence=6, timestamp=1, body=group),
        Packet(packet_id="b", package=ALICE.package, timestamp=1, body=group),
        Packet(packet_id="c", package=ALICE.package, sequence=8, timestamp=1, body=nobody),
        Packet(packet_id="d", package=ALICE.package, sequence=9, timestamp=1, body=SequenceAck(sequence=1)),
        Packet(packet_id="e", package=ALICE.package, sequence=9, timestamp=1, body=listed),
    )
    return (_inner(7), *items, _inner(7))


def new_list() -> PacketList:
    """Two messages, as a server gives them to a link."""
    return PacketList(packets=(_inner(5), _inner(6)))


def _call(sequence: int) -> Packet:
    """An item that is no message, though it could be read as one that has no fields."""
    return Packet(packet_id="f", package=ALICE.package, sequence=sequence, body=RtsSignal())


def _inner(sequence: int) -> Packet:
    body = P2PMessage(sender=BOB, recipient=ME, payload=b"hi")
    return Packet(packet_id=f"bob_{sequence}", package=ALICE.package, sequence=sequence, timestamp=1, body=body)


def header_of(command: Command, packet_id: str) -> Header:
    """That of a frame to Alice or from her."""
    return Header(
        chid=9,
        uuid=ALICE.uuid,
        server="xiaomi.com",
        resource=RESOURCE,
        cmd=command,
        id=packet_id,
    )


def secmsg(packet_id: str, packet: bytes, direction: Direction = Direction.SC_ONEWAY) -> Piece:
    """The frame of a packet."""
    return Piece(header_of(Command.SECMSG, packet_id).replace(dir_flag=direction, cipher=1).encode(), packet)


# ------------------------------------------------------------------------------------------------------- conversations


@functools.cache
def upward(framing: Framing) -> list[bytes]:
    """Streams that a server reads: a whole life, and after a login each packet, and what official clients say."""
    return _streams(_record(framing)[0], framing, Direction.CS_REQ)


@functools.cache
def downward(framing: Framing) -> list[bytes]:
    """Streams that a client reads; also of logins that are refused, and of kicks."""
    frames = _record(framing)[1]
    return [*_streams(frames, framing, Direction.SC_ONEWAY), *_refusals(frames, framing)]


def _refusals(frames: list[bytes], framing: Framing) -> list[bytes]:
    known = keys(framing)
    conn, bind = split(_joined(frames[:2], framing), known)
    streams = []
    for reason in (*KickReason, "other"):
        told = {"error_type": reason, "error_reason": reason}
        refused = Piece(bind.header, BindAnswer(result=False, **told).encode())
        header = Header.decode(bind.header).replace(cmd="KICK", id="k")
        kick = Piece(header.encode(), Kick(type=reason, reason=reason).encode())
        crossing = Piece(header.replace(cmd="UBND").encode())
        streams += [join([conn, refused, bind], known), join([conn, bind, kick, bind, kick, crossing], known)]
        streams.append(join([conn, kick, refused], known))
    return streams


def _streams(frames: list[bytes], framing: Framing, direction: Direction) -> list[bytes]:
    whole = _joined(frames, framing)
    known = keys(framing)
    login = split(_joined(frames[:2], framing), known)
    streams = [whole]
    for number, packet in enumerate(packets()):
        streams.append(join([*login, secmsg(f"s{number}", packet, direction)], known))
    of_clients = vectors.pieces(framing, upward=direction is Direction.CS_REQ)
    streams += [join([*login, piece], known) for piece in of_clients]
    return [*streams, join(of_clients, known)]


def _joined(frames: list[bytes], framing: Framing) -> bytes:
    if framing is Framing.TCP:
        return b"".join(frames)
    return b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)


def _record(framing: Framing) -> tuple[list[bytes], list[bytes]]:
    """Both directions of a login, some packets, a kick and a logout."""
    client, server = new_client(framing), new_server(framing)
    up: list[bytes] = []
    down: list[bytes] = []

    def carry() -> None:
        while True:
            upwards, downwards = client.data_to_send(), server.data_to_send()
            if not upwards and not downwards:
                return
            for frame in upwards:
                server.receive_data(frame, 0.0)
            for frame in downwards:
                client.receive_data(frame, 0.0)
            up.extend(upwards)
            down.extend(downwards)

    carry()
    client.bind(ALICE, now=0.0)
    carry()
    assert accept(server, 0.0)
    carry()
    client.send_p2p("bob", b"hello", now=0.0)
    client.ping(now=0.0)
    carry()
    server.send(new_list(), now=0.0)
    carry()
    client.unbind(now=0.0)
    carry()
    return up, down
