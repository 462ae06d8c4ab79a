"""What official clients said and heard (tests/data/vectors), as material for fuzzers."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from mimc_cli.fuzzing import FuzzKeys, Piece

from mimc_proto import Framing
from mimc_proto.crypto import rc4
from mimc_proto.framing import decode_websocket_packet, split_body
from mimc_proto.packets import Header

__all__ = ["frames", "headers", "packets", "pieces"]

VECTORS = Path(__file__).parents[1] / "tests" / "data" / "vectors"
LONGEST = 1 << 16


def pieces(framing: Framing, *, upward: bool) -> list[Piece]:
    """Frames that a client said (``upward``) or heard, all plain."""
    if framing is Framing.WEBSOCKET:
        return [piece for name, piece in _webjs() if name.startswith("C2S") == upward]
    return [piece for up, piece in [*_go(), *_java()] if up == upward]


def headers() -> list[bytes]:
    """Each header once."""
    found = [piece.header for framing in Framing for up in (True, False) for piece in pieces(framing, upward=up)]
    return list(dict.fromkeys(found))


def packets() -> list[bytes]:
    """Each plain packet once."""
    everything = [piece for framing in Framing for up in (True, False) for piece in pieces(framing, upward=up)]
    return list(dict.fromkeys(piece.payload for piece in everything if Header.decode(piece.header).cmd == "SECMSG"))


def frames(framing: Framing) -> list[bytes]:
    """Frames and messages as they were on the wire, with keys of their own."""
    if framing is Framing.WEBSOCKET:
        return [bytes.fromhex(entry["hex"]) for entry in _load("webjs")]
    entries = [entry for side in _SIDES for kind in _load("go")[side].values() for entry in kind]
    return [bytes.fromhex(frame) for frame in (*_column(entries, "frame_hex"), *_column(_java_frames(), "frame"))]


_SIDES = {"client_packets": True, "server_packets": False}


@functools.cache
def _load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_bytes())


def _java_frames() -> list[dict[str, Any]]:
    return [frame for frame in _load("java")["frames"] if frame["body_plain"]]


def _column(entries: list[dict[str, Any]], name: str) -> list[str]:
    return [entry[name] for entry in entries]


def _go() -> list[tuple[bool, Piece]]:
    found = []
    for side, upward in _SIDES.items():
        for kind in _load("go")[side].values():
            for entry in kind:
                header, payload = bytes.fromhex(entry["header_hex"]), bytes.fromhex(entry["payload_plain_hex"])
                found.append((upward, Piece(header, payload, not entry["body_in_clear"])))
    return found


def _java() -> list[tuple[bool, Piece]]:
    found = []
    for frame in _java_frames():
        header, _ = split_body(bytes.fromhex(frame["body_plain"]))
        payload = bytes.fromhex(frame["payload_plain"])
        found.append((frame["dir"] == "IN", Piece(header, payload, frame["cmd"] != "CONN")))
    return found


def _webjs() -> list[tuple[str, Piece]]:
    found = []
    for entry in _load("webjs"):
        header, payload = decode_websocket_packet(bytes.fromhex(entry["hex"]), LONGEST)
        if entry["rc4_key_base64"] is not None:
            keys = FuzzKeys("", "", entry["rc4_key_base64"], Framing.WEBSOCKET)
            payload = rc4(keys.payload(Header.decode(header).id or ""), payload)
        found.append((entry["name"], Piece(header, payload, False)))
    return found
