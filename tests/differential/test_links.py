"""The links against the slow path of `support.slow_path`: they agree on every packet, byte for byte, both ways."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.links import (
    ACCOUNT,
    APP_ID,
    CHALLENGE,
    PACKAGE,
    RESOURCE,
    SECURITY_KEY,
    TOKEN,
    UUID,
    accept,
    credentials,
    new_client,
    new_server,
)
from support.slow_path import End, Generator, signature, to_message

from mimc_proto import ClientConnection, Framing, ServerConnection, pb
from mimc_proto.events import AckReceived, BindAccepted, BindRequested, LimitReached, MessagesReceived, PacketReceived
from mimc_proto.packets import (
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    Pull,
    SequenceAck,
    UcDismiss,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcOnlineUsersAnswer,
    UcOnlineUsersQuery,
    UcPing,
    UcPong,
    UcQuit,
    UcQuitAnswer,
    UcSequenceAck,
)

FRAMINGS = pytest.mark.parametrize("framing", Framing)
WEBSOCKET = Framing.WEBSOCKET
UDID = "f1F2f3F4f5"
ME = pb.MIMCUser(appId=APP_ID, appAccount=ACCOUNT, uuid=UUID, resource=RESOURCE)

seeds = given(seed=st.integers(0, (1 << 64) - 1))
"""Messages are made by `Generator`, for that is much faster than drawing each field."""


def header(framing: Framing, command: str, packet_id: str, *, up: bool, direction: int = 2) -> Any:
    """As wire.md section 2 has them."""
    made = pb.ClientHeader(chid=9, uuid=UUID, server="xiaomi.com", resource=RESOURCE, cmd=command, id=packet_id)
    if not (up and framing is WEBSOCKET):
        made.dir_flag = direction
        made.cipher = int(command == "SECMSG")
    return made


def taken(link: ClientConnection | ServerConnection) -> list[bytes]:
    """All frames that wait."""
    frames: list[bytes] = []
    while more := link.data_to_send():
        frames += more
    return frames


def online_client(framing: Framing) -> tuple[ClientConnection, End]:
    """A client that has logged in with the slow path at the other end, which checks what it says."""
    client, end = new_client(framing), End(websocket=framing is WEBSOCKET, security_key=SECURITY_KEY)
    [frame] = taken(client)
    head, payload = end.opened(frame)
    conn = pb.XMMsgConn.FromString(payload)
    assert (head.cmd, conn.version) == ("CONN", 106)
    answer = pb.XMMsgConnResp(challenge=CHALLENGE)
    client.receive_data(end.frame(header(framing, "CONN", head.id, up=False), answer.SerializeToString()), 0.0)
    end.connected(CHALLENGE, conn.udid)
    client.bind(credentials(), now=0.0)
    [frame] = taken(client)
    head, payload = end.opened(frame)
    bind = pb.XMMsgBind.FromString(payload)
    assert head == header(framing, "BIND", head.id, up=True)
    assert bind.token == TOKEN
    assert bind.sig == signature(head, bind, CHALLENGE, SECURITY_KEY)
    accepted = pb.XMMsgBindResp(result=True).SerializeToString()
    client.receive_data(end.frame(header(framing, "BIND", head.id, up=False), accepted), 0.0)
    assert type(client.events()[-1]) is BindAccepted
    return client, end


def online_server(framing: Framing) -> tuple[ServerConnection, End]:
    """A server's link on which the slow path has logged in."""
    server, end = new_server(framing), End(websocket=framing is WEBSOCKET, security_key=SECURITY_KEY)
    conn = pb.XMMsgConn(version=106, udid=UDID, sdk=33)
    server.receive_data(end.frame(header(framing, "CONN", "c", up=True), conn.SerializeToString()), 0.0)
    [frame] = taken(server)
    head, payload = end.opened(frame)
    challenge = pb.XMMsgConnResp.FromString(payload).challenge
    assert (head.cmd, challenge) == ("CONN", CHALLENGE)
    end.connected(challenge, UDID)
    head = header(framing, "BIND", "b", up=True)
    bind = pb.XMMsgBind(token=TOKEN, kick="0", method="XIAOMI-PASS", client_attrs="a:b,", cloud_attrs="")
    bind.sig = signature(head, bind, challenge, SECURITY_KEY)
    server.receive_data(end.frame(head, bind.SerializeToString()), 0.0)
    assert type(server.events()[-1]) is BindRequested
    assert accept(server)
    [frame] = taken(server)
    head, payload = end.opened(frame)
    assert (head.cmd, pb.XMMsgBindResp.FromString(payload).result) == ("BIND", True)
    return server, end


# ---------------------------------------------------------------------------------------------- what a client writes


@FRAMINGS
@seeds
def test_messages_of_a_client(framing: Framing, seed: int) -> None:
    make, (client, end) = Generator(seed), online_client(framing)
    expected = []
    for _ in range(make.rng.randrange(6)):
        to_user, payload, is_store = make.rng.random() < 0.5, make.payload(), make.rng.random() < 0.5
        biz_type = make.rng.choice((None, "", "TEXT", make.text()))
        options: dict[str, Any] = {"biz_type": biz_type, "is_store": is_store, "now": 0.0}
        body: Any = pb.MIMCP2PMessage() if to_user else pb.MIMCP2TMessage()
        getattr(body, "from").CopyFrom(ME)
        if to_user:
            account = make.text()
            packet_id = client.send_p2p(account, payload, **options)
            body.to.CopyFrom(pb.MIMCUser(appId=APP_ID, appAccount=account))
        else:
            topic_id = make.number()
            packet_id = client.send_p2t(topic_id, payload, **options)
            body.to.CopyFrom(pb.MIMCGroup(appId=APP_ID, topicId=topic_id))
        body.payload, body.isStore = payload, is_store
        if biz_type is not None:
            body.bizType = biz_type
        kind = 1 if to_user else 2
        packet = pb.MIMCPacket(packetId=packet_id, package=PACKAGE, type=kind, payload=body.SerializeToString())
        expected.append(end.secmsg(header(framing, "SECMSG", packet_id, up=True), packet))
    assert taken(client) == expected


REQUESTS: tuple[tuple[Any, int], ...] = (
    (SequenceAck, 3),
    (Pull, 5),
    (OnlineMessage, 11),
    (OnlineMessageAck, 12),
    (UcPing, 1),
    (UcJoin, 3),
    (UcQuit, 5),
    (UcSequenceAck, 7),
    (UcMessage, 8),
    (UcOnlineUsersQuery, 11),
)
"""What a client asks, and its type; those from PING on are about unlimited groups."""


def filled(message: Any, packet_id: str) -> Any:
    """What a client's link adds to a request."""
    if type(message) in (pb.MIMCSequenceAck, pb.PullMessageRequest):
        for name, own in (("uuid", UUID), ("resource", RESOURCE), ("appId", APP_ID)):
            if not message.HasField(name):
                setattr(message, name, own)
    elif isinstance(message, pb.MIMCP2PMessage):
        if not message.HasField("from"):
            getattr(message, "from").CopyFrom(ME)
        if not message.to.HasField("appId"):
            message.to.appId = APP_ID
    elif isinstance(message, pb.UCMessage):
        if not message.HasField("user"):
            message.user.CopyFrom(ME)
        message.packetId = message.packetId or packet_id
    return message


@FRAMINGS
@pytest.mark.parametrize(("record", "kind"), REQUESTS)
@seeds
def test_requests_of_a_client(framing: Framing, record: Any, kind: int, seed: int) -> None:
    make, (client, end) = Generator(seed), online_client(framing)
    plain = make.message(record.message)
    body = record.decode(plain.SerializeToString())
    assert to_message(body) == plain
    packet_id = client.send(body, now=0.0)
    inner, outer = filled(plain, packet_id).SerializeToString(), kind
    if record.__name__.startswith("Uc"):
        inner = pb.UCPacket(user=ME, type=kind, payload=inner, packetId=packet_id).SerializeToString()
        outer = 8
    packet = pb.MIMCPacket(packetId=packet_id, package=PACKAGE, type=outer, payload=inner)
    assert taken(client) == [end.secmsg(header(framing, "SECMSG", packet_id, up=True), packet)]


# ----------------------------------------------------------------------------------------------- what a client reads


def received(framing: Framing, header_id: str, packet: Any) -> Any:
    """The one event of a client that gets a packet."""
    client, end = online_client(framing)
    head = header(framing, "SECMSG", header_id, up=False, direction=4)
    client.receive_data(end.secmsg(head, packet), 0.0)
    [event] = client.events()
    return event


def enclosed(make: Generator, kind: int, message: Any, **given: Any) -> Any:
    """A packet around a message."""
    return make.message(pb.MIMCPacket, type=kind, payload=message.SerializeToString(), **given)


def some_list(make: Generator) -> Any:
    """With messages, messages that come twice, others without sequence or sender, and what is no message."""
    packets = []
    for _ in range(make.rng.choice((1, 2, 5, 8))):
        kind = make.rng.choice((1, 1, 1, 2, 2, 5))
        body = {1: pb.MIMCP2PMessage, 2: pb.MIMCP2TMessage, 5: pb.PullMessageRequest}[kind]
        sequence = make.rng.choice((None, make.rng.randrange(5), make.number(), make.number(), make.number()))
        packets.append(enclosed(make, kind, make.message(body), sequence=sequence))
    return make.message(pb.MIMCPacketList, uuid=UUID, resource=RESOURCE, maxSequence=make.number(), packets=packets)


@FRAMINGS
@seeds
def test_acks_that_a_client_gets(framing: Framing, seed: int) -> None:
    make = Generator(seed)
    ack = make.message(pb.MIMCPacketAck)
    event = received(framing, make.id(), enclosed(make, 4, ack))
    assert type(event) is AckReceived
    assert to_message(event.ack) == ack


@FRAMINGS
@seeds
def test_lists_that_a_client_gets(framing: Framing, seed: int) -> None:
    make = Generator(seed)
    expected = some_list(make)
    event = received(framing, make.id(), enclosed(make, 6, expected))
    if expected.status == 2:
        assert type(event) is LimitReached
        least = expected.minSequence if expected.HasField("minSequence") else None
        assert (event.min_sequence, event.max_sequence) == (least, expected.maxSequence)
        return
    assert type(event) is MessagesReceived
    assert event.max_sequence == expected.maxSequence
    good: dict[int, Any] = {}
    for inner in expected.packets:
        if inner.type in (1, 2) and inner.HasField("sequence"):
            body = (pb.MIMCP2PMessage if inner.type == 1 else pb.MIMCP2TMessage).FromString(inner.payload)
            if body.HasField("from"):
                good.setdefault(inner.sequence, inner)
    assert [to_message(got) for got in event.packets] == [good[sequence] for sequence in sorted(good)]
    assert len(event.skipped) == len(expected.packets) - len(good)


DOWNWARD = ((1, pb.MIMCP2PMessage), (2, pb.MIMCP2TMessage), (11, pb.MIMCP2PMessage), (12, pb.MIMCOnlineMessageAck))
UPWARD = (*DOWNWARD, (3, pb.MIMCSequenceAck), (5, pb.PullMessageRequest))
UC_DOWNWARD = (
    (4, pb.UCJoinResp),
    (6, pb.UCQuitResp),
    (9, pb.UCMessageList),
    (10, pb.UCDismiss),
    (12, pb.UCQueryOnlineUsersResp),
)
UC_UPWARD = (
    (1, pb.UCPing),
    (3, pb.UCJoin),
    (5, pb.UCQuit),
    (7, pb.UCSequenceAck),
    (8, pb.UCMessage),
    (11, pb.UCQueryOnlineUsers),
)


def some_packet(make: Generator, kinds: Any, uc_kinds: Any) -> Any:
    """One of these types, or about unlimited groups."""
    if make.rng.random() < 0.5:
        kind, body = make.rng.choice(kinds)
        return enclosed(make, kind, make.message(body))
    kind, body = make.rng.choice(uc_kinds)
    inside = make.message(pb.UCPacket, type=kind, payload=make.message(body).SerializeToString())
    return enclosed(make, 8, inside)


def same(event: Any, packet: Any, header_id: str) -> None:
    """An event tells all of a packet."""
    assert type(event) is PacketReceived, event
    assert event.id == header_id
    assert to_message(event.packet) == packet


@FRAMINGS
@seeds
def test_other_packets_that_a_client_gets(framing: Framing, seed: int) -> None:
    make = Generator(seed)
    packet, header_id = some_packet(make, DOWNWARD, UC_DOWNWARD), make.id()
    same(received(framing, header_id, packet), packet, header_id)


# ---------------------------------------------------------------------------------------------- what a server reads


@FRAMINGS
@seeds
def test_packets_that_a_server_gets(framing: Framing, seed: int) -> None:
    make, (server, end) = Generator(seed), online_server(framing)
    for _ in range(3):
        packet, header_id = some_packet(make, UPWARD, UC_UPWARD), make.id()
        server.receive_data(end.secmsg(header(framing, "SECMSG", header_id, up=True), packet), 0.0)
        [event] = server.events()
        same(event, packet, header_id)


# ---------------------------------------------------------------------------------------------- what a server writes


def written(server: ServerConnection, end: End, framing: Framing) -> tuple[str, Any]:
    """Header id and packet of the one frame that waits; the header is complete, and the bytes are canonical."""
    [frame] = taken(server)
    head, packet = end.opened_secmsg(frame)
    assert head == header(framing, "SECMSG", head.id, up=False, direction=4)
    assert end.secmsg(head, packet) == frame
    return head.id, packet


@FRAMINGS
@seeds
def test_acks_of_a_server(framing: Framing, seed: int) -> None:
    make, (server, end) = Generator(seed), online_server(framing)
    for _ in range(3):
        ack = make.message(
            pb.MIMCPacketAck,
            packetId=make.id(),
            uuid=None,
            resource=None,
            package=None,
            sequence=make.rng.choice((None, make.number())),
            timestamp=make.rng.choice((None, make.number())),
            convIndex=make.rng.choice((None, make.number())),
        )
        server.send(PacketAck.decode(ack.SerializeToString()), now=0.0)
        own_id, packet = written(server, end, framing)
        expected = pb.MIMCPacketAck(
            packetId=ack.packetId,
            uuid=UUID,
            resource=RESOURCE,
            sequence=ack.sequence,
            timestamp=ack.timestamp,
            package=PACKAGE,
            errorMsg=ack.errorMsg,
            code=ack.code,
        )
        if ack.HasField("convIndex"):
            expected.convIndex = ack.convIndex
        assert packet == pb.MIMCPacket(
            packetId=own_id,
            package=PACKAGE,
            sequence=ack.sequence,
            type=4,
            payload=expected.SerializeToString(),
            timestamp=ack.timestamp,
        )


def to_deliver(make: Generator) -> list[Any]:
    """Messages as a server delivers them."""
    found = []
    for sequence in sorted({make.number(1) for _ in range(make.rng.choice((1, 2, 6)))}):
        kind = make.rng.choice((1, 2))
        sender = make.message(pb.MIMCUser, appAccount=make.text())
        body = make.message(pb.MIMCP2PMessage if kind == 1 else pb.MIMCP2TMessage, **{"from": sender})
        found.append(enclosed(make, kind, body, packetId=make.id(), sequence=sequence, timestamp=make.number()))
    return found


@FRAMINGS
@seeds
def test_lists_of_a_server(framing: Framing, seed: int) -> None:
    make, (server, end) = Generator(seed), online_server(framing)
    inner = to_deliver(make)
    server.send(PacketList(packets=tuple(Packet.decode(one.SerializeToString()) for one in inner)), now=0.0)
    own_id, packet = written(server, end, framing)
    for one in inner:
        if not one.HasField("package"):
            one.package = PACKAGE
    last = inner[-1].sequence
    expected = pb.MIMCPacketList(uuid=UUID, resource=RESOURCE, maxSequence=last, packets=inner, status=1)
    assert packet == pb.MIMCPacket(
        packetId=own_id,
        package=PACKAGE,
        sequence=last,
        type=6,
        payload=expected.SerializeToString(),
        timestamp=max(one.timestamp for one in inner),
    )


ANSWERS: tuple[tuple[Any, int], ...] = (
    (UcJoinAnswer, 4),
    (UcQuitAnswer, 6),
    (UcMessageList, 9),
    (UcDismiss, 10),
    (UcOnlineUsersAnswer, 12),
)


def some_answer(make: Generator, cls: Any) -> Any:
    """An answer as a service makes it."""
    group = pb.UCGroup(appId=make.number(), topicId=make.number())
    if cls is not pb.UCMessageList:
        return make.message(cls, group=group)
    sequences = sorted({make.number(1) for _ in range(3)})
    inner = [
        make.message(pb.UCMessage, sequence=sequence, user=make.message(pb.MIMCUser), packetId=make.id())
        for sequence in sequences
    ]
    return make.message(cls, group=group, message=inner, maxSequence=None)


@FRAMINGS
@pytest.mark.parametrize(("record", "kind"), ANSWERS)
@seeds
def test_answers_of_a_server_about_unlimited_groups(framing: Framing, record: Any, kind: int, seed: int) -> None:
    make, (server, end) = Generator(seed), online_server(framing)
    message, packet_id, timestamp = some_answer(make, record.message), make.id(), make.rng.choice((None, make.number()))
    server.send(record.decode(message.SerializeToString()), now=0.0, packet_id=packet_id, timestamp=timestamp)
    _, packet = written(server, end, framing)
    if record in (UcJoinAnswer, UcQuitAnswer):
        message.message = message.message or ""
    if record is UcMessageList:
        message.maxSequence = message.message[-1].sequence
    inside = pb.UCPacket(user=ME, type=kind, payload=message.SerializeToString(), packetId=packet_id)
    expected = pb.MIMCPacket(packetId=packet_id, package=PACKAGE, type=8, payload=inside.SerializeToString())
    if timestamp is not None:
        expected.timestamp = timestamp
    assert packet == expected


@FRAMINGS
def test_a_pong_of_a_server_is_empty(framing: Framing) -> None:
    server, end = online_server(framing)
    server.send(UcPong(), now=0.0, packet_id="p")
    _, packet = written(server, end, framing)
    inside = pb.UCPacket(user=ME, type=2, payload=b"", packetId="p")
    assert packet == pb.MIMCPacket(packetId="p", package=PACKAGE, type=8, payload=inside.SerializeToString())


@FRAMINGS
@seeds
def test_online_messages_of_a_server(framing: Framing, seed: int) -> None:
    make, (server, end) = Generator(seed), online_server(framing)
    sender = pb.MIMCUser(appId=1, appAccount="bob", uuid=2, resource="pc")
    body, packet_id = make.message(pb.MIMCP2PMessage, **{"from": sender}), make.id()
    server.send(OnlineMessage.decode(body.SerializeToString()), now=0.0, packet_id=packet_id)
    _, packet = written(server, end, framing)
    expected = pb.MIMCPacket(packetId=packet_id, package=PACKAGE, type=11, payload=body.SerializeToString())
    assert packet == expected


def test_the_slow_path_forgets_no_field_of_a_record() -> None:
    """It would agree too easily."""
    to = pb.MIMCUser(appAccount="bob")
    body = P2PMessage.decode(pb.MIMCP2PMessage(to=to, payload=b"", isStore=False, bizType="").SerializeToString())
    assert to_message(body) == pb.MIMCP2PMessage(to=to, payload=b"", isStore=False, bizType="")
    group = P2TMessage.decode(pb.MIMCP2TMessage(to=pb.MIMCGroup(topicId=0), payload=b"").SerializeToString())
    assert to_message(group) == pb.MIMCP2TMessage(to=pb.MIMCGroup(topicId=0), payload=b"")
