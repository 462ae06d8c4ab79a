"""One connection of a `ScriptedServer`, and what it does by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..crypto import body_key
from ..errors import RemoteProtocolError
from ..events import BindRequested, ClientConnected, PacketReceived, ServerEvent, Unbound
from ..framing import Framing
from ..packets import (
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    Pull,
    SequenceAck,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcOnlineUsersAnswer,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcPong,
    UcQuit,
    UcQuitAnswer,
)
from .scripted_verbs import ALL, ScriptedVerbs

if TYPE_CHECKING:
    from .scripted import AckRule, ScriptedServer

__all__ = ["ScriptedLink"]

RECEIVED = 1
"""The code of an ONLINE_MESSAGE_ACK from the receiver's client (wire.md section 5)."""


class ScriptedLink(ScriptedVerbs):
    """A connection of a `ScriptedServer`, which makes it: an `Endpoint`, with the verbs of `ScriptedVerbs`."""

    def __init__(self, server: ScriptedServer, number: int, wake: Callable[[], None]) -> None:
        super().__init__(server, number, wake)
        self._head = b""
        self._left = 0

    # ---------------------------------------------------------------------------------------- what its driver calls

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came: they are taken frame by frame, so that each can be answered or not. See `Endpoint`."""
        for piece, whole in self._pieces(data):
            self._feed(piece, whole, now)

    def receive_eof(self, now: float) -> None:
        """The connection is gone."""
        self.connection.receive_eof(now)
        self._record()

    def send_failed(self, now: float) -> None:
        """The connection broke."""
        self.connection.send_failed(now)
        self._record()

    def data_to_send(self, max_bytes: int = 65536) -> list[bytes]:
        """Frames to write."""
        taken: list[bytes] = []
        size = 0
        while self._output and size < max_bytes:
            frame = self._output.pop(0)
            taken.append(frame)
            size += len(frame)
        return taken

    def get_timer(self) -> float | None:
        """When the link's own deadline is."""
        return self.connection.get_timer()

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self.connection.handle_timer(now)
        self._record()

    def close_expected(self) -> float | None:
        """When to be closed."""
        return self.connection.close_expected()

    # ------------------------------------------------------------------------------------------------------- input

    def _pieces(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The data cut at the ends of frames, and whether a piece ends one."""
        if self.server.framing is Framing.WEBSOCKET:
            yield data, True
            return
        while data:
            size = 8 - len(self._head) if self._left == 0 else self._left
            piece, data = data[:size], data[size:]
            if self._left == 0:
                self._head += piece
                if len(self._head) == 8:
                    self._left, self._head = int.from_bytes(self._head[4:]) + 4, b""
                yield piece, False
            else:
                self._left -= len(piece)
                yield piece, self._left == 0

    def _feed(self, piece: bytes, whole: bool, now: float) -> None:
        broken: RemoteProtocolError | None = None
        try:
            self.connection.receive_data(piece, now)
        except RemoteProtocolError as error:
            broken = error
        events = self.connection.events()
        answers = self.connection.data_to_send(ALL)
        for event in events:
            self.server._record(self, event)
            if isinstance(event, BindRequested):
                self._asked = event
            elif isinstance(event, ClientConnected) and self.server.framing is Framing.TCP:
                self._body_key = body_key(self._challenge, event.conn.udid or "")
        if broken is not None:
            self.server.errors.append(broken)
            raise broken
        if whole and self._close_after is not None:
            self._close_after -= 1
            if self._close_after <= 0:
                self.close()
                return
        if not any(self.server._is_silent_to(event) for event in events):
            self._output += answers
            for event in events:
                self._react(event)

    def _react(self, event: ServerEvent) -> None:
        match event:
            case BindRequested():
                refusal = self.server._next_refusal()
                if refusal is None:
                    self.accept()
                else:
                    self.refuse(*refusal)
            case PacketReceived(packet=packet):
                self._answer(packet, packet.packet_id or event.id)
            case Unbound():
                self.user, self.resource = None, ""
            case _:
                pass

    def _answer(self, packet: Packet, packet_id: str) -> None:
        body = packet.body
        match body:
            case P2PMessage() | P2TMessage() | OnlineMessage() | UcPacket(body=UcMessage()):
                self._plan_acks(packet_id, body, self.server._next_rule())
            case SequenceAck(sequence=sequence):
                self.server._acknowledged(self, sequence)
            case Pull():
                self.server._restart(self)
            case UcPacket(packet_id=request_id):
                answer = _unlimited_answer(body)
                if answer is not None:
                    self.send(answer, packet_id=request_id)
            case _:
                pass

    def _plan_acks(self, packet_id: str, body: object, rule: AckRule) -> None:
        sequence = rule.sequence  # the same in every repetition
        if sequence is None and not rule.code:
            sequence = self.server.next_sequence()

        def acknowledge() -> None:
            if not self.bound:
                return
            if isinstance(body, OnlineMessage):
                user, code = self._user(), rule.code or RECEIVED
                ack = OnlineMessageAck(packet_id=packet_id, uuid=user.uuid, resource=self.resource, code=code)
                self.send(ack, packet_id=packet_id)
            else:
                self.ack(packet_id, code=rule.code, error_message=rule.error_message, sequence=sequence)

        for _ in range(rule.times):
            if rule.delay > 0:
                self.server.clock.call_later(rule.delay, acknowledge, "a late acknowledgement")
            else:
                acknowledge()


def _unlimited_answer(packet: UcPacket) -> UcPong | UcJoinAnswer | UcQuitAnswer | UcOnlineUsersAnswer | None:
    match packet.body:
        case UcPing():
            return UcPong(payload=b"")
        case UcJoin(group=group):
            return UcJoinAnswer(group=group, code=0)
        case UcQuit(group=group):
            return UcQuitAnswer(group=group, code=0)
        case UcOnlineUsersQuery(group=group):
            return UcOnlineUsersAnswer(group=group, user_count=1)
        case _:  # an acknowledgement wants no answer
            return None
