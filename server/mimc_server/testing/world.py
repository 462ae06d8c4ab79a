"""The whole service on a clock that only tests move, on a network without sockets."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from mimc_proto import Framing
from mimc_proto.session import ClientSession
from mimc_proto.testing import Alarm, Conditions, Endpoint, Network, SessionDriver, VirtualClock, example_user

from ..router import MemoryRouter
from ..service import ServiceConfig, ServiceEvent, SessionInfo, TooManyLinks
from .backend import TOKEN_LIFETIME, Backend, ServiceHandle

__all__ = ["Node", "ServiceWorld", "WorldUser"]

T = TypeVar("T")

PORT = 5222
NO_LINK = 0
"""No link has this id: the service answers nothing and wants nothing."""


class WorldUser(SessionDriver):
    """A user of a world: a `SessionDriver` whose session is a `ClientSession`."""

    session: ClientSession


class ServiceWorld(ServiceHandle):
    """A service, its users and a network between them, all on one `VirtualClock`::

        world = ServiceWorld()
        alice, bob = world.login("alice"), world.login("bob")
        alice.session.send("bob", b"hi", now=world.clock.now)
        world.run_until(lambda: bob.messages)

    With several ``nodes`` there are as many services on one store, which tell each other by a `MemoryRouter`. Frontends
    listen at ``10.0.0.<n>``, port 5222. ``conditions`` are those of all connections; ``seed`` settles all chance.
    """

    def __init__(
        self,
        *,
        nodes: int = 1,
        config: ServiceConfig | None = None,
        conditions: Conditions | None = None,
        framing: Framing = Framing.TCP,
        token_lifetime: float = TOKEN_LIFETIME,
        seed: int = 1,
    ) -> None:
        self.clock = clock = VirtualClock()
        self.network = Network(clock, framing=framing, conditions=conditions)
        self._rng = Random(seed)
        self._backend = Backend(lambda: clock.wall_ms, self._rng, token_lifetime)
        self._router = MemoryRouter()
        self.nodes = [Node(self, number, config) for number in range(1, nodes + 1)]

    # ------------------------------------------------------------------------------------------------------- users

    def user(
        self,
        account: str,
        *,
        resource: str | None = None,
        node: int | None = None,
        consume: float | None = 0.0,
        **options: Any,
    ) -> WorldUser:
        """A user with a `ClientSession`, not logged in yet. Its tokens come from here.

        ``node`` is the number of the only node he connects to (from 0); by default he tries all. ``consume`` is that of
        `SessionDriver`, ``options`` go to the session.
        """
        nodes = self.nodes if node is None else [self.nodes[node]]
        session = ClientSession(
            self.app_id,
            account,
            rng=Random(self._rng.getrandbits(64)),
            now=self.clock.now,
            resource=resource,
            framing=self.network.framing,
            **{"addresses": [other.address for other in nodes], **options},
        )
        driver = WorldUser(
            session,
            self.clock,
            self.network,
            user=example_user(account).replace(uuid=self.uuid(account)),
            consume=consume,
            addresses=[other.address for other in nodes],
        )
        driver.tokens.default = lambda _: self.token_answer(account)
        return driver

    def login(self, account: str, **options: Any) -> WorldUser:
        """A `user` who is online. Raises `Stuck` if that does not happen."""
        driver = self.user(account, **options)
        driver.login()
        return driver

    # --------------------------------------------------------------------------------------------------------- time

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.run_for(seconds)

    def run_until(self, goal: float | Callable[[], object], *, timeout: float = 600.0, what: str = "") -> None:
        """Run up to a time, or until something holds: `VirtualClock.run_until`."""
        self.clock.run_until(goal, timeout=timeout, what=what)

    # --------------------------------------------------------------------------------------------------- the service

    def sessions(self) -> list[SessionInfo]:
        """Who is online, on any node."""
        return [session for node in self.nodes for session in node.service.sessions()]

    def _call(self, work: Callable[[], T]) -> T:
        return work()

    def _kick(self, uuid: int, resource: str | None, reason: str) -> None:
        node = self.nodes[0]
        node.service.kick(uuid, resource, reason, self.clock.now, self.clock.wall_ms)
        node.wake()


class Node:
    """One node of a world: its ``service``, its ``address``, and the ``events`` that the service told.

    The store does what is asked at the end of each moment, so what arrives together is committed together. Verbs of the
    service take effect at the next run of the clock; within a run call `wake`. Connections for which the service has
    no room are never answered.
    """

    def __init__(self, world: ServiceWorld, number: int, config: ServiceConfig | None) -> None:
        name = f"n{number}"
        self.address = (f"10.0.0.{number}", PORT)
        self.service = world._backend.service(name, config)
        self.events: list[ServiceEvent] = []
        self.lose_hints = False
        """Whether the other nodes learn nothing of this one but by the store."""
        self._clock = clock = world.clock
        self._store = world._backend.store
        self._framing = world.network.framing
        self._wakes: dict[int, Callable[[], None]] = {}
        self._alarm = Alarm(clock, self._ring, f"the timer of {name}")
        self._turn = Alarm(clock, self._step, f"the store of {name}")
        self._port = world._router.join(name, self.wake)
        world.network.listen(*self.address, self)
        clock.before_run(self._step)

    def wake(self) -> None:
        """Look after the service at this moment, when the callback that runs is over."""
        self._turn.set(self._clock.now)

    def accept(self, now: float, wake: Callable[[], None]) -> Endpoint:
        """A connection came (`mimc_proto.testing.Listener`)."""
        try:
            link_id = self.service.link_opened(now, framing=self._framing)
        except TooManyLinks:
            link_id = NO_LINK
        self._wakes[link_id] = wake
        self.wake()
        return _Link(self, link_id)

    # ------------------------------------------------------------------------------------------ what links tell it

    def received(self, link_id: int, data: bytes, now: float) -> None:
        """Bytes came."""
        self.service.receive_data(link_id, data, now, self._clock.wall_ms)
        self.wake()

    def lost(self, link_id: int, now: float) -> None:
        """A connection is gone."""
        self._wakes.pop(link_id, None)
        self.service.link_lost(link_id, now, self._clock.wall_ms)
        self.wake()

    # ----------------------------------------------------------------------------------------------------- driving

    def _ring(self) -> None:
        self._clock.call_at(self._clock.now, self._handle_timer, "a timer of the service")  # behind bytes that wait

    def _handle_timer(self) -> None:
        self.service.handle_timer(self._clock.now, self._clock.wall_ms)
        self._step()

    def _step(self) -> None:
        """All that the service wants, until it wants nothing more."""
        while self._exchange():
            pass
        self.events += self.service.events()
        for link_id in self.service.writable():
            if link_id in self._wakes:
                self._wakes[link_id]()
        self._alarm.set(self.service.get_timer())

    def _exchange(self) -> bool:
        """With the store and other nodes; whether anything moved."""
        service, now, wall_ms = self.service, self._clock.now, self._clock.wall_ms
        asked = service.run_store(self._store, now, wall_ms)
        for hint in service.hints():
            if not self.lose_hints:
                self._port.publish(hint)
        received = self._port.received()
        for hint in received:
            service.hinted(hint, now, wall_ms)
        return asked or bool(received)


class _Link:
    """One connection of a node, as `mimc_proto.testing.Endpoint`; its timers are the service's."""

    def __init__(self, node: Node, link_id: int) -> None:
        self._node = node
        self._link_id = link_id

    def receive_data(self, data: bytes, now: float) -> None:
        self._node.received(self._link_id, data, now)

    def receive_eof(self, now: float) -> None:
        self._node.lost(self._link_id, now)

    def send_failed(self, now: float) -> None:
        self._node.lost(self._link_id, now)

    def data_to_send(self, max_bytes: int = 65536) -> list[bytes]:
        frames = self._node.service.data_to_send(self._link_id, max_bytes)
        if frames:
            self._node.wake()  # there is room for more now
        return frames

    def get_timer(self) -> None:
        return None

    def handle_timer(self, now: float) -> None:
        """The service has one timer for all links."""

    def close_expected(self) -> float | None:
        return self._node.service.close_expected(self._link_id)
