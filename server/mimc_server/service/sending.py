"""Messages on their way up: checked, stored in batches, acknowledged when they are stored, and then carried on.

One commit runs at a time; what comes meanwhile goes into the next one (design.md section 5, rule 3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from mimc_proto._checks import MAX_ID
from mimc_proto._record import new_record
from mimc_proto.errors import LocalProtocolError
from mimc_proto.packets import OnlineMessage, P2PMessage, P2TMessage, Packet, PacketAck, UcMessage

from ..store import AckCode, Acknowledgement, Appended, Kind, NewMessage, Refused, Stored, StoreError
from .config import MAX_TEXT
from .delivery import Delivery
from .events import CallbackFailed, MessageRefused, PacketIgnored
from .hints import Committed
from .links import Core, Session
from .login import Login
from .rates import Rates
from .requests import Acknowledge, Append

__all__ = ["Sending"]

MAX_ANSWERED = 8192
"""Bytes of the longest packet id that an ack can repeat."""

MOST_UNANSWERED = 1024
"""Online messages of a session whose answers are still taken: its client waits ten seconds for them."""

OVERHEAD = 256
"""What a message that waits takes beside its payload, in bytes."""

Answered = Callable[[Appended], object]
_P2P, _P2T, _UNLIMITED, _ONLINE = Kind
_TAKEN_OVER = AckCode.TAKEN_OVER
_TOO_MANY = Refused(code=AckCode.TOO_MANY, message="too many messages wait for the store: send again, more slowly")
_FAILED = Refused(code=AckCode.STORE_FAILED, message="the message could not be stored: send it again")


class _Waiting(NamedTuple):
    """A message on its way to the store, and who is to hear of it."""

    message: NewMessage
    session: Session | None
    packet_id: str
    answered: Answered | None


class Sending:
    """The part of a service that takes messages and acknowledgements up."""

    def __init__(
        self,
        core: Core,
        delivery: Delivery,
        login: Login,
        fan_out: Callable[[tuple[tuple[NewMessage, Stored], ...]], None],
    ) -> None:
        self._core = core
        self._delivery = delivery
        self._login = login
        self._fan_out = fan_out
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._of_account: dict[int, list[int]] = {}  # count and bytes that wait
        self._running = 0
        self.stored = [0] * (max(Kind) + 1)
        """Messages so far, by kind; `repeated` are those that had been stored before."""
        self.repeated = 0
        self._told: deque[tuple[Answered, Appended]] = deque()
        self._acks: dict[tuple[int, str, int], tuple[Session, int]] = {}
        self._acknowledging = self._acks_failed = False
        config = core.config
        self._rates = Rates(config.account_rate, config.account_burst) if config.account_rate else None
        self._too_fast = Refused(
            code=AckCode.TOO_MANY,
            message=f"expected at most {config.account_rate} messages a second of an account (account_rate), and"
            f" {config.account_burst} at once (account_burst): send again, more slowly",
        )

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages that wait for the store, or that it is storing, and their bytes."""
        return len(self._queue) + self._running, self._bytes

    # ---------------------------------------------------------------------------------------------------- messages

    def message(self, session: Session, packet: Packet, kind: Kind) -> None:
        """A P2P, P2T or online message came. Who sends it, the session says, not the packet (rule 20)."""
        body = packet.body
        assert isinstance(body, (P2PMessage, P2TMessage, OnlineMessage))
        recipient = body.recipient
        target = recipient[1]  # User.account or Group.topic_id
        stored = body.is_store is not False
        self.take(session, packet.packet_id, packet.packet_id, kind, target, body.payload, body.biz_type, stored)

    def uc_message(self, session: Session, packet: Packet, inner_id: str, body: UcMessage) -> None:
        """A message to an unlimited group; WebJS uses another id inside, which its receivers get."""
        inner_id = body.packet_id or inner_id
        target, stored = body.group.topic_id, body.is_store is not False
        self.take(session, packet.packet_id, inner_id, Kind.UNLIMITED, target, body.payload, body.biz_type, stored)

    def take(
        self,
        session: Session,
        answer_id: str | None,
        packet_id: str | None,
        kind: Kind,
        target: str | int | None,
        payload: bytes,
        biz_type: str | None,
        is_store: bool,
    ) -> None:
        """Queue a message of a session, or refuse it; the answer goes to ``answer_id``."""
        core = self._core
        if not answer_id or not packet_id or not _fits(answer_id, MAX_ANSWERED):
            core.events.append(PacketIgnored(link_id=session.link.id, what="a message without a usable packet id"))
            return
        if self._rates is not None and not self._rates.take(session.key[0], core.now):
            refused: Refused | None = self._too_fast
        else:
            refused = self._check(packet_id, kind, target, payload, biz_type)
        if refused is None:
            app_id, member, resource, epoch = session.app_id, session.member, session.key[1], session.epoch
            fields = (app_id, member, resource, epoch, packet_id, kind, target, payload, biz_type, is_store)
            message = new_record(NewMessage, fields)
            if self._enqueue(_Waiting(message, session, answer_id, None)):
                return
            refused = _TOO_MANY
        self._answer(session, answer_id, refused, kind)

    def _check(
        self, packet_id: str, kind: Kind, target: str | int | None, payload: bytes, biz_type: str | None
    ) -> Refused | None:
        if len(payload) > self._core.config.max_payload:
            most = self._core.config.max_payload
            return Refused(code=AckCode.TOO_LARGE, message=f"expected at most {most} bytes, got {len(payload)}")
        if kind is _P2P or kind is _ONLINE:
            good = type(target) is str and target != "" and _fits(target, MAX_TEXT)
        else:
            good = type(target) is int and target < 1 << 63
        if not good:
            return Refused(code=AckCode.BAD_REQUEST, message="expected a receiver with an account, or a topic id")
        longest = MAX_ID if kind is _ONLINE else MAX_TEXT
        if not _fits(packet_id, longest) or (biz_type and not _fits(biz_type, MAX_TEXT)):
            text = f"expected a packet id of at most {longest} bytes, and a bizType of at most {MAX_TEXT}"
            return Refused(code=AckCode.BAD_REQUEST, message=text)
        return None

    def push(self, message: NewMessage, answered: Answered) -> None:
        """A message of the application's server; ``answered`` hears what becomes of it."""
        refused = self._check(message.packet_id, message.kind, message.target, message.payload, message.biz_type)
        if refused is None and not self._enqueue(_Waiting(message, None, "", answered)):
            refused = _TOO_MANY
        if refused is not None:
            self._told.append((answered, refused))

    def tell(self) -> None:
        """Call back, as the last thing in an input. What one callback raises is told, and costs nobody else anything:
        let out, it would be lost on a driver, with all that the driver was about to do."""
        while self._told:
            answered, appended = self._told.popleft()
            try:
                answered(appended)
            except Exception as error:
                self._core.events.append(CallbackFailed(error=error))

    def _enqueue(self, waiting: _Waiting) -> bool:
        config, uuid = self._core.config, waiting.message.sender.uuid
        size = len(waiting.message.payload) + OVERHEAD
        if len(self._queue) + self._running >= config.max_waiting or self._bytes + size > config.max_waiting_bytes:
            return False
        of_account = self._of_account.get(uuid)
        if of_account is None:
            of_account = self._of_account[uuid] = [0, 0]
        elif (
            of_account[0] >= config.max_waiting_of_account or of_account[1] + size > config.max_waiting_bytes_of_account
        ):
            return False
        of_account[0] += 1
        of_account[1] += size
        self._bytes += size
        self._queue.append(waiting)
        return True

    def _settle(self, batch: list[_Waiting]) -> None:
        """These wait no more."""
        accounts = self._of_account
        for waiting in batch:
            message = waiting.message
            size, uuid = len(message.payload) + OVERHEAD, message.sender.uuid
            self._bytes -= size
            of_account = accounts[uuid]
            of_account[0] -= 1
            of_account[1] -= size
            if not of_account[0]:
                del accounts[uuid]

    # ------------------------------------------------------------------------------------------------------ commit

    def commit(self) -> None:
        """Give the store what waits, if it has nothing to do.

        Called when the driver asks for its requests, so that what came since it last did is stored together.
        """
        core, queue = self._core, self._queue
        if queue and not self._running:
            batch = [queue.popleft() for _ in range(min(len(queue), core.config.max_batch))]
            self._running = len(batch)
            core.ask(
                Append(request_id=core.next_id(), batch=[waiting.message for waiting in batch]),
                lambda answer: self._committed(batch, answer),
            )
        if self._acks and not self._acknowledging:
            self._acknowledge()

    def _committed(self, batch: list[_Waiting], answer: list[Appended] | StoreError) -> None:
        self._running = 0
        core = self._core
        answers: list[Appended]
        if isinstance(answer, StoreError):
            core.failed("storing messages", answer)
            answers = [_FAILED] * len(batch)
        else:
            answers = answer
        self._settle(batch)
        new = []
        for waiting, appended in zip(batch, answers, strict=True):
            session = waiting.session
            if session is not None:
                self._answer(session, waiting.packet_id, appended, waiting.message.kind)
            else:
                assert waiting.answered is not None  # one of the two wants to know
                self._told.append((waiting.answered, appended))
            if type(appended) is not Stored:
                continue
            if appended.repeated:
                self.repeated += 1
            else:
                self.stored[waiting.message.kind] += 1
                new.append((waiting.message, appended))
                if waiting.message.kind is _ONLINE and session is not None:
                    _await_answers(session, waiting.message, appended)
        if new:
            items = tuple(new)
            core.tell(Committed(items=items))
            self._fan_out(items)

    def _answer(self, session: Session, packet_id: str, appended: Appended, kind: Kind) -> None:
        """PACKET_ACK. For online messages only a refusal: their senders wait for the receiver's answer instead."""
        core, link = self._core, session.link
        if link.session is not session:
            return
        if type(appended) is Stored:
            if kind is not _ONLINE:
                sequence, timestamp, index = appended.sequence, appended.timestamp, appended.conv_index
                ack = new_record(PacketAck, (packet_id, None, None, sequence, timestamp, None, None, None, index, b""))
                try:
                    link.connection.send(ack, now=core.now)
                except LocalProtocolError as error:
                    core.dropped(session, "PacketAck", error)
                core.dirty[link.id] = None
            return
        assert isinstance(appended, Refused)
        self._refuse(session, packet_id, appended, kind)

    def _refuse(self, session: Session, packet_id: str, refused: Refused, kind: Kind) -> None:
        core = self._core
        core.push(
            session,
            PacketAck(
                packet_id=packet_id, code=int(refused.code), error_message=refused.message, timestamp=core.wall_ms
            ),
        )
        core.events.append(
            MessageRefused(
                account=session.member.account,
                uuid=session.uuid,
                resource=session.resource,
                packet_id=packet_id,
                kind=kind,
                code=refused.code,
            )
        )
        if refused.code is _TAKEN_OVER:  # a hint was lost: the session has ended without knowing it
            self._login.displaced(session, session.epoch + 1)

    # ------------------------------------------------------------------------------------------------ SEQUENCE_ACK

    def acknowledged(self, session: Session, sequence: int) -> None:
        """SEQUENCE_ACK came. Whose it is, the session says."""
        if not 0 <= sequence < 1 << 63:
            return
        key = (*session.key, session.epoch)
        _, before = self._acks.get(key, (session, 0))
        self._acks[key] = (session, max(before, sequence))
        self._delivery.acknowledged(session, sequence)

    def _acknowledge(self) -> None:
        core = self._core
        pending, self._acks = self._acks, {}
        acks = [
            Acknowledgement(uuid=uuid, resource=resource, epoch=epoch, sequence=sequence)
            for (uuid, resource, epoch), (_, sequence) in pending.items()
        ]
        self._acknowledging = True
        core.ask(
            Acknowledge(request_id=core.next_id(), acks=acks),
            lambda answer: self._moved(pending, answer),
        )

    def _moved(
        self, pending: dict[tuple[int, str, int], tuple[Session, int]], answer: list[int | None] | StoreError
    ) -> None:
        if isinstance(answer, StoreError):
            self._core.failed("acknowledging", answer)
            self._keep(pending)
            return
        self._acknowledging = False
        for (session, sequence), position in zip(pending.values(), answer, strict=True):
            if position is not None:
                self._delivery.moved(session, position, sequence)
            elif session.link.session is session:
                self._login.displaced(session, session.epoch + 1)

    def _keep(self, pending: dict[tuple[int, str, int], tuple[Session, int]]) -> None:
        """What the store did not take is tried again with the sweep; a newer one of the same session counts."""
        self._acks_failed = True
        for key, (session, sequence) in pending.items():
            self._acks[key] = (session, max(sequence, self._acks.get(key, (session, 0))[1]))

    def retry(self) -> None:
        """The sweep: acknowledgements that the store did not take may go again; who did not send is forgotten."""
        if self._rates is not None:
            self._rates.forget_full(self._core.now)
        if self._acks_failed:
            self._acks_failed = self._acknowledging = False


def _await_answers(session: Session, message: NewMessage, stored: Stored) -> None:
    """Who may answer an online message is settled when it is carried on, or whoever guesses its id could."""
    sent = session.online_sent
    for delivery in stored.deliveries:
        sent[message.packet_id] = delivery.receiver
    if len(sent) > MOST_UNANSWERED:
        del sent[next(iter(sent))]


def _fits(text: str, most: int) -> bool:
    size = len(text)
    return size <= most and (size * 4 <= most or text.isascii() or len(text.encode()) <= most)
