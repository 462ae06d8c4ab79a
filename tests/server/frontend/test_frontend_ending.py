"""The end of a service that runs."""

from __future__ import annotations

import asyncio

import pytest
from mimc_server.frontend.connection import LINGER
from support.frontends import Deaf, Town, broken, contexts, flood, online, with_deaf
from support.wires import TIMEOUT, wire

pytestmark = pytest.mark.anyio


async def test_a_handshake_under_way_does_not_hold_up_the_end() -> None:
    server, _ = contexts()
    place = Town()
    address = await place.runner.listen("127.0.0.1", 0, ssl=server)
    async with wire(address) as silent:
        async with asyncio.timeout(TIMEOUT):
            while not place.runner._listeners[0].handshakes:
                await asyncio.sleep(0)
            await place.runner.close()
        assert await silent.ended() == b""


async def test_the_end_lets_everything_out_and_tells_the_store() -> None:
    place = Town()
    address = await place.runner.listen("127.0.0.1", 0)
    async with online(place, address, "alice") as alice:
        runner = place.runner
        place.service.kick(alice.peer.uuid, None, "token-expired", runner.now(), runner.wall_ms())
        await runner.close()
        await alice.read("KICK")
        assert await alice.ended() == b""
    assert place.service.sessions() == []
    assert place.service.store_requests() == []
    assert place.service.events() == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


async def test_the_end_does_not_wait_for_who_does_not_read() -> None:
    place = Town()
    address = await place.runner.listen("127.0.0.1", 0)
    async with online(place, address, "alice") as alice, online(place, address, "bob") as bob:
        await flood(place, alice, bob)
        async with asyncio.timeout(TIMEOUT):
            await place.runner.close(timeout=0.01)
        assert place.runner.connections == 0


@pytest.mark.parametrize("timeout", [0.0, 0.25, 3.0])
def test_at_the_end_a_connection_is_cut_after_the_timeout_and_no_later(timeout: float) -> None:
    async def work(place: Town, transport: Deaf) -> None:
        asked = place.runner.now()
        await place.runner.close(timeout)
        assert await transport.cut == pytest.approx(asked + timeout)

    with_deaf(work)


def test_at_the_end_a_link_that_is_to_close_anyway_has_the_time_that_ends_first() -> None:
    async def work_short(place: Town, transport: Deaf) -> None:
        close_at = broken(place, transport)
        await asyncio.sleep(0)
        asked, left = place.runner.now(), close_at - place.runner.now() + LINGER
        await place.runner.close(left / 2)
        assert await transport.cut == pytest.approx(asked + left / 2)

    async def work_long(place: Town, transport: Deaf) -> None:
        close_at = broken(place, transport)
        await asyncio.sleep(0)
        await place.runner.close(1000.0)
        assert await transport.cut == pytest.approx(close_at + LINGER)

    with_deaf(work_short)
    with_deaf(work_long)


def test_the_end_may_be_asked_for_again_and_the_shortest_timeout_counts() -> None:
    async def work(place: Town, transport: Deaf) -> None:
        asked = place.runner.now()
        ends = [asyncio.ensure_future(place.runner.close(timeout)) for timeout in (9.0, 2.0, 5.0)]
        await asyncio.sleep(0)
        ends.pop(0).cancel()  # who waits no more takes nothing from those who do
        await asyncio.gather(*ends)
        assert await transport.cut == pytest.approx(asked + 2.0)
        assert place.service.sessions() == []

    with_deaf(work)


async def test_every_end_that_is_asked_for_ends_when_nobody_listens_any_more() -> None:
    place = Town()
    await place.runner.listen("127.0.0.1", 0)
    [listener] = place.runner._listeners
    closed: list[bool] = []

    async def end() -> None:
        await place.runner.close()
        closed.append(listener._socket.fileno() < 0)

    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(end(), end(), end())
    assert closed == [True] * 3
