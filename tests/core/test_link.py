"""What both roles of a link have in common: input, output, time, and the end."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.links import (
    ME,
    PREFIX,
    RESOURCE,
    SECURITY_KEY,
    TOKEN,
    ScriptedServer,
    accept,
    bound_pair,
    breakage,
    client_in,
    commands,
    drained,
    exchange,
    inside,
    names,
    new_client,
    new_server,
    refusal,
    server_in,
)

from mimc_proto import (
    ClientConfig,
    ClientState,
    Framing,
    LocalProtocolError,
    QueueFull,
    ServerConfig,
    ServerState,
)
from mimc_proto._checks import LATEST
from mimc_proto._link import MOST_LEARNED, Link
from mimc_proto.events import BadPacket, CloseReason, Ignored, LinkClosed, PacketReceived, PongReceived
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import PacketAck, Pull, SequenceAck, UcPong, UnknownBody

PULL = Pull(uuid=1, resource="r")
both_framings = pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)

# ------------------------------------------------------------------------------------------------------------ input


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@both_framings
def test_received_bytes_may_be_of_any_bytes_type(framing: Framing, kind: Any) -> None:
    link, peer = client_in(ClientState.READY, framing)
    link.receive_data(kind(peer.answer("PING")), 1.0)
    assert link.events() == [PongReceived()]


@pytest.mark.parametrize("data", ["text", None, 7, [1, 2]])
def test_what_is_no_bytes_is_the_callers_mistake(data: Any) -> None:
    link, _ = client_in(ClientState.BOUND)
    error = refusal(link, lambda: link.receive_data(data, 1.0))
    assert str(error) == f"receive_data: expected bytes, got {type(data).__name__}"


def test_a_stream_may_be_cut_anywhere() -> None:
    link, peer = client_in(ClientState.BOUND)
    stream = peer.answer("PING") + EMPTY_FRAME + peer.push(PacketAck(packet_id="1"))
    for position in range(len(stream)):
        link.receive_data(stream[position : position + 1], 1.0)
    assert names(link.events()) == ["PongReceived", "PongReceived", "AckReceived"]


def test_no_bytes_at_all_are_no_event_on_a_stream() -> None:
    link, _ = client_in(ClientState.BOUND)
    before = inside(link)
    link.receive_data(b"", 1.0)
    assert inside(link) == before


@pytest.mark.parametrize("cut", [slice(0, 0), slice(0, -1)], ids=["empty", "cut off"])
def test_on_websocket_a_message_is_a_whole_packet(cut: slice) -> None:
    link, peer = client_in(ClientState.BOUND, Framing.WEBSOCKET)
    breakage(link, peer.answer("PING")[cut])
    assert link.state is ClientState.CLOSED


def test_on_websocket_a_second_packet_in_a_message_is_an_error() -> None:
    link, peer = client_in(ClientState.BOUND, Framing.WEBSOCKET)
    error = breakage(link, peer.answer("PING") * 2)
    assert "expected one packet" in str(error)


def test_the_good_frames_before_a_broken_one_are_reported_and_none_after_it() -> None:
    link, peer = client_in(ClientState.BOUND)
    broken = bytearray(peer.answer("PING"))
    broken[-1] ^= 1
    good = peer.push(PacketAck(packet_id="1"))
    error = breakage(link, good + bytes(broken) + good)
    assert error.where == "checksum"
    assert names(link.events()) == ["AckReceived", "LinkClosed"]


def test_after_an_error_everything_is_ignored_and_nothing_is_raised_or_told_again() -> None:
    link, peer = client_in(ClientState.BOUND)
    breakage(link, b"not MIMC")
    link.events()
    before = inside(link)
    link.receive_data(b"not MIMC", 2.0)
    link.receive_data(peer.push(PacketAck(packet_id="1")), 2.0)
    link.receive_eof(2.0)
    link.send_failed(2.0)
    link.handle_timer(1e9)
    assert inside(link) == before
    assert link.events() == []


def test_what_follows_the_end_in_the_same_read_is_ignored() -> None:
    link, peer = client_in(ClientState.UNBINDING)
    link.receive_data(peer.kick() + peer.answer("PING") + b"not MIMC", 1.0)
    assert names(link.events()) == ["LinkClosed"]


def test_a_verb_that_does_not_fit_says_so() -> None:
    link, _ = client_in(ClientState.READY)
    assert str(refusal(link, lambda: link.unbind(0.0))) == "unbind() is not possible in state READY"


@pytest.mark.parametrize("command", ["KICK", "SECMSG"])
def test_a_packet_that_cannot_be_meant_says_so(command: str) -> None:
    link, peer = client_in(ClientState.HANDSHAKE)
    assert str(breakage(link, peer.answer(command))) == f"{command}: unexpected {command} in state HANDSHAKE"


def test_a_link_ends_once_even_if_it_is_lost_while_it_closes() -> None:
    link, _ = server_in(ServerState.BOUND)
    link.close(0.0)
    link.receive_eof(0.5)
    assert link.events() == [LinkClosed(reason=CloseReason.LOCAL)]
    assert (link.state, link.close_expected()) == (ServerState.CLOSED, 0.5)


@pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
@pytest.mark.parametrize(
    ("header", "where"),
    [(b"", "ClientHeader.cmd"), (b"\x08\x09", "ClientHeader.cmd"), (b"*\x01\xff", "ClientHeader.cmd"), (b"\xff", "")],
    ids=["empty", "without a command", "no UTF-8", "no protobuf"],
)
def test_a_header_that_cannot_be_read_ends_the_link(framing: Framing, header: bytes, where: str) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    error = breakage(link, peer.raw(header))
    assert error.where.startswith(where or "ClientHeader")
    assert [event.reason for event in link.events() if isinstance(event, LinkClosed)] == [CloseReason.PROTOCOL_ERROR]


@pytest.mark.parametrize("body", [b"\0", b"\0\2\0\0\0\0\0", b"\0\3\0\0\0\0\0\0", b"\0\2\0\1\0\0\0\1*"])
def test_a_body_that_does_not_add_up_ends_the_link(body: bytes) -> None:
    link, peer = client_in(ClientState.BOUND)
    assert breakage(link, peer.raw_body(body)).where == "body"


@both_framings
def test_the_contents_of_a_secmsg_are_not_fatal(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    link.receive_data(peer.push(b"\xff\xff", "x-1"), 1.0)
    [event] = link.events()
    assert isinstance(event, BadPacket)
    assert (event.header_id, event.packet_id, event.inside_list) == ("x-1", None, False)
    assert link.state is ClientState.BOUND


@both_framings
def test_a_secmsg_without_an_id_has_no_key(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    link.receive_data(peer.frame(peer.header("SECMSG", ""), b"abc"), 1.0)
    [event] = link.events()
    assert isinstance(event, BadPacket)
    assert str(event.error) == "ClientHeader.id: expected an id of 1 to 239 bytes, got 0"


@pytest.mark.parametrize(("size", "readable"), [(239, True), (240, False)])
def test_an_id_is_as_long_as_a_key_of_256_bytes_lets_it(size: int, readable: bool) -> None:
    link, peer = client_in(ClientState.BOUND)
    key = peer.payload_key("i" * size)
    assert (len(key) <= 256) is readable
    frame = peer.push(PULL, "i" * 239) if readable else peer.frame(peer.header("SECMSG", "i" * size), b"abc")
    link.receive_data(frame, 1.0)
    [event] = link.events()
    if readable:
        assert isinstance(event, PacketReceived)
    else:
        assert isinstance(event, BadPacket)
        assert event.error.where == "ClientHeader.id"


def test_the_ids_of_a_row_of_secmsgs_are_all_told() -> None:
    link, peer = client_in(ClientState.BOUND)
    ids = ["a", "b" * 127, "c" * 128, "d", "", "e"]
    for packet_id in ids:
        if packet_id:
            link.receive_data(peer.push(UnknownBody(type=99), packet_id), 1.0)
        else:
            link.receive_data(peer.frame(peer.header("SECMSG", ""), b""), 1.0)
    events = link.events()
    assert [event.id for event in events if isinstance(event, PacketReceived)] == [name for name in ids if name]
    assert names(events).index("BadPacket") == 4


def test_headers_of_other_shapes_are_read_between_secmsgs_of_one_shape() -> None:
    link, peer = client_in(ClientState.BOUND)
    usual = peer.push(PacketAck(packet_id="1"), "a")
    other = peer.frame(
        peer.header("SECMSG", "b", subcmd="", err_code=1), peer.read(peer.push(UnknownBody(type=99), "b")).payload
    )
    for frame in (usual, other, usual, peer.answer("PING"), usual):
        link.receive_data(frame, 1.0)
    assert names(link.events()) == ["AckReceived", "PacketReceived", "AckReceived", "PongReceived", "AckReceived"]


def test_a_plain_secmsg_after_encrypted_ones_is_read_as_plain_by_the_server() -> None:
    link, peer = server_in(ServerState.BOUND)
    for cipher in (1, 0, 1, 0, 0):
        link.receive_data(peer.send(PULL, cipher=cipher), 1.0)
    assert names(link.events()) == ["PacketReceived"] * 5


def test_an_ignored_packet_is_told_by_its_command_id_and_size() -> None:
    link, peer = client_in(ClientState.READY)
    link.receive_data(peer.frame(peer.header("WHAT", "7"), b"12345"), 1.0)
    link.receive_data(peer.frame(peer.header("SECMSG", "8"), b"123"), 1.0)
    assert link.events() == [Ignored(command="WHAT", id="7", size=5), Ignored(command="SECMSG", id="8", size=3)]


# ----------------------------------------------------------------------------------------------------------- limits


def test_a_length_of_a_gibibyte_is_refused_at_the_eighth_byte() -> None:
    link = new_server()
    link.receive_data(bytes.fromhex("c2fe000540"), 0.0)
    link.receive_data(bytes.fromhex("0000"), 0.0)
    error = breakage(link, b"\0")
    assert str(error) == "frame at byte 4: expected a body of at most 4096 bytes, got 1073741824"


@pytest.mark.parametrize(("size", "accepted"), [(4096, True), (4097, False)])
@both_framings
def test_before_login_a_servers_client_may_send_4_kib(framing: Framing, size: int, accepted: bool) -> None:
    link, peer = server_in(ServerState.READY, framing)
    header = peer.header("WHAT", "1")
    overhead = len(header.encode()) + (8 if framing is Framing.TCP else 0)
    frame = peer.frame(header, bytes(size - overhead))
    if accepted:
        link.receive_data(frame, 0.0)
        assert names(link.events()) == ["Ignored"]
    else:
        assert f"at most 4096 bytes, got {size}" in str(breakage(link, frame))


@pytest.mark.parametrize(("size", "accepted"), [(65536, True), (65537, False)])
@both_framings
def test_after_login_a_servers_client_may_send_64_kib(framing: Framing, size: int, accepted: bool) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    header = peer.header("WHAT", "1")
    overhead = len(header.encode()) + (8 if framing is Framing.TCP else 0)
    frame = peer.frame(header, bytes(size - overhead))
    if accepted:
        link.receive_data(frame, 0.0)
        assert names(link.events()) == ["Ignored"]
    else:
        assert f"at most 65536 bytes, got {size}" in str(breakage(link, frame))


def test_a_refused_login_does_not_raise_the_limit() -> None:
    link, peer = server_in(ServerState.BINDING)
    link.refuse_bind("invalid-token", now=0.0)
    breakage(link, peer.command("WHAT", bytes(5000)))


def test_the_rest_of_an_unfinished_frame_is_all_that_is_kept() -> None:
    link, peer = server_in(ServerState.BOUND)
    frame = peer.command("WHAT", bytes(60_000))
    for _ in range(20):
        link.receive_data(frame[:30_000], 0.0)
        link.receive_data(frame[30_000:] + frame[:1], 0.0)
        link.receive_data(frame[1:], 0.0)
        link.events()
        assert link._decoder.pending == 0


@both_framings
def test_no_more_packets_wait_than_the_configuration_allows(framing: Framing) -> None:
    link, _ = client_in(ClientState.BOUND, framing, config=ClientConfig(max_pending=3))
    for _ in range(3):
        link.send_p2p("bob", b"hi", now=0.0)
    error = refusal(link, lambda: link.send_p2p("bob", b"hi", now=0.0))
    assert isinstance(error, QueueFull)
    assert error.where == "send"
    assert "max_pending=3" in str(error)
    assert link.pending == 3
    drained(link)
    link.send_p2p("bob", b"hi", now=0.0)
    assert link.pending == 1


def test_no_more_bytes_wait_than_the_configuration_allows() -> None:
    link, _ = client_in(ClientState.BOUND, config=ClientConfig(max_pending_bytes=1000))
    link.send_p2p("bob", bytes(700), now=0.0)
    error = refusal(link, lambda: link.send_p2p("bob", bytes(700), now=0.0))
    assert isinstance(error, QueueFull)
    assert "max_pending_bytes=1000" in str(error)
    drained(link)
    link.send_p2p("bob", bytes(700), now=0.0)


def test_the_last_packet_may_fill_the_queue_to_its_last_byte() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"hi", now=0.0, packet_id="m1")
    [frame] = peer.read_all(link.data_to_send())
    link, _ = client_in(ClientState.BOUND, config=ClientConfig(max_pending_bytes=2 * len(frame.payload)))
    for packet_id in ("m1", "m2"):
        link.send_p2p("bob", b"hi", now=0.0, packet_id=packet_id)
    assert link.pending == 2
    assert isinstance(refusal(link, lambda: link.send_p2p("bob", b"", now=0.0)), QueueFull)


def test_a_packet_that_never_fits_is_refused_by_an_empty_queue() -> None:
    link, _ = client_in(ClientState.BOUND, config=ClientConfig(max_pending_bytes=100))
    link.receive_data(EMPTY_FRAME, 9.0)
    refusal(link, lambda: link.send_p2p("bob", bytes(700), now=9.0))
    assert link.data_to_send() == []
    assert link.get_timer() == 15.0  # nothing was sent: the next PING is due as before


def test_bytes_are_counted_down_as_they_are_taken_whatever_form_they_have() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.send_p2p("bob", bytes(700), now=0.0)
    link.send_p2p("bob", bytes(700), now=0.0)
    link.data_to_send(1)
    link.unbind(now=0.0)
    assert link.pending == 2
    link.data_to_send(1)
    link.data_to_send(1)
    assert (link.pending, link._queue_size) == (0, 0)


# ----------------------------------------------------------------------------------------------------------- output


@both_framings
def test_each_item_to_send_is_one_whole_frame(framing: Framing) -> None:
    link, peer = server_in(ServerState.BOUND, framing)
    for n in range(3):
        link.send(PacketAck(packet_id=f"m{n}"), now=0.0)
    assert [peer.read_packet(frame).body.packet_id for frame in link.data_to_send()] == ["m0", "m1", "m2"]  # type: ignore[union-attr]


def test_control_frames_come_first() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"hi", now=0.0)
    link.ping(now=0.0)
    assert commands(peer, link) == ["PING", "SECMSG"]


@pytest.mark.parametrize("most", [1, 2, 300, 301, 10_000])
def test_taking_stops_once_enough_bytes_are_taken(most: int) -> None:
    link, _ = client_in(ClientState.BOUND)
    for _ in range(20):
        link.send_p2p("bob", b"hi", now=0.0)
    while frames := link.data_to_send(most):
        sizes = [len(frame) for frame in frames]
        assert sum(sizes[:-1]) < most
        assert not link.pending or sum(sizes) >= most


def test_nothing_more_is_taken_when_just_enough_bytes_are() -> None:
    link, _ = client_in(ClientState.BOUND)
    for packet_id in ("m1", "m2", "m3"):
        link.send_p2p("bob", b"hi", now=0.0, packet_id=packet_id)
    [frame] = link.data_to_send(1)
    assert len(link.data_to_send(len(frame))) == 1


def test_control_frames_are_taken_together_and_count() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.send_p2p("bob", b"hi", now=0.0)
    link.ping(now=0.0)
    link.ping(now=0.0)
    assert [peer.read(frame).command for frame in link.data_to_send(1)] == ["PING", "PING"]
    assert link.pending == 1


@pytest.mark.parametrize("most", [0, -1])
def test_fewer_than_one_byte_cannot_be_asked_for(most: int) -> None:
    link, _ = client_in(ClientState.HANDSHAKE)
    assert refusal(link, lambda: link.data_to_send(most)).where == "max_bytes"


def test_pending_counts_frames_and_packets() -> None:
    link, _ = client_in(ClientState.BOUND)
    assert link.pending == 0
    link.ping(now=0.0)
    link.send_p2p("bob", b"hi", now=0.0)
    assert link.pending == 2


def test_packets_are_not_lost_or_reordered_when_keys_change_under_them() -> None:
    link, peer = server_in(ServerState.REBINDING)
    link.send(PacketAck(packet_id="before"), now=0.0)
    assert accept(link)
    link.send(PacketAck(packet_id="after"), now=0.0)
    first, second, third = link.data_to_send()
    assert peer.read_packet(first).body.packet_id == "before"  # type: ignore[union-attr]
    assert peer.read(second).command == "BIND"
    assert peer.read_packet(third).body.packet_id == "after"  # type: ignore[union-attr]


def test_a_queue_can_be_sealed_twice() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.send(PacketAck(packet_id="m"), now=0.0)
    link.receive_data(peer.command("UBND"), 0.0)
    link.receive_data(peer.command("UBND"), 0.0)
    assert commands(peer, link) == ["SECMSG", "KICK", "KICK"]


@both_framings
def test_two_links_understand_each_other(framing: Framing) -> None:
    client, server = bound_pair(framing)
    client.send_p2p("bob", b"hi", now=0.0, packet_id="m1")
    exchange(client, server)
    [event] = server.events()
    assert isinstance(event, PacketReceived)
    assert (event.id, event.packet.packet_id) == ("m1", "m1")
    server.send(UcPong(), packet_id="p1", now=0.0)
    exchange(client, server)
    assert names(client.events()) == ["PacketReceived"]


# ---------------------------------------------------------------------------------------------------------- the end


def test_the_bytes_of_a_frame_that_was_cut_off_by_the_end_are_counted() -> None:
    link, peer = client_in(ClientState.BOUND)
    link.receive_data(peer.answer("PING")[:-3], 1.0)
    link.receive_eof(2.0)
    assert link.events() == [LinkClosed(reason=CloseReason.EOF, unread=len(peer.answer("PING")) - 3)]


def test_a_link_forgets_its_keys_and_buffers_at_the_end() -> None:
    link, peer = server_in(ServerState.BOUND)
    link.receive_data(peer.command("WHAT", bytes(5000))[:3000], 1.0)
    link.send(PacketAck(packet_id="m"), now=0.0)
    link.receive_eof(2.0)
    assert (link._secret, link._cipher, link._queue, link._decoder.pending) == (None, None, None, 0)


def test_while_a_link_lives_it_need_not_be_closed() -> None:
    link, _ = client_in(ClientState.BOUND)
    assert link.close_expected() is None


def test_a_link_whose_end_was_an_error_is_to_be_closed_at_once_by_the_client() -> None:
    link, _ = client_in(ClientState.BOUND)
    breakage(link, b"not MIMC", 7.0)
    assert (link.close_expected(), link.get_timer()) == (7.0, None)


# ------------------------------------------------------------------------------------------------------------- time


def test_time_that_goes_backwards_counts_as_the_largest_seen() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.ping(now=50.0)
    assert link.get_timer() == 60.0
    drained(link)
    link.handle_timer(10.0)
    link.receive_data(EMPTY_FRAME, 20.0)
    assert link.get_timer() == 65.0


@pytest.mark.parametrize("now", [math.inf, 2e12, LATEST * 1.001])
def test_a_time_that_no_clock_shows_is_refused(now: float) -> None:
    link, _ = client_in(ClientState.BOUND)
    assert refusal(link, lambda: link.handle_timer(now)).where == "now"


def test_a_time_that_is_none_is_refused() -> None:
    link, _ = client_in(ClientState.BOUND)
    assert "NaN" in refusal(link, lambda: link.handle_timer(math.nan)).problem


@pytest.mark.parametrize("now", [-math.inf, -1e300])
def test_a_time_that_is_before_every_other_changes_nothing(now: float) -> None:
    link, _ = client_in(ClientState.BOUND)
    before = inside(link)
    link.handle_timer(now)
    assert inside(link) == before


@pytest.mark.parametrize("now", ["1", None, 1j])
def test_a_time_that_is_no_number_is_refused(now: Any) -> None:
    link, _ = client_in(ClientState.BOUND)
    assert refusal(link, lambda: link.receive_eof(now)).where == "now"


@pytest.mark.parametrize("origin", [-1e9, 0.0, 1.8e9, 1e12])
def test_time_may_begin_anywhere(origin: float) -> None:
    link = new_client(now=origin)
    assert link.get_timer() == origin + 5.0


# ------------------------------------------------------------------------------------------------------------ trace


def traced(framing: Framing) -> tuple[list[tuple[str, str, float]], list[str]]:
    """What the trace of a client link sees of a conversation, and the frames' commands in both directions."""
    lines: list[tuple[str, str, float]] = []
    link = new_client(framing, trace=lambda *line: lines.append(line))
    peer = ScriptedServer(framing)
    drained(link)
    link.receive_data(peer.conn_answer(), 1.0)
    link.ping(now=2.0)
    drained(link)
    link.receive_data(peer.answer("PING"), 3.0)
    return lines, ["out", "in", "out", "in"]


@both_framings
def test_the_trace_sees_every_frame_with_its_direction_and_time(framing: Framing) -> None:
    lines, directions = traced(framing)
    assert [line[0] for line in lines] == directions
    assert [line[2] for line in lines] == [0.0, 1.0, 2.0, 3.0]
    assert lines[3][1] == "PING id=1 0 bytes"


@both_framings
def test_the_trace_sees_every_secmsg_of_a_row(framing: Framing) -> None:
    lines: list[tuple[str, str, float]] = []
    link, peer = client_in(ClientState.BOUND, framing, trace=lambda *line: lines.append(line))
    lines.clear()
    for packet_id in ("a", "b", "c"):
        link.receive_data(peer.push(PacketAck(packet_id="1"), packet_id), 1.0)
    assert [line[1].split()[:2] for line in lines] == [["SECMSG", f"id={name}"] for name in "abc"]
    assert [line[0] for line in lines] == ["in"] * 3


def test_the_trace_sees_empty_frames() -> None:
    lines: list[tuple[str, str, float]] = []
    link, _ = client_in(ClientState.BOUND, trace=lambda *line: lines.append(line))
    lines.clear()
    link.receive_data(EMPTY_FRAME, 1.0)
    assert lines == [("in", "an empty frame", 1.0)]


def test_the_trace_shows_no_secret() -> None:
    lines: list[tuple[str, str, float]] = []
    client, server = bound_pair(
        client={"trace": lambda *line: lines.append(line)}, server={"trace": lambda *line: lines.append(line)}
    )
    client.send_p2p("bob", b"what-I-say", now=0.0)
    exchange(client, server)
    shown = str(lines)
    assert len(lines) > 8
    for secret in (TOKEN, SECURITY_KEY, "what-I-say", "B7cZuZSa57fM0opU"):
        assert secret not in shown


# ---------------------------------------------------------------------------------------------------------- helpers


@pytest.mark.parametrize("framing", ["tcp", None, 1])
def test_a_framing_is_a_member_of_framing(framing: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"^framing: expected a Framing"):
        new_client(framing)


def test_the_base_of_both_roles_is_not_a_role() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Link(Framing.TCP, 1, (1, 1), ClientState.HANDSHAKE, 0.0, None)  # type: ignore[abstract]


@both_framings
def test_the_sender_of_every_packet_is_whoever_logged_in(framing: Framing) -> None:
    client, server = bound_pair(framing, server={"config": ServerConfig(max_pending=1)})
    client.send_p2p("bob", b"hi", now=0.0)
    exchange(client, server)
    [event] = server.events()
    assert isinstance(event, PacketReceived)
    assert event.packet.body.sender == ME  # type: ignore[union-attr]
    assert event.id == f"{PREFIX}_3"
    assert client.resource == RESOURCE


@pytest.mark.parametrize("now", [math.nan, -math.inf, -2e12])
def test_a_link_begins_at_a_time(now: float) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        new_client(now=now)
    assert caught.value.where == "now"


def test_a_link_does_not_look_for_the_usual_header_for_ever() -> None:
    link, peer = client_in(ClientState.BOUND)
    for number in range(2 * MOST_LEARNED):
        packet = peer.read(peer.push(UnknownBody(type=99), "a")).payload
        link.receive_data(peer.frame(peer.header("SECMSG", "a", err_code=number), packet), 1.0)
    learnt = link._receive_template
    assert names(link.events()) == ["PacketReceived"] * 2 * MOST_LEARNED
    link.receive_data(peer.push(PacketAck(packet_id="1"), "b"), 1.0)
    assert names(link.events()) == ["AckReceived"]
    assert link._receive_template is learnt


def test_the_deadline_of_an_answer_begins_at_the_time_a_link_was_last_told() -> None:
    client, _ = bound_pair()
    client.send_p2p("bob", b"hi", now=0.0)
    client.tick(8.0)
    client.data_to_send()
    assert client.get_timer() == 8.0 + client.config.answer_timeout


def test_an_answer_is_due_if_any_of_the_packets_that_are_taken_wants_one() -> None:
    link, _ = client_in(ClientState.BOUND)
    link.send(SequenceAck(sequence=5), now=0.0)
    drained(link)
    assert link.get_timer() == 15.0  # a PING, which is answered
    link.send_p2p("bob", b"hi", now=0.0)
    link.send(SequenceAck(sequence=6), now=0.0)
    drained(link)
    assert link.get_timer() == 10.0


@both_framings
def test_a_whole_frame_is_a_sign_of_life_and_an_answer(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    link.ping(now=1.0)
    drained(link)
    assert link.get_timer() == 11.0
    link.receive_data(peer.answer("NOTIFY"), 5.0)
    assert link.get_timer() == 16.0  # PING


@both_framings
def test_a_new_link_counts_from_its_beginning(framing: Framing) -> None:
    link = new_server(framing, now=100.0)
    assert link.get_timer() == 100.0 + link.config.handshake_timeout
    client = new_client(framing, now=100.0)
    client.receive_data(ScriptedServer(framing).conn_answer(), 100.0)
    assert client.get_timer() == 115.0


@both_framings
def test_packets_wait_until_somebody_is_logged_in(framing: Framing) -> None:
    link, peer = client_in(ClientState.BOUND, framing)
    link.send_p2p("bob", b"hi", now=0.0)
    link.receive_data(peer.kick(), 0.0)
    assert link.data_to_send() == []
    assert link.pending == 1


def test_what_came_with_the_end_in_one_read_is_not_counted_as_cut_off() -> None:
    link, peer = client_in(ClientState.UNBINDING)
    link.receive_data(peer.answer("KICK") + EMPTY_FRAME[:5], 1.0)
    assert link.events() == [LinkClosed(reason=CloseReason.LOGGED_OUT, unread=0)]
