"""`mimc fuzz` over each kind of connection: our own service bears it, and what cannot be reached is told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner, Result
from mimc_cli.fuzzing.wires import Closed, Dialer, Wire
from mimc_cli.main import mimc
from mimc_server.testing import LoopbackService

from mimc_proto import ClientConnection, Framing
from mimc_proto.framing import EMPTY_FRAME

CERTIFICATE = str(Path(__file__).parents[1] / "transports" / "loopback.pem")
OTHER = str(Path(__file__).parents[1] / "transports" / "other.pem")
KINDS = [(framing, tls) for framing in Framing for tls in (False, True)]
Addresses = dict[tuple[Framing, bool], tuple[str, int]]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[LoopbackService, Addresses]]:
    """A service, and where it listens for each kind of connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    addresses: Addresses = {}
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(LoopbackService()) as service:
        runner = service._running()

        async def listen() -> None:
            for framing, tls in KINDS:
                place = await runner.listen("127.0.0.1", 0, context if tls else None, framing)
                addresses[framing, tls] = place

        portal.call(listen)
        yield service, addresses


def run(address: tuple[str, int], *arguments: str) -> Result:
    quick = ("--seconds", "0.3", "--rate", "1000", "--seed", "7")
    return CliRunner().invoke(mimc, ["fuzz", f"{address[0]}:{address[1]}", *quick, *arguments])


def options(framing: Framing, tls: bool) -> list[str]:
    found = ["--websocket"] if framing is Framing.WEBSOCKET else []
    return [*found, "--tls", "--ca", CERTIFICATE] if tls else found


@pytest.mark.parametrize(("framing", "tls"), KINDS)
def test_our_service_bears_it(
    framing: Framing, tls: bool, served: tuple[LoopbackService, Addresses], tmp_path: Path
) -> None:
    service, addresses = served
    (tmp_path / "token.json").write_text(service.token("alice")())
    result = run(addresses[framing, tls], *options(framing, tls), "--token", str(tmp_path / "token.json"))
    assert (result.exit_code, result.stderr) == (0, "seed 7\n"), result.stdout
    assert int(result.stdout.split()[0]) > 0


def test_a_certificate_that_is_not_trusted_is_refused(served: tuple[LoopbackService, Addresses]) -> None:
    result = run(served[1][Framing.TCP, True], "--tls", "--ca", OTHER)
    assert result.exit_code == 2
    assert "certificate verify failed" in result.stderr


def test_what_is_no_websocket_cannot_be_fuzzed_as_one(served: tuple[LoopbackService, Addresses]) -> None:
    result = run(served[1][Framing.TCP, False], "--websocket", "--answer-timeout", "0.5")
    assert result.exit_code == 2
    assert "cannot begin" in result.stderr


# -------------------------------------------------------------------------------------------------------- connections


@contextlib.contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, int]]:
    """A server that says these, one for each thing it hears, and then ends the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for answer in answers:
                await reader.read(65536)
                writer.write(answer)
            await writer.drain()
        writer.close()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(serve, "127.0.0.1", 0)

    with start_blocking_portal() as portal:
        server = portal.call(listen)
        try:
            yield server.sockets[0].getsockname()[:2]
        finally:
            portal.call(server.close)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ((b"HTTP/1.1 404 Not Found\r\n\r\n",), "404"),
        ((), "did not receive a valid HTTP response"),
        ((b"no HTTP at all\r\n\r\n",), "expected WebSocket"),
    ],
)
def test_a_handshake_that_fails_says_why(answers: tuple[bytes, ...], told: str) -> None:
    with answering(*answers) as address, pytest.raises(OSError, match=told):
        Dialer(address, framing=Framing.WEBSOCKET)()


def test_a_handshake_that_is_not_answered_ends_in_time() -> None:
    with answering(b"HTTP/1.1 101 ", b"", b"") as address, pytest.raises(TimeoutError):
        Dialer(address, framing=Framing.WEBSOCKET, timeout=0.1)()


def until_closed(wire: Wire) -> Closed:
    while True:
        try:
            wire.receive(5.0)
        except Closed as error:
            return error


def test_the_end_of_a_connection_is_told(served: tuple[LoopbackService, Addresses]) -> None:
    wire = Dialer(served[1][Framing.TCP, False])()
    assert wire.receive(0.001) == []
    wire.send([b"no frame at all"])
    assert until_closed(wire).problem == ""
    wire.close()
    with pytest.raises(Closed):
        wire.send([b"x"])


def test_messages_of_websocket_come_whole_and_its_close_is_an_end(served: tuple[LoopbackService, Addresses]) -> None:
    wire = Dialer(served[1][Framing.WEBSOCKET, False], framing=Framing.WEBSOCKET)()
    conn = ClientConnection(resource="r", id_prefix="p", now=0.0, framing=Framing.WEBSOCKET).data_to_send()
    wire.send(conn)
    messages: list[bytes] = []
    while not messages:
        messages += wire.receive(5.0)
    assert messages[0].startswith(b"\xc2\xfe\x00\x04")
    wire.send([EMPTY_FRAME])
    assert until_closed(wire).problem == ""
    wire.close()
