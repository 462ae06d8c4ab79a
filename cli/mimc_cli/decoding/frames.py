"""One JSON object for each frame of an input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mimc_proto.crypto import verify_bind_signature
from mimc_proto.errors import MimcError
from mimc_proto.framing import Framing
from mimc_proto.packets import (
    Bind,
    BindAnswer,
    Command,
    Conn,
    ConnAnswer,
    Header,
    Kick,
    Notify,
    PingStats,
    UploadRequest,
    WireRecord,
)

from .advice import advise_on_header, advise_on_secmsg
from .bodies import Contents, Missing, contents_of
from .cut import Piece, cut
from .direction import DOWN, UNKNOWN, UP, conclude
from .findings import Findings
from .keys import SHORTEST_CHALLENGE, Keys, short_challenge
from .messages import MessageReader, reads_as
from .schema import message_name
from .secmsg import read_secmsg
from .source import looks_like_text
from .values import bytes_value

__all__ = ["DIRECTIONS", "Decoder"]

DIRECTIONS = (UP, DOWN)

PAYLOADS: dict[tuple[str, str], type[WireRecord]] = {
    (Command.CONN, UP): Conn,
    (Command.CONN, DOWN): ConnAnswer,
    (Command.BIND, UP): Bind,
    (Command.BIND, DOWN): BindAnswer,
}
"""By command and direction."""

PAYLOADS_OF_ONE_SHAPE: dict[str, type[WireRecord]] = {
    Command.PING: PingStats,
    Command.KICK: Kick,
    Command.NOTIFY: Notify,
}

MAY_BE_ABSENT = (Command.PING, Command.UBND, Command.NOTIFY)


class Decoder:
    """Decodes the frames of one connection, or of several: what a CONN and its answer reveal opens what follows."""

    def __init__(self, keys: Keys, *, direction: str | None = None, hide_secrets: bool = False) -> None:
        self._keys = keys
        self._forced = direction
        self._hide_secrets = hide_secrets
        self._count = 0
        self.broken = False
        """Whether any frame so far was."""

    def decode(self, data: bytes) -> Iterator[dict[str, Any]]:
        """One object per frame of ``data``, and one per run of bytes that is no frame. Raises nothing."""
        for piece in cut(data):
            self._count += 1
            findings = Findings()
            for fault in piece.faults:
                findings.fault(fault.where, fault.offset, fault.problem)
            shown: dict[str, Any] = {"frame": self._count, "input_offset": piece.start}
            self._describe(piece, shown, findings)
            if piece.trailing:
                findings.note(f"a line end after the frame ({piece.trailing} bytes) is not part of it")
            shown.update(findings.to_json(piece.start))
            self.broken = self.broken or bool(findings.faults)
            yield shown

    def _describe(self, piece: Piece, shown: dict[str, Any], findings: Findings) -> None:
        if piece.layout is None:
            _describe_garbage(piece, shown, findings)
            return
        shown["framing"] = piece.layout.framing.value
        shown["version"] = int.from_bytes(piece.data[2:4], "big")
        shown["command"], shown["direction"] = None, self._forced or UNKNOWN
        sizes = shown["sizes"] = {"frame": piece.size or len(piece.data)}
        if piece.adler is None:
            sizes["available"] = len(piece.data)
            findings.mute()  # what the cut does to the contents is no news
        else:
            computed, read = piece.adler
            shown["checksum"] = {"adler32": f"{read:08x}", "valid": computed == read}
            self._keys.advise(findings)
        contents = contents_of(piece, self._keys, findings, sizes)
        if isinstance(contents, Contents):
            self._describe_contents(piece.layout.framing, contents, shown, findings)
        elif contents is Missing.EMPTY:
            shown["command"] = Command.PING.value
            findings.assume("an empty frame: the ping of C++ and C#, or any server's answer to a ping")
        elif contents is Missing.CLOSED:
            shown["encryption"] = {"body": "closed"}

    def _describe_contents(
        self, framing: Framing, contents: Contents, shown: dict[str, Any], findings: Findings
    ) -> None:
        reader = MessageReader(findings, hide_secrets=self._hide_secrets)
        header = reader.read(Header, contents.header, contents.header_base)
        way = conclude(self._forced, header, contents.payload)
        findings.assume(f"direction {way.direction}: {way.reason}")
        advise_on_header(contents.header, header, way.direction, findings)
        command = header.get("cmd")
        shown.update(command=command, direction=way.direction, payload_type=contents.payload_type)
        encryption = shown["encryption"] = {"body": contents.body}
        shown["header"] = header
        if command == Command.SECMSG:
            payload, encryption["payload"] = read_secmsg(contents, header, way.direction, self._keys, reader, findings)
            advise_on_secmsg(payload, header, way.direction, findings)
        else:
            payload = _read_payload(command, way.direction, contents, reader, findings)
        shown["payload"] = payload
        if command == Command.CONN:
            self._learn(framing, way.direction, contents.payload, findings)
        elif command == Command.BIND and way.direction == UP:
            shown["signature"] = self._check_signature(framing, contents, findings)

    def _learn(self, framing: Framing, direction: str, payload: bytes, findings: Findings) -> None:
        """Take the key material out of a CONN or its answer."""
        try:
            if direction == UP:
                self._keys.see_conn(framing, Conn.decode(payload).udid or "", self._count)
                return
            challenge = ConnAnswer.decode(payload).challenge
        except MimcError:  # broken, which was reported with its place
            return
        if len(challenge) < SHORTEST_CHALLENGE:
            findings.note(short_challenge(len(challenge)))
        self._keys.see_answer(framing, challenge, self._count)

    def _check_signature(self, framing: Framing, contents: Contents, findings: Findings) -> str:
        challenges, security_key = self._keys.challenges(framing), self._keys.security_key
        if not challenges or security_key is None:
            return "unchecked"
        try:
            header, bind = Header.decode(contents.header), Bind.decode(contents.payload)
            valid = any(_is_signed(header, bind, challenge, security_key) for challenge in challenges)
        except MimcError:
            return "unchecked"
        if not valid:
            findings.note("the signature is not the one of these fields, the challenge and the security key")
        return "valid" if valid else "wrong"


def _is_signed(header: Header, bind: Bind, challenge: str, security_key: str) -> bool:
    return verify_bind_signature(
        bind.sig,
        token=bind.token,
        challenge=challenge,
        chid=header.chid or 0,
        uuid=header.uuid or 0,
        resource=header.resource or "",
        packet_id=header.id or "",
        security_key=security_key,
        kick=bind.kick or "",
        method=bind.method or "",
        client_attrs=bind.client_attrs or "",
        cloud_attrs=bind.cloud_attrs or "",
    )


def _describe_garbage(piece: Piece, shown: dict[str, Any], findings: Findings) -> None:
    shown["sizes"] = {"skipped": len(piece.data)}
    if looks_like_text(piece.data[:4096]):
        findings.note("this is text, but not hex: hex is digits, white space, colons, 0x and # comments")
    else:
        findings.note("a bare protobuf message, without a frame around it, is read by --plain MESSAGE")


def _read_payload(
    command: str | None, direction: str, contents: Contents, reader: MessageReader, findings: Findings
) -> dict[str, Any]:
    """The payload of every command but SECMSG."""
    data, base = contents.payload, contents.payload_base
    if command is None:  # which message it is cannot be told; it may hold a token
        return {"size": len(data)}
    record = PAYLOADS.get((command, direction)) or PAYLOADS_OF_ONE_SHAPE.get(command)
    if command == Command.SYNC and reads_as(UploadRequest, data, "url"):
        record = UploadRequest
    if not data and (record is None or command in MAY_BE_ABSENT):
        return {"size": 0}
    if record is None:
        if command == Command.UBND:
            findings.note(f"UBND has a payload of {len(data)} bytes, expected none")
        return bytes_value(data)
    return {"size": len(data), message_name(record): reader.read(record, data, base)}
