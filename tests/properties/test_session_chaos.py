"""Laws of a session under a hostile server, a bad network and an impatient program."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from support.links import RESOURCE, UUID, credentials
from support.links import ScriptedServer as Peer
from support.session_bed import HERE, TEAM, THERE, Bed, Hand, a_limit, a_list, group_messages, in_group, online_message

from mimc_proto.config import Delivery
from mimc_proto.errors import LocalProtocolError
from mimc_proto.packets import Command, OnlineMessageAck, PacketAck, Pull, SequenceAck, UcDismiss, UcJoinAnswer, UcPong
from mimc_proto.session.events import (
    Acknowledged,
    Ended,
    Failed,
    LinkLost,
    Message,
    MessagesDelivered,
    Offline,
    Online,
    Rejected,
    SessionEvent,
    TooManyWaiting,
)
from mimc_proto.session.requests import FetchToken, OpenLink, Resolve
from mimc_proto.testing import AckRule, token_answer

REASONS = ["maintenance", "token-expired", "invalid-token", "single-resource-kick", None]
SMALL = st.integers(0, 12)


class Walk:
    """A session that anything may happen to; it checks what it is told as it goes."""

    def __init__(self, **options: Any) -> None:
        self.hand = Hand(**options)
        self.session = self.hand.session
        self.fetches: list[int] = []
        self.resolves: list[int] = []
        self.links: list[int] = []
        self.sent: list[str] = []
        self.receipts: list[int] = []
        self.events: list[SessionEvent] = []

    def settle(self) -> None:
        """Do what a driver does after everything."""
        for request in self.session.requests():
            match request:
                case FetchToken(request_id=number):
                    self.fetches.append(number)
                case Resolve(request_id=number):
                    self.resolves.append(number)
                case OpenLink(link_id=number):
                    self.links.append(number)
                case _:
                    assert request.link_id in self.links  # nothing is closed that was not opened
        for event in self.session.events():
            self.events.append(event)
            if isinstance(event, MessagesDelivered | TooManyWaiting):
                self.receipts.append(event.receipt)

    def no_busy_loop(self) -> None:
        """When all was done that is due, nothing is due."""
        now = self.hand.now
        self.session.handle_timer(now)
        self.settle()
        if self.links:
            self.session.data_to_send(self.links[-1], 1 << 30)
        self.settle()
        due = self.session.get_timer()
        assert due is None or due > now, (due, now, self.session.state)

    def do(self, what: str, number: int) -> None:
        """One thing that happens."""
        try:
            getattr(self, what)(number)
        except LocalProtocolError:
            assert what in ("connect", "send", "join", "pull", "consume", "skip")  # the verbs of the program
        self.settle()
        self.no_busy_loop()

    def connect(self, number: int) -> None:
        self.session.connect(self.hand.now)

    def send(self, number: int) -> None:
        verbs = (self.session.send, self.session.send_online)
        timeout = 0.5 * (number + 1)
        self.sent.append(verbs[number % 2]("bob", b"x" * number, now=self.hand.now, timeout=timeout))

    def join(self, number: int) -> None:
        verbs = (self.session.join_unlimited, self.session.quit_unlimited)
        if number % 3 == 2:
            self.sent.append(self.session.send_group(7, b"hi", now=self.hand.now))
        else:
            self.sent.append(verbs[number % 2](7, now=self.hand.now))

    def withdraw(self, number: int) -> None:
        if self.sent:
            self.session.withdraw(self.sent[number % len(self.sent)], self.hand.now)

    def pull(self, number: int) -> None:
        self.session.pull(self.hand.now)

    def consume(self, number: int) -> None:
        if self.receipts:
            self.session.consumed(self.receipts.pop(number % len(self.receipts)), self.hand.now)

    def skip(self, number: int) -> None:
        if self.receipts:
            self.session.skip(self.receipts[number % len(self.receipts)], self.hand.now)

    def token(self, number: int) -> None:
        good = token_answer(credentials(token=f"t{number}"))
        answers: list[Any] = [good, good, OSError(), "{}", token_answer(credentials(uuid=78))]
        for request_id in self.fetches[-2:]:
            self.session.token_fetched(request_id, answers[number % 5], self.hand.now)

    def address(self, number: int) -> None:
        for request_id in self.resolves[-2:]:
            self.session.resolved(request_id, OSError(), self.hand.now)

    def opened(self, number: int) -> None:
        if self.links:
            self.hand.link_id = self.links[-1]
            self.hand.peer = Peer()
            self.session.link_opened(self.links[-1], self.hand.now)

    def online(self, number: int) -> None:
        """Usually what comes next."""
        self.connect_once()
        self.opened(0)
        self.heard(self.hand.peer.conn_answer())
        self.token(0)
        self.heard(self.hand.peer.bind_answer())

    def connect_once(self) -> None:
        if self.session.state.name == "NEW":
            self.session.connect(self.hand.now)
        self.settle()

    def heard(self, data: bytes) -> None:
        self.session.receive_data(self.hand.link_id, data, self.hand.now)
        self.settle()

    def conn(self, number: int) -> None:
        self.heard(self.hand.peer.conn_answer())

    def accepted(self, number: int) -> None:
        self.heard(self.hand.peer.bind_answer())

    def refused(self, number: int) -> None:
        self.heard(self.hand.peer.bind_answer(False, REASONS[number % 3]))

    def kicked(self, number: int) -> None:
        self.heard(self.hand.peer.kick(REASONS[number % 3]))

    def taken_over(self, number: int) -> None:
        if number == 0:
            self.heard(self.hand.peer.kick("single-resource-kick") + b"GET / HTTP/1.1")

    def pong(self, number: int) -> None:
        self.heard(self.hand.peer.answer("PING"))

    def pushed(self, number: int) -> None:
        name = self.sent[number % len(self.sent)] if self.sent else "x"
        bodies: list[Any] = [
            a_list(number + 1, number + 2, number + 3),
            a_list(number + 1, top=number + 9),
            a_limit(number + 1),
            PacketAck(packet_id=name, code=number, sequence=number),
            OnlineMessageAck(packet_id=name, code=number % 3),
            in_group(UcJoinAnswer(group=TEAM, code=number % 2), name),
            in_group(UcPong(payload=b"")),
            in_group(UcDismiss(group=TEAM)),
            group_messages(number, number + 1),
            online_message(b"x" * number),
            Pull(uuid=UUID, resource=RESOURCE, app_id=1),
            b"\xff" * number,
            a_list(1, payload=b"x" * 5000),
        ]
        self.heard(self.hand.peer.push(bodies[number]))

    def garbage(self, number: int) -> None:
        if number < 2:
            self.heard(b"\xc2\xfe" + b"\0" * 11 * number)

    def lost(self, number: int) -> None:
        if self.links:
            self.session.link_lost(self.links[-1 - number % 2 * (len(self.links) > 1)], None, self.hand.now)

    def wait(self, number: int) -> None:
        self.hand.now += number / 4

    def until_due(self, number: int) -> None:
        due = self.session.get_timer()
        if due is not None:
            self.hand.now = max(self.hand.now, due)

    def written(self, number: int) -> None:
        if self.links:
            self.session.data_to_send(self.links[-1], 1 + number * 50)

    def logout(self, number: int) -> None:
        if number == 0:
            self.session.logout(self.hand.now, 3.0)


DEEDS = [name for name in vars(Walk) if name not in ("settle", "no_busy_loop", "do", "heard", "connect_once")]
STEPS = st.lists(st.tuples(st.sampled_from([name for name in DEEDS if name[0] != "_"]), SMALL), max_size=60)


def check(events: list[SessionEvent], sent: list[str], ended: bool) -> None:
    """What holds for the events of every session."""
    verdicts = Counter(e.packet_id for e in events if isinstance(e, Acknowledged | Rejected | Failed))
    assert all(count == 1 for count in verdicts.values()), "two verdicts"
    assert set(verdicts) <= set(sent)
    delivered = [
        m.sequence for e in events if isinstance(e, MessagesDelivered) for m in e.messages if type(m) is Message
    ]
    assert len(delivered) == len(set(delivered)), "delivered twice"
    logins = [type(event) for event in events if isinstance(event, Online | Offline)]
    assert logins == ([Online, Offline] * len(logins))[: len(logins)], "not in turn"
    if ended:
        assert set(verdicts) == set(sent), "no verdict"
        assert [type(event) for event in events].index(Ended) == len(events) - 1, "something after the end"
        assert len(logins) % 2 == 0


@given(STEPS, st.booleans(), st.sampled_from(Delivery))
def test_whatever_happens_nothing_undeclared_is_raised_and_the_laws_hold(
    steps: list[tuple[str, int]], resolve: bool, delivery: Delivery
) -> None:
    marks = {"high_messages": 6, "low_messages": 2, "remembered": 256, "max_pending": 4, "delivery": delivery}
    walk = Walk(token=None, addresses=() if resolve else (HERE, THERE), settings=marks)
    for what, number in [("connect", 0), ("token", 0), ("online", 0), *steps]:
        walk.do(what, number)
    check(walk.events, walk.sent, ended=walk.session.ended is not None)
    walk.session.close(walk.hand.now)
    walk.settle()
    check(walk.events, walk.sent, ended=True)
    for what, number in steps[-9:]:
        walk.do(what, number)
    check(walk.events, walk.sent, ended=True)
    assert walk.session.get_timer() is None


@given(st.lists(st.binary(max_size=60), max_size=5), st.integers(0, 400), st.integers(0, 255))
def test_what_a_server_sends_is_never_raised(pushes: list[bytes], place: int, flip: int) -> None:
    hand = Hand(joined_groups=[7]).bound()
    bodies: list[Any] = [*pushes, a_list(1), group_messages(2)]
    frames = bytearray(b"".join(hand.peer.push(body) for body in bodies))
    frames[place % len(frames)] ^= flip
    events = hand.say(bytes(frames))
    assert all(not isinstance(event, Ended) for event in events)
    assert sum(isinstance(event, LinkLost) for event in events) < 2


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0.0, 12.0)), max_size=25),
    st.sampled_from(Delivery),
    st.sampled_from([0.0, 0.7, 6.0]),
)
@example([(2, 1.0), (4, 1.0)], Delivery.AT_MOST_ONCE, 0.7)
def test_on_any_network_everything_stored_is_delivered_once_and_every_send_has_one_verdict(
    steps: list[tuple[int, float]], delivery: Delivery, consume: float
) -> None:
    bed = Bed(consume=consume, delivery=delivery, high_messages=20, low_messages=4, addresses=(THERE, HERE)).login()
    sent: list[str] = []
    stored: list[int] = []
    for what, seconds in steps:
        link = bed.server.link
        if what == 0:
            bed.network.pipe.cut()
        elif what == 1:
            bed.network.pipe.up.cut(after_bytes=int(seconds * 40))
        elif what == 2:
            stored += bed.server.deliver("alice", *[b"x"] * int(seconds * 3))
        elif what == 3 and link.bound:
            link.kick("token-expired" if seconds > 6 else "maintenance")
        elif what == 4:
            bed.server.silence(*([Command.PING] if seconds > 6 else []))
        elif what == 5:
            bed.server.speak()
        elif what == 6:
            bed.server.acks = AckRule(delay=seconds, times=int(seconds) % 3)
        elif what == 7:
            bed.server.window = None
        else:
            sent.append(bed.send(timeout=1.0 + seconds))
        bed.run(seconds if what != 2 else 0.0)
        due = bed.session.get_timer()
        assert due is None or due >= bed.now
    bed.server.speak()
    bed.run(300.0)
    assert bed.session.online
    received = [item.sequence for item in bed.driver.messages if isinstance(item, Message)]
    assert sorted(received) == stored
    said = [body.sequence for body in bed.server.bodies(SequenceAck)]
    assert max(said, default=0) >= max(stored, default=0)
    # who reads a SEQUENCE_ACK and forgets it, and then answers what comes behind it, says that it was taken in
    assert any(what == 4 and seconds <= 6 for what, seconds in steps) or not bed.server.unacknowledged("alice", "pc")
    assert bed.server.errors == []
    bed.session.close(bed.now)
    bed.run()
    check(bed.driver.events, sent, ended=True)
