"""Where the service's CPU for a message goes, without sockets: the machine and its store driven directly.

What surrounds it in a server (the event loop, the sockets, the thread of the store) is the difference to what
``benchmarks/server.py`` measures, which prints both. Without noise from the outside, as instructions a message, by
stage: ``python benchmarks/budget.py --instructions``, where valgrind is installed (a minute or two).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # also when imported

from instructions import MARK, total
from mimc_server.service import Service, ServiceConfig
from mimc_server.store import MemoryStore, SqliteStore, Store
from mimc_server.tokens import TokenIssuer
from run import measure, unit

from mimc_proto import ClientConnection, Credentials
from mimc_proto.events import BindAccepted, HandshakeCompleted, MessagesReceived
from mimc_proto.packets import SequenceAck

APP_ID = 2882303761500000001
PACKAGE = "com.example.mimc"
PAYLOAD = bytes(range(100))
STORES = ("memory", "sqlite")
REST = "sockets, event loop, the thread of the store"
PAIRS, EACH = 10, 5
"""Fifty messages a commit, as an idle disk makes of a busy server."""
TURNS = 20
WARM, COUNTED = 4, 4

STAGES = {
    "parse": "bytes to packets, checked and queued",
    "store": "appended and committed",
    "ack": "PACKET_ACK encoded, encrypted and framed",
    "deliver": "COMPOUND likewise, and the receiver's window",
    "receipt": "SEQUENCE_ACK taken in, a list",
    "cursor": "moved in the store and committed, a list",
}


class Stopwatch:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.seconds[stage] += time.thread_time() - start


class User:
    """A client's link, logged in at a node."""

    def __init__(self, bench: Bench, node: Service, account: str) -> None:
        member = bench.store.user(APP_ID, account, bench.wall_ms)
        issued = bench.tokens.issue(APP_ID, account, member.uuid, bench.wall_ms)
        self.account = account
        self.uuid = member.uuid
        self.link = ClientConnection(resource="mimc_py_0123456789", id_prefix=f"{account:0>16}", now=0.0)
        self.link_id = node.link_opened(0.0)
        self._exchange(bench, node)
        credentials = Credentials(
            app_id=APP_ID,
            account=account,
            uuid=member.uuid,
            token=issued.token,
            security_key=issued.security_key,
            package=PACKAGE,
        )
        self.link.bind(credentials, 0.0)
        self._exchange(bench, node)

    def _exchange(self, bench: Bench, node: Service) -> None:
        for frame in self.link.data_to_send():
            node.receive_data(self.link_id, frame, 0.0, bench.wall_ms)
        while node.run_store(bench.store, 0.0, bench.wall_ms):
            pass
        for frame in node.data_to_send(self.link_id):
            self.link.receive_data(frame, 0.0)
        assert all(isinstance(event, (HandshakeCompleted, BindAccepted)) for event in self.link.events())

    def receipt(self, frames: list[bytes], count: int) -> tuple[int, bytes]:
        """The answer to a list of so many messages: its acknowledgement."""
        self.link.receive_data(b"".join(frames), 0.0)
        [event] = self.link.events()
        assert isinstance(event, MessagesReceived)
        assert len(event.packets) == count
        self.link.send(
            SequenceAck(uuid=self.uuid, resource="mimc_py_0123456789", sequence=event.max_sequence, app_id=APP_ID),
            now=0.0,
        )
        return self.link_id, b"".join(self.link.data_to_send())


class Bench:
    """Pairs of users, of whom one sends and one receives, at two nodes of one service: so each call of a node is of
    one stage."""

    def __init__(self, store: Store, pairs: int) -> None:
        self._rng = random.Random(1)
        self.wall_ms = time.time_ns() // 1_000_000
        self.store = store
        self.tokens = TokenIssuer(b"the secret of a benchmark", 86_400.0, self._rng)
        self.upper, self.lower = self._node("upper"), self._node("lower")
        self.senders = [User(self, self.upper, f"from{number}") for number in range(pairs)]
        self.receivers = [User(self, self.lower, f"to{number}") for number in range(pairs)]
        self._clear()

    def _node(self, name: str) -> Service:
        return Service(
            node=name,
            tokens=self.tokens,
            package_of=lambda app_id: PACKAGE if app_id == APP_ID else None,
            rng=self._rng,
            config=ServiceConfig(account_rate=1 << 30),
        )

    def _clear(self) -> None:
        for node in self.upper, self.lower:
            node.writable()
            node.events()
            node.hints()

    def turn(self, each: int, watch: Stopwatch) -> None:
        """Every sender sends so many in one read; all is delivered and acknowledged."""
        upper, lower, store, wall_ms = self.upper, self.lower, self.store, self.wall_ms
        reads = []
        for sender, receiver in zip(self.senders, self.receivers, strict=True):
            for _ in range(each):
                sender.link.send_p2p(receiver.account, PAYLOAD, now=0.0)
            reads.append((sender.link_id, b"".join(sender.link.data_to_send(1 << 20))))
        with watch.on("parse"):
            for link_id, data in reads:
                upper.receive_data(link_id, data, 0.0, wall_ms)
        [request] = upper.store_requests()
        with watch.on("store"):
            answer = request.perform(store, wall_ms)
        with watch.on("ack"):
            upper.store_answered(request.request_id, answer, 0.0, wall_ms)
            acks = [upper.data_to_send(link_id) for link_id in upper.writable()]
        for sender, frames in zip(self.senders, acks, strict=True):
            sender.link.receive_data(b"".join(frames), 0.0)
            assert len(sender.link.events()) == each
        [hint] = upper.hints()
        with watch.on("deliver"):
            lower.hinted(hint, 0.0, wall_ms)
            lists = [lower.data_to_send(link_id) for link_id in lower.writable()]
        receipts = [user.receipt(frames, each) for user, frames in zip(self.receivers, lists, strict=True)]
        with watch.on("receipt"):
            for link_id, data in receipts:
                lower.receive_data(link_id, data, 0.0, wall_ms)
        [request] = lower.store_requests()
        with watch.on("cursor"):
            answer = request.perform(store, wall_ms)
        with watch.on("receipt"):
            lower.store_answered(request.request_id, answer, 0.0, wall_ms)
        self._clear()


@contextmanager
def opened(name: str) -> Iterator[Store]:
    """An empty store."""
    if name == "memory":
        yield MemoryStore()
        return
    with tempfile.TemporaryDirectory(prefix="mimc-bench-") as folder:
        store = SqliteStore(Path(folder, "mimc.db"))
        try:
            yield store
        finally:
            store.close()


def budget(name: str, pairs: int, each: int, rounds: int) -> tuple[dict[str, float], float]:
    """Seconds a message by stage, and of a unit: the best of some rounds, for noise only ever adds time."""
    units, best = [], dict.fromkeys(STAGES, float("inf"))
    with opened(name) as store:
        bench = Bench(store, pairs)
        for _ in range(rounds):
            watch = Stopwatch()
            gc.collect()
            for _ in range(TURNS):
                bench.turn(each, watch)
            units.append(measure(unit))
            for stage, seconds in watch.seconds.items():
                best[stage] = min(best[stage], seconds / (TURNS * pairs * each))
    return best, min(units)


def show(store: str, of: str, found: dict[str, float], one: float, scale: float, what: str) -> None:
    """Print a table."""
    print(f"{store} store, {of} a message (unit {one * scale:.2f} {what})")
    for stage, cost in found.items():
        print(f"  {stage:10}{cost * scale:8.2f} {what} {cost / one:6.2f} units   {STAGES.get(stage, REST)}")
    whole = sum(found.values())
    print(f"  {'together':10}{whole * scale:8.2f} {what} {whole / one:6.2f} units")


# ---------------------------------------------------------------------------------------------------- instructions


class Marks(Stopwatch):
    """Calls what callgrind waits for, around each stage; keeps their order."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        self.order.append(stage)
        os.getppid()
        yield
        os.getppid()


def run_here(name: str, pairs: int, each: int) -> None:
    """Under callgrind: the stages between marks; their order to stdout."""
    work, count = unit()
    with opened(name) as store:
        bench = Bench(store, pairs)
        for _ in range(WARM):
            bench.turn(each, Stopwatch())
        marks = Marks()
        gc.collect()
        gc.disable()  # it comes when it likes
        for _ in range(COUNTED):
            bench.turn(each, marks)
        work()
        os.getppid()
        work()
        os.getppid()
        gc.enable()
    json.dump([marks.order, count], sys.stdout)


def instructions(name: str, pairs: int, each: int) -> tuple[dict[str, float], float]:
    """Instructions a message by stage, and of a unit. Raises `subprocess.CalledProcessError`."""
    with tempfile.TemporaryDirectory(prefix="mimc-bench-") as folder:
        out = Path(folder, "part")
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--dump-before={MARK}"]
        program = [sys.executable, __file__, "--here", "--store", name, "--pairs", str(pairs), "--each", str(each)]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(
            [*tool, *program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        order, units = json.loads(done.stdout)
        found = dict.fromkeys(STAGES, 0.0)
        for number, stage in enumerate(order):
            found[stage] += total(out.with_name(f"part.{2 * number + 2}")) / (COUNTED * pairs * each)
        return found, total(out.with_name(f"part.{2 * len(order) + 2}")) / units


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", choices=STORES, action="append", help="only this one")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of users; a commit takes what all of them send")
    parser.add_argument("--each", type=int, default=EACH, help="messages in a read and in a list")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--instructions", action="store_true", help="count instructions in place of time")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for store in options.store or STORES:
        if options.here:
            run_here(store, options.pairs, options.each)
        elif options.instructions:
            found, one = instructions(store, options.pairs, options.each)
            show(store, "instructions", found, one, 1e-3, "k")
        else:
            found, one = budget(store, options.pairs, options.each, options.rounds)
            show(store, "CPU", found, one, 1e6, "us")


if __name__ == "__main__":
    main()
