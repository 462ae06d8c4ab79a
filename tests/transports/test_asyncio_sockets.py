"""The asyncio adapter on real sockets, on asyncio's own loop and on uvloop: TLS, stalls, threads and host names."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import select
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mimc_server.testing import LoopbackService
from mimc_transports.asyncio import User

from mimc_proto import LoginTimeout, SessionConfig
from mimc_proto.session import Ended, EndReason, LinkLost, SessionEvent

pytestmark = pytest.mark.anyio
PEM = Path(__file__).with_name("loopback.pem")  # a key and its own certificate for 127.0.0.1 and localhost
TIMEOUT = 10.0
"""Seconds: too little for a test that hangs."""

ANSWER_TIMEOUT = 0.2
"""Seconds that a loop is stalled, and more than a link waits then."""

without_uvloop = pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")


@pytest.fixture(params=[pytest.param(False, id="asyncio"), pytest.param(True, id="uvloop", marks=without_uvloop)])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@contextlib.asynccontextmanager
async def service(**options: Any) -> AsyncIterator[LoopbackService]:
    async with asyncio.timeout(TIMEOUT), LoopbackService(**options) as running:
        yield running


def user(running: LoopbackService, kind: type[User] = User, **options: Any) -> User:
    options = {"addresses": [running.address], "token": running.token("alice"), **options}
    return kind(running.app_id, "alice", **options)


# --------------------------------------------------------------------------------------------------------------- timers


async def test_a_deadline_that_is_due_at_once_does_not_hinder_the_next_one() -> None:
    async with service() as running:
        alice = await user(running)
        alice.send_nowait("bob", b"hi", timeout=0.0003)  # uvloop has no timers below half a millisecond
        await asyncio.sleep(0)  # now one is set
        await alice.logout()  # and another one
        assert alice.status == Ended(reason=EndReason.LOGGED_OUT)


async def test_what_came_during_a_stall_is_read_before_deadlines_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server tells that it has the message, and answers when the loop is stalled; the stall outlasts the deadline
    of the answer, which lies in the socket by then."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    stalled = threading.Event()
    with ours, theirs, LoopbackService.in_thread() as running:
        append = running._backend.store.append

        def append_during_the_stall(*arguments: Any) -> Any:
            theirs.send(b"!")
            assert stalled.wait(TIMEOUT)
            return append(*arguments)

        monkeypatch.setattr(running._backend.store, "append", append_during_the_stall)
        async with (
            asyncio.timeout(TIMEOUT),
            user(running, config=SessionConfig(answer_timeout=ANSWER_TIMEOUT)) as alice,
        ):
            assert alice._link is not None
            assert alice._link._transport is not None
            connection = alice._link._transport.get_extra_info("socket")

            waiting = select.poll()
            waiting.register(connection, select.POLLIN)

            def stall() -> None:
                loop.remove_reader(ours)
                stalled.set()
                waiting.poll(TIMEOUT * 1000)
                time.sleep(ANSWER_TIMEOUT)

            loop.add_reader(ours, stall)
            ack = await alice.send("bob", b"hi")
            assert ack.sequence
            assert stalled.is_set()


# ------------------------------------------------------------------------------------------------------------------ TLS


class Impatient(User):
    """Whose login is given up when a link is lost, so that no test has to wait until it took too long."""

    async def _within(self, seconds: float, work: Awaitable[None]) -> bool:
        online = asyncio.ensure_future(work)
        lost = asyncio.ensure_future(anext(event async for event in self.events() if isinstance(event, LinkLost)))
        try:
            await asyncio.wait([online, lost], return_when=asyncio.FIRST_COMPLETED)
            return online.done()
        finally:
            online.cancel()
            lost.cancel()


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(PEM))


async def test_a_context_says_whom_to_trust() -> None:
    async with service(ssl=server_context()) as running, user(running, ssl=trusting()) as alice:
        assert (await alice.send("bob", b"hi")).sequence


async def test_true_trusts_whom_the_system_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    async with service(ssl=server_context()) as running, user(running, ssl=True) as alice:
        assert (await alice.send("bob", b"hi")).sequence


async def test_a_name_of_the_server_is_asked_for_and_checked_instead_of_the_address() -> None:
    asked: list[str | None] = []
    context = server_context()
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with (
        service(ssl=context) as running,
        user(running, ssl=trusting(), server_hostname="localhost") as alice,
    ):
        assert alice.online
        assert asked == ["localhost"]


async def test_a_certificate_that_nobody_vouches_for_is_not_taken() -> None:
    async with service(ssl=server_context()) as running:
        with pytest.raises(LoginTimeout, match=r"127\.0\.0\.1:\d+: .*certificate verify failed: self.signed"):
            await user(running, Impatient, ssl=True)
        assert running.sessions() == []


async def test_a_certificate_for_another_name_is_not_taken() -> None:
    async with service(ssl=server_context()) as running:
        with pytest.raises(LoginTimeout, match=r"certificate is not valid for 'other\.example'"):
            await user(running, Impatient, ssl=trusting(), server_hostname="other.example")
        assert running.sessions() == []


async def test_a_service_that_speaks_tls_speaks_nothing_else() -> None:
    async with service(ssl=server_context()) as running:
        with pytest.raises(LoginTimeout, match=r"last problem: 127\.0\.0\.1"):
            await user(running, Impatient)


# ------------------------------------------------------------------------------------------------------ token functions


async def test_a_token_function_may_block_because_it_runs_in_a_thread() -> None:
    loop, here = asyncio.get_running_loop(), threading.get_ident()
    went_on = threading.Event()
    told: list[tuple[bool, bool]] = []
    async with service() as running:
        answer = running.token_answer("alice")

        def token() -> str:
            elsewhere = threading.get_ident() != here
            loop.call_soon_threadsafe(went_on.set)
            told.append((elsewhere, elsewhere and went_on.wait(TIMEOUT)))
            return answer

        async with user(running, token=token):
            assert told == [(True, True)]


# ----------------------------------------------------------------------------------------------------------- host names


async def test_host_names_that_cannot_be_are_passed_over_at_once(anyio_backend: tuple[str, dict[str, Any]]) -> None:
    hosts = ["fe..example", "a" * 64 + ".example"]
    if not anyio_backend[1]["use_uvloop"]:  # which cuts names off at a NUL, and would ask the network for "fe"
        hosts.append("fe\0.example")
    async with service() as running:
        alice = user(running, addresses=[*((host, 5222) for host in hosts), running.address])
        hearing = asyncio.ensure_future(_all(alice.events()))
        await asyncio.sleep(0)
        async with alice:
            assert alice.online
        lost = [event for event in await hearing if isinstance(event, LinkLost)]
        assert [(event.host, event.retry_in) for event in lost] == [(host, 0.0) for host in hosts]
        assert not any("connect_timeout" in event.problem for event in lost)  # they did not just take too long


async def _all(events: AsyncIterator[SessionEvent]) -> list[SessionEvent]:
    return [event async for event in events]


# ----------------------------------------------------------------------------------------------------------- cancelling


async def test_a_scope_of_anyio_that_is_cancelled_during_a_logout_ends_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with service() as running:
        with anyio.move_on_after(TIMEOUT) as scope:
            async with user(running) as alice:
                monkeypatch.setattr(running._running().service, "receive_data", lambda *_: None)  # no answer will come
                scope.cancel()  # takes effect where the logout waits
        assert scope.cancelled_caught
        assert alice.status == Ended(reason=EndReason.CLOSED)
        assert alice._timer is None
        await asyncio.sleep(0)
        assert alice._tasks == set()
