"""Whatever a peer sends: only declared errors, raised once, then silence."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.conversations import FRAMINGS, STATES, Talk, frame_kinds, headers, talk_in, verb_names
from support.links import ScriptedClient, ScriptedServer, inside
from support.strategies import loose_messages, loose_packets, mutated

from mimc_proto import Framing, RemoteProtocolError, pb
from mimc_proto.crypto import rc4
from mimc_proto.events import BadPacket, LinkClosed
from mimc_proto.framing import encode_tcp_frame

states = st.sampled_from(STATES)
keyed_states = st.sampled_from([state for state in STATES if state.name != "HANDSHAKE"])
online_states = st.sampled_from([state for state in STATES if state.name in ("BOUND", "REBINDING", "UNBINDING")])
COMMANDS = st.sampled_from(["CONN", "BIND", "PING", "UBND", "KICK", "SECMSG", "NOTIFY", "SYNC", "", "é", "x" * 500])
PAYLOADS = {
    "CONN": loose_messages(pb.XMMsgConn) | loose_messages(pb.XMMsgConnResp),
    "BIND": loose_messages(pb.XMMsgBind) | loose_messages(pb.XMMsgBindResp),
    "KICK": loose_messages(pb.XMMsgKick) | loose_messages(pb.XMMsgBindResp),
}


def secmsg(talk: Talk, packet: bytes) -> bytes:
    """A frame with these bytes as its packet."""
    peer = talk.peer
    if isinstance(peer, ScriptedClient):
        return peer.send(packet)
    assert isinstance(peer, ScriptedServer)
    return peer.push(packet)


def check(talk: Talk) -> None:
    """The laws of an end: one error, one LinkClosed as the last event, and nothing after it."""
    broken = [error for error in talk.errors if isinstance(error, RemoteProtocolError)]
    ends = [event for event in talk.events if isinstance(event, LinkClosed)]
    assert len(broken) <= 1
    assert len(ends) == int(talk.link.close_expected() is not None)
    assert not ends or talk.events[-1] is ends[0]
    assert not broken or ends
    if ends:
        before = inside(talk.link)
        for data in (b"garbage", talk.frame("PING"), talk.frame("empty")):
            talk.receive(data)
        assert inside(talk.link) == before
    for frame in talk.link.data_to_send():  # what it still says is well-formed
        talk.peer.read(frame)


@given(states, FRAMINGS, st.lists(st.binary(max_size=60), max_size=5))
def test_garbage(state: Any, framing: Framing, reads: list[bytes]) -> None:
    talk = talk_in(state, framing)
    for data in reads:
        talk.receive(data)
    check(talk)


@given(states, st.binary(max_size=40), st.integers(0, 2000))
def test_a_good_beginning_with_a_wrong_length(state: Any, body: bytes, size: int) -> None:
    talk = talk_in(state, Framing.TCP)
    talk.receive(bytes.fromhex("c2fe0005") + size.to_bytes(4, "big") + body)
    check(talk)


@given(states, FRAMINGS, st.data())
def test_frames_that_were_changed_cut_or_lengthened(state: Any, framing: Framing, data: st.DataObject) -> None:
    talk = talk_in(state, framing)
    for kind in data.draw(st.lists(st.sampled_from(frame_kinds(state)), min_size=1, max_size=4)):
        frame = talk.frame(kind)
        talk.receive(data.draw(mutated(st.just(frame))) if data.draw(st.booleans()) else frame)
    check(talk)


@given(states, FRAMINGS, st.data())
def test_good_frames_in_any_order(state: Any, framing: Framing, data: st.DataObject) -> None:
    talk = talk_in(state, framing)
    steps = [*frame_kinds(state), *verb_names(state)]
    for step in data.draw(st.lists(st.sampled_from(steps), max_size=20)):
        if step in frame_kinds(state):
            talk.receive(talk.frame(step))
        else:
            talk.act(step)
        if data.draw(st.booleans()):
            talk.take()
    check(talk)


@given(states, FRAMINGS, st.data())
def test_any_header_and_payload_in_a_good_frame(state: Any, framing: Framing, data: st.DataObject) -> None:
    talk = talk_in(state, framing)
    for _ in range(data.draw(st.integers(1, 4))):
        header = data.draw(headers(COMMANDS))
        payload = data.draw(PAYLOADS.get(header.cmd, st.binary(max_size=30)))
        encoded = header.encode()
        if data.draw(st.integers(0, 5)) == 0:
            encoded = data.draw(mutated(st.just(encoded)))
        talk.receive(talk.peer.raw(encoded, payload))
    check(talk)


@given(states, st.data())
def test_any_body_behind_the_encryption(state: Any, data: st.DataObject) -> None:
    talk = talk_in(state, Framing.TCP)
    key = talk.peer.body_key
    frame = talk.frame(data.draw(st.sampled_from(frame_kinds(state))))
    plain = frame[8:-4] if key is None else rc4(key, frame[8:-4])
    body = data.draw(mutated(st.just(plain)))
    talk.receive(encode_tcp_frame(body if key is None else rc4(key, body)))
    check(talk)


@given(
    keyed_states, FRAMINGS, st.lists(st.sampled_from([*range(13), 99]).flatmap(loose_packets), min_size=1, max_size=3)
)
def test_any_packet_behind_the_encryption_is_never_fatal(state: Any, framing: Framing, packets: list[bytes]) -> None:
    talk = talk_in(state, framing)
    before = talk.link.state
    for packet in packets:
        talk.receive(secmsg(talk, packet))
    assert (talk.errors, talk.link.state) == ([], before)
    assert len(talk.events) == len(packets)


@given(online_states, FRAMINGS, mutated(loose_packets(6)))
def test_a_packet_that_was_damaged_is_told_or_read(state: Any, framing: Framing, packet: bytes) -> None:
    talk = talk_in(state, framing)
    talk.receive(secmsg(talk, packet))
    [event] = talk.events
    assert not isinstance(event, LinkClosed)
    assert not isinstance(event, BadPacket) or str(event.error)


@given(states, FRAMINGS, st.data())
def test_nothing_is_replayed_after_an_error(state: Any, framing: Framing, data: st.DataObject) -> None:
    talk = talk_in(state, framing)
    good = data.draw(st.lists(st.sampled_from(frame_kinds(state)), max_size=3))
    for kind in good:
        talk.receive(talk.frame(kind))
    events = len(talk.events)
    ended = talk.link.close_expected() is not None
    talk.receive(b"\xc2\xff" * 10)
    talk.receive(b"".join(talk.frame(kind) for kind in good))
    talk.receive(b"\xc2\xff" * 10)
    assert [type(event) for event in talk.events[events:]] == ([] if ended else [LinkClosed])
    check(talk)
