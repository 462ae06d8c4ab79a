"""The three adapters against an acker on the other core: ``make bench-adapters``.

Milliseconds from ``send`` to its acknowledgement, one at a time, without pause and with pauses of 50 ms, plain and with
TLS; messages a second that are received in lists of 20; what 1 000 idle users on asyncio take. Medians and spread.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).parent))

from acker import APP_ID, FLOOD, FLOODED
from asyncio_client import PAYLOAD, token
from mimc_transports import asyncio as on_asyncio
from mimc_transports import blocking
from mimc_transports import trio as on_trio

from mimc_proto import SessionConfig

CERTIFICATE = Path(__file__).parents[1] / "tests" / "transports" / "loopback.pem"
COUNT, PAUSED = 1000, 100
PAUSE = 0.05
USERS = 1000
SETTLE, WATCHED = 6, 3
"""Seconds: until the timers of the logins have passed, and until the first ping is near (15 s after a login)."""

ROUNDS = 5


def options(port: int, tls: bool, **more: Any) -> dict[str, Any]:
    """Of a user at the acker."""
    context = ssl.create_default_context(cafile=str(CERTIFICATE)) if tls else None
    return {"addresses": [("127.0.0.1", port)], "ssl": context, "close_timeout": 0.0, **more}


async def _on_asyncio(port: int, tls: bool, count: int, pause: float) -> list[float]:
    alice = await on_asyncio.connect(APP_ID, "alice", token("alice"), **options(port, tls))
    times = []
    for _ in range(count):
        start = time.perf_counter()
        await alice.send("bob", PAYLOAD)
        times.append((time.perf_counter() - start) * 1e3)
        if pause:
            await asyncio.sleep(pause)
    alice.abort()
    return times


async def _on_trio(port: int, tls: bool, count: int, pause: float) -> list[float]:
    times = []
    async with on_trio.connect(APP_ID, "alice", token("alice"), **options(port, tls)) as alice:
        for _ in range(count):
            start = trio.current_time()
            await alice.send("bob", PAYLOAD)
            times.append((trio.current_time() - start) * 1e3)
            if pause:
                await trio.sleep(pause)
        alice.abort()
    return times


def _in_threads(port: int, tls: bool, count: int, pause: float) -> list[float]:
    times = []
    with blocking.connect(APP_ID, "alice", token("alice"), **options(port, tls)) as alice:
        for _ in range(count):
            start = time.perf_counter()
            alice.send("bob", PAYLOAD)
            times.append((time.perf_counter() - start) * 1e3)
            if pause:
                time.sleep(pause)
        alice.abort()
    return times


LATENCIES: dict[str, Callable[[int, bool, int, float], list[float]]] = {
    "asyncio": lambda *given: asyncio.run(_on_asyncio(*given)),
    "trio": lambda *given: trio.run(_on_trio, *given),
    "blocking": _in_threads,
}


async def received(port: int) -> tuple[float, float]:
    """Messages a second, and microseconds of CPU a message, received by iterating."""
    config = SessionConfig(high_messages=FLOOD, high_bytes=1 << 30)
    user = on_asyncio.connect(APP_ID, FLOODED, token(FLOODED), **options(port, False, config=config))
    async with user as flooded:
        flooded.pull()
        count, wall, cpu = 0, time.perf_counter(), time.process_time()
        async for _ in flooded:
            count += 1
            if count == FLOOD:
                break
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        flooded.abort()
    return FLOOD / wall, cpu / FLOOD * 1e6


async def idle(port: int) -> tuple[float, float]:
    """KiB a user, and the share of a core that all of them take between pings."""
    gc.collect()
    before = resident()
    users = [await on_asyncio.connect(APP_ID, "alice", token("alice"), **options(port, False)) for _ in range(USERS)]
    gc.collect()
    size = resident() - before
    await asyncio.sleep(SETTLE)
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(WATCHED)
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    for user in users:
        user.abort()
    return size / USERS / 1024, share


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@contextlib.contextmanager
def acker(*arguments: str) -> Iterator[int]:
    """Its port."""
    pin = ["taskset", "-c", "1"] if os.path.exists("/usr/bin/taskset") and (os.cpu_count() or 1) > 1 else []
    command = [*pin, sys.executable, str(Path(__file__).with_name("acker.py")), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        if pin:
            os.sched_setaffinity(0, {0})
        yield int(process.stdout.readline())
        process.stdin.close()


def main() -> None:
    with acker() as plain, acker("--certificate", str(CERTIFICATE)) as secure:
        print(f"{'send to ack, ms':32}{'median':>9}{'p90':>9}{'p99':>9}")
        for tls, port in ((False, plain), (True, secure)):
            for name, latencies in LATENCIES.items():
                for count, pause in ((COUNT, 0.0), (PAUSED, PAUSE)):
                    times = latencies(port, tls, count, pause)
                    cuts = quantiles(times, n=100)
                    what = f"{name}{', TLS' if tls else ''}{', paused' if pause else ''}"
                    print(f"{what:32}{median(times):9.3f}{cuts[89]:9.3f}{cuts[98]:9.3f}", flush=True)
        rates, costs = zip(*[asyncio.run(received(plain)) for _ in range(ROUNDS)], strict=True)
        print(f"\nreceived on asyncio, lists of 20: {max(rates):.0f} msg/s at best, {median(rates):.0f} in the median;")
        print(f"{min(costs):.1f} us of CPU a message at best, {median(costs):.1f} in the median")
        size, share = asyncio.run(idle(plain))
        print(f"{USERS} idle users on asyncio: {size:.1f} KiB each, {share * 100:.2f} % of a core between pings")


if __name__ == "__main__":
    main()
