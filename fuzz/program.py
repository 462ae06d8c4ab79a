"""A program that uses all that a session has, and the service at the other end: what both say to each other."""

from __future__ import annotations

import contextlib
import functools
import itertools
import zlib
from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import conversations as base
from mimc_server.service import Service
from mimc_server.store import Group, MemoryStore
from mimc_server.tokens import TokenClaims

from mimc_proto import Delivery, Framing, LocalProtocolError, QueueFull, SessionConfig
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.session import ClientSession, FetchToken, MessagesDelivered, OpenLink, TooManyWaiting
from mimc_proto.testing import token_answer

__all__ = ["CONFIGS", "Kind", "Program", "downward", "kind_of", "new_service", "upward"]

CONFIGS = (
    SessionConfig(max_groups=2),
    *[
        SessionConfig(high_messages=3, low_messages=1, remembered=1, max_groups=1, max_pending=8, delivery=delivery)
        for delivery in Delivery
    ],
)
"""That of the recording, and some so small that every limit is reached."""
CYCLES = 4
"""How often a recording goes through all verbs."""
ONLINE_AT = 1.0
LONG = 4.0
"""Seconds that pass now and then."""


class _Verifier:
    """Everybody is Alice."""

    def verify(self, token: str, wall_ms: int, good_from_ms: int = 0) -> TokenClaims:
        alice = base.ALICE
        return TokenClaims(
            app_id=alice.app_id,
            account=alice.account,
            uuid=alice.uuid,
            security_key=alice.security_key,
            issued_ms=0,
            expires_ms=1 << 50,
        )


class _Fixed(Random):
    """Makes the challenge of the streams."""

    def getrandbits(self, k: int, /) -> int:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        if k != 6 * len(base.CHALLENGE):
            return super().getrandbits(k)
        return sum(alphabet.index(letter) << 6 * place for place, letter in enumerate(base.CHALLENGE))


def new_service() -> tuple[Service, MemoryStore]:
    """A service that Alice can log in to; there is a group of hers, and an unlimited one of somebody else's."""
    store = MemoryStore()
    uuid = store.user(base.ALICE.app_id, base.ALICE.account, 0).uuid
    assert uuid == base.ALICE.uuid
    other = store.user(base.ALICE.app_id, "bob", 0).uuid
    for unlimited, topic_id, owner in ((False, GROUP, uuid), (True, TOPIC, other)):
        group = store.create_group(base.ALICE.app_id, owner, "group", [], 0, unlimited=unlimited)
        assert isinstance(group, Group)
        assert group.topic_id == topic_id
    return Service(node="fuzz", tokens=_Verifier(), package_of=lambda _: base.ALICE.package, rng=_Fixed(1)), store


GROUP, TOPIC = 2_135_000_000_000_000, 2_135_000_000_000_001
"""The ids that a store gives first."""

Verb = Callable[[ClientSession, float], object]
VERBS: tuple[Verb, ...] = (
    lambda session, now: session.send("alice", b"to myself", now=now),
    lambda session, now: session.send_group(GROUP, b"to all", now=now, biz_type="TEXT"),
    lambda session, now: session.send_online("alice", b"now", now=now),
    lambda session, now: session.join_unlimited(TOPIC, now=now),
    lambda session, now: session.send_unlimited(TOPIC, b"to many", now=now),
    lambda session, now: session.pull(now),
    lambda session, now: session.send("nobody", b"x" * 200, now=now, packet_id="own", timeout=0.5),
    lambda session, now: session.join_unlimited(TOPIC + 1, now=now),
    lambda session, now: session.send_unlimited(TOPIC + 1, b"to nobody", now=now, biz_type="x"),
    lambda session, now: session.withdraw("own", now),
    lambda session, now: [session.send("alice", bytes([number]), now=now) for number in range(12)],
    lambda session, now: session.withdraw(session.send("alice", b"not sent", now=now), now),
    lambda session, now: session.quit_unlimited(TOPIC, now=now),
    lambda session, now: session.send_online("nobody", b"now", now=now),
    lambda session, now: session.handle_timer(now + LONG),
)
"""What the program does, one before each frame that comes."""


class Kind(NamedTuple):
    """How a program behaves."""

    config: SessionConfig
    at_once: int
    """How many lists and messages it has in hand before it is done with them."""
    drain: float | None
    """The seconds of a logout before the last frame; None if there is none."""


def kind_of(data: bytes) -> Kind:
    """The program that reads this, the same every time."""
    chance = Random(zlib.crc32(data))
    return Kind(chance.choice((CONFIGS[0], *CONFIGS)), chance.choice((1, 1, 4)), chance.choice((None, None, 0.0, 1.0)))


class Program:
    """Logged in; does the next of its verbs whenever a frame came, and is done with ``at_once`` lists at a time."""

    def __init__(self, kind: Kind) -> None:
        self.session, self.link_id = base.online_session(kind.config)
        self.now = ONLINE_AT
        self._at_once = kind.at_once
        self.said: list[str] = []
        """What the session asked for and told."""
        self._verbs = itertools.cycle(VERBS)
        self._in_hand: list[MessagesDelivered | TooManyWaiting] = []

    def act(self) -> None:
        """Do something; a verb may be refused."""
        with contextlib.suppress(LocalProtocolError, QueueFull):
            next(self._verbs)(self.session, self.now)
        self.now += 0.3

    def drive(self) -> list[bytes]:
        """Do what the session asks for; gives its frames."""
        session = self.session
        requests = session.requests()
        self.said += sorted(map(repr, requests))  # what one read and what two ask for may come in another order
        for request in requests:
            if isinstance(request, FetchToken):
                session.token_fetched(request.request_id, token_answer(base.ALICE), self.now)
            elif isinstance(request, OpenLink):
                self.link_id = request.link_id
                session.link_opened(self.link_id, self.now)
        for event in session.events():
            self.said.append(repr(event))
            if isinstance(event, MessagesDelivered | TooManyWaiting):
                self._in_hand.append(event)
        if len(self._in_hand) >= self._at_once:
            self._finish()
        frames = session.data_to_send(self.link_id)
        self.said += [frame.hex() for frame in frames]
        return frames

    def _finish(self) -> None:
        """Be done with what is in hand."""
        for event in reversed(self._in_hand):
            if isinstance(event, TooManyWaiting) and event.receipt % 2:
                self.session.skip(event.receipt, self.now)
            else:
                self.session.consumed(event.receipt, self.now)
        self._in_hand.clear()

    def leave(self, drain: float) -> None:
        """Be done with everything, and begin to log out."""
        self._finish()
        with contextlib.suppress(LocalProtocolError):  # it has ended by itself
            self.session.logout(self.now, drain)
        self.drive()

    def end(self) -> None:
        """Some timers, a lost link, and a logout."""
        session = self.session
        for _ in range(4):
            self.now = max(self.now, session.get_timer() or 0.0)
            session.handle_timer(self.now)
            self.drive()
        session.link_lost(self.link_id, None, self.now)
        self.drive()
        self.leave(1.0)
        session.handle_timer(self.now + 10)
        self.drive()


@functools.cache
def _recorded() -> tuple[list[bytes], list[bytes]]:
    """What a program and a service say after the login, in the turns of `session_program`; then the service kicks."""
    program, (service, store) = Program(Kind(CONFIGS[0], 1, None)), new_service()
    link_id = service.link_opened(0.0)
    up: list[bytes] = []
    down: list[bytes] = []
    waiting: deque[bytes] = deque()

    def answer(frames: list[bytes]) -> None:
        up.extend(frames)
        service.receive_data(link_id, b"".join(frames), ONLINE_AT, 1_000)
        while service.run_store(store, ONLINE_AT, 1_000):
            pass
        waiting.extend(service.data_to_send(link_id))

    answer([base.login_of(base.upward(Framing.TCP)[0])])
    up.clear()
    waiting.clear()
    for _ in range(CYCLES * len(VERBS)):
        program.act()
        answer(program.drive())
        down.append(waiting.popleft() if waiting else EMPTY_FRAME)  # a pong may come at any time
        program.session.receive_data(program.link_id, down[-1], program.now)
        answer(program.drive())
    service.kick(base.ALICE.uuid, None, "kicked", ONLINE_AT, 1_000)
    answer([])
    return up, [*down, *waiting]


def upward() -> list[bytes]:
    """What a server reads: whole, and each frame behind a login."""
    login = base.login_of(base.upward(Framing.TCP)[0])
    frames = _recorded()[0]
    return [login + b"".join(frames), *[login + frame for frame in frames]]


def downward() -> list[bytes]:
    """What a client reads after its login: beginnings, and each frame alone."""
    frames = _recorded()[1]
    beginnings = [b"".join(frames[:count]) for count in range(10, len(frames) + 10, 10)]
    return [*beginnings, *frames]
