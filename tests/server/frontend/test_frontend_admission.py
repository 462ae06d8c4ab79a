"""Who comes in: so many of each address, the others wait unread for a time, and nobody drives out anybody else."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_server.frontend import FrontendConfig
from mimc_server.frontend.admission import Admission, Place, source_of
from support.virtual_loop import run

from mimc_proto.errors import LocalProtocolError
from mimc_proto.testing import Network, VirtualClock


class Door:
    """An admission, and who is inside."""

    def __init__(self, most: int = 1000, **limits: Any) -> None:
        self.most = most
        self.admission = Admission(FrontendConfig(**limits), lambda taken: taken < self.most)
        self.inside: list[tuple[str, socket.socket, Place]] = []
        self.came: list[socket.socket] = []

    def come(self, source: str) -> socket.socket:
        sock = socket.socket()
        self.came.append(sock)
        self.admission.admit(source, sock, lambda sock, place: self.inside.append((source, sock, place)))
        return sock

    def go(self, index: int = 0) -> None:
        """One of those inside leaves."""
        _, sock, place = self.inside.pop(index)
        sock.close()
        place.leave()

    def is_inside(self, sock: socket.socket) -> bool:
        return any(sock is one for _, one, _ in self.inside)

    def end(self) -> None:
        self.admission.close()
        for sock in self.came:
            sock.close()


def at_the_door(work: Callable[[Door], Coroutine[Any, Any, None]], most: int = 1000, **limits: Any) -> None:
    """On virtual time."""

    async def run_it() -> None:
        door = Door(most, **limits)
        try:
            await work(door)
        finally:
            door.end()

    clock = VirtualClock()
    run(clock, Network(clock), run_it())


def closed(sock: socket.socket) -> bool:
    return sock.fileno() < 0


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("::1", "::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_an_address_is_known_by_what_one_user_has_of_it(host: str, source: str) -> None:
    assert source_of(host) == source


@pytest.mark.parametrize("name", ["max_of_address", "max_parked", "park_timeout", "handshake_timeout", "write_timeout"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"FrontendConfig.{name}"):
        FrontendConfig(**{name: 0})


def test_one_address_has_so_many_places_and_another_one_has_its_own() -> None:
    async def work(door: Door) -> None:
        mine = [door.come("a") for _ in range(4)]
        theirs = door.come("b")
        assert [door.is_inside(sock) for sock in [*mine, theirs]] == [True, True, False, False, True]
        assert not any(closed(sock) for sock in mine)

    at_the_door(work, max_of_address=2)


def test_who_waits_has_the_place_of_who_goes_in_the_order_of_their_coming() -> None:
    async def work(door: Door) -> None:
        first, second, third = (door.come("a") for _ in range(3))
        door.come("b")
        door.go()
        assert [door.is_inside(sock) for sock in (first, second, third)] == [False, True, False]
        door.go(index=1)
        assert door.is_inside(third)
        door.go(index=1)
        assert door.admission.count == 1

    at_the_door(work, max_of_address=1)


def test_who_waits_is_closed_when_the_time_is_over_and_not_before() -> None:
    async def work(door: Door) -> None:
        door.come("a")
        waits = door.come("a")
        await asyncio.sleep(20.0)
        waits_longer = door.come("a")
        await asyncio.sleep(9.9)
        assert not closed(waits)
        await asyncio.sleep(0.2)
        assert closed(waits)
        assert not closed(waits_longer)
        await asyncio.sleep(20.0)
        assert closed(waits_longer)
        assert len(door.admission.parking) == 0

    at_the_door(work, max_of_address=1, park_timeout=30.0)


def test_of_too_many_who_wait_the_oldest_of_the_newcomers_own_address_goes() -> None:
    async def work(door: Door) -> None:
        for source in "ab":
            door.come(source)
        a, b = door.come("a"), [door.come("b") for _ in range(2)]
        newest = door.come("b")
        assert [closed(sock) for sock in (a, *b, newest)] == [False, True, False, False]

    at_the_door(work, max_of_address=1, max_parked=3)


def test_an_address_that_has_none_who_wait_takes_the_place_of_the_oldest() -> None:
    async def work(door: Door) -> None:
        for source in "ab":
            door.come(source)
        a = [door.come("a") for _ in range(3)]
        b = door.come("b")
        assert [closed(sock) for sock in (*a, b)] == [True, False, False, False]

    at_the_door(work, max_of_address=1, max_parked=3)


def test_a_place_that_is_left_twice_is_one() -> None:
    async def work(door: Door) -> None:
        door.come("a")
        door.come("a")
        _, _, place = door.inside[0]
        door.go()
        place.leave()
        assert door.admission.count == 1

    at_the_door(work)


def test_while_there_is_no_room_at_all_those_who_wait_wait_on() -> None:
    async def work(door: Door) -> None:
        door.come("a")
        waits = door.come("a")
        door.most = 0
        door.go()
        assert not door.is_inside(waits)
        asking = asyncio.ensure_future(door.admission.room())
        await asyncio.sleep(1.0)
        assert not asking.done()
        asking.cancel()

    at_the_door(work, max_of_address=1)


def test_after_the_end_nobody_comes_in() -> None:
    async def work(door: Door) -> None:
        door.come("a")
        waits = door.come("a")
        door.admission.close()
        assert closed(waits)
        door.go()
        assert door.inside == []
        asking = asyncio.ensure_future(door.admission.room())
        await asyncio.sleep(1.0)
        assert not asking.done()
        asking.cancel()

    at_the_door(work, max_of_address=1)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from("aab")),
        st.tuples(st.just("go"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 5.0, 31.0])),
        st.tuples(st.just("drop"), st.none()),
    ),
    max_size=40,
)


@given(steps=steps, most_of_address=st.integers(1, 3), most_parked=st.integers(1, 4))
def test_everybody_is_inside_or_waits_or_is_closed_and_no_place_stays_empty(
    steps: list[tuple[str, Any]], most_of_address: int, most_parked: int
) -> None:
    async def work(door: Door) -> None:
        for what, argument in steps:
            if what == "come":
                door.come(argument)
            elif what == "go" and door.inside:
                door.go(argument % len(door.inside))
            elif what == "wait":
                await asyncio.sleep(argument)
            elif what == "drop":
                door.admission.parking.drop_oldest()
            inside = Counter(source for source, _, _ in door.inside)
            waiting = [sock for sock in door.came if not closed(sock) and not door.is_inside(sock)]
            assert door.admission.count == len(door.inside)
            assert all(count <= most_of_address for count in inside.values())
            assert len(waiting) == len(door.admission.parking) <= most_parked
            for source, of_source in door.admission.parking._of_source.items():
                assert of_source
                assert inside[source] == most_of_address

    at_the_door(work, max_of_address=most_of_address, max_parked=most_parked)
