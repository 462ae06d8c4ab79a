"""SOCKS5 and HTTP CONNECT proxies, told to every adapter."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from mimc_server.testing import LoopbackService
from mimc_transports._proxy import ProxyExtraMissing, ProxyRefused, check_proxy
from support.adapters import Adapter
from support.proxies import HttpProxy, Mood, Proxy, SocksProxy
from support.town import QUICK, Town, impatient, losses, server_context, trusting

from mimc_proto import LocalProtocolError, LoginTimeout

PASSWORD = "pa:ss/w@rd"
KINDS = pytest.mark.parametrize("kind", [SocksProxy, HttpProxy], ids=["socks5", "http"])


@pytest.fixture(scope="module")
def secure() -> Iterator[LoopbackService]:
    with LoopbackService.in_thread(ssl=server_context()) as running:
        yield running


@KINDS
@pytest.mark.parametrize("login", [None, ("alice", PASSWORD)], ids=["open", "password"])
def test_a_user_goes_through_a_proxy(town: Town, kind: type[Proxy], login: tuple[str, str] | None) -> None:
    with kind(login=login) as proxy:

        async def story() -> None:
            async with town.user("alice", proxy=proxy.url) as alice, town.user("bob") as bob:
                assert (await alice.send(town.name("bob"), b"hi")).sequence
                assert (await anext(aiter(bob))).payload == b"hi"
                assert (await bob.send(town.name("alice"), b"you too")).sequence
                assert (await anext(aiter(alice))).payload == b"you too"

        town.adapter.run(story)
        assert proxy.asked == [town.service.address]


@KINDS
def test_names_are_looked_up_by_the_proxy(town: Town, kind: type[Proxy]) -> None:
    with kind(names={"fe.example": town.service.address}) as proxy:

        async def story() -> None:
            async with town.user("alice", proxy=proxy.url, addresses=[("fe.example", 5222)]) as alice:
                assert alice.online

        town.adapter.run(story)
        assert proxy.asked == [("fe.example", 5222)]


@KINDS
def test_addresses_of_ipv6_are_told_to_the_proxy(town: Town, kind: type[Proxy]) -> None:
    with kind(names={"::1": town.service.address}) as proxy:

        async def story() -> None:
            async with town.user("alice", proxy=proxy.url, addresses=[("::1", 5222)]) as alice:
                assert alice.online

        town.adapter.run(story)
        assert proxy.asked == [("::1", 5222)]


@KINDS
def test_tls_through_a_proxy_is_with_the_frontend(adapter: Adapter, secure: LoopbackService, kind: type[Proxy]) -> None:
    town = Town(adapter, secure)
    with kind(names={"localhost": secure.address, "fe.example": secure.address}) as proxy:
        options: dict[str, Any] = {"proxy": proxy.url, "ssl": trusting()}

        async def story() -> None:
            async with town.user("alice", addresses=[("localhost", 443)], **options) as alice:
                assert (await alice.send(town.name("bob"), bytes(15_000))).sequence
            with pytest.raises(LoginTimeout, match=r"certificate is not valid for 'fe\.example'"):
                async with impatient(town.user("alice", addresses=[("fe.example", 443)], **options)):
                    pass

        adapter.run(story)


@KINDS
@pytest.mark.parametrize("mood", [Mood.REFUSES, Mood.CLOSES, Mood.GARBAGE], ids=lambda mood: mood.name.lower())
def test_a_proxy_that_does_not_connect_is_a_problem_like_any_other(
    town: Town, kind: type[Proxy], mood: Mood, caplog: pytest.LogCaptureFixture
) -> None:
    with kind(mood, login=("alice", PASSWORD)) as proxy:

        async def story() -> None:
            user = town.user("alice", proxy=proxy.url)
            lost = losses(user)
            with pytest.raises(LoginTimeout, match=r"last problem: 127\.0\.0\.1:\d+: the proxy did not connect: ."):
                async with impatient(user):
                    pass
            assert len(lost[0].problem) < 300
            assert lost[0].problem.isprintable()

        caplog.set_level(logging.DEBUG)
        town.adapter.run(story)
        assert PASSWORD not in caplog.text


def test_garbage_of_a_proxy_is_not_shown_at_length(town: Town) -> None:
    with HttpProxy(Mood.GARBAGE, garbage=b"\xff\x1b[31m" * 5000) as proxy:

        async def story() -> None:
            user = town.user("alice", proxy=proxy.url)
            lost = losses(user)
            with pytest.raises(LoginTimeout):
                async with impatient(user):
                    pass
            assert len(lost[0].problem) < 300
            assert lost[0].problem.isprintable()

        town.adapter.run(story)


@pytest.mark.parametrize(
    "garbage", [b"\x05\x00\x05\x00\x00\x01\x7f", b"\x05\x00\x05\x00\x00\x07", b"\x05\x02", b"\x05\x01"]
)
def test_a_proxy_that_does_not_speak_socks_to_the_end(town: Town, garbage: bytes) -> None:
    with SocksProxy(Mood.GARBAGE, garbage=garbage) as proxy:

        async def story() -> None:
            with pytest.raises(LoginTimeout, match="the proxy did not connect"):
                async with impatient(town.user("alice", proxy=proxy.url)):
                    pass

        town.adapter.run(story)


@KINDS
def test_a_password_that_is_wrong_is_not_shown(town: Town, kind: type[Proxy], caplog: pytest.LogCaptureFixture) -> None:
    with kind(login=("alice", "right")) as proxy:
        url = f"{proxy.scheme}://alice:wr%C3%B6ng-secret@127.0.0.1:{proxy.port}"
        url = url.replace("%C3%B6", "o") if kind is SocksProxy else url

        async def story() -> None:
            with pytest.raises(LoginTimeout, match="the proxy did not connect") as caught:
                async with impatient(town.user("alice", proxy=url)):
                    pass
            assert "ng-secret" not in str(caught.value)

        caplog.set_level(logging.DEBUG)
        town.adapter.run(story)
        assert "ng-secret" not in caplog.text
        assert proxy.asked == []


def test_a_proxy_that_is_not_there_is_a_problem_like_any_other(town: Town) -> None:
    with SocksProxy() as gone:
        pass

    async def story() -> None:
        with pytest.raises(LoginTimeout, match=r"the proxy did not connect: .*Could not connect to proxy"):
            async with impatient(town.user("alice", proxy=gone.url)):
                pass

    town.adapter.run(story)


def test_a_proxy_that_changes_its_mind_is_asked_again(town: Town) -> None:
    with SocksProxy(Mood.REFUSES) as proxy:

        async def story() -> None:
            alice = town.user("alice", proxy=proxy.url, config=QUICK)
            lost = losses(alice)
            inner = getattr(alice, "inner", alice)
            on_event = inner._on_event

            def relent(event: Any) -> None:
                on_event(event)
                if len(lost) == 3:
                    proxy.mood = Mood.GOOD

            inner._on_event = relent
            async with alice:
                assert alice.online
            assert len(lost) >= 3
            assert all("Connection refused by destination host" in event.problem for event in lost)

        town.adapter.run(story)


def test_a_missing_library_is_told_at_once(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)

    async def story() -> None:
        with pytest.raises(ProxyExtraMissing, match=r"pip install 'mimc-proto\[proxy\]'"):
            adapter.connect(1, "alice", "{}", proxy="socks5://127.0.0.1:1080")

    adapter.run(story)


def test_a_wrong_url_is_an_error_of_the_program(adapter: Adapter) -> None:
    async def story() -> None:
        with pytest.raises(LocalProtocolError, match="proxy: expected socks5://"):
            adapter.connect(1, "alice", "{}", proxy="socks4://127.0.0.1:1080")

    adapter.run(story)


# ------------------------------------------------------------------------------------------------- without any adapter


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1080",
        "socks4://alice:secret@127.0.0.1:1080",
        "socks5h://alice:secret@127.0.0.1:1080",
        "https://alice:secret@127.0.0.1:1080",
        "socks5://alice:secret@127.0.0.1",
        "socks5://alice:secret@127.0.0.1:0",
        "socks5://alice:secret@127.0.0.1:70000",
        "socks5://alice:secret@127.0.0.1:port",
        "socks5://alice:secret@:1080",
        "socks5://alice:secret@[::1:1080",
        "http://alice@127.0.0.1:1080",
        "http://:secret@127.0.0.1:1080",
        "http://alice:@127.0.0.1:1080",
        "socks5://alice:s%C3%A4cret@127.0.0.1:1080",
        "socks5://alice:secret" + "x" * 250 + "@127.0.0.1:1080",
        "http://alice:secret\r\nX: y@127.0.0.1:1080",
        b"socks5://alice:secret@127.0.0.1:1080",
        1080,
    ],
)
def test_a_url_that_is_wrong_is_not_shown_because_it_may_hold_a_password(url: Any) -> None:
    with pytest.raises(LocalProtocolError, match="proxy: expected socks5://") as caught:
        check_proxy(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    "url", ["socks5://127.0.0.1:1080", "http://alice:pa%3Ass@proxy.example:3128", "socks5://a:b@[::1]:1080"]
)
def test_a_url_that_is_right_is_taken(url: str) -> None:
    assert check_proxy(url) == url


def test_no_proxy_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    assert check_proxy(None) is None
    assert issubclass(ProxyRefused, OSError)
