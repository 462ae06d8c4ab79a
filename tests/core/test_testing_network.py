"""Addresses that can be connected to, or not."""

from __future__ import annotations

import pytest

from mimc_proto import ClientConnection, ClientState, Framing, LocalProtocolError
from mimc_proto.testing import (
    Attempt,
    Conditions,
    FaultyPipe,
    LinkDriver,
    Network,
    ScriptedServer,
    VirtualClock,
)

HERE = ("10.0.0.1", 5222)


class Caller:
    """Connects, and writes down what came of it."""

    def __init__(self, framing: Framing = Framing.TCP) -> None:
        self.clock = VirtualClock()
        self.network = Network(self.clock, framing=framing, conditions=Conditions(latency=0.5))
        self.server = ScriptedServer(self.clock, framing=framing)
        self.network.listen(*HERE, self.server)
        self.pipes: list[FaultyPipe] = []
        self.errors: list[tuple[float, Exception]] = []

    def connect(self, host: str = HERE[0]) -> None:
        """Try once, for as long as an operating system would."""
        self.network.connect(
            host, HERE[1], self.pipes.append, lambda error: self.errors.append((self.clock.now, error))
        )
        self.clock.run_for(200.0)


@pytest.mark.parametrize("framing", Framing)
def test_who_connects_gets_a_pipe_to_the_listener(framing: Framing) -> None:
    caller = Caller(framing)
    caller.network.connect(*HERE, caller.pipes.append, caller.errors.append)  # type: ignore[arg-type]
    assert not caller.pipes
    caller.clock.run_for(0.0)
    [pipe] = caller.pipes
    assert pipe is caller.network.pipe
    client = ClientConnection(resource="pc", id_prefix="p", now=caller.clock.now, framing=framing)
    LinkDriver(caller.clock, pipe.client, client)
    caller.clock.run_until(lambda: client.state is ClientState.READY)
    assert caller.clock.now == 1.0
    assert caller.network.attempts == [Attempt(at=0.0, host=HERE[0], port=HERE[1])]
    assert len(caller.network.links) == 1


def test_nobody_listens_elsewhere() -> None:
    caller = Caller()
    caller.connect("10.0.0.2")
    [(at, error)] = caller.errors
    assert (at, type(error), str(error)) == (0.0, ConnectionRefusedError, "nobody listens")


def test_an_address_refuses_until_it_is_restored() -> None:
    caller = Caller()
    caller.network.refuse(*HERE)
    caller.connect()
    caller.network.refuse(*HERE, OSError("no route"))
    caller.connect()
    caller.network.restore(*HERE)
    caller.connect()
    assert [str(error) for _, error in caller.errors] == ["refused", "no route"]
    assert len(caller.pipes) == 1


def test_a_black_hole_answers_when_linux_gives_up() -> None:
    caller = Caller()
    caller.network.black_hole(*HERE)
    caller.connect()
    [(at, error)] = caller.errors
    assert (at, type(error)) == (127.0, TimeoutError)


def test_connecting_may_take_its_time_and_be_given_up() -> None:
    caller = Caller()
    caller.network.delay(*HERE, 3.0)
    given_up = caller.network.connect(*HERE, caller.pipes.append, lambda error: pytest.fail(str(error)))
    caller.clock.run_for(2.0)
    given_up.cancel()
    caller.clock.run_for(2.0)
    assert not caller.pipes
    caller.connect()
    assert len(caller.pipes) == 1


def test_there_is_no_pipe_before_the_first_connection() -> None:
    with pytest.raises(LocalProtocolError, match="none was made so far"):
        _ = Caller().network.pipe
