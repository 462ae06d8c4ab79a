"""The protocol a second time, slowly and by other means: plain protobuf objects, RC4 in Python, hashlib.

Nothing of the library is used here but the message classes: what it and this agree on is not one mistake made twice.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from random import Random
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto
from support.strategies import BOOL, BYTES, ENUM, INT32, INT64, MESSAGE, STRING, UINT32, UINT64

from mimc_proto import pb

__all__ = ["End", "Generator", "adler32", "body_key", "rc4", "signature", "to_message"]

MAGIC = 0xC2FE


def rc4(key: bytes, data: bytes) -> bytes:
    """RC4 as textbooks have it."""
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def adler32(data: bytes) -> int:
    """Adler-32 as RFC 1950 defines it."""
    a, b = 1, 0
    for byte in data:
        a = (a + byte) % 65521
        b = (b + a) % 65521
    return b << 16 | a


def body_key(challenge: str, udid: str) -> bytes:
    """The key of frame bodies (wire.md section 3)."""
    halves = challenge[len(challenge) // 2 :] + udid[len(udid) // 2 :]
    return rc4(challenge.encode(), halves.encode())


def signature(header: Any, bind: Any, challenge: str, security_key: str) -> str:
    """The ``sig`` of a BIND by a user of a header (wire.md section 3)."""
    fields = {
        "challenge": challenge,
        "chid": str(header.chid),
        "client_attrs": bind.client_attrs,
        "cloud_attrs": bind.cloud_attrs,
        "from": f"{header.uuid}@xiaomi.com/{header.resource}",
        "id": header.id,
        "kick": bind.kick or "0",
        "to": "xiaomi.com",
        "token": bind.token,
    }
    parts = [bind.method.upper(), *(f"{name}={fields[name]}" for name in sorted(fields)), security_key]
    return base64.b64encode(hashlib.sha1("&".join(parts).encode()).digest()).decode()


class End:
    """One end of a connection: makes and reads frames. A packet is encrypted if its header says so."""

    def __init__(self, *, websocket: bool, security_key: str) -> None:
        self.websocket = websocket
        self._secret = base64.b64decode(security_key) + b"_"
        self._body_key: bytes | None = None

    def connected(self, challenge: str, udid: str) -> None:
        """CONN was answered: bodies are encrypted on TCP from now on."""
        if not self.websocket:
            self._body_key = body_key(challenge, udid)

    def frame(self, header: Any, payload: bytes = b"") -> bytes:
        """A frame."""
        head: bytes = header.SerializeToString()
        if self.websocket:
            whole = struct.pack(">HHHHHI", MAGIC, 4, 3, 2, len(head), len(payload)) + head + payload
        else:
            body = struct.pack(">HHI", 2, len(head), len(payload)) + head + payload
            if self._body_key is not None:
                body = rc4(self._body_key, body)
            whole = struct.pack(">HHI", MAGIC, 5, len(body)) + body
        return whole + adler32(whole).to_bytes(4, "big")

    def secmsg(self, header: Any, packet: Any) -> bytes:
        """The frame of a MIMCPacket."""
        plain = packet.SerializeToString()
        return self.frame(header, rc4(self._secret + header.id.encode(), plain) if header.cipher == 1 else plain)

    def opened(self, frame: bytes) -> tuple[Any, bytes]:
        """Header and payload of a frame."""
        assert adler32(frame[:-4]) == int.from_bytes(frame[-4:], "big")
        if self.websocket:
            magic, version, kind, payload_kind, head_size, size = struct.unpack_from(">HHHHHI", frame)
            assert (magic, version, kind, payload_kind) == (MAGIC, 4, 3, 2)
            rest = frame[14:-4]
        else:
            assert struct.unpack_from(">HHI", frame) == (MAGIC, 5, len(frame) - 12)
            body = frame[8:-4]
            if self._body_key is not None:
                body = rc4(self._body_key, body)
            payload_kind, head_size, size = struct.unpack_from(">HHI", body)
            assert payload_kind == 2
            rest = body[8:]
        assert len(rest) == head_size + size
        return pb.ClientHeader.FromString(rest[:head_size]), rest[head_size:]

    def opened_secmsg(self, frame: bytes) -> tuple[Any, Any]:
        """Header and MIMCPacket of a frame."""
        header, payload = self.opened(frame)
        assert header.cmd == "SECMSG"
        if header.cipher == 1:
            payload = rc4(self._secret + header.id.encode(), payload)
        return header, pb.MIMCPacket.FromString(payload)


# --------------------------------------------------------------------------------------------- records as messages

TYPES = {
    "P2PMessage": 1,
    "P2TMessage": 2,
    "SequenceAck": 3,
    "PacketAck": 4,
    "Pull": 5,
    "PacketList": 6,
    "UcPacket": 8,
    "P2PPush": 9,
    "P2TPush": 10,
    "OnlineMessage": 11,
    "OnlineMessageAck": 12,
    "UcPing": 1,
    "UcPong": 2,
    "UcJoin": 3,
    "UcJoinAnswer": 4,
    "UcQuit": 5,
    "UcQuitAnswer": 6,
    "UcSequenceAck": 7,
    "UcMessage": 8,
    "UcMessageList": 9,
    "UcDismiss": 10,
    "UcOnlineUsersQuery": 11,
    "UcOnlineUsersAnswer": 12,
}
"""The numbers of wire.md sections 5 and 6."""

OTHER_NAMES = {
    "account": "appAccount",
    "error_message": "errorMsg",
    "groups": "group",
    "messages": "message",
    "recipient": "to",
    "recipients": "to",
    "sender": "from",
    "text": "message",
}


def to_message(record: Any) -> Any:
    """A record as a plain protobuf object."""
    if type(record).__name__ == "UcPong":  # it has no message of its own
        return record.payload
    made = record.message()
    for name, value in zip(record.field_names, record, strict=True):
        if name == "unknown" or value is None:
            continue
        if name == "body":
            made.type = record.body.type if type(value).__name__ == "UnknownBody" else TYPES[type(value).__name__]
            made.payload = _payload(value)
            continue
        _set(made, _wire_name(made, name), value)
    return made


def _payload(body: Any) -> bytes:
    if type(body).__name__ in ("UnknownBody", "RtsSignal", "UcPong"):
        return bytes(body.payload)
    return bytes(to_message(body).SerializeToString())


def _wire_name(message: Any, name: str) -> str:
    known = message.DESCRIPTOR.fields_by_name
    if name in OTHER_NAMES and OTHER_NAMES[name] in known:
        return OTHER_NAMES[name]
    first, *others = name.split("_")
    camel = first + "".join(word.capitalize() for word in others)
    return name if name in known else camel


def _set(message: Any, name: str, value: Any) -> None:
    """Groups are of one shape and two classes, so what is inside goes over as bytes."""
    if isinstance(value, tuple) and not hasattr(value, "message"):
        for item in value:
            getattr(message, name).add().MergeFromString(to_message(item).SerializeToString())
    elif hasattr(value, "message") and hasattr(value, "field_names"):
        getattr(message, name).MergeFromString(to_message(value).SerializeToString())
        getattr(message, name).SetInParent()
    else:
        setattr(message, name, value)


# ------------------------------------------------------------------------------------------------ messages by chance


ALWAYS_THERE = {
    ("MIMCSequenceAck", "sequence"),
    ("MIMCPacketAck", "packetId"),
    ("MIMCP2PMessage", "to"),
    ("MIMCP2TMessage", "to"),
    ("MIMCP2PMessage", "payload"),
    ("MIMCP2TMessage", "payload"),
}
"""What no client leaves out, though it is optional in the messages: an absent payload is read as an empty one."""

INTERESTING = {
    INT64: (0, 1, -1, (1 << 63) - 1, -(1 << 63), 127, 128, 1 << 28, 15263541607720001),
    UINT64: (0, 1, (1 << 64) - 1, 127, 128, 1 << 28, 2882303761517613988),
    INT32: (0, 1, -1, (1 << 31) - 1, -(1 << 31), 127, 128),
    UINT32: (0, 1, (1 << 32) - 1),
    BOOL: (False, True),
}
TEXTS = ("", "a", "alice", "\0", "米聊", "🙂" * 40, "\U0010fffd", "x" * 127, "x" * 128, "mimc_go_kXyZ_17")


class Generator:
    """Makes messages by chance: fields absent or of any value, required ones there."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)

    def message(self, cls: Any, **given: Any) -> Any:
        """A message of a class with these fields (None: absent), and others by chance."""
        made, proto = cls(), DescriptorProto()  # the descriptor's own names for labels differ between versions
        cls.DESCRIPTOR.CopyToProto(proto)
        for field in proto.field:
            repeated = field.label == field.LABEL_REPEATED
            needed = field.label == field.LABEL_REQUIRED or (proto.name, field.name) in ALWAYS_THERE
            if field.name in given:
                value = given[field.name]
            else:
                value = self._value(field, repeated=repeated) if needed or self.rng.random() < 0.5 else None
            if value is None:
                continue
            if repeated:
                getattr(made, field.name).extend(value)
            elif field.type == MESSAGE:
                getattr(made, field.name).CopyFrom(value)
                getattr(made, field.name).SetInParent()
            else:
                setattr(made, field.name, value)
        return made

    def number(self, least: int = 0) -> int:
        """A number of 63 bits."""
        return self.rng.choice((least, self.rng.randrange(least, least + 300), self.rng.randrange(least, 1 << 63)))

    def text(self, *, empty: bool = False) -> str:
        """Some text."""
        return self.rng.choice(TEXTS if empty else TEXTS[1:])

    def id(self) -> str:
        """The id of a packet."""
        return self.rng.choice(("x", "0123456789ab", "mimc_go_kXyZaBcDeF_17", "米" * 30, "n" * 127, "n" * 128))

    def payload(self) -> bytes:
        """The bytes of a message; seldom many, for RC4 in Python is slow."""
        return self.rng.randbytes(self.rng.choice((0, 1, 5, 40, 127, 128, 200) * 10 + (5000,)))

    def _value(self, field: Any, *, repeated: bool) -> Any:
        name = field.type_name.rpartition(".")[2]
        if field.type == MESSAGE:
            inner = getattr(pb, name)
            return [self.message(inner) for _ in range(self.rng.randrange(4))] if repeated else self.message(inner)
        if field.type == ENUM:
            return self.rng.choice(sorted(getattr(pb, name).values()))
        if field.type == STRING:
            return self.text(empty=True)
        if field.type == BYTES:
            return self.payload()
        return self.rng.choice(INTERESTING[field.type])
