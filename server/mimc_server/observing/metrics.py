"""Figures for Prometheus: what happened is counted, what is now is read when somebody asks.

docs/how-to/operate.md lists them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import assert_never

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..service import (
    CallbackFailed,
    Dropped,
    HintLost,
    LinkEnded,
    LoggedIn,
    LoggedOut,
    LoginRefused,
    MessageRefused,
    PacketIgnored,
    ServiceEvent,
    ServiceLoad,
    StoreFailed,
)
from ..service.requests import Append, StoreRequest
from ..store import Kind, Statistics
from .tallies import Histogram, Tally

__all__ = ["Metrics"]

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
MESSAGES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

Kept = tuple[Statistics, int]
"""How much the store holds, and how many bytes it may."""


class Metrics:
    """Counts what happens. ``load`` gives what there is to do now; ``version`` is that of this program.

    One thread at a time may call it: that of the event loop.
    """

    def __init__(self, load: Callable[[], ServiceLoad], version: str) -> None:
        self._load = load
        self._version = version
        self._kept: Kept | None = None
        self._logins = Tally("mimc_logins", "Logins, those of sessions that logged in once more among them.")
        self._refused = Tally(
            "mimc_logins_refused", "Logins that were refused, by what the client was told.", ["reason"]
        )
        self._logouts = Tally("mimc_logouts", "Sessions that ended, by the reason.", ["reason"])
        self._links = Tally("mimc_links_ended", "Links that ended, by the reason.", ["reason"])
        self._codes: Counter[tuple[str, str]] = Counter()
        self._ignored = Tally("mimc_packets_ignored", "Packets that could not be read, or mean nothing here.")
        self._dropped = Tally("mimc_packets_dropped", "Packets that did not reach a session.", ["packet"])
        self._hints = Tally("mimc_hints_lost", "Times that hints for other nodes began to be lost.", ["hint"])
        self._failures = Tally("mimc_store_failures", "Failures of the store, by what was to be done.", ["work"])
        self._callbacks = Tally("mimc_callbacks_failed", "Callbacks of the application's that raised.")
        self._seconds = Histogram("mimc_commit_seconds", "Seconds that a commit took, its messages and all.", SECONDS)
        self._size = Histogram("mimc_commit_messages", "Messages that were stored by one commit.", MESSAGES)
        self._requests = Tally(
            "mimc_http_requests", "HTTP requests, by path and code of the answer.", ["method", "route", "code"]
        )
        self._answers = Histogram("mimc_http_request_seconds", "Seconds until an HTTP request was answered.", SECONDS)
        self._registry = CollectorRegistry()
        self._registry.register(_Reader(self._families))
        ProcessCollector(registry=self._registry)

    # ------------------------------------------------------------------------------------------------ what happens

    def __call__(self, event: ServiceEvent) -> None:
        """For `ServiceRunner`."""
        match event:
            case LinkEnded(reason=reason):
                self._links.add(_word(reason.name))
            case LoggedIn():
                self._logins.add()
            case LoggedOut(reason=ended):
                self._logouts.add(_word(ended.name))
            case LoginRefused(reason=told):
                self._refused.add(told)
            case MessageRefused(kind=kind, code=code):
                self._codes[_word(kind.name), str(int(code))] += 1
            case PacketIgnored():
                self._ignored.add()
            case Dropped(what=what):
                self._dropped.add(what)
            case HintLost(what=what):
                self._hints.add(what)
            case StoreFailed(what=what):
                self._failures.add(what)
            case CallbackFailed():
                self._callbacks.add()
            case _:
                assert_never(event)

    def committed(self, requests: Iterable[StoreRequest], seconds: float) -> None:
        """The store did these together, in so many seconds."""
        self._seconds.add(seconds)
        self._size.add(sum(len(request.batch) for request in requests if type(request) is Append))

    def answered(self, method: str, route: str, code: int, seconds: float) -> None:
        """An HTTP request was; ``route`` is a path of ours, with names in place of what varies."""
        self._requests.add(method, route, str(code))
        self._answers.add(seconds)

    # ---------------------------------------------------------------------------------------------------- reading

    def text(self, kept: Kept | None) -> bytes:
        """All figures, in the text format of Prometheus; ``kept`` is None if the store does not say."""
        self._kept = kept
        return generate_latest(self._registry)

    def _families(self) -> Iterator[Metric]:
        load = self._load()
        build = GaugeMetricFamily("mimc_build_info", "1; the version of this program.", labels=["version"])
        build.add_metric([self._version], 1)
        yield build
        yield _gauge("mimc_links", "Links that are open.", load.links)
        yield _gauge("mimc_links_unbound", "Open links on which nobody is online.", load.unbound)
        yield _gauge("mimc_sessions", "Sessions that are online.", load.sessions)
        yield _gauge("mimc_users_online", "Users who are online, with one session or several.", load.users)
        yield _gauge("mimc_unlimited_groups_online", "Unlimited groups with somebody online.", load.unlimited_groups)
        yield _gauge("mimc_messages_waiting", "Messages that wait for the store.", load.waiting)
        yield _gauge("mimc_messages_waiting_bytes", "Bytes of those.", load.waiting_bytes)
        yield _gauge("mimc_store_requests_waiting", "Requests that the store has not answered.", load.requests)
        yield self._messages(load)
        yield CounterMetricFamily("mimc_messages_repeated", "Messages that came again.", load.repeated)
        yield from self._store()
        for counted in (
            *(self._logins, self._refused, self._logouts, self._links, self._ignored, self._dropped),
            *(self._hints, self._failures, self._callbacks, self._seconds, self._size, self._requests, self._answers),
        ):
            yield counted.family()

    def _messages(self, load: ServiceLoad) -> CounterMetricFamily:
        about = "Messages of users, by kind and by the code of their acknowledgement; 0: stored."
        family = CounterMetricFamily("mimc_messages", about, labels=["kind", "code"])
        for kind in Kind:
            family.add_metric([_word(kind.name), "0"], load.stored[kind])
        for labels, count in self._codes.items():
            family.add_metric(labels, count)
        return family

    def _store(self) -> Iterator[Metric]:
        yield _gauge("mimc_store_up", "1 if the store says how much it holds, 0 if it fails.", self._kept is not None)
        if self._kept is not None:
            kept, most = self._kept
            yield _gauge("mimc_store_users", "Users, of all applications.", kept.users)
            yield _gauge("mimc_store_groups", "Groups, of both kinds.", kept.groups)
            yield _gauge("mimc_store_messages", "Messages, in inboxes and histories.", kept.messages)
            yield _gauge("mimc_store_bytes", "Bytes that all of it takes.", kept.bytes)
            yield _gauge("mimc_store_bytes_limit", "Bytes beyond which messages are refused (store.max_bytes).", most)


class _Reader(Collector):
    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families()

    def describe(self) -> Iterable[Metric]:
        return ()  # the registry would collect to find the names, before there is anything


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value)


def _word(name: str) -> str:
    """An enum member's name as a label."""
    return name.lower().replace("_", "-")
