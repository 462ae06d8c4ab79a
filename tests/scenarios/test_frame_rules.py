"""The checker of all scenarios finds what an official client would trip over; each rule is broken here once."""

from __future__ import annotations

from typing import Any

import pytest
from support.frame_rules import check_frame, check_numbers
from support.links import APP_ID, PACKAGE, RESOURCE, UUID, ScriptedClient

from mimc_proto import pb
from mimc_proto.crypto import rc4
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Packet, PacketAck

ME = {"appId": APP_ID, "appAccount": "alice", "uuid": UUID, "resource": RESOURCE}
BOB = {"appId": APP_ID, "appAccount": "bob", "uuid": 77, "resource": "pc"}
GROUP = {"appId": APP_ID, "topicId": 15}
HEADER = {"chid": 9, "uuid": UUID, "server": "xiaomi.com", "resource": RESOURCE, "id": "p", "dir_flag": 4}
TYPES, UC_TYPES = pb.MIMC_MSG_TYPE, pb.UC_MSG_TYPE


def client() -> ScriptedClient:
    peer = ScriptedClient()
    peer.encrypt_bodies()
    return peer


def of(command: str, payload: bytes, **header: Any) -> bytes:
    """A frame of the service, as it has to be but for what is given."""
    fields = {**HEADER, "cmd": command, "cipher": int(command == "SECMSG"), **header}
    message = pb.ClientHeader(**{name: value for name, value in fields.items() if value is not None})
    peer = client()
    if command == "CONN":
        peer.body_key = None
    return peer.raw(message.SerializeToString(), payload)


def secmsg(kind: int, payload: bytes, package: str | None = PACKAGE, **packet: Any) -> bytes:
    """A SECMSG around a payload of this type."""
    fields = {"packetId": "p", "package": package, "type": kind, "payload": payload, **packet}
    inner = pb.MIMCPacket(**{name: value for name, value in fields.items() if value is not None})
    return of("SECMSG", rc4(client().payload_key("p"), inner.SerializeToString()))


def ack(**changes: Any) -> bytes:
    fields = {"packetId": "m", "uuid": UUID, "resource": RESOURCE, "sequence": 1, "timestamp": 1, "code": 0, **changes}
    message = pb.MIMCPacketAck(**{name: value for name, value in fields.items() if value is not None})
    return secmsg(TYPES.PACKET_ACK, message.SerializeToString())


def item(number: int | None, message: dict[str, Any] | None = None, **changes: Any) -> Any:
    body = {"from": BOB, "to": {"appId": APP_ID, "appAccount": "alice"}, "payload": b"hi", **(message or {})}
    payload = pb.MIMCP2PMessage(**{name: value for name, value in body.items() if value is not None})
    fields = {"packetId": "m", "sequence": number, "type": TYPES.P2P_MESSAGE, **changes}
    kept = {name: value for name, value in fields.items() if value is not None}
    return pb.MIMCPacket(payload=payload.SerializeToString(), **kept)


def listed(packets: list[Any], outer: int = 6, **changes: Any) -> bytes:
    fields = {"uuid": UUID, "resource": RESOURCE, "maxSequence": 6, "status": 1, **changes}
    kept = {name: value for name, value in fields.items() if value is not None}
    message = pb.MIMCPacketList(packets=packets, **kept)
    return secmsg(TYPES.COMPOUND, message.SerializeToString(), sequence=outer)


def uc(kind: int, body: Any, user: dict[str, Any] = ME) -> bytes:
    message = pb.UCPacket(user=pb.MIMCUser(**user), type=kind, payload=body.SerializeToString(), packetId="p")
    return secmsg(TYPES.UC_PACKET, message.SerializeToString())


def uc_list(*sequences: int, most: int = 6) -> bytes:
    messages = [
        pb.UCMessage(group=pb.UCGroup(**GROUP), payload=b"hi", sequence=n, user=pb.MIMCUser(**BOB), packetId="m")  # type: ignore[arg-type]
        for n in sequences
    ]
    body = pb.UCMessageList(group=pb.UCGroup(**GROUP), message=messages, maxSequence=most)
    return uc(UC_TYPES.MESSAGE_LIST, body)


GOOD = {
    "empty": EMPTY_FRAME,
    "conn": of("CONN", pb.XMMsgConnResp(challenge="abcdef").SerializeToString()),
    "bind": of("BIND", pb.XMMsgBindResp(result=True).SerializeToString()),
    "refusal": of("BIND", pb.XMMsgBindResp(result=False, error_type="a", error_reason="b").SerializeToString()),
    "ping": of("PING", b""),
    "kick": of("KICK", b""),
    "takeover": of(
        "KICK", pb.XMMsgKick(type="single-resource-kick", reason="single-resource-kick").SerializeToString()
    ),
    "ack": ack(),
    "refused": ack(code=400, errorMsg="no", sequence=0),
    "list": listed([item(5), item(6)]),
    "notice": listed([], status=2, minSequence=1),
    "online": secmsg(TYPES.ONLINE_MESSAGE, item(1).payload),
    "unlimited": uc_list(5, 6),
    "dismissed": uc(UC_TYPES.DISMISS, pb.UCDismiss(group=pb.UCGroup(**GROUP))),
}

BAD = {
    "a wrong Adler-32": GOOD["ping"][:-1] + bytes([GOOD["ping"][-1] ^ 1]),
    "a body of 3 bytes": b"\xc2\xfe\0\5\0\0\0\3abc1234",
    "a length that is not the body's": GOOD["ping"] + b"\0",
    "a header that is not canonical": client().raw(b"\x2a\x04PING\x08\x09\x40\x06", b""),
    "a header with a long varint": client().raw(b"\x08\x89\x00\x2a\x04PING\x40\x06", b""),
    "a field that nobody knows": client().raw(b"\x08\x09\x2a\x04PING\x40\x06\xa0\x06\x01", b""),
    "no command": of("", b""),
    "a request for the log": of("SYNC", b""),
    "no direction": of("PING", b"", dir_flag=None),
    "a plain SECMSG that says so": of("SECMSG", b"", cipher=0),
    "another session's": of("SECMSG", b"", uuid=1),
    "SECMSG without an id": of("SECMSG", b"", id=None),
    "a challenge of one character": of("CONN", pb.XMMsgConnResp(challenge="a").SerializeToString()),
    "BIND without result": of("BIND", b""),
    "a refusal without a reason": of("BIND", pb.XMMsgBindResp(result=False).SerializeToString()),
    "a pong with something in it": of("PING", b"\x0a\x00"),
    "a kick in Go's own form": of("KICK", pb.XMMsgBindResp(result=False, error_type="kick").SerializeToString()),
    "a takeover that half the clients do not see": of(
        "KICK", pb.XMMsgKick(reason="single-resource-kick").SerializeToString()
    ),
    "an ack for nothing": ack(packetId=None),
    "an ack without a sequence": ack(sequence=None),
    "a refusal that says nothing": ack(code=400),
    "an ack of another resource": ack(resource="other"),
    "a packet without a package": secmsg(TYPES.PACKET_ACK, b"", package=None),
    "a packet of no type": of("SECMSG", rc4(client().payload_key("p"), b"\x0a\x01p")),
    "call signalling": secmsg(TYPES.RTS_SIGNAL, b""),
    "a list for another resource": listed([item(6)], resource="other"),
    "a list without a status": listed([item(6)], status=None),
    "a list that falls": listed([item(6), item(5)]),
    "a list with one sequence twice": listed([item(6), item(6)]),
    "a list that ends before its maximum": listed([item(5)]),
    "an empty list": listed([]),
    "a notice with messages": listed([item(6)], status=2),
    "a list whose packet has no sequence": listed([item(6)], outer=0),
    "a message without a sequence": listed([item(None)]),
    "a message without an id": listed([item(6, packetId=None)]),
    "a message without a type": listed([item(6, type=None)]),
    "a message from nobody": listed([item(6, {"from": None})]),
    "a message to nobody": listed([item(6, {"to": None})]),
    "a message without a payload": listed([item(6, {"payload": None})]),
    "an online message from nobody": secmsg(TYPES.ONLINE_MESSAGE, item(1, {"from": None}).payload),
    "a UC packet for another": uc(UC_TYPES.PONG, pb.UCPing(), BOB),
    "a UC packet for half a user": uc(UC_TYPES.PONG, pb.UCPing(), {"uuid": UUID, "resource": RESOURCE}),
    "a UC request": uc(UC_TYPES.PING, pb.UCPing()),
    "a UC list that falls": uc_list(6, 5),
    "a UC list without its maximum": uc_list(6, most=0),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_passes(name: str) -> None:
    check_frame(GOOD[name], client())


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_does_not(name: str) -> None:
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check_frame(BAD[name], client())


@pytest.mark.parametrize(
    "ack",
    [
        PacketAck(packet_id="m", sequence=1, timestamp=0, code=0),
        PacketAck(packet_id="m", sequence=0, timestamp=1, code=0),
        PacketAck(packet_id="m", sequence=1, timestamp=1, code=400),
    ],
)
def test_numbers_that_a_service_does_not_give_are_found(ack: PacketAck) -> None:
    with pytest.raises(AssertionError):
        check_numbers(Packet(packet_id="p", body=ack))
