"""What a client may send once it is bound, with the user's identity filled in."""

from __future__ import annotations

from ._checks import MAX_NAME, check_text
from .errors import LocalProtocolError
from .packets import (
    Body,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    Pull,
    SequenceAck,
    UcJoin,
    UcMessage,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcQuit,
    UcSequenceAck,
    User,
    WireRecord,
)
from .packets.encoders import MessageEncoder
from .packets.lists import END_OF_NUMBERS

__all__ = ["Request", "RequestEncoder", "wants_answer"]

UcRequest = UcPing | UcJoin | UcQuit | UcMessage | UcOnlineUsersQuery | UcSequenceAck
Request = P2PMessage | P2TMessage | OnlineMessage | OnlineMessageAck | SequenceAck | Pull | UcRequest

_UC_REQUESTS = (UcPing, UcJoin, UcQuit, UcMessage, UcOnlineUsersQuery, UcSequenceAck)
_MESSAGES = (P2PMessage, P2TMessage, OnlineMessage)
_ANSWERED = frozenset({P2PMessage, P2TMessage, UcPing, UcJoin, UcQuit, UcMessage, UcOnlineUsersQuery})

MAX_PACKET = 60 * 1024
"""Bytes; with its header a packet has to fit the 64 KiB that servers take."""

LAST_TOPIC = (1 << 64) - 1


def wants_answer(body: Request) -> bool:
    """Whether a server has to answer this within seconds (clients.md rule 1)."""
    return type(body) in _ANSWERED


class RequestEncoder:
    """Encodes the MIMCPackets of one bound user."""

    __slots__ = ("_package", "messages", "user")

    def __init__(self, user: User, package: str) -> None:
        """``user`` has all four fields: the sender of everything. Raises `LocalProtocolError` if it has not."""
        for name in ("app_id", "account", "uuid", "resource"):
            if getattr(user, name) is None:
                raise LocalProtocolError("expected a value, got none", where=f"Credentials.{name}")
        self.messages = MessageEncoder(user, package)
        self._package = package
        self.user = user

    def p2p(self, packet_id: bytes, account: str, payload: bytes, is_store: bool, biz_type: str | None) -> bytes:
        """A message to a user."""
        check_text(account, "account", MAX_NAME)
        return self.messages.p2p(packet_id, account.encode(), payload, is_store, _biz_type(biz_type))

    def p2t(self, packet_id: bytes, topic_id: int, payload: bytes, is_store: bool, biz_type: str | None) -> bytes:
        """A message to a normal group."""
        if not isinstance(topic_id, int) or not 0 <= topic_id <= LAST_TOPIC:
            raise LocalProtocolError(f"expected a number from 0 to 2**64 - 1, got {topic_id!r}", where="topic_id")
        return self.messages.p2t(packet_id, topic_id, payload, is_store, _biz_type(biz_type))

    def encode(self, body: Request, packet_id: str) -> bytes:
        """Any request; what it leaves out is filled in. Raises `LocalProtocolError` for what a client cannot send."""
        if type(body) is SequenceAck:
            uuid, resource, sequence, app_id, unknown = body
            plain = uuid is resource is app_id is None and not unknown
            if plain and type(sequence) is int and 0 <= sequence < END_OF_NUMBERS:
                return self.messages.sequence_ack(packet_id.encode(), sequence)
        packet = Packet(packet_id=packet_id, package=self._package, body=self._complete(body, packet_id)).encode()
        if len(packet) > MAX_PACKET:
            raise LocalProtocolError(f"expected at most {MAX_PACKET} bytes, got {len(packet)}", where="send")
        return packet

    def _complete(self, body: Request, packet_id: str) -> Body:
        user = self.user
        if isinstance(body, _MESSAGES):
            to = body.recipient
            if isinstance(to, WireRecord) and to.app_id is None:
                to = to.replace(app_id=user.app_id)
            return body.replace(sender=body.sender or user, recipient=to)
        if isinstance(body, (SequenceAck, Pull)):
            own = {"uuid": user.uuid, "resource": user.resource, "app_id": user.app_id}
            return body.replace(**{name: value for name, value in own.items() if getattr(body, name) is None})
        if isinstance(body, OnlineMessageAck):
            return body
        if isinstance(body, _UC_REQUESTS):
            if isinstance(body, UcMessage):
                body = body.replace(user=body.user or user, packet_id=body.packet_id or packet_id)
            return UcPacket(user=user, packet_id=packet_id, body=body)
        raise LocalProtocolError(f"a client sends no {type(body).__name__}", where="send")


def _biz_type(text: str | None) -> bytes | None:
    return None if text is None else check_text(text, "biz_type", MAX_NAME, empty=True).encode()
