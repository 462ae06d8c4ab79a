"""One link as the client sees it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
from support.links import (
    APP_ID,
    ME,
    PREFIX,
    RESOURCE,
    SECURITY_KEY,
    TOKEN,
    UUID,
    ScriptedServer,
    breakage,
    client_in,
    commands,
    credentials,
    drained,
    inside,
    message,
    names,
    new_client,
    refusal,
)

from mimc_proto import (
    ClientConfig,
    ClientConnection,
    ClientState,
    Credentials,
    CryptoError,
    Framing,
    LocalProtocolError,
    RemoteProtocolError,
    ServerConfig,
)
from mimc_proto._requests import RequestEncoder
from mimc_proto.crypto import verify_bind_signature
from mimc_proto.events import (
    AckReceived,
    BadPacket,
    BindAccepted,
    BindRefused,
    CloseReason,
    HandshakeCompleted,
    Ignored,
    Kicked,
    LimitReached,
    LinkClosed,
    MessagesReceived,
    PacketReceived,
    PongReceived,
)
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import (
    Bind,
    BindAnswer,
    Conn,
    ConnAnswer,
    Direction,
    Group,
    Header,
    Kick,
    ListStatus,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    Pull,
    SequenceAck,
    UcJoin,
    UcMessage,
    UcPacket,
    UnknownBody,
    User,
)

both_framings = pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
GROUP = Group(app_id=APP_ID, topic_id=15)

# -------------------------------------------------------------------------------------------------------- handshake


def test_on_tcp_conn_goes_out_at_once_with_a_full_header() -> None:
    peer = ScriptedServer()
    [frame] = peer.read_all(new_client(udid="1234567890").data_to_send())
    assert frame.header == Header(
        chid=9,
        uuid=0,
        server="xiaomi.com",
        resource=RESOURCE,
        cmd="CONN",
        id=f"{PREFIX}_1",
        dir_flag=Direction.CS_REQ,
        cipher=0,
    )
    conn = Conn.decode(frame.payload)
    assert conn == Conn(version=106, os="python", udid="1234567890", sdk=33, model="mimc-proto")


def test_on_websocket_conn_has_no_identity_as_that_of_webjs() -> None:
    peer = ScriptedServer(Framing.WEBSOCKET)
    [frame] = peer.read_all(new_client(Framing.WEBSOCKET).data_to_send())
    assert frame.header == Header(server="xiaomi.com", cmd="CONN", id=f"{PREFIX}_1")
    assert Conn.decode(frame.payload).sdk == 31


@both_framings
def test_the_answer_to_conn_completes_the_handshake(framing: Framing) -> None:
    link, peer = client_in(ClientState.HANDSHAKE, framing)
    link.receive_data(peer.conn_answer(host="fe-7"), 1.0)
    assert link.events() == [HandshakeCompleted(host="fe-7")]
    assert link.state is ClientState.READY
    assert link.get_timer() == 15.0  # PING: the handshake has no deadline any more


def test_bodies_are_encrypted_after_the_handshake_with_the_udid_in_the_key() -> None:
    link, peer = client_in(ClientState.HANDSHAKE, udid="1234567890")
    peer.udid = "1234567890"
    link.receive_data(peer.conn_answer(), 0.0)
    link.ping(0.0)
    assert commands(peer, link) == ["PING"]


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b"", "XMMsgConnResp.challenge"),
        (ConnAnswer(challenge="").encode(), "CONN answer: challenge"),
        (ConnAnswer(challenge="héllo").encode(), "CONN answer: challenge"),
        (b"\xff", "XMMsgConnResp"),
    ],
    ids=["without a challenge", "empty challenge", "not ASCII", "no protobuf"],
)
@both_framings
def test_an_answer_to_conn_that_gives_no_key_ends_the_link(framing: Framing, payload: bytes, where: str) -> None:
    link, peer = client_in(ClientState.HANDSHAKE, framing)
    assert breakage(link, peer.answer("CONN", payload)).where == where
    assert link.events() == [LinkClosed(reason=CloseReason.PROTOCOL_ERROR)]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"resource": ""}, "resource"),
        ({"resource": "r" * 129}, "resource"),
        ({"resource": 7}, "resource"),
        ({"id_prefix": ""}, "id_prefix"),
        ({"id_prefix": "p" * 109}, "id_prefix"),
        ({"udid": "é"}, "udid"),
        ({"udid": "u" * 600}, "udid"),
        ({"now": "soon"}, "now"),
    ],
)
def test_a_link_is_not_made_of_what_cannot_be_sent(options: dict[str, Any], where: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        new_client(**options)
    assert caught.value.where == where


def test_the_longest_resource_and_prefix_can_be_sent() -> None:
    link = new_client(resource="r" * 128, id_prefix="p" * 108)
    [frame] = ScriptedServer().read_all(link.data_to_send())
    assert frame.header is not None
    assert (frame.header.resource, frame.header.id) == ("r" * 128, "p" * 108 + "_1")


# ------------------------------------------------------------------------------------------------------------ login


@both_framings
def test_bind_is_signed_over_the_challenge_the_header_and_the_token(framing: Framing) -> None:
    link, peer = client_in(ClientState.READY, framing)
    link.bind(credentials(chid=11), now=0.0)
    [frame] = peer.read_all(link.data_to_send())
    header, bind = frame.header, Bind.decode(frame.payload)
    assert header is not None
    assert (header.cmd, header.chid, header.uuid, header.resource) == ("BIND", 11, UUID, RESOURCE)
    assert (bind.token, bind.kick, bind.method, bind.client_attrs, bind.cloud_attrs, bind.sso) == (
        TOKEN,
        "0",
        "XIAOMI-PASS",
        "",
        "",
        None,
    )
    assert verify_bind_signature(
        bind.sig,
        token=TOKEN,
        challenge=peer.challenge,
        chid=11,
        uuid=UUID,
        resource=RESOURCE,
        packet_id=header.id or "",
        security_key=SECURITY_KEY,
    )


@both_framings
def test_a_further_bind_on_the_link_has_a_new_id_and_signature(framing: Framing) -> None:
    link, peer = client_in(ClientState.BINDING, framing)
    link.receive_data(peer.bind_answer(False, "auto", "invalid-token"), 1.0)
    link.bind(credentials(), now=1.0)
    first = peer.read_all(link.data_to_send())[0]
    link.receive_data(peer.kick("token-expired"), 1.0)
    link.bind(credentials(), now=1.0)
    second = peer.read_all(link.data_to_send())[0]
    assert first.header != second.header
    assert Bind.decode(first.payload).sig != Bind.decode(second.payload).sig


def test_an_accepted_bind_is_an_event() -> None:
    link, peer = client_in(ClientState.BINDING)
    link.receive_data(peer.bind_answer(), 1.0)
    assert link.events() == [BindAccepted()]


def test_the_caches_of_a_login_are_given_back_after_it() -> None:
    link, peer = client_in(ClientState.BINDING)
    busy = len(str(inside(link._cipher)))
    link.receive_data(peer.bind_answer(), 1.0)
    assert len(str(inside(link._cipher))) < busy


@pytest.mark.parametrize(
    ("kind", "reason", "token_refused", "taken_over"),
    [
        ("token-expired", "token-expired", True, False),
        ("token-expired", None, True, False),
        ("auto", "invalid-token", True, False),
        ("single-resource-kick", "single-resource-kick", False, True),
        ("wait", "overloaded", False, False),
        (None, None, False, False),
    ],
)
def test_a_refused_bind_says_what_to_do(
    kind: str | None, reason: str | None, token_refused: bool, taken_over: bool
) -> None:
    link, peer = client_in(ClientState.BINDING)
    link.receive_data(peer.bind_answer(False, kind, reason), 1.0)
    [event] = link.events()
    assert isinstance(event, BindRefused)
    assert event == BindRefused(error_type=kind or "", error_reason=reason or "")
    assert (event.token_refused, event.taken_over) == (token_refused, taken_over)


def test_a_refused_bind_tells_all_that_the_server_said() -> None:
    link, peer = client_in(ClientState.BINDING)
    answer = BindAnswer(result=False, error_type="wait", error_reason="overloaded", error_desc="back soon")
    link.receive_data(peer.answer("BIND", answer.encode()), 1.0)
    assert link.events() == [BindRefused(error_type="wait", error_reason="overloaded", error_desc="back soon")]


def test_an_answer_to_bind_without_a_result_ends_the_link() -> None:
    link, peer = client_in(ClientState.BINDING)
    assert breakage(link, peer.answer("BIND")).where == "XMMsgBindResp.result"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"token": ""}, "Credentials.token"),
        ({"token": "t\ud800"}, "Credentials.token"),
        ({"token": "t" * 8193}, "Credentials.token"),
        ({"account": ""}, "Credentials.account"),
        ({"package": None}, "Credentials.package"),
        ({"security_key": "no base64!"}, "security key"),
        ({"security_key": ""}, "security key"),
        ({"security_key": "A" * 172}, "security key"),
        ({"app_id": None}, "Credentials.app_id"),
        ({"app_id": -1}, "User.app_id"),
        ({"uuid": None}, "Credentials.uuid"),
        ({"uuid": 1 << 64}, "User.uuid"),
        ({"uuid": (1 << 64) - 1}, "Header.uuid"),
        ({"chid": 1 << 31}, "Header.chid"),
    ],
)
def test_credentials_that_cannot_be_sent_are_refused_and_change_nothing(changes: dict[str, Any], where: str) -> None:
    link, _ = client_in(ClientState.READY)
    error = refusal(link, lambda: link.bind(credentials(**changes), now=0.0))
    assert error.where == where
    assert TOKEN not in str(error)


@pytest.mark.parametrize("wrong", [None, "token", ("alice", "token")])
def test_what_is_no_credentials_is_refused(wrong: Any) -> None:
    link, _ = client_in(ClientState.READY)
    assert refusal(link, lambda: link.bind(wrong, now=0.0)).where == "bind"


def test_an_empty_package_may_be() -> None:
    link, _ = client_in(ClientState.READY)
    link.bind(credentials(package=""), now=0.0)
    assert link.state is ClientState.BINDING


def test_credentials_do_not_show_their_secrets() -> None:
    shown = repr(credentials())
    assert TOKEN not in shown
    assert SECURITY_KEY not in shown
    assert "alice" in shown


# ------------------------------------------------------------------------------------------------------------- kick


@pytest.mark.parametrize(
    ("kick", "token_refused", "taken_over"),
    [
        (Kick(), False, False),
        (Kick(type="single-resource-kick"), False, True),
        (Kick(reason="single-resource-kick"), False, True),
        (Kick(type="token-expired"), True, False),
        (Kick(reason="invalid-token"), True, False),
        (Kick(type="wait", reason="maintenance", desc="back soon"), False, False),
    ],
)
@both_framings
def test_a_kick_takes_the_user_offline_and_says_what_to_do(
    framing: Framing, kick: Kick, token_refused: bool, taken_over: bool
) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    link.receive_data(peer.answer("KICK", kick.encode()), 1.0)
    [event] = link.events()
    assert isinstance(event, Kicked)
    assert event.kick == kick
    assert (event.token_refused, event.taken_over) == (token_refused, taken_over)
    assert link.state is ClientState.READY
    link.bind(credentials(), now=1.0)


def test_a_kick_that_cannot_be_read_ends_the_link() -> None:
    link, peer = client_in(ClientState.BOUND)
    assert breakage(link, peer.answer("KICK", b"\xff")).where == "XMMsgKick"


def test_what_waits_when_a_kick_comes_goes_out_after_the_next_login() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"hi", now=0.0, packet_id="m1")
    link.receive_data(peer.kick(), 1.0)
    assert link.data_to_send() == []
    peer.security_key = "AAAAAAAAAAAAAAAAAAAAAA=="
    link.bind(credentials(token="another", security_key=peer.security_key), now=1.0)
    assert commands(peer, link) == ["BIND"]
    link.receive_data(peer.bind_answer(), 1.0)
    [frame] = link.data_to_send()
    assert peer.read_packet(frame).packet_id == "m1"


@pytest.mark.parametrize("changes", [{"uuid": 7}, {"account": "mallory"}, {"app_id": 7}, {"package": "other"}])
def test_nobody_else_can_log_in_while_a_users_packets_wait(changes: dict[str, Any]) -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"hi", now=0.0)
    link.receive_data(peer.kick(), 1.0)
    assert refusal(link, lambda: link.bind(credentials(**changes), now=1.0)).where == "Credentials"


def test_another_user_can_log_in_when_nothing_waits() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.receive_data(peer.kick(), 1.0)
    link.bind(credentials(uuid=7, account="carol"), now=1.0)
    [frame] = peer.read_all(link.data_to_send())
    assert frame.header is not None
    assert frame.header.uuid == 7


# ------------------------------------------------------------------------------------------------------------ logout


@both_framings
def test_ubnd_goes_out_behind_the_messages_that_wait(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    link.send_p2p("bob", b"hi", now=0.0)
    link.unbind(now=0.0)
    message, ubnd = peer.read_all(link.data_to_send())
    assert (message.command, ubnd.command, ubnd.payload) == ("SECMSG", "UBND", b"")


@pytest.mark.parametrize("answer", ["KICK", "UBND"])
@both_framings
def test_the_answer_to_ubnd_ends_the_link(framing: Framing, answer: str) -> None:
    link, peer = client_in(ClientState.UNBINDING, framing)
    link.receive_data(peer.answer(answer), 1.0)
    assert link.events() == [LinkClosed(reason=CloseReason.LOGGED_OUT)]
    assert (link.state, link.close_expected()) == (ClientState.CLOSED, 1.0)


def test_a_refused_bind_after_ubnd_ends_the_link_as_well() -> None:
    link, peer = client_in(ClientState.BINDING)
    link.unbind(now=0.0)
    link.receive_data(peer.bind_answer(False), 1.0)
    assert link.events() == [LinkClosed(reason=CloseReason.LOGGED_OUT)]


def test_an_accepted_bind_after_ubnd_changes_nothing() -> None:
    link, peer = client_in(ClientState.BINDING)
    link.unbind(now=0.0)
    link.receive_data(peer.bind_answer(), 1.0)
    assert [type(event) for event in link.events()] == [Ignored]
    assert link.state is ClientState.UNBINDING


def test_an_ubnd_that_was_not_asked_for_is_ignored() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.receive_data(peer.answer("UBND"), 1.0)
    assert link.events() == [Ignored(command="UBND", id="1")]


def test_close_ends_the_link_at_once_and_once() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.close(1.0)
    link.close(2.0)
    assert link.events() == [LinkClosed(reason=CloseReason.LOCAL)]
    assert link.close_expected() == 1.0


# ---------------------------------------------------------------------------------------------------------- sending


@both_framings
def test_a_message_to_a_user_is_one_secmsg_with_the_senders_identity(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    packet_id = link.send_p2p("bob", b"hi", now=0.0, biz_type="TEXT", is_store=False)
    [frame] = link.data_to_send()
    header, packet = peer.read(frame).header, peer.read_packet(frame)
    assert header is not None
    assert (header.id, packet.packet_id) == (packet_id, packet_id)
    recipient = User(app_id=APP_ID, account="bob")
    assert packet.body == P2PMessage(sender=ME, recipient=recipient, payload=b"hi", is_store=False, biz_type="TEXT")


@both_framings
def test_a_message_to_a_group_is_one_secmsg_with_the_senders_identity(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    link.send_p2t(15, b"hi", now=0.0)
    [frame] = link.data_to_send()
    assert peer.read_packet(frame).body == P2TMessage(sender=ME, recipient=GROUP, payload=b"hi", is_store=True)


def test_on_tcp_payloads_are_encrypted_and_say_so() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send(Pull(), now=0.0)
    [frame] = link.data_to_send()
    header = peer.read(frame).header
    assert header is not None
    assert (header.cipher, header.dir_flag) == (1, Direction.CS_REQ)


def test_on_websocket_payloads_are_plain_as_those_of_webjs() -> None:
    link, peer = client_in(ClientState.BOUND, Framing.WEBSOCKET)
    link.send(Pull(), now=0.0)
    [frame] = peer.read_all(link.data_to_send())
    assert frame.header == Header(
        chid=9, uuid=UUID, server="xiaomi.com", resource=RESOURCE, cmd="SECMSG", id=f"{PREFIX}_3"
    )
    assert isinstance(Packet.decode(frame.payload).body, Pull)


def test_requests_are_filled_in() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send(SequenceAck(sequence=9), now=0.0, packet_id="ack-1")
    link.send(UcJoin(group=GROUP), now=0.0, packet_id="join-1")
    one, other = (peer.read_packet(frame) for frame in link.data_to_send())
    assert one.body == SequenceAck(uuid=UUID, resource=RESOURCE, sequence=9, app_id=APP_ID)
    assert other.body == UcPacket(user=ME, packet_id="join-1", body=UcJoin(group=GROUP))


def test_ids_are_the_prefix_and_a_count() -> None:
    link, _ = client_in(ClientState.BOUND)
    assert [link.send_p2p("bob", b"", now=0.0) for _ in range(3)] == [f"{PREFIX}_{n}" for n in (3, 4, 5)]


def test_no_two_packets_have_one_id_whatever_they_are() -> None:
    link, peer = client_in(ClientState.BOUND)
    sent = []
    for _ in range(2):
        sent.append(link.send_p2p("bob", b"", now=0.0))
        sent.append(link.send_p2t(15, b"", now=0.0))
        sent.append(link.send(Pull(), now=0.0))
        link.ping(0.0)
    link.unbind(0.0)
    frames = peer.read_all(link.data_to_send())
    assert sent == [frame.header.id for frame in frames if frame.header and frame.command == "SECMSG"]
    ids = [frame.header.id for frame in frames if frame.header]
    assert set(ids) == {f"{PREFIX}_{n}" for n in range(3, 12)}
    assert len(ids) == 9


SENDS: list[Callable[[ClientConnection, float], str]] = [
    lambda link, now: link.send_p2p("bob", b"", now=now),
    lambda link, now: link.send_p2t(15, b"", now=now),
    lambda link, now: link.send(UcJoin(group=GROUP), now=now),
]


@pytest.mark.parametrize("send", SENDS)
def test_what_is_sent_wants_its_answer_in_time_from_then_on(send: Callable[[ClientConnection, float], str]) -> None:
    link, _ = client_in(ClientState.BOUND)
    send(link, 1.0)
    drained(link)
    assert link.get_timer() == 11.0


@pytest.mark.parametrize("send", SENDS)
def test_nothing_is_sent_by_somebody_who_is_not_logged_in(send: Callable[[ClientConnection, float], str]) -> None:
    link, _ = client_in(ClientState.CLOSED)
    assert "send()" in refusal(link, lambda: send(link, 0.0)).problem


@pytest.mark.parametrize(
    ("send", "where"),
    [
        (lambda link: link.send_p2p("bob", "text", now=0.0), "payload"),
        (lambda link: link.send_p2p("bob", bytearray(b"x"), now=0.0), "payload"),
        (lambda link: link.send_p2p("bob", bytes(15_361), now=0.0), "payload"),
        (lambda link: link.send_p2p("bob\ud800", b"", now=0.0), "account"),
        (lambda link: link.send_p2p("bob", b"", now=0.0, biz_type="\ud800"), "biz_type"),
        (lambda link: link.send_p2p("bob", b"", now=0.0, packet_id=""), "packet_id"),
        (lambda link: link.send_p2p("bob", b"", now=0.0, packet_id="i" * 129), "packet_id"),
        (lambda link: link.send_p2p("bob", b"", now="then"), "now"),
        (lambda link: link.send_p2t(-1, b"", now=0.0), "topic_id"),
        (lambda link: link.send_p2t(15, None, now=0.0), "payload"),
        (lambda link: link.send("Pull", now=0.0), "send"),
        (lambda link: link.send(PacketAck(packet_id="1"), now=0.0), "send"),
        (lambda link: link.send(UnknownBody(type=7), now=0.0), "send"),
        (
            lambda link: link.send(
                SequenceAck(
                    sequence="9"  # type: ignore[arg-type]
                ),
                now=0.0,
            ),
            "SequenceAck.sequence",
        ),
        (lambda link: link.send(UcMessage(group=GROUP, payload=bytes(15_361)), now=0.0), "payload"),
    ],
)
@both_framings
def test_what_cannot_be_sent_is_refused_and_changes_nothing(framing: Framing, send: Any, where: str) -> None:
    link, _ = client_in(ClientState.BOUND, framing)
    assert refusal(link, lambda: send(link)).where == where
    assert link.send_p2p("bob", b"", now=0.0) == f"{PREFIX}_3"


def test_the_largest_payload_can_be_set() -> None:
    link, _ = client_in(ClientState.BOUND, config=ClientConfig(max_payload=20_000))
    link.send_p2p("bob", bytes(20_000), now=0.0)
    refusal(link, lambda: link.send_p2p("bob", bytes(20_001), now=0.0))


# -------------------------------------------------------------------------------------------------------- receiving


def the_list(**changes: Any) -> PacketList:
    return PacketList(**{"uuid": UUID, "resource": RESOURCE, "max_sequence": 9, **changes})


def received(body: Any) -> list[Any]:
    """The events of one packet."""
    link, peer = client_in(ClientState.BOUND)
    link.receive_data(peer.push(body, "x-1"), 1.0)
    return list(link.events())


def test_a_packet_comes_with_its_headers_id() -> None:
    body = OnlineMessageAck(packet_id="m1", code=1)
    assert received(body) == [PacketReceived(id="x-1", packet=Packet(packet_id="x-1", body=body))]


@pytest.mark.parametrize("unknown", [b"", bytes.fromhex("f80601")], ids=["plain", "with an unknown field"])
def test_an_ack_comes_as_what_it_says(unknown: bytes) -> None:
    ack = PacketAck(packet_id="m1", sequence=5, code=0, unknown=unknown)
    assert received(ack) == [AckReceived(ack=ack)]


@pytest.mark.parametrize("cipher", [0, None, 2])
@both_framings
def test_what_comes_down_is_decrypted_whatever_the_header_says(framing: Framing, cipher: int | None) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    encrypted = peer.read(peer.push(PacketAck(packet_id="m1"), "x-1")).payload
    link.receive_data(peer.frame(peer.header("SECMSG", "x-1", cipher=cipher), encrypted), 1.0)
    assert link.events() == [AckReceived(ack=PacketAck(packet_id="m1"))]


def test_a_list_comes_in_ascending_sequence_and_each_sequence_once() -> None:
    packets = (message(7), message(5), message(7, payload=b"again"), message(6))
    [event] = received(the_list(packets=packets))
    assert isinstance(event, MessagesReceived)
    assert [packet.sequence for packet in event.packets] == [5, 6, 7]
    assert (event.skipped, event.max_sequence) == ((message(7, payload=b"again"),), 9)


def test_p2p_and_p2t_come_together() -> None:
    group = message(6, body=P2TMessage(sender=ME, recipient=GROUP, payload=b"hi"))
    [event] = received(the_list(packets=(group, message(5))))
    assert isinstance(event, MessagesReceived)
    assert [type(packet.body) for packet in event.packets] == [P2PMessage, P2TMessage]


def test_what_a_list_does_not_deliver_is_skipped_but_told() -> None:
    online = message(2, body=OnlineMessage(sender=ME, recipient=ME))
    nobody = message(4, body=P2PMessage(recipient=ME))
    unknown = message(5, body=UnknownBody(type=77))
    [event] = received(the_list(packets=(message(1), online, message(3).replace(sequence=None), nobody, unknown)))
    assert isinstance(event, MessagesReceived)
    assert [packet.sequence for packet in event.packets] == [1]
    skipped = [(type(item), item.sequence) for item in event.skipped]
    assert skipped == [(Packet, 2), (BadPacket, None), (BadPacket, 4), (Packet, 5)]
    problems = [item.error.problem for item in event.skipped if isinstance(item, BadPacket)]
    assert problems == ["expected sequence, got none", "expected from, got none"]
    assert all(item.inside_list for item in event.skipped if isinstance(item, BadPacket))


def test_a_list_without_packets_is_still_to_be_acknowledged() -> None:
    assert received(the_list()) == [MessagesReceived(packets=(), skipped=(), max_sequence=9)]


def test_a_notice_that_too_much_waits_is_no_list() -> None:
    notice = the_list(status=ListStatus.EXCEED_COUNT_LIMIT, min_sequence=3)
    assert received(notice) == [LimitReached(min_sequence=3, max_sequence=9)]
    assert received(notice.replace(min_sequence=None)) == [LimitReached(min_sequence=None, max_sequence=9)]


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"uuid": 7}, "MIMCPacket.COMPOUND"),
        ({"uuid": None}, "MIMCPacket.COMPOUND"),
        ({"resource": "another"}, "MIMCPacket.COMPOUND"),
        ({"resource": None}, "MIMCPacket.COMPOUND"),
        ({"max_sequence": None}, "MIMCPacket.COMPOUND.maxSequence"),
    ],
)
def test_a_list_for_somebody_else_or_without_its_last_sequence_is_a_bad_packet(
    changes: dict[str, Any], where: str
) -> None:
    [event] = received(the_list(packets=(message(5),)).replace(**changes))
    assert isinstance(event, BadPacket)
    assert (event.error.where, event.header_id, event.packet_id) == (where, "x-1", "x-1")


def test_a_list_that_cannot_be_taken_is_told_with_its_sequence() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.receive_data(peer.push(Packet(packet_id="p", sequence=4, body=the_list(uuid=1)).encode()), 1.0)
    [event] = link.events()
    assert isinstance(event, BadPacket)
    assert (event.packet_id, event.sequence) == ("p", 4)


def test_before_the_answer_to_conn_an_empty_frame_is_no_event() -> None:
    link, _ = client_in(ClientState.HANDSHAKE)
    link.receive_data(EMPTY_FRAME, 1.0)
    assert link.events() == []


def test_a_pong_may_be_a_packet_or_an_empty_frame() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.receive_data(EMPTY_FRAME + peer.answer("PING"), 1.0)
    assert link.events() == [PongReceived(), PongReceived()]


# ----------------------------------------------------------------------------------------- arguments and attributes


def test_the_configuration_is_there_to_be_read() -> None:
    config = ClientConfig(ping_interval=1.0)
    assert new_client(config=config).config is config
    assert new_client().config == ClientConfig()


def test_the_types_of_a_link_are_the_documented_ones() -> None:
    link: ClientConnection = new_client()
    assert isinstance(credentials(), Credentials)
    assert issubclass(CryptoError, LocalProtocolError)
    with pytest.raises(RemoteProtocolError):
        link.receive_data(b"x" * 100, 0.0)
    assert names(link.events()) == ["LinkClosed"]


def test_credentials_are_credentials() -> None:
    link, _ = client_in(ClientState.READY)
    with pytest.raises(LocalProtocolError, match="expected Credentials, got dict"):
        link.bind({"account": "alice"}, now=0.0)  # type: ignore[arg-type]
    assert link.state is ClientState.READY


def test_a_servers_settings_are_none_of_a_client() -> None:
    with pytest.raises(LocalProtocolError, match=r"^config: expected a ClientConfig, got a ServerConfig"):
        new_client(config=ServerConfig())


@pytest.mark.parametrize("wrong", [0, -1, "x", None, True])
def test_how_much_is_taken_is_a_number(wrong: Any) -> None:
    link, _ = client_in(ClientState.BOUND)
    assert refusal(link, lambda: link.data_to_send(wrong)).where == "max_bytes"


# ------------------------------------------------------------------------------- messages that a session keeps itself


class Kept:
    """A message of somebody who keeps messages himself."""

    def __init__(self, payload: bytes = b"hi", *, wants_answer: bool = True) -> None:
        self.payload = payload
        self.wants_answer = wants_answer
        self.taken = False

    def encode(self, requests: RequestEncoder, packet_id: bytes, /) -> bytes:
        return requests.p2p(packet_id, "bob", self.payload, True, None)


def kept(*packet_ids: str, payload: bytes = b"hi") -> OrderedDict[str, Kept]:
    return OrderedDict((packet_id, Kept(payload)) for packet_id in packet_ids)


@both_framings
def test_kept_messages_become_frames_in_their_order(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    queue = kept("a", "b", "c")
    messages = list(queue.values())
    frames = link.encrypt_now(queue, 1 << 20)
    packets = [peer.read_packet(frame) for frame in frames]
    recipient = User(app_id=APP_ID, account="bob")
    body = P2PMessage(sender=ME, recipient=recipient, payload=b"hi", is_store=True)
    assert [packet.packet_id for packet in packets] == ["a", "b", "c"]
    assert {packet.body for packet in packets} == {body}
    assert not queue
    assert all(message.taken for message in messages)


@both_framings
def test_a_kept_message_is_the_same_frame_as_one_that_the_link_queued(framing: Framing) -> None:
    link, _ = client_in(ClientState.BOUND, framing)
    link.send_p2p("bob", b"hi", now=0.0, packet_id="a")
    assert link.data_to_send() == link.encrypt_now(kept("a"), 1)


def test_kept_messages_are_taken_until_enough_bytes_are_reached() -> None:
    link, _ = client_in(ClientState.BOUND)
    queue = kept(*"abcdef", payload=bytes(100))
    size = len(link.encrypt_now(kept("x", payload=bytes(100)), 1)[0])
    assert len(link.encrypt_now(queue, 2 * size)) == 2
    assert len(link.encrypt_now(queue, 2 * size + 1)) == 3
    [(packet_id, left)] = queue.items()
    assert (packet_id, left.taken) == ("f", False)


def test_a_kept_message_that_was_taken_wants_an_answer() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.handle_timer(2.0)
    link.encrypt_now(kept("a"), 1)
    assert link.get_timer() == 12.0
    link.handle_timer(12.0)
    assert link.events() == [LinkClosed(reason=CloseReason.ANSWER_TIMEOUT)]


def test_a_kept_message_that_nobody_has_to_answer_keeps_the_link() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.encrypt_now(OrderedDict(a=Kept(wants_answer=False)), 1)
    assert link.get_timer() == 15.0  # a PING, which is answered
    queue = OrderedDict(b=Kept(), c=Kept(wants_answer=False))
    link.encrypt_now(queue, 1 << 20)
    assert link.get_timer() == 10.0


def test_a_trace_sees_kept_messages_by_their_length() -> None:
    lines: list[tuple[str, str, float]] = []
    link, _ = client_in(ClientState.BOUND, trace=lambda *line: lines.append(line))
    lines.clear()
    link.handle_timer(3.0)
    frames = link.encrypt_now(kept("a", "b"), 1 << 20)
    assert lines == [("out", f"{len(frame)} bytes", 3.0) for frame in frames]
