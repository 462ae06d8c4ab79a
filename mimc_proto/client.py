"""One link as the client sees it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol, TypeVar

from ._checks import MAX_ID, check_text, read_strictly
from ._keepalive import Keepalive
from ._link import Trace
from ._lists import read_list
from ._record import new_record
from ._requests import Request, RequestEncoder, wants_answer
from .config import ClientConfig
from .credentials import Credentials
from .crypto import SERVER, BodyCipher, bind_signature, body_key
from .errors import CryptoError, LocalProtocolError, PacketError, RemoteProtocolError
from .events import (
    AckReceived,
    BindAccepted,
    BindRefused,
    CloseReason,
    HandshakeCompleted,
    Kicked,
    PacketReceived,
    PongReceived,
)
from .framing import Framing
from .packets import (
    Bind,
    BindAnswer,
    Command,
    Conn,
    ConnAnswer,
    Direction,
    Header,
    Kick,
    Packet,
    PacketAck,
    PacketList,
)
from .packets.encoders import HeaderTemplate
from .packets.fast import decode_push
from .states import CLIENT_TABLE, ClientInput, ClientState

__all__ = ["ClientConnection"]

VERSION = 106
SDK_TCP, SDK_WEBSOCKET = 33, 31
EXAMPLE_CHALLENGE = "0123456789abcdef"
METHOD = "XIAOMI-PASS"
KICK = "0"


class Unencoded(Protocol):
    """A message that is encoded when it is taken."""

    taken: bool
    wants_answer: bool
    """Whether a server has to answer it within seconds: all but online messages, which their receivers answer."""

    def encode(self, requests: RequestEncoder, packet_id: bytes, /) -> bytes:
        """The plain MIMCPacket."""


M = TypeVar("M", bound=Unencoded)

_SEND = ClientInput.SEND  # an enum's attributes are slow to reach
_SENDING = (ClientState.BOUND, ClientState.UNBINDING)


class ClientConnection(Keepalive):
    """A connection to a frontend that was just opened; CONN is queued at once.

    ``resource`` names this device among those of the account. ``id_prefix`` opens every packet id made here and has
    to be unlike that of any other connection of the user (16 random letters and digits, say). ``udid`` takes part
    in the body key; it may be empty. ``now`` is any clock in seconds. ``trace`` sees every frame, masked.

    Raises `LocalProtocolError` for arguments that cannot be sent.
    """

    __slots__ = (
        "_challenge",
        "_counter",
        "_credentials",
        "_encoder",
        "_id_prefix",
        "_udid",
        "resource",
    )

    _table = CLIENT_TABLE
    _closed = ClientState.CLOSED
    _packet_input = ClientInput.PACKET
    _other_input = ClientInput.OTHER
    _decode = staticmethod(decode_push)
    _always_encrypted = True  # downwards, whatever cipher says

    def __init__(
        self,
        *,
        resource: str,
        id_prefix: str,
        now: float,
        framing: Framing = Framing.TCP,
        udid: str = "",
        config: ClientConfig | None = None,
        trace: Trace | None = None,
    ) -> None:
        config = config if config is not None else ClientConfig()
        if not isinstance(config, ClientConfig):
            raise LocalProtocolError(f"expected a ClientConfig, got a {type(config).__name__}", where="config")
        super().__init__(framing, config, now, trace)
        self.resource = check_text(resource, "resource", MAX_ID)
        self._id_prefix = check_text(id_prefix, "id_prefix", MAX_ID - 20)
        body_key(EXAMPLE_CHALLENGE, udid)  # raises for an udid that cannot be part of a key
        self._udid = udid
        self._challenge = ""
        self._counter = 0
        self._credentials: Credentials | None = None
        self._encoder: RequestEncoder | None = None
        websocket = framing is Framing.WEBSOCKET
        conn = Conn(
            version=VERSION, os="python", udid=udid, sdk=SDK_WEBSOCKET if websocket else SDK_TCP, model="mimc-proto"
        )
        if websocket:  # as WebJS: no identity before BIND
            header = Header(server=SERVER, cmd=Command.CONN, id=self._next_id())
        else:
            header = self._header(Command.CONN, self._next_id())
        self._control.append(self._frame(header.encode(), conn.encode()))

    # ------------------------------------------------------------------------------------------------------ verbs

    def bind(self, credentials: Credentials, now: float) -> None:
        """Log in (in state READY): queues BIND, whose answer is due within ``login_timeout``.

        A further BIND on the same link, after a KICK or a refusal, has a new id and so a new signature.
        """
        self._tick(now)
        state = self._verb(ClientInput.BIND)
        if not isinstance(credentials, Credentials):
            raise LocalProtocolError(f"expected Credentials, got {type(credentials).__name__}", where="bind")
        secret = credentials.checked_secret()
        before = self._credentials
        if self._queue and before is not None and not before.same_user(credentials):
            raise LocalProtocolError(
                f"expected the user whose {len(self._queue)} packets wait; use a new link for another",
                where="Credentials",
            )
        encoder = RequestEncoder(credentials.user(self.resource), credentials.package)
        packet_id = self._coming_id()
        bind = Bind(
            token=credentials.token,
            kick=KICK,
            method=METHOD,
            client_attrs="",
            cloud_attrs="",
            sig=bind_signature(
                token=credentials.token,
                challenge=self._challenge,
                chid=credentials.chid,
                uuid=credentials.uuid,
                resource=self.resource,
                packet_id=packet_id,
                security_key=credentials.security_key,
            ),
        )
        frame = self._frame(self._header(Command.BIND, packet_id, credentials).encode(), bind.encode())
        self._counter += 1
        self._credentials, self._encoder, self._secret = credentials, encoder, secret
        self._send_template = HeaderTemplate(self._header(Command.SECMSG, "", credentials))
        self._receive_template = None
        self._control.append(frame)
        self._state = state
        self._phase_at = self._now + self.config.login_timeout

    def unbind(self, now: float) -> None:
        """Log out: UBND goes out behind the messages that wait; the answer ends the link."""
        self._tick(now)
        self._state = self._verb(ClientInput.UNBIND)
        self._seal()
        header = self._header(Command.UBND, self._next_id(), self._credentials)
        frame = self._frame(header.encode(), b"")
        self._append(frame, len(frame))
        self._phase_at = self._now + self.config.answer_timeout

    def close(self, now: float) -> None:
        """End the link at once; what waits is dropped."""
        self._tick(now)
        if self._close_at is None:
            self._end(CloseReason.LOCAL)

    def send_p2p(
        self,
        account: str,
        payload: bytes,
        *,
        now: float,
        biz_type: str | None = None,
        is_store: bool = True,
        packet_id: str | None = None,
    ) -> str:
        """Queue a message to a user and return its packet id, which its PACKET_ACK will carry.

        ``payload`` has at most ``max_payload`` bytes. ``packet_id`` may be given, with at most 128 bytes; it is the
        header's id as well. Raises `LocalProtocolError`, and `QueueFull` when too much waits.
        """
        self._tick(now)
        self._verb(_SEND)
        packet_id = self._prepare(packet_id, payload)
        id_bytes = packet_id.encode()
        self._enqueue(id_bytes, self._requests.p2p(id_bytes, account, payload, is_store, biz_type), True)
        self._counter += 1
        return packet_id

    def send_p2t(
        self,
        topic_id: int,
        payload: bytes,
        *,
        now: float,
        biz_type: str | None = None,
        is_store: bool = True,
        packet_id: str | None = None,
    ) -> str:
        """Queue a message to a normal group; otherwise like `send_p2p`."""
        self._tick(now)
        self._verb(_SEND)
        packet_id = self._prepare(packet_id, payload)
        id_bytes = packet_id.encode()
        self._enqueue(id_bytes, self._requests.p2t(id_bytes, topic_id, payload, is_store, biz_type), True)
        self._counter += 1
        return packet_id

    def send(self, body: Request, *, now: float, packet_id: str | None = None) -> str:
        """Queue any other request, or a message as a record; returns its packet id.

        What the record leaves out (None) is filled in: the sender, uuid, resource and app id of this user. Requests
        of unlimited groups get their `UcPacket` around them.
        """
        self._tick(now)
        self._verb(ClientInput.SEND)
        packet_id = self._prepare(packet_id, getattr(body, "payload", b""))
        self._enqueue(packet_id.encode(), self._requests.encode(body, packet_id), wants_answer(body))
        self._counter += 1
        return packet_id

    def encrypt_now(self, queue: OrderedDict[str, M], max_bytes: int) -> list[bytes]:
        """Take messages out of a queue of the caller's, by packet id, and straight to frames (in state BOUND).

        For whoever keeps messages himself, because they outlive the link: what this gives goes behind what
        `data_to_send` gave, which has to be nothing more. Stops when ``max_bytes`` are reached.
        """
        frames: list[bytes] = []
        answers, size, requests, encrypt = False, 0, self._requests, self._encrypt
        while queue and size < max_bytes:
            packet_id, message = queue.popitem(last=False)
            message.taken = True
            answers = answers or message.wants_answer
            id_bytes = packet_id.encode()
            frame = encrypt((id_bytes, message.encode(requests, id_bytes), True))
            frames.append(frame)
            size += len(frame)
        self._taken(answers)
        if self._trace is not None:
            for frame in frames:
                self._trace("out", f"{len(frame)} bytes", self._now)
        return frames

    # ------------------------------------------------------------------------------------------------------ input

    def _on_empty_frame(self) -> None:
        if self._arrived(ClientInput.PONG, "an empty frame"):
            self._emit(PongReceived())

    def _on_conn(self, header: Header, payload: bytes) -> None:
        self._arrived(ClientInput.CONN_ANSWER, header.cmd)
        answer = read_strictly(ConnAnswer, payload)
        try:
            key = body_key(answer.challenge, self._udid)
        except CryptoError as error:
            raise RemoteProtocolError(error.problem, where=f"CONN answer: {error.where}") from None
        if self.framing is Framing.TCP:
            self._cipher = BodyCipher(key)
        self._challenge = answer.challenge
        self._phase_at = None
        self._emit(HandshakeCompleted(host=answer.host))

    def _on_bind(self, header: Header, payload: bytes) -> None:
        answer = read_strictly(BindAnswer, payload)
        item = ClientInput.BIND_ACCEPTED if answer.result else ClientInput.BIND_REFUSED
        if not self._arrived(item, header.cmd):
            self._ignore(header, payload)
        elif answer.result:
            self._phase_at = None
            self._trim()
            self._emit(BindAccepted())
        elif not self._logged_out():
            self._emit(
                BindRefused(
                    error_type=answer.error_type or "",
                    error_reason=answer.error_reason or "",
                    error_desc=answer.error_desc or "",
                )
            )

    def _on_kick(self, header: Header, payload: bytes) -> None:
        kick = read_strictly(Kick, payload)
        if self._arrived(ClientInput.KICK, header.cmd) and not self._logged_out():
            self._emit(Kicked(kick=kick))

    def _on_unbound(self, header: Header, payload: bytes) -> None:
        if self._arrived(ClientInput.UNBOUND, header.cmd):
            self._logged_out()
        else:
            self._ignore(header, payload)

    def _on_ping(self, header: Header, payload: bytes) -> None:
        self._on_empty_frame()

    def _logged_out(self) -> bool:
        """Offline now: whether that ends the link, as after a logout."""
        self._phase_at = None
        if self._state is ClientState.CLOSED:
            self._end(CloseReason.LOGGED_OUT)
            return True
        return False

    def _on_packet(self, packet_id: str, packet: Packet | PacketAck) -> None:
        if isinstance(packet, PacketAck):
            self._events.append(new_record(AckReceived, (packet,)))
        elif isinstance(packet.body, PacketAck):
            self._events.append(new_record(AckReceived, (packet.body,)))
        elif isinstance(packet.body, PacketList):
            try:
                self._emit(read_list(packet.body, self._bound.uuid, self.resource))
            except PacketError as error:
                self._bad_packet(error, packet_id, packet)
        else:
            self._events.append(new_record(PacketReceived, (packet_id, packet)))

    # ----------------------------------------------------------------------------------------------------- helpers

    @property
    def _bound(self) -> Credentials:
        assert self._credentials is not None  # the state table lets nothing through before bind()
        return self._credentials

    @property
    def _requests(self) -> RequestEncoder:
        assert self._encoder is not None  # the state table lets nothing through before bind()
        return self._encoder

    def _coming_id(self) -> str:
        """The id of the next packet; whoever uses it counts it, when nothing can go wrong any more."""
        return f"{self._id_prefix}_{self._counter + 1}"

    def _next_id(self) -> str:
        packet_id = self._coming_id()
        self._counter += 1
        return packet_id

    def _ping_frame(self) -> bytes:
        return self._frame(self._header(Command.PING, self._next_id(), self._credentials).encode(), b"")

    def _may_send(self) -> bool:
        return self._state in _SENDING

    def _header(self, command: Command, packet_id: str, user: Credentials | None = None) -> Header:
        chid, uuid = (user.chid, user.uuid) if user is not None else (9, 0)
        if self.framing is Framing.WEBSOCKET:  # as WebJS: no direction, no cipher
            return Header(chid=chid, uuid=uuid, server=SERVER, resource=self.resource, cmd=command, id=packet_id)
        return Header(
            chid=chid,
            uuid=uuid,
            server=SERVER,
            resource=self.resource,
            cmd=command,
            id=packet_id,
            dir_flag=Direction.CS_REQ,
            cipher=1 if command is Command.SECMSG else 0,
        )

    def _prepare(self, packet_id: str | None, payload: object) -> str:
        """Check what all messages have in common; the id of this one."""
        if type(payload) is not bytes:
            raise LocalProtocolError(f"expected bytes, got a {type(payload).__name__}", where="payload")
        if len(payload) > self.config.max_payload:
            raise LocalProtocolError(
                f"expected at most {self.config.max_payload} bytes (max_payload), got {len(payload)}", where="payload"
            )
        if packet_id is None:
            return f"{self._id_prefix}_{self._counter + 1}"  # as _coming_id()
        return check_text(packet_id, "packet_id", MAX_ID)


ClientConnection._handlers = {
    Command.CONN: ClientConnection._on_conn,
    Command.BIND: ClientConnection._on_bind,
    Command.PING: ClientConnection._on_ping,
    Command.KICK: ClientConnection._on_kick,
    Command.UBND: ClientConnection._on_unbound,
}
