"""A server and users on all three adapters for an hour, and what happens to their memory: ``make soak``.

`mimc serve` runs in a process of its own, on a database in a folder that is thrown away; its users run here: most on
asyncio, some on trio and some in threads. They write to each other and to a group, wait for each acknowledgement, log
out and in again. Each message carries a number that rises for each pair of sender and receiver, so that whoever gets
it knows whether one is missing, out of order or comes twice. Every few seconds memory, descriptors and threads of both
processes are looked at; each look is a line of JSON in ``--samples``. Exits 1 if a message was lost or repeated, or if
memory or descriptors go on growing after the first third.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import trio
from mimc_transports import asyncio as on_asyncio
from mimc_transports import blocking
from mimc_transports import trio as on_trio

from mimc_proto import SendFailed
from mimc_proto.session import GroupMessage, Message

MIB = 1 << 20
CLIENTS_MAY_GROW = 8.0
"""MiB that the users' process may take more at the end than after the first third."""
SERVER_MAY_GROW = 72.0
"""MiB of the server's, 64 of which are SQLite's cache, which fills with the database;"""
REPEAT = 0.2 / 1024
"""and for each message, whose digest is known for a day (`mimc_server.store.sqlite.repeats`)."""
DESCRIPTORS_MAY_GROW = 8
GROUP = 10
"""Users of the group."""
RESTART_EVERY = 20.0
"""Seconds online, on average, before a user logs out and in again."""
START_TIMEOUT = 30.0


class Server:
    """`mimc serve --dev` on free ports; ``folder`` keeps its database."""

    def __init__(self, folder: str) -> None:
        command = [sys.executable, "-m", "mimc_cli.main", "serve", "--dev", "--data", folder, "--log-level", "error"]
        command += ["--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--websocket", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        lines: list[str] = []
        while not any(line.strip().startswith("app secret") for line in lines) or "http://" not in "".join(lines):
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"the server ended with {self.process.wait()}")
            lines.append(line)
        text = "".join(lines)
        threading.Thread(target=self.process.stdout.read, daemon=True).start()  # whatever else it says
        self.frontend = ("127.0.0.1", int(_found(r"tcp +\S*?:(\d+)", text)))
        self.url = _found(r"(http://\S+?)/?\s", text)
        self.app_id = int(_found(r"app id +(\d+)", text))
        self._keys = {"appKey": _found(r"app key +(\S+)", text), "appSecret": _found(r"app secret +(\S+)", text)}

    def ask(self, path: str, body: dict[str, Any], **headers: str) -> Any:
        """The answer of an HTTP endpoint."""
        given = {"content-type": "application/json", **headers}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), given)
        with urllib.request.urlopen(request, timeout=START_TIMEOUT) as answer:
            return json.load(answer)

    def token(self, account: str) -> Callable[[], Any]:
        """Where a user's tokens come from."""
        return lambda: self.ask("/api/account/token", {"appId": self.app_id, **self._keys, "appAccount": account})

    def group(self, owner: str, members: list[str]) -> int:
        """The id of a new group."""
        path = f"/api/topic/{self.app_id}"
        made = self.ask(path, {"topicName": "soak", "accounts": ",".join(members)}, appAccount=owner, **self._keys)
        return int(made["data"]["topicInfo"]["topicId"])

    def end(self) -> int:
        """Stop it; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_TIMEOUT)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"expected {pattern!r} in what the server printed, got:\n{text}")
    return found[1]


class Ledger:
    """What everybody sent and got, for all threads; memory for each pair, not for each message."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent = self.received = self.again = self.failed = 0
        self.problems: list[str] = []
        self.latencies: list[float] = []
        self._last: dict[tuple[str, str, str], int] = {}
        self._floor: dict[tuple[str, str, str], int] = {}

    def acknowledged(self, seconds: float) -> None:
        with self._lock:
            self.sent += 1
            self.latencies.append(seconds)

    def restarted(self, receiver: str) -> None:
        """What this user had in hand may come again: at least once across restarts."""
        with self._lock:
            self._floor.update({pair: last for pair, last in self._last.items() if pair[0] == receiver})

    def got(self, receiver: str, message: Message | GroupMessage) -> None:
        to_group = isinstance(message, GroupMessage)
        pair = (receiver, message.from_account, "group" if to_group else "")
        number = int(message.payload)
        with self._lock:
            self.received += 1
            last = self._last.get(pair, 0)
            if number == last + 1:
                self._last[pair] = number
            elif number <= self._floor.get(pair, 0):
                self.again += 1
            else:
                self.problems.append(f"{pair}: expected {last + 1}, got {number}")

    def missing(self, sent: dict[tuple[str, str, str], int]) -> list[str]:
        """Of all that was acknowledged, by (receiver, sender, kind)."""
        return [
            f"{pair}: {count} were acknowledged, {self._last.get(pair, 0)} arrived"
            for pair, count in sent.items()
            if self._last.get(pair, 0) != count
        ]


class Talk:
    """Whom a user writes to next, and with which number."""

    def __init__(self, soak: Soak, account: str, seed: int) -> None:
        self.soak, self.account, self.rng = soak, account, random.Random(f"{soak.seed} {account} {seed}")
        self._numbers: dict[str, int] = {}

    def pause(self) -> float:
        """Seconds until the next message."""
        return self.rng.expovariate(self.soak.rate / len(self.soak.accounts))

    def life(self) -> float:
        """Seconds until the user logs out and in again."""
        return self.rng.expovariate(1 / RESTART_EVERY)

    def next(self) -> tuple[str, bytes, str]:
        """Receiver ("" for the group), payload, packet id."""
        group = self.account in self.soak.members and self.rng.random() < 0.1
        to = "" if group else self.rng.choice([other for other in self.soak.accounts if other != self.account])
        number = self._numbers.get(to, 0) + 1
        return to, b"%d" % number, f"{self.account}>{to}#{number}"

    def done(self, to: str, payload: bytes) -> None:
        """It was acknowledged."""
        self._numbers[to] = int(payload)

    def acknowledged(self) -> dict[tuple[str, str, str], int]:
        """By (receiver, sender, kind)."""
        found = {}
        for to, number in self._numbers.items():
            if to:
                found[to, self.account, ""] = number
            else:
                found |= {
                    (other, self.account, "group"): number for other in self.soak.members if other != self.account
                }
        return found


class Soak:
    """All users and the server."""

    def __init__(self, server: Server, options: argparse.Namespace) -> None:
        self.server, self.seed, self.rate = server, options.seed, options.rate
        self.ends_at: float = time.monotonic() + options.seconds
        self.accounts = [f"user{number}" for number in range(options.users)]
        self.members = self.accounts[:GROUP]
        self.group = server.group(self.members[0], self.members)
        self.ledger = Ledger()
        self.talks = [Talk(self, account, 0) for account in self.accounts]
        self.drain_until = self.ends_at + 30.0

    def options(self, account: str) -> dict[str, Any]:
        return {"resource": "soak", "addresses": [self.server.frontend], "close_timeout": 5.0, "login_timeout": 60.0}

    @property
    def talking(self) -> bool:
        return time.monotonic() < self.ends_at

    # ------------------------------------------------------------------------------------ asyncio and trio

    async def live(self, connect: Any, talk: Talk) -> None:
        """One user: online, offline, online, until the end; then it listens until nothing is missing."""
        while self.talking:
            await self._session(connect, talk, min(time.monotonic() + talk.life(), self.ends_at))
            self.ledger.restarted(talk.account)
        await self._session(connect, talk, self.drain_until)

    async def _session(self, connect: Any, talk: Talk, until: float) -> None:
        token = self.server.token(talk.account)
        user = connect(self.server.app_id, talk.account, token, **self.options(talk.account))
        async with user, anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, user, talk)
            while (now := time.monotonic()) < until and not self._all_there(now):
                await anyio.sleep(min(talk.pause(), until - now))
                if self.talking:
                    await self._say(user, talk)
            tasks.cancel_scope.cancel()

    async def _listen(self, user: Any, talk: Talk) -> None:
        async for message in user:
            self.ledger.got(talk.account, message)

    async def _say(self, user: Any, talk: Talk) -> None:
        to, payload, packet_id = talk.next()
        while True:
            start = time.perf_counter()
            try:
                if to:
                    await user.send(to, payload, packet_id=packet_id)
                else:
                    await user.send_group(self.group, payload, packet_id=packet_id)
            except SendFailed:
                self.ledger.failed += 1
                await user.wait_online()
                continue
            self.ledger.acknowledged(time.perf_counter() - start)
            return talk.done(to, payload)

    # ---------------------------------------------------------------------------------------------- threads

    def live_in_thread(self, talk: Talk) -> None:
        """The same on the blocking adapter."""
        while self.talking or not self._all_there(time.monotonic()):
            until = min(time.monotonic() + talk.life(), self.drain_until)
            with blocking.connect(
                self.server.app_id, talk.account, self.server.token(talk.account), **self.options(talk.account)
            ) as user:
                listening = threading.Thread(target=self._listen_in_thread, args=(user, talk))
                listening.start()
                while (now := time.monotonic()) < until and not self._all_there(now):
                    time.sleep(max(0.0, min(talk.pause(), until - now)))
                    if self.talking:
                        self._say_in_thread(user, talk)
            listening.join()
            self.ledger.restarted(talk.account)
            if time.monotonic() >= self.drain_until:
                return

    def _listen_in_thread(self, user: Any, talk: Talk) -> None:
        for message in user:
            self.ledger.got(talk.account, message)

    def _say_in_thread(self, user: Any, talk: Talk) -> None:
        to, payload, packet_id = talk.next()
        while True:
            start = time.perf_counter()
            try:
                if to:
                    user.send(to, payload, packet_id=packet_id)
                else:
                    user.send_group(self.group, payload, packet_id=packet_id)
            except SendFailed:
                self.ledger.failed += 1
                user.wait_online()
                continue
            self.ledger.acknowledged(time.perf_counter() - start)
            return talk.done(to, payload)

    # ------------------------------------------------------------------------------------------------ the end

    def missing(self) -> list[str]:
        """What was acknowledged and has not arrived."""
        acknowledged: dict[tuple[str, str, str], int] = {}
        for talk in self.talks:
            acknowledged |= talk.acknowledged()
        return self.ledger.missing(acknowledged)

    def _all_there(self, now: float) -> bool:
        return now >= self.ends_at and not self.missing()


def usage(pid: int) -> dict[str, float]:
    """MiB of memory, descriptors and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = int(_found(r"VmRSS:\s+(\d+)", status))
    return {
        "mib": kib / 1024,
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(_found(r"Threads:\s+(\d+)", status)),
    }


async def run(soak: Soak, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Everybody at once; what was seen in the meantime."""
    in_threads, on_trio_loop = options.users // 8, options.users // 8
    threads = [threading.Thread(target=soak.live_in_thread, args=(talk,)) for talk in soak.talks[:in_threads]]
    trio_talks = soak.talks[in_threads : in_threads + on_trio_loop]

    async def all_on_trio() -> None:
        async with trio.open_nursery() as nursery:
            for talk in trio_talks:
                nursery.start_soon(soak.live, on_trio.connect, talk)

    threads.append(threading.Thread(target=trio.run, args=(all_on_trio,)))
    for thread in threads:
        thread.start()
    samples: list[dict[str, Any]] = []
    looking = asyncio.create_task(look(soak, options, samples))
    async with anyio.create_task_group() as tasks:
        for talk in soak.talks[in_threads + on_trio_loop :]:
            tasks.start_soon(soak.live, on_asyncio.connect, talk)
    for thread in threads:
        await asyncio.to_thread(thread.join)
    looking.cancel()
    return samples


async def look(soak: Soak, options: argparse.Namespace, samples: list[dict[str, Any]]) -> None:
    """A sample every few seconds, a line about every tenth."""
    started, ledger = time.monotonic(), soak.ledger
    with open(options.samples, "w") as file:
        while True:
            await asyncio.sleep(options.every)
            latencies, ledger.latencies = ledger.latencies, []
            sample = {
                "seconds": round(time.monotonic() - started, 1),
                "clients": usage(os.getpid()),
                "server": usage(soak.server.process.pid),
                "sent": ledger.sent,
                "received": ledger.received,
                "again": ledger.again,
                "failed": ledger.failed,
                "problems": len(ledger.problems),
                "ack_ms": round(median(latencies) * 1e3, 2) if latencies else None,
            }
            samples.append(sample)
            file.write(json.dumps(sample) + "\n")
            file.flush()
            if len(samples) % 10 == 1:
                print(_line(sample), flush=True)


def _line(sample: dict[str, Any]) -> str:
    clients, server = sample["clients"], sample["server"]
    return (
        f"{sample['seconds']:7.0f} s  sent {sample['sent']:8}  received {sample['received']:8}  "
        f"clients {clients['mib']:6.1f} MiB {clients['descriptors']:4.0f} fd  "
        f"server {server['mib']:6.1f} MiB {server['descriptors']:4.0f} fd  ack {sample['ack_ms']} ms"
    )


def verdict(samples: list[dict[str, Any]]) -> list[str]:
    """What goes on growing after the first third: medians of the looks before and at the end are compared."""
    third = len(samples) // 3
    found = []
    few = max(1, third // 2)
    server_mib = SERVER_MAY_GROW + REPEAT * (samples[-1]["sent"] - samples[third]["sent"])
    for who, mib in (("clients", CLIENTS_MAY_GROW), ("server", server_mib)):
        for what, most in (("mib", mib), ("descriptors", DESCRIPTORS_MAY_GROW)):
            before = median(sample[who][what] for sample in samples[third : third + few])
            after = median(sample[who][what] for sample in samples[-few:])
            print(f"{who}, {what}: {before:.1f} after the first third, {after:.1f} at the end")
            if after - before > most:
                found.append(f"{who}: {what} grew by {after - before:.1f}, at most {most:g} expected")
    return found


def main() -> int:
    """1 if anything was lost, repeated, or grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600.0, help="default: %(default)s")
    parser.add_argument("--users", type=int, default=64, help="an eighth each on trio and in threads; default: 64")
    parser.add_argument("--rate", type=float, default=50.0, help="messages a second of all; default: %(default)s")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks; default: %(default)s")
    parser.add_argument("--samples", default=".prove/soak.jsonl", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=None, help="default: another one every time")
    options = parser.parse_args()
    options.seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    Path(options.samples).parent.mkdir(parents=True, exist_ok=True)
    print(f"seed {options.seed}, {options.users} users, {options.seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        try:
            soak = Soak(server, options)
            samples = asyncio.run(run(soak, options))
        finally:
            status = server.end()
    problems = [*soak.ledger.problems, *soak.missing(), *verdict(samples)]
    problems += [f"the server ended with {status}"] if status else []
    ledger = soak.ledger
    print(f"{ledger.sent} acknowledged, {ledger.received} received, {ledger.again} of them again after a restart,")
    print(f"{ledger.failed} sends said again, {len(problems)} problems")
    print(*problems[:20], sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
