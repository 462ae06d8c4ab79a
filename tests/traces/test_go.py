"""The official Go client: its own frames, and its habits."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import ScriptedClient, ScriptedServer, accept, client_in, commands, credentials, names, server_in
from support.vectors import load

from mimc_proto import ClientState, Framing, ServerConnection, ServerState, pb
from mimc_proto.events import AckReceived, BindRequested, Kicked, MessagesReceived, PacketReceived
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import (
    BindAnswer,
    Direction,
    Header,
    Kick,
    P2PMessage,
    P2TMessage,
    Packet,
    SequenceAck,
    User,
)

VECTORS = load("go")
CLIENT, SERVER = VECTORS["client_packets"], VECTORS["server_packets"]
VARIANTS = [n for n, entry in enumerate(CLIENT["BIND"]) if entry["in"]["challenge"].isascii()]


def frame(entry: dict[str, Any]) -> bytes:
    return bytes.fromhex(entry["frame_hex"])


def user(entry: dict[str, Any]) -> dict[str, Any]:
    """What the service knows of the user of a vector."""
    given = entry["in"]
    return {
        "app_id": int(given["app_id"]),
        "account": given["account"],
        "uuid": int(given["uuid"]),
        "security_key": given["security_key"],
        "package": given["package"],
    }


def bound(variant: int) -> ServerConnection:
    """Our link after the login of one variant, with its challenge and its real CONN and BIND."""
    entry = CLIENT["BIND"][variant]
    link = ServerConnection(challenge=entry["in"]["challenge"], first_id=1, now=0.0)
    conn = CLIENT["CONN"][variant]
    header = Header(cmd="CONN", server="xiaomi.com", id="1")
    link.receive_data(ScriptedClient().frame(header, conn_payload(conn, entry["in"]["udid"])), 0.0)
    link.receive_data(frame(entry), 0.0)
    assert names(link.events()) == ["ClientConnected", "BindRequested"]
    assert link.accept_bind(**user(entry), now=0.0)
    link.data_to_send()
    return link


def conn_payload(entry: dict[str, Any], udid: str) -> bytes:
    """The real payload, with the udid that the body key of the other frames belongs to."""
    message = pb.XMMsgConn.FromString(bytes.fromhex(entry["payload_plain_hex"]))
    message.udid = udid
    return message.SerializeToString()


@pytest.mark.parametrize("variant", range(len(CLIENT["CONN"])))
def test_its_conn_is_understood(variant: int) -> None:
    entry = CLIENT["CONN"][variant]
    link = ServerConnection(challenge="0123456789abcdef", first_id=1, now=0.0)
    link.receive_data(frame(entry), 0.0)
    [event] = link.events()
    assert event.conn.udid == entry["xmmsg_conn"]["udid"]  # type: ignore[union-attr]
    answer = ScriptedClient().read(link.data_to_send()[0]).header
    assert answer is not None
    assert (answer.id, answer.uuid, answer.resource) == (
        entry["header"]["id"],
        int(entry["header"]["uuid"]),
        entry["header"]["resource"],
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_login_is_verified_over_its_real_bytes(variant: int) -> None:
    assert bound(variant).state is ServerState.BOUND


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_messages_are_decrypted_and_read(variant: int) -> None:
    link = bound(variant)
    for kind in ("SECMSG_P2P", "SECMSG_P2T", "SECMSG_SEQUENCE_ACK"):
        link.receive_data(frame(CLIENT[kind][variant]), 0.0)
    events = link.events()
    bodies = [event.packet.body for event in events if isinstance(event, PacketReceived)]
    assert [type(body) for body in bodies] == [P2PMessage, P2TMessage, SequenceAck]
    assert isinstance(bodies[0], P2PMessage)
    assert (bodies[0].payload.hex(), bodies[0].recipient.account) == (
        CLIENT["SECMSG_P2P"][variant]["msg_hex"],
        CLIENT["SECMSG_P2P"][variant]["to"],
    )
    ids = [(event.id, event.packet.packet_id) for event in events if isinstance(event, PacketReceived)]
    assert all(header_id == packet_id for header_id, packet_id in ids)


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_ping_and_ubnd_are_answered(variant: int) -> None:
    link = bound(variant)
    link.receive_data(frame(CLIENT["PING"][variant]), 0.0)
    assert link.data_to_send() == [EMPTY_FRAME]
    link.receive_data(frame(CLIENT["UBND"][variant]), 0.0)
    assert len(link.data_to_send()) == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_our_client_understands_the_frames_of_its_server(variant: int) -> None:
    given = SERVER["BIND_RESP_OK"][variant]["in"]
    link, peer = client_in(ClientState.HANDSHAKE, resource=given["resource"])
    peer.challenge = given["challenge"]
    link.receive_data(peer.conn_answer(), 0.0)
    login = user(SERVER["BIND_RESP_OK"][variant])
    link.bind(credentials(**login, token=given["token"]), now=0.0)
    kinds = ("BIND_RESP_OK", "PONG_WITH_HEADER", "SECMSG_PACKET_ACK", "SECMSG_COMPOUND", "KICK")
    for kind in kinds:
        link.receive_data(frame(SERVER[kind][variant]), 0.0)
    events = link.events()
    assert names(events) == [
        "HandshakeCompleted",
        "BindAccepted",
        "PongReceived",
        "AckReceived",
        "MessagesReceived",
        "Kicked",
    ]
    assert isinstance(events[3], AckReceived)
    assert events[3].ack.packet_id == "mimc_go_abcdefghij_3"
    assert isinstance(events[4], MessagesReceived)
    assert len(events[4].packets) == 2
    assert isinstance(events[5], Kicked)
    assert (events[5].kick.type, events[5].kick.reason) == (None, "kick")  # it was made as an XMMsgBindResp


def test_the_frame_of_the_real_cloud_is_understood() -> None:
    captured = VECTORS["captured_push"]
    link, peer = client_in(ClientState.HANDSHAKE, resource="pc_java")
    link.receive_data(peer.conn_answer(), 0.0)
    link.bind(credentials(uuid=6874178410250240, security_key=captured["security_key"]), now=0.0)
    link.receive_data(peer.bind_answer(), 0.0)
    link.events()
    cloud = ScriptedServer()
    cloud.body_key = bytes.fromhex(captured["body_key_hex"])
    body = cloud.read(bytes.fromhex(captured["frame_hex"]))
    link.receive_data(peer.raw(body.header_bytes, body.payload), 0.0)
    [event] = link.events()
    assert isinstance(event, MessagesReceived)
    assert event.max_sequence == 15263541607720001
    assert event.packets[0].body.payload == b"I'm OK!"  # type: ignore[union-attr]


def test_go_pings_every_3_seconds_with_a_header_and_is_answered_each_time() -> None:
    link, peer = server_in(ServerState.BOUND)
    for n in range(1, 101):
        link.receive_data(peer.command("PING"), 3.0 * n)
        assert link.data_to_send() == [EMPTY_FRAME]
    assert link.get_timer() == 540.0


def test_go_binds_again_14_milliseconds_after_a_kick_on_the_same_link() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.kick("token-expired", now=10.0)
    assert commands(peer, link) == ["KICK"]
    link.receive_data(peer.send(P2PMessage(recipient=User(account="bob"))), 10.01)  # it was on its way
    link.receive_data(peer.bind(), 10.014)
    events = link.events()
    assert names(events) == ["Ignored", "BindRequested"]
    assert isinstance(events[1], BindRequested)
    assert events[1].id == "client_4"
    assert accept(link, now=10.1)
    assert commands(peer, link) == ["BIND"]


def test_go_signs_a_second_bind_with_the_links_challenge_and_a_new_id() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.kick("token-expired", now=0.0)
    link.receive_data(peer.bind(), 0.0)
    [before] = link.events()
    assert isinstance(before, BindRequested)
    link.receive_data(peer.bind(sig=before.bind.sig), 0.0)
    assert accept(link) is False
    link.receive_data(peer.bind(), 0.0)
    assert accept(link) is True


def test_a_displaced_go_client_is_kept_away_with_a_refusal_it_understands() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.kick("single-resource-kick", now=0.0)
    link.receive_data(peer.bind(), 0.014)
    link.refuse_bind("single-resource-kick", now=0.02)
    frames = peer.read_all(link.data_to_send())
    answer = BindAnswer.decode(frames[1].payload)
    assert (answer.result, answer.error_type, answer.error_reason) == (False, *["single-resource-kick"] * 2)


def test_messages_queued_before_go_had_a_token_are_taken_with_uuid_0() -> None:
    link, peer = server_in(ServerState.BOUND)
    body = P2PMessage(
        sender=User(app_id=1, account="alice", uuid=0, resource=""),
        recipient=User(app_id=1, account="bob", uuid=0, resource=""),
        payload=b"early",
    )
    link.receive_data(peer.send(body, uuid=0), 0.0)
    [event] = link.events()
    assert isinstance(event, PacketReceived)
    assert event.packet.body == body


def test_go_stays_online_in_its_own_eyes_after_ubnd_and_its_pings_are_answered() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.command("UBND"), 0.0)
    assert commands(peer, link) == ["KICK"]
    for n in range(1, 20):
        link.receive_data(peer.command("PING"), 3.0 * n)
        assert link.data_to_send() == [EMPTY_FRAME]
    link.events()
    link.handle_timer(239.9)
    assert link.events() == []
    link.handle_timer(240.0)
    assert names(link.events()) == ["LinkClosed"]


def test_go_reads_a_kick_as_the_answer_to_bind() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.kick("token-expired", "please log in again", now=0.0)
    [kick] = peer.read_all(link.data_to_send())
    seen = pb.XMMsgBindResp.FromString(kick.payload)
    assert not seen.HasField("result")
    assert (seen.error_type, seen.error_reason) == ("token-expired", "please log in again")


def test_gos_own_form_of_a_kick_does_not_hurt_our_client() -> None:
    link, peer = client_in(ClientState.BOUND)
    payload = pb.XMMsgBindResp(result=False, error_type="kick", error_reason="multi-login").SerializeToString()
    link.receive_data(peer.answer("KICK", payload), 0.0)
    [event] = link.events()
    assert isinstance(event, Kicked)
    assert event.kick.replace(unknown=b"") == Kick(reason="kick", desc="multi-login")


def test_full_headers_of_go_are_read_field_by_field() -> None:
    peer = ScriptedClient(Framing.TCP)
    header = peer.read(frame(CLIENT["CONN"][0])).header
    assert header == Header(
        chid=9,
        uuid=6874178410250241,
        server="xiaomi.com",
        resource="mimc_go_abcdefghij",
        cmd="CONN",
        id=CLIENT["CONN"][0]["header"]["id"],
        dir_flag=Direction.CS_REQ,
        cipher=0,
    )


def test_go_sends_sequence_acks_that_carry_a_sequence_of_their_own() -> None:
    link = bound(0)
    link.receive_data(frame(CLIENT["SECMSG_SEQUENCE_ACK"][0]), 0.0)
    [event] = link.events()
    assert isinstance(event, PacketReceived)
    assert isinstance(event.packet, Packet)
    assert event.packet.sequence == event.packet.body.sequence  # type: ignore[union-attr]
