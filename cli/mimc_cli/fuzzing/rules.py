"""What a server's frames have to be, so that no official client breaks on them: for servers of any make.

Each of these was seen: the Go client panics on what it does not expect, Java resets a link whose headers are not what
its own protobuf would write, and lists for somebody else, or without sequences, are dropped or taken for repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mimc_proto import MimcError, PacketError
from mimc_proto.packets import (
    BadPacket,
    BindAnswer,
    ConnAnswer,
    Direction,
    Header,
    Kick,
    KickReason,
    ListStatus,
    OnlineMessage,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    RtsSignal,
    UcMessageList,
    UcPacket,
    User,
)
from mimc_proto.packets.wire import LENGTH, encode_tag, encode_varint, walk

__all__ = ["faults", "header_faults"]

Faults = Iterator[str]


def header_faults(data: bytes) -> Faults:
    """What is wrong with the bytes of a ClientHeader."""
    try:
        header = Header.decode(data)
        fields = list(walk(data))
    except PacketError as error:
        yield f"a header that cannot be read: {error}"
        return
    numbers = [field.number for field in fields]
    if numbers != sorted(set(numbers)):
        yield f"a header whose fields do not ascend, each once ({numbers}): Java resets the link"
    for field in fields:
        wanted = encode_tag(field.number, field.wire_type)
        if isinstance(field.value, int):
            wanted += encode_varint(field.value)
        elif field.wire_type == LENGTH:
            wanted += encode_varint(len(field.value)) + field.value
        else:
            wanted += field.value
        if data[field.start : field.end] != wanted:
            yield f"a header whose field {field.number} takes more bytes than it needs: Java resets the link"
    if header.dir_flag is not None and not isinstance(header.dir_flag, Direction):
        yield f"a dir_flag of 1 to 6 expected, got {header.dir_flag}: Java resets the link"


def faults(header: Header, payload: bytes, uuid: int, resource: str) -> Faults:
    """What is wrong with a frame for this receiver; ``payload`` is plain."""
    check = _COMMANDS.get(header.cmd)
    if check is not None:
        try:
            yield from check(header, payload, User(uuid=uuid, resource=resource))
        except MimcError as error:
            yield f"{header.cmd} that cannot be read: {error}"


def _conn(header: Header, payload: bytes, me: User) -> Faults:
    challenge = ConnAnswer.decode(payload).challenge
    if len(challenge) < 2 or not challenge.isascii():
        yield f"a challenge of at least 2 ASCII characters expected, got {len(challenge)}: Go panics"


def _bind(header: Header, payload: bytes, me: User) -> Faults:
    BindAnswer.decode(payload)  # raises without a result, on which Go panics
    yield from ()


def _kick(header: Header, payload: bytes, me: User) -> Faults:
    kick = Kick.decode(payload)
    if (kick.type == KickReason.SINGLE_RESOURCE) != (kick.reason == KickReason.SINGLE_RESOURCE):
        yield "a takeover that is not both type and reason of its KICK: Go and C++ read only the reason, as its type"


def _sync(header: Header, payload: bytes, me: User) -> Faults:
    yield "SYNC, which asks clients to upload their logs"


def _secmsg(header: Header, payload: bytes, me: User) -> Faults:
    if not header.id:
        yield "a SECMSG without an id in its header: Go panics"
    if header.cipher != 1:
        yield "a SECMSG without cipher 1: clients decrypt it nevertheless"
        return
    packet = Packet.decode(payload)
    check = _BODIES.get(type(packet.body))
    if check is not None:
        yield from check(packet, me)


def _ack(packet: Packet, me: User) -> Faults:
    assert isinstance(packet.body, PacketAck)
    if not packet.body.packet_id:
        yield "an ack without a packetId: Go panics"


def _list(packet: Packet, me: User) -> Faults:
    found = packet.body
    assert isinstance(found, PacketList)
    if (found.uuid, found.resource) != (me.uuid, me.resource):
        yield f"a list for {found.uuid}/{found.resource} to {me.uuid}/{me.resource}: Go panics or clients drop it"
    if not found.max_sequence:
        yield "a list without maxSequence"
    if found.status == ListStatus.EXCEED_COUNT_LIMIT:
        return
    last = 0
    for item in found.packets:
        if isinstance(item, BadPacket):
            yield f"a list with a packet that cannot be read: {item.error}"
            continue
        if item.sequence is None or item.sequence <= last:
            yield f"sequences that rise expected, got {item.sequence} after {last}: clients drop repeats"
        last = item.sequence or last
        if isinstance(item.body, P2PMessage | P2TMessage) and item.body.sender is None:
            yield "a message without from: Go panics"
    if last > (found.max_sequence or 0):
        yield f"maxSequence of at least {last} expected, got {found.max_sequence}"


def _online(packet: Packet, me: User) -> Faults:
    assert isinstance(packet.body, OnlineMessage)
    if not _complete(packet.body.sender):
        yield "an online message whose from is not complete: its acknowledgement finds no way back"


def _unlimited(packet: Packet, me: User) -> Faults:
    found = packet.body
    assert isinstance(found, UcPacket)
    if not _complete(found.user) or (found.user.uuid, found.user.resource) != (me.uuid, me.resource):
        yield "a packet of unlimited groups whose user is not the receiver, with all four fields"
    if isinstance(found.body, UcMessageList):
        sequences = [message.sequence or 0 for message in found.body.messages]
        if sequences != sorted(set(sequences)) or 0 in sequences:
            yield "messages of unlimited groups whose sequences do not rise: clients drop repeats"


def _calls(packet: Packet, me: User) -> Faults:
    yield "RTS_SIGNAL to a client that started no call: Java delivers no more messages"


def _complete(user: User | None) -> bool:
    return user is not None and all((user.app_id, user.account, user.uuid, user.resource))


_COMMANDS: dict[str, Callable[[Header, bytes, User], Faults]] = {
    "CONN": _conn,
    "BIND": _bind,
    "KICK": _kick,
    "SYNC": _sync,
    "SECMSG": _secmsg,
}
_BODIES: dict[type, Callable[[Packet, User], Faults]] = {
    PacketAck: _ack,
    PacketList: _list,
    OnlineMessage: _online,
    UcPacket: _unlimited,
    RtsSignal: _calls,
}
