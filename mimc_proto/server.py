"""One link as the server sees it. It sends only frames that every official client can bear (clients.md)."""

from __future__ import annotations

from ._answers import Answer, AnswerEncoder
from ._checks import MAX_NAME, check_text, link_secret, read_strictly
from ._link import Link, Trace
from ._record import new_record
from .config import ServerConfig
from .crypto import SERVER, BodyCipher, body_key, verify_bind_signature
from .errors import CryptoError, LocalProtocolError, RemoteProtocolError
from .events import (
    BindRequested,
    ClientConnected,
    CloseReason,
    PacketReceived,
    PingReceived,
    ServerEvent,
    Unbound,
)
from .framing import EMPTY_FRAME, Framing
from .packets import (
    Bind,
    BindAnswer,
    Command,
    Conn,
    ConnAnswer,
    Direction,
    Header,
    Kick,
    KickReason,
    Packet,
    User,
)
from .packets.encoders import HeaderTemplate
from .packets.fast import decode_request
from .states import SERVER_TABLE, ServerInput, ServerState

__all__ = ["ServerConnection"]

LEAST_CHALLENGE = 2
"""An empty body key crashes RC4 in the Go client (wire.md section 3)."""

_SEND = ServerInput.SEND  # an enum's attributes are slow to reach

CHID = 9

MOST_PONGS = 8
"""Pongs that wait: any frame answers a ping, so a peer that pings without reading gets no more."""

MOST_COMMANDS = 64
"""Answers to BIND and UBND in a queue that never got empty; a peer that asks on without reading is cut off."""

MAX_ECHO = 256
"""The longest resource or id, in bytes, of a header that is answered: the answer repeats both."""

_FORGOTTEN = Bind(token="", sig="")
_ID_MASK = (1 << 48) - 1


class ServerConnection(Link[ServerState, ServerEvent]):
    """A connection that was just accepted.

    ``challenge`` is fresh randomness for this connection: 2 to 256 ASCII characters, best 16 letters and digits.
    ``first_id`` is where the 12 hex digits of this link's own packet ids start: any random integer. ``host`` is the
    frontend's name in the answer to CONN. CONN, PING and UBND are answered here; BIND waits for `accept_bind` or
    `refuse_bind`. Raises `LocalProtocolError` for arguments that a client could not bear.
    """

    __slots__ = ("_answers", "_challenge", "_commands", "_host", "_next_number", "_request", "_session", "config")

    _table = SERVER_TABLE
    _closed = ServerState.CLOSED
    _packet_input = ServerInput.PACKET
    _other_input = ServerInput.OTHER
    _decode = staticmethod(decode_request)
    _always_encrypted = False  # WebJS sends plain payloads

    def __init__(
        self,
        *,
        challenge: str,
        first_id: int,
        now: float,
        host: str = "",
        framing: Framing = Framing.TCP,
        config: ServerConfig | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.config = config = config if config is not None else ServerConfig()
        if not isinstance(config, ServerConfig):
            raise LocalProtocolError(f"expected a ServerConfig, got a {type(config).__name__}", where="config")
        limits = (config.max_pending, config.max_pending_bytes)
        super().__init__(framing, config.max_frame_unbound, limits, ServerState.HANDSHAKE, now, trace)
        if not isinstance(challenge, str) or len(challenge) < LEAST_CHALLENGE:
            raise LocalProtocolError(f"expected at least {LEAST_CHALLENGE} characters", where="challenge")
        body_key(challenge, "")
        if not isinstance(first_id, int):
            raise LocalProtocolError(f"expected an integer, got a {type(first_id).__name__}", where="first_id")
        self._challenge = challenge
        self._host = check_text(host, "host", 255, empty=True)
        self._next_number = first_id
        self._commands = 0
        self._request: BindRequested | None = None  # the last BIND
        self._session: BindRequested | None = None  # the BIND of the user who is online
        self._answers: AnswerEncoder | None = None
        self._phase_at = self._now + config.handshake_timeout

    @property
    def max_body(self) -> int:
        """The largest header and payload together, in bytes, that the client may send now: a driver that puts messages
        together need not take in more (``max_frame_unbound`` until the first BIND is accepted, then ``max_frame``)."""
        return self._decoder.max_body

    # ------------------------------------------------------------------------------------------------------ verbs

    def accept_bind(self, *, app_id: int, account: str, uuid: int, security_key: str, package: str, now: float) -> bool:
        """Let the client whose BIND waits in, if its signature and uuid are those of this user.

        The values are those of the token that the BIND carries, whose validity the caller has checked; ``package`` is
        the application's appPackage. If the signature is not made with ``security_key`` or the header's uuid is
        another, the client is refused with ``invalid-token`` and False is returned.
        """
        self._tick(now)
        state = self._verb(ServerInput.ACCEPT)
        request = self._waiting_bind
        secret = link_secret(security_key)
        user = User(
            app_id=app_id,
            account=check_text(account, "account", MAX_NAME),
            uuid=uuid,
            resource=request.resource,
        )
        check_text(package, "package", MAX_NAME, empty=True)
        user.encode()
        answers = AnswerEncoder(user, package, self.config)
        if uuid != request.uuid or not self._signed_by(request, security_key):
            self.refuse_bind(KickReason.INVALID_TOKEN, now=now)
            return False
        template = HeaderTemplate(self._header(Command.SECMSG, "", request, Direction.SC_ONEWAY))
        self._seal()
        self._answer_bind(request, BindAnswer(result=True))
        self._answers, self._request = answers, None
        self._session = request.replace(bind=_FORGOTTEN)  # who it is, without the token
        self._secret, self._send_template, self._receive_template = secret, template, None
        self._decoder.max_body = self.config.max_frame
        self._state = state
        self._phase_at = None
        self._trim()
        return True

    def refuse_bind(self, reason: str, description: str = "", *, now: float) -> None:
        """Refuse the BIND that waits.

        `KickReason` members are put so that every client understands them (clients.md rule 14): ``token-expired``
        and ``invalid-token`` make it fetch a new token, ``single-resource-kick`` keeps it away. Any other reason is
        given as both type and reason.
        """
        self._tick(now)
        state = self._verb(ServerInput.REFUSE)
        check_text(reason, "reason", 255)
        check_text(description, "description", 1024, empty=True)
        kind = "auto" if reason == KickReason.INVALID_TOKEN else str(reason)
        answer = BindAnswer(result=False, error_type=kind, error_reason=str(reason), error_desc=description)
        self._seal()
        self._answer_bind(self._waiting_bind, answer)
        self._offline(state)

    def kick(self, reason: str, description: str = "", *, now: float) -> None:
        """Take the user offline; the link stays. Packets that wait go out before the KICK.

        ``reason`` is given as type and as reason: Java reads either, Go and C++ read only the reason. To make a
        client fetch a new token use ``token-expired``: Go does not know ``invalid-token`` in a KICK.
        """
        self._tick(now)
        state = self._verb(ServerInput.KICK)
        check_text(reason, "reason", 255)
        check_text(description, "description", 1024, empty=True)
        self._seal()
        kick = Kick(type=str(reason), reason=str(reason), desc=description)
        session = self._session or self._waiting_bind
        header = self._header(Command.KICK, self._new_id().decode(), session, Direction.SC_ONEWAY)
        self._push(header, kick.encode())
        self._offline(state)

    def close(self, now: float) -> None:
        """Close the link after flushing what is queued, within ``close_delay``."""
        self._tick(now)
        if self._close_at is None:
            self._end(CloseReason.LOCAL, ServerState.CLOSING, self.config.close_delay)

    def send(self, body: Answer, *, now: float, packet_id: str | None = None, timestamp: int | None = None) -> None:
        """Queue an answer or a push, with everything filled in that official clients need.

        - `PacketAck`: sequence, timestamp (ms), code (0) and error_message are filled in where they are None.
        - `PacketList`: P2P and P2T packets in rising sequence, each with sender, packet_id and timestamp; or
          status EXCEED_COUNT_LIMIT with min_sequence and max_sequence and no packets.
        - `OnlineMessage` and `OnlineMessageAck`, with the ``packet_id`` of the message.
        - `UcPong`, `UcJoinAnswer`, `UcQuitAnswer`, `UcOnlineUsersAnswer`, with the ``packet_id`` of the request's
          UcPacket; `UcMessageList` and `UcDismiss`, which get one of their own.

        ``timestamp`` (ms) goes into the envelope of the last two kinds. Raises `LocalProtocolError` for a packet
        that some client could not bear, `QueueFull` when too much waits.
        """
        if now != self._now:  # many are sent at one time
            self._tick(now)
        self._verb(_SEND)
        assert self._answers is not None  # the state table lets nothing through before accept_bind()
        own_id = self._new_id()
        try:
            self._enqueue(own_id, self._answers.encode(body, own_id, packet_id, timestamp), False)
        except LocalProtocolError:
            self._next_number -= 1
            raise

    # ------------------------------------------------------------------------------------------------------ timers

    def get_timer(self) -> float | None:
        """When `handle_timer` wants to be called."""
        if self._close_at is not None:
            return self._close_at if self._state is ServerState.CLOSING else None
        return self._last_received + self.config.idle_timeout if self._phase_at is None else self._phase_at

    def handle_timer(self, now: float) -> None:
        """End a link whose handshake, login or next sign of life did not come in time."""
        self._tick(now)
        due = self.get_timer()
        if due is None or self._now < due:
            return
        if self._state is ServerState.CLOSING:
            self._end(CloseReason.LOCAL)
        elif self._state is ServerState.HANDSHAKE:
            self._end(CloseReason.HANDSHAKE_TIMEOUT)
        else:
            self._end(CloseReason.LOGIN_TIMEOUT if self._phase_at is not None else CloseReason.IDLE_TIMEOUT)

    # ------------------------------------------------------------------------------------------------------- input

    def _on_empty_frame(self) -> None:
        self._arrived(ServerInput.PING, "an empty frame")
        self._answer_ping(None)

    def _on_conn(self, header: Header, payload: bytes) -> None:
        self._arrived(ServerInput.CONN, header.cmd)
        conn = read_strictly(Conn, payload)
        try:
            key = body_key(self._challenge, conn.udid or "")
        except CryptoError as error:
            raise RemoteProtocolError(error.problem, where=f"CONN: {error.where}") from None
        answer = ConnAnswer(challenge=self._challenge, host=self._host)
        self._control.append(self._frame(self._answer_header(Command.CONN, header).encode(), answer.encode()))
        if self.framing is Framing.TCP:
            self._cipher = BodyCipher(key)
        self._phase_at = self._now + self.config.bind_timeout
        self._emit(ClientConnected(conn=conn))

    def _on_bind(self, header: Header, payload: bytes) -> None:
        self._check_reads(header)
        self._arrived(ServerInput.BIND, header.cmd)
        bind = read_strictly(Bind, payload)
        if not header.resource or not header.id:
            raise RemoteProtocolError("expected a resource and an id in the header of BIND", where="ClientHeader")
        _check_echo(header)
        self._request = BindRequested(
            bind=bind,
            uuid=header.uuid or 0,
            resource=header.resource,
            chid=header.chid or 0,
            id=header.id,
        )
        self._emit(self._request)

    def _on_ping(self, header: Header, payload: bytes) -> None:
        self._arrived(ServerInput.PING, header.cmd)
        self._answer_ping(header)

    def _on_unbind(self, header: Header, payload: bytes) -> None:
        self._check_reads(header)
        websocket = self.framing is Framing.WEBSOCKET
        self._arrived(ServerInput.UNBIND_WEBSOCKET if websocket else ServerInput.UNBIND, header.cmd)
        self._seal()
        self._push(self._answer_header(Command.KICK, header), b"")  # clients.md rule 3
        self._emit(Unbound())
        if websocket:
            self._end(CloseReason.LOGGED_OUT, ServerState.CLOSING, self.config.close_delay)
        else:
            self._offline(ServerState.READY)

    def _on_packet(self, packet_id: str, packet: Packet) -> None:
        self._events.append(new_record(PacketReceived, (packet_id, packet)))

    # ----------------------------------------------------------------------------------------------------- helpers

    def _answer_ping(self, request: Header | None) -> None:
        if len(self._control) < MOST_PONGS:
            if request is None or self.framing is Framing.TCP:
                pong = EMPTY_FRAME
            else:
                pong = self._frame(self._answer_header(Command.PING, request).encode(), b"")
            self._control.append(pong)
        self._trim()
        self._emit(PingReceived())

    def _push(self, header: Header, payload: bytes) -> None:
        """Queue a frame of a command behind the packets that wait."""
        frame = self._frame(header.encode(), payload)
        self._append(frame, len(frame))
        self._commands += 1

    def _check_reads(self, header: Header) -> None:
        if self._commands >= MOST_COMMANDS:
            raise RemoteProtocolError(
                f"expected it to read what it asked for, got another after {self._commands}", where=header.cmd
            )

    def _taken(self, wants_answer: bool) -> None:
        if self._queue is None:
            self._commands = 0

    def _answer_bind(self, request: BindRequested, answer: BindAnswer) -> None:
        header = self._header(Command.BIND, request.id, request, Direction.SC_RESP)
        self._push(header, answer.encode())

    def _header(self, command: Command, packet_id: str, session: BindRequested, direction: Direction) -> Header:
        return self._full_header(command, packet_id, session.uuid, session.resource, direction)

    def _answer_header(self, command: Command, request: Header) -> Header:
        """For the user who is online, whatever the request says (Go: uuid 0 before it has a token)."""
        _check_echo(request)
        user = self._session or request
        return self._full_header(command, request.id or "", user.uuid or 0, user.resource or "", Direction.SC_RESP)

    @staticmethod
    def _full_header(command: Command, packet_id: str, uuid: int, resource: str, direction: Direction) -> Header:
        return Header(
            chid=CHID,
            uuid=uuid,
            server=SERVER,
            resource=resource,
            cmd=command,
            id=packet_id,
            dir_flag=direction,
            cipher=1 if command is Command.SECMSG else 0,
        )

    @property
    def _waiting_bind(self) -> BindRequested:
        assert self._request is not None  # the state table lets nothing through without one
        return self._request

    def _signed_by(self, request: BindRequested, security_key: str) -> bool:
        bind = request.bind
        return verify_bind_signature(
            bind.sig,
            token=bind.token,
            challenge=self._challenge,
            chid=request.chid,
            uuid=request.uuid,
            resource=request.resource,
            packet_id=request.id,
            security_key=security_key,
            kick=bind.kick or "",
            method=bind.method or "",
            client_attrs=bind.client_attrs or "",
            cloud_attrs=bind.cloud_attrs or "",
        )

    def _offline(self, state: ServerState) -> None:
        """Nobody is bound any more; another BIND may come, within the time that is left or begins now."""
        self._state, self._session = state, None
        if self._phase_at is None:
            self._phase_at = self._now + self.config.bind_timeout

    def _broken(self) -> None:
        self._end(CloseReason.PROTOCOL_ERROR, ServerState.CLOSING, self.config.close_delay)

    def _may_send(self) -> bool:
        return True

    def _new_id(self) -> bytes:
        """12 hex digits, as the cloud's own ids."""
        self._next_number += 1
        return b"%012x" % (self._next_number & _ID_MASK)


def _check_echo(header: Header) -> None:
    for name, value in (("resource", header.resource), ("id", header.id)):
        if value and len(value.encode()) > MAX_ECHO:
            raise RemoteProtocolError(
                f"expected at most {MAX_ECHO} bytes, got {len(value.encode())}", where=f"ClientHeader.{name}"
            )


ServerConnection._handlers = {
    Command.CONN: ServerConnection._on_conn,
    Command.BIND: ServerConnection._on_bind,
    Command.PING: ServerConnection._on_ping,
    Command.UBND: ServerConnection._on_unbind,
}
