"""The official WebJS client: its recorded frames, and its habits."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import ScriptedClient, ScriptedServer, commands, names, server_in
from support.vectors import load

from mimc_proto import Framing, ServerConnection, ServerState
from mimc_proto.crypto import rc4
from mimc_proto.events import BindRequested, ClientConnected, CloseReason, LinkClosed, PacketReceived, Unbound
from mimc_proto.packets import (
    ConnAnswer,
    Group,
    Header,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    UcDismiss,
    UcJoinAnswer,
    UcMessageList,
    UcPacket,
    UcPing,
)

VECTORS = {entry["name"]: entry for entry in load("webjs")}
BIND = VECTORS["C2S BIND"]
ALICE: dict[str, Any] = {
    "app_id": 2882303761517669588,
    "account": "alice",
    "uuid": 10054342014057971,
    "package": "com.example.mimc",
}
GROUP = Group(app_id=2882303761517669588, topic_id=900000000000000003)


def frame(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["hex"])


def frontend(**options: Any) -> ServerConnection:
    """Our link with the challenge of the recording."""
    return ServerConnection(
        challenge=BIND["challenge"], first_id=1, now=0.0, framing=Framing.WEBSOCKET, host="fe-1", **options
    )


def bound() -> tuple[ServerConnection, ScriptedClient]:
    """The recorded client after its login."""
    link, peer = frontend(), ScriptedClient(Framing.WEBSOCKET)
    peer.security_key = BIND["security_key"]
    link.receive_data(frame("C2S CONN"), 0.0)
    link.receive_data(frame("C2S BIND"), 0.0)
    assert link.accept_bind(**ALICE, security_key=BIND["security_key"], now=0.0)
    link.events()
    link.data_to_send()
    return link, peer


def test_conn_has_no_identity_and_is_answered() -> None:
    link, peer = frontend(), ScriptedClient(Framing.WEBSOCKET)
    link.receive_data(frame("C2S CONN"), 0.0)
    [event] = link.events()
    assert isinstance(event, ClientConnected)
    assert (event.conn.udid, event.conn.sdk) == ("websocket", 31)
    [answer] = peer.read_all(link.data_to_send())
    assert answer.header is not None
    assert (answer.header.id, answer.header.uuid, answer.header.resource) == ("web17954600375740", 0, "")
    assert ConnAnswer.decode(answer.payload).challenge == BIND["challenge"]


def test_an_empty_kick_is_signed_as_0() -> None:
    link = frontend()
    link.receive_data(frame("C2S CONN"), 0.0)
    link.receive_data(frame("C2S BIND"), 0.0)
    event = link.events()[1]
    assert isinstance(event, BindRequested)
    assert (event.bind.kick, event.bind.sig) == ("", BIND["sig"])
    assert link.accept_bind(**ALICE, security_key=BIND["security_key"], now=0.0) is True


def test_a_ping_may_come_before_bind_with_uuid_0() -> None:
    link, peer = frontend(), ScriptedClient(Framing.WEBSOCKET)
    link.receive_data(frame("C2S CONN"), 0.0)
    link.data_to_send()
    link.receive_data(frame("C2S PING"), 0.0)
    [pong] = peer.read_all(link.data_to_send())
    assert pong.header is not None
    assert (pong.command, pong.header.id, pong.header.uuid) == ("PING", "web17954602357441", 0)
    assert link.state is ServerState.READY


def test_upward_payloads_are_plain_and_are_read() -> None:
    link, _ = bound()
    for name in ("C2S SECMSG/P2P_MESSAGE", "C2S SECMSG/P2T_MESSAGE"):
        link.receive_data(frame(name), 0.0)
    bodies = [event.packet.body for event in link.events() if isinstance(event, PacketReceived)]
    assert [type(body) for body in bodies] == [P2PMessage, P2TMessage]
    assert [body.payload for body in bodies if isinstance(body, (P2PMessage, P2TMessage))] == [b"hello", b"group hi"]


def test_a_ping_of_unlimited_groups_may_name_one_twice() -> None:
    link, _ = bound()
    link.receive_data(frame("C2S SECMSG/UC_PACKET/PING"), 0.0)
    [event] = link.events()
    assert isinstance(event, PacketReceived)
    assert isinstance(event.packet.body, UcPacket)
    assert event.packet.body.body == UcPing(groups=(GROUP, GROUP))


def test_downward_payloads_are_encrypted_and_say_so() -> None:
    link, peer = bound()
    link.send(PacketAck(packet_id="web17954600377732"), now=0.0)
    [item] = link.data_to_send()
    found = peer.read(item)
    assert found.header is not None
    assert found.header.cipher == 1
    packet = Packet.decode(rc4(peer.payload_key(found.header.id or ""), found.payload))
    assert isinstance(packet.body, PacketAck)


def test_ubnd_is_answered_with_an_empty_kick_and_then_the_socket_is_closed() -> None:
    link, peer = bound()
    link.receive_data(peer.command("UBND"), 7.0)
    assert link.events() == [Unbound(), LinkClosed(reason=CloseReason.LOGGED_OUT)]
    assert commands(peer, link) == ["KICK"]
    assert link.close_expected() == 8.0


def test_each_message_is_one_packet() -> None:
    link, peer = bound()
    for n in range(3):
        link.send(PacketAck(packet_id=f"m{n}"), now=0.0)
    assert [peer.read(item).command for item in link.data_to_send()] == ["SECMSG"] * 3


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("S2C SECMSG/COMPOUND", PacketList),
        ("S2C SECMSG/UC_PACKET/JOIN_RESP", UcJoinAnswer),
        ("S2C SECMSG/UC_PACKET/MESSAGE_LIST", UcMessageList),
        ("S2C SECMSG/UC_PACKET/DISMISS", UcDismiss),
    ],
)
def test_what_it_got_is_what_we_can_read_and_send(name: str, kind: Any) -> None:
    peer = ScriptedServer(Framing.WEBSOCKET)
    peer.security_key = VECTORS[name]["rc4_key_base64"]
    packet = peer.read_packet(frame(name))
    body: Any = packet.body.body if isinstance(packet.body, UcPacket) else packet.body
    assert type(body) is kind
    if kind is PacketList:
        body = body.replace(uuid=None, resource=None)
    link, client = bound()
    link.send(body, packet_id="p" if isinstance(packet.body, UcPacket) else None, now=0.0)
    [item] = link.data_to_send()
    ours = client.read_packet(item)
    mine: Any = ours.body.body if isinstance(ours.body, UcPacket) else ours.body
    for field in kind.field_names:
        if field not in ("uuid", "resource", "status"):
            assert getattr(mine, field) == getattr(body, field), field


@pytest.mark.parametrize("name", ["S2C NOTIFY", "S2C WHAT", "S2C UBND"])
def test_commands_without_meaning_are_headers_with_a_command(name: str) -> None:
    header = ScriptedServer(Framing.WEBSOCKET).read(frame(name)).header
    assert isinstance(header, Header)
    assert header.cmd == name.split()[1]


def test_its_frames_are_read_by_a_link_in_any_order() -> None:
    link, peer = server_in(ServerState.BOUND, Framing.WEBSOCKET)
    for name in ("C2S PING", "C2S SECMSG/P2P_MESSAGE", "C2S PING"):
        link.receive_data(frame(name), 0.0)
    assert names(link.events()) == ["PingReceived", "PacketReceived", "PingReceived"]
    assert commands(peer, link) == ["PING", "PING"]
