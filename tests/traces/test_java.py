"""A whole session of the official Java client 2.0.8, its real bytes, against our server link and our client link."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import Frame, ScriptedClient, names, server_in
from support.vectors import load

from mimc_proto import ClientConnection, Credentials, ServerConnection, ServerState
from mimc_proto.events import (
    AckReceived,
    BindAccepted,
    BindRequested,
    ClientConnected,
    HandshakeCompleted,
    LinkClosed,
    PacketReceived,
    PingReceived,
    Unbound,
)
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import (
    Direction,
    Header,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    Pull,
    SequenceAck,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcPacket,
    UcQuit,
    UcQuitAnswer,
)

SESSION = load("java")
FRAMES = [(entry["dir"], entry["cmd"], bytes.fromhex(entry["frame"])) for entry in SESSION["frames"]]
UUID, RESOURCE, PACKAGE = 14241911555171127, "JwfaodAW", "com.x.stub"
USER: dict[str, Any] = {"app_id": 2882303761517669588, "account": "alice", "uuid": UUID, "package": PACKAGE}


def java() -> ScriptedClient:
    """Reads what is sent to the client, and what was sent to it then."""
    peer = ScriptedClient(challenge=SESSION["challenge"])
    peer.security_key = SESSION["securityKey"]
    peer.encrypt_bodies()
    return peer


def frontend() -> ServerConnection:
    """Our link with the challenge of that session."""
    return ServerConnection(challenge=SESSION["challenge"], first_id=1, host="stub-fe-1", now=0.0)


def session() -> tuple[list[Any], list[Frame], list[Packet], ServerConnection]:
    """Replay what the client sent, answering as the service did; the events, our frames and their packets."""
    link, peer = frontend(), java()
    events: list[Any] = []
    frames: list[bytes] = []
    for direction, _, frame in FRAMES:
        if direction == "IN":
            link.receive_data(frame, 0.0)
            for event in link.events():
                events.append(event)
                _serve(link, event)
            frames += link.data_to_send()
    packets = [peer.read_packet(frame) for frame in frames if peer.read(frame).command == "SECMSG"]
    return events, peer.read_all(frames), packets, link


def _serve(link: ServerConnection, event: Any) -> None:
    if isinstance(event, BindRequested):
        assert link.accept_bind(**USER, security_key=SESSION["securityKey"], now=0.0)
    if not isinstance(event, PacketReceived):
        return
    body, packet_id = event.packet.body, event.packet.packet_id or ""
    if isinstance(body, (P2PMessage, P2TMessage)):
        index = 1 if isinstance(body, P2PMessage) else None
        link.send(PacketAck(packet_id=packet_id, sequence=1001, timestamp=1, conv_index=index), now=0.0)
    elif isinstance(body, OnlineMessage):
        link.send(OnlineMessageAck(packet_id=packet_id, code=1, error_message="RECEIVED"), packet_id=packet_id, now=0.0)
    elif isinstance(body, UcPacket):
        _serve_group(link, body, packet_id)


def _serve_group(link: ServerConnection, packet: UcPacket, outer_id: str) -> None:
    body, inner_id = packet.body, packet.packet_id
    if isinstance(body, UcJoin):
        link.send(UcJoinAnswer(group=body.group, code=0, text="success"), packet_id=inner_id, now=0.0)
    elif isinstance(body, UcQuit):
        link.send(UcQuitAnswer(group=body.group, code=0, text="success"), packet_id=inner_id, now=0.0)
    elif isinstance(body, UcMessage):
        link.send(PacketAck(packet_id=outer_id, timestamp=1795460037776), now=0.0)
        message = body.replace(sequence=1, timestamp=1795460037776)
        link.send(UcMessageList(group=body.group, messages=(message,)), now=0.0)


def test_every_frame_that_java_sent_is_understood() -> None:
    events, _, _, link = session()
    assert names(events) == [
        "ClientConnected",
        "BindRequested",
        *["PacketReceived"] * 7,
        "PingReceived",
        "PacketReceived",
        "Unbound",
    ]
    bodies = [event.packet.body for event in events if isinstance(event, PacketReceived)]
    kinds = [type(body.body if isinstance(body, UcPacket) else body).__name__ for body in bodies]
    assert kinds == [
        "P2PMessage",
        "P2TMessage",
        "OnlineMessage",
        "Pull",
        "UcJoin",
        "UcMessage",
        "UcSequenceAck",
        "UcQuit",
    ]
    assert link.state is ServerState.READY
    assert link.close_expected() is None


def test_its_identity_is_what_the_packets_say() -> None:
    events, _, _, _ = session()
    assert isinstance(events[0], ClientConnected)
    assert (events[0].conn.version, events[0].conn.udid, events[0].conn.sdk) == (106, "", 33)
    assert isinstance(events[1], BindRequested)
    assert (events[1].uuid, events[1].resource, events[1].chid, events[1].id) == (UUID, RESOURCE, 9, "3")
    assert (events[1].bind.sig, events[1].bind.sso) == (SESSION["sig"], False)
    pull = events[5].packet.body
    assert pull == Pull(uuid=UUID, resource=RESOURCE, app_id=USER["app_id"])


def test_our_frames_are_those_that_java_got_then() -> None:
    _, ours, _, _ = session()
    theirs = java().read_all([frame for direction, _, frame in FRAMES if direction == "OUT"])
    assert [frame.command for frame in ours if frame.header] == [frame.command for frame in theirs]
    assert [frame.command for frame in ours].count("") == 1  # the answer to PING, which the stub left out
    for mine, other in zip([frame for frame in ours if frame.header], theirs, strict=True):
        assert mine.header is not None
        assert other.header is not None
        assert mine.header.chid == other.header.chid == 9
        assert mine.header.cipher == other.header.cipher
        if other.command != "SECMSG":
            assert mine.header.id == other.header.id
            assert mine.header.dir_flag is other.header.dir_flag is Direction.SC_RESP
            assert mine.payload == other.payload
        if other.command != "CONN":
            assert (mine.header.uuid, mine.header.resource) == (UUID, RESOURCE)


def test_our_packets_have_every_field_that_java_got_then() -> None:
    _, _, ours, _ = session()
    peer = java()
    theirs = [peer.read_packet(frame) for direction, cmd, frame in FRAMES if (direction, cmd) == ("OUT", "SECMSG")]
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert type(mine.body) is type(other.body)
        assert mine.package == other.package == PACKAGE
        for name in type(mine.body).field_names:
            value, wanted = getattr(mine.body, name), getattr(other.body, name)
            assert (value is None) <= (wanted is None), name
            if name not in ("sequence", "timestamp", "body"):
                assert value == wanted or (name == "packet_id" and isinstance(mine.body, UcPacket)), name


def test_an_answer_about_a_group_repeats_the_requests_own_id() -> None:
    _, _, ours, _ = session()
    joined = next(packet.body for packet in ours if isinstance(packet.body, UcPacket))
    assert isinstance(joined, UcPacket)
    assert (joined.packet_id, joined.user.uuid) == ("PGHGKkjGMWyZLzF-5", UUID)


def test_ubnd_is_answered_with_an_empty_kick_and_the_link_lives_on() -> None:
    _, ours, _, link = session()
    assert ours[-1].command == "KICK"
    assert ours[-1].payload == b""
    assert link.get_timer() == 240.0


def test_its_conn_header_is_nearly_empty() -> None:
    header = java().read(FRAMES[0][2]).header
    assert header == Header(uuid=2, server="xiaomi.com", cmd="CONN", cipher=0)


def test_the_signature_is_verified_over_its_real_bytes() -> None:
    link = frontend()
    link.receive_data(FRAMES[0][2] + FRAMES[2][2], 0.0)
    wrong = {**USER, "security_key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert link.accept_bind(**wrong, now=0.0) is False


def test_our_client_understands_every_frame_that_java_got() -> None:
    client = ClientConnection(resource=RESOURCE, id_prefix="x", now=0.0)
    downwards = [frame for direction, _, frame in FRAMES if direction == "OUT"]
    client.receive_data(downwards[0], 0.0)
    assert client.events() == [HandshakeCompleted(host="stub-fe-1")]
    client.bind(Credentials(**USER, token="t", security_key=SESSION["securityKey"]), now=0.0)
    client.receive_data(downwards[1], 0.0)
    assert client.events() == [BindAccepted()]
    client.receive_data(b"".join(downwards[2:-1]), 0.0)
    bodies = [event.ack if isinstance(event, AckReceived) else event.packet.body for event in client.events()]  # type: ignore[union-attr]
    kinds = [type(body.body if isinstance(body, UcPacket) else body).__name__ for body in bodies]
    assert kinds == [
        "PacketAck",
        "PacketAck",
        "OnlineMessageAck",
        "UcJoinAnswer",
        "PacketAck",
        "UcMessageList",
        "UcQuitAnswer",
    ]
    client.unbind(now=0.0)
    client.receive_data(downwards[-1], 0.0)
    assert names(client.events()) == ["LinkClosed"]


def test_java_acknowledges_a_list_under_the_id_of_the_lists_header() -> None:
    link, peer = server_in(ServerState.BOUND)
    ack = Packet(packet_id="JAVA-9", package=PACKAGE, body=SequenceAck(uuid=1, resource="r", sequence=5)).encode()
    link.receive_data(peer.send(ack, f"{0xABD:012x}"), 0.0)
    link.receive_data(peer.send(ack, f"{0xABD:012x}"), 0.0)  # and does so again: ids are no key
    events = link.events()
    assert [event.id for event in events if isinstance(event, PacketReceived)] == [f"{0xABD:012x}"] * 2
    assert [event.packet.packet_id for event in events if isinstance(event, PacketReceived)] == ["JAVA-9"] * 2


def test_after_a_takeover_java_opens_a_link_and_idles_there_until_the_bind_timeout() -> None:
    link = frontend()
    link.receive_data(FRAMES[0][2], 0.0)
    link.events()
    link.handle_timer(239.0)
    assert (link.state, link.events()) == (ServerState.READY, [])
    link.handle_timer(240.0)
    assert [type(event) for event in link.events()] == [LinkClosed]


@pytest.mark.parametrize("seconds", [180.0, 200.0])
def test_java_pings_every_180_seconds(seconds: float) -> None:
    link, peer = server_in(ServerState.BOUND)
    for n in range(1, 5):
        link.handle_timer(n * seconds)
        link.receive_data(peer.command("PING"), n * seconds)
    assert [type(event) for event in link.events()] == [PingReceived] * 4
    assert link.data_to_send() == [EMPTY_FRAME] * 4


def test_after_ubnd_java_may_bind_again_on_the_same_link() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.command("UBND"), 0.0)
    link.receive_data(peer.bind(), 5.0)
    assert [type(event) for event in link.events()] == [Unbound, BindRequested]
