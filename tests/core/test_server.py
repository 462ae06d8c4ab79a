"""One link as the server sees it."""

from __future__ import annotations

from typing import Any

import pytest
from support.links import (
    ACCOUNT,
    APP_ID,
    CHALLENGE,
    PACKAGE,
    RESOURCE,
    SECURITY_KEY,
    TOKEN,
    UUID,
    ScriptedClient,
    accept,
    breakage,
    commands,
    drained,
    inside,
    names,
    new_server,
    refusal,
    server_in,
)

from mimc_proto import ClientConfig, Framing, LocalProtocolError, ServerConfig, ServerConnection, ServerState
from mimc_proto.events import (
    BadPacket,
    BindRequested,
    ClientConnected,
    CloseReason,
    Ignored,
    LinkClosed,
    PacketReceived,
    PingReceived,
    Unbound,
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
    Packet,
    PacketAck,
    PacketList,
    Pull,
    UcPong,
)
from mimc_proto.server import MOST_COMMANDS, MOST_PONGS

both_framings = pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
PULL = Pull(uuid=UUID, resource=RESOURCE)


def read_one(link: Any, peer: ScriptedClient) -> tuple[Header, bytes]:
    """The only frame that waits."""
    [frame] = peer.read_all(link.data_to_send())
    assert frame.header is not None
    return frame.header, frame.payload


# -------------------------------------------------------------------------------------------------------- handshake


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"challenge": "a"}, "challenge"),
        ({"challenge": ""}, "challenge"),
        ({"challenge": b"0123456789"}, "challenge"),
        ({"challenge": None}, "challenge"),
        ({"challenge": "héllo"}, "challenge"),
        ({"challenge": "c" * 257}, "challenge"),
        ({"first_id": "abc"}, "first_id"),
        ({"first_id": 1.5}, "first_id"),
        ({"host": None}, "host"),
        ({"host": "h" * 256}, "host"),
        ({"now": None}, "now"),
    ],
)
def test_a_link_is_not_made_of_what_a_client_cannot_bear(options: dict[str, Any], where: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        new_server(**options)
    assert caught.value.where == where


@pytest.mark.parametrize("size", [2, 16, 256])
def test_a_challenge_has_2_to_256_characters(size: int) -> None:
    link, peer = new_server(challenge="c" * size), ScriptedClient(challenge="c" * size)
    link.receive_data(peer.conn(), 0.0)
    link.receive_data(peer.bind(), 0.0)
    assert accept(link)


@both_framings
def test_conn_is_answered_with_the_challenge_and_told(framing: Framing) -> None:
    link, peer = server_in(ServerState.HANDSHAKE, framing)
    link.receive_data(peer.conn(model="x"), 0.0)
    header, payload = read_one(link, peer)
    assert (header.cmd, header.id, header.dir_flag, header.chid) == ("CONN", "client_1", Direction.SC_RESP, 9)
    assert ConnAnswer.decode(payload) == ConnAnswer(challenge=CHALLENGE, host="fe-1")
    assert link.events() == [ClientConnected(conn=Conn(version=106, udid="", sdk=33, model="x"))]


def test_the_answer_to_a_conn_without_identity_has_every_field_all_the_same() -> None:
    link, peer = server_in(ServerState.HANDSHAKE)
    link.receive_data(peer.raw(Header(uuid=2, server="xiaomi.com", cmd="CONN", cipher=0).encode(), b"\x08\x6a"), 0.0)
    header, _ = read_one(link, peer)
    expected = Header(
        chid=9, uuid=2, server="xiaomi.com", resource="", cmd="CONN", id="", dir_flag=Direction.SC_RESP, cipher=0
    )
    assert header == expected
    link, peer = server_in(ServerState.HANDSHAKE)
    link.receive_data(peer.raw(Header(cmd="CONN").encode(), b"\x08\x6a"), 0.0)
    header, _ = read_one(link, peer)
    assert header == expected.replace(uuid=0)


@pytest.mark.parametrize("name", [{}, {"host": ""}, {"host": "h" * 255}], ids=["none given", "empty", "longest"])
def test_a_frontend_has_a_name_of_up_to_255_bytes_or_none(name: dict[str, Any]) -> None:
    link, peer = ServerConnection(challenge=CHALLENGE, first_id=0xABC, now=0.0, **name), ScriptedClient()
    link.receive_data(peer.conn(), 0.0)
    assert ConnAnswer.decode(read_one(link, peer)[1]).host == name.get("host", "")


def test_the_udid_of_conn_goes_into_the_body_key() -> None:
    link, peer = new_server(), ScriptedClient(udid="a1b2c3d4e5")
    link.receive_data(peer.conn(), 0.0)
    link.receive_data(peer.bind(), 0.0)
    assert accept(link)
    assert commands(peer, link) == ["CONN", "BIND"]


@pytest.mark.parametrize(
    ("payload", "where"),
    [(b"\xff", "XMMsgConn"), (b'"\x02\xc3\xa9', "CONN: udid"), (b'"\xd8\x04' + b"u" * 600, "CONN: udid")],
    ids=["no protobuf", "not ASCII", "too long"],
)
@both_framings
def test_a_conn_that_gives_no_key_ends_the_link(framing: Framing, payload: bytes, where: str) -> None:
    link, peer = server_in(ServerState.HANDSHAKE, framing)
    assert breakage(link, peer.command("CONN", payload)).where == where
    assert names(link.events()) == ["LinkClosed"]


def test_the_handshake_has_a_deadline() -> None:
    link = new_server(now=5.0, config=ServerConfig(handshake_timeout=2.0))
    link.receive_data(EMPTY_FRAME, 6.0)
    assert link.get_timer() == 7.0


def test_a_link_may_idle_after_conn_until_its_bind_timeout_whatever_it_sends() -> None:
    link, peer = server_in(ServerState.READY, config=ServerConfig(bind_timeout=100.0))
    for now in (50.0, 99.0):
        link.receive_data(peer.command("PING") + peer.command("UBND"), now)
        drained(link)
    assert link.get_timer() == 100.0


# ------------------------------------------------------------------------------------------------------------ login


@both_framings
def test_a_bind_is_put_to_the_service(framing: Framing) -> None:
    link, peer = server_in(ServerState.READY, framing)
    link.receive_data(peer.bind(), 0.0)
    [event] = link.events()
    assert isinstance(event, BindRequested)
    assert (event.uuid, event.resource, event.chid, event.id) == (UUID, RESOURCE, 9, "client_2")
    assert event.bind.token == TOKEN
    assert TOKEN not in repr(event)
    assert event.bind.sig not in repr(event)


def test_the_caches_of_a_login_are_given_back_after_it() -> None:
    link, _ = server_in(ServerState.BINDING)
    busy = len(str(inside(link._cipher)))
    assert accept(link)
    assert len(str(inside(link._cipher))) < busy


def test_an_application_may_have_no_package() -> None:
    link, peer = server_in(ServerState.BINDING)
    assert accept(link, package="")
    drained(link)
    link.send(PacketAck(packet_id="m"), now=0.0)
    [frame] = link.data_to_send()
    assert peer.read_packet(frame).package == ""


@both_framings
def test_an_accepted_bind_is_answered_in_its_own_name(framing: Framing) -> None:
    link, peer = server_in(ServerState.BINDING, framing)
    assert accept(link)
    header, payload = read_one(link, peer)
    assert (header.cmd, header.id, header.uuid, header.resource) == ("BIND", "client_2", UUID, RESOURCE)
    assert payload == BindAnswer(result=True).encode()
    assert link.state is ServerState.BOUND


@pytest.mark.parametrize("missing", [{"chid": None}, {"uuid": None}])
def test_a_bind_without_chid_or_uuid_is_one_of_0(missing: dict[str, Any]) -> None:
    link, peer = server_in(ServerState.READY)
    payload = Bind(token="t", sig="s").encode()
    link.receive_data(peer.frame(peer.header("BIND", **missing), payload), 0.0)
    [event] = link.events()
    assert isinstance(event, BindRequested)
    assert 0 in (event.uuid, event.chid)


@pytest.mark.parametrize(
    ("changes", "payload", "where"),
    [
        ({"resource": None}, b"", "ClientHeader"),
        ({"resource": ""}, b"", "ClientHeader"),
        ({"packet_id": ""}, b"", "ClientHeader"),
        ({"resource": "r" * 257}, b"", "ClientHeader.resource"),
        ({"packet_id": "é" * 129}, b"", "ClientHeader.id"),
        ({}, Bind(token="t", sig="s").encode()[:3], "XMMsgBind.sig"),
        ({}, b"\xff", "XMMsgBind"),
    ],
)
@both_framings
def test_a_bind_that_cannot_be_answered_ends_the_link(
    framing: Framing, changes: dict[str, Any], payload: bytes, where: str
) -> None:
    link, peer = server_in(ServerState.READY, framing)
    frame = peer.frame(peer.header("BIND", **changes), payload or Bind(token="t", sig="s").encode())
    assert breakage(link, frame).where == where


def test_an_answer_repeats_up_to_256_bytes() -> None:
    link, peer = server_in(ServerState.READY, Framing.WEBSOCKET)
    link.receive_data(peer.frame(peer.header("PING", "i" * 256, resource="r" * 256)), 0.0)
    header, _ = read_one(link, peer)
    assert (header.id, header.resource) == ("i" * 256, "r" * 256)


@pytest.mark.parametrize(
    "wrong", [{"uuid": 7}, {"security_key": "AAAAAAAAAAAAAAAAAAAAAA=="}], ids=["another user", "another key"]
)
@both_framings
def test_a_bind_that_is_not_the_users_is_refused_as_an_invalid_token(framing: Framing, wrong: dict[str, Any]) -> None:
    link, peer = server_in(ServerState.BINDING, framing)
    assert accept(link, **wrong) is False
    header, payload = read_one(link, peer)
    answer = BindAnswer.decode(payload)
    assert (header.cmd, answer.result, answer.error_type, answer.error_reason) == (
        "BIND",
        False,
        "auto",
        "invalid-token",
    )
    assert link.state is ServerState.READY


@pytest.mark.parametrize("field", ["token", "kick", "method", "client_attrs", "cloud_attrs", "sig"])
def test_every_signed_field_is_verified(field: str) -> None:
    link, peer = server_in(ServerState.READY)
    forged: dict[str, Any] = {field: "forged"}
    link.receive_data(peer.bind(**forged), 0.0)
    assert accept(link) is False


@pytest.mark.parametrize(
    "changes", [{"kick": ""}, {"kick": None}, {"client_attrs": None}, {"cloud_attrs": None}, {"sso": True}]
)
def test_what_clients_leave_out_after_signing_is_forgiven(changes: dict[str, Any]) -> None:
    link, peer = server_in(ServerState.READY)
    link.receive_data(peer.bind(**changes), 0.0)
    assert accept(link) is True


@pytest.mark.parametrize(("signed", "accepted"), [("XIAOMI-PASS", False), ("", True)])
def test_a_bind_without_a_method_has_to_be_signed_without_one(signed: str, accepted: bool) -> None:
    link, peer = server_in(ServerState.READY)
    link.receive_data(peer.bind(signed={"method": signed}, method=None), 0.0)
    assert accept(link) is accepted


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"security_key": "no base64!"}, "security key"),
        ({"security_key": "A" * 172}, "security key"),
        ({"account": ""}, "account"),
        ({"account": None}, "account"),
        ({"package": 7}, "package"),
        ({"app_id": None}, "app_id"),
        ({"app_id": -1}, "User.app_id"),
        ({"uuid": -1}, "User.uuid"),
        ({"now": "later"}, "now"),
    ],
)
def test_a_user_who_cannot_be_is_the_services_mistake_and_changes_nothing(wrong: dict[str, Any], where: str) -> None:
    link, _ = server_in(ServerState.BINDING)
    assert refusal(link, lambda: accept(link, **wrong)).where == where


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("token-expired", "token-expired"),
        ("invalid-token", "auto"),
        ("single-resource-kick", "single-resource-kick"),
        ("overloaded", "overloaded"),
    ],
)
@both_framings
def test_a_refusal_is_put_so_that_every_client_understands_it(framing: Framing, reason: str, kind: str) -> None:
    link, peer = server_in(ServerState.BINDING, framing)
    link.refuse_bind(reason, "in words", now=0.0)
    header, payload = read_one(link, peer)
    expected = BindAnswer(result=False, error_type=kind, error_reason=reason, error_desc="in words")
    assert (header.id, BindAnswer.decode(payload)) == ("client_2", expected)


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("",), "reason"),
        ((None,), "reason"),
        (("r" * 256,), "reason"),
        (("r", "d" * 1025), "description"),
        (("r", None), "description"),
    ],
)
def test_a_reason_is_a_short_text(arguments: tuple[Any, ...], where: str) -> None:
    link, _ = server_in(ServerState.REBINDING)
    assert refusal(link, lambda: link.refuse_bind(*arguments, now=0.0)).where == where
    assert refusal(link, lambda: link.kick(*arguments, now=0.0)).where == where


@both_framings
def test_a_link_says_how_large_a_body_may_be(framing: Framing) -> None:
    config = ServerConfig(max_frame_unbound=1000, max_frame=50_000)
    for state, most in ((ServerState.HANDSHAKE, 1000), (ServerState.BINDING, 1000), (ServerState.BOUND, 50_000)):
        link, _ = server_in(state, framing, config=config)
        assert link.max_body == most
    link.kick("bye", now=0.0)  # what is still on its way may be as large
    assert link.max_body == 50_000


def test_a_newer_bind_replaces_the_one_that_waits() -> None:
    link, peer = server_in(ServerState.BINDING)
    link.receive_data(peer.bind(), 0.0)
    assert accept(link)
    assert read_one(link, peer)[0].id == "client_3"


def test_a_user_stays_online_while_another_bind_of_his_waits() -> None:
    link, peer = server_in(ServerState.REBINDING)
    link.receive_data(peer.send(PULL), 0.0)
    assert names(link.events()) == ["PacketReceived"]
    assert accept(link)
    link.receive_data(peer.send(PULL), 0.0)
    assert names(link.events()) == ["PacketReceived"]


def test_another_user_may_log_in_on_the_same_link() -> None:
    link, peer = server_in(ServerState.BOUND)
    peer.uuid, peer.resource, peer.security_key = 77, "pc", "AAAAAAAAAAAAAAAAAAAAAA=="
    link.receive_data(peer.bind(), 0.0)
    assert accept(link, uuid=77, account="bob", security_key=peer.security_key)
    link.send(UcPong(), packet_id="p", now=0.0)
    frames = link.data_to_send()
    header = peer.read(frames[1]).header
    assert header is not None
    assert (header.uuid, header.resource) == (77, "pc")
    assert peer.read_packet(frames[1]).body.user.account == "bob"  # type: ignore[union-attr]


# ----------------------------------------------------------------------------------------------------- kick and end


def test_a_reason_may_go_without_a_description_or_with_a_long_one() -> None:
    for description in ("", "d" * 1024):
        arguments = ("r" * 255, description) if description else ("r" * 255,)
        link, peer = server_in(ServerState.BINDING)
        link.refuse_bind(*arguments, now=0.0)
        answer = BindAnswer.decode(read_one(link, peer)[1])
        assert (answer.error_reason, answer.error_desc) == ("r" * 255, description)
        link, peer = server_in(ServerState.BOUND)
        link.kick(*arguments, now=0.0)
        assert Kick.decode(read_one(link, peer)[1]) == Kick(type="r" * 255, reason="r" * 255, desc=description)


def test_packets_that_wait_go_out_before_a_refusal_and_with_the_key_of_their_user() -> None:
    link, peer = server_in(ServerState.REBINDING)
    link.send(PacketAck(packet_id="m"), now=0.0)
    link.refuse_bind("overloaded", now=0.0)
    link.receive_data(peer.bind(), 0.0)
    assert accept(link, security_key=peer.security_key)
    first, *rest = link.data_to_send()
    assert isinstance(peer.read_packet(first).body, PacketAck)
    assert [peer.read(frame).command for frame in rest] == ["BIND", "BIND"]


def test_after_a_refusal_the_link_has_its_time_to_bind_again_from_then_on() -> None:
    link, _ = server_in(ServerState.REBINDING)
    link.refuse_bind("overloaded", now=50.0)
    assert link.get_timer() == 50.0 + link.config.bind_timeout


@both_framings
def test_a_kick_has_its_reason_as_type_and_as_reason(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    link.kick("single-resource-kick", "another device", now=0.0)
    header, payload = read_one(link, peer)
    assert (header.cmd, header.uuid, header.resource) == ("KICK", UUID, RESOURCE)
    assert (header.dir_flag, header.id) == (Direction.SC_ONEWAY, f"{0xABD:012x}")
    assert Kick.decode(payload) == Kick(
        type="single-resource-kick", reason="single-resource-kick", desc="another device"
    )
    assert link.state is ServerState.READY


def test_a_kick_goes_to_the_user_who_is_online_not_to_the_one_who_would_be() -> None:
    link, peer = server_in(ServerState.BOUND)
    peer.uuid, peer.resource = 77, "pc"
    link.receive_data(peer.bind(), 0.0)
    link.kick("token-expired", now=0.0)
    header, _ = read_one(link, peer)
    assert (header.uuid, header.resource) == (UUID, RESOURCE)


def test_who_waits_for_the_answer_to_bind_can_be_kicked_too() -> None:
    link, peer = server_in(ServerState.BINDING)
    link.kick("maintenance", now=0.0)
    assert read_one(link, peer)[0].uuid == UUID


def test_packets_that_wait_go_out_before_the_kick() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.send(PacketAck(packet_id="m"), now=0.0)
    link.kick("token-expired", now=0.0)
    assert commands(peer, link) == ["SECMSG", "KICK"]


def test_after_a_kick_the_link_has_its_time_to_bind_again() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.command("PING"), 1000.0)
    link.kick("token-expired", now=1000.0)
    assert link.get_timer() == 1240.0
    link.handle_timer(1240.0)
    assert [event for event in link.events() if isinstance(event, LinkClosed)] == [
        LinkClosed(reason=CloseReason.LOGIN_TIMEOUT)
    ]


@both_framings
def test_ubnd_is_answered_with_an_empty_kick(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    link.receive_data(peer.command("UBND"), 0.0)
    header, payload = read_one(link, peer)
    assert (header.cmd, header.id, header.dir_flag, payload) == ("KICK", "client_3", Direction.SC_RESP, b"")
    assert link.events()[0] == Unbound()


def test_after_ubnd_a_tcp_link_lives_on() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.command("UBND") + peer.command("PING") + peer.bind(), 0.0)
    assert names(link.events()) == ["Unbound", "PingReceived", "BindRequested"]
    assert accept(link)


def test_after_ubnd_a_websocket_link_is_flushed_and_closed() -> None:
    link, peer = server_in(ServerState.BOUND, Framing.WEBSOCKET, config=ServerConfig(close_delay=3.0))
    link.receive_data(peer.command("UBND"), 5.0)
    assert link.events() == [Unbound(), LinkClosed(reason=CloseReason.LOGGED_OUT)]
    assert (link.state, link.close_expected(), link.get_timer()) == (ServerState.CLOSING, 8.0, 8.0)
    assert commands(peer, link) == ["KICK"]


def test_close_flushes_what_waits() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.send(PacketAck(packet_id="m"), now=0.0)
    link.close(now=5.0)
    link.close(now=5.5)
    assert (link.state, link.close_expected()) == (ServerState.CLOSING, 6.0)
    assert link.events() == [LinkClosed(reason=CloseReason.LOCAL)]
    assert commands(peer, link) == ["SECMSG"]


def test_after_a_protocol_error_what_waits_is_flushed() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.send(PacketAck(packet_id="m"), now=0.0)
    breakage(link, b"GET / HTTP/1.1\r\n", 5.0)
    assert (link.state, link.close_expected()) == (ServerState.CLOSING, 6.0)
    assert commands(peer, link) == ["SECMSG"]


def test_time_that_passes_without_a_deadline_does_nothing() -> None:
    link, _ = server_in(ServerState.BOUND)
    before = inside(link)
    link.handle_timer(239.9)
    assert inside(link) == before


@both_framings
def test_a_silent_link_is_closed_and_a_ping_each_180_seconds_is_not_silence(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    for now in (180.0, 360.0, 540.0):
        link.handle_timer(now)
        link.receive_data(peer.command("PING"), now)
    assert link.state is ServerState.BOUND
    link.events()
    link.handle_timer(780.0)
    assert link.events() == [LinkClosed(reason=CloseReason.IDLE_TIMEOUT)]


# ------------------------------------------------------------------------------------------------------------ pings


def test_on_tcp_every_ping_is_answered_with_an_empty_frame() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.command("PING") + EMPTY_FRAME, 0.0)
    assert link.data_to_send() == [EMPTY_FRAME, EMPTY_FRAME]
    assert link.events() == [PingReceived(), PingReceived()]


def test_a_ping_has_the_caches_of_an_idle_link_given_back() -> None:
    link, peer = server_in(ServerState.BOUND)
    for size in (10, 500, 2000):
        link.send(PacketAck(packet_id="m", error_message="e" * size), now=0.0)
    drained(link)
    busy = len(str(inside(link._cipher)))
    link.receive_data(peer.command("PING"), 0.0)
    assert len(str(inside(link._cipher))) < busy


def test_on_websocket_a_ping_is_answered_with_its_id() -> None:
    link, peer = server_in(ServerState.BOUND, Framing.WEBSOCKET)
    link.receive_data(peer.command("PING"), 0.0)
    header, payload = read_one(link, peer)
    assert (header.cmd, header.id, payload) == ("PING", "client_3", b"")


@both_framings
def test_a_ping_may_come_before_everything(framing: Framing) -> None:
    link, peer = server_in(ServerState.HANDSHAKE, framing)
    link.receive_data(peer.command("PING", uuid=0), 0.0)
    assert len(link.data_to_send()) == 1


@both_framings
def test_pongs_do_not_heap_up_for_a_peer_that_does_not_read(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    for _ in range(1000):
        link.receive_data(peer.command("PING"), 0.0)
    assert link.pending == MOST_PONGS
    assert len(link.events()) == 1000


# ----------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("command", ["CONN", "UBND", "PING"])
@pytest.mark.parametrize(
    ("changes", "where"),
    [({"resource": "r" * 257}, "ClientHeader.resource"), ({"packet_id": "i" * 257}, "ClientHeader.id")],
)
def test_what_an_answer_has_to_repeat_is_short(command: str, changes: dict[str, Any], where: str) -> None:
    link, peer = server_in(ServerState.HANDSHAKE if command == "CONN" else ServerState.READY, Framing.WEBSOCKET)
    frame = peer.frame(peer.header(command, **{"packet_id": "1", "resource": "r", **changes}))
    assert breakage(link, frame).where == where


@both_framings
def test_packets_that_wait_while_another_user_logs_in_stay_those_of_the_first(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    link.send(PacketAck(packet_id="m"), now=0.0)
    other = "AAAAAAAAAAAAAAAAAAAAAA=="
    peer.uuid, peer.resource, peer.security_key = 77, "pc", other
    link.receive_data(peer.bind(), 0.0)
    assert accept(link, uuid=77, account="bob", security_key=other)
    waiting, answer = link.data_to_send()
    assert peer.read(answer).command == "BIND"
    header = peer.read(waiting).header
    assert header is not None
    assert (header.uuid, header.resource) == (UUID, RESOURCE)
    peer.security_key = SECURITY_KEY
    assert peer.read_packet(waiting).body.packet_id == "m"  # type: ignore[union-attr]


@pytest.mark.parametrize("end", ["kick", "ubnd", "refusal"])
def test_nobody_is_online_after_the_end_of_a_session(end: str) -> None:
    link, peer = server_in(ServerState.BOUND)
    if end == "kick":
        link.kick("token-expired", now=0.0)
    elif end == "ubnd":
        link.receive_data(peer.command("UBND"), 0.0)
    else:
        link.receive_data(peer.bind(), 0.0)
        link.refuse_bind("token-expired", now=0.0)
    drained(link)
    link.receive_data(peer.command("UBND", uuid=5, resource="r"), 0.0)
    header, _ = read_one(link, peer)
    assert (header.uuid, header.resource) == (5, "r")


@both_framings
def test_answers_are_in_the_name_of_the_user_who_is_online(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    link.receive_data(peer.command("UBND", uuid=0, resource=None), 0.0)
    header, _ = read_one(link, peer)
    assert (header.uuid, header.resource) == (UUID, RESOURCE)


def test_before_login_answers_are_in_the_name_the_request_gives() -> None:
    link, peer = server_in(ServerState.READY)
    link.receive_data(peer.command("UBND", uuid=5, resource="r"), 0.0)
    header, _ = read_one(link, peer)
    assert (header.uuid, header.resource) == (5, "r")


@pytest.mark.parametrize("state", [ServerState.READY, ServerState.BOUND])
def test_a_peer_that_goes_on_asking_without_reading_is_cut_off(state: ServerState) -> None:
    link, peer = server_in(state)
    for _ in range(MOST_COMMANDS):
        link.receive_data(peer.command("UBND"), 0.0)
    error = breakage(link, peer.command("UBND"))
    assert str(error) == "UBND: expected it to read what it asked for, got another after 64"
    assert link.pending == MOST_COMMANDS


def test_logins_do_not_heap_up_either() -> None:
    link, peer = server_in(ServerState.READY)
    for _ in range(MOST_COMMANDS):
        link.receive_data(peer.bind(), 0.0)
        link.refuse_bind("invalid-token", now=0.0)
    breakage(link, peer.bind())


def test_a_peer_that_reads_may_ask_for_ever() -> None:
    link, peer = server_in(ServerState.READY)
    for _ in range(5 * MOST_COMMANDS):
        link.receive_data(peer.bind(), 0.0)
        link.refuse_bind("invalid-token", now=0.0)
        drained(link)
    assert link.state is ServerState.READY


def test_verbs_have_room_however_small_the_limits_are() -> None:
    link, peer = server_in(ServerState.HANDSHAKE, config=ServerConfig(max_pending=1, max_pending_bytes=1))
    link.receive_data(EMPTY_FRAME * 50 + peer.conn(), 0.0)
    link.receive_data(peer.bind(), 0.0)
    assert accept(link)
    link.kick("token-expired", now=0.0)
    link.receive_data(peer.bind(), 0.0)
    link.refuse_bind("token-expired", now=0.0)
    assert [command for command in commands(peer, link) if command] == ["CONN", "BIND", "KICK", "BIND"]


def test_repeated_binds_that_wait_are_one() -> None:
    link, peer = server_in(ServerState.READY)
    for _ in range(1000):
        link.receive_data(peer.bind(), 0.0)
        link.events()
    assert link.pending == 0
    assert link.state is ServerState.BINDING


# ---------------------------------------------------------------------------------------------------------- packets


@both_framings
def test_a_packet_comes_with_the_id_of_its_header(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    link.receive_data(peer.send(PULL, "x-9"), 0.0)
    assert link.events() == [
        PacketReceived(id="x-9", packet=Packet(packet_id="x-9", package=PACKAGE, body=PULL.replace(app_id=None)))
    ]


@pytest.mark.parametrize("cipher", [0, None, 2])
def test_a_payload_is_plain_unless_the_header_says_cipher_1(cipher: int | None) -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.send(PULL, cipher=cipher), 0.0)
    assert names(link.events()) == ["PacketReceived"]


def test_a_plain_packet_needs_no_id() -> None:
    link, peer = server_in(ServerState.BOUND)
    payload = Packet(body=PULL).encode()
    link.receive_data(peer.frame(peer.header("SECMSG", cipher=0).replace(id=None), payload), 0.0)
    [event] = link.events()
    assert isinstance(event, PacketReceived)
    assert event.id == ""


def test_a_packet_that_cannot_be_read_is_told() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.send(b"\xff", "x-9"), 0.0)
    [event] = link.events()
    assert isinstance(event, BadPacket)
    assert event.header_id == "x-9"


def test_a_packet_of_somebody_who_is_offline_is_ignored() -> None:
    link, peer = server_in(ServerState.READY)
    link.receive_data(peer.send(PULL, "x-9"), 0.0)
    [event] = link.events()
    assert isinstance(event, Ignored)
    assert (event.command, event.id) == ("SECMSG", "x-9")


@both_framings
def test_what_the_server_sends_is_encrypted_and_numbered(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    for n in range(3):
        link.send(PacketAck(packet_id=f"m{n}"), now=0.0)
    frames = link.data_to_send()
    headers = [frame.header for frame in peer.read_all(frames)]
    assert [header.id for header in headers if header] == [f"{0xABC + n:012x}" for n in (1, 2, 3)]
    assert all(header.cipher == 1 and header.dir_flag is Direction.SC_ONEWAY for header in headers if header)
    assert [peer.read_packet(frame).body.packet_id for frame in frames] == ["m0", "m1", "m2"]  # type: ignore[union-attr]


@pytest.mark.parametrize("first", [-1, 0, 1 << 47, (1 << 48) - 1, 1 << 60])
def test_ids_are_12_hex_digits_from_wherever_they_start(first: int) -> None:
    link, peer = server_in(ServerState.BOUND, first_id=first)
    link.send(PacketAck(packet_id="m"), now=0.0)
    header, _ = read_one(link, peer)
    assert header.id == f"{(first + 1) % (1 << 48):012x}"


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"body": PacketAck(packet_id="")}, "PacketAck.packet_id"),
        ({"body": PacketList()}, "PacketList.packets"),
        ({"body": Pull()}, "send"),
        ({"body": None}, "send"),
        ({"body": UcPong()}, "packet_id"),
        ({"body": UcPong(), "packet_id": "p", "timestamp": "now"}, "Packet.timestamp"),
        ({"body": PacketAck(packet_id="m"), "now": "now"}, "now"),
    ],
)
def test_what_a_client_cannot_bear_is_refused_and_changes_nothing(arguments: dict[str, Any], where: str) -> None:
    link, _ = server_in(ServerState.BOUND)
    assert refusal(link, lambda: link.send(**{"now": 0.0, **arguments})).where == where


def test_a_full_queue_refuses_and_changes_nothing() -> None:
    link, peer = server_in(ServerState.BOUND, config=ServerConfig(max_pending=2))
    for n in range(2):
        link.send(PacketAck(packet_id=f"m{n}"), now=0.0)
    refusal(link, lambda: link.send(PacketAck(packet_id="m2"), now=0.0))
    drained(link)
    link.send(PacketAck(packet_id="m2"), now=0.0)
    header, _ = read_one(link, peer)
    assert header.id == f"{0xABC + 3:012x}"


def test_groups_and_accounts_are_the_services_business() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.send(UcPong(), packet_id="p1", now=0.0, timestamp=1526354160772)
    [frame] = link.data_to_send()
    packet = peer.read_packet(frame)
    assert (packet.packet_id, packet.timestamp, packet.package) == ("p1", 1526354160772, PACKAGE)
    user = packet.body.user  # type: ignore[union-attr]
    assert (user.app_id, user.account, user.uuid, user.resource) == (APP_ID, ACCOUNT, UUID, RESOURCE)
    assert Group(app_id=APP_ID) != user


def test_the_configuration_is_there_to_be_read() -> None:
    config = ServerConfig(close_delay=9.0)
    assert new_server(config=config).config is config
    assert new_server().config == ServerConfig()


def test_nothing_shows_the_challenge_or_the_key() -> None:
    link, _ = server_in(ServerState.BOUND)
    assert CHALLENGE not in repr(link)
    assert SECURITY_KEY not in repr(link)


def test_a_handshake_that_does_not_come_ends_the_link() -> None:
    link = new_server()
    link.handle_timer(10.0)
    assert link.events() == [LinkClosed(reason=CloseReason.HANDSHAKE_TIMEOUT)]
    assert link.get_timer() is None


def test_a_link_that_cannot_flush_is_closed_in_the_end() -> None:
    link, _ = server_in(ServerState.CLOSING)
    assert link.get_timer() == 1.0
    link.handle_timer(1.0)
    assert (link.state, link.events()) == (ServerState.CLOSED, [])


@both_framings
def test_a_command_that_nobody_knows_is_ignored_but_not_as_the_first(framing: Framing) -> None:
    link, peer = server_in(ServerState.READY, framing)
    link.receive_data(peer.command("NOTIFY", b"12"), 0.0)
    assert link.events() == [Ignored(command="NOTIFY", id="client_2", size=2)]
    link, peer = server_in(ServerState.HANDSHAKE, framing)
    breakage(link, peer.command("NOTIFY"))


def test_commands_count_until_the_queue_is_empty() -> None:
    link, peer = server_in(ServerState.READY)
    for _ in range(MOST_COMMANDS):
        link.receive_data(peer.command("UBND"), 0.0)
    link.data_to_send(1)
    assert link.pending == MOST_COMMANDS - 1
    breakage(link, peer.command("UBND"))


def test_a_clients_settings_are_none_of_a_server() -> None:
    with pytest.raises(LocalProtocolError, match=r"^config: expected a ServerConfig, got a ClientConfig"):
        new_server(config=ClientConfig())


def test_the_token_is_forgotten_when_its_user_is_in() -> None:
    link, _ = server_in(ServerState.BOUND)
    assert TOKEN not in str(inside(link))
