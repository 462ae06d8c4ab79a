"""What a test has one connection of a `ScriptedServer` do, also what no real server would."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..credentials import Credentials
from ..crypto import SERVER, payload_key, rc4
from ..errors import LocalProtocolError
from ..events import BindRequested
from ..framing import Framing, encode_tcp_frame, encode_websocket_packet, join_body
from ..packets import (
    Command,
    Direction,
    Group,
    Header,
    ListStatus,
    OnlineMessage,
    Packet,
    PacketAck,
    PacketList,
    UcDismiss,
    UcMessage,
    UcMessageList,
    User,
)
from ..server import ServerConnection
from ..states import ServerState
from .users import APP_ID, example_user

if TYPE_CHECKING:
    from .scripted import ScriptedServer

__all__ = ["ScriptedVerbs"]

ALL = 1 << 30
"""So many bytes wait at once at most."""


class ScriptedVerbs:
    """The verbs of a `ScriptedLink`; they take effect at this moment of the clock.

    ``connection`` is the `ServerConnection` in it: take neither its events nor its frames. ``user`` and
    ``resource`` are those that are bound, None and ``""`` if nobody is. ``number`` counts the server's connections.
    """

    def __init__(self, server: ScriptedServer, number: int, wake: Callable[[], None]) -> None:
        self.server = server
        self.number = number
        self.user: Credentials | None = None
        self.resource = ""
        self.delivered = 0
        """The highest sequence that was pushed from the mailbox here."""
        self._challenge = f"exampleChallenge{number}"
        self.connection = ServerConnection(
            challenge=self._challenge,
            first_id=number << 24,
            host="scripted",
            now=server.clock.now,
            framing=server.framing,
            config=server.config,
        )
        self._wake = wake
        self._output: list[bytes] = []
        self._body_key: bytes | None = None
        self._asked: BindRequested | None = None
        self._close_after: int | None = None

    def __repr__(self) -> str:
        return f"<connection {self.number} of the scripted server, {self.connection.state.name}>"

    @property
    def bound(self) -> bool:
        """Whether a user is online here."""
        return self.connection.state is ServerState.BOUND

    def accept(self) -> bool:
        """Accept the BIND that waits (after a `ScriptedServer.silence`); False if its token or signature is wrong."""
        request = self._asked
        if request is None:
            raise LocalProtocolError("expected a BIND that waits, none came so far", where=repr(self))
        user = self.server.users.get(request.bind.token)
        if user is None:
            self.refuse("invalid-token")
            return False
        accepted = self.connection.accept_bind(
            app_id=user.app_id,
            account=user.account,
            uuid=user.uuid,
            security_key=user.security_key,
            package=user.package,
            now=self.server.clock.now,
        )
        self.user, self.resource = (user, request.resource) if accepted else (None, "")
        self._collect()
        if accepted:
            self.server._restart(self)
        return accepted

    def refuse(self, reason: str, description: str = "") -> None:
        """Refuse the BIND that waits: `ServerConnection.refuse_bind`."""
        self.connection.refuse_bind(reason, description, now=self.server.clock.now)
        self.user, self.resource = None, ""
        self._collect()

    def kick(self, reason: str, description: str = "") -> None:
        """Take the user offline; the connection stays: `ServerConnection.kick`."""
        self.connection.kick(reason, description, now=self.server.clock.now)
        self.user, self.resource = None, ""
        self._collect()

    def close(self) -> None:
        """Close the connection, behind what waits to be written."""
        self.connection.close(self.server.clock.now)
        self._record()
        self._wake()

    def close_after(self, frames: int) -> None:
        """Close the connection when so many more frames have come; the last one is recorded and not answered."""
        self._close_after = frames

    def send(self, body: Any, *, packet_id: str | None = None) -> None:
        """Send anything that `ServerConnection.send` takes."""
        now, stamp = self.server.clock.now, self.server.clock.wall_ms
        self.connection.send(body, now=now, packet_id=packet_id, timestamp=stamp)
        self._collect()

    def ack(self, packet_id: str, *, code: int = 0, error_message: str = "", sequence: int | None = None) -> None:
        """Acknowledge a message; with a ``code`` other than 0 refuse it."""
        refused = code != 0 and sequence is None
        self.send(
            PacketAck(
                packet_id=packet_id,
                sequence=0 if refused else self.server.next_sequence() if sequence is None else sequence,
                timestamp=0 if refused else self.server.clock.wall_ms,
                code=code,
                error_message=error_message,
            )
        )

    def push(self, *packets: Packet, max_sequence: int | None = None) -> None:
        """Push a list of packets (`ScriptedServer.message` makes them), once and whatever was acknowledged."""
        self.send(PacketList(packets=packets, max_sequence=max_sequence))

    def notice_limit(self, min_sequence: int, max_sequence: int) -> None:
        """Tell the client that too much is waiting."""
        status = ListStatus.EXCEED_COUNT_LIMIT
        self.send(PacketList(min_sequence=min_sequence, max_sequence=max_sequence, status=status))

    def push_online(self, payload: bytes, *, sender: str = "bob", packet_id: str | None = None) -> str:
        """Push an online message; returns its packet id."""
        packet_id = packet_id or self.server.next_id()
        user = self._user()
        body = OnlineMessage(
            sender=example_user(sender).user("pc"),
            recipient=User(app_id=user.app_id, account=user.account, uuid=user.uuid),
            payload=payload,
        )
        self.send(body, packet_id=packet_id)
        return packet_id

    def push_unlimited(self, group_id: int, *payloads: bytes, sender: str = "bob") -> None:
        """Push messages of an unlimited group."""
        group = Group(app_id=APP_ID, topic_id=group_id)
        messages = tuple(
            UcMessage(
                group=group,
                payload=payload,
                sequence=self.server.next_sequence(),
                is_store=True,
                user=example_user(sender).user("pc"),
                timestamp=self.server.clock.wall_ms,
                packet_id=self.server.next_id(),
            )
            for payload in payloads
        )
        self.send(UcMessageList(group=group, messages=messages))

    def dismiss(self, group_id: int) -> None:
        """Tell the client that an unlimited group was dissolved."""
        self.send(UcDismiss(group=Group(app_id=APP_ID, topic_id=group_id)))

    # --------------------------------------------------------------- what no ServerConnection would send

    def raw(self, data: bytes) -> None:
        """Send bytes as they are: half a frame, garbage, anything."""
        self._output.append(data)
        self._wake()

    def raw_command(self, command: str, payload: bytes = b"", **header: Any) -> None:
        """Send a frame that is well-formed outside only; ``header`` replaces fields of its `Header`."""
        uuid = self.user.uuid if self.user is not None else 0
        fields: dict[str, Any] = {"chid": 9, "uuid": uuid, "server": SERVER, "resource": self.resource, "cmd": command}
        fields |= {"id": self.server.next_id(), "dir_flag": Direction.SC_ONEWAY, "cipher": 0, **header}
        self._raw_frame(Header(**fields), payload)

    def raw_packet(self, packet: Packet | bytes, **header: Any) -> None:
        """Send a SECMSG with any packet in it, or with any plain payload, encrypted for the bound user."""
        plain = packet if isinstance(packet, bytes) else packet.encode()
        header = {"id": self.server.next_id(), "cipher": 1, **header}
        key = payload_key(self._user().security_key, header["id"])
        self.raw_command(Command.SECMSG, rc4(key, plain), **header)

    def _raw_frame(self, header: Header, payload: bytes) -> None:
        if self.server.framing is Framing.WEBSOCKET:
            self.raw(encode_websocket_packet(header.encode(), payload))
        else:
            body = join_body(header.encode(), payload)
            self.raw(encode_tcp_frame(body if self._body_key is None else rc4(self._body_key, body)))

    # ----------------------------------------------------------------------------------------------------- helpers

    def _collect(self) -> None:
        self._output += self.connection.data_to_send(ALL)
        self._wake()

    def _record(self) -> None:
        for event in self.connection.events():
            self.server._record(self, event)

    def _user(self) -> Credentials:
        if self.user is None:
            raise LocalProtocolError("expected a user who is online here; log in first", where=repr(self))
        return self.user
