"""A server process that is killed under load, users of it who outlive that, and what must be true of its database."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import random
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from mimc_server.applications import Application
from mimc_server.frontend import unix_ms
from mimc_server.server import TOKEN_SECRET
from mimc_server.store import Conversation, Group, Kind, SqliteStore
from mimc_server.tokens import TokenIssuer, token_answer
from mimc_transports._async_user import AsyncUser
from mimc_transports.asyncio import connect

from mimc_proto import Delivery, SessionConfig
from mimc_proto.session import GroupMessage, Message

__all__ = ["Load", "Premises", "Servers"]

APP = Application.of(app_id=2882303761500000001, app_key="a key", app_secret="a secret", package="com.example.mimc")
SECRET = b"the secret of the tokens of this database"
WRITERS = ("alice", "carol")
BOB, TEAM = "bob", "the team"
USERS = (*WRITERS, BOB, "dave")
"""All of them are the team."""

Said = tuple[str, str, int]
"""Who said something, to whom, and which of what he said to him it is."""

AT_A_TIME = 16
"""Messages of each writer on their way."""

PATIENCE = 60.0
"""Seconds after which something has gone wrong; usually nothing takes more than one."""

BREEDER = """
import json
import os
import sys
import mimc_cli.serving.running, mimc_server.server, uvicorn
from mimc_cli.main import main
for line in sys.stdin:
    server = os.fork()
    if not server:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        sys.argv[1:] = json.loads(line)
        main()
    print(server, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(server, 0)[1]), flush=True)
"""
"""Runs `mimc` with the arguments of each line that it is given, one after the other: nearly all of the time that a
server takes to start is for imports, which are done once here."""

CONFIG = SessionConfig(
    delivery=Delivery.AT_LEAST_ONCE,
    send_timeout=PATIENCE,
    connect_backoff=0.01,
    longest_connect_backoff=0.05,
    login_gap=0.01,
    longest_login_gap=0.05,
)


class Premises:
    """The folder of a server: its application, users, and a group of all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._tokens = TokenIssuer(SECRET, 86_400.0, random.Random(1))
        store = self.open()
        store.put_application(APP)
        store.put_setting(TOKEN_SECRET, SECRET)
        self.uuids = {name: store.user(APP.app_id, name, unix_ms()).uuid for name in USERS}
        [owner, *others] = self.uuids.values()
        group = store.create_group(APP.app_id, owner, "all", others, unix_ms(), unlimited=False)
        assert isinstance(group, Group)
        self.topic = group.topic_id
        store.close()

    def open(self) -> SqliteStore:
        """The database, while no server uses it."""
        return SqliteStore(self.folder / "mimc.db")

    def token(self, account: str) -> str:
        """A new token answer."""
        issued = self._tokens.issue(APP.app_id, account, self.uuids[account], unix_ms())
        return json.dumps(token_answer(APP, account, self.uuids[account], issued))

    def copied(self, place: Path) -> SqliteStore:
        """The database as a kill has left it; the next server finds it so, too."""
        shutil.copytree(self.folder, place)
        return SqliteStore(place / "mimc.db")


class Servers:
    """`mimc serve` on one folder, in one process after the other."""

    def __init__(self, premises: Premises, breeder: asyncio.subprocess.Process) -> None:
        assert breeder.stdin is not None
        assert breeder.stdout is not None
        assert breeder.stderr is not None
        self._premises = premises
        self.complaints: list[str] = []
        """What they wrote but for infos."""
        self._orders, self._answers, self._log = breeder.stdin, breeder.stdout, breeder.stderr
        self._pid = 0
        self._serving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, premises: Premises) -> AsyncIterator[Servers]:
        """None runs yet; at the end none does."""
        pipe = asyncio.subprocess.PIPE
        breeder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BREEDER, stdin=pipe, stdout=pipe, stderr=pipe
        )
        servers = cls(premises, breeder)
        try:
            yield servers
        finally:
            if servers._pid:
                await servers.end(signal.SIGKILL)
            servers._orders.close()
            await breeder.wait()
            await servers._reading

    async def begin(self) -> None:
        """Start one."""
        self._serving = asyncio.get_running_loop().create_future()
        where = ["--data", str(self._premises.folder), "--tcp", f"127.0.0.1:{self._premises.port}"]
        settings = ["--http=", "--websocket=", "--set=admin.socket=", "--set=service.account_rate=0"]
        self._orders.write(json.dumps(["serve", "--log-format=json", *where, *settings]).encode() + b"\n")
        self._pid = int(await self._answer())

    async def serving(self) -> None:
        """Wait until it listens."""
        async with asyncio.timeout(PATIENCE):
            await self._serving

    async def end(self, by: signal.Signals) -> int:
        """Send a signal that ends it; its exit status."""
        pid, self._pid = self._pid, 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, by)
        status = int(await self._answer())
        assert status in (0, -by), f"it had ended by itself, with {status}: {self.complaints}"
        return status

    async def _answer(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self._answers.readline()

    async def _read(self) -> None:
        async for line in self._log:
            said = json.loads(line) if line.startswith(b"{") else {"level": "broken"}
            if said["level"] != "info":
                self.complaints.append(line.decode())
            elif said["event"] == "serving":
                self._serving.set_result(None)


class Load:
    """Users who send without end and read; their sessions outlive every link.

    Each writer numbers what he says to each receiver, and says it in that order. ``stored`` has the sequences of those
    that were acknowledged, ``read`` what each user got.
    """

    def __init__(self, premises: Premises) -> None:
        self.premises = premises
        self.stored: dict[Said, int] = {}
        self.read: dict[str, list[tuple[Said, int]]] = {name: [] for name in USERS}
        self.happened = 0
        """Acknowledgements and deliveries, as they came."""
        self._next: Counter[tuple[str, str]] = Counter()
        self._changed = asyncio.Event()
        self._over = False
        self._writing: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Users are online, and send until `drain`. The server has to be there."""
        addresses = [("127.0.0.1", self.premises.port)]
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            users = {}
            for name in USERS:
                token = functools.partial(self.premises.token, name)
                user = connect(APP.app_id, name, token, addresses=addresses, resource="pc", config=CONFIG)
                users[name] = await stack.enter_async_context(user)
            reading = [group.create_task(self._read(name, user)) for name, user in users.items()]
            self._writing = [group.create_task(self._write(name, users[name])) for name in WRITERS * AT_A_TIME]
            yield
            for task in reading:
                task.cancel()

    async def until(self, happened: int) -> None:
        """Wait for so many acknowledgements and deliveries in all."""
        await self._wait(lambda: self.happened >= happened)

    async def drain(self) -> None:
        """Send nothing new, and wait until all is acknowledged and read."""
        self._over = True
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait(self._writing)
        await self._wait(lambda: sum(map(len, self.read.values())) == sum(len(self._wanted(name)) for name in USERS))

    async def _wait(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not done():
                self._changed.clear()
                await self._changed.wait()

    async def _write(self, name: str, user: AsyncUser) -> None:
        while not self._over:
            target = TEAM if self._next.total() % 3 == 0 else BOB
            said = name, target, self._next[name, target]
            self._next[name, target] += 1
            if target == BOB:
                send = user.send(BOB, _payload(said))
            else:
                send = user.send_group(self.premises.topic, _payload(said))
            self.stored[said] = (await send).sequence or 0
            self._happen()

    async def _read(self, name: str, user: AsyncUser) -> None:
        async for message in user:
            assert isinstance(message, (Message, GroupMessage))
            said = _said(message.payload)
            assert (message.from_account, isinstance(message, GroupMessage)) == (said[0], said[1] == TEAM)
            self.read[name].append((said, message.sequence))
            self._happen()

    def _happen(self) -> None:
        self.happened += 1
        self._changed.set()

    # ------------------------------------------------------------------------------------------------------ what holds

    def check_stored(self, store: SqliteStore) -> None:
        """The database is whole, and has each acknowledged message once, with its sequence, in its writer's order."""
        assert store.check() == []
        bob = self.premises.uuids[BOB]
        conversations = [(Kind.P2P, self.premises.uuids[name], bob) for name in WRITERS]
        found: dict[Said, int] = {}
        following: Counter[tuple[str, str]] = Counter()
        for kind, one, other in [(Kind.P2T, self.premises.topic, 0), *conversations]:
            conversation = Conversation(app_id=APP.app_id, kind=kind, one=one, other=other)
            for message in store.history(conversation, 0, 1 << 62, 1 << 30):
                said = sender, target, number = _said(message.payload)
                assert number == following[sender, target], f"stored twice, or out of order: {said}"
                following[sender, target] += 1
                found[said] = message.sequence
        lost = [said for said, sequence in self.stored.items() if found.get(said) != sequence]
        assert not lost, f"acknowledged and not stored: {lost[:5]} and {len(lost)} in all"

    def check_read(self) -> None:
        """Each user got each message to him once, in the order of the store, which is each writer's."""
        for name, got in self.read.items():
            assert got == sorted(self._wanted(name), key=lambda item: item[1])

    def _wanted(self, name: str) -> list[tuple[Said, int]]:
        return [
            (said, sequence)
            for said, sequence in self.stored.items()
            if said[1] == name or (said[1] == TEAM and said[0] != name)
        ]


def _free_port() -> int:
    """Not one of those that the system gives to who connects: while no server listens, a client could get it, and be
    connected with himself."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("none of a hundred ports is free")


def _payload(said: Said) -> bytes:
    return json.dumps(said).encode()


def _said(payload: bytes) -> Said:
    sender, target, number = json.loads(payload)
    return sender, target, number
