"""WebSocket without I/O: any piece of the stream, and nothing raises."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mimc_server.frontend.websocket import MOST_REQUEST, WebSocket
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

MOST = 1000


def client() -> ClientProtocol:
    """Open for messages, whatever the server says."""
    return ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=None)


def request() -> bytes:
    asking = ClientProtocol(parse_uri("ws://x/"))
    asking.send_request(asking.connect())
    return b"".join(asking.data_to_send())


def shaken(most: int = MOST) -> WebSocket:
    websocket = WebSocket(most)
    assert websocket.receive(request()) == []
    assert websocket.opened
    assert websocket.data_to_send().startswith(b"HTTP/1.1 101 ")
    return websocket


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Data, cut at these places."""
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


messages_in_fragments = st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=4), max_size=5)


@given(messages=messages_in_fragments, pings=st.booleans(), cuts=st.lists(st.integers(0, 10_000), max_size=30))
def test_messages_are_what_was_sent_however_the_stream_is_cut(
    messages: list[list[bytes]], pings: bool, cuts: list[int]
) -> None:
    peer, websocket = client(), WebSocket(MOST)
    for fragments in messages:
        peer.send_binary(fragments[0], fin=len(fragments) == 1)
        for number, fragment in enumerate(fragments[1:], 2):
            if pings:
                peer.send_ping(b"x")
            peer.send_continuation(fragment, fin=number == len(fragments))
    stream = request() + b"".join(peer.data_to_send())
    got = [message for piece in pieces(stream, cuts) for message in websocket.receive(piece)]
    assert got == [b"".join(fragments) for fragments in messages]
    assert not websocket.ended


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5), opened=st.booleans())
@example(data=b"\r\n\r\n", cuts=[], opened=False)
@example(data=b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", cuts=[3], opened=False)
@example(data=b"GET \xff HTTP/1.1\r\n\r\n", cuts=[], opened=False)
@example(data=b"\x88\x81\0\0\0\0x", cuts=[], opened=True)
@example(data=b"\x02\x80\0\0\0\0\x88\x80\0\0\0\0", cuts=[6], opened=True)
@example(data=b"\x88\x80\0\0\0\0\x82\x80\0\0\0\0", cuts=[], opened=True)
def test_whatever_comes_nothing_raises_and_after_the_end_nothing_comes(
    data: bytes, cuts: list[int], opened: bool
) -> None:
    websocket = shaken() if opened else WebSocket(MOST)
    for piece in pieces(data, cuts):
        websocket.receive(piece)
        websocket.data_to_send()
        if websocket.ended:
            break
    websocket.send([b"x"])
    websocket.close(1000)
    websocket.data_to_send()
    if websocket.ended:
        assert websocket.receive(b"\x82\x80\0\0\0\0") == []
        assert websocket.data_to_send() == b""


def frame(head: int, data: bytes, masked: bool, claimed: int | None) -> bytes:
    size = len(data) if claimed is None else claimed
    length = (
        bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8)
    )
    return bytes([head, length[0] | masked << 7]) + length[1:] + bytes(4 * masked) + data


frames = st.builds(
    frame,
    st.sampled_from([0x82, 0x02, 0x00, 0x80, 0x81, 0x88, 0x89, 0x8A, 0xC2, 0x83]),
    st.binary(max_size=130) | st.sampled_from([b"\x03\xe8", bytes(MOST), bytes(MOST + 1)]),
    st.sampled_from([True] * 9 + [False]),
    st.none() | st.sampled_from([0, 125, 126, MOST, MOST + 1, 1 << 16, (1 << 63) - 1]),
)
TEXT = frame(0x81, b"text", True, None)


@given(some=st.lists(frames, max_size=8), cuts=st.lists(st.integers(0, 10_000), max_size=30))
@example(some=[TEXT, frame(0x82, b"", False, None)], cuts=[10])
@example(some=[TEXT, frame(0x89, b"ping", True, None)], cuts=[10])
@example(some=[TEXT, frame(0x88, b"\x03\xe8", True, None)], cuts=[10])
@example(some=[frame(0x82, bytes(MOST + 1), True, None), TEXT], cuts=[1])
@example(some=[frame(0xC2, b"", True, 1 << 16)], cuts=[1])
def test_what_is_said_is_the_same_however_the_stream_is_cut(some: list[bytes], cuts: list[int]) -> None:
    said = []
    for parts in ([b"".join(some)], pieces(b"".join(some), cuts)):
        websocket = shaken()
        messages = [message for part in parts for message in websocket.receive(part)]
        said.append((messages, websocket.data_to_send(), websocket.ended))
    assert said[0] == said[1]


@given(size=st.integers(MOST + 1, 1 << 62), sent=st.integers(0, 5000))
def test_a_message_that_is_too_large_ends_it_before_it_is_there(size: int, sent: int) -> None:
    websocket = shaken()
    websocket.receive(b"\x82\xff" + size.to_bytes(8) + b"\0\0\0\0")
    said = websocket.data_to_send()
    assert said.startswith(b"\x88")
    assert int.from_bytes(said[2:4]) in (1002, 1009)
    assert websocket.ended
    assert websocket.receive(bytes(sent)) == []


def test_the_limit_may_be_lower_for_a_time_and_counts_all_fragments() -> None:
    websocket, peer = shaken(), client()
    websocket.max_message = 100
    peer.send_binary(bytes(80), fin=False)
    websocket.receive(b"".join(peer.data_to_send()))
    assert websocket.data_to_send() == b""
    websocket.max_message = MOST
    peer.send_continuation(bytes(80), fin=False)
    websocket.receive(b"".join(peer.data_to_send()))
    assert not websocket.ended
    websocket.max_message = 100
    websocket.receive(b"\x89\x80\0\0\0\0")
    assert int.from_bytes(websocket.data_to_send()[-2 - len("expected a message of at most 100 bytes") :][:2]) == 1009


def test_a_request_that_does_not_end_is_kept_up_to_a_limit() -> None:
    websocket = WebSocket(MOST)
    websocket.receive(b"GET / HTTP/1.1\r\n")
    for _ in range(MOST_REQUEST // 16 - 1):
        websocket.receive(b"a: 234567890123\n")
        assert websocket.data_to_send() == b""
    websocket.receive(b"a: 234567890123\n")
    assert websocket.data_to_send().startswith(b"HTTP/1.1 431 ")
    assert websocket.ended


@pytest.mark.parametrize("code", [1000, 1002])
def test_a_close_is_said_once_and_nothing_is_sent_after_it(code: int) -> None:
    websocket = shaken()
    websocket.send([b"hi"])
    websocket.close(code)
    websocket.close(1000)
    websocket.send([b"too late"])
    assert websocket.data_to_send() == b"\x82\x02hi\x88\x02" + code.to_bytes(2)
    assert not websocket.ended
    assert websocket.receive(b"\x88\x82\0\0\0\0" + code.to_bytes(2)) == []
    assert websocket.data_to_send() == b""
    assert websocket.ended
