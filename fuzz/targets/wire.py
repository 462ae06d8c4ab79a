"""Framings, headers and packets."""

from __future__ import annotations

import zlib
from random import Random

import conversations as base
import vectors
from mimc_cli.fuzzing import frame_of, mutate_bytes, mutate_message, split

from mimc_proto import PacketError, RemoteProtocolError
from mimc_proto.framing import TcpDecoder, decode_websocket_packet, encode_tcp_frame, encode_websocket_packet
from mimc_proto.packets import BadPacket, Header, Packet, PacketList

from .target import TCP, WEBSOCKET, cuts, stream_mutator, target

__all__ = ["header", "packet", "tcp_framing", "websocket_framing"]


@target(stream_mutator(TCP), lambda: base.upward(TCP) + base.downward(TCP) + vectors.frames(TCP), share=14)
def tcp_framing(data: bytes) -> None:
    """Bodies come out the same however they are cut, and make the same frames again."""

    def read(pieces: list[bytes]) -> tuple[list[bytes], str]:
        decoder, bodies = TcpDecoder(65536), []
        try:
            for piece in pieces:
                decoder.feed(piece)
                while (body := decoder.next_body()) is not None:
                    bodies.append(body)
        except RemoteProtocolError as error:
            return bodies, str(error)
        return bodies, ""

    bodies, error = read([data])
    assert (bodies, error) == read(cuts(data))
    assert data.startswith(b"".join(map(encode_tcp_frame, bodies)))


def _messages() -> list[bytes]:
    known = base.keys(WEBSOCKET)
    return [frame_of(piece, known) for stream in base.upward(WEBSOCKET) for piece in split(stream, known)[-1:]]


def _mutate_message(data: bytes, rng: Random) -> bytes:
    """A message with a right checksum, mostly."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    packet = mutate_bytes(data[:-4], rng)
    return packet + zlib.adler32(packet).to_bytes(4, "big")


@target(_mutate_message, lambda: _messages() + vectors.frames(WEBSOCKET), share=12)
def websocket_framing(data: bytes) -> None:
    """A message is read and can be written again, or it is refused."""
    try:
        header, payload = decode_websocket_packet(data, 65536)
    except RemoteProtocolError:
        return
    assert encode_websocket_packet(header, payload) == data


def _headers() -> list[bytes]:
    ours = split(base.upward(TCP)[0] + base.downward(TCP)[0], base.keys(TCP))
    return [piece.header for piece in ours if piece.header] + vectors.headers()


@target(mutate_message, _headers, share=14)
def header(data: bytes) -> None:
    """A header is read and can be written and read again, or it is refused."""
    try:
        decoded = Header.decode(data)
    except PacketError:
        return
    assert Header.decode(decoded.encode()) == decoded


@target(mutate_message, base.packets, share=16)
def packet(data: bytes) -> None:
    """The same of a packet; a list with packets that cannot be read cannot be written."""
    try:
        decoded = Packet.decode(data)
    except PacketError:
        return
    body = decoded.body
    if not (isinstance(body, PacketList) and any(isinstance(inner, BadPacket) for inner in body.packets)):
        assert Packet.decode(decoded.encode()) == decoded
