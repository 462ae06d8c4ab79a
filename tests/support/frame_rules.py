"""What every frame of a server has to be, so that no official client trips over it (clients.md, all rules at once)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from mimc_proto import Framing, pb
from mimc_proto.crypto import rc4
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Packet, PacketAck, PacketList, UcMessageList, UcPacket

from .links import Frame, ScriptedClient

__all__ = ["check_frame", "check_numbers"]

DOWNWARDS = {"CONN", "BIND", "PING", "SECMSG", "KICK"}
"""All that a server sends: never SYNC (rule 21), and nothing that clients ignore."""


def check_frame(frame: bytes, peer: ScriptedClient) -> None:
    """Fail if some official client would panic on this frame, reset its link over it, or misread it.

    ``peer`` is the client that got it, with its keys. Whatever protobuf there is has to be the bytes that protobuf
    itself would make of it: Java compares headers with that (rule 5), and nobody minds for the rest.
    """
    if peer.framing is Framing.TCP:
        _check_tcp(frame)
    if frame == EMPTY_FRAME:
        return
    assert zlib.adler32(frame[:-4]) == int.from_bytes(frame[-4:], "big")
    found = peer.read(frame)  # checks magic, version, and that the lengths fit
    header = _canonical(pb.ClientHeader, found.header_bytes)
    assert header.cmd in DOWNWARDS
    assert header.HasField("dir_flag")  # an enum: what is set is from 1 to 6
    assert header.cipher == (1 if header.cmd == "SECMSG" else 0)
    _COMMANDS[header.cmd](found, peer)


def _check_tcp(frame: bytes) -> None:
    """Go crashes on bodies of 1 to 7 bytes; the empty frame is one and the same for ever."""
    size = int.from_bytes(frame[4:8], "big")
    assert size == len(frame) - 12
    assert frame == EMPTY_FRAME or size >= 8


def _canonical(kind: Any, data: bytes) -> Any:
    """The message in these bytes, if they are what protobuf makes of it and nothing required is missing."""
    message = kind.FromString(data)
    message.DiscardUnknownFields()
    assert message.IsInitialized()
    assert message.SerializeToString() == data, (message, data)
    return message


def _check_conn(found: Frame, _: ScriptedClient) -> None:
    assert len(_canonical(pb.XMMsgConnResp, found.payload).challenge) >= 2


def _check_bind(found: Frame, _: ScriptedClient) -> None:
    answer = _canonical(pb.XMMsgBindResp, found.payload)
    assert answer.HasField("result")
    assert answer.result or (answer.error_type and answer.error_reason)


def _check_ping(found: Frame, _: ScriptedClient) -> None:
    assert found.payload == b""


def _check_kick(found: Frame, _: ScriptedClient) -> None:
    """Empty after UBND; else it says the same to those who read it as XMMsgKick and as XMMsgBindResp (rule 4)."""
    kick, as_answer = _canonical(pb.XMMsgKick, found.payload), pb.XMMsgBindResp.FromString(found.payload)
    assert not as_answer.HasField("result")
    assert as_answer.error_type == kick.reason
    assert bool(found.payload) == bool(kick.reason)
    assert (kick.type == "single-resource-kick") == (kick.reason == "single-resource-kick")


def _check_secmsg(found: Frame, peer: ScriptedClient) -> None:
    header = pb.ClientHeader.FromString(found.header_bytes)
    assert header.id
    assert (header.uuid, header.resource) == (peer.uuid, peer.resource)
    packet = _canonical(pb.MIMCPacket, rc4(peer.payload_key(header.id), found.payload))
    assert packet.packetId
    assert packet.package
    assert packet.HasField("type")
    assert packet.type in _TYPES  # RTS_SIGNAL is not among them (rule 16)
    _TYPES[packet.type](packet, peer)


def _check_ack(packet: Any, peer: ScriptedClient) -> None:
    ack = _canonical(pb.MIMCPacketAck, packet.payload)
    assert ack.packetId
    assert (ack.uuid, ack.resource) == (peer.uuid, peer.resource)
    assert ack.HasField("sequence")
    assert ack.HasField("timestamp")
    assert ack.code == 0 or ack.errorMsg


def _check_list(packet: Any, peer: ScriptedClient) -> None:
    """Rule 9; Java, Go and WebJS drop a list for another resource, and messages without a sequence are one to them."""
    listed = _canonical(pb.MIMCPacketList, packet.payload)
    assert (listed.uuid, listed.resource) == (peer.uuid, peer.resource)
    assert listed.HasField("status")
    assert listed.maxSequence > 0
    sequences = [item.sequence for item in listed.packets]
    assert sequences == sorted(set(sequences))
    assert bool(sequences) == (listed.status == 1)
    assert not sequences or sequences[-1] == listed.maxSequence
    assert not sequences or packet.sequence == listed.maxSequence
    for item in listed.packets:
        assert item.packetId
        assert item.HasField("sequence")
        assert item.HasField("type")
        assert item.type in (pb.MIMC_MSG_TYPE.P2P_MESSAGE, pb.MIMC_MSG_TYPE.P2T_MESSAGE)
        kind = pb.MIMCP2PMessage if item.type == pb.MIMC_MSG_TYPE.P2P_MESSAGE else pb.MIMCP2TMessage
        message = _canonical(kind, item.payload)
        _check_user(getattr(message, "from"))
        assert message.HasField("to")
        assert message.to.appId
        assert message.to.appAccount if item.type == pb.MIMC_MSG_TYPE.P2P_MESSAGE else message.to.topicId
        assert message.HasField("payload")


def _check_user(user: Any) -> None:
    assert user.appId
    assert user.appAccount
    assert user.uuid
    assert user.resource


def _check_online(packet: Any, _: ScriptedClient) -> None:
    message = _canonical(pb.MIMCP2PMessage, packet.payload)
    _check_user(getattr(message, "from"))  # the receiver's ack finds its way back by these
    assert message.to.appAccount


def _check_online_ack(packet: Any, peer: ScriptedClient) -> None:
    ack = _canonical(pb.MIMCOnlineMessageAck, packet.payload)
    assert ack.packetId
    assert (ack.uuid, ack.resource) == (peer.uuid, peer.resource)


def _check_uc(packet: Any, peer: ScriptedClient) -> None:
    """Rule 11: the user is the receiver, and all four fields are there."""
    uc = _canonical(pb.UCPacket, packet.payload)
    _check_user(uc.user)
    assert (uc.user.uuid, uc.user.resource) == (peer.uuid, peer.resource)
    assert uc.packetId
    body = _canonical(_UC_BODIES[uc.type], uc.payload)
    if uc.type == pb.UC_MSG_TYPE.MESSAGE_LIST:
        sequences = [message.sequence for message in body.message]
        assert sequences == sorted(set(sequences))
        assert sequences[-1] == body.maxSequence > 0
        for message in body.message:
            _check_user(message.user)
            assert message.packetId


def check_numbers(packet: Packet) -> None:
    """Fail if a packet lacks the numbers that a whole service gives: sequences and times, 0 only in refusals."""
    body = packet.body.body if isinstance(packet.body, UcPacket) else packet.body
    if isinstance(body, PacketAck):
        assert (body.timestamp or 0) > 0
        assert bool(body.code) == (not body.sequence)
    elif isinstance(body, PacketList):
        numbers = [(item.sequence or 0, item.timestamp or 0) for item in body.packets if isinstance(item, Packet)]
        assert all(sequence > 0 and timestamp > 0 for sequence, timestamp in numbers)
    elif isinstance(body, UcMessageList):
        assert all((message.sequence or 0) > 0 and (message.timestamp or 0) > 0 for message in body.messages)


_COMMANDS: dict[str, Callable[[Frame, ScriptedClient], None]] = {
    "CONN": _check_conn,
    "BIND": _check_bind,
    "PING": _check_ping,
    "KICK": _check_kick,
    "SECMSG": _check_secmsg,
}
_TYPES: dict[int, Callable[[Any, ScriptedClient], None]] = {
    pb.MIMC_MSG_TYPE.PACKET_ACK: _check_ack,
    pb.MIMC_MSG_TYPE.COMPOUND: _check_list,
    pb.MIMC_MSG_TYPE.ONLINE_MESSAGE: _check_online,
    pb.MIMC_MSG_TYPE.ONLINE_MESSAGE_ACK: _check_online_ack,
    pb.MIMC_MSG_TYPE.UC_PACKET: _check_uc,
}
_UC_BODIES: dict[int, Any] = {
    pb.UC_MSG_TYPE.PONG: pb.UCPing,
    pb.UC_MSG_TYPE.JOIN_RESP: pb.UCJoinResp,
    pb.UC_MSG_TYPE.QUIT_RESP: pb.UCQuitResp,
    pb.UC_MSG_TYPE.MESSAGE_LIST: pb.UCMessageList,
    pb.UC_MSG_TYPE.DISMISS: pb.UCDismiss,
    pb.UC_MSG_TYPE.QUERY_ONLINE_USERS_RESP: pb.UCQueryOnlineUsersResp,
}
