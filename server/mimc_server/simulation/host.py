"""The machine of the service: its links, a store that takes its time, and crashes that only the store survives."""

from __future__ import annotations

import random
from collections.abc import Callable

from mimc_proto.testing import Alarm, Side, VirtualClock

from ..service import Service, ServiceEvent, StoreRequest, TooManyLinks
from ..store import Store, StoreError
from .network import Wire

__all__ = ["Host"]

QUICK = 0.001
"""Seconds that the store takes for all that it was asked at once, about."""

Performed = Callable[[StoreRequest, object], object]


class Host:
    """Runs a service over wires. ``make`` makes a new one at each start; ``performed(request, answer)`` hears of all
    that the store did, also of what the service never learnt because it crashed; ``told`` hears of its events.

    ``store_delay`` (seconds) and ``store_fails`` (it fails unless that is 0) say how the store is doing.
    """

    def __init__(
        self,
        clock: VirtualClock,
        rng: random.Random,
        store: Store,
        make: Callable[[], Service],
        performed: Performed,
        told: Callable[[ServiceEvent], object],
    ) -> None:
        self.store_delay = QUICK
        self.store_fails = 0
        self.links_ended = self.links_opened = 0
        self.service: Service | None = None
        self._clock, self._rng, self._store = clock, rng, store
        self._make, self._performed, self._told = make, performed, told
        self._powered = True
        self._links: dict[int, _Link] = {}
        self._lost: list[Wire] = []
        self._job: _Job | None = None
        self._alarm = Alarm(clock, self._ring, "the timer of the service")

    @property
    def up(self) -> bool:
        """Whether the service runs."""
        return self.service is not None

    @property
    def links(self) -> int:
        """Connections that it has."""
        return len(self._links)

    @property
    def rests(self) -> bool:
        """Whether nothing waits for the store."""
        return self._job is None

    def start(self) -> None:
        """Start the service, after a crash as well; without effect while it runs."""
        if self.service is None:
            self._powered = True
            self.service = self._make()
            for wire in self._lost:
                wire.forget()
            self._lost.clear()
            self.turn()

    def crash(self, *, power: bool) -> None:
        """All is lost but what the store has committed. With ``power`` the machine goes as well, without a word."""
        if self.service is None:
            return
        self.service = None
        self._powered = not power
        self._alarm.set(None)
        if self._job is not None:
            self._job.die(self._rng)
            self._job = None
        for link in self._links.values():
            link.alive = False
            if power:
                link.wire.vanish(Side.SERVER)
                self._lost.append(link.wire)
            else:
                link.wire.pipe.server.reset()
                link.wire.over(Side.SERVER)
        self._links.clear()

    def accept(self, wire: Wire) -> bool | None:
        """A connection came: `mimc_server.simulation.network.Listener`."""
        if self.service is None:
            return False if self._powered else None
        try:
            link_id = self.service.link_opened(self._clock.now)
        except TooManyLinks:
            return None  # it waits at the listener
        self.links_opened += 1
        self._links[link_id] = link = _Link(self, wire, link_id)
        wire.pipe.server.attach(link)
        self.turn()
        return True

    # ------------------------------------------------------------------------------------------ what links tell it

    def received(self, link_id: int, data: bytes) -> None:
        """Bytes came."""
        assert self.service is not None  # its links went with it
        self.service.receive_data(link_id, data, self._clock.now, self._clock.wall_ms)
        self.turn()

    def gone(self, link: _Link) -> None:
        """A connection is over, whoever closed it."""
        assert self.service is not None
        link.alive = False
        link.wire.over(Side.SERVER)
        del self._links[link.link_id]
        self.links_ended += 1
        self.service.link_lost(link.link_id, self._clock.now, self._clock.wall_ms)
        self.turn()

    # ----------------------------------------------------------------------------------------------------- driving

    def turn(self) -> None:
        """All that the service wants; call it after its verbs."""
        service = self.service
        if service is None:
            return
        self._ask_the_store(service)
        for link_id in service.writable():
            link = self._links.get(link_id)
            if link is not None:
                link.flush()
        self._ask_the_store(service)  # a link with room again may have it read
        service.hints()  # for other nodes, of which there are none
        for event in service.events():
            self._told(event)
        self._alarm.set(service.get_timer())

    def _ring(self) -> None:
        if self.service is not None:
            self.service.handle_timer(self._clock.now, self._clock.wall_ms)
            self.turn()

    def _ask_the_store(self, service: Service) -> None:
        if self._job is None:
            requests = service.store_requests()
            if requests:
                delay = self.store_delay * (0.5 + self._rng.random())
                self._job = job = _Job(self, requests)
                job.begin(self._clock, delay, delay * self._rng.random())

    def perform(self, request: StoreRequest) -> object:
        """Have the store do it."""
        if self.store_fails:
            answer: object = StoreError("the medium failed")
        else:
            answer = request.perform(self._store, self._clock.wall_ms)
        self._performed(request, answer)
        return answer

    def answered(self, answers: list[tuple[int, object]]) -> None:
        """The store did all of a job."""
        assert self.service is not None  # else the job would have died
        self._job = None
        for request_id, answer in answers:
            self.service.store_answered(request_id, answer, self._clock.now, self._clock.wall_ms)
        self.turn()


class _Job:
    """What the store was asked at once: done at one moment, answered at a later one, and a crash may come between."""

    def __init__(self, host: Host, requests: list[StoreRequest]) -> None:
        self._host = host
        self._requests = requests
        self._answers: list[tuple[int, object]] = []

    def begin(self, clock: VirtualClock, answer_in: float, perform_in: float) -> None:
        self._waits = (
            clock.call_later(perform_in, self._perform, "the store"),
            clock.call_later(answer_in, lambda: self._host.answered(self._answers), "an answer of the store"),
        )

    def _perform(self) -> None:
        self._answers = [(request.request_id, self._host.perform(request)) for request in self._requests]
        self._requests = []

    def die(self, rng: random.Random) -> None:
        """The service crashed: of what was not done some is done nevertheless, in its order."""
        for waits in self._waits:
            waits.cancel()
        for request in self._requests[: rng.randint(0, len(self._requests))]:
            self._host.perform(request)


class _Link:
    """The service's end of one connection."""

    def __init__(self, host: Host, wire: Wire, link_id: int) -> None:
        self.wire = wire
        self.link_id = link_id
        self.alive = True
        self._host = host
        self._cut: Alarm | None = None

    def data_received(self, data: bytes) -> None:
        if self.alive:
            self._host.received(self.link_id, data)

    def eof_received(self) -> None:
        self.close()

    def connection_lost(self) -> None:
        self.close()

    def writing_resumed(self) -> None:
        if self.alive:
            self.wire.pipe.server.resume_reading()
            self.flush()
            self._host.turn()

    def flush(self) -> None:
        """Write what waits, as far as there is room; close if the link is at its end."""
        host, end = self._host, self.wire.pipe.server
        service = host.service
        if not self.alive or service is None:
            return
        while end.writable and (frames := service.data_to_send(self.link_id, end.room)):
            self.wire.write(Side.SERVER, frames)
        if not end.writable:
            end.pause_reading()  # who does not read is not read
        close_at = service.close_expected(self.link_id)
        if close_at is not None and (end.writable or close_at <= host._clock.now):
            self.close()
        elif close_at is not None and self._cut is None:
            self._cut = Alarm(host._clock, self.flush, "closing a link that does not read")
            self._cut.set(close_at)

    def close(self) -> None:
        """Close, whatever waits."""
        if self.alive:
            self.wire.pipe.server.close()
            self._host.gone(self)
