"""Addresses, places for connections, and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mimc_server.frontend import FrontendConfig, listener, unix_ms
from mimc_server.frontend.admission import Admission
from mimc_server.service import ServiceConfig
from support.frontends import Address, Town, contexts, online, p2p, town
from support.wires import TIMEOUT, wire

from mimc_proto.packets import PacketList

pytestmark = pytest.mark.anyio


async def test_small_frames_are_not_held_back_by_the_system() -> None:
    async with town() as (place, address), wire(address) as client:
        await client.conn()
        [connection] = place.runner._connections
        sock = connection._transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_the_service_is_told_who_the_peer_is() -> None:
    async with town() as (place, address), online(place, address, "alice"):
        assert [session.peer for session in place.service.sessions()] == ["127.0.0.1"]


async def test_it_listens_at_as_many_addresses_as_it_is_told() -> None:
    async with town() as (place, first):
        second = await place.runner.listen("127.0.0.1", 0)
        assert first != second
        async with online(place, first, "alice") as alice, online(place, second, "bob") as bob:
            alice.send(p2p("bob"))
            assert isinstance((await bob.packet()).body, PacketList)


async def test_an_address_that_is_taken_is_an_error() -> None:
    async with town() as (place, address):
        with pytest.raises(OSError, match="ddress already in use"):
            await place.runner.listen(*address)


async def test_ipv6_is_listened_to_as_well() -> None:
    async with town() as (place, _):
        address = await place.runner.listen("::1", 0)
        async with online(place, address, "alice"):
            assert [session.peer for session in place.service.sessions()] == ["::1"]


async def test_with_no_room_for_links_connections_wait_and_none_is_turned_away() -> None:
    async with (
        town(ServiceConfig(max_links=1)) as (place, address),
        online(place, address, "alice") as alice,
        wire(address) as second,
    ):
        second.write(second.peer.conn())
        async with wire(address):
            pass
        assert place.runner.connections == 1
        second_is_answered = asyncio.ensure_future(second.frame())
        alice.writer.close()
        assert await second_is_answered


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Awaitable[None]]:
    """Waits until so many connections were accepted, whether there was a place for them or not."""
    count, room = 0, Admission.room

    async def counted(self: Admission) -> None:
        nonlocal count
        count += 1
        await room(self)

    async def until(most: int) -> None:
        async with asyncio.timeout(TIMEOUT):
            while count < most:
                await asyncio.sleep(0)

    monkeypatch.setattr(Admission, "room", counted)
    return until


async def test_one_place_that_gets_free_is_not_given_to_two_listeners(
    accepted: Callable[[int], Awaitable[None]],
) -> None:
    async with town(ServiceConfig(max_links=1)) as (place, here), contextlib.AsyncExitStack() as stack:
        there = await place.runner.listen("127.0.0.1", 0)
        alice = await stack.enter_async_context(online(place, here, "alice"))
        waiting = [await stack.enter_async_context(wire(address)) for address in (here, there)]
        await accepted(3)
        for client in waiting:
            client.write(client.peer.conn())
        answers = [asyncio.ensure_future(client.frame()) for client in waiting]
        alice.writer.close()
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert [answer.done() for answer in answers].count(True) == 1
        waiting[[answer.done() for answer in answers].index(True)].writer.close()
        assert all(await asyncio.gather(*answers))


class Faulty:
    """The loop, on which accepting fails for a while: with these errors, as long as this holds."""

    def __init__(self, errors: list[OSError], while_: Callable[[], object] = lambda: True) -> None:
        self.errors, self._while = errors, while_
        self._loop = asyncio.get_running_loop()

    async def listen(self, place: Town, monkeypatch: pytest.MonkeyPatch) -> Address:
        """The address of a listener that has no other loop."""
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "get_running_loop", lambda: self)
            return await place.runner.listen("127.0.0.1", 0)

    async def sock_accept(self, sock: socket.socket) -> Any:
        if self.errors and self._while():
            raise self.errors.pop()
        return await self._loop.sock_accept(sock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def test_while_the_system_cannot_accept_it_says_so_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "ACCEPT_PAUSE", 0.0)
    error, said = OSError("too many open files"), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    loop = Faulty([error] * 3)
    async with town() as (place, _), online(place, await loop.listen(place, monkeypatch), "alice"):
        assert not loop.errors
    assert said == [{"message": "socket.accept() out of system resource", "exception": error}] * 3


async def test_while_the_system_has_no_descriptors_those_who_wait_for_a_place_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "ACCEPT_PAUSE", TIMEOUT)
    async with town(limits=FrontendConfig(max_of_address=1)) as (place, _):
        loop = Faulty([OSError("too many open files")], lambda: len(place.runner._admission.parking))
        address = await loop.listen(place, monkeypatch)
        async with online(place, address, "alice"), wire(address) as waits:
            assert await waits.ended() == b""
            assert not loop.errors


async def test_a_peer_that_has_gone_before_it_was_accepted_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "ACCEPT_PAUSE", TIMEOUT)
    loop = Faulty([ConnectionAbortedError()] * 3)
    async with town() as (place, _), online(place, await loop.listen(place, monkeypatch), "alice"):
        assert not loop.errors


@pytest.mark.parametrize("encrypted", [False, True])
async def test_however_many_wait_to_be_accepted_others_get_their_turn(encrypted: bool) -> None:
    count = 200
    async with town(limits=FrontendConfig(max_of_address=1)) as (place, _), contextlib.AsyncExitStack() as stack:
        address = await place.runner.listen("127.0.0.1", 0, ssl=contexts()[0] if encrypted else None)
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.connect(address)  # the loop does not run meanwhile
        admission, turns = place.runner._admission, 0
        while admission.count + len(admission.parking) < count:
            await asyncio.sleep(0)
            turns += 1
        assert turns > count / 2


async def test_one_address_has_only_so_many_connections_and_another_is_served() -> None:
    async with town(limits=FrontendConfig(max_of_address=2)) as (place, here), contextlib.AsyncExitStack() as stack:
        elsewhere = await place.runner.listen("::1", 0)
        alice = await stack.enter_async_context(online(place, here, "alice"))
        await stack.enter_async_context(online(place, here, "bob"))
        waits = await stack.enter_async_context(wire(here))
        waits.write(waits.peer.conn())
        answer = asyncio.ensure_future(waits.frame())
        await stack.enter_async_context(online(place, elsewhere, "carol"))
        assert place.runner.connections == 3
        assert not answer.done()
        alice.writer.close()
        assert await answer


async def test_a_connection_that_waits_for_a_place_in_vain_is_closed() -> None:
    limits = FrontendConfig(max_of_address=1, park_timeout=0.01)
    async with town(limits=limits) as (place, here), online(place, here, "alice") as alice, wire(here) as waits:
        assert await waits.ended() == b""
        alice.send(p2p("bob"))
        await alice.packet()


# ------------------------------------------------------------------------------------------------------------------ TLS


async def handshaking(place: Town, count: int) -> None:
    """Wait until so many handshakes are under way."""
    while sum(listener.handshakes for listener in place.runner._listeners) < count:
        await asyncio.sleep(0)


async def test_tls_is_spoken_where_a_context_is_given() -> None:
    server, trusting = contexts()
    async with town() as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with wire(address, trusting) as client:
            assert (await client.login(place.backend.token_answer("alice"))).result


async def test_who_speaks_no_tls_is_cut_off_and_the_next_one_is_not() -> None:
    server, trusting = contexts()
    async with town() as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with wire(address) as client:
            client.write(client.peer.conn())
            await client.ended()
        async with wire(address, trusting) as client:
            assert (await client.login(place.backend.token_answer("alice"))).result


async def test_a_handshake_begins_only_when_there_is_a_place_for_its_link() -> None:
    server, trusting = contexts()
    async with town(ServiceConfig(max_links=1)) as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with asyncio.timeout(TIMEOUT):
            connecting = [asyncio.ensure_future(asyncio.open_connection(*address, ssl=trusting)) for _ in range(2)]
            done, pending = await asyncio.wait(connecting, return_when=asyncio.FIRST_COMPLETED)
            assert (len(done), place.runner.connections) == (1, 1)
            for opened in (done, pending):
                for connection in opened:
                    _, writer = await connection
                    writer.close()
                    await writer.wait_closed()


async def test_a_place_that_another_driver_of_the_service_took_meanwhile_is_not_there() -> None:
    server, trusting = contexts()
    async with town(ServiceConfig(max_links=1)) as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        sock = socket.create_connection(address)
        async with asyncio.timeout(TIMEOUT):
            await handshaking(place, 1)
            link_id = place.service.link_opened(place.runner.now())
            reader, writer = await asyncio.open_connection(sock=sock, ssl=trusting, server_hostname="127.0.0.1")
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        place.service.link_lost(link_id, place.runner.now(), unix_ms())


async def test_places_that_another_driver_took_are_not_there(accepted: Callable[[int], Awaitable[None]]) -> None:
    async with town(ServiceConfig(max_links=2)) as (place, address), online(place, address, "alice") as alice:
        place.service.link_opened(place.runner.now())
        async with wire(address) as client:
            client.write(client.peer.conn())
            await accepted(2)
            await asyncio.sleep(0)
            assert place.runner.connections == 1
            answer = asyncio.ensure_future(client.frame())
            alice.writer.close()
            assert await answer


async def test_a_handshake_that_fails_leaves_its_place_to_who_waits(
    accepted: Callable[[int], Awaitable[None]],
) -> None:
    server, trusting = contexts()
    async with town(ServiceConfig(max_links=1)) as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with asyncio.timeout(TIMEOUT):
            async with wire(address):
                await handshaking(place, 1)
                connecting = asyncio.ensure_future(asyncio.open_connection(*address, ssl=trusting))
                await accepted(2)
            _, writer = await connecting
            writer.close()
            await writer.wait_closed()


async def test_a_handshake_that_takes_too_long_is_cut_off() -> None:
    server, _ = contexts()
    async with town(limits=FrontendConfig(handshake_timeout=0.01)) as (place, _):
        address = await place.runner.listen("127.0.0.1", 0, ssl=server)
        async with wire(address) as silent:
            assert await silent.ended() == b""
