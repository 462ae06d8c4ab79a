"""The whole service under load, on one core, with the generator on another: ``make bench-server``.

Messages a second from user to user (stored, acknowledged, delivered and acknowledged by the receiver), the server's
CPU for each, the time to the acknowledgement at half that load, the memory of idle connections, and what ten times as
many connections, accounts, group members and stored messages cost. After each run a real client checks what came:
nothing acknowledged is missing, nothing comes twice or out of order. Exits 1 if a target is missed.

``--chart`` draws the last part. Noise only ever adds time, so figures are those of the best of some rounds; beside the
time stands what the server's CPU alone would allow, and who else used the machine. The unit is that of
``benchmarks/run.py``, so that machines can be compared. See docs/explanation/server-performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from budget import budget, show
from chart import Panel, draw
from generator import Generator, Peer
from run import measure, unit
from served import LOOPS, STORES

HERE = Path(__file__).parent
PAYLOAD = bytes(range(100))

RATE_TARGET = 10_000  # messages a second
IDLE_TARGET = 40.0  # KiB
ACK_TARGET = 5.0  # ms
QUIET = 0.1
"""Of the machine: if others use more of it, the server's CPU says how fast it is, and not the time it took."""
COST_ROUNDS = 2
BUDGET_PAIRS = 20
"""For a store whose commits nobody counts."""


class Plan(NamedTuple):
    """How much is done."""

    rounds: int = 3
    messages: int = 15_000
    pairs: int = 100
    window: int = 5
    paced_seconds: float = 2.0
    idle: int = 10_000
    connections: tuple[int, ...] = (1_000, 3_000, 10_000)
    accounts: tuple[int, ...] = (10_000, 30_000, 100_000)
    members: tuple[int, ...] = (50, 150, 500)
    stored: tuple[int, ...] = (30_000, 100_000, 300_000)
    cost_messages: int = 5_000


QUICK = Plan(
    rounds=2,
    messages=5_000,
    paced_seconds=1.0,
    idle=1_000,
    connections=(200, 600, 2_000),
    accounts=(1_000, 3_000, 10_000),
    members=(10, 30, 100),
    stored=(2_000, 6_000, 20_000),
    cost_messages=2_000,
)


class Server:
    """The other process."""

    def __init__(self, store: str, loop: str, core: int | None, profile: str | None = None) -> None:
        self._stack = ExitStack()
        data = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="mimc-bench-"))
        command = [sys.executable, str(HERE / "served.py"), "--store", store, "--loop", loop, "--data", data]
        command += [] if core is None else ["--core", str(core)]
        command += [] if profile is None else ["--profile", profile]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process = self._stack.enter_context(process)
        self.port: int = json.loads(self._line())
        self.generator = Generator(self.port)
        self._users = 0

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.generator.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._stack.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server process ended; its error is above")
        return line

    def ask(self, question: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"ask": question, **arguments}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def users(self, count: int) -> list[dict[str, Any]]:
        """New users."""
        found: list[dict[str, Any]] = []
        for first in range(0, count, 1000):
            found += self.ask("users", prefix="user", first=self._users + first, count=min(1000, count - first))
        self._users += count
        return found

    def online(self, count: int) -> list[Peer]:
        """New users who are logged in."""
        return self.generator.log_in(self.users(count), lambda done: say(f"  {done} of {count} logged in"))


class Run(NamedTuple):
    """What one load was like."""

    rate: float
    """Messages a second."""
    cpu: float
    """Seconds of the server's CPU for a message."""
    unit: float
    """Seconds of one unit, at that time."""
    batch: float
    """Messages a commit; 0 if that is not known."""
    commit: float
    """Seconds a commit takes."""
    shares: Shares
    delays: list[float]
    """Seconds to each ack."""

    @property
    def units(self) -> float:
        return self.cpu / self.unit


class Shares(NamedTuple):
    """Of a core: server and generator; of the whole machine: everybody else."""

    server: float
    generator: float
    others: float

    def __str__(self) -> str:
        return (
            f"server {self.server:.0%} of a core, generator {self.generator:.0%},"
            f" others {self.others:.0%} of the machine"
        )


class Meter:
    """Who uses how much of the machine."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.usage = server.ask("usage")
        self._own, self._busy, self._time = time.process_time(), busy_seconds(), time.perf_counter()

    def read(self) -> tuple[dict[str, float], Shares]:
        """Since it was made: what the server counts, and the shares."""
        now = self._server.ask("usage")
        spent = {name: now[name] - before for name, before in self.usage.items()}
        seconds, own = time.perf_counter() - self._time, time.process_time() - self._own
        others = max(0.0, busy_seconds() - self._busy - own - spent["cpu"])
        return spent, Shares(spent["cpu"] / seconds, own / seconds, others / seconds / (os.cpu_count() or 1))


def busy_seconds() -> float:
    """CPU that all processes have had; what other machines took of this one counts as well."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, soft, stolen, *_ = map(int, stat.readline().split()[1:])
    return (user + nice + system + irq + soft + stolen) / os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def load(server: Server, pairs: Sequence[tuple[Peer, Peer]], count: int, window: int, rate: float | None = None) -> Run:
    """``count`` messages from the first of each pair to the second: as fast as they are acknowledged, with so many of
    each pair under way, or at a rate."""
    senders = [sender for sender, _ in pairs]
    for sender, receiver in pairs:
        sender.prepare(max(1, count // len(pairs)), receiver.credentials.account, PAYLOAD)
    one = min(measure(unit) for _ in range(5))
    meter = Meter(server)
    seconds = server.generator.flood(senders, window) if rate is None else server.generator.pace(senders, rate)
    spent, shares = meter.read()
    sent = sum(len(sender.sent) for sender in senders)
    delays = [acked - at for sender in senders for at, acked in zip(sender.sent, sender.acked, strict=True)]
    for sender in senders:
        sender.check()
    delivered = sum(len(receiver.check()) for _, receiver in pairs)
    assert delivered == sent, f"{delivered} delivered of {sent}"
    commits = spent["commits"]
    batch, commit = (spent["committed"] / commits, spent["commit_seconds"] / commits) if commits else (0.0, 0.0)
    return Run(sent / seconds, spent["cpu"] / sent, one, batch, commit, shares, delays)


def paired(peers: Sequence[Peer]) -> list[tuple[Peer, Peer]]:
    half = len(peers) // 2
    return list(zip(peers[:half], peers[half:], strict=True))


# --------------------------------------------------------------------------------------------------------- the figures


def throughput(store: str, server: Server, plan: Plan) -> bool:
    """Print what a flood and half of it are like; whether a target was missed."""
    pairs = paired(server.online(2 * plan.pairs))
    load(server, pairs, plan.messages // 4, plan.window)  # warm-up
    runs = []
    for number in range(plan.rounds):
        runs.append(run := load(server, pairs, plan.messages, plan.window))
        say(f"  round {number + 1} of {plan.rounds}: {run.rate:.0f} msg/s, {run.cpu * 1e6:.1f} us; {run.shares}")
    best, least = max(runs), min(runs, key=lambda run: run.cpu)
    one = min(run.unit for run in runs)
    core = 1 / least.cpu
    missed = (best.rate if best.shares.others < QUIET else core) < RATE_TARGET
    print(f"  {best.rate:.0f} msg/s ({best.shares}); {core:.0f} for a whole core's CPU{note(missed)}")
    print(f"  server CPU {least.cpu * 1e6:.1f} us a message = {least.cpu / one:.1f} units of {one * 1e6:.2f} us")
    if best.batch:
        print(f"  commits of {best.batch:.0f} messages, {best.commit * 1e3:.1f} ms each")
    together = round(min(best.batch, 500) / plan.window) or BUDGET_PAIRS
    stages, cost = budget(store, together, plan.window, plan.rounds * 3)
    show(store, "CPU", {**stages, "the rest": max(0.0, least.cpu / one * cost - sum(stages.values()))}, cost, 1e6, "us")
    slow = delays(server, pairs, plan, RATE_TARGET / 2, "at half the target", ACK_TARGET)
    delays(server, pairs, plan, best.rate / 2, "at half of it", None)
    return missed or slow


def delays(
    server: Server, pairs: Sequence[tuple[Peer, Peer]], plan: Plan, rate: float, what: str, most: float | None
) -> bool:
    """Print how long acknowledgements take at a rate; whether the median is above ``most`` milliseconds."""
    paced = []
    for number in range(plan.rounds):
        paced.append(run := load(server, pairs, round(rate * plan.paced_seconds), 0, rate))
        say(f"  round {number + 1} of {plan.rounds}: median {median(run.delays) * 1e3:.1f} ms; {run.shares}")
    calm = min(paced, key=lambda run: median(run.delays))
    cuts = quantiles([delay * 1e3 for delay in calm.delays], n=100)
    slow = most is not None and median(cuts) > most
    print(
        f"  {what}, {rate:.0f} msg/s: ack after {cuts[49]:.1f} ms (median), {cuts[89]:.1f} (p90),"
        f" {cuts[98]:.1f} (p99); CPU {calm.cpu * 1e6:.0f} us a message ({calm.shares}){note(slow)}"
    )
    return slow


def idle(server: Server, plan: Plan) -> bool:
    """Memory of users who are online and do nothing, with their accounts; whether the target was missed."""
    server.online(10)
    before = server.ask("collect")["kib"]
    server.online(plan.idle)
    each: float = (server.ask("collect")["kib"] - before) / plan.idle
    print(f"{plan.idle} idle connections: {each:.1f} KiB each{note(each > IDLE_TARGET)}")
    return each > IDLE_TARGET


def note(missed: bool) -> str:
    return "  MISSED" if missed else ""


# ----------------------------------------------------------------------------------------------------------- ten times


def cost(server: Server, pairs: Sequence[tuple[Peer, Peer]], plan: Plan, window: int) -> float:
    """Microseconds of CPU a message: the least of some rounds, for the machine is shared."""
    load(server, pairs, plan.cost_messages // 4, window)
    return min(load(server, pairs, plan.cost_messages, window).cpu for _ in range(COST_ROUNDS)) * 1e6


def by_connections(server: Server, plan: Plan) -> list[float]:
    """Every connection sends or receives, one message at a time."""
    peers: list[Peer] = []
    costs = []
    for count in plan.connections:
        peers += server.online(count - len(peers))
        costs.append(cost(server, paired(peers), plan, 1))
    return costs


def by_accounts(server: Server, plan: Plan) -> list[float]:
    """A hundred users write to more and more who are offline, to each with the same probability."""
    senders = server.online(plan.pairs)
    chance = random.Random(1)
    costs, made = [], 0
    for count in plan.accounts:
        for first in range(made, count, 10_000):
            server.ask("accounts", prefix="offline", first=first, count=min(10_000, count - first))
        made = count
        found = []
        for _ in range(COST_ROUNDS):
            for sender in senders:
                for _ in range(plan.cost_messages // len(senders)):
                    sender.prepare(1, f"offline{chance.randrange(count)}", PAYLOAD)
            meter = Meter(server)
            server.generator.flood(senders, plan.window)
            found.append(meter.read()[0]["cpu"])
            for sender in senders:
                sender.check()
        costs.append(min(found) * 1e6 / (plan.cost_messages // len(senders) * len(senders)))
    return costs


def by_members(server: Server, plan: Plan) -> list[float]:
    """Microseconds a delivery, of messages to groups that get larger."""
    members = server.online(max(plan.members))
    sender, costs = members[0], []
    for size in plan.members:
        uuids = [member.credentials.uuid for member in members[:size]]
        topic = server.ask("group", owner=uuids[0], members=uuids[1:])
        count = max(10, 2 * plan.cost_messages // size)
        found = []
        for _ in range(COST_ROUNDS):
            sender.prepare(count, topic, PAYLOAD)
            meter = Meter(server)
            server.generator.flood([sender], plan.window)
            found.append(meter.read()[0]["cpu"])
            sender.check()
            delivered = sum(len(member.check()) for member in members[1:size])
            assert delivered == count * (size - 1), f"{delivered} delivered of {count * (size - 1)}"
        costs.append(min(found) * 1e6 / (count * (size - 1)))
    return costs


def by_stored(server: Server, plan: Plan) -> list[float]:
    """The same load in a store of more and more messages that wait for others."""
    pairs = paired(server.online(2 * plan.pairs))
    others = [user["account"] for user in server.users(1000)]
    costs, held = [], 0
    for count in plan.stored:
        held = server.ask("fill", sender=others[0], receivers=others, count=max(0, count - held), payload=100)
        costs.append(cost(server, pairs, plan, plan.window))
    return costs


SCALES: tuple[tuple[str, str, str, Callable[[Server, Plan], list[float]]], ...] = (
    ("connections", "connections, all busy", "a message", by_connections),
    ("accounts", "accounts, messages kept", "a message", by_accounts),
    ("members", "members of a group", "a delivery", by_members),
    ("stored", "messages in the store", "a message", by_stored),
)


def scales(options: argparse.Namespace, plan: Plan) -> None:
    """CPU against ten times as much of everything."""
    panels = []
    print(f"server CPU, {options.scale_store} store")
    for name, what, of, work in SCALES:
        say(f"to ten times as many {what}")
        with start(options, options.scale_store) as server:
            costs = work(server, plan)
        points = tuple(zip(getattr(plan, name), costs, strict=True))
        panels.append(Panel(title=what, unit=f"us of CPU {of}", points=points))
        print(f"  {what:26}" + "   ".join(f"{count}: {taken:.1f} us {of}" for count, taken in points))
    if options.chart:
        Path(options.chart).write_text(draw(panels, "The server's CPU against ten times as much of everything"))
        say(f"drawn: {options.chart}")


def start(options: argparse.Namespace, store: str) -> Server:
    return Server(store, options.loop, 0 if (os.cpu_count() or 1) > 1 else None, options.profile)


def main() -> int:
    """Print the figures; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything: under a minute")
    parser.add_argument("--store", choices=STORES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--loop", choices=LOOPS, default="uvloop", help="the server's event loop")
    parser.add_argument("--only", choices=("load", "idle", "scales"), help="only this part")
    parser.add_argument("--scale-store", choices=STORES, default="sqlite", help="the store of the last part")
    parser.add_argument("--chart", metavar="FILE", help="draw the last part as SVG")
    parser.add_argument("--profile", metavar="FILE", help="run the server under cProfile (slower; --only load)")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = QUICK if options.quick else Plan()
    started = time.monotonic()
    missed = False
    if options.only in (None, "load"):
        for store in options.store or STORES:
            print(f"p2p, {plan.pairs} pairs, {plan.window} messages of each under way; {store} store, {options.loop}")
            with start(options, store) as server:
                missed |= throughput(store, server, plan)
    if options.only in (None, "idle"):
        say("idle connections")
        with start(options, (options.store or STORES)[-1]) as server:
            missed |= idle(server, plan)
    if options.only in (None, "scales"):
        scales(options, plan)
    say(f"{time.monotonic() - started:.0f} s")
    return missed


if __name__ == "__main__":
    sys.exit(main())
