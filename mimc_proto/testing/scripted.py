"""A frontend that does what a test tells it, and remembers all that it was told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from .._record import Record
from ..config import ServerConfig
from ..credentials import Credentials
from ..errors import LocalProtocolError, RemoteProtocolError
from ..events import BindRequested, ClientConnected, PacketReceived, PingReceived, ServerEvent, Unbound
from ..framing import Framing
from ..packets import Command, Group, P2PMessage, P2TMessage, Packet, UcPacket, User
from .clock import VirtualClock
from .scripted_links import ScriptedLink
from .scripted_verbs import ScriptedVerbs
from .users import APP_ID, PACKAGE, example_user

__all__ = ["AckRule", "Received", "ScriptedServer"]

R = TypeVar("R", bound=Record)

WINDOW = 256
"""Messages and KiB that a frontend leaves unacknowledged at most (design.md section 3)."""

_COMMANDS: dict[type, Command] = {
    ClientConnected: Command.CONN,
    BindRequested: Command.BIND,
    PingReceived: Command.PING,
    Unbound: Command.UBND,
}


class AckRule(Record):
    """How a message is acknowledged: ``delay`` in seconds, ``times`` 0 for never and 2 for twice.

    A ``code`` other than 0 refuses it, unless a ``sequence`` says that it was stored all the same. To an online
    message the answer is that of the receiver's client, its code 1 where the rule says 0.
    """

    __slots__ = ()
    delay: float = 0.0
    times: int = 1
    code: int = 0
    error_message: str = ""
    sequence: int | None = None


class Received(Record):
    """What came: ``at`` in seconds, on which connection (its number), and the typed event of the server's link."""

    __slots__ = ()
    at: float
    link: int
    event: ServerEvent


class ScriptedServer:
    """A frontend for links and sessions, as a `Listener`. Untold it answers CONN, accepts the BIND of its users,
    answers PING and UBND and unlimited-group requests, acknowledges messages with rising sequences, and delivers what
    `deliver` put into a mailbox until it is acknowledged::

        server.acks = AckRule(times=0)                     # from now on no message is acknowledged
        server.next_acks.append(AckRule(code=1))           # but the next one is refused
        server.refuse_next_bind("token-expired")
        server.link.kick("single-resource-kick")
        assert [message.payload for message in server.bodies(P2PMessage)] == [b"hi"]

    ``users`` may log in: credentials, or the names of example users. ``window`` is how many messages (and KiB) of a
    mailbox go out unacknowledged; None pushes all. ``links`` are the connections and ``received`` is all that
    came, in order; ``errors`` are the protocol errors of clients.
    """

    def __init__(
        self,
        clock: VirtualClock,
        *,
        users: Iterable[Credentials | str] = ("alice", "bob", "carol"),
        framing: Framing = Framing.TCP,
        config: ServerConfig | None = None,
    ) -> None:
        self.clock = clock
        self.framing = framing
        self.config = config
        self.users: dict[str, Credentials] = {}
        """Who may log in, by token."""
        self.acks = AckRule()
        """How messages are acknowledged."""
        self.next_acks: deque[AckRule] = deque()
        """How the next messages are, one rule each, before `acks` holds again."""
        self.window: int | None = WINDOW
        self.links: list[ScriptedLink] = []
        self.received: list[Received] = []
        self.errors: list[RemoteProtocolError] = []
        self._refusals: deque[tuple[str, str]] = deque()
        self._silent: set[Command | type[Record]] = set()
        self._mute = False
        self._mailboxes: dict[int, list[Packet]] = {}
        self._cursors: dict[tuple[int, str], int] = {}
        self._sequence = 0
        self._ids = 0
        for user in users:
            self.add_user(user)

    def accept(self, now: float, wake: Callable[[], None]) -> ScriptedLink:
        """A connection arrived: see `Listener`."""
        link = ScriptedLink(self, len(self.links) + 1, wake)
        self.links.append(link)
        return link

    # -------------------------------------------------------------------------------------------------- what it saw

    @property
    def link(self) -> ScriptedLink:
        """The newest connection. Raises `LocalProtocolError` if there was none."""
        if not self.links:
            raise LocalProtocolError("expected a connection, none came so far", where="ScriptedServer.link")
        return self.links[-1]

    def link_of(self, account: str) -> ScriptedLink:
        """The newest connection on which this account is online. Raises `LocalProtocolError` if it is offline."""
        for link in reversed(self.links):
            if link.bound and link.user is not None and link.user.account == account:
                return link
        raise LocalProtocolError(f"expected {account} to be online", where="ScriptedServer.link_of")

    def events(self, kind: type[R]) -> list[R]:
        """The events of a type (`BindRequested`, `LinkClosed`, ...) of all connections, in order."""
        return [item.event for item in self.received if isinstance(item.event, kind)]

    def bodies(self, kind: type[R]) -> list[R]:
        """What came in SECMSGs, of one type (`P2PMessage`, `SequenceAck`, `UcJoin`, ...), in order."""
        found: list[R] = []
        for event in self.events(PacketReceived):
            body = event.packet.body
            parts = (body, body.body) if isinstance(body, UcPacket) else (body,)
            found += [part for part in parts if isinstance(part, kind)]
        return found

    # ------------------------------------------------------------------------------------------------------ script

    def add_user(self, user: Credentials | str) -> None:
        """Let a user log in, with this token. (``server.users.pop(token)`` ends that.)"""
        user = example_user(user) if isinstance(user, str) else user
        self.users[user.token] = user

    def refuse_next_bind(self, reason: str, description: str = "") -> None:
        """Refuse one BIND that comes; called again it refuses one more."""
        self._refusals.append((reason, description))

    def silence(self, *kinds: Command | type[Record]) -> None:
        """Answer nothing more to these: `Command.CONN`, ``BIND``, ``PING``, ``UBND``, or types of what SECMSGs hold.

        Without any: nothing to anything. All of it is still recorded.
        """
        self._silent |= set(kinds)
        self._mute = self._mute or not kinds

    def speak(self) -> None:
        """End every `silence`. What was not answered stays so."""
        self._silent.clear()
        self._mute = False

    def message(
        self,
        account: str,
        payload: bytes,
        *,
        sender: str = "bob",
        group_id: int | None = None,
        sequence: int | None = None,
        packet_id: str | None = None,
        biz_type: str | None = None,
    ) -> Packet:
        """A message to an account, or through a normal group, as lists hold it; by default with the next sequence."""
        who = example_user(sender).user("pc")
        body: P2PMessage | P2TMessage
        if group_id is None:
            recipient = User(app_id=APP_ID, account=account)
            body = P2PMessage(sender=who, recipient=recipient, payload=payload, is_store=True, biz_type=biz_type)
        else:
            group = Group(app_id=APP_ID, topic_id=group_id)
            body = P2TMessage(sender=who, recipient=group, payload=payload, is_store=True, biz_type=biz_type)
        return Packet(
            packet_id=packet_id or self.next_id(),
            package=PACKAGE,
            sequence=self.next_sequence() if sequence is None else sequence,
            timestamp=self.clock.wall_ms,
            body=body,
        )

    def deliver(self, account: str, *payloads: bytes, sender: str = "bob", group_id: int | None = None) -> list[int]:
        """Put messages into an account's mailbox; returns their sequences.

        They go to every resource in lists within the window, and again after a login or a PULL if they were not
        acknowledged there.
        """
        packets = [self.message(account, payload, sender=sender, group_id=group_id) for payload in payloads]
        uuid = self._uuid(account)
        self._mailboxes.setdefault(uuid, []).extend(packets)
        for link in self.links:
            if link.bound and link.user is not None and link.user.uuid == uuid:
                self._deliver(link)
        return [packet.sequence or 0 for packet in packets]

    def unacknowledged(self, account: str, resource: str) -> int:
        """How many messages of its mailbox this resource has not acknowledged."""
        uuid = self._uuid(account)
        return len(self._after(uuid, self._cursors.get((uuid, resource), 0)))

    def next_sequence(self) -> int:
        """A sequence above all before: the cloud's are the milliseconds times 10 000, plus 1."""
        self._sequence = max(self._sequence + 1, self.clock.wall_ms * 10_000 + 1)
        return self._sequence

    def next_id(self) -> str:
        """A packet id of the server's own."""
        self._ids += 1
        return f"server_{self._ids}"

    # ------------------------------------------------------------------------------------------- what its links ask

    def _record(self, link: ScriptedVerbs, event: ServerEvent) -> None:
        self.received.append(Received(at=self.clock.now, link=link.number, event=event))

    def _is_silent_to(self, event: ServerEvent) -> bool:
        kinds: set[object] = {_COMMANDS.get(type(event))}
        if isinstance(event, PacketReceived):
            body = event.packet.body
            kinds = {type(body), type(body.body) if isinstance(body, UcPacket) else None}
        return self._mute or not self._silent.isdisjoint(kinds)

    def _next_refusal(self) -> tuple[str, str] | None:
        return self._refusals.popleft() if self._refusals else None

    def _next_rule(self) -> AckRule:
        return self.next_acks.popleft() if self.next_acks else self.acks

    def _acknowledged(self, link: ScriptedVerbs, sequence: int) -> None:
        key = self._key(link)
        self._cursors[key] = max(self._cursors.get(key, 0), sequence)
        self._deliver(link)

    def _restart(self, link: ScriptedVerbs) -> None:
        """After a login or a PULL: all that is not acknowledged goes out again."""
        link.delivered = self._cursors.get(self._key(link), 0)
        self._deliver(link)

    # --------------------------------------------------------------------------------------------------- mailboxes

    def _uuid(self, account: str) -> int:
        known = [user.uuid for user in self.users.values() if user.account == account]
        return known[0] if known else example_user(account).uuid

    @staticmethod
    def _key(link: ScriptedVerbs) -> tuple[int, str]:
        return link._user().uuid, link.resource

    def _after(self, uuid: int, sequence: int) -> list[Packet]:
        return [packet for packet in self._mailboxes.get(uuid, []) if (packet.sequence or 0) > sequence]

    def _deliver(self, link: ScriptedVerbs) -> None:
        uuid, _ = key = self._key(link)
        waiting = self._after(uuid, self._cursors.get(key, 0))
        limits = link.connection.config
        out = [packet for packet in waiting if (packet.sequence or 0) <= link.delivered]
        count, size = len(out), sum(len(packet.encode()) for packet in out)
        batch: list[Packet] = []
        batch_size = 0
        for packet in waiting[len(out) :]:
            one = len(packet.encode())
            if self.window is not None and count and (count >= self.window or size + one > self.window * 1024):
                break
            if batch and (len(batch) >= limits.max_list_messages or batch_size + one > limits.max_list_bytes - 1024):
                link.push(*batch)
                batch, batch_size = [], 0
            batch.append(packet)
            batch_size += one
            count, size = count + 1, size + one
            link.delivered = packet.sequence or 0
        if batch:
            link.push(*batch)
