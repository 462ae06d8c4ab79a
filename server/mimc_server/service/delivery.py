"""Getting stored messages to those who are online: directly after the commit, from the store where that does not do.

A session's messages come in the order of its inbox: a message is delivered directly if it is the next one, and there
is room in the session's window; else the store is read, when there is room again. Only BIND and an answered PULL go
back to what is not acknowledged.
"""

from __future__ import annotations

from mimc_proto.errors import LocalProtocolError, QueueFull
from mimc_proto.packets import ListStatus, PacketList
from mimc_proto.packets.lists import ListItem, group_side, list_item, user_side

from ..store import InboxMessage, InboxPage, Kind, NewMessage, Stored, StoreError
from .config import ENVELOPE, NEVER
from .links import Core, Flow, Session
from .requests import Backlog, ReadInbox

__all__ = ["Delivery"]

_P2P = Kind.P2P  # an enum's attributes are slow to reach
_OPEN, _READING, _NOTICED, _STALLED = Flow


class Delivery:
    """The part of a service that carries P2P and P2T messages down."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ready: dict[Session, None] = {}  # sessions with a batch, or behind
        link = core.config.link
        self._most_packets = link.max_list_messages
        self._most_bytes = link.max_list_bytes - ENVELOPE
        notice_after = core.config.notice_after
        self._notice_after = None if notice_after == NEVER else notice_after

    # ---------------------------------------------------------------------------------------------- after a commit

    def committed(self, message: NewMessage, stored: Stored) -> None:
        """A P2P or P2T message is in the inboxes; `flush` follows."""
        users, item, size = self._core.users, None, len(message.payload)
        for receiver, position in stored.deliveries:
            sessions = users.get(receiver)
            if sessions is None:
                continue
            if item is None:  # the same for all members of a group
                try:
                    item = _item(message, stored, receiver, sessions[0].package)
                except LocalProtocolError:
                    for session in sessions:  # reading it tells what is wrong with it
                        self._behind(session, position)
                    continue
            for session in sessions:
                self._offer(session, position, item, size)

    def _offer(self, session: Session, position: int, item: ListItem, payload_size: int) -> None:
        config = self._core.config
        window = session.window
        if position == session.delivered + 1 and session.flow is _OPEN and len(window) < config.window:
            room = config.window_bytes - session.window_size
            if payload_size <= room or not window:
                session.delivered = position
                session.window_size += payload_size
                window.append((position, item[0], payload_size))
                session.batch.append((item, position))
                self._ready[session] = None
                return
        self._behind(session, position)

    def _behind(self, session: Session, position: int) -> None:
        """The store has this for a session that cannot be given it now."""
        if position > session.heard:
            session.heard = position
            self._ready[session] = None

    def flush(self) -> None:
        """Hand what was gathered to the links."""
        if self._ready:
            ready, self._ready = self._ready, {}
            for session in ready:
                self._send(session)
                self.pump(session)

    # --------------------------------------------------------------------------------------------------- the store

    def bound(self, session: Session) -> None:
        """BIND: everything that is not acknowledged comes, in whatever state the session was (rule 10)."""
        self._rewind(session)
        session.pulled = False
        session.pull_gap = 0.0
        session.pull_at = self._core.now
        self._core.timers.set(session.pull, None)
        self.pump(session)

    def _rewind(self, session: Session) -> None:
        session.generation += 1
        session.flow = _OPEN
        session.delivered = session.acked
        session.heard = session.delivered + 1  # whether it exists, the store knows
        session.window.clear()
        session.window_size = 0
        session.batch.clear()
        session.noticed = session.needs = 0

    def pump(self, session: Session) -> None:
        """Read on, if there is something to read and room for it."""
        if session.heard <= session.delivered or session.flow is not _OPEN or session.link.session is not session:
            return
        core, config = self._core, self._core.config
        count, size = config.window - len(session.window), config.window_bytes - session.window_size
        if session.window and (count <= 0 or size < max(1, session.needs)):
            return
        session.flow, session.heard, session.needs = _READING, 0, 0
        generation = session.generation
        core.ask(
            ReadInbox(
                request_id=core.next_id(),
                receiver=session.uuid,
                after_position=session.delivered,
                max_messages=count,
                max_bytes=size,
                notice_after=None if session.pulled else self._notice_after,
            ),
            lambda answer: self._read(session, generation, answer),
        )

    def _read(self, session: Session, generation: int, answer: InboxPage | Backlog | StoreError) -> None:
        if generation != session.generation or session.link.session is not session:
            return
        session.flow = _OPEN
        if isinstance(answer, Backlog):
            self._notice(session, answer)
        elif isinstance(answer, InboxPage):
            self._page(session, answer)
        else:
            self._core.failed("reading an inbox", answer)
            session.heard = session.delivered + 1  # the sweep tries again

    def _page(self, session: Session, page: InboxPage) -> None:
        examined, more = page.examined, page.more
        for message in page.messages:
            if message.position <= session.delivered:  # acknowledged while the store was asked
                continue
            payload_size = len(message.payload)
            try:
                item = _item(message, message, session.uuid, session.package)
            except LocalProtocolError as error:  # nobody can be sent it: it must not hold back those that follow
                self._dropped(session, error)
                continue
            if session.window and session.window_size + payload_size > self._core.config.window_bytes:
                session.needs = payload_size  # the store gives at least one message, however large
                examined, more = message.position - 1, True
                break
            session.window.append((message.position, message.sequence, payload_size))
            session.window_size += payload_size
            session.batch.append((item, message.position))
        session.delivered = max(session.delivered, examined)
        if more:
            session.heard = max(session.heard, examined + 1)
        else:
            session.pulled = False
        self._send(session)
        self.pump(session)

    # --------------------------------------------------------------------------------------------------- downwards

    def _send(self, session: Session) -> None:
        """The session's batch, in as few lists as fit."""
        batch, session.batch = session.batch, []
        if not batch or session.link.session is not session:
            return
        start = size = 0
        for index, (item, _) in enumerate(batch):
            item_size = len(item.field)
            if index - start == self._most_packets or (size + item_size > self._most_bytes and index > start):
                if not self._send_list(session, batch[start:index]):
                    return
                start, size = index, 0
            size += item_size
        self._send_list(session, batch[start:] if start else batch)

    def _send_list(self, session: Session, batch: list[tuple[ListItem, int]]) -> bool:
        """Whether the next list may follow."""
        core, link = self._core, session.link
        try:
            link.connection.send([item for item, _ in batch], now=core.now)
        except QueueFull:
            self._stall(session, batch[0][1])
            return False
        except LocalProtocolError as error:
            if len(batch) > 1:
                return all(self._send_list(session, [item]) for item in batch)
            # nobody can be sent this one: held back, or in the window, it would hold back all that follow
            self._forget(session, batch[0][1])
            self._dropped(session, error)
        core.dirty[link.id] = None
        return True

    def _dropped(self, session: Session, error: LocalProtocolError) -> None:
        self._core.dropped(session, "PacketList", error)

    def _forget(self, session: Session, position: int) -> None:
        """A message will never be acknowledged: it takes no room."""
        for item in session.window:
            if item[0] == position:
                session.window_size -= item[2]
                session.window.remove(item)
                return

    def _stall(self, session: Session, position: int) -> None:
        """The link is full: from this position on the store keeps the messages until it is not."""
        while session.window and session.window[-1][0] >= position:
            session.window_size -= session.window.pop()[2]
        session.delivered = position - 1
        session.heard = max(session.heard, position)
        session.flow = _STALLED

    def taken(self, session: Session) -> None:
        """The link's frames were taken: there is room again."""
        if session.flow is _STALLED:
            session.flow = _OPEN
            self.pump(session)

    # ----------------------------------------------------------------------------------------------------- upwards

    def acknowledged(self, session: Session, sequence: int) -> None:
        """SEQUENCE_ACK came: what it covers needs no room any more. The store is told by the caller."""
        window, acked = session.window, session.acked
        while window and window[0][1] <= sequence:
            position, _, size = window.popleft()
            session.window_size -= size
            session.acked = max(session.acked, position)
        if session.acked > acked:  # it makes progress, so nothing has to be paced
            session.pull_gap, session.pull_at = 0.0, self._core.now
            if session.pull.due is not None:
                self._core.timers.set(session.pull, session.pull_at)
        self.pump(session)

    def moved(self, session: Session, position: int, sequence: int) -> None:
        """The store has moved the cursor: it may now be beyond what was delivered, after a limit notice above all."""
        if session.link.session is not session:
            return
        session.acked = max(session.acked, position)
        while session.window and session.window[0][0] <= position:
            session.window_size -= session.window.popleft()[2]
        answers = session.flow is _NOTICED and (position > session.delivered or sequence >= session.noticed)
        session.delivered = max(session.delivered, position)
        if answers:
            session.flow = _OPEN
            session.heard = max(session.heard, session.delivered + 1)
        self.pump(session)

    def pull(self, session: Session) -> None:
        """PULL came. Repeated ones are paced: Java asks ten times a second while its application refuses (rule 10)."""
        core = self._core
        if core.now >= session.pull_at:
            self.pull_due(session)
        elif session.pull.due is None:
            core.timers.set(session.pull, session.pull_at)

    def pull_due(self, session: Session) -> None:
        """Answer a PULL: everything that is not acknowledged comes again."""
        core, config = self._core, self._core.config
        session.pull_gap = min(session.pull_gap * 2 or config.pull_gap, config.pull_gap_limit)
        session.pull_at = core.now + session.pull_gap
        session.pulled = True
        self._rewind(session)
        self.pump(session)

    def _notice(self, session: Session, backlog: Backlog) -> None:
        core = self._core
        notice = PacketList(
            status=ListStatus.EXCEED_COUNT_LIMIT,
            min_sequence=backlog.min_sequence,
            max_sequence=backlog.max_sequence,
        )
        session.heard = max(session.heard, session.delivered + 1)
        if core.push(session, notice):
            session.flow, session.noticed = _NOTICED, backlog.max_sequence
        else:
            session.flow = _STALLED

    def heard(self, session: Session, end: int) -> None:
        """The sweep has found the end of an inbox."""
        if end > session.delivered:
            session.heard = max(session.heard, end)
            self.pump(session)


def _item(message: NewMessage | InboxMessage, place: Stored | InboxMessage, receiver: int, package: str) -> ListItem:
    """A stored message as its receivers get it: a hint about the resource is not for them (design.md section 5)."""
    app_id, member, target, is_group = message.app_id, message.sender, message.target, message.kind != _P2P
    return list_item(
        message.packet_id,
        package,
        place.sequence,
        place.timestamp,
        place.conv_index,
        user_side(app_id, member.account, member.uuid, message.resource),
        group_side(app_id, int(target)) if is_group else user_side(app_id, str(target), receiver, None),
        message.payload,
        message.is_store,
        message.biz_type,
        to_group=is_group,
    )
