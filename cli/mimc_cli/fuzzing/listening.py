"""The client's end of a link as a fuzzer hears it: what a server says, frame by frame, and what is wrong with it."""

from __future__ import annotations

from typing import NamedTuple

from mimc_proto import Credentials, Framing, MimcError
from mimc_proto.framing import TcpDecoder
from mimc_proto.packets import ConnAnswer, Header

from .rules import faults, header_faults
from .stream import FuzzKeys, read_body, read_message

__all__ = ["Heard", "Listener"]

LONGEST = 1 << 20
"""Bytes of a frame, as clients take them."""
MOST_FAULTS = 20


class Heard(NamedTuple):
    """A whole frame; an empty one has no header. The payload is plain."""

    header: Header | None
    payload: bytes

    @property
    def command(self) -> str:
        """``""`` for an empty frame."""
        return "" if self.header is None else self.header.cmd

    @property
    def pong(self) -> bool:
        """Whether it answers a ping."""
        return self.command in ("", "PING")


class Listener:
    """Takes in what a connection gives: pieces of a stream on TCP, messages on WebSocket.

    Its keys are there once the answer to CONN came. Without credentials it is nobody and opens no SECMSG.
    """

    def __init__(self, framing: Framing, credentials: Credentials | None, resource: str) -> None:
        self._framing = framing
        self._decoder = TcpDecoder(LONGEST)
        self._credentials = credentials
        self._resource = resource
        self.udid = ""
        self.challenge = ""
        self.faults: list[str] = []
        """What is wrong with what came so far."""
        self.broken = False
        """Whether nothing more can be read."""

    @property
    def keys(self) -> FuzzKeys:
        """Those of this link; before the answer to CONN, some."""
        secret = self._credentials.security_key if self._credentials is not None else "AAAA"
        return FuzzKeys(self.challenge or "none", self.udid, secret, self._framing)

    def feed(self, data: bytes) -> list[Heard]:
        """The frames that are whole now."""
        if self.broken:
            return []
        if self._framing is Framing.WEBSOCKET:
            return self._heard(data)
        self._decoder.feed(data)
        heard: list[Heard] = []
        try:
            while (body := self._decoder.next_body()) is not None:
                heard += self._heard(body)
        except MimcError as error:
            self._fault(f"a frame that is none: {error}")
            self.broken = True
        return heard

    def _heard(self, data: bytes) -> list[Heard]:
        if self._framing is Framing.TCP and not data:
            return [Heard(None, b"")]
        read = read_body if self._framing is Framing.TCP else read_message
        piece = read(data, self.keys)
        if piece.raw is not None:
            self._fault(f"{len(data)} bytes that are no packet: its lengths, its checksum or its encryption are wrong")
            return []
        for fault in header_faults(piece.header):
            self._fault(fault)
        header = Header.decode(piece.header)
        if self._credentials is not None or header.cmd != "SECMSG":
            uuid = 0 if self._credentials is None else self._credentials.uuid
            for fault in faults(header, piece.payload, uuid, self._resource):
                self._fault(fault)
        if header.cmd == "CONN" and not self.challenge:
            self._learn(piece.payload)
        return [Heard(header, piece.payload)]

    def _learn(self, payload: bytes) -> None:
        try:
            self.challenge = ConnAnswer.decode(payload).challenge
            self.keys.body()
        except MimcError as error:
            self._fault(f"an answer to CONN that gives no key: {error}")
            self.broken = True

    def _fault(self, text: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)
