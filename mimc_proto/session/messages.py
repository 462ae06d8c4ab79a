"""Messages as applications see them, made of packets."""

from __future__ import annotations

from .._record import new_record
from ..packets import OnlineMessage as OnlinePacket
from ..packets import P2PMessage, P2TMessage, Packet, UcMessage, User
from .events import GroupMessage, Message, OnlineMessage, UnlimitedMessage

__all__ = ["to_message", "to_online_message", "to_unlimited_message"]

_NOBODY = User()


def to_message(packet: Packet) -> Message | GroupMessage:
    """A message out of a list, which has a sequence and a sender."""
    body = packet.body
    assert type(body) is P2PMessage or type(body) is P2TMessage  # lists hold nothing else
    sender, recipient, payload, is_store, biz_type, _ = body
    _, account, uuid, resource, _ = sender
    fields = (
        packet.packet_id or "",
        packet.sequence,
        packet.timestamp or 0,
        account or "",
        resource or "",
        payload,
        biz_type or "",
        is_store is not False,
        uuid or 0,
    )
    if type(body) is P2PMessage:
        return new_record(Message, fields)
    return new_record(GroupMessage, (*fields, recipient.topic_id or 0))


def to_online_message(packet: Packet, body: OnlinePacket) -> OnlineMessage:
    """A message that came outside of lists."""
    sender = body.sender or _NOBODY
    return OnlineMessage(
        packet_id=packet.packet_id or "",
        from_account=sender.account or "",
        from_resource=sender.resource or "",
        payload=body.payload,
        biz_type=body.biz_type or "",
        from_uuid=sender.uuid or 0,
        timestamp=packet.timestamp or 0,
    )


def to_unlimited_message(message: UcMessage) -> UnlimitedMessage:
    """A message out of the list of an unlimited group."""
    sender = message.user or _NOBODY
    return UnlimitedMessage(
        packet_id=message.packet_id or "",
        sequence=message.sequence or 0,
        timestamp=message.timestamp or 0,
        from_account=sender.account or "",
        from_resource=sender.resource or "",
        payload=message.payload,
        biz_type=message.biz_type or "",
        from_uuid=sender.uuid or 0,
        group_id=message.group.topic_id or 0,
    )
