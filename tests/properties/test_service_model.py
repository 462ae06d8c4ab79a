"""Sessions, the service and faulty connections together, on virtual time: whatever happens, these laws hold.

Nothing undeclared is raised; every send gets exactly one verdict; what was acknowledged is stored, what was certainly
not sent is not; no session object gets a stored message twice, or out of order within a list; whoever stays online
gets everything; a repeat is stored once; bounds hold; timers move on; in the end both sides agree on who is online and
what was acknowledged.

Somebody sets the wall clock, forwards and back. What is promised by that clock holds by the latest it ever showed:
messages wait 7 days, a resource without a session keeps its place for 7 days, repeats are known for 24 hours. The rest
does not depend on it: sequences rise although the clock went back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mimc_server.service import ServiceConfig
from mimc_server.store import Kind, StoreConfig
from mimc_server.testing import ServiceWorld

from mimc_proto import Delivery, LocalProtocolError, QueueFull, SessionConfig
from mimc_proto.session import (
    Acknowledged,
    Failed,
    GroupMessage,
    Message,
    MessagesDelivered,
    Rejected,
    Verdict,
)
from mimc_proto.testing import Conditions, FaultyPipe, SessionDriver, Side

ACCOUNTS = ("ann", "ben")
RESOURCES = ("pc", "phone")
WINDOW = 16
HIGH = 6
LATENCY = 0.05
CONFIG = SessionConfig(
    max_pending=16, high_messages=HIGH, low_messages=2, remembered=4, send_timeout=20.0, longest_connect_backoff=8.0
)
PATIENCE = 400.0
HOUR, DAY = 3600.0, 86_400.0
STORE = StoreConfig()
MOST_RESOURCES = 4
"""Resources of an account, beyond which no new ones are made."""

NEARLY_A_WEEK = STORE.cursor_idle - DAY
"""When the wall clock was set so far ahead, together with hours of plain running a resource may lose its place."""

seats = st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(RESOURCES))
consume = st.sampled_from([0.0, 0.3, 2.0, None])
"""How soon an application is through with its messages, in seconds."""


def sequences(messages: Iterable[object]) -> set[int]:
    """Of those that are stored."""
    return {message.sequence for message in messages if isinstance(message, (Message, GroupMessage))}


class Kept:
    """What a program would keep of its last token answer."""

    def __init__(self, answer: str, wall_ms: int) -> None:
        self.answer, self.wall_ms = answer, wall_ms
        self.revoked = False


class Sent:
    """One call of a session's send."""

    def __init__(self, seat: SessionDriver, packet_id: str, kind: Kind, target: str | int, payload: bytes) -> None:
        self.seat, self.packet_id, self.kind, self.target, self.payload = seat, packet_id, kind, target, payload


class ServiceModel(RuleBasedStateMachine):
    """Two accounts with two resources each, a normal and an unlimited group."""

    def __init__(self) -> None:
        super().__init__()
        self.world = ServiceWorld(config=ServiceConfig(window=WINDOW), conditions=Conditions(latency=LATENCY))
        self.seats: dict[tuple[str, str], SessionDriver] = {}
        """Who is running now, by account and the resource that the place began with."""
        self.resources: dict[tuple[str, str], str] = {}
        """The resource that each place has now."""
        self.kept: dict[tuple[str, str], Kept] = {}
        self.owed: dict[tuple[str, str], set[int]] = {}
        """What a new resource has to get, because it waited for the account when the resource came."""
        self.from_here_on: dict[SessionDriver, int] = {}
        """Messages that a program had when the resource may have lost its place."""
        self.all: list[tuple[tuple[str, str], SessionDriver]] = []
        self.crashed: set[SessionDriver] = set()
        self.sent: list[Sent] = []
        self.count = 0
        self.checked = self.last = 0
        self.earliest = self.before_it_was_set = self.wall_before = self.wall

    @property
    def wall(self) -> int:
        return self.world.clock.wall_ms

    @property
    def latest(self) -> int:
        """The latest that the wall clock ever showed."""
        return max(self.before_it_was_set, self.wall)

    @property
    def now(self) -> float:
        return self.world.clock.now

    @initialize(consume=consume, other=consume, delivery=st.sampled_from(Delivery))
    def begin(self, consume: float | None, other: float | None, delivery: Delivery) -> None:
        self.group = self.world.group("ann", ["ben"])
        self.unlimited = self.world.unlimited_group("ann")
        self.start(("ann", "pc"), consume, delivery)
        self.start(("ben", "pc"), other, delivery)
        self.world.run_for(1.0)

    # ---------------------------------------------------------------------------------------------------------- stories

    @rule(
        sender=st.sampled_from(ACCOUNTS),
        kind=st.sampled_from([Kind.P2P, Kind.P2P, Kind.P2T]),
        sizes=st.lists(st.sampled_from([1, 1, 2, 3, 4, 6]), min_size=2, max_size=5),
        gap=st.sampled_from([0.5, 1.0]),
        wait=st.sampled_from([0.0, 0.25, 0.75, 1.25, 2.25, 60.0]),
        end=st.sampled_from(["cut", "half-open", "crash", "crash", "nothing", "nothing"]),
        at_sender=st.booleans(),
        consume=consume,
        delivery=st.sampled_from(Delivery),
    )
    def messages_and_then_trouble(
        self,
        sender: str,
        kind: Kind,
        sizes: list[int],
        gap: float,
        wait: float,
        end: str,
        at_sender: bool,
        consume: float | None,
        delivery: Delivery,
    ) -> None:
        """Messages in several lists; then a connection or a program ends, before or after somebody acknowledged.

        ``gap`` and ``wait`` count in latencies. Who crashed is followed by another program on its resource.
        """
        [receiver] = set(ACCOUNTS) - {sender}
        self.settle(consume, delivery)
        for size in sizes:
            self.send((sender, "pc"), receiver, kind, size)
            self.world.run_for(gap * LATENCY)
        self.world.run_for(wait * LATENCY)
        seat = (sender if at_sender else receiver, "pc")
        if end == "crash":
            self.crash(seat)
            self.start(seat, consume, delivery)
        elif end != "nothing":
            for pipe in self.pipes_of(seat):
                pipe.cut(unaware=Side.SERVER if end == "half-open" else None)

    def settle(self, consume: float | None, delivery: Delivery) -> None:
        """Both are online with their first resource, if the network lets them."""
        for account in ACCOUNTS:
            if self.running((account, "pc")) is None:
                self.start((account, "pc"), consume, delivery)
        for _ in range(10):
            if all(self.seats[account, "pc"].online for account in ACCOUNTS):
                break
            self.world.run_for(1.0)

    def pipes_of(self, seat: tuple[str, str]) -> list[FaultyPipe]:
        driver = self.seats.get(seat)
        ends = [] if driver is None else [link.end for link in driver._links.values()]
        return [pipe for pipe in self.world.network.pipes if pipe.client in ends]

    @rule(
        seat=seats,
        crash=st.booleans(),
        seconds=st.sampled_from([0.0, 1.0, 40.0]),
        consume=consume,
        cache=st.booleans(),
    )
    def start_again(
        self, seat: tuple[str, str], crash: bool, seconds: float, consume: float | None, cache: bool
    ) -> None:
        """A program is closed or crashes, and its successor has its resource, with a cache the token as well.

        A kept token that is good is used, and none is asked for. One that is not good does not keep anybody offline.
        """
        (self.crash if crash else self.close)(seat)
        self.world.run_for(seconds)
        kept = self.kept.get(seat) if cache else None
        driver = self.begin_session(seat, consume, Delivery.AT_LEAST_ONCE, kept)
        good = kept is not None and not kept.revoked and self.latest - kept.wall_ms < DAY * 1000 - 60_000
        self.world.run_for(1.0)
        assert not (good and driver.tokens.asked)

    @rule(
        account=st.sampled_from(ACCOUNTS),
        place=st.sampled_from(RESOURCES),
        crash=st.booleans(),
        sizes=st.lists(st.sampled_from([1, 3, WINDOW + 2]), max_size=2),
        kind=st.sampled_from([Kind.P2P, Kind.P2T]),
        consume=consume,
    )
    def start_without_a_cache(
        self, account: str, place: str, crash: bool, sizes: list[int], kind: Kind, consume: float | None
    ) -> None:
        """The account goes offline and its messages wait; then it starts with a resource that nobody knows.

        That gets everything that no resource of the account has ever had (so it is above the account's floor).
        """
        if sum(1 for name, _ in {seat for seat, _ in self.all} if name == account) >= MOST_RESOURCES:
            return
        for resource in RESOURCES:
            (self.crash if crash else self.close)((account, resource))
        [sender] = set(ACCOUNTS) - {account}
        for size in sizes:
            self.send((sender, "pc"), account, kind, size)
            self.world.run_for(1.0)
        alone = account not in {info.account for info in self.world.sessions()}
        waiting = self.inbox(account) - {n for s, d in self.all if s[0] == account for n in sequences(d.messages)}
        self.resources[account, place] = ""
        driver = self.begin_session((account, place), consume, Delivery.AT_LEAST_ONCE, None)
        self.world.run_for(1.0)
        if alone and driver.online:
            self.owed[account, driver.session.resource] = waiting  # type: ignore[attr-defined]

    def inbox(self, account: str) -> set[int]:
        """All that was stored for an account."""
        return {
            message.sequence
            for message in self.world.stored()
            if (message.kind is Kind.P2P and message.target == account)
            or (message.kind is Kind.P2T and message.sender != account)
        }

    @rule(seat=seats)
    def consume_all(self, seat: tuple[str, str]) -> None:
        driver = self.running(seat)
        while driver is not None and driver.unconsumed:
            driver.consume_next()

    # -------------------------------------------------------------------------------------------------------- lifetimes

    @rule(seat=seats, consume=consume, delivery=st.sampled_from(Delivery))
    def start(self, seat: tuple[str, str], consume: float | None, delivery: Delivery) -> None:
        """A program starts; if this resource is online already, it takes over."""
        self.begin_session(seat, consume, delivery, None)

    def begin_session(
        self, seat: tuple[str, str], consume: float | None, delivery: Delivery, kept: Kept | None
    ) -> SessionDriver:
        account, resource = seat[0], self.resources.setdefault(seat, seat[1])
        options = {field: getattr(CONFIG, field) for field in CONFIG.__dataclass_fields__} | {"delivery": delivery}
        driver = self.world.user(
            account,
            resource=resource or None,
            consume=consume,
            config=SessionConfig(**options),
            joined_groups=[self.unlimited],
            token=None if kept is None else kept.answer,
        )

        def token(_: object) -> str:
            answer = self.world.token_answer(account)
            self.kept[seat] = Kept(answer, self.wall)
            return answer

        driver.tokens.default = token
        self.resources[seat] = driver.session.resource
        self.seats[seat] = driver
        self.all.append(((account, driver.session.resource), driver))
        driver.session.connect(self.now)
        return driver

    def running(self, seat: tuple[str, str]) -> SessionDriver | None:
        driver = self.seats.get(seat)
        return None if driver is None or driver.session.ended is not None else driver  # type: ignore[attr-defined]

    @rule(seat=seats)
    def crash(self, seat: tuple[str, str]) -> None:
        """The program is gone, and nobody closes its connection."""
        driver = self.seats.pop(seat, None)
        if driver is not None:
            driver.sleep()
            self.crashed.add(driver)

    @rule(seat=seats, drain=st.sampled_from([0.0, 5.0]))
    def log_out(self, seat: tuple[str, str], drain: float) -> None:
        driver = self.running(seat)
        if driver is not None:
            driver.session.logout(self.now, drain)  # type: ignore[attr-defined]

    @rule(seat=seats)
    def close(self, seat: tuple[str, str]) -> None:
        driver = self.running(seat)
        if driver is not None:
            driver.session.close(self.now)  # type: ignore[attr-defined]

    # ------------------------------------------------------------------------------------------------------------ sends

    @rule(
        seat=seats,
        to=st.sampled_from(ACCOUNTS),
        kind=st.sampled_from([Kind.P2P, Kind.P2P, Kind.P2T, Kind.UNLIMITED, Kind.ONLINE]),
        many=st.integers(1, 12),
    )
    def send(self, seat: tuple[str, str], to: str, kind: Kind, many: int) -> None:
        driver = self.running(seat)
        if driver is None:
            return
        session: Any = driver.session
        for _ in range(many):
            self.count += 1
            payload = b"message %d" % self.count
            verb: Any
            target: Any
            verb, target = {
                Kind.P2P: (session.send, to),
                Kind.P2T: (session.send_group, self.group),
                Kind.ONLINE: (session.send_online, to),
                Kind.UNLIMITED: (session.send_unlimited, self.unlimited),
            }[kind]
            try:
                packet_id = verb(target, payload, now=self.now)
            except QueueFull:
                assert session.unsettled == CONFIG.max_pending
                return
            except LocalProtocolError:
                assert session.state.name == "LEAVING"
                return
            self.sent.append(Sent(driver, packet_id, kind, target, payload))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_the_same_again(self, data: st.DataObject) -> None:
        """An application repeats a message of its own, with the same id."""
        before: Sent = data.draw(st.sampled_from(self.sent))
        session: Any = before.seat.session
        if before.kind is not Kind.P2P or session.ended is not None or before.seat in self.crashed:
            return
        try:
            session.send(before.target, before.payload, now=self.now, packet_id=before.packet_id)
        except LocalProtocolError:  # it waits still, or there is no room
            return
        self.sent.append(before)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        sent: Sent = data.draw(st.sampled_from(self.sent))
        if sent.seat not in self.crashed:
            sent.seat.session.withdraw(sent.packet_id, self.now)  # type: ignore[attr-defined]

    # -------------------------------------------------------------------------------------------------------- consuming

    @rule(seat=seats, skip=st.booleans())
    def consume_one(self, seat: tuple[str, str], skip: bool) -> None:
        driver = self.running(seat)
        if driver is not None and driver.unconsumed:
            driver.consume_next(skip=skip and not isinstance(driver.unconsumed[0], MessagesDelivered))

    # ----------------------------------------------------------------------------------------------------------- faults

    @precondition(lambda self: self.world.network.pipes)
    @rule(
        data=st.data(),
        fault=st.sampled_from(["cut", "cut", "half-open", "stall", "resume", "drop", "corrupt"]),
        side=st.sampled_from(Side),
        after=st.integers(0, 400),
    )
    def break_a_connection(self, data: st.DataObject, fault: str, side: Side, after: int) -> None:
        pipe = data.draw(st.sampled_from(self.world.network.pipes[-4:]))
        stream = pipe.up if side is Side.CLIENT else pipe.down
        if fault == "cut":
            stream.cut(after_bytes=after)
        elif fault == "half-open":
            pipe.cut(unaware=side)
        elif fault == "stall":
            stream.stall()
        elif fault == "resume":
            pipe.resume()
        elif fault == "drop":
            stream.drop(after_bytes=after)
        else:
            stream.corrupt(after_bytes=after)

    @rule(account=st.sampled_from(ACCOUNTS))
    def expire_tokens(self, account: str) -> None:
        self.world.expire_tokens(account)
        for seat, kept in self.kept.items():
            kept.revoked |= seat[0] == account

    @rule(account=st.sampled_from(ACCOUNTS), reason=st.sampled_from(["", "token-expired"]))
    def kick(self, account: str, reason: str) -> None:
        self.world.kick(account, reason=reason or "be-gone")

    @rule(seat=seats, error=st.booleans())
    def lose_the_token_endpoint(self, seat: tuple[str, str], error: bool) -> None:
        driver = self.running(seat)
        if driver is not None:
            driver.tokens.answers.append(OSError("no network") if error else '{"code": 500, "message": "no"}')

    # ------------------------------------------------------------------------------------------------------------- time

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 7.0, 30.0, 300.0]))
    def run_for(self, seconds: float) -> None:
        self.world.run_for(seconds)

    @rule(seconds=st.sampled_from([1.0, 9.0, 40.0]))
    def oversleep(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-8 * DAY, -25 * HOUR, -60.0, -0.001, 0.001, 60.0, 25 * HOUR, 8 * DAY]))
    def set_the_wall_clock(self, seconds: float) -> None:
        self.before_it_was_set = self.latest
        self.world.clock.set_wall(self.wall + round(seconds * 1000))
        self.earliest = min(self.earliest, self.wall)
        self.wall_before = self.wall
        if seconds > 0 and self.wall - self.earliest > NEARLY_A_WEEK * 1000:
            # who was offline may have lost the place, and then begins where another resource of the account is
            self.from_here_on = {driver: len(driver.messages) for _, driver in self.all}
            self.owed.clear()

    # ------------------------------------------------------------------------------------------------------------- laws

    @invariant()
    def sequences_rise(self) -> None:
        """Whatever the wall clock does; and none is lower than the time at which it was given."""
        stored = self.world.stored()
        for message in stored[self.checked :]:
            assert message.sequence > max(self.last, self.wall_before * 10_000)
            self.last = message.sequence
        self.checked, self.wall_before = len(stored), self.wall

    @invariant()
    def bounds_hold(self) -> None:
        for _, driver in self.all:
            session: Any = driver.session
            assert session.unsettled <= CONFIG.max_pending
            inbox = session._inbox
            assert inbox._stored.count <= max(HIGH, WINDOW)
            assert len(inbox._order) <= 2 * WINDOW + 2
            assert len(inbox.seen.known) <= CONFIG.max_remembered + WINDOW
        for info in self.world.sessions():
            assert info.waiting <= WINDOW

    @invariant()
    def delivered_once_and_in_order(self) -> None:
        for _, driver in self.all:
            sequences = []
            for event in driver.of(MessagesDelivered):
                stored = [m.sequence for m in event.messages if isinstance(m, (Message, GroupMessage))]
                assert stored == sorted(stored)
                sequences += stored
            assert len(set(sequences)) == len(sequences)

    @invariant()
    def stored_once(self) -> None:
        """Online messages are not stored at all, so one that is repeated passes twice.

        A repeat is known for 24 hours of the wall clock, so what is older may have been stored once more.
        """
        horizon = (self.latest - round(STORE.repeat_window * 1000)) * 10_000
        kept = [m for m in self.world.stored() if m.kind is not Kind.ONLINE and m.sequence >= horizon]
        stored = Counter((m.sender, m.resource, m.packet_id, m.payload) for m in kept)
        assert all(count == 1 for count in stored.values())

    def verdicts(self) -> dict[tuple[int, str], list[Verdict]]:
        found: dict[tuple[int, str], list[Verdict]] = {}
        for _, driver in self.all:
            for event in driver.events:
                if isinstance(event, (Acknowledged, Rejected, Failed)):
                    found.setdefault((id(driver), event.packet_id), []).append(event)
        return found

    def teardown(self) -> None:
        """All is well again: then everybody comes online, and gets everything."""
        for pipe in self.world.network.pipes:
            pipe.resume()
        for _, driver in self.all:
            driver.consume = 0.0
            while driver.unconsumed and self.lives(driver):
                driver.consume_next()
        self.world.run_for(PATIENCE)
        self.resources.clear()
        for seat in {seat: None for seat, _ in self.all}:  # what the dead did not consume comes again
            self.start(seat, 0.0, Delivery.AT_MOST_ONCE)
        self.world.run_for(PATIENCE)
        self.timers_lie_ahead()
        self.every_send_has_its_verdict()
        self.verdicts_tell_the_truth()
        self.all_is_delivered()
        self.both_sides_agree()

    def lives(self, driver: SessionDriver) -> bool:
        return driver not in self.crashed and driver.session.ended is None  # type: ignore[attr-defined]

    def timers_lie_ahead(self) -> None:
        for _, driver in self.all:
            when = driver.session.get_timer()
            assert when is None or when > self.now or driver in self.crashed

    def every_send_has_its_verdict(self) -> None:
        wanted = Counter((id(sent.seat), sent.packet_id) for sent in self.sent)
        got = Counter({key: len(verdicts) for key, verdicts in self.verdicts().items()})
        gone = {id(driver) for driver in self.crashed}
        for key in wanted | got:
            assert got[key] == wanted[key] or (key[0] in gone and got[key] < wanted[key])

    def verdicts_tell_the_truth(self) -> None:
        stored = {message.payload for message in self.world.stored()}
        verdicts = self.verdicts()
        for sent in self.sent:
            told = verdicts.get((id(sent.seat), sent.packet_id), [])
            if any(isinstance(verdict, Acknowledged) for verdict in told):
                assert sent.payload in stored or sent.kind is Kind.ONLINE
            if told and all(isinstance(verdict, Failed) and not verdict.may_have_arrived for verdict in told):
                repeated = sum(1 for other in self.sent if other is sent) > len(told)
                assert repeated or sent.payload not in stored

    def all_is_delivered(self) -> None:
        """Whoever is online now is through with everything since the first message that came to this resource.

        Not with what waited for more than the retention by the wall clock; and "first" counts anew when the resource
        may have lost its place, because it was away for too long by that clock.
        """
        horizon = STORE.horizon(self.latest)
        inboxes = {account: self.inbox(account) for account in ACCOUNTS}
        everywhere: dict[str, set[int]] = {account: set() for account in ACCOUNTS}
        offered: dict[tuple[str, str], set[int]] = {}
        done: dict[tuple[str, str], set[int]] = {}
        for seat, driver in self.all:
            lost = [event for event in driver.unconsumed if isinstance(event, MessagesDelivered)]
            got = sequences(driver.messages)
            offered.setdefault(seat, set()).update(sequences(driver.messages[self.from_here_on.get(driver, 0) :]))
            got -= {n for event in lost for n in sequences(event.messages)}
            done.setdefault(seat, set()).update(got)
            everywhere[seat[0]] |= got
        for seat, driver in self.all:
            if self.lives(driver):
                assert driver.online
                waited = {n for n in inboxes[seat[0]] if n >= horizon}
                assert waited <= everywhere[seat[0]]
                first = min(offered[seat], default=None)
                assert first is None or {n for n in waited if n >= first} <= done[seat]
                assert self.owed.get(seat, set()) & waited <= done[seat]
        for account in ACCOUNTS:
            assert everywhere[account] <= inboxes[account]

    def both_sides_agree(self) -> None:
        online = {(info.account, info.resource) for info in self.world.sessions()}
        living = [(seat, driver) for seat, driver in self.all if driver.online and driver not in self.crashed]
        assert online == {seat for seat, _ in living}
        assert len(online) == len(living)
        for info in self.world.sessions():
            assert info.waiting == 0
        for seat, driver in living:
            assert driver.session.unsettled == 0  # type: ignore[attr-defined]
            assert not driver.unconsumed, seat


ServiceModel.TestCase.settings = settings(stateful_step_count=40)
TestServiceModel = ServiceModel.TestCase
