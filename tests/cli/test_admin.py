"""`mimc admin`: every command against a server that runs, over its socket; and on the database of one that does not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from click.testing import CliRunner, Result
from mimc_cli.administering import asking
from mimc_cli.administering.asking import AdminError, answers, ask_server
from mimc_cli.main import mimc
from mimc_server import sockets
from mimc_server.administration import ApplicationKeys
from mimc_server.observing import Metrics, journal
from mimc_server.server import Server
from mimc_server.service import ServiceLoad
from mimc_server.settings import Address, Admin, Listen, Settings, load_settings
from mimc_server.store import SqliteStore, Statistics
from mimc_transports.asyncio import connect

TIMEOUT = 10
APP = 2882303761500000001
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "operate.md"
IDLE = ServiceLoad(
    links=0, unbound=0, sessions=0, users=0, unlimited_groups=0, waiting=0, waiting_bytes=0, requests=0,
    stored=(0,) * 5, repeated=0,
)  # fmt: skip
KEPT = Statistics(users=0, groups=0, messages=0, bytes=0)
HERE = Listen(tcp=(Address("127.0.0.1", 0),), websocket=(), http=())


def run(*arguments: str | Path, answer: str = "", **environment: str) -> Result:
    cleared = {name: None for name in os.environ if name.startswith("MIMC_")}
    return CliRunner().invoke(
        mimc, ["admin", *map(str, arguments)], input=answer, env={**cleared, **environment}, catch_exceptions=False
    )


def table(result: Result) -> list[list[str]]:
    """Rows of words, the heading first."""
    assert (result.exit_code, result.stderr) == (0, "")
    return [line.split() for line in result.stdout.splitlines()]


def objects(result: Result) -> list[Any]:
    """JSON lines."""
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


class Running:
    """A server in a thread of this process, and users who are online with it."""

    def __init__(self, folder: Path, portal: BlockingPortal, server: Server, app_id: int) -> None:
        self.folder = folder
        self.app_id = app_id
        self.server = server
        self._portal = portal
        self.keys: ApplicationKeys = portal.call(
            lambda: server.add_application("com.example", app_id=app_id, replace=True)
        )

    def admin(self, *arguments: str | Path, answer: str = "") -> Result:
        return run("--data", self.folder, *arguments, answer=answer)

    def rows(self, *arguments: str) -> list[list[str]]:
        return table(self.admin(*arguments))

    def objects(self, *arguments: str) -> list[Any]:
        return objects(self.admin("--json", *arguments))

    def store(self, work: Callable[[Any], Any]) -> Any:
        """Do something with the store."""
        return self._portal.call(self.server.perform, lambda: work(self.server.store))

    def account(self, name: str) -> int:
        """The uuid of a user."""
        uuid: int = self.store(lambda store: store.user(self.app_id, name, self.server.wall_ms())).uuid
        return uuid

    def group(self, owner: str, *members: str, unlimited: bool = False) -> str:
        """The id of a group."""
        one, *others = map(self.account, (owner, *members))
        now = self.server.wall_ms()
        made = self.store(lambda store: store.create_group(self.app_id, one, "team", others, now, unlimited=unlimited))
        return str(made.topic_id)

    @contextlib.contextmanager
    def online(self, account: str, resource: str = "pc", token: str = "") -> Iterator[Any]:
        """A user who is online."""

        async def fetch() -> str:
            if token:
                return token
            application = self.server.applications.get(APP)
            assert application is not None
            return json.dumps(await self.server.perform(lambda: self.server.issue_token(application, account)))

        async def user() -> Any:
            return connect(APP, account, fetch, addresses=[self.server.addresses.tcp[0]], resource=resource)

        with self._portal.wrap_async_context_manager(self._portal.call(user)) as entered:
            yield entered


@contextlib.contextmanager
def running(folder: Path, app_id: int = APP, **changes: Any) -> Iterator[Running]:
    settings = Settings(data=folder, listen=HERE, stop_timeout=1.0, **changes)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Server(settings)) as server:
        yield Running(folder, portal, server, app_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def it(folder: Path) -> Iterator[Running]:
    with running(folder) as started:
        yield started


# -------------------------------------------------------------------------------------------------------- applications


def test_applications_are_added_listed_rotated_and_removed(it: Running) -> None:
    [made] = it.objects("applications", "add", "com.second", "--id", "7")
    assert (made["app_id"], made["package"]) == ("7", "com.second")
    assert it.rows("applications", "list") == [
        ["APPLICATION", "PACKAGE"],
        ["7", "com.second"],
        [str(APP), "com.example"],
    ]
    shown = it.admin("applications", "rotate", "7", "--yes").stdout
    rotated = dict(line.rsplit(None, 1) for line in shown.splitlines())
    application = it.server.applications.get(7)
    assert application is not None
    assert application.check(rotated["app key"], rotated["app secret"])
    assert not application.check(made["app_key"], made["app_secret"])
    removed = it.admin("applications", "remove", "7", "--yes")
    assert removed.stdout == "application 7 is served no more\n"
    assert it.server.applications.get(7) is None


def test_key_and_secret_are_shown_once(it: Running) -> None:
    keys = it.objects("applications", "add", "com.second")[0]
    commands = [["applications", "list"], ["accounts", "list", "--app", keys["app_id"]], ["statistics"], ["metrics"]]
    shown = "".join(it.admin(*command).stdout + it.admin("--json", *command).stdout for command in commands)
    assert keys["app_id"] in shown
    assert keys["app_key"] not in shown
    assert keys["app_secret"] not in shown


@pytest.mark.parametrize("work", [["applications", "rotate"], ["applications", "remove"]])
def test_what_hurts_an_application_is_asked_for_first(it: Running, work: list[str]) -> None:
    for answer in ("n\n", ""):
        result = it.admin(*work, str(APP), answer=answer)
        assert result.exit_code == 1
        assert f"{APP}" in result.stderr
    application = it.server.applications.get(APP)
    assert application is not None
    assert application.check(it.keys.app_key, it.keys.app_secret)
    assert it.admin(*work, str(APP), answer="y\n").exit_code == 0


# ----------------------------------------------------------------------------------------------- accounts and sessions


def test_accounts_are_listed(it: Running) -> None:
    uuids = [str(it.account(name)) for name in ("alice", "bob", "小明")]
    with it.online("bob"):
        rows = it.rows("accounts", "list")
    assert rows == [
        ["ACCOUNT", "UUID", "SESSIONS"],
        ["alice", uuids[0], "0"],
        ["bob", uuids[1], "1"],
        ["小明", uuids[2], "0"],
    ]


def test_an_empty_list_has_a_heading_and_no_json(it: Running) -> None:
    assert it.rows("accounts", "list") == [["ACCOUNT", "UUID", "SESSIONS"]]
    assert it.objects("accounts", "list") == []


def test_long_lists_come_in_pieces(it: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_cli.admin.PAGE", 2)
    uuids = [it.account(f"user-{number}") for number in range(5)]
    everybody = [f"user-{number}" for number in range(5)]

    def listed(*options: str) -> list[str]:
        return [one["account"] for one in it.objects("accounts", "list", *options)]

    assert listed() == everybody
    assert [row[0] for row in it.rows("accounts", "list")] == ["ACCOUNT", *everybody]
    assert listed("--limit", "3") == everybody[:3]
    assert listed("--limit", "4") == everybody[:4]
    assert listed("--limit", "9") == everybody
    assert listed("--after", str(uuids[2])) == everybody[3:]


def test_columns_are_straight_whatever_the_names(it: Running) -> None:
    for name in ("a", "小明小明小明小明小明小明", "evil\x1b[2J\nname", "long" * 30):
        it.account(name)
    lines = it.admin("accounts", "list").stdout.splitlines()
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    columns = [asking_width(line[: line.index("15320")]) for line in lines[1:4]]
    assert len(set(columns)) == 1
    assert r"'evil\x1b[2J\nname'" in lines[3]


def asking_width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(2 if "\u4e00" <= char <= "\u9fff" else 1 for char in text)


def test_an_account_is_shown(it: Running) -> None:
    team = it.group("alice", "bob")
    with it.online("bob", "tablet"):
        shown = it.admin("accounts", "show", "bob")
        [as_json] = it.objects("accounts", "show", "bob")
    blocks = shown.stdout.split("\n\n")
    assert blocks[0].splitlines()[0].split() == ["account", "bob"]
    assert [line.split()[:3] for line in blocks[1].splitlines()[1:]] == [["bob", "tablet", "127.0.0.1"]]
    assert [line.split()[:3] for line in blocks[2].splitlines()[1:]] == [[team, "normal", "2"]]
    assert (as_json["sessions"][0]["resource"], as_json["groups"][0]["topic_id"]) == ("tablet", team)


def test_an_account_without_anything_is_shown_without_tables(it: Running) -> None:
    it.account("alice")
    assert "\n\n" not in it.admin("accounts", "show", "alice").stdout


def test_sessions_are_listed_and_kicked(it: Running) -> None:
    with it.online("alice"), it.online("bob"), it.online("bob", "phone"):
        assert [row[:3] for row in it.rows("sessions", "list", "--app", str(APP))] == [
            ["ACCOUNT", "RESOURCE", "PEER"],
            ["alice", "pc", "127.0.0.1"],
            ["bob", "pc", "127.0.0.1"],
            ["bob", "phone", "127.0.0.1"],
        ]
        assert len(it.objects("sessions", "list", "--account", "bob")) == 2
        away = ["--reason", "single-resource-kick"]
        assert it.admin("kick", "bob", "--resource", "pc", *away).stdout == "sessions that were kicked: 1\n"
        assert it.objects("kick", "bob", *away) == [{"kicked": 1}]
        assert [session["account"] for session in it.objects("sessions", "list")] == ["alice"]


def test_a_token_is_issued_and_revoked(it: Running) -> None:
    result = it.admin("tokens", "issue", "alice")
    answer = json.loads(result.stdout)
    assert (answer["code"], answer["data"]["appAccount"]) == (200, "alice")
    assert it.objects("tokens", "issue", "alice")[0]["data"]["token"] != answer["data"]["token"]
    with it.online("alice"):
        assert it.admin("tokens", "revoke", "alice").stdout == "tokens are revoked; sessions that were kicked: 1\n"


# -------------------------------------------------------------------------------------------------------------- groups


def test_groups_are_listed_shown_and_dismissed(it: Running) -> None:
    team, everybody = it.group("alice", "bob"), it.group("bob", unlimited=True)
    assert it.rows("groups", "list") == [
        ["GROUP", "KIND", "SIZE", "OWNER", "NAME"],
        [team, "normal", "2", "alice", "team"],
        [everybody, "unlimited", "1", "bob", "team"],
    ]
    shown = it.admin("groups", "show", team).stdout
    assert [line.split()[0] for line in shown.split("\n\n")[1].splitlines()] == ["ACCOUNT", "alice", "bob"]
    [as_json] = it.objects("groups", "show", team)
    assert [member["account"] for member in as_json["members"]] == ["alice", "bob"]
    assert it.admin("groups", "dismiss", team, answer="n\n").exit_code == 1
    assert it.admin("groups", "dismiss", team, "--yes").stdout == f"group {team} is dismissed\n"
    assert [row[0] for row in it.rows("groups", "list")] == ["GROUP", everybody]


def test_members_of_a_large_group_come_in_pieces(it: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_cli.admin.PAGE", 2)
    group = it.group("alice", "bob", "carol", "dave", "eve")
    [as_json] = it.objects("groups", "show", group, "--limit", "3")
    assert [member["account"] for member in as_json["members"]] == ["alice", "bob", "carol"]
    shown = it.admin("groups", "show", group).stdout.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in shown] == ["ACCOUNT", "alice", "bob", "carol", "dave", "eve"]


# ----------------------------------------------------------------------------------------------------------- the whole


def test_statistics_and_metrics(it: Running) -> None:
    it.account("alice")
    shown = dict(line.rsplit(None, 1) for line in it.admin("statistics").stdout.splitlines())
    assert (shown["users"], shown["applications"]) == ("1", "1")
    [as_json] = it.objects("statistics")
    assert (as_json["users"], as_json["links"]) == (1, 0)
    assert "\nmimc_store_users 1.0\n" in it.admin("metrics").stdout


def test_a_backup_restores(it: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = it.account("alice")
    monkeypatch.chdir(tmp_path)
    result = it.admin("backup", "copy.db")  # as the person sees it, not the server
    copy = tmp_path / "copy.db"
    assert result.stdout == f"{copy.stat().st_size} bytes are in {copy}\n"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    restored = SqliteStore(copy)
    assert restored.find_account(APP, "alice").uuid == alice  # type: ignore[union-attr]
    restored.close()


def test_a_good_database_is_whole(it: Running) -> None:
    assert it.admin("check").stdout == "the database is whole\n"
    assert it.objects("check") == [{"problems": []}]


def test_a_broken_database_is_the_exit_status(it: Running) -> None:
    damage = "UPDATE sqlite_schema SET sql = replace(sql, 'account TEXT NOT NULL', 'account TEXT UNIQUE')"
    it.store(lambda store: store._connection.execute("PRAGMA writable_schema = ON"))
    it.store(lambda store: store._connection.execute(f"{damage} WHERE name = 'user'"))
    result = it.admin("check")
    assert result.exit_code == 1
    assert result.stdout.strip()
    assert it.admin("--json", "check").exit_code == 1


# ------------------------------------------------------------------------------------------------- without a server


def test_what_needs_no_server_uses_the_database(folder: Path, tmp_path: Path) -> None:
    made = run("--data", folder, "applications", "add", "com.example", "--id", str(APP))
    assert made.exit_code == 0
    assert f"no server answers at {folder}/admin.sock; using {folder}/mimc.db itself" in made.stderr
    for command in (
        ["tokens", "issue", "alice"],
        ["accounts", "list"],
        ["accounts", "show", "alice"],
        ["groups", "list"],
        ["tokens", "revoke", "alice"],
        ["check"],
        ["statistics"],
        ["backup", str(tmp_path / "copy.db")],
        ["applications", "rotate", str(APP), "--yes"],
        ["applications", "list"],
    ):
        result = run("--data", folder, *command)
        assert (result.exit_code, result.stderr) == (0, made.stderr), command
    assert str(APP) in result.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["mimc.db", "mimc.db.lock"]
    with running(folder) as it:  # a token of before is good, and the application is there
        assert [one.app_id for one in it.server.applications] == [APP]


def test_a_token_made_without_a_server_is_good_with_it(folder: Path) -> None:
    run("--data", folder, "applications", "add", "com.example", "--id", str(APP))
    answer = run("--data", folder, "tokens", "issue", "alice").stdout
    with running(folder) as it, it.online("alice", token=answer):
        assert [session["account"] for session in it.objects("sessions", "list")] == ["alice"]


@pytest.mark.parametrize("command", [["sessions", "list"], ["kick", "alice"], ["metrics"]])
def test_what_needs_a_server_says_so(folder: Path, command: list[str]) -> None:
    run("--data", folder, "applications", "add", "com.example")
    result = run("--data", folder, *command)
    assert result.exit_code == 1
    assert result.stderr == (
        f"mimc admin: no server answers at {folder}/admin.sock: start it (mimc serve), or say where it is: --data,"
        " --config or --socket, as it was started with\n"
    )


def test_a_wrong_folder_makes_no_database(folder: Path) -> None:
    result = run("--data", folder, "accounts", "list")
    assert result.exit_code == 1
    assert f"there is no database {folder}/mimc.db: say where it is (--data, --config)" in result.stderr
    assert not folder.exists()


def test_nothing_said_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("statistics")
    assert result.exit_code == 1
    assert result.stderr == (
        "mimc admin: expected to be told where the server is: --data, --config or --socket, as it was started with\n"
    )


def test_a_database_that_a_server_uses_is_left_alone(folder: Path) -> None:
    with running(folder, admin=Admin(socket=None)):
        result = run("--data", folder, "accounts", "list")
    assert result.exit_code == 1
    assert f"another process uses {folder}/mimc.db" in result.stderr


# ---------------------------------------------------------------------------------------------------- where it is found


def test_a_server_is_found_by_its_socket_its_configuration_or_the_environment(it: Running, tmp_path: Path) -> None:
    config = tmp_path / "mimc.toml"
    config.write_text(f'data = "{it.folder}"\n')
    ways: list[tuple[list[str], dict[str, str]]] = [
        (["--socket", f"{it.folder}/admin.sock"], {}),
        (["--config", str(config)], {}),
        ([], {"MIMC_DATA": str(it.folder)}),
        ([], {"MIMC_CONFIG": str(config)}),
    ]
    for options, environment in ways:
        assert [row[0] for row in table(run(*options, "applications", "list", **environment))][1:] == [str(APP)]


def test_settings_that_make_no_sense_are_told(tmp_path: Path) -> None:
    config = tmp_path / "mimc.toml"
    config.write_text("dat = 7\n")
    result = run("--config", config, "statistics")
    assert result.exit_code == 2
    assert "did you mean data?" in result.stderr


def test_a_deep_folder_is_no_hindrance(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30)
    with running(deep) as it:
        assert it.rows("applications", "list")[1:] == [[str(APP), "com.example"]]


# ------------------------------------------------------------------------------------------------------- what is wrong


@contextlib.contextmanager
def answering(path: Path, *chunks: bytes) -> Iterator[Path]:
    """Something at a socket that is no server of ours: it answers whatever comes with these bytes, and closes."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.settimeout(TIMEOUT)

    def serve() -> None:
        for _ in range(2):  # the first one only looks whether there is anybody
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(TIMEOUT)
                if connection.recv(65536):
                    for chunk in chunks:
                        connection.sendall(chunk)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield path
    finally:
        thread.join(TIMEOUT)
        listener.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection: it listens only to the user who runs it, and to root"),
        (b"SSH-2.0-x\r\n\r\n", "closed the connection"),
        (b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\n\r\n", "answered with the HTTP status 418: is it of"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", "answered with the HTTP status 200: is it of another"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "expected an answer of at most"),
    ],
)
def test_what_is_no_server_of_ours_is_told(tmp_path: Path, answer: bytes, said: str) -> None:
    with answering(tmp_path / "s.sock", answer) as path:
        result = run("--socket", path, "statistics")
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


# what the library leaves behind when it cannot connect; it is collected
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_server_that_ends_meanwhile_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with ask_server(path) as ask:
            listener.close()
            with pytest.raises(AdminError, match=r"closed the connection: .*, or it has just ended"):
                ask("GET", "/v1/statistics")
            path.unlink()
            with pytest.raises(AdminError, match=r"cannot ask the server at .*: No such file or directory"):
                ask("GET", "/v1/statistics")


def test_a_server_that_is_busy_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "PROBE", 0.01)
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(str(path))
        listener.listen(0)
        other.connect(str(path))
        assert answers(path)


def test_a_server_that_hangs_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "SOON", 0.05)
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        result = run("--socket", path, "statistics")
    assert result.exit_code == 1
    assert "has not answered in time: it may do yet what was asked" in result.stderr


@pytest.mark.skipif(not hasattr(os, "setuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_told_to_be_the_right_one(it: Running) -> None:
    code = (
        "import os, sys\n"
        "from mimc_cli.administering import errand, showing\n"
        "from mimc_cli.main import mimc\n"
        "path = os.open(sys.argv[1], os.O_RDONLY)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "mimc(['admin', '--data', f'/proc/self/fd/{path}', 'statistics'])\n"
    )
    arguments = [sys.executable, "-c", code, str(it.folder)]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "not allowed to use" in result.stderr
    assert "be the user who runs the server" in result.stderr


def test_refusals_of_the_server_are_one_line(it: Running) -> None:
    for command, said in (
        (["accounts", "show", "nobody"], f"application {APP} has no such account"),
        (["groups", "show", "7"], f"application {APP} has no group 7"),
        (["accounts", "list", "--app", "7"], "no application 7 is served here"),
        (["applications", "add", "com.example", "--id", str(APP)], f"there is an application {APP} already"),
        (["applications", "remove", "7", "--yes"], "no application 7 is served here"),
        (["backup", str(it.folder / "mimc.db")], "expected another file than the database"),
    ):
        result = it.admin(*command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"mimc admin: {said}")
        assert len(result.stderr.splitlines()) == 1


def test_every_command_explains_itself() -> None:
    def walk(command: Any, path: list[str]) -> Iterator[list[str]]:
        yield path
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, [*path, name])

    paths = list(walk(mimc.commands["admin"], []))
    assert len(paths) > 20
    for path in paths:
        result = run(*path, "--help")
        assert result.exit_code == 0
        usage, _, text = result.stdout.partition("\n\n")
        assert usage.startswith("Usage: mimc admin")
        assert text.strip()


def test_help_and_mistakes_need_no_server() -> None:
    assert "--data FOLDER" in run("--help").stdout
    assert run("frobnicate").exit_code == 2
    assert run("kick").exit_code == 2


def test_every_command_of_the_page_runs_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text("utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    last = next(at for at, line in enumerate(lines) if "remove" in line) + 1

    def run_all(some: list[str]) -> None:
        for line in some:
            result = CliRunner().invoke(mimc, shlex.split(line)[1:])
            assert result.exit_code == 0, (line, result.stderr)

    assert len(lines) > 14
    with running(Path("mimc-data"), app_id=286001) as it:
        run_all(lines[:last])
        [it.app_id] = [application.app_id for application in it.server.applications]
        it.group("alice", "bob")
        run_all(lines[last:])
    assert Path("mimc-backup.db").exists()


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "mimc.toml").write_text(block)
        load_settings(tmp_path / "mimc.toml")


def test_the_page_names_every_figure_and_every_event() -> None:
    page = PAGE.read_text("utf-8")
    events = {kind for kind in journal._KINDS.values() if f"`{kind}`" not in page}
    assert not events
    names = set(re.findall(r"^mimc_\w+", Metrics(lambda: IDLE, "1").text((KEPT, 1)).decode(), re.MULTILINE))
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
    told = set(re.findall(r"`(mimc_\w+)", page)) | {f"mimc_store_{what}" for what in re.findall(r"`_(\w+)`", page)}
    assert shown <= told
    assert {name for name in told if not name.endswith("_total")} <= shown


@pytest.mark.parametrize(("missing", "loaded"), [("httpx2", "mimc_cli.administering"), ("anyio", "alone")])
def test_what_is_not_installed_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str, loaded: str
) -> None:
    run("--data", folder, "applications", "add", "com.example")
    for name in [name for name in sys.modules if name.startswith("mimc_cli.administering") and loaded in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, f"{missing}.from_thread" if missing == "anyio" else missing, None)
    result = run("--data", folder, "statistics")
    assert result.exit_code == 2
    assert f"this needs {missing}" in result.stderr
    assert "pip install 'mimc-proto[server]'" in result.stderr
