"""The service in a process of its own, on one core: what ``benchmarks/server.py`` puts its load on.

Listens on a free port and prints it; then each line of standard input is a question, a JSON object with ``ask``, and
each line of standard output the answer. It ends with its standard input.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mimc_server.frontend import FrontendConfig, ServiceRunner, unix_ms
from mimc_server.service import Append, Service, ServiceConfig, StoreRequest
from mimc_server.store import Group, Kind, MemoryStore, NewMessage, Store
from mimc_server.tokens import TokenIssuer

APP_ID = 2882303761500000001
PACKAGE = "com.example.mimc"
STORES = ("memory", "sqlite")
LOOPS = ("asyncio", "uvloop")


class Answers:
    """What the benchmark asks of the process beside its load."""

    def __init__(self, store: Store, tokens: TokenIssuer) -> None:
        self.runner: ServiceRunner
        self.store = store
        self.tokens = tokens
        self.commits = self.committed = 0
        self.commit_seconds = 0.0

    def on_commit(self, requests: list[StoreRequest], seconds: float) -> None:
        """Count."""
        messages = sum(len(request.batch) for request in requests if isinstance(request, Append))
        if messages:
            self.commits += 1
            self.committed += messages
            self.commit_seconds += seconds

    async def perform(self, work: Callable[[], Any]) -> Any:
        """Use the store as the service's own requests do."""
        return await self.runner.perform(work)

    async def usage(self) -> dict[str, float]:
        """Seconds of CPU so far, KiB of memory now; commits so far, their messages and their seconds."""
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[1])
        return {
            "cpu": time.process_time(),
            "kib": pages * resource.getpagesize() / 1024,
            "commits": self.commits,
            "committed": self.committed,
            "commit_seconds": self.commit_seconds,
        }

    async def collect(self) -> dict[str, float]:
        """The same, without garbage."""
        gc.collect()
        return await self.usage()

    async def users(self, prefix: str, first: int, count: int) -> list[dict[str, Any]]:
        """Credentials of users who are made now."""

        def make() -> list[dict[str, Any]]:
            with self.store.transaction():
                members = [
                    self.store.user(APP_ID, f"{prefix}{number}", unix_ms()) for number in range(first, first + count)
                ]
            found = []
            for member in members:
                issued = self.tokens.issue(APP_ID, member.account, member.uuid, unix_ms())
                found.append(
                    {
                        "account": member.account,
                        "uuid": member.uuid,
                        "token": issued.token,
                        "security_key": issued.security_key,
                    }
                )
            return found

        users: list[dict[str, Any]] = await self.perform(make)
        return users

    async def accounts(self, prefix: str, first: int, count: int) -> None:
        """Have so many users who never log in."""

        def make() -> None:
            with self.store.transaction():
                for number in range(first, first + count):
                    self.store.user(APP_ID, f"{prefix}{number}", unix_ms())

        await self.perform(make)

    async def group(self, owner: int, members: list[int]) -> int:
        """The id of a new normal group."""
        made = await self.perform(
            lambda: self.store.create_group(APP_ID, owner, "a group", members, unix_ms(), unlimited=False)
        )
        assert isinstance(made, Group), made
        return made.topic_id

    async def fill(self, sender: str, receivers: list[str], count: int, payload: int) -> int:
        """So many messages more in the store, which wait for their receivers."""
        body = os.urandom(payload)

        def append(first: int, size: int) -> None:
            member = self.store.user(APP_ID, sender, unix_ms())
            batch = [
                NewMessage(
                    app_id=APP_ID,
                    sender=member,
                    resource="",
                    epoch=0,
                    packet_id=f"fill_{os.getpid()}_{number}",
                    kind=Kind.P2P,
                    target=receivers[number % len(receivers)],
                    payload=body,
                    biz_type="TEXT",
                    is_store=True,
                )
                for number in range(first, first + size)
            ]
            self.store.append(batch, unix_ms())

        start = (await self.perform(self.store.statistics)).messages
        for first in range(0, count, 500):
            size = min(500, count - first)
            await self.perform(lambda first=first, size=size: append(start + first, size))  # type: ignore[misc]  # no types for defaults
        messages: int = (await self.perform(self.store.statistics)).messages
        return messages


async def answer_questions(answers: Answers) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        question = json.loads(line)
        found = await getattr(answers, question.pop("ask"))(**question)
        print(json.dumps(found), flush=True)


async def serve(options: argparse.Namespace) -> None:
    rng = random.SystemRandom()
    store: Store
    if options.store == "sqlite":
        from mimc_server.store import SqliteStore

        store = SqliteStore(Path(options.data, "mimc.db"))
    else:
        store = MemoryStore()
    tokens = TokenIssuer(b"the secret of a benchmark", 86_400.0, rng)
    config = ServiceConfig(account_rate=None)  # a hundred accounts make the load of ten thousand
    service = Service(
        node="bench",
        tokens=tokens,
        package_of=lambda app_id: PACKAGE if app_id == APP_ID else None,
        rng=rng,
        config=config,
    )
    limits = FrontendConfig(max_of_address=service.config.max_links)  # the load comes from one address
    answers = Answers(store, tokens)
    answers.runner = ServiceRunner(
        service,
        store,
        threaded=options.store == "sqlite",
        config=limits,
        on_commit=answers.on_commit,
    )
    _, port = await answers.runner.listen("0.0.0.0", 0)
    print(json.dumps(port), flush=True)
    await answer_questions(answers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", choices=STORES, default="memory")
    parser.add_argument("--data", help="the folder of the SQLite store")
    parser.add_argument("--loop", choices=LOOPS, default="asyncio")
    parser.add_argument("--core", type=int, help="the core to run on")
    parser.add_argument("--profile", help="a file for what cProfile finds")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.ExitStack() as stack:
        if options.profile:
            import cProfile

            profile = stack.enter_context(cProfile.Profile())
            stack.callback(lambda: profile.dump_stats(options.profile))
        if options.loop == "uvloop":
            import uvloop

            uvloop.run(serve(options))
        else:
            asyncio.run(serve(options))


if __name__ == "__main__":
    main()
