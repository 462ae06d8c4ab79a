"""How a session gets online and stays so: token, address, link, BIND, and what to do when one of them fails.

Token and address are looked for side by side, and `_advance` asks for whatever is missing: it is called after
everything that happens, so no path has to know what comes after it.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable

from .._checks import LATEST, MAX_ID, MAX_NAME, check_number, check_text, later
from .._link import Trace
from ..client import ClientConnection
from ..config import SessionConfig
from ..errors import LocalProtocolError, RemoteProtocolError
from ..events import BindAccepted, BindRefused, CloseReason, Kicked, LinkClosed
from ..framing import Framing
from ..states import SESSION_TABLE, ClientState, Outcome, SessionInput, SessionState
from .access import Address, Answer, Frontends, Tokens
from .backoff import Backoff, Chance, LoginPace
from .events import Ended, EndReason, LinkLost, LoginRefused, Offline, Online, ResolverFailed, SessionEvent, TokenFailed
from .requests import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest

__all__ = ["DEFAULT_RESOLVER", "Lifecycle"]

DEFAULT_RESOLVER = "https://resolver.msg.xiaomi.net"
"""The resolver of Xiaomi's cloud, as far as is known."""

LEAST_PENDING, LEAST_PENDING_BYTES = 64, 256 * 1024
"""What a link may hold at least: acknowledgements, pulls and group pings are not the sends that a user limits."""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def random_name(rng: Chance, size: int) -> str:
    """Letters and digits."""
    return "".join(ALPHABET[int(rng.random() * len(ALPHABET))] for _ in range(size))


def _with_room(config: SessionConfig) -> SessionConfig:
    """The settings of links: however few sends may wait, a session's own requests need room beside them."""
    if config.max_pending >= LEAST_PENDING and config.max_pending_bytes >= LEAST_PENDING_BYTES:
        return config
    return dataclasses.replace(
        config,
        max_pending=max(config.max_pending, LEAST_PENDING),
        max_pending_bytes=max(config.max_pending_bytes, LEAST_PENDING_BYTES),
    )


class Lifecycle(abc.ABC):
    """The part of a session that is about links, not messages."""

    __slots__ = (
        "_bound_at",
        "_config",
        "_connect_at",
        "_connect_backoff",
        "_drain_until",
        "_ended",
        "_events",
        "_frontends",
        "_last_id",
        "_link",
        "_link_address",
        "_link_config",
        "_link_id",
        "_login_pace",
        "_now",
        "_open_deadline",
        "_prefix",
        "_problem",
        "_requests",
        "_state",
        "_tokens",
        "_trace",
        "_unbinding",
        "account",
        "app_id",
        "framing",
        "resource",
    )

    def __init__(
        self,
        app_id: int,
        account: str,
        rng: Chance,
        now: float,
        resource: str | None,
        addresses: Iterable[Address],
        known_addresses: Iterable[Address],
        resolver: str,
        token: Answer | None,
        framing: Framing,
        config: SessionConfig | None,
        trace: Trace | None,
    ) -> None:
        self._config = config = config if config is not None else SessionConfig()
        if not isinstance(config, SessionConfig):
            raise LocalProtocolError(f"expected a SessionConfig, got a {type(config).__name__}", where="config")
        if not isinstance(framing, Framing):
            raise LocalProtocolError(f"expected a Framing, got {framing!r}", where="framing")
        self.app_id = check_number(app_id, "app_id")
        self.account = check_text(account, "account", MAX_NAME)
        self.resource = check_text(resource, "resource", MAX_ID) if resource else f"mimc_py_{random_name(rng, 10)}"
        self.framing = framing
        self._link_config = _with_room(config)
        self._prefix = random_name(rng, 16)
        self._now = later(-LATEST, now)
        self._trace = trace
        self._state = SessionState.NEW
        self._events: list[SessionEvent] = []
        self._requests: list[SessionRequest] = []
        self._ended: Ended | None = None
        self._last_id = 0
        self._tokens = Tokens(app_id, account, config, rng, token)
        self._frontends = Frontends(addresses, resolver, config, known_addresses)
        self._connect_backoff = Backoff(config.connect_backoff, config.longest_connect_backoff, rng)
        self._login_pace = LoginPace(config, rng, self._now)
        self._connect_at = self._now
        self._link_id: int | None = None  # the link that was asked for, or is there
        self._link: ClientConnection | None = None  # there
        self._link_address: Address = ("", 0)
        self._open_deadline: float | None = None
        self._problem = ""
        self._bound_at: float | None = None
        self._drain_until: float | None = None
        self._unbinding = False  # UBND is on its way: whatever ends the link, the user is logged out

    # ------------------------------------------------------------------------------------------------- the outside

    @property
    def state(self) -> SessionState:
        """Where the session is."""
        return self._state

    @property
    def online(self) -> bool:
        """Whether the user is logged in."""
        return self._state is SessionState.ONLINE

    @property
    def ended(self) -> Ended | None:
        """How the session ended; None while it lives."""
        return self._ended

    @property
    def known_addresses(self) -> tuple[Address, ...]:
        """What the resolver said last, to be kept for the next time."""
        return self._frontends.known

    def connect(self, now: float) -> None:
        """Log in, and again whenever that is needed, until `logout`, `close` or another session takes over."""
        self._tick(now)
        self._state = self._verb(SessionInput.CONNECT)
        self._advance()

    def logout(self, now: float, drain: float = 0.0) -> None:
        """Log out; for at most ``drain`` seconds first wait until everything sent has its verdict.

        What has none then fails with reason CLOSED. The session ends when the server has answered, or after
        ``answer_timeout``. Without effect when it has ended already.
        """
        self._tick(now)
        if not isinstance(drain, (int, float)) or not 0 <= drain < LATEST:
            raise LocalProtocolError(f"expected seconds from 0, got {drain!r}", where="drain")
        never_connected = self._state is SessionState.NEW
        self._state = self._verb(SessionInput.LOGOUT)
        if not self._unbinding:
            self._drain_until = self._now + (0.0 if never_connected else drain)
            self._advance()

    def close(self, now: float) -> None:
        """End the session at once, without a word to the server. What was sent fails with reason CLOSED."""
        self._tick(now)
        self._end(EndReason.CLOSED)

    def requests(self) -> list[SessionRequest]:
        """What the driver is to do, in order."""
        requests, self._requests = self._requests, []
        return requests

    def events(self) -> list[SessionEvent]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def token_fetched(self, request_id: int, answer: Answer, now: float) -> None:
        """The answer to `FetchToken`: the body of the token endpoint's answer, or the error that came instead."""
        self._tick(now)
        if self._ended is None and request_id == self._tokens.request:
            problem = self._tokens.fetched(answer, self._now)
            if problem is not None:
                self._token_failed(problem)
            self._advance()

    def resolved(self, request_id: int, answer: Answer, now: float) -> None:
        """The answer to `Resolve`: the body of the resolver's answer, or the error that came instead."""
        self._tick(now)
        if self._ended is None and request_id == self._frontends.request:
            problem = self._frontends.resolved(answer)
            if problem is not None:
                self._events.append(ResolverFailed(problem=problem))
            self._advance()

    def link_opened(self, link_id: int, now: float) -> None:
        """The connection is there."""
        self._tick(now)
        if link_id != self._link_id or self._link is not None:
            return
        self._open_deadline = None
        self._link = ClientConnection(
            resource=self.resource,
            id_prefix=f"{self._prefix}L{link_id}",
            now=self._now,
            framing=self.framing,
            config=self._link_config,
            trace=self._trace,
        )

    def link_lost(self, link_id: int, error: BaseException | str | None, now: float) -> None:
        """The connection could not be made, or ended: end of input, reset, failed write, all alike.

        ``error`` says more; None stands for the end of input.
        """
        self._tick(now)
        if link_id != self._link_id:
            return
        if isinstance(error, BaseException):
            error = str(error) or type(error).__name__
        self._problem = error or CloseReason.EOF.value
        self._link_id = None  # nothing is to be closed any more
        link = self._link
        if link is None:
            self._link_gone(self._problem)
        else:
            link.receive_eof(self._now)
            self._on_link_events(link)

    # ------------------------------------------------------------------------------------------------- what to do next

    def _advance(self) -> None:
        """Ask for what is missing to be online, or to be gone."""
        state = self._state
        if state is SessionState.NEW or state is SessionState.ENDED:
            return
        if state is SessionState.LEAVING and self._leave():
            return
        now, tokens = self._now, self._tokens
        if tokens.wanted(now):
            request_id = self._new_id()
            tokens.asked(request_id, now)
            self._requests.append(FetchToken(request_id=request_id))
        if self._link_id is None:
            if now >= self._connect_at:
                self._open()
        elif self._link is not None and self._link.state is ClientState.READY and now >= self._login_pace.bind_at:
            self._bind(self._link)

    def _open(self) -> None:
        frontends = self._frontends
        if self._tokens.answer is not None:
            frontends.domain = self._tokens.answer.fe_domain
        address = frontends.next()
        if address is None:
            url = frontends.url()
            if url is not None:
                request_id = self._new_id()
                frontends.asked(request_id, self._now)
                self._requests.append(Resolve(request_id=request_id, url=url))
            return
        self._link_id = self._new_id()
        self._link_address = address
        self._open_deadline = self._now + self._config.connect_timeout
        self._requests.append(OpenLink(link_id=self._link_id, host=address[0], port=address[1]))

    def _bind(self, link: ClientConnection) -> None:
        answer = self._tokens.answer
        if answer is None:
            return
        try:
            link.bind(answer.credentials, self._now)
        except LocalProtocolError as error:  # packets of the user that the token was for before wait there
            self._link_gone(str(error))
        else:
            self._tokens.used()
            self._login_pace.bound(self._now)

    def _leave(self) -> bool:
        """Go on logging out; whether nothing else is to be done."""
        assert self._drain_until is not None  # set by logout()
        link = self._link
        if self._unbinding:
            return True
        if self._now < self._drain_until and self._undone():
            return False
        if link is not None and link.state is ClientState.BOUND:
            self._before_unbind(link)
            link.unbind(self._now)
            self._unbinding = True
        else:
            self._end(EndReason.LOGGED_OUT)
        return True

    @abc.abstractmethod
    def _undone(self) -> bool:
        """Whether a logout that drains has to wait."""

    @abc.abstractmethod
    def _before_unbind(self, link: ClientConnection) -> None:
        """The last that can be said on this link."""

    # ----------------------------------------------------------------------------------------------- what a link says

    @abc.abstractmethod
    def _on_link_events(self, link: ClientConnection) -> None:
        """Handle what a link reports; calls the methods below."""

    def _on_accepted(self, event: BindAccepted) -> None:
        answer = self._tokens.answer
        assert answer is not None  # it was just used
        self._tokens.accepted()
        self._login_pace.answered(self._now)
        self._login_pace.accepted()
        self._bound_at = self._now
        self._step(SessionInput.ACCEPTED)
        self._events.append(Online(uuid=answer.credentials.uuid, resource=self.resource))

    def _on_refused(self, event: BindRefused) -> None:
        told = {"error_type": event.error_type, "error_reason": event.error_reason, "error_desc": event.error_desc}
        never_online = self._state is SessionState.CONNECTING
        self._login_pace.answered(self._now)
        self._went_offline(**told)
        self._events.append(LoginRefused(**told))
        if event.taken_over:
            self._end(EndReason.KICKED, **told)
        elif event.token_refused:
            self._tokens.refused(self._now)
        elif never_online:
            self._end(EndReason.LOGIN_REFUSED, **told)
        else:
            self._login_pace.refused(self._now)

    def _on_kicked(self, event: Kicked) -> None:
        kick = event.kick
        told = {"error_type": kick.type or "", "error_reason": kick.reason or "", "error_desc": kick.desc or ""}
        online_for = None if self._bound_at is None else self._now - self._bound_at
        self._went_offline(**told)
        if self._state is SessionState.LEAVING:
            self._end(EndReason.LOGGED_OUT)
        elif event.taken_over:
            self._end(EndReason.KICKED, **told)
        elif event.token_refused and not self._tokens.kicked(self._now):
            self._login_pace.crossed()
        else:
            self._login_pace.kicked(self._now, online_for, token_refused=event.token_refused)

    def _on_closed(self, event: LinkClosed) -> None:
        if self._unbinding:
            self._end(EndReason.LOGGED_OUT)
        elif self._ended is None:  # else what came before in the same read was the end
            told = event.reason in (CloseReason.EOF, CloseReason.PROTOCOL_ERROR)
            self._link_gone(self._problem if told else event.reason.value)

    # ------------------------------------------------------------------------------------------------------ changes

    def _link_gone(self, problem: str) -> None:
        """There is no link any more, and a new one is needed."""
        host, port = self._link_address
        was_bound = self._bound_at is not None
        self._drop_link()
        self._went_offline()
        retry_in = 0.0
        if was_bound or not self._frontends.failed():
            retry_in = self._connect_backoff.next()
        self._connect_at = self._now + retry_in
        self._events.append(LinkLost(host=host, port=port, problem=problem, retry_in=retry_in))
        self._advance()

    def _drop_link(self) -> None:
        """Close what is open, and forget it."""
        if self._link_id is not None:
            self._requests.append(CloseLink(link_id=self._link_id, flush_until=self._now))
        self._link_id = self._link = self._open_deadline = None
        self._tokens.link_gone()
        self._login_pace.answered(self._now)
        self._link_dropped()

    @abc.abstractmethod
    def _link_dropped(self) -> None:
        """What else ends with a link."""

    def _went_offline(self, error_type: str = "", error_reason: str = "", error_desc: str = "") -> None:
        bound_at, self._bound_at = self._bound_at, None
        self._step(SessionInput.LOST)
        if bound_at is not None:
            if self._now - bound_at >= self._config.stable_after:
                self._connect_backoff.reset()
            self._events.append(Offline(error_type=error_type, error_reason=error_reason, error_desc=error_desc))

    def _end(self, reason: EndReason, error_type: str = "", error_reason: str = "", error_desc: str = "") -> None:
        if self._ended is not None:
            return
        self._settle_all(reason)  # before the link goes, whose loss would be the reason otherwise
        self._drop_link()
        if self._bound_at is not None:
            self._went_offline(error_type, error_reason, error_desc)
        self._step(SessionInput.END)
        # what was asked for and not begun is of no use any more; links are closed in the order in which they are opened
        self._requests = [asked for asked in self._requests if not isinstance(asked, FetchToken | Resolve)]
        self._ended = Ended(reason=reason, error_type=error_type, error_reason=error_reason, error_desc=error_desc)
        self._events.append(self._ended)

    @abc.abstractmethod
    def _settle_all(self, reason: EndReason) -> None:
        """The verdicts of everything that has none."""

    def _token_failed(self, problem: str) -> None:
        self._events.append(TokenFailed(problem=problem))

    # -------------------------------------------------------------------------------------------------------- timers

    def _lifecycle_timer(self) -> float | None:
        """When something is due here."""
        state = self._state
        if state is SessionState.NEW or state is SessionState.ENDED:
            return None
        times = [self._tokens.timer(), self._frontends.deadline, self._open_deadline]
        link = self._link
        if self._link_id is None:
            frontends = self._frontends
            known = frontends.domain is not None or self._tokens.answer is not None
            if frontends.next() is not None or (known and frontends.request is None):
                times.append(self._connect_at)
        elif link is not None:
            times.append(link.get_timer())
            if link.state is ClientState.READY and self._tokens.answer is not None:
                times.append(self._login_pace.bind_at)
        if not self._unbinding:
            times.append(self._drain_until)
        return min((time for time in times if time is not None), default=None)

    def _handle_lifecycle_timer(self) -> None:
        if self._ended is not None:
            return
        now, tokens, frontends, link = self._now, self._tokens, self._frontends, self._link
        if tokens.deadline is not None and now >= tokens.deadline:
            self._token_failed(tokens.overdue(now))
        if frontends.deadline is not None and now >= frontends.deadline:
            self._events.append(ResolverFailed(problem=frontends.overdue()))
        if self._open_deadline is not None and now >= self._open_deadline:
            self._link_gone(f"no connection within {self._config.connect_timeout:g} s (connect_timeout)")
        elif link is not None:
            link.handle_timer(now)
            self._on_link_events(link)
        self._advance()

    # ------------------------------------------------------------------------------------------------------- helpers

    def _tick(self, now: float) -> None:
        self._now = later(self._now, now)

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _verb(self, item: SessionInput) -> SessionState:
        """The state that a verb leads to. Raises `LocalProtocolError` if it does not fit."""
        cell = SESSION_TABLE[self._state, item]
        if isinstance(cell, Outcome):
            raise LocalProtocolError(f"{item.value} is not possible in state {self._state.name}")
        return cell

    def _step(self, item: SessionInput) -> None:
        """Go where an event leads."""
        cell = SESSION_TABLE[self._state, item]
        if not isinstance(cell, Outcome):
            self._state = cell

    def _receive(self, link: ClientConnection, data: bytes | bytearray | memoryview) -> None:
        """Feed a link; what its peer does wrong ends the link, not the session."""
        try:
            link.receive_data(data, self._now)
        except RemoteProtocolError as error:
            self._problem = str(error)
