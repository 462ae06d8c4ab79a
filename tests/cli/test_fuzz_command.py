"""The command `mimc fuzz`: its options, what it says and how it exits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner, Result
from mimc_cli.fuzzing.cases import Case, Phase, save
from mimc_cli.main import mimc
from mimc_server.testing import LoopbackService
from support.fuzzed_server import FuzzedServer, ServerWire


def run(*arguments: str) -> Result:
    return CliRunner().invoke(mimc, ["fuzz", *arguments])


@pytest.fixture(scope="module")
def service() -> Iterator[LoopbackService]:
    with LoopbackService.in_thread() as running:
        yield running


@pytest.fixture
def token(service: LoopbackService, tmp_path: Path) -> str:
    path = tmp_path / "alice.json"
    path.write_text(service.token("alice")())
    return str(path)


def at(service: LoopbackService) -> str:
    return f"{service.address[0]}:{service.address[1]}"


QUICK = ("--seconds", "0.5", "--rate", "1000", "--seed", "7")


def test_our_service_bears_it_over_tcp(service: LoopbackService, token: str, tmp_path: Path) -> None:
    result = run(at(service), "--token", token, "--output", str(tmp_path / "out"), *QUICK)
    assert (result.exit_code, result.stderr) == (0, "seed 7\n")
    assert result.stdout.endswith(" links, 0 findings\n")
    assert int(result.stdout.split()[0]) > 5
    assert not (tmp_path / "out").exists()


def test_tokens_come_from_an_endpoint_too(service: LoopbackService, tmp_path: Path) -> None:
    url = f"{service.http_url}/api/account/token"
    secrets = {"MIMC_APP_KEY": service.app_key, "MIMC_APP_SECRET": service.app_secret}
    options = ["--app-id", str(service.app_id), "--token-url", url, "--output", str(tmp_path), *QUICK]
    result = CliRunner().invoke(mimc, ["fuzz", at(service), *options], env=secrets)
    assert result.exit_code == 0
    refused = CliRunner().invoke(mimc, ["fuzz", at(service), *options], env={**secrets, "MIMC_APP_SECRET": "wrong"})
    assert refused.exit_code == 2
    assert "expected 200, got 401" in refused.stderr
    missing = run(at(service), "--app-id", "5")
    assert missing.exit_code == 2
    assert "expected --app-key, --app-secret and --token-url" in missing.stderr


def test_nobody_logs_in_without_a_token(service: LoopbackService) -> None:
    before = service.sessions()
    assert run(at(service), *QUICK).exit_code == 0
    assert service.sessions() == before


def test_a_server_that_lets_nobody_in_cannot_be_fuzzed(service: LoopbackService, token: str, tmp_path: Path) -> None:
    answer = json.loads(Path(token).read_text())
    answer["data"]["token"] = "forged"
    (tmp_path / "forged.json").write_text(json.dumps(answer))
    result = run(at(service), "--token", str(tmp_path / "forged.json"))
    assert result.exit_code == 2
    assert "cannot begin: login: a good login was refused" in result.stderr


def test_servers_on_other_machines_need_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("192.0.2.1:5222")
    assert result.exit_code == 2
    assert "--i-own-this-server" in result.stderr
    tried = []

    def refuse(address: object, _: object) -> None:
        tried.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("socket.create_connection", refuse)
    result = run("192.0.2.1:5222", "--i-own-this-server")
    assert (result.exit_code, tried) == (2, [("192.0.2.1", 5222)])
    assert "cannot begin: refused" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["127.0.0.1"], "expected HOST:PORT"),
        (["127.0.0.1:0"], "expected HOST:PORT"),
        (["me@127.0.0.1:5222"], "expected HOST:PORT"),
        (["127.0.0.1:99999"], "expected HOST:PORT"),
        (["127.0.0.1:1", "--ca", __file__], "expected --tls with --ca"),
        (["127.0.0.1:1", "--token", "/nowhere"], "No such file"),
        (["127.0.0.1:1", "--token", __file__], "expected JSON"),
        (["127.0.0.1:1", "--token", __file__, "--app-id", "1"], "got both"),
        (["127.0.0.1:1", "--token", "http://[::1"], "expected an http or https URL"),
        (["no such host:1"], "cannot resolve"),
        (["a..b:1"], "cannot resolve"),
        (["127.0.0.1:1"], "cannot begin"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_a_reproducer_is_tried_as_it_was_found(tmp_path: Path) -> None:
    for phase, framing, told in (
        (Phase.ONLINE, "tcp", "expected --token or --app-id"),
        (Phase.READY, "websocket", "got one for WEBSOCKET (--websocket)"),
    ):
        save(tmp_path / "case", Case(1, phase, ()), {"framing": framing})
        result = run("127.0.0.1:1", "--replay", str(tmp_path / "case"))
        assert result.exit_code == 2
        assert told in result.stderr


def test_an_answer_that_misses_a_field_is_named(token: str, tmp_path: Path) -> None:
    answer = json.loads(Path(token).read_text())
    del answer["data"]["miUserSecurityKey"]
    (tmp_path / "bad.json").write_text(json.dumps(answer))
    result = run("127.0.0.1:1", "--token", str(tmp_path / "bad.json"))
    assert result.exit_code == 2
    assert "miUserSecurityKey" in result.stderr


@contextlib.contextmanager
def mangling(service: LoopbackService) -> Iterator[str]:
    """A server in front of the service that breaks the checksum of what is longer than clients ask for."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, broken: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data[:-1] + bytes([data[-1] ^ 1]) if broken and b"\x22\x0bfuzz-attack" in data else data)
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above, below = await asyncio.open_connection(*service.address)
        await asyncio.gather(carry(reader, below, False), carry(above, writer, True))

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0)

    with start_blocking_portal() as portal:
        server = portal.call(listen)
        host, port = server.sockets[0].getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            portal.call(server.close)


def test_a_wrong_checksum_on_the_wire_is_found_kept_and_shown_again(service: LoopbackService, tmp_path: Path) -> None:
    """Before the login bodies are plain until CONN is answered, and its answer repeats the resource."""
    with mangling(service) as address:
        result = run(address, "--output", str(tmp_path), *QUICK, "--seconds", "2")
        assert result.exit_code == 1
        assert "bad-frame: " in result.stdout
        assert "Adler-32" in result.stdout
        path = next(tmp_path.iterdir())
        again = run(address, "--replay", str(path), "--seed", "1")
        assert (again.exit_code, again.stdout.partition(":")[0]) == (1, "bad-frame")
    healthy = run(at(service), "--replay", str(path))
    assert healthy.exit_code == 0
    assert healthy.stdout == "the server bears it\n"
    assert run(at(service), "--replay", __file__).exit_code == 2


# ------------------------------------------------------------------------------------- the command, without sockets


def pretended(server: FuzzedServer, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """The command against a server without sockets."""
    monkeypatch.setattr("mimc_cli.fuzz.Dialer", lambda *_, **__: server.dial)
    return run("127.0.0.1:1", "--answer-timeout", "0.05", *QUICK, *arguments)


LONG = ("--seconds", "60")
"""For what ends before by itself."""


def dialled(server: FuzzedServer, most: int, then: type[BaseException]) -> None:
    """After so many links there is this instead of another one."""
    dial, links = server.dial, iter(range(most))

    def counted() -> ServerWire:
        if next(links, None) is None:
            raise then
        return dial()

    server.dial = counted  # type: ignore[method-assign]


def test_a_server_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = FuzzedServer(logs_in=False)
    dialled(server, 20, ConnectionRefusedError)
    result = pretended(server, monkeypatch, "--output", str(tmp_path), *LONG)
    assert result.exit_code == 1
    assert "refused: no new connection: ConnectionRefusedError (not shown again; " in result.stdout
    assert result.stdout.endswith(", 1 findings\nthe server does not come back: nothing more was tried\n")


def test_what_cannot_be_kept_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = FuzzedServer(logs_in=False)
    dialled(server, 5, ConnectionRefusedError)
    (tmp_path / "file").write_text("")
    result = pretended(server, monkeypatch, "--output", str(tmp_path / "file" / "folder"), *LONG)
    assert result.exit_code == 1
    assert "(not shown again; it cannot be kept there (--output))" in result.stdout


def test_ctrl_c_ends_the_run_and_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = FuzzedServer(logs_in=False)
    dialled(server, 10, KeyboardInterrupt)
    result = pretended(server, monkeypatch, "--output", str(tmp_path), *LONG)
    assert result.exit_code == 130
    assert result.stderr.endswith(" on 9 links, 0 findings\n")


def test_websocket_needs_its_extra(monkeypatch: pytest.MonkeyPatch, service: LoopbackService) -> None:
    monkeypatch.setitem(sys.modules, "mimc_transports._websocket", None)
    result = run(at(service), "--websocket")
    assert result.exit_code == 2
    assert "mimc-proto[websocket]" in result.stderr


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_cli.fuzz.PROGRESS_EVERY", 0.0)
    result = pretended(FuzzedServer(logs_in=False), monkeypatch)
    assert result.exit_code == 0
    assert len(result.stderr.splitlines()) > 2
