"""Whatever fails, every adapter comes back when the configured back-off says, to the microsecond: on virtual time.

Chance is fixed, so that each delay is half of the longest it may be. Links that break at any byte are in
`test_loads`; what a proxy or a certificate does wrong in `test_proxies` and `test_links`, on real sockets.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from mimc_transports._proxy import ProxyRefused
from support.town import PEM, losses, server_context, trusting
from support.virtual_tls import TlsListener
from support.virtual_world import HOST, PORT, World

from mimc_proto import SendFailed, SendTimeout, SessionConfig
from mimc_proto.packets import Command, P2PMessage
from mimc_proto.session import Message
from mimc_proto.testing import FaultyPipe, Side, Stream, token_answer

CONFIG = SessionConfig(
    connect_backoff=2.0, longest_connect_backoff=8.0, token_backoff=1.0, longest_token_backoff=4.0, connect_timeout=3.0
)
CONNECT_DELAYS = (1.0, 2.0, 4.0, 4.0, 4.0)
"""Half of `connect_backoff`, and so on: what follows each failure."""

TOKEN_DELAYS = (0.5, 1.0, 2.0, 2.0, 2.0)
FAILURES = len(CONNECT_DELAYS)
STABLE = CONFIG.stable_after + 2.0
"""Seconds online after which the back-off begins again from its start."""

OTHER = PEM.with_name("other.pem")
"""A key and its own certificate for other.example."""

exactly = functools.partial(pytest.approx, rel=0.0, abs=1e-5)
"""Virtual time stands still but for the hair by which timers are late."""


class Middling(random.Random):
    """Chance that is always half."""

    def random(self) -> float:
        return 0.5


@pytest.fixture(autouse=True)
def chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_transports._user.SystemRandom", functools.partial(Middling, 1))


async def greet(user: Any) -> None:
    """Log in, say something, log out."""
    async with user:
        assert (await user.send("bob", b"hi")).sequence


def times(start: float, delays: tuple[float, ...], spent: float = 0.0) -> list[float]:
    """When something is tried that begins at a time, is over after so many seconds, and then waits that long."""
    return list(itertools.accumulate((delay + spent for delay in delays), initial=start))


def attempts(world: World) -> list[float]:
    return [attempt.at for attempt in world.network.attempts]


# --------------------------------------------------------------------------------------------------- no connection


class Fault:
    """Something that keeps users from connecting until it is mended."""

    host = HOST
    problem = ""
    spent = 0.0
    """Seconds that each attempt takes."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.monkeypatch = world, monkeypatch
        self.options: dict[str, Any] = {}  # of the user
        self.begin()

    def begin(self) -> None:
        raise NotImplementedError

    def mend(self) -> None:
        self.world.network.restore(HOST, PORT)


class Refused(Fault):
    problem = "refused"

    def begin(self) -> None:
        self.world.network.refuse(HOST, PORT)


class BlackHole(Fault):
    problem = "connect_timeout"
    spent = CONFIG.connect_timeout

    def begin(self) -> None:
        self.world.network.black_hole(HOST, PORT)


class NoSuchName(Fault):
    problem = "no such name"

    def begin(self) -> None:
        self.world.network.refuse(HOST, PORT, socket.gaierror(socket.EAI_NONAME, "no such name"))


class WrongTlsName(Fault):
    """The certificate is one to trust, but of another host."""

    host = "localhost"
    problem = r"certificate is not valid for 'localhost'"

    def begin(self) -> None:
        context = trusting()
        context.load_verify_locations(OTHER)
        self.options = {"ssl": context}
        self.listener = TlsListener(self.world.server, server_context(OTHER))
        self.world.network.listen(self.host, PORT, self.listener)

    def mend(self) -> None:
        self.listener.context = server_context()


class ProxyRefuses(Fault):
    """The proxies' own protocols are in `test_proxies`; here is what becomes of a refusal."""

    problem = "the proxy did not connect: go away"

    def begin(self) -> None:
        self.options = {"proxy": "socks5://proxy.example:1080"}
        self.refuses = True
        patch, network = self.monkeypatch.setattr, self.world.network

        def ask(url: str) -> None:
            assert url == self.options["proxy"]
            if self.refuses:
                network.refuse(HOST, PORT, ProxyRefused(self.problem))

        async def on_asyncio(url: str, host: str, port: int) -> FaultyPipe:
            import asyncio

            ask(url)
            pipe: FaultyPipe = await asyncio.get_running_loop().open_pipe(host, port)  # type: ignore[attr-defined]
            return pipe

        async def on_trio(url: str, host: str, port: int) -> Any:
            from support.virtual_trio import open_stream

            ask(url)
            return await open_stream(network, host, port)

        def blocking(url: str, host: str, port: int, timeout: float) -> Any:
            ask(url)
            assert timeout == CONFIG.connect_timeout
            assert self.world.threads is not None
            return self.world.threads.socket().connect_at_last((host, port))

        if self.world.library == "asyncio":
            patch("mimc_transports.asyncio.connect_asyncio", on_asyncio)
        elif self.world.library == "trio":
            patch("mimc_transports.trio.connect_trio", on_trio)
            patch("trio.SocketStream", lambda stream: stream)
        else:
            patch("mimc_transports._blocking_io.connect_blocking", blocking)

    def mend(self) -> None:
        super().mend()
        self.refuses = False


@pytest.mark.parametrize("kind", [Refused, BlackHole, NoSuchName, WrongTlsName, ProxyRefuses])
def test_a_server_that_cannot_be_reached_is_tried_as_the_back_off_says_until_it_can_be(
    world: World, kind: type[Fault], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = kind(world, monkeypatch)
    expected = times(0.0, CONNECT_DELAYS, fault.spent)

    async def story() -> None:
        alice = world.user(addresses=[(fault.host, PORT)], config=CONFIG, login_timeout=600.0, **fault.options)
        lost = losses(alice)
        login = world.start(greet, alice)
        await world.sleep(expected[-1] - 0.5)
        assert not alice.online
        fault.mend()
        await login.result()
        assert [event.retry_in for event in lost] == exactly(CONNECT_DELAYS)
        for event in lost:
            assert re.search(fault.problem, event.problem)

    world.run(story)
    assert attempts(world) == exactly(expected)
    assert len(world.server.bodies(P2PMessage)) == 1


def test_an_address_that_is_refused_is_followed_at_once_by_the_next_and_waits_only_when_all_were(world: World) -> None:
    addresses = [("one", PORT), ("two", PORT), (HOST, PORT)]

    async def story() -> None:
        world.network.refuse(HOST, PORT)
        login = world.start(greet, world.user(addresses=addresses, config=CONFIG, login_timeout=600.0))
        await world.sleep(2.5)
        world.network.restore(HOST, PORT)
        await login.result()

    world.run(story)
    assert attempts(world) == exactly([0.0] * 3 + [1.0] * 3 + [3.0] * 3)
    assert [attempt.host for attempt in world.network.attempts] == ["one", "two", HOST] * 3


# --------------------------------------------------------------------------------------------------------- no token


def _raises() -> str:
    raise OSError("no network")


TOKENS: dict[str, Callable[[], Any]] = {
    "raises": _raises,
    "says something else": lambda: "<html>502 Bad Gateway</html>",
    "refuses": lambda: '{"code": 500, "message": "no"}',
}


@pytest.mark.parametrize("failing", TOKENS)
def test_a_token_endpoint_that_fails_is_asked_as_the_back_off_says_until_it_does_not(
    world: World, failing: str
) -> None:
    asked: list[float] = []

    def answer() -> Any:
        asked.append(world.clock.now)
        return TOKENS[failing]() if len(asked) <= FAILURES else token_answer("alice")

    async def awaited() -> Any:
        return answer()

    async def story() -> None:
        token = answer if world.library == "blocking" else awaited
        await greet(world.user(token=token, config=CONFIG, login_timeout=600.0))

    world.run(story)
    assert asked == exactly(times(0.0, TOKEN_DELAYS))


def test_a_token_endpoint_that_does_not_answer_is_given_up_and_asked_again(world: World) -> None:
    asked: list[float] = []
    config = SessionConfig(token_backoff=1.0, token_timeout=7.0)

    def late() -> Any:
        asked.append(world.clock.now)
        assert world.threads is not None
        if len(asked) == 1:
            world.threads.sleep(20.0)
        return token_answer("alice")

    async def awaited() -> Any:
        asked.append(world.clock.now)
        if len(asked) == 1:
            await world.sleep(20.0)
        return token_answer("alice")

    async def story() -> None:
        async with world.user(token=late if world.library == "blocking" else awaited, config=config) as alice:
            assert world.clock.now == exactly(7.5)
            await world.sleep(20.0)  # what comes too late is not listened to
            assert alice.online

    world.run(story)
    assert asked == exactly([0.0, 7.5])


# ------------------------------------------------------------------------------------------- a link that is no more

Loss = Callable[[World], object]

SEEN: dict[str, Loss] = {
    "it broke": lambda world: world.network.pipe.cut(),
    "the server closed it": lambda world: world.network.pipe.server.close(),
    "the server reset it": lambda world: world.network.pipe.server.reset(),
}
UNSEEN: dict[str, Loss] = {
    "it leads nowhere": lambda world: world.network.pipe.drop(),
    "only the server saw it break": lambda world: world.network.pipe.cut(unaware=Side.CLIENT),
    "nothing comes any more": lambda world: world.network.pipe.down.stall(),
    "nothing goes any more": lambda world: world.network.pipe.up.stall(),
    "the server is silent": lambda world: world.server.silence(),
}


@pytest.mark.parametrize("how", [*SEEN, *UNSEEN])
def test_a_link_that_is_no_more_is_replaced_after_its_deadline_and_the_back_off(world: World, how: str) -> None:
    """A loss is seen at once, or when the next ping has no answer; the server that was silent speaks again then."""
    silence = CONFIG.ping_interval + CONFIG.answer_timeout

    async def story() -> None:
        async with world.user(config=CONFIG) as alice:
            lost = losses(alice)
            await world.sleep(STABLE)
            assert (await alice.send("bob", b"before")).sequence
            at = world.clock.now
            (SEEN | UNSEEN)[how](world)
            await world.sleep(1e-3)
            assert alice.online is (how in UNSEEN)
            noticed = at + (silence if how in UNSEEN else 0.0)
            await world.sleep(noticed - world.clock.now - 0.1 if how in UNSEEN else 0.0)
            assert alice.online is (how in UNSEEN)
            await world.sleep(0.2)
            world.server.speak()
            assert not alice.online
            await alice.wait_online()
            assert world.clock.now == exactly(noticed + CONNECT_DELAYS[0])
            assert (await alice.send("bob", b"after")).sequence
            assert [event.retry_in for event in lost] == exactly(CONNECT_DELAYS[:1])
        assert attempts(world) == exactly([0.0, noticed + CONNECT_DELAYS[0]])

    world.run(story)
    assert [message.payload for message in world.server.bodies(P2PMessage)] == [b"before", b"after"]


@pytest.mark.parametrize("how", UNSEEN)
def test_a_send_into_a_link_that_is_no_more_fails_in_time_and_says_that_it_may_have_arrived(
    world: World, how: str
) -> None:
    async def story() -> None:
        async with world.user(config=CONFIG) as alice:
            await world.sleep(STABLE)
            at = world.clock.now
            UNSEEN[how](world)
            with pytest.raises(SendTimeout) as caught:
                await alice.send("bob", b"lost", timeout=4.0)
            assert caught.value.may_have_arrived
            assert world.clock.now == exactly(at + 4.0)
            with pytest.raises(SendFailed):
                await alice.send("bob", b"lost", timeout=600.0)
            assert world.clock.now == exactly(at + CONFIG.answer_timeout)
            world.server.speak()
            await alice.wait_online()
            assert (await alice.send("bob", b"after")).sequence

    world.run(story)


def test_a_link_that_is_lost_again_and_again_is_replaced_ever_later(world: World) -> None:
    async def story() -> None:
        async with world.user(config=CONFIG) as alice:
            for delay in CONNECT_DELAYS:
                at = world.clock.now
                world.network.pipe.cut()
                await world.sleep(1e-3)
                await alice.wait_online()
                assert world.clock.now == exactly(at + delay)
            await world.sleep(STABLE)
            at = world.clock.now
            world.network.pipe.cut()
            await world.sleep(1e-3)
            await alice.wait_online()
            assert world.clock.now == exactly(at + CONNECT_DELAYS[0])

    world.run(story)


@pytest.mark.parametrize("command", [Command.CONN, Command.BIND], ids=lambda command: command.name)
def test_a_server_that_is_silent_during_a_login_is_given_up_at_the_deadline_and_tried_again(
    world: World, command: Command
) -> None:
    deadline = CONFIG.handshake_timeout if command is Command.CONN else CONFIG.login_timeout
    expected = times(0.0, CONNECT_DELAYS, deadline)

    async def story() -> None:
        world.server.silence(command)
        login = world.start(greet, world.user(config=CONFIG, login_timeout=600.0))
        await world.sleep(expected[-1] - 0.5)
        world.server.speak()
        await login.result()

    world.run(story)
    assert attempts(world) == exactly(expected)


# ------------------------------------------------------------------------------------------------------ a slow server


class Slow(list[FaultyPipe]):
    """The pipes of a network, whose first lets a byte through every so many seconds, and takes few before."""

    def __init__(self, world: World, seconds: float, direction: str) -> None:
        super().__init__()
        self._clock, self._seconds, self._direction = world.clock, seconds, direction

    def append(self, pipe: FaultyPipe) -> None:
        if not self:
            stream = getattr(pipe, self._direction)
            stream.chunk, stream.capacity = 1, 64
            stream.stall()
            self._trickle(stream)
        super().append(pipe)

    def _trickle(self, stream: Stream) -> None:
        stream.resume()
        stream.deliver()
        stream.stall()
        self._clock.call_later(self._seconds, lambda: self._trickle(stream), "a trickle")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_bytes_may_trickle_one_by_one(world: World, direction: str) -> None:
    world.network.pipes = Slow(world, 0.002, direction)
    payload = bytes(1000)

    async def story() -> None:
        alice = world.user(config=CONFIG)
        lost = losses(alice)
        async with alice:
            assert world.clock.now > 0.2  # a login is more than a hundred bytes each way
            at = world.clock.now
            assert (await alice.send("bob", payload)).sequence
            world.server.deliver("alice", payload)
            async for message in alice:
                assert isinstance(message, Message)
                assert message.payload == payload
                break
            assert world.clock.now > at + 2.0  # it was slow
        assert lost == []

    world.run(story)
    assert [message.payload for message in world.server.bodies(P2PMessage)] == [payload]
    assert len(world.network.attempts) == 1


@pytest.mark.parametrize("direction", ["up", "down"])
def test_bytes_that_trickle_too_slowly_for_the_deadline_are_not_waited_for(world: World, direction: str) -> None:
    world.network.pipes = Slow(world, 0.5, direction)

    async def story() -> None:
        await greet(world.user(config=CONFIG))

    world.run(story)
    assert attempts(world) == exactly([0.0, CONFIG.handshake_timeout + CONNECT_DELAYS[0]])
    assert len(world.server.bodies(P2PMessage)) == 1
