"""COMPOUND as a client reads it: which of its packets to deliver, in which order, and what to say of the others."""

from __future__ import annotations

from .errors import PacketError, shown_name
from .events import LimitReached, MessagesReceived
from .packets import BadPacket, ListStatus, P2PMessage, P2TMessage, Packet, PacketList

__all__ = ["read_list"]

_WHERE = "MIMCPacket.COMPOUND"
_MESSAGES = (P2PMessage, P2TMessage)


def read_list(packets: PacketList, uuid: int, resource: str) -> MessagesReceived | LimitReached:
    """The event of a list for this user and resource.

    Raises `PacketError` for a list that is another's (WebJS, Go and Java drop it) or cannot be acknowledged.
    """
    if packets.uuid != uuid or packets.resource != resource:
        other = f"{packets.uuid}/{shown_name(packets.resource)}"
        raise PacketError(f"expected a list for {uuid}/{resource}, got {other}", where=_WHERE)
    if packets.max_sequence is None:
        raise PacketError("expected this required field, got none", where=f"{_WHERE}.maxSequence")
    if packets.status == ListStatus.EXCEED_COUNT_LIMIT:
        return LimitReached(min_sequence=packets.min_sequence, max_sequence=packets.max_sequence)
    messages, skipped = _sort(packets.packets)
    return MessagesReceived(packets=messages, skipped=skipped, max_sequence=packets.max_sequence)


def _sort(packets: tuple[Packet | BadPacket, ...]) -> tuple[tuple[Packet, ...], tuple[Packet | BadPacket, ...]]:
    """What a list delivers, in ascending sequence and each sequence once, and what it does not."""
    messages: dict[int, Packet] = {}
    skipped: list[Packet | BadPacket] = []
    for packet in packets:
        if type(packet) is not Packet or not isinstance(body := packet.body, _MESSAGES):
            skipped.append(packet)
            continue
        sequence = packet.sequence
        if sequence is None or body.sender is None:
            missing = "sequence" if sequence is None else "from"
            error = PacketError(f"expected {missing}, got none", where=f"{_WHERE}.packets")
            skipped.append(BadPacket(error=error, packet_id=packet.packet_id, sequence=sequence, inside_list=True))
        elif sequence in messages:
            skipped.append(packet)  # clients drop repeats: the first one counts
        else:
            messages[sequence] = packet
    return tuple(map(messages.__getitem__, sorted(messages))), tuple(skipped)
