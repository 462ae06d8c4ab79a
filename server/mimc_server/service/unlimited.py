"""Unlimited groups and online messages: what reaches those who are online now, and is kept for nobody (wire.md 6)."""

from __future__ import annotations

from bisect import bisect_right

from mimc_proto._checks import MAX_ID
from mimc_proto.packets import (
    Group,
    OnlineMessage,
    OnlineMessageAck,
    Packet,
    UcDismiss,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcOnlineUsersAnswer,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcPong,
    UcQuit,
    UcQuitAnswer,
    User,
)

from ..store import AckCode, NewMessage, Refused, Stored, StoreError
from .config import ENVELOPE, MAX_TEXT, OVERHEAD
from .hints import OnlineAcked, UcDismissed, UcLeft
from .links import Core, Presence, Session
from .requests import ChangeMembership, CheckMembership
from .sending import Sending

__all__ = ["Unlimited"]

MOST_GROUPS = 1024
"""Unlimited groups that the store is asked about for one PING. If it names more, the next one asks about the others."""

MOST_ASKING = 64
"""Requests of a session that wait for the store."""

_TOO_MANY = Refused(code=AckCode.TOO_MANY, message="too many requests wait for the store: ask again, more slowly")
_FAILED = Refused(code=AckCode.STORE_FAILED, message="the store failed: try again")
_NO_GROUP = Refused(code=AckCode.BAD_REQUEST, message="expected a group with its topic id")


class Unlimited:
    """The part of a service that carries what is not stored for the absent."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._online: dict[tuple[int, int], dict[Session, None]] = {}  # by application and topic

    # ---------------------------------------------------------------------------------------------- unlimited groups

    def packet(self, session: Session, packet: Packet, uc: UcPacket, sending: Sending) -> None:
        """A UC packet came. SEQ_ACK needs no answer, and nothing is kept that it could acknowledge."""
        body = uc.body
        if isinstance(body, UcMessage):
            sending.uc_message(session, packet, uc.packet_id, body)
        elif not _answerable(uc.packet_id):
            return
        elif isinstance(body, UcPing):
            self._ping(session, uc.packet_id, body)
        elif isinstance(body, (UcJoin, UcQuit)):
            self._change(session, uc.packet_id, body.group.topic_id, isinstance(body, UcJoin))
        elif isinstance(body, UcOnlineUsersQuery):
            self._count(session, uc.packet_id, body.group.topic_id)

    def _ping(self, session: Session, packet_id: str, ping: UcPing) -> None:
        """All groups the client has joined, some unknown or named twice (WebJS).

        What the store confirmed too long ago does not count any more: it is asked again, and until it has answered the
        session is online there only for what is left of its time.
        """
        core = self._core
        core.push(session, UcPong(), packet_id)
        earliest = core.now - core.config.uc_timeout
        unknown, stale = [], []
        for topic in {group.topic_id for group in ping.groups}:
            if topic is None or not _usable(topic):
                continue
            presence = session.topics.get(topic)
            if presence is None:
                unknown.append(topic)
            elif presence.confirmed < earliest:
                stale.append(topic)
            else:
                session.topics[topic] = Presence(core.now, presence.confirmed)
        if (unknown or stale) and session.asking < MOST_ASKING:  # else the next PING asks
            session.asking += 1
            topics = self._most_urgent(session, unknown, stale)
            core.ask(
                CheckMembership(request_id=core.next_id(), uuid=session.uuid, topic_ids=topics),
                lambda answer: self._checked(session, topics, answer),
            )

    @staticmethod
    def _most_urgent(session: Session, unknown: list[int], stale: list[int]) -> tuple[int, ...]:
        """As many as may be asked about: those that would end, then the others in turn (WebJS forgets none)."""
        stale.sort(key=session.topics.__getitem__)
        unknown.sort()
        next_one = bisect_right(unknown, session.looked_up)
        in_turn = [*unknown[next_one:], *unknown[:next_one]][: max(0, MOST_GROUPS - len(stale))]
        if in_turn:
            session.looked_up = in_turn[-1]
        return (*stale[:MOST_GROUPS], *in_turn)

    def _checked(self, session: Session, asked: tuple[int, ...], found: list[int] | StoreError) -> None:
        session.asking -= 1
        if isinstance(found, StoreError):
            self._core.failed("looking up unlimited groups", found)
        elif session.link.session is session:
            for topic in found:
                self._arrive(session, topic)
            for topic in session.topics.keys() & set(asked) - set(found):
                self._leave(session, topic)

    def _change(self, session: Session, packet_id: str, topic: int | None, joins: bool) -> None:
        core = self._core
        if topic is None or not _usable(topic):
            self._answer(session, packet_id, topic or 0, joins, _NO_GROUP)
        elif session.asking >= MOST_ASKING:
            self._answer(session, packet_id, topic, joins, _TOO_MANY)
        else:
            session.asking += 1
            core.ask(
                ChangeMembership(request_id=core.next_id(), uuid=session.uuid, topic_id=topic, joins=joins),
                lambda answer: self._changed(session, packet_id, topic, joins, answer),
            )

    def _changed(
        self, session: Session, packet_id: str, topic: int, joins: bool, answer: Refused | StoreError | None
    ) -> None:
        session.asking -= 1
        if isinstance(answer, StoreError):
            self._core.failed("a change of an unlimited group", answer)
            answer = _FAILED
        if answer is None and not joins:
            self.left(UcLeft(app_id=session.app_id, topic_id=topic, uuids=(session.uuid,)), tell=True)
        if session.link.session is session:
            if answer is None and joins:
                self._arrive(session, topic)
            self._answer(session, packet_id, topic, joins, answer)

    def _answer(self, session: Session, packet_id: str, topic: int, joins: bool, answer: Refused | None) -> None:
        kind = UcJoinAnswer if joins else UcQuitAnswer
        code, text = (AckCode.OK, "") if answer is None else (answer.code, answer.message)
        group = Group(app_id=session.app_id, topic_id=topic)
        self._core.push(session, kind(group=group, code=int(code), text=text), packet_id)

    def _count(self, session: Session, packet_id: str, topic: int | None) -> None:
        group = Group(app_id=session.app_id, topic_id=topic or 0)
        count = self.online(session.app_id, topic or 0)
        self._core.push(session, UcOnlineUsersAnswer(group=group, user_count=count), packet_id)

    @property
    def groups(self) -> int:
        """Groups in which somebody is online on this node, or has been a short time ago."""
        return len(self._online)

    def online(self, app_id: int, topic: int) -> int:
        """Users, not sessions, who are online on this node."""
        return len({member.uuid for member in self._members(app_id, topic)})

    def _arrive(self, session: Session, topic: int) -> None:
        session.topics[topic] = Presence(self._core.now, self._core.now)
        self._online.setdefault((session.app_id, topic), {})[session] = None

    def _leave(self, session: Session, topic: int) -> None:
        del session.topics[topic]
        online = self._online[session.app_id, topic]
        del online[session]
        if not online:
            del self._online[session.app_id, topic]

    def session_ended(self, session: Session) -> None:
        """It is online nowhere."""
        for topic in list(session.topics):
            self._leave(session, topic)

    def _members(self, app_id: int, topic: int) -> list[Session]:
        """Who is online in a group; who has not said so for too long is forgotten here."""
        earliest = self._core.now - self._core.config.uc_timeout
        members = []
        for session in list(self._online.get((app_id, topic), ())):
            if session.topics[topic].said < earliest:
                self._leave(session, topic)
            else:
                members.append(session)
        return members

    def left(self, hint: UcLeft, *, tell: bool = False) -> None:
        """These users are no members any more, on whatever resource they are online."""
        for uuid in hint.uuids:
            for session in self._core.users.get(uuid, ()):
                if session.app_id == hint.app_id and hint.topic_id in session.topics:
                    self._leave(session, hint.topic_id)
        if tell:
            self._core.tell(hint)

    def dismissed(self, hint: UcDismissed) -> None:
        """Members who are online hear that their group is gone."""
        group = Group(app_id=hint.app_id, topic_id=hint.topic_id)
        for session in self._members(hint.app_id, hint.topic_id):
            self._core.push(session, UcDismiss(group=group), timestamp=self._core.wall_ms)
            self._leave(session, hint.topic_id)

    # ------------------------------------------------------------------------------------------------ after a commit

    def messages(self, app_id: int, topic: int, items: list[tuple[NewMessage, Stored]]) -> None:
        """Messages of one group in the order of their sequences; the sender is a member like any other."""
        members = self._members(app_id, topic)
        if not members:
            return
        core, group = self._core, Group(app_id=app_id, topic_id=topic)
        for chunk in self._chunks(group, items):
            messages = UcMessageList(group=group, messages=tuple(chunk))
            for session in members:
                core.push_if_room(session, messages, None, chunk[-1].timestamp)

    def _chunks(self, group: Group, items: list[tuple[NewMessage, Stored]]) -> list[list[UcMessage]]:
        link = self._core.config.link
        chunks: list[list[UcMessage]] = []
        room = -1
        for message, stored in items:
            uc = _uc_message(group, message, stored)
            size = OVERHEAD + len(uc.encode())
            if room < size or len(chunks[-1]) >= link.max_list_messages:
                chunks.append([])
                room = link.max_list_bytes - ENVELOPE
            chunks[-1].append(uc)
            room -= size
        return chunks

    # ----------------------------------------------------------------------------------------------- online messages

    def online_message(self, message: NewMessage, stored: Stored) -> None:
        """To every session that the receiver has now."""
        core = self._core
        sender = User(
            app_id=message.app_id,
            account=message.sender.account,
            uuid=message.sender.uuid,
            resource=message.resource,
        )
        for delivery in stored.deliveries:
            body = OnlineMessage(
                sender=sender,
                recipient=User(app_id=message.app_id, account=str(message.target), uuid=delivery.receiver),
                payload=message.payload,
                is_store=message.is_store,
                biz_type=message.biz_type,
            )
            for session in core.users.get(delivery.receiver, ()):
                core.push_if_room(session, body, message.packet_id, stored.timestamp)

    def online_ack(self, session: Session, ack: OnlineMessageAck) -> None:
        """The receiver's answer goes to the session that it names: it copied that from the message's sender."""
        if ack.uuid is None or ack.resource is None or not _answerable(ack.packet_id):
            return
        hint = OnlineAcked(
            app_id=session.app_id,
            uuid=ack.uuid,
            resource=ack.resource,
            receiver=session.uuid,
            packet_id=ack.packet_id,
            code=ack.code,
            error_message=(ack.error_message or "")[: MAX_TEXT // 4] or None,
        )
        if not self.online_acked(hint):
            self._core.tell(hint)

    def online_acked(self, hint: OnlineAcked) -> bool:
        """Whether the session is here."""
        core = self._core
        session = core.sessions.get((hint.uuid, hint.resource))
        if session is None or session.app_id != hint.app_id:
            return False
        if session.online_sent.get(hint.packet_id) != hint.receiver:  # the message was not for who answers it
            return True
        body = OnlineMessageAck(packet_id=hint.packet_id, code=hint.code, error_message=hint.error_message)
        core.push_if_room(session, body, hint.packet_id, None)
        return True


def _usable(topic: int) -> bool:
    return topic < 1 << 63


def _answerable(packet_id: str | None) -> bool:
    """Whether an answer can repeat it: what can never be answered is not done either."""
    return bool(packet_id) and len(str(packet_id).encode()) <= MAX_ID


def _uc_message(group: Group, message: NewMessage, stored: Stored) -> UcMessage:
    return UcMessage(
        group=group,
        payload=message.payload,
        sequence=stored.sequence,
        is_store=message.is_store,
        user=User(
            app_id=message.app_id,
            account=message.sender.account,
            uuid=message.sender.uuid,
            resource=message.resource,
        ),
        timestamp=stored.timestamp,
        packet_id=message.packet_id,
        biz_type=message.biz_type,
    )
