"""Links in every state, and the other end of a link made by hand: whole frames, written and read without a link."""

from __future__ import annotations

import enum
import struct
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mimc_proto import (
    ClientConnection,
    ClientState,
    Credentials,
    Framing,
    LocalProtocolError,
    RemoteProtocolError,
    ServerConnection,
    ServerState,
)
from mimc_proto.crypto import bind_signature, body_key, rc4, security_key_bytes
from mimc_proto.framing import EMPTY_FRAME, encode_tcp_frame, encode_websocket_packet, join_body
from mimc_proto.packets import (
    Bind,
    BindAnswer,
    Body,
    Conn,
    ConnAnswer,
    Direction,
    Header,
    Kick,
    P2PMessage,
    Packet,
    User,
)

APP_ID = 2882303761517613988
ACCOUNT = "alice"
UUID = 6874178410250241
RESOURCE = "mimc_py_aLiCe"
PACKAGE = "com.xiaomi.imc.test_app1"
TOKEN = "dG9rZW4tdGhhdC1uby1sb2ctc2hvd3M="
SECURITY_KEY = "XOF8dTB2dOVVkEdZB9O21w=="
CHALLENGE = "B7cZuZSa57fM0opU"
PREFIX = "a1B2c3D4e5F6g7H8"
ME = User(app_id=APP_ID, account=ACCOUNT, uuid=UUID, resource=RESOURCE)
TOO_LATE = 1e9
"""A time at which every deadline has passed."""

Link = ClientConnection | ServerConnection


def new_client(framing: Framing = Framing.TCP, *, now: float = 0.0, **options: Any) -> ClientConnection:
    """A client link as it is made."""
    return ClientConnection(**{"resource": RESOURCE, "id_prefix": PREFIX, "framing": framing, "now": now, **options})


def new_server(framing: Framing = Framing.TCP, *, now: float = 0.0, **options: Any) -> ServerConnection:
    """A server link as it is made."""
    return ServerConnection(
        **{"challenge": CHALLENGE, "first_id": 0xABC, "host": "fe-1", "framing": framing, "now": now, **options}
    )


def credentials(**changes: Any) -> Credentials:
    """The user of these tests."""
    plain = {"app_id": APP_ID, "account": ACCOUNT, "uuid": UUID, "token": TOKEN, "package": PACKAGE}
    return Credentials(**{**plain, "security_key": SECURITY_KEY, **changes})


def accept(server: ServerConnection, *, now: float = 0.0, **changes: Any) -> bool:
    """Let the user of these tests in."""
    user = {"app_id": APP_ID, "account": ACCOUNT, "uuid": UUID, "security_key": SECURITY_KEY, "package": PACKAGE}
    return server.accept_bind(**{**user, "now": now, **changes})


def exchange(client: ClientConnection, server: ServerConnection, now: float = 0.0) -> None:
    """Carry everything that waits to the other side, until nothing does."""
    while True:
        upwards, downwards = client.data_to_send(), server.data_to_send()
        if not upwards and not downwards:
            return
        for frame in upwards:
            server.receive_data(frame, now)
        for frame in downwards:
            client.receive_data(frame, now)


def bound_pair(
    framing: Framing = Framing.TCP, *, client: Mapping[str, Any] | None = None, server: Mapping[str, Any] | None = None
) -> tuple[ClientConnection, ServerConnection]:
    """Two links that talk to each other, after login, with nothing left to read; the options of each may be given."""
    one, other = new_client(framing, **(client or {})), new_server(framing, **(server or {}))
    exchange(one, other)
    one.bind(credentials(), now=0.0)
    exchange(one, other)
    assert accept(other)
    exchange(one, other)
    one.events()
    other.events()
    return one, other


def message(sequence: int, *, payload: bytes = b"hello", **changes: Any) -> Packet:
    """A message to the user of these tests, as a list holds it."""
    body = P2PMessage(
        sender=User(app_id=APP_ID, account="bob", uuid=77, resource="pc"),
        recipient=User(app_id=APP_ID, account=ACCOUNT),
        payload=payload,
    )
    whole = {"packet_id": f"bob_{sequence}", "package": PACKAGE, "sequence": sequence, "timestamp": 1526354160772}
    return Packet(**{**whole, "body": body, **changes})


# ------------------------------------------------------------------------------------------- the other end, by hand


class Frame(NamedTuple):
    """What one whole frame holds; an empty frame has no header."""

    header: Header | None
    payload: bytes
    header_bytes: bytes = b""

    @property
    def command(self) -> str:
        """``""`` for an empty frame."""
        return self.header.cmd if self.header is not None else ""


class Peer:
    """Makes and reads frames as some implementation of its own would."""

    def __init__(self, framing: Framing = Framing.TCP, *, udid: str = "", challenge: str = CHALLENGE) -> None:
        self.framing = framing
        self.udid = udid
        self.challenge = challenge
        self.security_key = SECURITY_KEY
        self.body_key: bytes | None = None
        self.count = 0

    def encrypt_bodies(self) -> None:
        """What both ends do after the CONN answer."""
        if self.framing is Framing.TCP:
            self.body_key = body_key(self.challenge, self.udid)

    def raw(self, header: bytes, payload: bytes = b"") -> bytes:
        """A frame around any bytes."""
        if self.framing is Framing.WEBSOCKET:
            return encode_websocket_packet(header, payload)
        return self.raw_body(join_body(header, payload))

    def raw_body(self, body: bytes) -> bytes:
        """A TCP frame around any plain body."""
        return encode_tcp_frame(body if self.body_key is None else rc4(self.body_key, body))

    def frame(self, header: Header, payload: bytes = b"") -> bytes:
        """A frame."""
        return self.raw(header.encode(), payload)

    def payload_key(self, packet_id: str) -> bytes:
        """The key of one SECMSG."""
        return security_key_bytes(self.security_key) + packet_id.encode()

    def read(self, frame: bytes) -> Frame:
        """What is in a frame, checked byte by byte."""
        if frame == EMPTY_FRAME:
            return Frame(None, b"")
        assert zlib.adler32(frame[:-4]) == int.from_bytes(frame[-4:], "big")
        if self.framing is Framing.TCP:
            assert struct.unpack_from(">HHI", frame) == (0xC2FE, 5, len(frame) - 12)
            body = frame[8:-4]
            if self.body_key is not None and b"\x2a\x04CONN" not in body:  # CONN and its answer are never encrypted
                body = rc4(self.body_key, body)
            kind, header_size, payload_size = struct.unpack_from(">HHI", body)
            rest = body[8:]
        else:
            magic, version, header_type, kind, header_size, payload_size = struct.unpack_from(">HHHHHI", frame)
            assert (magic, version, header_type) == (0xC2FE, 4, 3)
            rest = frame[14:-4]
        assert kind == 2
        assert len(rest) == header_size + payload_size
        header = rest[:header_size]
        return Frame(Header.decode(header), rest[header_size:], header)

    def read_all(self, frames: list[bytes]) -> list[Frame]:
        """What is in several frames."""
        return [self.read(frame) for frame in frames]

    def read_packet(self, frame: bytes) -> Packet:
        """The packet of a SECMSG."""
        found = self.read(frame)
        assert found.header is not None
        assert found.header.cmd == "SECMSG"
        if self.framing is Framing.WEBSOCKET and found.header.cipher != 1:  # WebJS sends plain
            return Packet.decode(found.payload)
        return Packet.decode(rc4(self.payload_key(found.header.id or ""), found.payload))


class ScriptedServer(Peer):
    """The frontend at the other end of a client link."""

    def header(self, command: str, packet_id: str = "", **changes: Any) -> Header:
        """A downward header."""
        plain = {"chid": 9, "uuid": UUID, "server": "xiaomi.com", "resource": RESOURCE, "cipher": 0}
        return Header(**{**plain, "cmd": command, "id": packet_id, "dir_flag": Direction.SC_RESP, **changes})

    def answer(self, command: str, payload: bytes = b"") -> bytes:
        """The answer to a command."""
        return self.frame(self.header(command, "1"), payload)

    def conn_answer(self, *, host: str = "fe-1") -> bytes:
        """The answer to CONN, after which bodies are encrypted."""
        frame = self.answer("CONN", ConnAnswer(challenge=self.challenge, host=host).encode())
        self.encrypt_bodies()
        return frame

    def bind_answer(self, result: bool = True, kind: str | None = None, reason: str | None = None) -> bytes:
        """The answer to BIND."""
        return self.answer("BIND", BindAnswer(result=result, error_type=kind, error_reason=reason).encode())

    def kick(self, reason: str | None = None) -> bytes:
        """A KICK; without a reason its payload is empty."""
        return self.answer("KICK", Kick(type=reason, reason=reason).encode())

    def push(self, body: Body | bytes, packet_id: str | None = None) -> bytes:
        """A SECMSG with a packet around this body, or with these bytes as its plain payload."""
        if packet_id is None:
            self.count += 1
            packet_id = f"{self.count:012x}"
        plain = body if isinstance(body, bytes) else Packet(packet_id=packet_id, body=body).encode()
        header = self.header("SECMSG", packet_id, dir_flag=Direction.SC_ONEWAY, cipher=1)
        return self.frame(header, rc4(self.payload_key(packet_id), plain))


class ScriptedClient(Peer):
    """An official client at the other end of a server link: Go's headers on TCP, WebJS's on WebSocket."""

    def __init__(self, framing: Framing = Framing.TCP, *, udid: str = "", challenge: str = CHALLENGE) -> None:
        super().__init__(framing, udid=udid, challenge=challenge)
        self.uuid, self.resource, self.token, self.prefix = UUID, RESOURCE, TOKEN, "client_"
        self.chid = 9

    def next_id(self) -> str:
        """A packet id."""
        self.count += 1
        return f"{self.prefix}{self.count}"

    def header(self, command: str, packet_id: str | None = None, **changes: Any) -> Header:
        """An upward header."""
        packet_id = self.next_id() if packet_id is None else packet_id
        if self.framing is Framing.WEBSOCKET and command == "CONN":
            return Header(**{"server": "xiaomi.com", "cmd": command, "id": packet_id, **changes})
        plain = {"chid": self.chid, "uuid": self.uuid, "server": "xiaomi.com", "resource": self.resource}
        if self.framing is Framing.TCP:
            plain |= {"dir_flag": Direction.CS_REQ, "cipher": int(command == "SECMSG")}
        return Header(**{**plain, "cmd": command, "id": packet_id, **changes})

    def command(self, command: str, payload: bytes = b"", **changes: Any) -> bytes:
        """A frame of any command."""
        return self.frame(self.header(command, **changes), payload)

    def conn(self, **changes: Any) -> bytes:
        """CONN, after which bodies are encrypted."""
        frame = self.command("CONN", Conn(**{"version": 106, "udid": self.udid, "sdk": 33, **changes}).encode())
        self.encrypt_bodies()
        return frame

    def bind(self, *, signed: Mapping[str, str] | None = None, **changes: Any) -> bytes:
        """BIND with its signature, over other fields if ``signed``; ``changes`` are made after it was signed."""
        header = self.header("BIND")
        sig = bind_signature(
            token=self.token,
            challenge=self.challenge,
            chid=header.chid or 0,
            uuid=header.uuid or 0,
            resource=header.resource or "",
            packet_id=header.id or "",
            security_key=self.security_key,
            **(signed or {}),
        )
        plain = {"token": self.token, "kick": "0", "method": "XIAOMI-PASS", "client_attrs": "", "cloud_attrs": ""}
        return self.frame(header, Bind(**{**plain, **(signed or {}), "sig": sig, **changes}).encode())

    def send(self, body: Body | bytes, packet_id: str | None = None, **changes: Any) -> bytes:
        """A SECMSG with a packet around this body, or with these bytes as its plain payload."""
        header = self.header("SECMSG", packet_id, **changes)
        name = header.id or ""
        plain = body if isinstance(body, bytes) else Packet(packet_id=name, package=PACKAGE, body=body).encode()
        return self.frame(header, rc4(self.payload_key(name), plain) if header.cipher == 1 else plain)


# ---------------------------------------------------------------------------------------------- links in any state


def drained(link: Link) -> None:
    """Take what waits in a link."""
    link.events()
    while link.data_to_send():
        pass


def client_in(
    state: ClientState, framing: Framing = Framing.TCP, **options: Any
) -> tuple[ClientConnection, ScriptedServer]:
    """A client link in this state, time 0, nothing waiting, and the frontend it talks to."""
    link, peer = new_client(framing, **options), ScriptedServer(framing)
    for step in _CLIENT_PATHS[state]:
        step(link, peer)
    assert link.state is state
    drained(link)
    return link, peer


_ClientStep = Callable[[ClientConnection, ScriptedServer], object]
_CLIENT_READY: tuple[_ClientStep, ...] = (lambda link, peer: link.receive_data(peer.conn_answer(), 0.0),)
_CLIENT_BINDING: tuple[_ClientStep, ...] = (*_CLIENT_READY, lambda link, _: link.bind(credentials(), now=0.0))
_CLIENT_BOUND: tuple[_ClientStep, ...] = (
    *_CLIENT_BINDING,
    lambda link, peer: link.receive_data(peer.bind_answer(), 0.0),
)
_CLIENT_PATHS: dict[ClientState, tuple[_ClientStep, ...]] = {
    ClientState.HANDSHAKE: (),
    ClientState.READY: _CLIENT_READY,
    ClientState.BINDING: _CLIENT_BINDING,
    ClientState.BOUND: _CLIENT_BOUND,
    ClientState.UNBINDING: (*_CLIENT_BOUND, lambda link, _: link.unbind(now=0.0)),
    ClientState.CLOSED: (*_CLIENT_BOUND, lambda link, _: link.receive_eof(now=0.0)),
}


def server_in(
    state: ServerState, framing: Framing = Framing.TCP, **options: Any
) -> tuple[ServerConnection, ScriptedClient]:
    """A server link in this state, time 0, nothing waiting, and the client it talks to."""
    link, peer = new_server(framing, **options), ScriptedClient(framing)
    for step in _SERVER_PATHS[state]:
        step(link, peer)
    assert link.state is state
    drained(link)
    return link, peer


_ServerStep = Callable[[ServerConnection, ScriptedClient], object]
_SERVER_READY: tuple[_ServerStep, ...] = (lambda link, peer: link.receive_data(peer.conn(), 0.0),)
_SERVER_BINDING: tuple[_ServerStep, ...] = (*_SERVER_READY, lambda link, peer: link.receive_data(peer.bind(), 0.0))
_SERVER_BOUND: tuple[_ServerStep, ...] = (*_SERVER_BINDING, lambda link, _: accept(link))
_SERVER_PATHS: dict[ServerState, tuple[_ServerStep, ...]] = {
    ServerState.HANDSHAKE: (),
    ServerState.READY: _SERVER_READY,
    ServerState.BINDING: _SERVER_BINDING,
    ServerState.BOUND: _SERVER_BOUND,
    ServerState.REBINDING: (*_SERVER_BOUND, lambda link, peer: link.receive_data(peer.bind(), 0.0)),
    ServerState.CLOSING: (*_SERVER_BOUND, lambda link, _: link.close(now=0.0)),
    ServerState.CLOSED: (*_SERVER_BOUND, lambda link, _: link.receive_eof(now=0.0)),
}


# ----------------------------------------------------------------------------------------------- looking into links


def inside(value: Any) -> Any:
    """Everything a link holds but the time it has seen, as plain values that can be compared.

    An empty queue counts as none: one is made when it is needed.
    """
    if isinstance(value, (list, tuple, deque)):
        return [type(value).__name__, *map(inside, value)] if value or not isinstance(value, deque) else None
    if isinstance(value, dict):
        return {key: inside(item) for key, item in value.items()}
    cls = type(value)
    if not cls.__module__.startswith("mimc_proto") or isinstance(value, (enum.Enum, Exception)):
        return value
    names = [name for base in cls.__mro__ for name in base.__dict__.get("__slots__", ())]
    return {name: inside(getattr(value, name, None)) for name in names if name != "_now"}


def refusal(link: Link, act: Callable[[], object]) -> LocalProtocolError:
    """The error of an act that the link refuses, which changes nothing in it."""
    before = inside(link)
    try:
        act()
    except LocalProtocolError as error:
        assert inside(link) == before
        return error
    raise AssertionError("it was not refused")


def breakage(link: Link, frame: bytes, now: float = 0.0) -> RemoteProtocolError:
    """The error with which a link ends over a frame."""
    try:
        link.receive_data(frame, now)
    except RemoteProtocolError as error:
        return error
    raise AssertionError("it was accepted")


def commands(peer: Peer, link: Link) -> list[str]:
    """The commands of the frames that wait; ``""`` stands for an empty frame."""
    return [frame.command for frame in peer.read_all(link.data_to_send(1 << 30))]


def names(events: list[Any]) -> list[str]:
    """What the events are."""
    return [type(event).__name__ for event in events]
