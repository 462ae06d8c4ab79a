"""Logging in, told to every adapter on virtual time: the real adapter and session, a scripted server."""

from __future__ import annotations

from typing import Any

import pytest
from support.virtual_world import HOST, PORT, World

from mimc_proto import (
    LoginError,
    LoginTimeout,
    SessionEnded,
)
from mimc_proto.packets import (
    Command,
)
from mimc_proto.session import (
    Ended,
    EndReason,
    Online,
)
from mimc_proto.testing import token_answer


async def enter(user: Any) -> None:
    """Log in, and out."""
    async with user:
        pass


def test_a_user_is_online_inside_the_block_and_logged_out_behind_it(world: World) -> None:
    async def story() -> None:
        async with world.user() as alice:
            assert alice.online
            assert isinstance(alice.status, Online)
            assert world.server.link_of("alice").resource == "pc"
        assert alice.status == Ended(reason=EndReason.LOGGED_OUT)
        await world.settle()  # the server sees the connection closed
        assert world.clock.waiting == []

    world.run(story)


def test_on_asyncio_a_user_may_be_awaited_instead_of_entered(asyncio_world: World) -> None:
    async def story() -> None:
        alice = await asyncio_world.user()
        assert alice.online
        await alice.logout()
        assert not alice.online

    asyncio_world.run(story)


async def _coroutine() -> str:
    return token_answer("alice")


class _Provider:
    async def fetch_async(self) -> str:
        return token_answer("alice")


@pytest.mark.parametrize("token", [_coroutine, _Provider(), token_answer("alice").encode()], ids=type)
def test_a_token_may_come_from_anything_that_gives_one(async_world: World, token: Any) -> None:
    world = async_world

    async def story() -> None:
        async with world.user(token=token) as alice:
            assert alice.online

    world.run(story)


def test_a_refusal_that_is_not_about_the_token_is_a_login_error(world: World) -> None:
    async def story() -> None:
        world.server.refuse_next_bind("account-forbidden", "not you")
        with pytest.raises(LoginError, match="account-forbidden not you") as caught:
            await enter(world.user())
        assert not isinstance(caught.value, LoginTimeout)
        assert caught.value.error_desc == "not you"

    world.run(story)


def test_a_login_that_takes_too_long_says_what_went_wrong_last(world: World) -> None:
    async def story() -> None:
        world.network.refuse(HOST, PORT)
        with pytest.raises(LoginTimeout, match=r"not online within 7 s; last problem: fe:5222: .*refused"):
            await enter(world.user(login_timeout=7.0))
        assert world.clock.now == pytest.approx(7.0)

    world.run(story)


def test_a_login_that_is_cancelled_leaves_nothing_behind(async_world: World) -> None:
    world = async_world

    async def story() -> None:
        world.server.silence(Command.BIND)
        login = world.start(enter, world.user())
        await world.sleep(1.0)
        await login.cancel()
        await world.sleep(60.0)
        assert len(world.network.attempts) == 1

    world.run(story)


def test_a_connection_that_comes_after_its_user_was_given_up_is_dropped(world: World) -> None:
    async def story() -> None:
        world.network.delay(HOST, PORT, 3.0)
        with pytest.raises(LoginTimeout):
            await enter(world.user(login_timeout=1.0))
        await world.sleep(10.0)
        assert world.network.pipes == []

    world.run(story)


def test_one_who_was_ended_cannot_be_entered(world: World) -> None:
    async def story() -> None:
        alice = world.user()
        alice.abort()
        with pytest.raises(SessionEnded, match="closed"):
            await enter(alice)
        async with world.user() as alice:
            pass
        with pytest.raises(SessionEnded, match="logged out"):
            await enter(alice)
        assert len(world.network.attempts) == 1

    world.run(story)
