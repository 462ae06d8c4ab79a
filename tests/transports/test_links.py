"""What every adapter connects to and checks: TLS, host names and addresses. WebSocket and proxies have their own."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from mimc_server.testing import LoopbackService
from support.adapters import Adapter
from support.proxies import SocksProxy
from support.town import PEM, QUICK, Back, Town, impatient, losses, server_context, trusting

from mimc_proto import LoginTimeout
from mimc_proto.session import Ended, EndReason
from mimc_proto.testing import FRONTEND

LARGEST = 15_360
"""Bytes of payload that service and session take."""


@pytest.fixture(scope="module")
def names_asked() -> list[str | None]:
    return []


@pytest.fixture(scope="module")
def secure(names_asked: list[str | None]) -> Iterator[LoopbackService]:
    context = server_context()
    context.sni_callback = lambda _, name, __: names_asked.append(name)
    with LoopbackService.in_thread(ssl=context) as running:
        yield running


@pytest.fixture
def city(adapter: Adapter, secure: LoopbackService) -> Town:
    """A town behind TLS."""
    return Town(adapter, secure)


# ------------------------------------------------------------------------------------------------------------------ TLS


def test_a_context_says_whom_to_trust(city: Town) -> None:
    async def story() -> None:
        async with city.user("alice", ssl=trusting()) as alice:
            assert (await alice.send(city.name("bob"), b"hi")).sequence
        assert alice.status == Ended(reason=EndReason.LOGGED_OUT)

    city.adapter.run(story)


def test_true_trusts_whom_the_system_trusts(city: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))

    async def story() -> None:
        async with city.user("alice", ssl=True) as alice:
            assert alice.online

    city.adapter.run(story)


def test_a_name_of_the_server_is_asked_for_and_checked_instead_of_the_address(
    city: Town, names_asked: list[str | None]
) -> None:
    async def story() -> None:
        del names_asked[:]
        async with city.user("alice", ssl=trusting(), server_hostname="localhost") as alice:
            assert alice.online
        assert names_asked == ["localhost"]

    city.adapter.run(story)


def test_a_host_name_is_asked_for_and_checked_without_being_given_twice(
    city: Town, names_asked: list[str | None]
) -> None:
    async def story() -> None:
        del names_asked[:]
        async with city.user("alice", ssl=trusting(), addresses=[("localhost", city.service.address[1])]) as alice:
            assert alice.online
        assert names_asked == ["localhost"]

    city.adapter.run(story)


def test_a_certificate_that_nobody_vouches_for_is_not_taken(city: Town) -> None:
    async def story() -> None:
        with pytest.raises(LoginTimeout, match=r"127\.0\.0\.1:\d+: .*certificate verify failed: self.signed"):
            async with impatient(city.user("alice", ssl=ssl.create_default_context())):
                pass

    city.adapter.run(story)
    assert city.service.sessions() == []


def test_a_certificate_for_another_name_is_not_taken(city: Town) -> None:
    async def story() -> None:
        with pytest.raises(LoginTimeout, match=r"certificate is not valid for 'other\.example'"):
            async with impatient(city.user("alice", ssl=trusting(), server_hostname="other.example")):
                pass

    city.adapter.run(story)
    assert city.service.sessions() == []


def test_a_service_that_speaks_tls_speaks_nothing_else(city: Town) -> None:
    async def story() -> None:
        with pytest.raises(LoginTimeout, match=r"last problem: 127\.0\.0\.1"):
            async with impatient(city.user("alice")):
                pass

    city.adapter.run(story)


def test_a_service_without_tls_is_not_talked_to_if_tls_is_wanted(town: Town) -> None:
    async def story() -> None:
        with pytest.raises(LoginTimeout, match=r"last problem: 127\.0\.0\.1"):
            async with impatient(town.user("alice", ssl=trusting())):
                pass

    town.adapter.run(story)


def test_large_messages_go_both_ways_through_tls(city: Town) -> None:
    payloads = [bytes([number]) * LARGEST for number in range(20)]

    async def story() -> None:

        options: dict[str, Any] = {"ssl": trusting()}
        async with city.user("alice", **options) as alice, city.user("bob", **options) as bob:
            for sender, receiver in ((alice, bob), (bob, alice)):

                async def talk(sender: Any = sender, receiver: Any = receiver) -> None:
                    for payload in payloads:
                        sender.send_nowait(receiver.session.account, payload)

                async def listen(receiver: Any = receiver) -> None:
                    got = []
                    async for message in receiver:
                        got.append(message.payload)
                        if len(got) == len(payloads):
                            break
                    assert got == payloads

                await city.adapter.together(talk, listen)

    city.adapter.run(story)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_link_that_is_cut_is_replaced(
    adapter: Adapter, service: LoopbackService, secure: LoopbackService, tls: bool
) -> None:
    town = Town(adapter, secure if tls else service)
    with SocksProxy() as proxy:

        async def story() -> None:
            back = Back(adapter)
            options = {"ssl": trusting() if tls else None, "proxy": proxy.url, "config": QUICK}
            alice = town.user("alice", on_status=back.on_status, **options)
            lost = losses(alice)
            async with alice:
                proxy.cut()
                await back.wait()
                assert (await alice.send(town.name("bob"), b"hi")).sequence
            assert len(lost) == 1

        adapter.run(story)


# ------------------------------------------------------------------------------------------------------------ addresses


def test_the_host_may_be_a_name(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice", addresses=[("localhost", town.service.address[1])]) as alice:
            assert alice.online

    town.adapter.run(story)


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
def test_the_address_may_be_of_ipv6(adapter: Adapter) -> None:
    with LoopbackService.in_thread(address=("::1", 0)) as service:
        town = Town(adapter, service)
        assert service.address[0] == "::1"

        async def story() -> None:
            async with town.user("alice") as alice:
                assert alice.online

        adapter.run(story)


def test_an_address_that_is_refused_or_cannot_be_is_followed_by_the_next_one_at_once(town: Town) -> None:
    async def story() -> None:
        hosts = ["fe..example", "a" * 64 + ".example", "127.0.0.1"]
        alice = town.user("alice", addresses=[*((host, 1) for host in hosts), town.service.address])
        lost = losses(alice)
        async with alice:
            assert alice.online
        assert [(event.host, event.port, event.retry_in) for event in lost] == [(host, 1, 0.0) for host in hosts]
        assert not any("connect_timeout" in event.problem for event in lost)  # they did not just take too long

    town.adapter.run(story)


def test_the_resolver_is_asked_if_there_are_no_addresses(town: Town) -> None:
    async def story() -> None:
        async with town.user("alice", addresses=(), resolver=town.service.http_url) as alice:
            assert alice.session.known_addresses == (town.service.address,)

    town.adapter.run(story)


def test_the_domain_of_the_token_is_the_address_if_the_resolver_fails(town: Town) -> None:
    """A proxy looks names up, so it may say where that domain is."""
    with SocksProxy(names={FRONTEND: town.service.address}) as proxy:

        async def story() -> None:
            async with town.user("alice", addresses=(), resolver="http://127.0.0.1:1", proxy=proxy.url) as alice:
                assert alice.session.known_addresses == ()

        town.adapter.run(story)
    assert proxy.asked == [(FRONTEND, 5222)]
