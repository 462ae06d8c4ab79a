"""Users of the asyncio adapter, the whole service, and real connections between them; on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import mimc_server.testing
import pytest
from mimc_server.service import LoggedIn, ServiceEvent
from mimc_server.testing import LoopbackService, plugin
from mimc_transports._providers import HttpTokenProvider
from mimc_transports.asyncio import User, connect

from mimc_proto.errors import LocalProtocolError, LoginError, SessionEnded
from mimc_proto.session import GroupMessage, Message, Online, OnlineMessage, UnlimitedMessage

pytestmark = pytest.mark.anyio
mimc_service = plugin.mimc_service
TIMEOUT = 10.0


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@contextlib.asynccontextmanager
async def service() -> AsyncIterator[LoopbackService]:
    """A service, and too little time for a test that hangs."""
    async with asyncio.timeout(TIMEOUT), LoopbackService() as running:
        yield running


def user(running: LoopbackService, account: str, resource: str = "pc", **options: Any) -> User:
    addresses = [] if "resolver" in options else [running.address]
    return connect(running.app_id, account, running.token(account), resource=resource, addresses=addresses, **options)


async def test_users_log_in_and_out() -> None:
    async with service() as running:
        async with user(running, "alice", "phone") as alice:
            assert alice.online
            assert [(session.account, session.resource) for session in running.sessions()] == [("alice", "phone")]
        assert running.sessions() == []


async def test_messages_go_both_ways_and_are_acknowledged() -> None:
    async with service() as running, user(running, "alice") as alice, user(running, "bob") as bob:
        there = await alice.send("bob", b"hi")
        message = await anext(bob)
        back = await bob.send("alice", b"hello")
        answer = await anext(alice)
        assert isinstance(message, Message)
        assert isinstance(answer, Message)
        assert (message.from_account, message.payload, message.sequence) == ("alice", b"hi", there.sequence)
        assert (answer.from_account, answer.payload, answer.sequence) == ("bob", b"hello", back.sequence)
        assert [stored.payload for stored in running.stored()] == [b"hi", b"hello"]


async def test_a_group_message_reaches_all_but_its_sender() -> None:
    async with (
        service() as running,
        user(running, "alice") as alice,
        user(running, "bob") as bob,
        user(running, "carol") as carol,
    ):
        team = running.group("alice", ["bob", "carol"])
        await alice.send_group(team, b"all")
        for member in (bob, carol):
            message = await anext(member)
            assert isinstance(message, GroupMessage)
            assert (message.group_id, message.payload) == (team, b"all")


async def test_what_was_sent_while_somebody_was_away_comes_at_his_login_once() -> None:
    async with service() as running, user(running, "alice") as alice:
        for number in range(3):
            await alice.send("bob", b"%d" % number)
        async with user(running, "bob") as bob:
            assert [(await anext(bob)).payload for _ in range(3)] == [b"0", b"1", b"2"]  # type: ignore[union-attr]
            bob._inflow.finish()
            await alice.send("bob", b"3")
            assert (await anext(bob)).payload == b"3"  # type: ignore[union-attr]


async def test_every_resource_of_a_user_gets_a_message() -> None:
    async with (
        service() as running,
        user(running, "alice") as alice,
        user(running, "bob", "phone") as phone,
        user(running, "bob", "tablet") as tablet,
    ):
        await alice.send("bob", b"hi")
        for device in (phone, tablet):
            message = await anext(device)
            assert isinstance(message, Message)
            assert message.payload == b"hi"


async def test_an_online_message_is_acknowledged_by_who_got_it_and_stored_for_nobody() -> None:
    async with service() as running, user(running, "alice") as alice, user(running, "bob") as bob:
        await alice.send_online("bob", b"now")
        message = await anext(bob)
        assert isinstance(message, OnlineMessage)
        assert message.payload == b"now"


async def test_an_unlimited_group_carries_messages_to_those_who_joined() -> None:
    async with service() as running, user(running, "alice") as alice, user(running, "bob") as bob:
        group = running.unlimited_group("alice")
        await alice.join_unlimited(group)
        await bob.join_unlimited(group)
        await alice.send_unlimited(group, b"everybody")
        for member in (alice, bob):
            message = await anext(member)
            assert isinstance(message, UnlimitedMessage)
            assert (message.group_id, message.payload) == (group, b"everybody")
        await bob.quit_unlimited(group)


async def test_the_newest_login_of_a_resource_takes_over() -> None:
    async with service() as running, user(running, "alice") as old:
        async with user(running, "alice") as new:
            with pytest.raises(SessionEnded, match="single-resource-kick"):
                await anext(old)
            assert new.online
            assert len(running.sessions()) == 1
        old.abort()


async def test_who_is_kicked_because_his_token_expired_comes_back_with_a_new_one() -> None:
    async with service() as running, user(running, "alice") as alice:
        events = alice.events()
        waiting = asyncio.ensure_future(anext(event async for event in events if isinstance(event, Online)))
        await asyncio.sleep(0)
        running.expire_tokens("alice")
        await waiting
        await events.aclose()  # type: ignore[attr-defined]
        assert [session.account for session in running.sessions()] == ["alice"]


async def test_the_resolver_leads_to_the_frontend() -> None:
    async with service() as running, user(running, "alice", resolver=running.http_url) as alice:
        assert alice.online


async def test_tokens_can_be_had_over_http() -> None:
    async with service() as running:
        tokens = HttpTokenProvider(
            f"{running.http_url}/api/account/token",
            app_id=running.app_id,
            app_key=running.app_key,
            app_secret=running.app_secret,
            app_account="alice",
        )
        async with connect(running.app_id, "alice", tokens, addresses=[running.address]) as alice:
            assert alice.online


async def test_a_token_of_another_service_is_refused() -> None:
    async with service() as running, service() as other:
        with pytest.raises(LoginError):
            await connect(running.app_id, "alice", other.token("alice"), addresses=[running.address], login_timeout=0.3)


async def test_what_the_service_tells_can_be_listened_to() -> None:
    events: list[ServiceEvent] = []
    async with LoopbackService(on_event=events.append) as running, user(running, "alice"):
        assert [event.account for event in events if isinstance(event, LoggedIn)] == ["alice"]


async def test_a_group_that_cannot_be_is_an_error() -> None:
    async with service() as running:
        with pytest.raises(LocalProtocolError, match="members"):
            running.group("alice", [f"user{number}" for number in range(600)])


async def test_addresses_can_be_chosen() -> None:
    async with LoopbackService(address=("127.0.0.1", 0), http_address=("::1", 0)) as running:
        assert running.http_url.startswith("http://[::1]:")
        async with httpx2.AsyncClient(verify=False) as http:
            assert (await http.get(f"{running.http_url}/healthz")).json()["code"] == 200


async def test_an_address_that_is_taken_leaves_nothing_running() -> None:
    async with service() as running:
        taken = LoopbackService(http_address=running.address)
        with pytest.raises(OSError, match="ddress already in use"):
            await taken.__aenter__()


async def test_a_service_in_a_thread_serves_this_one(mimc_service: LoopbackService) -> None:
    async with user(mimc_service, "alice") as alice, user(mimc_service, "bob") as bob:
        await alice.send("bob", b"hi")
        assert (await anext(bob)).payload == b"hi"  # type: ignore[union-attr]
        mimc_service.kick("alice", "pc", "single-resource-kick")
        with pytest.raises(SessionEnded):
            await anext(alice)
        assert mimc_service.uuid("bob") in [session.uuid for session in mimc_service.sessions()]


@pytest.mark.parametrize("use", [lambda s: s.token_answer("alice"), lambda s: s.sessions(), lambda s: s.kick("alice")])
def test_a_service_that_does_not_run_says_so(use: Any) -> None:
    with pytest.raises(RuntimeError, match="enter it first"):
        use(LoopbackService())


def test_in_a_thread_it_can_be_used_from_any_other() -> None:
    with LoopbackService.in_thread() as running, ThreadPoolExecutor(4) as threads:
        uuids = set(threads.map(lambda _: running.uuid("alice"), range(20)))
        assert len(uuids) == 1
        with pytest.raises(LocalProtocolError):
            running.group("alice", [f"user{number}" for number in range(600)])


def test_the_package_names_what_it_has_and_nothing_else() -> None:
    for name in mimc_server.testing.__all__:
        assert getattr(mimc_server.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'World'"):
        mimc_server.testing.World  # noqa: B018
