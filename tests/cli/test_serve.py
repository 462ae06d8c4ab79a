"""`mimc serve`: real processes on loopback, that clients log in to by what is printed; and what is said of mistakes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import tomllib
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mimc_cli.main import mimc
from mimc_cli.serving import pasting, running
from mimc_cli.serving.developing import development_application
from mimc_server.administration import ApplicationKeys
from mimc_server.server import Server
from mimc_server.settings import Address, Admin, Listen, Settings, Tls
from mimc_transports.asyncio import connect

from mimc_proto.session import Message

PEM = Path(__file__).parents[1] / "transports" / "loopback.pem"
TRUST = ssl.create_default_context(cafile=str(PEM))
OTHER = PEM.with_name("other.pem")
ANY = "127.0.0.1:0"
PLAIN = ("--tcp", ANY, "--websocket", "", "--http", ANY)
TIMEOUT = 30


class Listed:
    """What a server printed at its start."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def address(self, name: str, scheme: str = "") -> tuple[str, int]:
        """The one that was printed with this name."""
        line = next(line for line in self.lines if line.startswith(f"  {name:<11} {scheme}"))
        host, _, port = line.rpartition(" ")[2].removeprefix(scheme).rpartition(":")
        return host, int(port)

    def value(self, name: str) -> str:
        """What was printed with this name."""
        return next(line for line in self.lines if line.startswith(f"  {name} ")).split()[-1]

    @property
    def app_id(self) -> int:
        return int(self.value("app id"))

    def token(self, account: str) -> str:
        """A token answer, as curl would get it."""
        ids = {"appId": self.app_id, "appKey": self.value("app key"), "appSecret": self.value("app secret")}
        body = json.dumps({**ids, "appAccount": account}).encode()
        host, port = self.address("http", "http://")
        url = f"http://{host}:{port}/api/account/token"
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text: str = answer.read().decode()
            return text


class Served(Listed):
    """A server in another process."""

    def __init__(self, process: subprocess.Popen[str], lines: list[str]) -> None:
        super().__init__(lines)
        self.process = process

    def end(self) -> tuple[int, str]:
        """Its exit status, and its log."""
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, log


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Served]:
    """``mimc serve --dev``, once it has printed everything."""
    command = [sys.executable, "-W", "error", "-m", "mimc_cli.main", "serve", "--dev", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not (lines and lines[-1].startswith("and at ports")):
                line = process.stdout.readline()
                assert line, (lines, process.stderr and process.stderr.read())
                lines.append(line.rstrip("\n"))
            yield Served(process, lines)
        finally:
            process.kill()


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(mimc, ["serve", *arguments], env=env)


def refused(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit status, and the one line that is said."""
    result = run(*arguments, env=env)
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("mimc serve: ")
    return result.exit_code, line.removeprefix("mimc serve: ")


# ------------------------------------------------------------------------------------------------------ one that serves


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served") / "data"


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """One for all tests that change nothing of it."""
    kinds = [option for kind in ("tcp", "tls", "websocket", "websocket-tls", "http") for option in (f"--{kind}", ANY)]
    with serving("--data", str(folder), "--certificate", str(PEM), *kinds) as server:
        yield server
        code, log = server.end()
    assert code == 0
    assert " INFO    login " in log
    assert "not for the log" not in log
    assert server.value("app secret") not in log


@pytest.mark.parametrize(
    ("name", "scheme", "options"),
    [
        ("tcp", "", {}),
        ("tls", "", {"ssl": TRUST}),
        ("websocket", "ws://", {"websocket": True}),
        ("websocket", "wss://", {"websocket": True, "ssl": TRUST}),
    ],
)
def test_clients_log_in_by_what_is_printed(served: Served, name: str, scheme: str, options: dict[str, Any]) -> None:
    account = f"{name}{len(scheme)}"

    async def work() -> bytes:
        where = [served.address(name, scheme)]
        async with connect(served.app_id, account, served.token(account), addresses=where, **options) as user:
            await user.send(account, b"not for the log")
            return await payload(user)

    assert asyncio.run(work()) == b"not for the log"


def test_the_python_lines_work_as_they_are_printed(served: Served) -> None:
    first, last = served.lines.index("Python:") + 1, served.lines.index("Official clients, as they are:")
    program = textwrap.dedent("\n".join(served.lines[first:last]))
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Acknowledged(")


def test_a_second_process_on_the_same_data_is_refused(served: Served, folder: Path) -> None:
    assert served.process.poll() is None
    said = f"another process uses {folder / 'mimc.db'}: stop it, or name another file"
    assert refused("--data", str(folder), *PLAIN) == (1, said)


def test_each_kind_of_client_has_its_lines(served: Served) -> None:
    text = "\n".join(served.lines)
    for kind in ("curl", "Python:", "  Go ", "  Java ", "  C++ ", "  C# ", "  WebJS "):
        assert kind in text
    assert "127.0.0.1 resolver.msg.xiaomi.net app.chat.xiaomi.net mimc.chat.xiaomi.net" in text


# ------------------------------------------------------------------------------------------------------ in this process


class _Waiting(logging.Handler):
    """Notes what is logged, and that something was."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.changed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.changed.set()

    async def until(self, event: str) -> logging.LogRecord:
        """Wait for a line about this event."""
        while True:
            for record in self.records:
                if record.getMessage() == event:
                    return record
            self.changed.clear()
            await self.changed.wait()


def serving_while(
    wanted: Settings, work: Callable[[Listed, _Waiting], Awaitable[None]], *, development: bool = True
) -> list[str]:
    """Do something with a server, which is to end then; what it printed."""
    lines: list[str] = []

    async def run_both() -> None:
        log, ready = _Waiting(), asyncio.Event()

        def say(line: str) -> None:
            lines.append(line)
            if line.startswith("and at ports"):
                ready.set()

        async with asyncio.timeout(TIMEOUT):
            logger = logging.getLogger("mimc.server")
            logger.addHandler(log)
            try:
                server = asyncio.create_task(running.serve(wanted, say, development=development))
                await (ready.wait() if development else log.until("serving"))
                await work(Listed(lines), log)
                await server
            finally:
                logger.removeHandler(log)

    asyncio.run(run_both())
    return lines


def signalled(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


async def payload(user: connect) -> bytes:
    """Of the next message."""
    message = await anext(aiter(user))
    assert isinstance(message, Message)
    return message.payload


def settings(folder: Path | None) -> Settings:
    any_port = Address("127.0.0.1", 0)
    listen = Listen(tcp=(any_port,), websocket=(), http=(any_port,))
    return Settings(data=folder, memory=folder is None, listen=listen)


def test_a_restart_finds_accounts_messages_tokens_and_keys_again(tmp_path: Path) -> None:
    answers: list[str] = []

    async def send(served: Listed, _: _Waiting) -> None:
        answers.append(await asyncio.to_thread(served.token, "alice"))
        bob = await asyncio.to_thread(served.token, "bob")
        async with connect(served.app_id, "bob", bob, addresses=[served.address("tcp")]) as user:
            await user.send("alice", b"kept")
        signalled(signal.SIGINT)

    async def receive(served: Listed, _: _Waiting) -> None:
        answers.append(await asyncio.to_thread(served.token, "alice"))
        async with connect(served.app_id, "alice", answers[0], addresses=[served.address("tcp")]) as alice:
            assert await payload(alice) == b"kept"
        signalled()

    first = Listed(serving_while(settings(tmp_path), send))
    second = Listed(serving_while(settings(tmp_path), receive))
    assert f"its data is in {tmp_path}" in first.lines[0]
    for name in ("app id", "app key", "app secret"):
        assert second.value(name) == first.value(name)
    old, new = (json.loads(answer)["data"]["miUserId"] for answer in answers)
    assert old == new


def test_in_memory_every_start_is_the_first() -> None:
    async def end(_: Listed, __: _Waiting) -> None:
        signalled()

    first, second = (Listed(serving_while(settings(None), end)) for _ in range(2))
    assert "it is in memory and forgets everything" in first.lines[0]
    assert first.value("app secret") != second.value("app secret")


def test_an_application_that_was_removed_meanwhile_is_there_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with Server(settings(tmp_path)) as server:
            keys = await development_application(server)
            await server.remove_application(keys.app_id)
            assert await development_application(server) == keys
            assert server.applications.with_secret(keys.app_id, keys.app_key, keys.app_secret) is not None

    asyncio.run(work())


def test_without_dev_it_serves_what_there_is_and_says_how_to_make_an_application(tmp_path: Path) -> None:
    async def work(_: Listed, log: _Waiting) -> None:
        assert (await log.until("serving")).__dict__["fields"]["database"] == tmp_path / "mimc.db"
        hint = await log.until("no-application")
        assert f"mimc admin --data {tmp_path} applications add" in str(hint.__dict__)
        signalled()
        await log.until("stopping")

    assert serving_while(settings(tmp_path), work, development=False) == []

    async def make() -> None:
        async with Server(settings(tmp_path)) as server:
            await server.add_application("com.example")

    asyncio.run(make())

    async def end(_: Listed, log: _Waiting) -> None:
        signalled()
        await log.until("stopping")
        assert not any(record.getMessage() == "no-application" for record in log.records)

    serving_while(settings(tmp_path), end, development=False)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Settings(data=Path("/a folder")), "make one: mimc admin --data '/a folder' applications add PACKAGE"),
        (
            Settings(data=Path("/data"), admin=Admin(socket=Path("/run/mimc/admin.sock"))),
            "make one: mimc admin --socket /run/mimc/admin.sock applications add PACKAGE",
        ),
        (Settings(memory=True), "mimc serve --dev makes one, and mimc admin does where there is an admin socket"),
    ],
)
def test_how_to_make_an_application_is_said_in_a_form_to_paste(wanted: Settings, said: str) -> None:
    assert running.how_to_add(wanted).startswith(said)


def test_the_second_signal_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    hurried = asyncio.Event()
    stop = Server.stop

    async def never_at_its_end(self: Server) -> None:
        if not hurried.is_set():
            signalled(signal.SIGINT)
        await hurried.wait()
        await stop(self)

    monkeypatch.setattr(Server, "stop", never_at_its_end)
    monkeypatch.setattr(Server, "hurry", lambda _: hurried.set())

    async def end(_: Listed, __: _Waiting) -> None:
        signalled()

    serving_while(settings(None), end)
    assert hurried.is_set()


# ------------------------------------------------------------------------------------------------------- configuration


def test_the_example_can_be_read(tmp_path: Path) -> None:
    example = run("--print-config")
    assert example.exit_code == 0
    assert '# tcp = ["127.0.0.1:5222"]' in example.stdout
    (tmp_path / "mimc.toml").write_text(example.stdout)
    again = run("--config", str(tmp_path / "mimc.toml"), "--print-config")
    assert (again.exit_code, again.stdout) == (0, example.stdout)


def test_what_is_printed_is_what_counts_and_where_it_is_from(tmp_path: Path) -> None:
    file = tmp_path / "mimc.toml"
    file.write_text("stop_timeout = 1.0\n[tokens]\nlifetime = 1.0\n[tls]\npassword = 'sesame'")
    env = {"MIMC_CONFIG": str(file), "MIMC_TOKENS__LIFETIME": "2", "MIMC_STORE__MAX_USERS": "2"}
    result = run("--set", "tokens.lifetime=3", "--tcp", "[::1]:1", "--tcp", "[::1]:2", "--print-config", env=env)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert f"stop_timeout = 1.0  # from {file}" in lines
    assert "max_users = 2  # from MIMC_STORE__MAX_USERS" in lines
    assert "lifetime = 3.0  # from --set" in lines
    assert 'tcp = ["[::1]:1", "[::1]:2"]  # from --tcp' in lines
    assert "sesame" not in result.stdout
    assert tomllib.loads(result.stdout)["tokens"] == {"lifetime": 3.0}


def test_dev_is_in_memory_unless_there_is_a_folder(tmp_path: Path) -> None:
    assert "memory = true  # from --dev" in run("--dev", "--print-config").stdout
    assert "# memory = false" in run("--dev", "--data", str(tmp_path), "--print-config").stdout
    assert "memory = true  # from --memory" in run("--memory", "--print-config").stdout


# ------------------------------------------------------------------------------------------------------ what is wrong


def test_without_a_folder_there_is_nothing_to_serve() -> None:
    said = "data: expected a folder for the database (--data), or memory = true (--memory), got none"
    assert refused() == (2, said)


def test_an_address_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(*taken.getsockname())
        said = f"cannot listen on {address} (listen.tcp): Address already in use"
        assert refused("--memory", "--tcp", str(address)) == (1, said)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = refused("--data", str(tmp_path / "file"), *PLAIN)
    assert code == 1
    assert said.startswith(f"cannot use {tmp_path / 'file' / 'mimc.db'}: ")


def test_another_programs_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "mimc.db").write_bytes(b"no database, and more than a few bytes of it" * 100)
    code, said = refused("--data", str(tmp_path), *PLAIN)
    assert code == 1
    assert "mimc.db" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tcp", "5222"), "--tcp: listen.tcp[0]: expected HOST:PORT such as 127.0.0.1:5222, got '5222'"),
        (("--set", "stop_timeout=x"), "--set: stop_timeout: expected a number, got 'x'"),
        (("--set", "x=1"), "--set: x: there is no such setting"),
        (
            ("--log-level", "loud"),
            '--log-level: log.level: expected "debug" or "info" or "warning" or "error", got \'loud\'',
        ),
        (("--https", ANY), "tls.certificate: expected a certificate, as 127.0.0.1:0 is to be inside TLS, got none"),
        (("--config", "/no/such/file"), "/no/such/file: cannot read it: No such file or directory"),
    ],
)
def test_a_setting_that_cannot_be_is_said_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    assert refused("--memory", *arguments) == (2, said)


def test_a_setting_without_a_value_is_said() -> None:
    result = run("--set", "stop_timeout")
    assert result.exit_code == 2
    assert "Invalid value for --set: expected KEY=VALUE" in result.stderr


def test_a_certificate_that_is_none_is_said(tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    code, said = refused("--memory", "--tls", ANY, "--certificate", str(none), *PLAIN)
    assert (code, said) == (2, f"tls.certificate: cannot read {none}: No such file or directory")


@pytest.mark.parametrize("library", ["pydantic", "fastapi"])
def test_without_the_server_extra_it_says_what_to_install(library: str) -> None:
    code = f"import sys; sys.modules[{library!r}] = None; from mimc_cli.main import mimc; mimc(['serve', '--memory'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert f"this needs {library}, which is not installed: pip install 'mimc-proto[server]'" in result.stderr


@pytest.mark.parametrize(("setup", "loop"), [("", "uvloop"), ("sys.modules['uvloop'] = None; ", "asyncio")])
def test_it_runs_on_uvloop_where_there_is_one(setup: str, loop: str) -> None:
    code = f"import sys; {setup}from mimc_cli.main import mimc; mimc()"
    command = [sys.executable, "-W", "error", "-c", code, "serve", "--memory", "--tcp", ANY, *PLAIN]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert f" loop={loop}\n" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()


@pytest.fixture
def _hangups_ignored() -> Iterator[None]:
    """As the command has them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
@pytest.mark.usefixtures("_hangups_ignored")
def test_what_became_of_the_certificate_is_logged(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_bytes(PEM.read_bytes())
    any_port = Address("127.0.0.1", 0)
    listen = Listen(tcp=(), tls=(any_port,), websocket=(), http=())

    async def renew(_: Listed, log: _Waiting) -> None:
        signalled(signal.SIGHUP)
        assert (await log.until("certificate-renewed")).__dict__["fields"]["file"] == file
        file.write_text("none")
        signalled(signal.SIGHUP)
        assert str(file) in (await log.until("certificate-kept")).__dict__["fields"]["error"]
        signalled()

    async def nothing_to_renew(_: Listed, log: _Waiting) -> None:
        signalled(signal.SIGHUP)
        signalled()
        await log.until("stopping")
        assert not any("certificate" in record.getMessage() for record in log.records)

    serving_while(Settings(memory=True, listen=listen, tls=Tls(certificate=file)), renew, development=False)
    serving_while(settings(None), nothing_to_renew, development=False)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_sighup_ends_it_at_no_time() -> None:
    command = [sys.executable, "-W", "error", "-m", "mimc_cli.main", "serve", "--memory", "--tcp", ANY, *PLAIN]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert "serving" in process.stderr.readline()
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            while process.poll() is None:
                process.send_signal(signal.SIGHUP)
            assert process.returncode == 0
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")
def test_at_sighup_the_certificate_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.write_bytes(PEM.read_bytes())
    command = [sys.executable, "-W", "error", "-m", "mimc_cli.main", "serve", "--memory"]
    listen = ("--tcp", "", "--websocket", "", "--http", "", "--tls", ANY, "--certificate", str(file))
    with subprocess.Popen([*command, *listen, "--log-format", "json"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            host, _, port = json.loads(process.stderr.readline())["tls"].rpartition(":")
            assert json.loads(process.stderr.readline())["event"] == "no-application"
            old = ssl.get_server_certificate((host, int(port)), timeout=TIMEOUT)
            for content, event in ((OTHER.read_bytes(), "certificate-renewed"), (b"none", "certificate-kept")):
                file.write_bytes(content)
                process.send_signal(signal.SIGHUP)
                assert json.loads(process.stderr.readline())["event"] == event
                assert ssl.get_server_certificate((host, int(port)), timeout=TIMEOUT) != old
        finally:
            process.kill()


def test_ctrl_c_is_a_clean_end_also_without_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "serve", interrupted)
    assert run("--memory").exit_code == 0


@pytest.mark.parametrize("module", ["mimc_server.settings", "mimc_cli.serving.running"])
def test_a_module_of_our_own_that_is_missing_is_no_missing_extra(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert isinstance(run("--memory").exception, ModuleNotFoundError)


# ------------------------------------------------------------------------------------------------------ lines to paste

KEYS = ApplicationKeys(app_id=7, app_key="k", app_secret="s", package="com.example")


def bound(**kinds: tuple[Address, ...]) -> Listen:
    return Listen(**{"tcp": (), "websocket": (), "http": (), **kinds})


def test_lines_name_what_listens_everywhere_as_this_machine_reaches_it() -> None:
    everywhere = bound(tcp=(Address("0.0.0.0", 5222),), http=(Address("::", 5223),))
    lines = pasting.instructions(everywhere, KEYS, "kept")
    assert "  tcp         0.0.0.0:5222" in lines
    assert any("http://[::1]:5223/api/account/token" in line for line in lines)
    assert any('addresses=[("127.0.0.1", 5222)]' in line for line in lines)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("tls", 'addresses=[("127.0.0.1", 1)], ssl=True'),
        ("websocket", 'addresses=[("127.0.0.1", 1)], websocket=True'),
        ("websocket_tls", 'addresses=[("127.0.0.1", 1)], websocket=True, ssl=True'),
    ],
)
def test_lines_are_for_what_there_is(kind: str, how: str) -> None:
    lines = pasting.instructions(
        bound(https=(Address("127.0.0.1", 2),), **{kind: (Address("127.0.0.1", 1),)}), KEYS, ""
    )
    text = "\n".join(lines)
    assert how in text
    assert "https://127.0.0.1:2/api/account/token" in text
    assert ("  WebJS " in text) == (kind != "tls")
    assert "/etc/hosts" not in text


def test_without_frontends_or_http_there_is_less_to_paste() -> None:
    assert "Python:" not in pasting.instructions(bound(http=(Address("127.0.0.1", 2),)), KEYS, "")
    lines = pasting.instructions(bound(tcp=(Address("127.0.0.1", 1),)), KEYS, "")
    assert lines[-1] == "  app secret  s"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_it_has_as_many_connections_as_the_system_allows() -> None:
    code = """
import resource
from mimc_cli.serving.running import allow_descriptors
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
allow_descriptors()
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    assert done.stdout == "True\n"
