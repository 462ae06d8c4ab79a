"""A client user across many links: `ClientSession`."""

from __future__ import annotations

from collections.abc import Iterable

from .._checks import MAX_NAME, check_number, check_text
from .._link import Trace
from ..config import SessionConfig
from ..errors import LocalProtocolError, QueueFull
from ..framing import Framing
from ..states import SessionInput
from ._lifecycle import DEFAULT_RESOLVER
from ._traffic import Traffic
from .access import Address, Answer
from .backoff import Chance
from .groups import END_OF_TOPICS
from .outbox import Kind

__all__ = ["ClientSession"]

_SEND = SessionInput.SEND


class ClientSession(Traffic):
    """One user of one application on one resource, as an application wants it: online, whatever happens.

    Takes in bytes, answers and the time; gives out `events` for the application, `requests` for its driver, and
    frames. ``account`` is the user's name in the application ``app_id``; ``resource`` names this device and is made up
    if not given. ``addresses`` are frontends as (host, port); without any, ``known_addresses`` are tried once, which
    the resolver gave some other time, and then ``resolver`` is asked. ``token`` is a token answer that was kept from
    before. ``joined_groups`` are the unlimited groups the user is in already. ``rng`` gives chance
    (``random.SystemRandom()``), ``now`` is any clock in seconds.

    Raises `LocalProtocolError` for what the program does wrong, `TokenError` for a ``token`` that cannot be read, and
    nothing for what a peer does: links that end become `LinkLost`, and new ones are opened.
    """

    __slots__ = ()

    def __init__(
        self,
        app_id: int,
        account: str,
        *,
        rng: Chance,
        now: float,
        resource: str | None = None,
        addresses: Iterable[Address] = (),
        known_addresses: Iterable[Address] = (),
        resolver: str = DEFAULT_RESOLVER,
        token: Answer | None = None,
        joined_groups: Iterable[int] = (),
        framing: Framing = Framing.TCP,
        config: SessionConfig | None = None,
        trace: Trace | None = None,
    ) -> None:
        super().__init__(
            app_id,
            account,
            rng,
            now,
            resource,
            addresses,
            known_addresses,
            resolver,
            token,
            joined_groups,
            framing,
            config,
            trace,
        )

    # ---------------------------------------------------------------------------------------------------------- sends

    def send(
        self,
        account: str,
        payload: bytes,
        *,
        now: float,
        biz_type: str | None = None,
        is_store: bool = True,
        packet_id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Send a message to a user; returns the packet id that its one verdict will carry.

        It is queued while nobody is online. ``payload`` has at most ``max_payload`` bytes, ``timeout`` is in seconds
        from now (default: ``send_timeout``). ``packet_id`` may be given, for an outbox of the application's own.
        Raises `LocalProtocolError`, and `QueueFull` when too many wait for their verdict.
        """
        self._tick(now)
        self._verb(_SEND)
        target = self._account(account)
        deadline = self._deadline(timeout, self._config.send_timeout)
        return self._outbox.add(Kind.P2P, target, payload, is_store, biz_type, packet_id, deadline)

    def send_group(
        self,
        group_id: int,
        payload: bytes,
        *,
        now: float,
        biz_type: str | None = None,
        is_store: bool = True,
        packet_id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Send a message to a normal group; otherwise like `send`."""
        return self._to_group(Kind.P2T, group_id, payload, now, biz_type, is_store, packet_id, timeout)

    def send_online(
        self,
        account: str,
        payload: bytes,
        *,
        now: float,
        biz_type: str | None = None,
        packet_id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Send a message to whoever of a user's resources is online now.

        `Acknowledged`, without a sequence, means that one of them has it; ``timeout`` is ``online_timeout`` if not
        given. Never stored.
        """
        self._tick(now)
        self._verb(_SEND)
        target = self._account(account)
        deadline = self._deadline(timeout, self._config.online_timeout)
        return self._outbox.add(Kind.ONLINE, target, payload, False, biz_type, packet_id, deadline)

    def send_unlimited(
        self,
        group_id: int,
        payload: bytes,
        *,
        now: float,
        biz_type: str | None = None,
        is_store: bool = True,
        packet_id: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Send a message to an unlimited group, whose members get it if they are online; otherwise like `send`."""
        return self._to_group(Kind.UNLIMITED, group_id, payload, now, biz_type, is_store, packet_id, timeout)

    def join_unlimited(self, group_id: int, *, now: float, timeout: float | None = None) -> str:
        """Join an unlimited group; the verdict, without a sequence, says whether that went well."""
        if self._groups.full():
            raise QueueFull(
                f"{len(self._groups.joined)} groups are joined already (max_groups)", where="join_unlimited"
            )
        return self._to_group(Kind.JOIN, group_id, b"", now, None, False, None, timeout)

    def quit_unlimited(self, group_id: int, *, now: float, timeout: float | None = None) -> str:
        """Leave an unlimited group; the verdict, without a sequence, says whether that went well."""
        return self._to_group(Kind.QUIT, group_id, b"", now, None, False, None, timeout)

    def withdraw(self, packet_id: str, now: float) -> bool:
        """Take back a send that waits in the queue: it fails with reason WITHDRAWN.

        False if it is on its way or settled: on its way, its verdict comes as if this had not been called.
        """
        self._tick(now)
        failed = self._outbox.withdraw(packet_id)
        if failed is not None:
            self._events.append(failed)
            self._advance()
        return failed is not None

    def room_for(self, size: int) -> bool:
        """Whether a send of ``size`` bytes of payload would be taken now, and not raise `QueueFull`."""
        return not self._outbox.full(size)

    @property
    def unsettled(self) -> int:
        """Sends that have no verdict yet."""
        return len(self._outbox)

    @property
    def joined_groups(self) -> tuple[int, ...]:
        """The unlimited groups the user is in, as far as this session knows."""
        return self._groups.joined

    # ------------------------------------------------------------------------------------------------------- receiving

    def consumed(self, receipt: int, now: float) -> None:
        """The application is through with a delivery: it may be acknowledged, once all earlier ones are.

        Of a limit notice: it was not skipped, so what waits is pulled. Raises `LocalProtocolError` for a receipt
        that is not open; without effect when the session has ended.
        """
        self._consume(receipt, now, skip=False)

    def skip(self, receipt: int, now: float) -> None:
        """Acknowledge all that a limit notice (`TooManyWaiting`) speaks of, without having it."""
        self._consume(receipt, now, skip=True)

    def pull(self, now: float) -> None:
        """Ask the server for what waits; it does push that by itself after a login. Paced by ``pull_interval``."""
        self._tick(now)
        self._verb(_SEND)
        self._inbox.pull_due = True

    @property
    def unconsumed(self) -> int:
        """Messages that were delivered and not consumed: what the high marks bound."""
        return self._inbox.in_hand

    @property
    def repeats(self) -> int:
        """Messages that the server pushed again, after a lost link above all, and that were not delivered again."""
        return self._inbox.repeats

    def _consume(self, receipt: int, now: float, *, skip: bool) -> None:
        self._tick(now)
        if self._ended is None:
            self._inbox.consumed(receipt, skip=skip)

    # --------------------------------------------------------------------------------------------------------- helpers

    def _account(self, account: str) -> bytes:
        try:
            target = account.encode()
        except (AttributeError, UnicodeEncodeError):
            target = b""
        if not 0 < len(target) <= MAX_NAME:
            check_text(account, "account", MAX_NAME)
        return target

    def _deadline(self, timeout: float | None, default: float) -> float:
        if timeout is None:
            return self._now + default
        if not isinstance(timeout, (int, float)) or not 0 < timeout < 1e9:
            raise LocalProtocolError(f"expected seconds above 0, got {timeout!r}", where="timeout")
        return self._now + timeout

    def _to_group(
        self,
        kind: Kind,
        group_id: int,
        payload: bytes,
        now: float,
        biz_type: str | None,
        is_store: bool,
        packet_id: str | None,
        timeout: float | None,
    ) -> str:
        self._tick(now)
        self._verb(_SEND)
        check_number(group_id, "group_id", END_OF_TOPICS)
        deadline = self._deadline(timeout, self._config.send_timeout)
        return self._outbox.add(kind, group_id, payload, is_store, biz_type, packet_id, deadline)
