"""What is fuzzed: each target takes bytes and raises if a law is broken. Nothing else may come out of one.

The laws: only declared errors; the same whatever the reads are cut into; what can be read can be written and read
again; a session, a service, the identity cache and the endpoints raise nothing for what a peer says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import anyio
import conversations as base
from click.testing import CliRunner
from mimc_cli.fuzzing import mutate_bytes, mutate_message, mutate_stream, split
from mimc_cli.main import mimc
from mimc_server.applications import Application, Applications
from mimc_server.http import HttpService, make_app
from mimc_server.service import Service
from mimc_server.store import MemoryStore
from mimc_server.tokens import TokenClaims, TokenIssuer
from mimc_transports._cache import IdentityCache
from mutate_json import mutate_json

from mimc_proto import (
    ClientConnection,
    ClientState,
    Framing,
    PacketError,
    RemoteProtocolError,
    ServerConnection,
    ServerState,
)
from mimc_proto.errors import ResolverError, TokenError
from mimc_proto.events import BindRequested, HandshakeCompleted
from mimc_proto.framing import TcpDecoder, decode_websocket_packet, encode_tcp_frame, encode_websocket_packet
from mimc_proto.packets import BadPacket, Header, Packet, PacketList
from mimc_proto.session import ClientSession, FetchToken, MessagesDelivered, OpenLink, TooManyWaiting
from mimc_proto.session.resolver import parse_resolver_answer
from mimc_proto.session.tokens import parse_token_answer
from mimc_proto.testing import FRONTEND, resolver_answer, token_answer

__all__ = ["TARGETS", "Target"]

TCP, WEBSOCKET = Framing
Mutator = Callable[[bytes, Random], bytes]

TARGETS: dict[str, Target] = {}


@dataclasses.dataclass(frozen=True)
class Target:
    """``run(data)`` raises if a law is broken; ``mutate`` makes one input of another; ``seeds`` are where to start."""

    run: Callable[[bytes], None]
    mutate: Mutator
    seeds: Callable[[], list[bytes]]


def target(mutate: Mutator, seeds: Callable[[], list[bytes]]) -> Callable[[Callable[[bytes], None]], Target]:
    """Declare the function as the target of its name."""

    def declare(run: Callable[[bytes], None]) -> Target:
        found = TARGETS[run.__name__] = Target(run, mutate, seeds)
        return found

    return declare


def stream_mutator(framing: Framing) -> Mutator:
    known = base.keys(framing)
    return lambda data, rng: mutate_bytes(data, rng) if rng.random() < 0.1 else mutate_stream(data, known, rng)


def cuts(data: bytes) -> list[bytes]:
    """The same bytes in pieces, the same every time."""
    rng = Random(zlib.crc32(data))
    pieces, place = [], 0
    while place < len(data):
        end = place + rng.choice((1, 2, 7, 30, 300))
        pieces.append(data[place:end])
        place = end
    return pieces


# -------------------------------------------------------------------------------------------------- frames and packets


@target(stream_mutator(TCP), lambda: base.upward(TCP) + base.downward(TCP))
def tcp_framing(data: bytes) -> None:
    """Bodies come out the same however they are cut, and make the same frames again."""

    def read(pieces: list[bytes]) -> tuple[list[bytes], str]:
        decoder, bodies = TcpDecoder(65536), []
        try:
            for piece in pieces:
                decoder.feed(piece)
                while (body := decoder.next_body()) is not None:
                    bodies.append(body)
        except RemoteProtocolError as error:
            return bodies, str(error)
        return bodies, ""

    bodies, error = read([data])
    assert (bodies, error) == read(cuts(data))
    assert data.startswith(b"".join(map(encode_tcp_frame, bodies)))


@target(mutate_bytes, lambda: [data[4:] for data in base.upward(WEBSOCKET)])
def websocket_framing(data: bytes) -> None:
    """A message is read and can be written again, or it is refused."""
    try:
        header, payload = decode_websocket_packet(data, 65536)
    except RemoteProtocolError:
        return
    assert encode_websocket_packet(header, payload) == data


def _headers() -> list[bytes]:
    known = base.keys(TCP)
    return [piece.header for piece in split(base.upward(TCP)[0] + base.downward(TCP)[0], known) if piece.header]


@target(mutate_message, _headers)
def header(data: bytes) -> None:
    """A header is read and can be written and read again, or it is refused."""
    try:
        decoded = Header.decode(data)
    except PacketError:
        return
    assert Header.decode(decoded.encode()) == decoded


@target(mutate_message, base.packets)
def packet(data: bytes) -> None:
    """The same of a packet; a list with packets that cannot be read cannot be written."""
    try:
        decoded = Packet.decode(data)
    except PacketError:
        return
    body = decoded.body
    if not (isinstance(body, PacketList) and any(isinstance(inner, BadPacket) for inner in body.packets)):
        assert Packet.decode(decoded.encode()) == decoded


# --------------------------------------------------------------------------------------------------------------- links


def _seen(link: ClientConnection | ServerConnection, pieces: list[bytes], react: Callable[[Any], None]) -> list[str]:
    """All that a link says to a stream: events, errors, frames and where it is then."""
    said: list[str] = []
    errors: list[str] = []
    for piece in pieces:
        try:
            link.receive_data(piece, 1.0)
        except RemoteProtocolError as error:
            errors.append(str(error))
        for event in link.events():
            said.append(repr(event))
            react(event)
    said += [frame.hex() for frame in link.data_to_send(1 << 30)]
    return [*said, *errors, str(link.state), str(link.get_timer()), str(link.close_expected())]


def _frames(data: bytes, framing: Framing) -> list[bytes]:
    """The stream, cut where its frames (or messages) end; what is left is one piece."""
    head, tail = (8, 4) if framing is TCP else (4, 0)
    pieces, place = [], 0
    while place + head <= len(data):
        [size] = struct.unpack_from(">I", data, place + head - 4)
        end = place + head + size + tail
        pieces.append(data[place if framing is TCP else place + head : end])
        place = end
    return [*pieces, data[place:]] if framing is TCP and place < len(data) else pieces


def _fed(
    link: ClientConnection | ServerConnection, data: bytes, framing: Framing, react: Any, *, cut: bool
) -> list[str]:
    """What a link says to frames, whole or in pieces: something may be done between two of them."""
    pieces = _frames(data, framing)
    if cut and framing is TCP:  # WebSocket keeps messages whole
        pieces = [piece for frame in pieces for piece in cuts(frame)]
    return _seen(link, pieces, react)


def _client(data: bytes, framing: Framing) -> None:
    def seen(cut: bool) -> list[str]:
        link = base.new_client(framing)
        link.data_to_send()

        def bind(event: Any) -> None:
            if type(event) is HandshakeCompleted and link.state is ClientState.READY:
                link.bind(base.ALICE, now=1.0)

        return _fed(link, data, framing, bind, cut=cut)

    assert seen(False) == seen(True)


def _server(data: bytes, framing: Framing) -> None:
    def seen(cut: bool) -> list[str]:
        link = base.new_server(framing)

        def accept(event: Any) -> None:
            if type(event) is BindRequested and link.state in (ServerState.BINDING, ServerState.REBINDING):
                base.accept(link, 1.0)

        return _fed(link, data, framing, accept, cut=cut)

    assert seen(False) == seen(True)


def _online(data: bytes, link: Callable[[], ClientConnection | ServerConnection]) -> None:
    """What is read after the login does the same whatever it is cut into."""
    assert _seen(link(), [data], lambda _: None) == _seen(link(), cuts(data), lambda _: None)


@target(stream_mutator(TCP), lambda: base.downward(TCP))
def client_link(data: bytes) -> None:
    """Only declared errors, and the same however the frames are cut."""
    _client(data, TCP)


@target(stream_mutator(WEBSOCKET), lambda: base.downward(WEBSOCKET))
def client_link_websocket(data: bytes) -> None:
    """The same on WebSocket."""
    _client(data, WEBSOCKET)


@target(stream_mutator(TCP), lambda: base.after_login(base.downward(TCP)))
def client_link_online(data: bytes) -> None:
    """The same after the login, however the stream is cut."""
    _online(data, base.online_client)


@target(stream_mutator(TCP), lambda: base.upward(TCP))
def server_link(data: bytes) -> None:
    """Only declared errors, and the same however the frames are cut."""
    _server(data, TCP)


@target(stream_mutator(WEBSOCKET), lambda: base.upward(WEBSOCKET))
def server_link_websocket(data: bytes) -> None:
    """The same on WebSocket."""
    _server(data, WEBSOCKET)


@target(stream_mutator(TCP), lambda: base.after_login(base.upward(TCP)))
def server_link_online(data: bytes) -> None:
    """The same after the login, however the stream is cut."""
    _online(data, base.online_server)


# ------------------------------------------------------------------------------------------------- session and service


def _session_says(pieces: list[bytes]) -> list[str]:
    session, link_id = base.online_session()
    said: list[str] = []

    def drive() -> None:
        nonlocal link_id
        for request in session.requests():
            said.append(repr(request))
            if isinstance(request, FetchToken):
                session.token_fetched(request.request_id, token_answer(base.ALICE), 1.0)
            elif isinstance(request, OpenLink):
                link_id = request.link_id
                session.link_opened(link_id, 1.0)
        for event in session.events():
            said.append(repr(event))
            if isinstance(event, MessagesDelivered | TooManyWaiting):
                session.consumed(event.receipt, 1.0)
        said.extend(frame.hex() for frame in session.data_to_send(link_id))

    session.send("bob", b"queued", now=1.0)
    session.pull(1.0)
    for piece in pieces:
        session.receive_data(link_id, piece, 1.0)
    drive()
    session.handle_timer(100.0)
    drive()
    session.close(200.0)
    return said


@target(stream_mutator(TCP), lambda: base.after_login(base.downward(TCP)))
def session(data: bytes) -> None:
    """A session raises nothing for what a server says, and does the same however the stream is cut."""
    assert _session_says([data]) == _session_says(cuts(data))


class _Verifier:
    """Everybody is Alice."""

    def verify(self, token: str, wall_ms: int, good_from_ms: int = 0) -> TokenClaims:
        alice = base.ALICE
        return TokenClaims(
            app_id=alice.app_id,
            account=alice.account,
            uuid=alice.uuid,
            security_key=alice.security_key,
            issued_ms=0,
            expires_ms=1 << 50,
        )


class _Fixed(Random):
    """Makes the challenge of the streams."""

    def getrandbits(self, k: int, /) -> int:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        if k != 6 * len(base.CHALLENGE):
            return super().getrandbits(k)
        return sum(alphabet.index(letter) << 6 * place for place, letter in enumerate(base.CHALLENGE))


@target(stream_mutator(TCP), lambda: base.upward(TCP))
def service(data: bytes) -> None:
    """A service raises nothing for what a client says."""
    store = MemoryStore()
    assert store.user(base.ALICE.app_id, base.ALICE.account, 0).uuid == base.ALICE.uuid
    running = Service(node="fuzz", tokens=_Verifier(), package_of=lambda _: base.ALICE.package, rng=_Fixed(1))
    link_id = running.link_opened(0.0)
    for piece in cuts(data):
        running.receive_data(link_id, piece, 1.0, 1_000)
        while running.run_store(store, 1.0, 1_000):
            pass
        running.data_to_send(link_id)
        running.events()
        running.hints()
    running.handle_timer(1_000.0, 1_000_000)
    running.link_lost(link_id, 1_001.0, 1_000_000)
    while running.run_store(store, 1.0, 1_000):
        pass


# ------------------------------------------------------------------------------------------------ JSON, files, commands


@target(mutate_json, lambda: [token_answer(base.ALICE).encode()])
def token_json(data: bytes) -> None:
    """A token answer is read, or refused without being shown."""
    with contextlib.suppress(TokenError):
        parse_token_answer(data, app_id=base.ALICE.app_id, account=base.ALICE.account)


@target(mutate_json, lambda: [resolver_answer({FRONTEND: [("10.0.0.1", 5222), ("::1", 80)]}).encode()])
def resolver_json(data: bytes) -> None:
    """A resolver answer is read, or refused."""
    try:
        found = parse_resolver_answer(data, FRONTEND)
    except ResolverError:
        return
    assert all(0 < port < 65536 for _, port in found)


def _kept() -> list[bytes]:
    kept: dict[str, object] = {"version": 1, "app_id": base.ALICE.app_id, "account": base.ALICE.account}
    kept |= {"resource": base.RESOURCE, "token": token_answer(base.ALICE), "addresses": [["10.0.0.1", 5222]]}
    return [json.dumps(kept).encode()]


@target(mutate_json, _kept)
def identity_cache(data: bytes) -> None:
    """Whatever is in the file, there is a session, and what cannot be read is set aside."""
    with tempfile.TemporaryDirectory() as folder:
        cache = IdentityCache(Path(folder), base.ALICE.app_id, base.ALICE.account, None)
        path = cache._path
        cache.close()
        path.write_bytes(data)
        cache = IdentityCache(Path(folder), base.ALICE.app_id, base.ALICE.account, None)
        try:
            cache.session(
                lambda **kept: ClientSession(
                    base.ALICE.app_id, base.ALICE.account, rng=Random(1), now=0.0, **{"resource": None, **kept}
                )
            )
            cache.save("another", None, ())
        finally:
            cache.close()
        assert json.loads(path.read_bytes())["resource"] == "another"


_APPLICATION = Application.of(app_id=base.ALICE.app_id, app_key="key", app_secret="secret", package=base.ALICE.package)
_BY_SECRET = {"appKey": "key", "appSecret": "secret", "appAccount": "alice", "appId": str(base.ALICE.app_id)}


def _requests() -> list[bytes]:
    login = {**_BY_SECRET, "appId": base.ALICE.app_id}
    span = {"toAccount": "bob", "fromAccount": "alice", "utcFromTime": 0, "utcToTime": 1000, "count": 5}
    group = {"account": "alice", "topicId": 21, "startSeq": 0, "stopSeq": 9, "utcFromTime": "0", "utcToTime": "9"}
    asked: list[tuple[str, str, object]] = [
        ("POST", "/api/account/token", login),
        ("GET", "/gslb/?ver=4.0&type=wifi&list=a,b&", None),
        ("POST", f"/api/topic/{base.ALICE.app_id}", {"topicName": "t", "accounts": "bob,carol", "extra": "x"}),
        ("GET", f"/api/topic/{base.ALICE.app_id}/2135000000000000", None),
        ("GET", f"/api/topic/{base.ALICE.app_id}/account", None),
        ("POST", f"/api/topic/{base.ALICE.app_id}/2135000000000000/accounts", {"accounts": "dave"}),
        ("DELETE", f"/api/topic/{base.ALICE.app_id}/2135000000000000/accounts?accounts=bob", None),
        ("PUT", f"/api/topic/{base.ALICE.app_id}/2135000000000000", {"bulletin": "b", "ownerAccount": "bob"}),
        ("DELETE", f"/api/topic/{base.ALICE.app_id}/2135000000000000", None),
        ("POST", "/api/uctopic", {"topicName": "t"}),
        ("GET", "/api/uctopic/topics", None),
        ("GET", "/api/uctopic/userlist", None),
        ("POST", "/api/uctopic/update", {"topicId": "21", "topicName": "n"}),
        ("POST", "/api/msg/p2p/queryOnTime", span),
        ("POST", "/api/msg/p2p/queryOnCount/v2/", span),
        ("POST", "/api/msg/p2t/queryOnSequence", group),
        ("GET", "/openapi.json", None),
    ]
    return [json.dumps([method, path, _BY_SECRET, body]).encode() for method, path, body in asked]


@target(mutate_json, _requests)
def endpoints(data: bytes) -> None:
    """Method, path, headers and body as JSON, or only a body: no answer is a 5xx, and all are JSON in the envelope."""
    try:
        method, path, headers, body = json.loads(data)
        path, query = str(path).encode(errors="replace").decode().partition("?")[::2]
        fields = [(str(name).encode("latin-1"), str(value).encode()) for name, value in dict(headers).items()]
        scope = {
            "method": str(method).encode("ascii", "replace").decode(),
            "path": path,
            "query_string": query.encode(),
            "headers": fields,
        }
        content = json.dumps(body).encode()
    except (ValueError, TypeError, RecursionError):
        scope = {"method": "POST", "path": "/api/account/token", "query_string": b"", "headers": []}
        content = data
    status, answer = anyio.run(_asked, scope, content)
    assert status < 500, (status, answer)


async def _asked(scope: dict[str, Any], content: bytes) -> tuple[int, bytes]:
    tokens = TokenIssuer(bytes(16), 3600.0, Random(1))
    http = HttpService(Applications([_APPLICATION]), MemoryStore(), tokens, list, wall_ms=lambda: 1_700_000_000_000)
    app = make_app(http)
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        said.append(message)

    whole = {"type": "http", "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 80), "root_path": ""}
    raw = scope["path"].encode()
    await app({**whole, **scope, "raw_path": raw, "client": ("127.0.0.1", 1)}, receive, send)
    status: int = said[0]["status"]
    return status, b"".join(message.get("body", b"") for message in said[1:])


def _decodable() -> list[bytes]:
    return [stream for framing in Framing for stream in (base.upward(framing)[0], base.downward(framing)[0])]


@target(stream_mutator(TCP), _decodable)
def decode(data: bytes) -> None:
    """`mimc decode` ends with a status it declares, and every line is JSON."""
    options = ["--challenge", base.CHALLENGE, "--security-key", base.ALICE.security_key, "-"]
    result = CliRunner().invoke(mimc, ["decode", *options], input=data)
    assert result.exit_code in (0, 1, 2), result.exception
    for line in result.stdout.splitlines():
        json.loads(line)
