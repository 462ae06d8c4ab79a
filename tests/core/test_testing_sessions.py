"""What drives a session: each request answered, each event noticed, bytes before timers.

The session here is made by hand, so that each test decides what it asks for and sees what it was told.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from mimc_proto import LocalProtocolError
from mimc_proto.session.events import (
    Acknowledged,
    Ended,
    EndReason,
    Failed,
    FailReason,
    LinkLost,
    Message,
    MessagesDelivered,
    Offline,
    Online,
    Rejected,
    SessionEvent,
    TooManyWaiting,
)
from mimc_proto.session.requests import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest
from mimc_proto.testing import (
    Answer,
    Conditions,
    Network,
    ScriptedServer,
    SessionDriver,
    Stuck,
    VirtualClock,
    example_user,
    token_answer,
)

HERE = ("10.0.0.1", 5222)
OPEN = OpenLink(link_id=1, host=HERE[0], port=HERE[1])
ONLINE = Online(uuid=1, resource="pc")
URL = "http://resolver.example/gslb/?ver=4.0&type=wifi&list=fe.example,relay.example,"


class HandSession:
    """Asks for what a test tells it to, and writes down what it is told."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.asks: list[SessionRequest] = []
        self.says: list[SessionEvent] = []
        self.frames: dict[int, list[bytes]] = {}
        self.timer: float | None = None
        self.told: list[tuple[Any, ...]] = []
        self.endless = False
        self.at_connect: SessionEvent = ONLINE

    def connect(self, now: float) -> None:
        """Say at once what the test wants."""
        self.says.append(self.at_connect)

    def requests(self) -> list[SessionRequest]:
        """What the test wants asked."""
        asks, self.asks = self.asks, []
        return asks

    def events(self) -> list[SessionEvent]:
        """What the test wants said."""
        if self.endless:
            return [ONLINE]
        says, self.says = self.says, []
        return says

    def token_fetched(self, request_id: int, answer: Answer, now: float) -> None:
        """A token."""
        self.told.append(("token", request_id, answer, now))

    def resolved(self, request_id: int, answer: Answer, now: float) -> None:
        """Addresses."""
        self.told.append(("addresses", request_id, answer, now))

    def link_opened(self, link_id: int, now: float) -> None:
        """A link."""
        self.told.append(("opened", link_id, now))

    def link_lost(self, link_id: int, error: Exception, now: float) -> None:
        """No link."""
        self.told.append(("lost", link_id, type(error), now))

    def receive_data(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes."""
        self.told.append(("data", link_id, data, now))

    def data_to_send(self, link_id: int, max_bytes: int = 65536) -> list[bytes]:
        """One frame at a time."""
        waiting = self.frames.get(link_id, [])
        return [waiting.pop(0)] if waiting else []

    def consumed(self, receipt: int, now: float) -> None:
        """Consumed."""
        self.told.append(("consumed", receipt, now))

    def skip(self, receipt: int, now: float) -> None:
        """Skipped."""
        self.told.append(("skipped", receipt, now))

    def get_timer(self) -> float | None:
        """When the test says."""
        return self.timer

    def handle_timer(self, now: float) -> None:
        """The timer."""
        self.timer = None
        self.told.append(("timer", now))


class Stage:
    """A hand-made session with its driver, and a scripted server that it can reach."""

    def __init__(self, *, capacity: int = 65_536, latency: float = 0.0, **options: Any) -> None:
        self.clock = VirtualClock()
        self.network = Network(self.clock, conditions=Conditions(latency=latency, capacity=capacity))
        self.server = ScriptedServer(self.clock)
        self.network.listen(*HERE, self.server)
        self.session = HandSession(self.clock)
        self.driver = SessionDriver(self.session, self.clock, self.network, **options)

    def run(self, seconds: float = 1.0) -> list[tuple[Any, ...]]:
        """What the session was told until then."""
        self.clock.run_for(seconds)
        return self.session.told

    def opened(self) -> Stage:
        """The stage with a link open, of which the session was told."""
        self.session.asks.append(OPEN)
        self.run(0.0)
        del self.session.told[:]
        return self


def messages(receipt: int) -> MessagesDelivered:
    """A list with one message."""
    message = Message(
        packet_id=f"m{receipt}",
        sequence=receipt,
        timestamp=0,
        from_account="bob",
        from_resource="pc",
        payload=b"hi",
        biz_type="",
        is_store=True,
        from_uuid=1,
    )
    return MessagesDelivered(receipt=receipt, messages=(message,))


# ------------------------------------------------------------------------------------------------ tokens, addresses


def test_a_token_is_fetched_at_once_and_is_the_users() -> None:
    stage = Stage(user="bob")
    stage.session.asks.append(FetchToken(request_id=7))
    assert stage.run() == [("token", 7, token_answer("bob"), 0.0)]
    assert stage.driver.user == example_user("bob")


def test_a_token_may_be_an_error_and_come_late() -> None:
    stage, error = Stage(user=example_user("bob", token="renewed")), OSError("no network")
    stage.driver.tokens.answers.append(error)
    stage.driver.tokens.delay = 3.0
    stage.session.asks.extend([FetchToken(request_id=1), FetchToken(request_id=2)])
    told = stage.run(10.0)
    assert told[0] == ("token", 1, error, 3.0)
    assert "renewed" in told[1][2]


def test_an_answer_may_never_come() -> None:
    stage = Stage()
    stage.driver.tokens.delay = stage.driver.resolver.delay = None
    stage.session.asks.extend([FetchToken(request_id=1), Resolve(request_id=2, url=URL)])
    assert stage.run(1000.0) == []
    assert len(stage.driver.tokens.asked) == len(stage.driver.resolver.asked) == 1


def test_addresses_are_resolved_for_every_domain() -> None:
    stage = Stage(addresses=[HERE])
    stage.session.asks.append(Resolve(request_id=2, url=URL))
    [(_, _, answer, _)] = stage.run()
    domains = json.loads(answer)["R"]["wifi"]
    assert domains == {"fe.example": ["10.0.0.1:5222"], "relay.example": ["10.0.0.1:5222"]}


# ------------------------------------------------------------------------------------------------------------ links


def test_a_link_is_opened_and_carries_bytes() -> None:
    stage = Stage(latency=0.5)
    stage.session.asks.append(OPEN)
    stage.run(0.0)
    stage.session.frames[1] = [b"GET ", b"/"]
    stage.network.pipe.server.write([b"hello"])
    assert stage.run(0.6) == [("opened", 1, 0.0), ("data", 1, b"hello", 0.5)]
    assert stage.network.pipe.up.delivered == 5


def test_a_link_that_cannot_be_opened_or_breaks_is_lost() -> None:
    stage = Stage()
    stage.network.refuse(*HERE)
    stage.session.asks.append(OPEN)
    assert stage.run() == [("lost", 1, ConnectionRefusedError, 0.0)]
    stage.network.restore(*HERE)
    stage.session.asks.append(OPEN.replace(link_id=2))
    stage.run()
    stage.network.pipe.cut()
    assert stage.run()[1:] == [("opened", 2, 1.0), ("lost", 2, ConnectionResetError, 2.0)]


def test_frames_wait_while_the_pipe_is_full() -> None:
    stage = Stage(capacity=10).opened()
    stage.network.pipe.up.stall()
    stage.session.frames[1] = [bytes(8)] * 5
    stage.run()
    assert len(stage.session.frames[1]) == 3
    stage.network.pipe.up.resume()
    stage.run()
    assert stage.session.frames[1] == []


def test_a_link_that_is_closed_is_flushed_and_then_forgotten() -> None:
    stage = Stage().opened()
    stage.session.frames[1] = [b"bye"]
    stage.session.asks.append(CloseLink(link_id=1, flush_until=5.0))
    stage.network.pipe.server.write([b"nobody listens any more"])
    assert stage.run() == []
    assert stage.network.pipe.client.closed
    assert stage.network.pipe.up.delivered == 3
    stage.session.asks.append(CloseLink(link_id=1, flush_until=5.0))
    assert stage.run() == []


def test_a_link_that_cannot_be_flushed_is_closed_in_time() -> None:
    stage = Stage(capacity=10).opened()
    stage.network.pipe.up.stall()
    stage.session.frames[1] = [bytes(8)] * 5
    stage.session.asks.append(CloseLink(link_id=1, flush_until=5.0))
    stage.run()
    stage.network.pipe.server.write([b"too late"])
    seen = []
    for seconds in (3.9, 0.2):
        stage.run(seconds)
        seen.append(stage.network.pipe.client.closed)
    assert seen == [False, True]
    assert stage.session.told == []


def test_the_loss_of_a_link_that_is_being_closed_is_not_told() -> None:
    stage = Stage(capacity=10).opened()
    stage.network.pipe.up.stall()
    stage.session.frames[1] = [bytes(8)] * 5
    stage.session.asks.append(CloseLink(link_id=1, flush_until=5.0))
    stage.clock.call_later(1.0, stage.network.pipe.server.reset)
    assert stage.run(10.0) == []


def test_a_link_that_is_still_opening_is_given_up() -> None:
    stage = Stage()
    stage.network.black_hole(*HERE)
    stage.session.asks.append(OPEN)
    stage.run()
    stage.session.asks.append(CloseLink(link_id=1, flush_until=0.0))
    assert stage.run(1000.0) == []


# ----------------------------------------------------------------------------------------------------------- timers


def test_a_timer_is_handled_when_it_is_due() -> None:
    stage = Stage()
    stage.session.timer = 4.0
    assert stage.run(3.9) == []
    assert stage.run(1.0) == [("timer", 4.0)]


def test_a_timer_that_moved_is_not_handled_early() -> None:
    stage = Stage()
    stage.session.timer = 4.0
    stage.clock.call_at(2.0, lambda: setattr(stage.session, "timer", 9.0))
    assert stage.run(8.0) == []
    stage.session.timer = 8.5
    stage.run(0.1)
    assert stage.run(5.0) == [("timer", 8.5)]


def test_bytes_that_wait_come_before_a_timer() -> None:
    stage = Stage(latency=5.0).opened()
    stage.session.timer = 4.0
    stage.network.pipe.server.write([b"in time"])
    stage.run(0.0)
    stage.clock.advance(20.0)
    assert stage.run(0.0) == [("data", 1, b"in time", 20.0), ("timer", 20.0)]


def test_a_session_that_never_rests_is_found_out() -> None:
    stage = Stage()
    stage.session.endless = True
    with pytest.raises(Stuck, match="expected a session that rests"):
        stage.run()


def test_within_a_run_a_session_is_looked_after_when_it_is_woken() -> None:
    stage = Stage()

    def act() -> None:
        stage.session.asks.append(FetchToken(request_id=1))
        stage.driver.wake()

    stage.clock.call_at(3.0, act)
    [(_, _, _, when)] = stage.run(5.0)
    assert when == 3.0


# ------------------------------------------------------------------------------------------------------------ stalls


def test_a_program_that_sleeps_learns_everything_afterwards_and_timers_last() -> None:
    stage = Stage().opened()
    stage.session.timer = 2.0
    stage.session.asks.extend([FetchToken(request_id=1), OPEN.replace(link_id=2)])
    stage.driver.tokens.delay = 1.0
    stage.network.delay(*HERE, 1.0)
    stage.run(0.0)
    stage.driver.sleep()
    stage.network.pipes[0].server.write([b"waits"])
    assert stage.run(5.0) == []
    stage.driver.wake_up()
    assert [item[0] for item in stage.session.told] == ["token", "opened", "data", "timer"]
    assert {item[-1] for item in stage.session.told} == {5.0}
    assert stage.network.pipes[1].client.writable


def test_a_program_that_sleeps_learns_late_that_its_link_could_not_be_opened() -> None:
    stage = Stage()
    stage.network.refuse(*HERE)
    stage.session.asks.append(OPEN)
    stage.driver.sleep()
    stage.run()
    stage.driver.wake_up()
    assert stage.run() == [("lost", 1, ConnectionRefusedError, 1.0)]


def test_a_program_that_sleeps_stops_reading_so_that_the_server_has_to_wait() -> None:
    stage = Stage(capacity=10).opened()
    stage.driver.sleep()
    stage.network.pipe.server.write([bytes(10)])
    stage.run()
    assert not stage.network.pipe.server.writable
    stage.driver.wake_up()
    assert stage.network.pipe.server.writable


# --------------------------------------------------------------------------------------------------- the application


def test_messages_are_consumed_at_once() -> None:
    stage = Stage()
    stage.session.says.append(messages(1))
    assert stage.run() == [("consumed", 1, 0.0)]
    assert [message.packet_id for message in stage.driver.messages] == ["m1"]
    assert not stage.driver.unconsumed


def test_messages_are_consumed_late() -> None:
    stage = Stage(consume=5.0)
    stage.session.says.append(messages(1))
    assert stage.run(10.0) == [("consumed", 1, 5.0)]


def test_messages_are_never_consumed_but_by_hand() -> None:
    stage = Stage(consume=None)
    notice = TooManyWaiting(receipt=2, min_sequence=None, max_sequence=9)
    stage.session.says.extend([messages(1), notice, messages(3)])
    assert stage.run(1000.0) == []
    assert list(stage.driver.unconsumed) == [messages(1), notice, messages(3)]
    stage.driver.consume_next()
    stage.driver.consume_next(skip=True)
    assert stage.session.told == [("consumed", 1, 1000.0), ("skipped", 2, 1000.0)]


def test_what_was_consumed_by_hand_is_not_consumed_again() -> None:
    stage = Stage(consume=5.0)
    stage.session.says.append(messages(1))
    stage.run(1.0)
    stage.driver.consume_next()
    assert stage.run(10.0) == [("consumed", 1, 1.0)]
    with pytest.raises(LocalProtocolError, match="consume_next: expected messages that were not consumed yet"):
        stage.driver.consume_next()


def test_a_program_that_sleeps_consumes_nothing() -> None:
    stage = Stage(consume=5.0)
    stage.session.says.append(messages(1))
    stage.run(1.0)
    stage.driver.sleep()
    stage.run(10.0)
    assert stage.session.told == []
    stage.driver.wake_up()
    assert stage.session.told == [("consumed", 1, 11.0)]


def test_events_are_kept_and_what_they_say_is_read_out() -> None:
    stage = Stage()
    acknowledged = Acknowledged(packet_id="a", sequence=1, timestamp=1)
    rejected = Rejected(packet_id="b", code=1, message="blocked")
    failed = Failed(packet_id="c", reason=FailReason.TIMEOUT, may_have_arrived=True)
    lost = LinkLost(host="fe", port=5222, problem="gone", retry_in=1.0)
    stage.driver.login()
    seen = [stage.driver.online]
    stage.session.says.extend([acknowledged, rejected, failed, lost, Offline()])
    stage.run()
    seen.append(stage.driver.online)
    assert seen == [True, False]
    assert stage.driver.verdicts == {"a": acknowledged, "b": rejected, "c": failed}
    assert stage.driver.of(LinkLost) == [lost]
    assert len(stage.driver.events) == 6


@pytest.mark.parametrize("event", [Offline(), Ended(reason=EndReason.CLOSED)])
def test_a_login_that_does_not_happen_says_who_was_waited_for(event: SessionEvent) -> None:
    stage = Stage()
    stage.session.at_connect = event
    with pytest.raises(Stuck, match="expected alice to be online"):
        stage.driver.login(timeout=5.0)
