"""What a client says to a server, in whole frames that are still plain: where the mutations of `mimc fuzz` start."""

from __future__ import annotations

from collections.abc import Iterator

from mimc_proto import Credentials, CryptoError, Framing, PacketError
from mimc_proto.crypto import SERVER, bind_signature, verify_bind_signature
from mimc_proto.packets import (
    Bind,
    Body,
    Conn,
    Direction,
    Group,
    Header,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    Pull,
    SequenceAck,
    UcJoin,
    UcMessage,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcQuit,
    UcSequenceAck,
    User,
)

from .stream import Piece

__all__ = ["Speaker"]

VERSION, SDK_TCP, SDK_WEBSOCKET = 106, 33, 31
METHOD = "XIAOMI-PASS"
NOBODY = "mimc-fuzz-nobody"
"""An account that never logs in; what is sent to it waits there until the server forgets it."""


class Speaker:
    """Speaks for one user on one resource; without credentials, for nobody.

    ``prefix`` opens its packet ids, which are the same in every run with the same calls.
    """

    def __init__(self, framing: Framing, credentials: Credentials | None, resource: str, prefix: str) -> None:
        self._framing = framing
        self._credentials = credentials
        self._resource = resource
        self._prefix = prefix
        self._count = 0

    def _id(self) -> str:
        self._count += 1
        return f"{self._prefix}_{self._count}"

    def conn(self) -> Piece:
        """CONN; never encrypted."""
        websocket = self._framing is Framing.WEBSOCKET
        conn = Conn(version=VERSION, os="python", udid="", sdk=SDK_WEBSOCKET if websocket else SDK_TCP, model="mimc")
        return Piece(self._header("CONN").encode(), conn.encode(), encrypted=False)

    def command(self, command: str) -> Piece:
        """A command without a payload, such as PING or UBND."""
        return Piece(self._header(command).encode())

    def bind(self, challenge: str) -> Piece:
        """BIND with a good signature; nobody's has a bad token."""
        header = self._header("BIND")
        user = self._credentials
        token, secret = ("none", "AAAA") if user is None else (user.token, user.security_key)
        sig = bind_signature(
            token=token,
            challenge=challenge,
            chid=header.chid or 0,
            uuid=header.uuid or 0,
            resource=self._resource,
            packet_id=header.id or "",
            security_key=secret,
        )
        bind = Bind(token=token, kick="0", method=METHOD, client_attrs="", cloud_attrs="", sig=sig)
        return Piece(header.encode(), bind.encode())

    def may_log_in(self, piece: Piece, challenge: str) -> bool:
        """Whether a server may accept this as a BIND; also if that cannot be told."""
        user = self._credentials
        if user is None:
            return False
        if piece.body is not None or piece.raw is not None:
            return True
        try:
            header, bind = Header.decode(piece.header), Bind.decode(piece.payload)
            return bind.token == user.token and verify_bind_signature(
                bind.sig,
                token=bind.token,
                challenge=challenge,
                chid=header.chid or 0,
                uuid=header.uuid or 0,
                resource=header.resource or "",
                packet_id=header.id or "",
                security_key=user.security_key,
                kick=bind.kick or "",
                method=bind.method or "",
                client_attrs=bind.client_attrs or "",
                cloud_attrs=bind.cloud_attrs or "",
            )
        except (PacketError, CryptoError):
            return False

    def acknowledge(self, sequence: int) -> Piece:
        """What takes the messages that wait from the server."""
        user = self._user()
        return self._packet(SequenceAck(uuid=user.uuid, resource=user.resource, sequence=sequence, app_id=user.app_id))

    def before_login(self) -> list[Piece]:
        """Frames of a link that nobody is logged in to, but no BIND."""
        packets = [self._packet(body) for body in self._bodies()]
        return [self.command("PING"), self.command("UBND"), self.command("NOTIFY"), Piece(), self.conn(), *packets]

    def after_login(self) -> list[Piece]:
        """Frames of a link that the user is logged in to."""
        packets = [self._packet(body) for body in self._bodies()]
        return [*packets, *packets, self.command("PING"), self.command("UBND"), self.command("SYNC"), Piece()]

    def _user(self) -> User:
        if self._credentials is None:
            return User(app_id=1, account=NOBODY, uuid=0, resource=self._resource)
        return self._credentials.user(self._resource)

    def _bodies(self) -> Iterator[Body]:
        """One of each kind that clients send (wire.md sections 5 and 6)."""
        me = self._user()
        myself, nobody = (User(app_id=me.app_id, account=account) for account in (me.account, NOBODY))
        topic = Group(app_id=me.app_id, topic_id=21)
        yield P2PMessage(sender=me, recipient=myself, payload=b"hello", is_store=True, biz_type="TEXT")
        yield P2PMessage(sender=me, recipient=nobody, payload=bytes(range(256)), is_store=False)
        yield P2TMessage(sender=me, recipient=topic, payload=b"all", is_store=True)
        yield OnlineMessage(sender=me, recipient=myself, payload=b"now", is_store=False)
        yield OnlineMessageAck(packet_id="m", uuid=me.uuid, resource=me.resource, code=1)
        yield SequenceAck(uuid=me.uuid, resource=me.resource, sequence=1, app_id=me.app_id)
        yield Pull(uuid=me.uuid, resource=me.resource, app_id=me.app_id)
        message = UcMessage(group=topic, payload=b"many", user=me, packet_id="u", is_store=True)
        for body in (
            UcPing(groups=(topic,)),
            UcJoin(group=topic),
            message,
            UcSequenceAck(group=topic, sequence=1),
            UcOnlineUsersQuery(group=topic),
            UcQuit(group=topic),
        ):
            yield UcPacket(user=me, packet_id=self._id(), body=body)

    def _packet(self, body: Body) -> Piece:
        header = self._header("SECMSG")
        package = "" if self._credentials is None else self._credentials.package
        return Piece(header.encode(), Packet(packet_id=header.id, package=package, body=body).encode())

    def _header(self, command: str) -> Header:
        user, packet_id = self._credentials, self._id()
        chid, uuid = (9, 0) if user is None else (user.chid, user.uuid)
        whole = Header(chid=chid, uuid=uuid, server=SERVER, resource=self._resource, cmd=command, id=packet_id)
        if self._framing is Framing.WEBSOCKET:  # as WebJS: no direction, no cipher, and nobody before BIND
            return Header(server=SERVER, cmd=command, id=packet_id) if command == "CONN" else whole
        return whole.replace(dir_flag=Direction.CS_REQ, cipher=1 if command == "SECMSG" else 0)
