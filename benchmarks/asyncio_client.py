"""The asyncio adapter against an acker on the other core: ``make bench-asyncio``.

CPU a message and messages a second with ``send_nowait`` and with one awaited ``send`` a task, next to a bare client in
the same run; the time from ``send`` to its acknowledgement, one at a time, without pause and with pauses of 50 ms; the
time of a login. Medians and spread. ``--uvloop`` runs all of it on uvloop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parent))

from acker import APP_ID, PACKAGE, SECURITY_KEY, UUID
from bare import Bare
from mimc_transports.asyncio import User, connect
from run import measure, unit

from mimc_proto import SessionConfig

COUNT = 20_000
ROUNDS = 5
PAYLOAD = bytes(range(100))
CONFIG = SessionConfig(max_pending=COUNT, max_pending_bytes=1 << 30)


def token(account: str) -> str:
    """The answer of a token endpoint."""
    data = {
        "appId": str(APP_ID),
        "appPackage": PACKAGE,
        "appAccount": account,
        "miChid": 9,
        "miUserId": str(UUID),
        "miUserSecurityKey": SECURITY_KEY,
        "token": account,
        "feDomainName": "localhost",
    }
    return json.dumps({"code": 200, "message": "success", "data": data})


def user(port: int) -> User:
    """A user who is not logged in yet."""
    return connect(APP_ID, "alice", token("alice"), addresses=[("127.0.0.1", port)], config=CONFIG, close_timeout=0.0)


class Measured:
    """CPU and wall time of this process."""

    def __enter__(self) -> Measured:
        self.cpu, self.wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall


async def nowait(port: int) -> Measured:
    """`send_nowait`, until everything is acknowledged."""
    done = asyncio.get_running_loop().create_future()
    left = COUNT

    def on_verdict(_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    alice = connect(
        APP_ID,
        "alice",
        token("alice"),
        addresses=[("127.0.0.1", port)],
        config=CONFIG,
        close_timeout=0.0,
        on_verdict=on_verdict,
    )
    await alice
    with Measured() as measured:
        for number in range(COUNT):
            alice.send_nowait("bob", PAYLOAD)
            if number % 50 == 49:
                await asyncio.sleep(0)
        await done
    alice.abort()
    return measured


async def awaited(port: int) -> Measured:
    """One task and one awaited `send` a message."""
    alice = await user(port)
    with Measured() as measured:
        for _ in range(COUNT // 200):
            await asyncio.gather(*(alice.send("bob", PAYLOAD) for _ in range(200)))
    alice.abort()
    return measured


async def bare(port: int) -> Measured:
    """The bare client, one future a message."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_connection(Bare, "127.0.0.1", port)
    await protocol.online
    with Measured() as measured:
        futures = []
        for number in range(COUNT):
            futures.append(protocol.send("bob", PAYLOAD))
            if number % 50 == 49:
                await asyncio.sleep(0)
        for future in futures:
            await future
    transport.abort()
    return measured


async def latencies(port: int, count: int, pause: float) -> list[float]:
    """Milliseconds from `send` to its acknowledgement, one at a time."""
    alice = await user(port)
    times = []
    for _ in range(count):
        start = time.perf_counter()
        await alice.send("bob", PAYLOAD)
        times.append((time.perf_counter() - start) * 1e3)
        if pause:
            await asyncio.sleep(pause)
    alice.abort()
    return times


async def logins(port: int, count: int) -> list[float]:
    """Milliseconds of a login, with the token at hand."""
    times = []
    for _ in range(count):
        alice = user(port)
        start = time.perf_counter()
        await alice
        times.append((time.perf_counter() - start) * 1e3)
        alice.abort()
        await asyncio.sleep(0.01)
    return times


async def run(port: int) -> None:
    """Everything, round by round."""
    rounds: dict[str, list[tuple[float, float, float]]] = {}
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
        for name, work in (("bare client", bare), ("send_nowait", nowait), ("awaited send", awaited)):
            one = min(measure(unit) for _ in range(5))
            measured = await work(port)
            rounds.setdefault(name, []).append((measured.cpu / COUNT, COUNT / measured.wall, one))
    print(f"\n{'':16}{'us CPU, best':>14}{'median':>9}{'units':>8}{'of bare':>9}{'msg/s, best':>13}{'median':>9}")
    basis = min(cpu for cpu, _, _ in rounds["bare client"])
    for name, figures in rounds.items():
        cpus, rates = [cpu for cpu, _, _ in figures], [rate for _, rate, _ in figures]
        units = min(cpus) / min(one for _, _, one in figures)
        print(
            f"{name:16}{min(cpus) * 1e6:14.1f}{median(cpus) * 1e6:9.1f}{units:8.1f}{min(cpus) / basis:9.2f}"
            f"{max(rates):13.0f}{median(rates):9.0f}"
        )
    print(f"\n{'milliseconds':32}{'median':>9}{'p90':>9}{'p99':>9}")
    for name, times in (
        ("send to ack, no pause", await latencies(port, 2000, 0.0)),
        ("send to ack, pauses of 50 ms", await latencies(port, 200, 0.05)),
        ("login", await logins(port, 100)),
    ):
        cuts = quantiles(times, n=100)
        print(f"{name:32}{median(times):9.3f}{cuts[89]:9.3f}{cuts[98]:9.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uvloop", action="store_true", help="on uvloop")
    options = parser.parse_args()
    acker = Path(__file__).with_name("acker.py")
    pin = ["taskset", "-c", "1"] if os.path.exists("/usr/bin/taskset") and (os.cpu_count() or 1) > 1 else []
    with subprocess.Popen(
        [*pin, sys.executable, str(acker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        if pin:
            os.sched_setaffinity(0, {0})
        port = int(process.stdout.readline())
        if options.uvloop:
            import uvloop

            uvloop.run(run(port))
        else:
            asyncio.run(run(port))
        assert process.stdin is not None
        process.stdin.close()


if __name__ == "__main__":
    main()
