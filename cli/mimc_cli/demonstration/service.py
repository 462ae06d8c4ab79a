"""The service of the demo: accounts, one inbox an account, one group. In memory, and only what the demo shows."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from mimc_proto import Credentials, ServerConnection
from mimc_proto.events import BindRequested, LinkClosed, PacketReceived, ServerEvent, Unbound
from mimc_proto.packets import Group, P2PMessage, P2TMessage, Packet, PacketAck, PacketList, SequenceAck, User

from .driver import LinkProtocol

__all__ = ["Service"]

APP_ID = 2882303761517613988
PACKAGE = "com.example.demo"
TOPIC = 15


class Account(NamedTuple):
    """A user with the messages that wait for it; ``online`` holds the link while there is one."""

    credentials: Credentials
    inbox: list[Packet]
    online: list[LinkProtocol]


class Service:
    """Decides what the links ask. ``say(line)`` gets a line of the transcript for each decision."""

    def __init__(self, accounts: tuple[str, ...], say: Callable[[str], None]) -> None:
        self._say = say
        self._last_sequence = 0
        self.accounts = {name: Account(self._new_credentials(name, n), [], []) for n, name in enumerate(accounts)}

    @staticmethod
    def _new_credentials(account: str, number: int) -> Credentials:
        return Credentials(
            app_id=APP_ID,
            account=account,
            uuid=6874178410250240 + number,
            token=secrets.token_urlsafe(48),
            security_key=base64.b64encode(secrets.token_bytes(16)).decode(),
            package=PACKAGE,
        )

    def accept(self) -> LinkProtocol:
        """The protocol of a new connection."""
        return LinkProtocol(self._new_link, self._on_event)

    @staticmethod
    def _new_link(now: float) -> ServerConnection:
        return ServerConnection(
            challenge=secrets.token_hex(8), first_id=secrets.randbits(48), host="demo-frontend", now=now
        )

    def _on_event(self, protocol: LinkProtocol, event: ServerEvent) -> None:
        match event:
            case BindRequested():
                self._bind(protocol, event)
            case PacketReceived(packet=packet):
                self._on_packet(protocol, packet)
            case Unbound() | LinkClosed():
                for account in self.accounts.values():
                    if protocol in account.online:
                        account.online.remove(protocol)
                        self._say(f"server: {account.credentials.account} is offline")
            case _:
                pass

    def _bind(self, protocol: LinkProtocol, request: BindRequested) -> None:
        account = next((a for a in self.accounts.values() if a.credentials.token == request.bind.token), None)
        if account is None:
            protocol.link.refuse_bind("invalid-token", now=protocol.now())
            return
        user = account.credentials
        if protocol.link.accept_bind(
            app_id=user.app_id,
            account=user.account,
            uuid=user.uuid,
            security_key=user.security_key,
            package=user.package,
            now=protocol.now(),
        ):
            if protocol not in account.online:
                account.online.append(protocol)
            self._say(f"server: {user.account}/{request.resource} is online, {len(account.inbox)} waiting")
            if account.inbox:
                self._deliver(account, account.inbox)

    def _on_packet(self, protocol: LinkProtocol, packet: Packet) -> None:
        sender = next(account for account in self.accounts.values() if protocol in account.online)
        match packet.body:
            case SequenceAck(sequence=sequence):
                sender.inbox[:] = [waiting for waiting in sender.inbox if (waiting.sequence or 0) > sequence]
            case P2PMessage(recipient=User(account=name)) as message if name in self.accounts:
                self._store(protocol, sender, packet, message, [self.accounts[name]])
            case P2TMessage(recipient=Group(topic_id=topic)) as message if topic == TOPIC:
                others = [account for account in self.accounts.values() if account is not sender]
                self._store(protocol, sender, packet, message, others)
            case P2PMessage() | P2TMessage() if packet.packet_id:
                refusal = PacketAck(packet_id=packet.packet_id, code=404, error_message="no such receiver")
                protocol.link.send(refusal, now=protocol.now())
            case _:
                pass

    def _store(
        self,
        protocol: LinkProtocol,
        sender: Account,
        packet: Packet,
        message: P2PMessage | P2TMessage,
        receivers: list[Account],
    ) -> None:
        """Keep the message for its receivers, acknowledge it, and deliver it to those who are online."""
        now_ms = time.time_ns() // 1_000_000
        self._last_sequence = max(self._last_sequence + 1, now_ms * 10_000 + 1)
        user = sender.credentials
        identity = User(app_id=user.app_id, account=user.account, uuid=user.uuid)
        stored = packet.replace(
            sequence=self._last_sequence, timestamp=now_ms, body=message.replace(sender=identity), unknown=b""
        )
        for receiver in receivers:
            receiver.inbox.append(stored)
        ack = PacketAck(packet_id=packet.packet_id or "", sequence=stored.sequence, timestamp=now_ms)
        protocol.link.send(ack, now=protocol.now())
        for receiver in receivers:
            self._deliver(receiver, [stored])

    @staticmethod
    def _deliver(receiver: Account, packets: list[Packet]) -> None:
        for protocol in receiver.online:
            protocol.link.send(PacketList(packets=tuple(packets)), now=protocol.now())
            protocol.flush()
