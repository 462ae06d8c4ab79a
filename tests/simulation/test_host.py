"""The machine of the service: a store that takes its time, and crashes that only the store survives."""

from __future__ import annotations

from random import Random

import pytest
from mimc_server.service import Service, ServiceConfig, ServiceEvent, StoreFailed, StoreRequest
from mimc_server.simulation.host import Host
from mimc_server.simulation.network import Line, Network, Wire
from mimc_server.store import MemoryStore, StoreError
from mimc_server.tokens import TokenIssuer

from mimc_proto import ServerConfig
from mimc_proto.testing import Side, VirtualClock


class Client:
    """A client that says nothing, and hears how its connection ends."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.error: Exception | None = None
        self.end = ""

    def opened(self, wire: Wire) -> None:
        self.wire = wire
        wire.pipe.client.attach(self)

    def failed(self, error: Exception) -> None:
        self.error = error

    def data_received(self, data: bytes) -> None:
        """The service never speaks first."""

    def eof_received(self) -> None:
        self.end = "eof"

    def connection_lost(self) -> None:
        self.end = "lost"

    def writing_resumed(self) -> None:
        """It writes little."""


class Bed:
    """A host and a network to it."""

    def __init__(self, **config: int | float) -> None:
        self.clock = VirtualClock()
        self.performed: list[tuple[float, StoreRequest, object]] = []
        self.events: list[ServiceEvent] = []
        self.made = 0
        self.link = ServerConfig(handshake_timeout=5.0)
        self.config = ServiceConfig(link=self.link, **config)  # type: ignore[arg-type]  # numbers
        self.host = Host(self.clock, Random(1), MemoryStore(), self._make, self._done, self.events.append)
        self.line = Line(latency=0.1, jitter=0.0, loss=0.0)
        self.network = Network(self.clock, Random(1), self.host.accept, list)

    def _make(self) -> Service:
        self.made += 1
        tokens = TokenIssuer(b"a secret of sixteen", 60.0, Random(1))
        return Service(node="n1", tokens=tokens, package_of=lambda _: "p", rng=Random(1), config=self.config)

    def _done(self, request: StoreRequest, answer: object) -> None:
        self.performed.append((self.clock.now, request, answer))

    def start(self) -> Bed:
        self.host.start()
        self.clock.run_for(1.0)
        return self

    def connect(self, seconds: float = 1.0) -> Client:
        client = Client()
        self.network.connect(self.line, client.opened, client.failed)
        self.clock.run_for(seconds)
        return client


def test_a_service_has_the_store_free_what_it_held_before_it_crashed() -> None:
    bed = Bed().start()
    assert [type(request).__name__ for _, request, _ in bed.performed] == ["ReleaseNode"]
    assert bed.host.rests
    bed.host.start()  # it runs already
    assert bed.made == 1


def test_a_store_takes_its_time_and_does_its_work_somewhere_in_it() -> None:
    bed = Bed()
    bed.host.store_delay = 10.0
    bed.host.start()
    bed.clock.run_for(4.9)
    assert not bed.host.rests
    bed.clock.run_for(20.0)
    [(at, _, _)] = bed.performed
    assert 0.0 < at < 15.0
    assert bed.host.rests


def test_a_store_that_fails_does_nothing_and_says_so() -> None:
    bed = Bed()
    bed.host.store_fails = 1
    bed.start()
    [(_, _, answer)] = bed.performed
    assert isinstance(answer, StoreError)
    assert [type(event) for event in bed.events] == [StoreFailed]


def test_what_a_crash_interrupts_is_done_or_not_and_never_answered() -> None:
    done = set()
    for seed in range(20):
        bed = Bed()
        bed.host._rng = Random(seed)
        bed.host.store_delay = 10.0
        bed.host.start()
        bed.clock.run_for(2.0)
        bed.host.crash(power=False)
        done.add(len(bed.performed))
        bed.clock.run_for(60.0)
        assert bed.host.rests
        assert not bed.host.up
    assert done == {0, 1}


def test_a_crash_of_the_program_resets_its_connections_and_refuses_new_ones_until_it_is_back() -> None:
    bed = Bed().start()
    client = bed.connect()
    assert bed.host.links == 1
    bed.host.crash(power=False)
    bed.host.crash(power=True)  # it is gone already
    assert bed.host.links == 0
    late = bed.connect()
    assert client.end == "lost"
    assert isinstance(late.error, ConnectionRefusedError)
    bed.host.start()
    assert bed.connect().wire is not None
    assert bed.made == 2


def test_of_a_crash_of_the_machine_nobody_learns_until_it_is_back_and_is_written_to() -> None:
    bed = Bed().start()
    client = bed.connect()
    assert client.wire is not None
    bed.host.crash(power=True)
    late = bed.connect(10.0)
    assert (client.end, late.wire, late.error) == ("", None, None)
    bed.host.start()
    bed.clock.run_for(10.0)
    assert late.wire is not None
    assert client.end == ""
    client.wire.write(Side.CLIENT, [b"hello?"])
    bed.clock.run_for(1.0)
    assert client.end == "lost"


def test_the_service_closes_links_that_say_nothing_and_forgets_them() -> None:
    bed = Bed().start()
    client = bed.connect(20.0)
    assert client.end == "eof"
    assert (bed.host.links, bed.host.links_opened, bed.host.links_ended) == (0, 1, 1)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes_is_forgotten(how: str) -> None:
    bed = Bed().start()
    client = bed.connect()
    assert client.wire is not None
    getattr(client.wire.pipe.client, how)()
    bed.clock.run_for(1.0)
    assert bed.host.links == 0


def test_where_there_is_no_room_for_more_links_connections_wait() -> None:
    bed = Bed(max_links=1).start()
    first, second = bed.connect(), bed.connect()
    assert first.wire is not None
    assert second.wire is None
    first.wire.pipe.client.close()
    bed.clock.run_for(10.0)
    assert second.wire is not None


def test_bytes_that_are_no_protocol_end_a_link() -> None:
    bed = Bed().start()
    client = bed.connect()
    assert client.wire is not None
    client.wire.write(Side.CLIENT, [b"GET / HTTP/1.1\r\n\r\n"])
    bed.clock.run_for(5.0)
    assert client.end == "eof"
    assert bed.host.links == 0
