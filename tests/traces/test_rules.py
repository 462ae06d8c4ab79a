"""The rules of what a server must do for the official clients, where a link alone can prove them.

Numbered as in the specification. The rules left out are about REST (13, 18), listeners (15) and storage (10).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conversations import UPWARDS, talk_in, verb_names
from support.frame_rules import check_frame
from support.links import (
    APP_ID,
    ME,
    PACKAGE,
    RESOURCE,
    UUID,
    ScriptedClient,
    accept,
    client_in,
    commands,
    message,
    names,
    new_server,
    refusal,
    server_in,
)

from mimc_proto import ClientState, Framing, LocalProtocolError, ServerConnection, ServerState, pb
from mimc_proto.events import Ignored, LinkClosed, MessagesReceived, PacketReceived
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import (
    BindAnswer,
    Group,
    Kick,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    Packet,
    PacketAck,
    PacketList,
    Pull,
    RtsSignal,
    SequenceAck,
    UcDismiss,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcOnlineUsersAnswer,
    UcPacket,
    UcPong,
    UcQuitAnswer,
    UnknownBody,
    UploadRequest,
    User,
)

both_framings = pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
GROUP = Group(app_id=APP_ID, topic_id=15)
BOB = User(app_id=APP_ID, account="bob", uuid=77, resource="pc")
UC_MESSAGE = UcMessage(group=GROUP, payload=b"hi", sequence=5, user=BOB, packet_id="bob_5")

SENDS: list[tuple[Any, str | None]] = [
    (PacketAck(packet_id="m"), None),
    (PacketList(packets=(message(5), message(6))), None),
    (PacketList(status=2, min_sequence=1, max_sequence=9), None),
    (OnlineMessage(sender=BOB, recipient=ME, payload=b"now"), "m"),
    (OnlineMessageAck(packet_id="m", code=1), "m"),
    (UcPong(), "p"),
    (UcJoinAnswer(group=GROUP, code=0), "p"),
    (UcQuitAnswer(group=GROUP, code=0), "p"),
    (UcOnlineUsersAnswer(group=GROUP, user_count=3), "p"),
    (UcMessageList(group=GROUP, messages=(UC_MESSAGE,)), None),
    (UcDismiss(group=GROUP), None),
]
"""One of everything that a server sends in SECMSG."""


def everything(framing: Framing) -> tuple[list[bytes], ScriptedClient]:
    """Every kind of frame that a server link sends."""
    link, peer = new_server(framing), ScriptedClient(framing)
    frames: list[bytes] = []

    def after(act: Callable[[], object]) -> None:
        act()
        frames.extend(link.data_to_send(1 << 30))

    after(lambda: link.receive_data(peer.conn(), 0.0))
    after(lambda: link.receive_data(peer.command("PING", uuid=0), 0.0))
    for _ in range(2):
        link.receive_data(peer.bind(), 0.0)
        after(lambda: link.refuse_bind("token-expired", "too old", now=0.0))
    link.receive_data(peer.bind(), 0.0)
    after(lambda: accept(link))
    for body, packet_id in SENDS:
        after(lambda body=body, packet_id=packet_id: link.send(body, packet_id=packet_id, now=0.0))  # type: ignore[misc]
    after(lambda: link.kick("single-resource-kick", now=0.0))
    after(lambda: link.receive_data(peer.command("UBND"), 0.0))
    assert len(frames) == len(SENDS) + 7
    return frames, peer


@both_framings
@pytest.mark.parametrize("command", ["CONN", "PING", "UBND"])
def test_rule_1_conn_ping_and_ubnd_are_answered_at_once(command: str, framing: Framing) -> None:
    link, peer = server_in(ServerState.HANDSHAKE if command == "CONN" else ServerState.BOUND, framing)
    link.receive_data(UPWARDS[command](peer), 0.0)
    assert len(link.data_to_send()) == 1


@pytest.mark.parametrize("state", ["HANDSHAKE", "READY", "BINDING", "BOUND", "REBINDING"])
def test_rule_2_both_pings_are_answered_in_every_state(state: str) -> None:
    link, peer = server_in(ServerState[state])
    link.receive_data(EMPTY_FRAME, 0.0)
    link.receive_data(peer.command("PING"), 0.0)
    assert link.data_to_send() == [EMPTY_FRAME, EMPTY_FRAME]


@pytest.mark.parametrize(("framing", "closes"), [(Framing.TCP, False), (Framing.WEBSOCKET, True)])
def test_rule_3_ubnd_is_answered_with_an_empty_kick_and_closes_a_websocket(framing: Framing, closes: bool) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    link.receive_data(peer.command("UBND"), 0.0)
    [frame] = peer.read_all(link.data_to_send())
    assert (frame.command, frame.payload) == ("KICK", b"")
    assert (link.close_expected() is not None) is closes


def test_rule_4_a_kick_says_to_every_client_what_is_meant() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.kick("single-resource-kick", now=0.0)
    [frame] = peer.read_all(link.data_to_send())
    assert Kick.decode(frame.payload).type == Kick.decode(frame.payload).reason == "single-resource-kick"
    assert pb.XMMsgBindResp.FromString(frame.payload).error_type == "single-resource-kick"


def test_rule_4_a_repeated_bind_on_the_same_link_kicks_nobody() -> None:
    link, peer = server_in(ServerState.REBINDING)
    assert accept(link)
    assert commands(peer, link) == ["BIND"]
    assert names(link.events()) == []


@both_framings
def test_rule_5_every_header_that_a_server_sends_is_canonical_protobuf(framing: Framing) -> None:
    frames, peer = everything(framing)
    for frame in frames:
        header = peer.read(frame).header_bytes
        assert pb.ClientHeader.FromString(header).SerializeToString() == header
        assert frame == EMPTY_FRAME or 1 <= pb.ClientHeader.FromString(header).dir_flag <= 6


@given(
    uuid=st.integers(-(1 << 63), (1 << 63) - 1) | st.none(),
    resource=st.text(st.characters(codec="utf-8"), max_size=50) | st.none(),
    packet_id=st.text(st.characters(codec="utf-8"), max_size=50),
    command=st.sampled_from(["CONN", "PING", "UBND"]),
)
def test_rule_5_holds_whatever_the_header_of_the_request(
    uuid: int | None, resource: str | None, packet_id: str, command: str
) -> None:
    state = ServerState.HANDSHAKE if command == "CONN" else ServerState.READY
    link, peer = server_in(state, Framing.WEBSOCKET)
    link.receive_data(peer.frame(peer.header(command, packet_id, uuid=uuid, resource=resource)), 0.0)
    [frame] = peer.read_all(link.data_to_send())
    assert pb.ClientHeader.FromString(frame.header_bytes).SerializeToString() == frame.header_bytes


def test_rule_6_the_key_comes_from_the_headers_id_and_the_packets_id_is_acknowledged() -> None:
    link, peer = server_in(ServerState.BOUND)
    packet = Packet(packet_id="packet-1", body=P2PMessage(sender=ME, recipient=BOB)).encode()
    link.receive_data(peer.send(packet, "header-1"), 0.0)
    [event] = link.events()
    assert isinstance(event, PacketReceived)
    assert (event.id, event.packet.packet_id) == ("header-1", "packet-1")


@both_framings
def test_rule_7_downward_payloads_are_always_encrypted_and_marked(framing: Framing) -> None:
    frames, peer = everything(framing)
    for frame in frames:
        found = peer.read(frame)
        if found.command == "SECMSG":
            assert found.header is not None
            assert found.header.cipher == 1
            assert isinstance(peer.read_packet(frame), Packet)
        elif found.header is not None:
            assert found.header.cipher == 0


@pytest.mark.parametrize("cipher", [None, 0, 2])
def test_rule_7_upward_payloads_are_plain_unless_cipher_is_1(cipher: int | None) -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.send(Pull(uuid=UUID, resource=RESOURCE), cipher=cipher), 0.0)
    assert names(link.events()) == ["PacketReceived"]


@pytest.mark.parametrize("udid", ["", "a", "aB3dE6gH9j", "u" * 200])
def test_rule_8_the_udid_of_conn_is_in_the_body_key(udid: str) -> None:
    link, peer = new_server(), ScriptedClient(udid=udid)
    link.receive_data(peer.conn(), 0.0)
    link.receive_data(peer.bind(), 0.0)
    assert accept(link)
    assert commands(peer, link) == ["CONN", "BIND"]


def test_rule_9_a_list_is_complete_and_rising() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.send(PacketList(packets=(message(5), message(6))), now=0.0)
    body = peer.read_packet(link.data_to_send()[0]).body
    assert isinstance(body, PacketList)
    assert (body.uuid, body.resource, body.max_sequence, body.status) == (UUID, RESOURCE, 6, 1)
    for packets in ((message(6), message(5)), (message(5), message(5)), ()):
        unordered = PacketList(packets=packets)
        refusal(link, lambda body=unordered: link.send(body, now=0.0))  # type: ignore[misc]


def test_rule_10_what_waits_may_be_pushed_right_behind_the_answer_to_bind() -> None:
    link, peer = server_in(ServerState.BINDING)
    assert accept(link)
    link.send(PacketList(packets=(message(5),)), now=0.0)
    assert commands(peer, link) == ["BIND", "SECMSG"]


def test_rule_11_packets_of_unlimited_groups_name_the_receiver_with_all_four_fields() -> None:
    for body, packet_id in SENDS:
        link, peer = server_in(ServerState.BOUND)
        link.send(body, packet_id=packet_id, now=0.0)
        packet = peer.read_packet(link.data_to_send()[0])
        if isinstance(packet.body, UcPacket):
            assert packet.body.user == ME
            assert packet.body.packet_id == packet_id or packet_id is None


def test_rule_12_an_online_message_stays_one_and_its_ack_names_the_one_who_gets_it() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.send(OnlineMessage(sender=BOB, recipient=ME, payload=b"now"), packet_id="bob-1", now=0.0)
    link.send(OnlineMessageAck(packet_id="m", code=1), packet_id="m", now=0.0)
    one, other = (peer.read_packet(frame) for frame in link.data_to_send())
    assert (type(one.body), one.packet_id) == (OnlineMessage, "bob-1")
    assert other.body == OnlineMessageAck(packet_id="m", uuid=UUID, resource=RESOURCE, code=1)


@pytest.mark.parametrize(("reason", "kind"), [("token-expired", "token-expired"), ("invalid-token", "auto")])
def test_rule_14_a_refusal_over_the_token_makes_every_client_fetch_another(reason: str, kind: str) -> None:
    link, peer = server_in(ServerState.BINDING)
    link.refuse_bind(reason, now=0.0)
    answer = BindAnswer.decode(peer.read(link.data_to_send()[0]).payload)
    assert (answer.error_type, answer.error_reason) == (kind, reason)


def test_rule_16_call_signalling_cannot_be_sent() -> None:
    link, _ = server_in(ServerState.BOUND)
    refusal(link, lambda: link.send(RtsSignal(payload=b"x"), packet_id="p", now=0.0))  # type: ignore[arg-type]


def test_rule_17_the_idle_limit_is_above_180_seconds() -> None:
    link, _ = server_in(ServerState.BOUND)
    timer = link.get_timer()
    assert timer is not None
    assert timer > 180.0


def test_rule_19_no_frame_lacks_what_go_panics_on() -> None:
    frames, peer = everything(Framing.TCP)
    for frame in frames:
        check_frame(frame, peer)


@given(st.data())
def test_rule_19_holds_in_any_conversation(data: st.DataObject) -> None:
    state = data.draw(
        st.sampled_from([ServerState.HANDSHAKE, ServerState.READY, ServerState.BINDING, ServerState.BOUND])
    )
    talk = talk_in(state, Framing.TCP)
    for step in data.draw(st.lists(st.sampled_from([*UPWARDS, "empty", *verb_names(state)]), max_size=15)):
        if step in verb_names(state):
            talk.act(step)
        else:
            talk.receive(talk.frame(step))
        talk.take()
    assert isinstance(talk.peer, ScriptedClient)
    for frame in talk.output:
        check_frame(frame, talk.peer)


@pytest.mark.parametrize(
    "body",
    [
        PacketAck(packet_id=""),
        PacketList(),
        PacketList(packets=(message(5).replace(sequence=None),)),
        PacketList(packets=(message(5, body=P2PMessage(recipient=ME)),)),
        PacketList(packets=(message(5, body=P2PMessage(sender=BOB, recipient=None)),)),  # type: ignore[arg-type]
        PacketList(packets=(message(5, body=UnknownBody(type=99)),)),
        P2PMessage(sender=BOB, recipient=ME),
        SequenceAck(sequence=1),
        Pull(uuid=UUID, resource=RESOURCE),
        UnknownBody(type=99),
    ],
    ids=lambda body: type(body).__name__,
)
def test_rule_19_a_server_cannot_be_made_to_send_what_go_panics_on(body: Any) -> None:
    link, _ = server_in(ServerState.BOUND)
    refusal(link, lambda: link.send(body, packet_id="p", now=0.0))


@pytest.mark.parametrize("challenge", ["", "a"])
def test_rule_19_a_challenge_is_never_too_short_for_go(challenge: str) -> None:
    with pytest.raises(LocalProtocolError):
        ServerConnection(challenge=challenge, first_id=1, now=0.0)


def test_rule_20_pings_after_ubnd_are_answered() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.command("UBND"), 0.0)
    link.data_to_send()
    link.receive_data(peer.command("PING"), 3.0)
    assert link.data_to_send() == [EMPTY_FRAME]


def test_rule_20_the_sessions_identity_counts_not_what_the_packet_claims() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.send(P2PMessage(sender=BOB, recipient=BOB), uuid=0, resource="elsewhere"), 0.0)
    link.send(PacketAck(packet_id="m"), now=0.0)
    [frame] = link.data_to_send()
    header, ack = peer.read(frame).header, peer.read_packet(frame).body
    assert header is not None
    assert isinstance(ack, PacketAck)
    assert (header.uuid, header.resource, ack.uuid, ack.resource) == (UUID, RESOURCE, UUID, RESOURCE)


def test_rule_21_a_request_to_upload_the_log_is_ignored_and_cannot_be_sent() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.receive_data(peer.answer("SYNC", UploadRequest(url="http://example.com", token="t").encode()), 0.0)
    assert [type(event) for event in link.events()] == [Ignored]
    assert link.data_to_send() == []
    server, _ = server_in(ServerState.BOUND)
    refusal(server, lambda: server.send(UploadRequest(url="u"), packet_id="p", now=0.0))  # type: ignore[arg-type]


@both_framings
def test_our_own_client_bears_everything_that_our_server_sends(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    server_frames, client_peer = everything(framing)
    for frame in server_frames:
        found = client_peer.read(frame)
        if found.command == "SECMSG":
            link.receive_data(peer.raw(found.header_bytes, found.payload), 0.0)
    events = link.events()
    assert len(events) == len(SENDS)
    assert not any(isinstance(event, LinkClosed) for event in events)
    assert sum(isinstance(event, MessagesReceived) for event in events) == 1
    assert all(getattr(event, "packet", None) is None or event.packet.package == PACKAGE for event in events)  # type: ignore[union-attr]
