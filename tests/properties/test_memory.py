"""What a peer can make a link keep is bounded, whatever it sends and however little it reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conversations import FRAMINGS, STATES, frame_kinds, talk_in
from support.links import breakage, client_in, message, server_in

from mimc_proto import ClientConfig, ClientState, Framing, RemoteProtocolError, ServerConfig, ServerState
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import PacketAck, PacketList

LARGEST_ANSWER = 1000
"""Bytes of a frame that answers a command: its header repeats two texts of 256 bytes."""


@pytest.mark.parametrize("state", [ServerState.READY, ServerState.BOUND], ids=lambda state: state.name)
@pytest.mark.parametrize("command", ["PING", "UBND", "BIND", "empty"])
def test_a_flood_that_is_not_read_keeps_the_output_small(state: ServerState, command: str) -> None:
    link, peer = server_in(state)
    long = "r" * 256
    size = 0
    for _ in range(2000):
        frame = EMPTY_FRAME if command == "empty" else peer.command(command, resource=long)
        if command == "BIND":
            frame = peer.bind()
        try:
            link.receive_data(frame, 0.0)
        except RemoteProtocolError:
            break
        if link.state in (ServerState.BINDING, ServerState.REBINDING):
            link.refuse_bind("invalid-token", now=0.0)
        link.events()
    size = sum(map(len, link.data_to_send(1 << 30)))
    assert size <= 100 * LARGEST_ANSWER


def test_a_flood_of_commands_does_not_make_waiting_packets_grow() -> None:
    link, peer = server_in(ServerState.BOUND, config=ServerConfig(max_pending=100, max_pending_bytes=100_000))
    for n in range(100):
        link.send(PacketAck(packet_id=f"m{n}"), now=0.0)
    flood = b"".join(peer.command("UBND") for _ in range(2000))
    breakage(link, flood)
    assert sum(map(len, link.data_to_send(1 << 30))) < 100_000


@given(st.sampled_from(STATES), FRAMINGS, st.lists(st.integers(0, 30), min_size=1, max_size=30))
def test_what_waits_is_bounded_for_any_flood(state: Any, framing: Framing, kinds: list[int]) -> None:
    talk = talk_in(state, framing)
    names = frame_kinds(state)
    for kind in kinds * 10:
        talk.receive(talk.frame(names[kind % len(names)]))
    assert talk.link.pending <= 80
    assert sum(map(len, talk.link.data_to_send(1 << 30))) <= 80 * LARGEST_ANSWER


@given(st.sampled_from(STATES), st.integers(0, 1 << 32), st.binary(max_size=20))
def test_a_length_over_the_limit_is_refused_before_its_body_comes(state: Any, size: int, rest: bytes) -> None:
    talk = talk_in(state, Framing.TCP)
    size = min(size, (1 << 32) - 1)
    talk.receive(bytes.fromhex("c2fe0005") + size.to_bytes(4, "big") + rest)
    limit = {"HANDSHAKE": 4096, "READY": 4096, "BINDING": 4096}.get(talk.link.state.name, 65536)
    if isinstance(state, ClientState):
        limit = 1 << 20
    if size > 1 << 20:
        assert len(talk.errors) == 1
    elif not talk.errors:
        assert size <= limit
    assert talk.link._decoder.pending <= 28


@pytest.mark.parametrize("limit", [100, 1000])
def test_the_largest_frame_is_what_the_configuration_says(limit: int) -> None:
    link, peer = client_in(ClientState.BOUND, config=ClientConfig(max_frame=limit))
    header = peer.header("WHAT", "1")
    overhead = 8 + len(header.encode())
    link.receive_data(peer.frame(header, bytes(limit - overhead)), 0.0)
    assert f"at most {limit} bytes" in str(breakage(link, peer.frame(header, bytes(limit - overhead + 1))))


@pytest.mark.parametrize("framing", Framing, ids=lambda framing: framing.value)
def test_a_list_of_a_mebibyte_is_taken_in(framing: Framing) -> None:
    client, server_peer = client_in(ClientState.BOUND, framing)
    packets = tuple(message(n, payload=bytes(10_000)) for n in range(1, 100))
    body = PacketList(uuid=6874178410250241, resource=client.resource, max_sequence=99, packets=packets)
    client.receive_data(server_peer.push(body), 0.0)
    [event] = client.events()
    assert len(event.packets) == 99  # type: ignore[union-attr]
