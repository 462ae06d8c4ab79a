"""What drives a session on a clock and a network: requests, bytes, timers, and an application that consumes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar, assert_never
from urllib.parse import parse_qs, urlsplit

from ..credentials import Credentials
from ..errors import LocalProtocolError
from ..session.events import (
    Acknowledged,
    Ended,
    Failed,
    GroupMessage,
    Message,
    MessagesDelivered,
    Offline,
    Online,
    OnlineMessage,
    Rejected,
    SessionEvent,
    TooManyWaiting,
    UnlimitedMessage,
    Verdict,
)
from ..session.requests import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest
from .clock import Alarm, Stuck, VirtualClock
from .network import Network
from .session_links import SessionLink
from .sources import Answer, Source
from .users import example_user, resolver_answer, token_answer

__all__ = ["AnyMessage", "Session", "SessionDriver"]

AnyMessage = Message | GroupMessage | OnlineMessage | UnlimitedMessage
T = TypeVar("T")

MOST_ROUNDS = 10_000
"""Rounds of requests and bytes without time passing, after which a session counts as one that never rests."""


class Session(Protocol):
    """What the driver needs of a session: `ClientSession`."""

    def connect(self, now: float, /) -> None:
        """Log in and stay so."""

    def requests(self) -> list[SessionRequest]:
        """What it asks for."""

    def events(self) -> list[SessionEvent]:
        """What happened."""

    def token_fetched(self, request_id: int, answer: Answer, now: float, /) -> None:
        """The answer to `FetchToken`."""

    def resolved(self, request_id: int, answer: Answer, now: float, /) -> None:
        """The answer to `Resolve`."""

    def link_opened(self, link_id: int, now: float, /) -> None:
        """The answer to `OpenLink`."""

    def link_lost(self, link_id: int, error: Exception, now: float, /) -> None:
        """A link could not be opened, or ended; the end of input is an EOFError."""

    def receive_data(self, link_id: int, data: bytes, now: float, /) -> None:
        """Bytes of a link."""

    def data_to_send(self, link_id: int, max_bytes: int = 65536, /) -> list[bytes]:
        """Frames for a link."""

    def consumed(self, receipt: int, now: float, /) -> None:
        """The application is done with these messages."""

    def skip(self, receipt: int, now: float, /) -> None:
        """The application does not want what waits."""

    def get_timer(self) -> float | None:
        """When to call `handle_timer`."""

    def handle_timer(self, now: float, /) -> None:
        """Do what is due."""


class SessionDriver:
    """A session with a program around it: its driver, and an application that consumes its messages::

        alice = SessionDriver(session, clock, network)
        alice.tokens.answers.append(OSError("no network"))
        alice.login()
        packet_id = session.send("bob", b"hi", now=clock.now)
        clock.run_until(lambda: packet_id in alice.verdicts)

    ``user`` is who the token answers say it is. ``consume`` is how the application does: 0.0 at once, seconds
    later, or None: never by itself, but by `consume_next`. ``tokens`` and ``resolver`` answer its requests; by
    default at once and well, the resolver with ``addresses`` ((host, port) pairs) for every domain.

    Verbs of ``session`` take effect at the next run of the clock; within a run call `wake`. Everything that the
    session told is in ``events``; ``messages``, ``verdicts`` (by packet id, the newest) and ``online`` are read out
    of it.
    """

    def __init__(
        self,
        session: Session,
        clock: VirtualClock,
        network: Network,
        *,
        user: Credentials | str = "alice",
        consume: float | None = 0.0,
        addresses: Iterable[tuple[str, int]] = (),
    ) -> None:
        self.session = session
        self.clock = clock
        self.network = network
        self.user = example_user(user) if isinstance(user, str) else user
        self.consume = consume
        self.addresses = tuple(addresses)
        self.tokens = Source[FetchToken](self._token)
        self.resolver = Source[Resolve](self._resolve)
        self.events: list[SessionEvent] = []
        self.messages: list[AnyMessage] = []
        self.verdicts: dict[str, Verdict] = {}
        self.online = False
        self.unconsumed: deque[MessagesDelivered | TooManyWaiting] = deque()
        """What the application has and is not done with."""
        self._links: dict[int, SessionLink] = {}
        self._asleep = False
        self._late: list[Callable[[], None]] = []
        name = self.user.account
        self._alarm = Alarm(clock, self._timer, f"the timer of {name}")
        self._flush_alarm = Alarm(clock, self._step, f"the end of a link of {name}")
        self._wake = Alarm(clock, self._step, f"{name}, woken")
        clock.before_run(self._step)

    # ------------------------------------------------------------------------------------------------- the outside

    def of(self, kind: type[T]) -> list[T]:
        """The events of one type so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def wake(self) -> None:
        """Look after the session at this moment, when the callback that runs is over."""
        self._wake.set(self.clock.now)

    def login(self, *, timeout: float = 30.0) -> None:
        """Connect and run until the user is online. Raises `Stuck` if that takes longer (seconds)."""
        self.session.connect(self.clock.now)
        self.clock.run_until(lambda: self.online, timeout=timeout, what=f"{self.user.account} to be online")

    def consume_next(self, *, skip: bool = False) -> None:
        """Be done with the oldest of ``unconsumed``; with ``skip`` say that what waits at the server is not wanted.

        Raises `LocalProtocolError` if there is none.
        """
        if not self.unconsumed:
            raise LocalProtocolError("expected messages that were not consumed yet, got none", where="consume_next")
        event = self.unconsumed.popleft()
        (self.session.skip if skip else self.session.consumed)(event.receipt, self.clock.now)

    def sleep(self) -> None:
        """Stall this program alone: it reads nothing, writes nothing and runs no timers, until `wake_up`."""
        self._asleep = True
        for link in self._links.values():
            link.pause_reading(True)

    def wake_up(self) -> None:
        """End `sleep`: answers and bytes that wait come first, then timers."""
        self._asleep = False
        late, self._late = self._late, []
        for tell in late:
            tell()
        for link in self._links.values():
            link.pause_reading(False)
        self._timer()

    # ---------------------------------------------------------------------------------- what its links tell it

    def link_opened(self, link: SessionLink) -> None:
        """A link is connected."""
        link.pause_reading(self._asleep)
        self._tell(lambda: self.session.link_opened(link.link_id, self.clock.now))

    def link_received(self, link: SessionLink, data: bytes) -> None:
        """Bytes of a link came."""
        if link.close_by is None:
            self._tell(lambda: self.session.receive_data(link.link_id, data, self.clock.now))

    def link_lost(self, link: SessionLink, error: Exception) -> None:
        """A link could not be opened, or ended."""
        link.leave()
        del self._links[link.link_id]
        if link.close_by is None:
            self._tell(lambda: self.session.link_lost(link.link_id, error, self.clock.now))

    def link_writable(self) -> None:
        """A link can be written to again."""
        self._step()

    # ----------------------------------------------------------------------------------------------------- driving

    def _tell(self, tell: Callable[[], None]) -> None:
        """Tell the session, or keep it for when the program is awake."""
        if self._asleep:
            self._late.append(tell)
        else:
            tell()
            self._step()

    def _timer(self) -> None:
        for link in tuple(self._links.values()):
            link.pump()  # bytes that wait come before timers
        due = self.session.get_timer()
        if due is not None and due <= self.clock.now and not self._asleep:
            self.session.handle_timer(self.clock.now)
        self._step()

    def _step(self) -> None:
        if self._asleep:
            return
        for _ in range(MOST_ROUNDS):
            requests, events = self.session.requests(), self.session.events()
            for request in requests:
                self._do(request)
            for event in events:
                self._notice(event)
            wrote = [link.flush(self.session.data_to_send) for link in self._links.values()]
            if not requests and not events and not any(wrote):
                break
        else:
            raise Stuck(f"expected a session that rests, got requests, events or bytes {MOST_ROUNDS} times")
        for link in [link for link in self._links.values() if link.may_close(self.clock.now)]:
            del self._links[link.link_id]
            link.leave()
        ends = [link.close_by for link in self._links.values() if link.close_by is not None]
        self._flush_alarm.set(min(ends, default=None))
        self._alarm.set(self.session.get_timer())

    def _do(self, request: SessionRequest) -> None:
        match request:
            case FetchToken(request_id=number):
                answer = self.tokens.answer(request)
                self._later(self.tokens.delay, lambda: self.session.token_fetched(number, answer, self.clock.now))
            case Resolve(request_id=number):
                found = self.resolver.answer(request)
                self._later(self.resolver.delay, lambda: self.session.resolved(number, found, self.clock.now))
            case OpenLink():
                self._links[request.link_id] = SessionLink(self, self.network, request)
            case CloseLink():
                if request.link_id in self._links:
                    self._links[request.link_id].close_by = request.flush_until
            case _:
                assert_never(request)

    def _later(self, delay: float | None, tell: Callable[[], None]) -> None:
        if delay is not None:
            what = f"an answer or the application of {self.user.account}"
            self.clock.call_later(delay, lambda: self._tell(tell), what)

    def _token(self, request: FetchToken) -> Answer:
        return token_answer(self.user)

    def _resolve(self, request: Resolve) -> Answer:
        [domains] = parse_qs(urlsplit(request.url).query)["list"]
        return resolver_answer(dict.fromkeys(filter(None, domains.split(",")), self.addresses))

    # --------------------------------------------------------------------------------------------- the application

    def _notice(self, event: SessionEvent) -> None:
        self.events.append(event)
        match event:
            case MessagesDelivered(messages=messages):
                self.messages += messages
                self._receive(event)
            case TooManyWaiting():
                self._receive(event)
            case Acknowledged() | Rejected() | Failed():
                self.verdicts[event.packet_id] = event
            case Online():
                self.online = True
            case Offline() | Ended():
                self.online = False
            case _:
                pass

    def _receive(self, event: MessagesDelivered | TooManyWaiting) -> None:
        self.unconsumed.append(event)
        self._later(self.consume, lambda: self._consumed(event))

    def _consumed(self, event: MessagesDelivered | TooManyWaiting) -> None:
        if event in self.unconsumed:  # or it was consumed by hand
            self.unconsumed.remove(event)
            self.session.consumed(event.receipt, self.clock.now)
