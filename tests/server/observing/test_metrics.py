"""Figures: the library's own parser reads them, and they say what was done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from mimc_server.http import make_app
from mimc_server.observing import Metrics
from mimc_server.observing.endpoint import FRESH, StoreFigures, metrics_app
from mimc_server.observing.requests import CountRequests
from mimc_server.server import Server
from mimc_server.service import (
    CallbackFailed,
    Dropped,
    EndReason,
    HintLost,
    LinkEnded,
    LoggedIn,
    LoggedOut,
    LoginRefused,
    MessageRefused,
    PacketIgnored,
    ServiceLoad,
    StoreFailed,
)
from mimc_server.service.requests import Append, TidyStore
from mimc_server.settings import Address, Listen, Settings
from mimc_server.settings import Metrics as MetricsSettings
from mimc_server.store import AckCode, Kind, Statistics, StoreError
from mimc_transports.asyncio import connect
from prometheus_client.parser import text_string_to_metric_families
from support.http_town import LOGIN, HttpTown
from support.wires import TIMEOUT

from mimc_proto.errors import QueueFull, SendRejected
from mimc_proto.events import CloseReason
from mimc_proto.testing import VirtualClock

IDLE = ServiceLoad(
    links=4, unbound=1, sessions=3, users=2, unlimited_groups=5, waiting=6, waiting_bytes=7, requests=8,
    stored=(0, 10, 11, 12, 13), repeated=9,
)  # fmt: skip
KEPT = Statistics(users=20, groups=21, messages=22, bytes=23)
WHO: dict[str, Any] = {"account": "alice", "uuid": 7, "resource": "pc"}
ANY = (Address("127.0.0.1", 0),)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def parsed(text: bytes) -> dict[str, float]:
    """Samples by name and labels, as the text has them."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def counted(*events: Any) -> dict[str, float]:
    metrics = Metrics(lambda: IDLE, "1.2")
    for event in events:
        metrics(event)
    return parsed(metrics.text((KEPT, 24)))


def test_what_is_now_is_read_from_the_service_and_the_store() -> None:
    seen = counted()
    expected = {
        'mimc_build_info{version="1.2"}': 1,
        "mimc_links": 4,
        "mimc_links_unbound": 1,
        "mimc_sessions": 3,
        "mimc_users_online": 2,
        "mimc_unlimited_groups_online": 5,
        "mimc_messages_waiting": 6,
        "mimc_messages_waiting_bytes": 7,
        "mimc_store_requests_waiting": 8,
        "mimc_messages_repeated_total": 9,
        'mimc_messages_total{code="0",kind="p2p"}': 10,
        'mimc_messages_total{code="0",kind="p2t"}': 11,
        'mimc_messages_total{code="0",kind="unlimited"}': 12,
        'mimc_messages_total{code="0",kind="online"}': 13,
        "mimc_store_up": 1,
        "mimc_store_users": 20,
        "mimc_store_groups": 21,
        "mimc_store_messages": 22,
        "mimc_store_bytes": 23,
        "mimc_store_bytes_limit": 24,
        "mimc_logins_total": 0,
        "mimc_packets_ignored_total": 0,
        "mimc_callbacks_failed_total": 0,
    }
    assert {name: seen.get(name) for name in expected} == expected


def test_a_store_that_does_not_answer_is_down_and_the_rest_is_told() -> None:
    seen = parsed(Metrics(lambda: IDLE, "1.2").text(None))
    assert seen["mimc_store_up"] == 0
    assert seen["mimc_links"] == 4
    assert "mimc_store_bytes" not in seen


def test_every_event_is_counted_by_what_matters() -> None:
    error = QueueFull("full", where="send")
    seen = counted(
        LinkEnded(link_id=1, peer="", reason=CloseReason.EOF),
        LinkEnded(link_id=2, peer="", reason=CloseReason.PROTOCOL_ERROR),
        LinkEnded(link_id=3, peer="", reason=CloseReason.EOF),
        LoggedIn(link_id=1, app_id=1, epoch=1, **WHO),
        LoggedOut(link_id=1, reason=EndReason.TAKEN_OVER, **WHO),
        LoginRefused(link_id=1, reason="invalid-token"),
        MessageRefused(packet_id="1", kind=Kind.P2T, code=AckCode.NO_SUCH_GROUP, **WHO),
        MessageRefused(packet_id="2", kind=Kind.P2P, code=AckCode.TOO_MANY, **WHO),
        MessageRefused(packet_id="3", kind=Kind.P2P, code=AckCode.TOO_MANY, **WHO),
        PacketIgnored(link_id=1, what="RtsSignal"),
        Dropped(what="PacketAck", error=error, **WHO),
        HintLost(what="Committed"),
        StoreFailed(what="login", error=error),
        CallbackFailed(error=error),
    )
    expected = {
        'mimc_links_ended_total{reason="eof"}': 2,
        'mimc_links_ended_total{reason="protocol-error"}': 1,
        "mimc_logins_total": 1,
        'mimc_logouts_total{reason="taken-over"}': 1,
        'mimc_logins_refused_total{reason="invalid-token"}': 1,
        'mimc_messages_total{code="404",kind="p2t"}': 1,
        'mimc_messages_total{code="429",kind="p2p"}': 2,
        "mimc_packets_ignored_total": 1,
        'mimc_packets_dropped_total{packet="PacketAck"}': 1,
        'mimc_hints_lost_total{hint="Committed"}': 1,
        'mimc_store_failures_total{work="login"}': 1,
        "mimc_callbacks_failed_total": 1,
    }
    assert {name: seen.get(name) for name in expected} == expected


def test_commits_are_counted_by_their_time_and_their_messages() -> None:
    metrics = Metrics(lambda: IDLE, "1.2")
    batch: list[Any] = [None] * 3  # only their number counts
    metrics.committed([Append(request_id=1, batch=batch), TidyStore(request_id=2)], 0.002)
    metrics.committed([TidyStore(request_id=3)], 70.0)
    seen = parsed(metrics.text(None))
    assert seen['mimc_commit_seconds_bucket{le="0.001"}'] == 0
    assert seen['mimc_commit_seconds_bucket{le="0.002"}'] == 1
    assert seen['mimc_commit_seconds_bucket{le="5.0"}'] == 1
    assert seen['mimc_commit_seconds_bucket{le="+Inf"}'] == seen["mimc_commit_seconds_count"] == 2
    assert seen["mimc_commit_seconds_sum"] == pytest.approx(70.002)
    assert seen['mimc_commit_messages_bucket{le="0.0"}'] == 1
    assert seen['mimc_commit_messages_bucket{le="5.0"}'] == 2
    assert seen["mimc_commit_messages_sum"] == 3


# ---------------------------------------------------------------------------------------------------------------- HTTP


@pytest.mark.anyio
async def test_requests_are_counted_by_route_and_by_the_code_of_their_envelope() -> None:
    metrics = Metrics(lambda: IDLE, "1.2")
    town = HttpTown()
    town.app = make_app(town.service, answered=metrics.answered)
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/healthz/", {}),
        ("HEAD", "/healthz", {}),
        ("GET", "/api/topic/7/8", {}),
        ("GET", "/api/topic/7/9", {}),
        ("GET", "/made/up", {}),
        ("BREW", "/made/up/too", {}),
        ("BREW", "/healthz", {}),
        ("POST", "/api/account/token", {"json": {}}),
        ("POST", "/api/account/token", {"json": LOGIN}),
        ("POST", "/api/account/token", {"content": b"x" * 70_000}),
    ]
    for method, path, options in asked:
        await town.ask(method, path, **options)
    seen = {name: value for name, value in parsed(metrics.text(None)).items() if "http_requests" in name}
    assert seen == {
        'mimc_http_requests_total{code="200",method="GET",route="/healthz"}': 2,
        'mimc_http_requests_total{code="401",method="GET",route="/api/topic/{appId}/{topicId}"}': 2,
        'mimc_http_requests_total{code="404",method="GET",route="unknown"}': 1,
        'mimc_http_requests_total{code="404",method="other",route="unknown"}': 1,
        'mimc_http_requests_total{code="405",method="other",route="/healthz"}': 1,
        'mimc_http_requests_total{code="400",method="POST",route="/api/account/token"}': 1,
        'mimc_http_requests_total{code="200",method="POST",route="/api/account/token"}': 1,
        'mimc_http_requests_total{code="413",method="POST",route="/api/account/token"}': 1,
    }


@pytest.mark.anyio
async def test_a_request_that_raises_counts_as_a_failure_and_takes_its_time() -> None:
    clock = VirtualClock()
    told: list[tuple[str, str, int, float]] = []

    async def app(*_: Any) -> None:
        clock.advance(2.5)
        raise ZeroDivisionError

    async def unused(*_: Any) -> Any:
        raise AssertionError

    counting = CountRequests(app, lambda *answer: told.append(answer), now=lambda: clock.now)
    with pytest.raises(ZeroDivisionError):
        await counting({"type": "http", "method": "GET"}, unused, unused)
    with pytest.raises(ZeroDivisionError):
        await counting({"type": "lifespan"}, unused, unused)
    assert told == [("GET", "unknown", 500, 2.5)]


# --------------------------------------------------------------------------------------------- how much the store holds


class Counted:
    """A store whose figures are asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.answer: Callable[[], Statistics] = lambda: KEPT
        self.ready = asyncio.Event()
        self.ready.set()

    async def __call__(self) -> Statistics:
        self.asked += 1
        await self.ready.wait()
        return self.answer()


@pytest.mark.anyio
async def test_the_store_counts_now_and_then_whoever_asks_how_often() -> None:
    store = Counted()
    figures = StoreFigures(store, lambda: store.now)
    assert await asyncio.gather(*(figures.latest() for _ in range(5))) == [KEPT] * 5
    store.now = FRESH - 1
    assert (await figures.latest(), store.asked) == (KEPT, 1)
    store.now = FRESH
    assert (await figures.latest(), store.asked) == (KEPT, 2)


@pytest.mark.anyio
async def test_a_store_that_fails_says_nothing_until_it_is_asked_again() -> None:
    store = Counted()
    figures = StoreFigures(store, lambda: store.now)

    def fail() -> Statistics:
        raise StoreError("the disk is full")

    store.answer = fail
    assert await figures.latest() is None
    store.answer, store.now = lambda: KEPT, FRESH
    assert await figures.latest() == KEPT


@pytest.mark.anyio
async def test_a_store_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_server.observing.endpoint.PATIENCE", 0.0)
    store = Counted()
    figures = StoreFigures(store, lambda: store.now)
    store.ready.clear()
    assert [await figures.latest(), await figures.latest()] == [None, None]
    assert store.asked == 1
    store.ready.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await figures.latest() == KEPT


# -------------------------------------------------------------------------------------------------------------- served


@contextlib.asynccontextmanager
async def serving(metrics: MetricsSettings) -> AsyncIterator[Server]:
    listen = Listen(tcp=ANY, websocket=(), http=ANY)
    async with (
        asyncio.timeout(TIMEOUT),
        Server(Settings(memory=True, listen=listen, metrics=metrics, stop_timeout=1.0)) as server,
    ):
        yield server


async def fetch(address: Address, path: str = "/metrics") -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://{address}{path}")


@pytest.mark.anyio
async def test_a_server_counts_what_its_clients_do() -> None:
    async with serving(MetricsSettings(listen=ANY)) as server:
        keys = await server.add_application("com.example")
        application = server.applications.get(keys.app_id)
        assert application is not None
        answer = server.issue_token(application, "alice")

        async def token() -> Any:
            return answer

        async with connect(keys.app_id, "alice", token, addresses=[server.addresses.tcp[0]], resource="pc") as alice:
            await alice.send("bob", b"one")
            await alice.send("bob", b"two")
            with pytest.raises(SendRejected):
                await alice.send_group(7, b"to no group")
            await fetch(server.addresses.http[0], "/healthz")
            response = await fetch(server.operating.addresses[0])
        seen = parsed(response.content)
        assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "access-control-allow-origin" not in response.headers
        expected = {
            "mimc_links": 1,
            "mimc_sessions": 1,
            "mimc_users_online": 1,
            "mimc_logins_total": 1,
            'mimc_messages_total{code="0",kind="p2p"}': 2,
            'mimc_messages_total{code="404",kind="p2t"}': 1,
            "mimc_store_users": 2,
            "mimc_store_messages": 2,
            'mimc_http_requests_total{code="200",method="GET",route="/healthz"}': 1,
            "mimc_http_request_seconds_count": 1,
        }
        assert {name: seen.get(name) for name in expected} == expected
        assert seen["process_cpu_seconds_total"] > 0
        for secret in (keys.app_key, keys.app_secret, answer["data"]["token"], answer["data"]["miUserSecurityKey"]):
            assert secret not in response.text
        for name in ("alice", "bob", "com.example"):
            assert name not in response.text


@pytest.mark.anyio
async def test_figures_are_where_the_settings_say_and_nowhere_else() -> None:
    async with serving(MetricsSettings()) as server:
        assert (await fetch(server.addresses.http[0])).status_code == 404
        assert server.operating.addresses == []
    async with serving(MetricsSettings(http=True, listen=ANY)) as server:
        assert (await fetch(server.addresses.http[0])).status_code == 200
        [alone] = server.operating.addresses
        assert (await fetch(alone)).status_code == 200
        assert (await fetch(alone, "/healthz")).status_code == 404
        document = (await fetch(server.addresses.http[0], "/openapi.json")).json()
        assert "/metrics" not in document["paths"]


@pytest.mark.anyio
async def test_an_application_of_figures_alone() -> None:
    async def text() -> bytes:
        return b"mimc_links 1\n"

    transport = httpx2.ASGITransport(app=metrics_app(text))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        assert (await client.get("/metrics")).text == "mimc_links 1\n"
