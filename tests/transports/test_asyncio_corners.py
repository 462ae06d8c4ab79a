"""Corners of the asyncio adapter, on a virtual loop: cancelled logouts, errors that are named, late connections."""

from __future__ import annotations

import asyncio
import gc
import ssl

import pytest
from support.virtual_loop import VirtualLoop
from support.virtual_world import HOST, PORT, World

from mimc_proto import LoginTimeout, SessionConfig
from mimc_proto.packets import Command, P2PMessage
from mimc_proto.session import Ended, EndReason, Failed, FetchToken
from mimc_proto.testing import AckRule, token_answer

MOST_EVENTS = 8192  # what `AsyncUser.events` promises


@pytest.fixture
def world() -> World:
    return World()


def timers() -> int:
    """Callbacks of this loop that wait for their time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.timers


def test_a_user_who_ends_before_his_token_is_asked_for_leaves_nothing_behind(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            alice._fetch_token(FetchToken(request_id=7))
            alice._stop()  # the task that is to ask is cancelled before it begins

    world.run(story)
    gc.collect()  # a coroutine that nobody awaits warns when it is collected


# --------------------------------------------------------------------------------------------------- cancelled logouts


def assert_gone(world: World, status: object) -> None:
    """A user has ended without an answer of the server, and nothing of him is left; `World.run` looks for tasks."""
    assert status == Ended(reason=EndReason.CLOSED)
    assert world.network.pipe.client.closed
    assert timers() == 0


def test_a_logout_that_is_cancelled_ends_the_user_at_once(world: World) -> None:
    async def story() -> None:
        alice = await world.user()
        world.server.silence(Command.UBND)
        leaving = asyncio.ensure_future(alice.logout())
        await asyncio.sleep(1.0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert_gone(world, alice.status)

    world.run(story)


def test_leaving_the_block_can_be_cancelled(world: World) -> None:
    async def story() -> None:
        alice = world.user()

        async def enter_and_leave() -> None:
            async with alice:
                world.server.silence(Command.UBND)

        leaving = asyncio.ensure_future(enter_and_leave())
        await asyncio.sleep(1.0)
        assert alice.session.ended is None  # the server does not answer
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert_gone(world, alice.status)

    world.run(story)


# ------------------------------------------------------------------------------------------------ errors that are named


def test_a_login_without_a_good_token_answer_names_the_field(world: World) -> None:
    async def story() -> None:
        with pytest.raises(LoginTimeout, match=r"not online within 1 s; last problem: token answer.*appId: expected"):
            await world.user(token='{"code":200,"data":{}}', login_timeout=1.0)

    world.run(story)


def test_a_login_with_a_token_that_is_always_refused_names_the_refusal(world: World) -> None:
    async def story() -> None:
        for _ in range(100):
            world.server.refuse_next_bind("token-expired")
        with pytest.raises(LoginTimeout, match=r"last problem: login refused: .*token-expired"):
            await world.user(login_timeout=1.0)

    world.run(story)


def test_a_login_through_a_certificate_that_is_not_trusted_names_the_certificate(world: World) -> None:
    async def story() -> None:
        world.network.refuse(HOST, PORT, ssl.SSLCertVerificationError("certificate verify failed"))
        with pytest.raises(LoginTimeout, match=r"last problem: fe:5222: .*certificate verify failed"):
            await world.user(login_timeout=1.0)

    world.run(story)


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), KeyError("token"), TimeoutError()], ids=lambda e: type(e).__name__
)
def test_a_token_function_may_raise_anything_and_is_asked_again(world: World, error: Exception) -> None:
    calls = []

    async def flaky() -> str:
        calls.append(world.clock.now)
        if len(calls) == 1:
            raise error
        return token_answer("alice")

    async def story() -> None:
        async with world.user(token=flaky) as alice:
            assert alice.online
        assert len(calls) == 2

    world.run(story)


def test_a_token_function_that_always_raises_is_named(world: World) -> None:
    async def broken() -> str:
        raise ValueError("the secret is hunter2")

    async def story() -> None:
        with pytest.raises(LoginTimeout, match=r"last problem: token: ValueError$"):
            await world.user(token=broken, login_timeout=1.0)

    world.run(story)


# ------------------------------------------------------------------------------------------------ links and the timer


def test_a_socket_that_can_be_written_to_again_is_written_to(world: World) -> None:
    async def story() -> None:
        async with world.user(close_timeout=0.0) as alice:
            world.server.acks = AckRule(times=0)  # nothing else gives the user a reason to write
            world.network.pipe.up.stall()
            for _ in range(200):
                alice.send_nowait("bob", bytes(10_000))
            await asyncio.sleep(1.0)
            assert world.server.bodies(P2PMessage) == []
            world.network.pipe.up.resume()
            await asyncio.sleep(1.0)
            assert len(world.server.bodies(P2PMessage)) == 200

    world.run(story)


def test_a_connection_that_comes_after_its_time_is_closed_and_disturbs_nobody(world: World) -> None:
    world.network.listen("slow", PORT, world.server)
    world.network.delay("slow", PORT, 3.0)

    async def story() -> None:
        addresses = [("slow", PORT), (HOST, PORT)]
        async with world.user(addresses=addresses, config=SessionConfig(connect_timeout=1.0)) as alice:
            [used] = world.network.pipes
            await asyncio.sleep(5.0)
            _, late = world.network.pipes
            assert late.client.closed
            assert not used.client.closed
            await alice.send("bob", b"hi")

    world.run(story)


def test_a_user_who_was_taken_over_leaves_no_timer(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            assert timers() == 1
            world.server.link_of("alice").kick("single-resource-kick")
            assert [event async for event in alice.events()][-1] == alice.status
            assert alice.session.ended is not None
            assert timers() == 0

    world.run(story)


# -------------------------------------------------------------------------------------------------------------- events


def test_of_too_many_unread_events_the_oldest_are_dropped(world: World) -> None:
    async def story() -> None:
        async with world.user(config=SessionConfig(max_pending=2 * MOST_EVENTS)) as alice:
            events = alice.events()
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            world.network.pipe.stall()
            packet_ids = [alice.send_nowait("bob", b"hi", timeout=1.0) for _ in range(MOST_EVENTS + 3)]
            await asyncio.sleep(2.0)  # all of them have failed, and nobody has looked
            kept = [await waiting, *[await anext(events) for _ in range(MOST_EVENTS - 1)]]
            assert [event.packet_id for event in kept if isinstance(event, Failed)] == packet_ids[3:]
            await events.aclose()

    world.run(story)
