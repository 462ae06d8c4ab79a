"""`mimc demo --serve`: a service that stays up, and tells how to log in to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mimc_cli.demonstration import pasting, serving
from mimc_cli.main import mimc
from mimc_server.service import (
    EndReason,
    LinkEnded,
    LoggedIn,
    LoggedOut,
    LoginRefused,
    MessageRefused,
    StoreFailed,
)
from mimc_server.store import AckCode, MemoryStore
from mimc_transports.asyncio import connect

from mimc_proto.errors import MimcError, SendRejected
from mimc_proto.events import CloseReason

ANY = ("127.0.0.1", 0)
APP = pasting.APPLICATION
KEY, SECRET = pasting.KEY, pasting.SECRET


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mimc, ["demo", *arguments])


def ask(url: str, body: object = None) -> Any:
    """The JSON of an answer to a POST, or to a GET without a body."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def token_request(account: str, app_id: object = APP.app_id) -> dict[str, object]:
    return {"appId": app_id, "appKey": KEY, "appSecret": SECRET, "appAccount": account}


def address_and_url(lines: list[str]) -> tuple[tuple[str, int], str]:
    """Of the frontend and the HTTP endpoints, as they are printed."""
    told = dict(line.split(None, 1) for line in lines if line.startswith(("  frontend", "  http")))
    host, _, port = told["frontend"].strip().rpartition(":")
    return (host, int(port)), told["http"].strip()


# ------------------------------------------------------------------------------------------------- in another process


@contextlib.contextmanager
def served() -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """``mimc demo --serve`` on free ports, and the lines up to the last of its instructions."""
    command = [sys.executable, "-W", "error", "-m", "mimc_cli.main", "demo", "--serve", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while "--http" not in (line := process.stdout.readline().rstrip("\n")):
                assert process.poll() is None or line, lines
                lines.append(line)
            yield process, [*lines, line]
        finally:
            process.kill()


def test_a_served_demo_lets_users_log_in_and_ends_cleanly_at_ctrl_c() -> None:
    with served() as (process, lines):
        address, url = address_and_url(lines)
        answer = ask(f"{url}/api/account/token", token_request("alice"))

        async def chat() -> None:
            async with connect(APP.app_id, "alice", answer, addresses=[address]) as alice:
                await alice.send("bob", b"not for the log")

        asyncio.run(chat())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert re.search(r"^\d\d:\d\d:\d\d  login    alice/", out, re.MULTILINE)
    assert re.search(r"  logout   alice/.*: the client logged out$", out, re.MULTILINE)
    assert out.endswith("messages in all: 1\n")
    assert "not for the log" not in out
    assert answer["data"]["token"] not in out
    assert answer["data"]["miUserSecurityKey"] not in out


def test_the_python_lines_of_a_served_demo_work_as_they_are_printed() -> None:
    with served() as (_, lines):
        first, last = lines.index("Python:") + 1, lines.index("The official Go client, as it is:")
        program = textwrap.dedent("\n".join(lines[first:last]))
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
        )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Acknowledged(")


# ---------------------------------------------------------------------------------------------------- in this process


def serving_while(work: Callable[[tuple[str, int], str], Awaitable[None]]) -> list[str]:
    """Do something with a service, then end it as Ctrl-C does; what it printed."""
    lines: list[str] = []
    ready = asyncio.Event()

    def say(line: str) -> None:
        lines.append(line)
        if "--http" in line:
            ready.set()

    async def run_both() -> None:
        async with asyncio.timeout(30):
            service = asyncio.create_task(serving.serve(ANY, ANY, say))
            await ready.wait()
            await work(*address_and_url(lines))
            os.kill(os.getpid(), signal.SIGINT)
            await service

    asyncio.run(run_both())
    return lines


@pytest.mark.parametrize("app_id", [APP.app_id, str(APP.app_id)])
def test_an_app_id_may_be_a_number_or_text(app_id: object) -> None:
    async def work(_: tuple[str, int], url: str) -> None:
        answer = await asyncio.to_thread(ask, f"{url}/api/account/token", token_request("alice", app_id))
        assert (answer["code"], answer["data"]["appId"]) == (200, str(APP.app_id))

    serving_while(work)


def test_the_resolver_tells_the_frontend() -> None:
    async def work(address: tuple[str, int], url: str) -> None:
        answer = await asyncio.to_thread(ask, f"{url}/gslb/?ver=4.0&type=wifi&list=app.chat.xiaomi.net")
        assert answer == {"S": "Ok", "R": {"wifi": {"app.chat.xiaomi.net": [f"{address[0]}:{address[1]}"]}}}

    serving_while(work)


def test_refusals_are_logged() -> None:
    async def work(address: tuple[str, int], url: str) -> None:
        answer = await asyncio.to_thread(ask, f"{url}/api/account/token", token_request("alice"))
        async with connect(APP.app_id, "alice", answer, addresses=[address], resource="pc") as alice:
            with pytest.raises(SendRejected):
                await alice.send_group(7, b"to no group")

    lines = serving_while(work)
    assert [line[10:] for line in lines if re.match(r"\d\d:", line)] == [
        "login    alice/pc",
        "refused  a message of alice: NO_SUCH_GROUP",
        "logout   alice/pc: the client logged out",
        "end      messages in all: 0",
    ]


def test_new_messages_are_counted_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "COUNT_EVERY", 0.01)
    ticks = asyncio.Event()

    async def work(address: tuple[str, int], url: str) -> None:
        answer = await asyncio.to_thread(ask, f"{url}/api/account/token", token_request("alice"))
        async with connect(APP.app_id, "alice", answer, addresses=[address]) as alice:
            await alice.send("bob", b"one")
            await ticks.wait()

    line_of = serving._Journal.line

    def line(self: serving._Journal, text: str) -> None:
        line_of(self, text)
        if text == "messages 1 (+1)":
            ticks.set()

    monkeypatch.setattr(serving._Journal, "line", line)
    counted = [line[10:] for line in serving_while(work) if line[10:].startswith("messages")]
    assert counted == ["messages 1 (+1)"]


def test_a_journal_names_whom_the_store_knows_and_remembers_no_login() -> None:
    store = MemoryStore()
    alice = store.user(APP.app_id, "alice\n", 1).uuid
    lines: list[str] = []
    journal = serving._Journal(lines.append, store)
    journal(LoggedOut(link_id=1, uuid=alice, resource="pc", reason=EndReason.LOGGED_OUT))
    journal(MessageRefused(uuid=alice, resource="pc", packet_id="1", code=AckCode.TOO_MANY))
    journal(LoggedOut(link_id=1, uuid=alice + 1, resource="pc", reason=EndReason.LINK_ENDED))
    assert [line[10:] for line in lines] == [
        r"logout   'alice\n'/pc: the client logged out",
        r"refused  a message of 'alice\n': TOO_MANY",
        f"logout   user {alice + 1}/pc: its link ended",
    ]


def test_a_journal_tells_of_refused_logins_and_of_a_store_that_fails() -> None:
    lines: list[str] = []
    journal = serving._Journal(lines.append, MemoryStore())
    journal(LoginRefused(link_id=1, reason="invalid-token"))
    journal(StoreFailed(what="storing", error=MimcError("the disk is full")))
    journal(LinkEnded(link_id=1, peer="127.0.0.1", reason=CloseReason.EOF))
    assert [line[10:] for line in lines] == [
        "refused  a login: invalid-token",
        "store    failed at storing: the disk is full",
    ]


def test_a_name_cannot_write_to_the_terminal() -> None:
    lines: list[str] = []
    journal = serving._Journal(lines.append, MemoryStore())
    journal(LoggedIn(link_id=1, app_id=1, account="\x1b[2Jalice\n", uuid=7, resource="pc", epoch=1))
    assert [line[10:] for line in lines] == [r"login    '\x1b[2Jalice\n'/pc"]


def test_what_listens_everywhere_is_reached_on_this_machine() -> None:
    lines = pasting.instructions(("0.0.0.0", 5222), ("::", 5223))
    assert "  frontend    0.0.0.0:5222" in lines
    assert "  http        http://[::1]:5223" in lines
    assert any('addresses=[("127.0.0.1", 5222)]' in line for line in lines)


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which somebody listens."""
    with socket.create_server(ANY) as listener:
        yield "{}:{}".format(*listener.getsockname())


def test_a_frontend_port_in_use_is_said(taken: str) -> None:
    result = run("--serve", taken, "--http", "127.0.0.1:0")
    assert result.exit_code == 2
    assert f"Invalid value for --serve: cannot listen on {taken}: Address already in use" in result.stderr


def test_an_http_port_in_use_is_said(taken: str) -> None:
    result = run("--serve", "127.0.0.1:0", "--http", taken)
    assert result.exit_code == 2
    assert f"Invalid value for --http: cannot listen on {taken}: Address already in use" in result.stderr


def test_http_takes_the_next_port_if_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def serve(*addresses: object) -> None:
        asked.extend(addresses[:2])

    monkeypatch.setattr(serving, "serve", serve)
    assert run("--serve", "[::1]:5222").exit_code == 0
    assert asked == [("::1", 5222), ("::1", 5223)]


def test_ctrl_c_is_a_clean_end_also_without_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "serve", serve)
    assert run("--serve", "127.0.0.1:0").exit_code == 0


@pytest.mark.parametrize(
    "value", ["", "5222", "localhost", ":5222", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:5222", "a b:1"]
)
@pytest.mark.parametrize("option", ["--serve", "--http"])
def test_an_address_that_is_none_is_said(option: str, value: str) -> None:
    result = run(option, value)
    assert result.exit_code == 2
    assert f"expected HOST:PORT such as 127.0.0.1:5222, got {value!r}" in result.stderr


def test_http_without_serve_is_said() -> None:
    result = run("--http", "127.0.0.1:0")
    assert result.exit_code == 2
    assert "expected --serve with --http" in result.stderr


def test_the_last_port_has_no_next() -> None:
    result = run("--serve", "127.0.0.1:65535")
    assert result.exit_code == 2
    assert "expected --http, as there is no port after 65535" in result.stderr


def test_the_help_shows_how_to_serve() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "mimc demo --serve 0.0.0.0:5222 --http 0.0.0.0:80" in result.output
