"""What a user is to an application on whatever loop: a session with its events. Nothing here waits or does I/O."""

from __future__ import annotations

import abc
import functools
import logging
import math
import os
import ssl as _ssl
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any, Literal, Unpack

from mimc_proto import (
    Framing,
    LocalProtocolError,
    MimcError,
    SendTimeout,
    SessionConfig,
    SessionEnded,
    SessionState,
    Trace,
)
from mimc_proto.session import (
    DEFAULT_RESOLVER,
    Acknowledged,
    Address,
    ClientSession,
    CloseLink,
    Ended,
    EndReason,
    Failed,
    FetchToken,
    MessagesDelivered,
    Offline,
    Online,
    OpenLink,
    Rejected,
    Resolve,
    SessionEvent,
    SessionRequest,
    TooManyWaiting,
    Verdict,
)
from mimc_proto.session import Message as Message  # what handlers get

from ._cache import IdentityCache, default_folder, token_text
from ._link import need_websocket
from ._proxy import check_proxy
from ._shared import AnyMessage, Inflow, OnlineOptions, SendOptions, Token, TokenSource, ended_error, problem_of

__all__ = ["BaseUser", "Handler"]

LOGIN_TIMEOUT = 30.0
CLOSE_TIMEOUT = 5.0
MOST_EVENTS = 8192
"""Events that a slow reader of `events` may leave unread; then the oldest are dropped."""

_log = logging.getLogger("mimc.user")

Handler = Callable[[Any], object]


class BaseUser(abc.ABC):
    """A user who is logged in, and again after every interruption.

    ``token`` gives token answers: a function, a coroutine function, a provider, or one answer. ``addresses`` are
    frontends as (host, port); without any the resolver is asked, which needs the extra ``[http]``. ``ssl`` is True or a
    context; certificates are checked against ``server_hostname`` or the address. ``websocket`` (extra ``[websocket]``)
    speaks the framing of browsers, for which addresses have to be given. ``proxy`` (extra ``[proxy]``) is the URL of a
    SOCKS5 or HTTP CONNECT proxy, which looks the names of frontends up.

    ``resource`` names the device, for which the server remembers what was acknowledged. Without one each user object
    is a new device, unless ``cache`` is a folder, or True for the usual one (``mimc-proto`` among the caches of the
    user): resource, token and what the resolver said are kept there, readable by its owner only, and used the next
    time. Off by default, because a token is written.

    Leaving the block normally logs out, waiting up to ``close_timeout`` seconds for what was sent; leaving it by an
    exception closes at once.

    Messages are iterated over, or given to ``on_message``. ``on_verdict`` gets the verdicts of `send_nowait`,
    ``on_status`` gets `Online`, `Offline` and `Ended`. An ``on_message`` that raises ends the user with that error, and
    its message comes again at the next login; with ``on_handler_error="ack"`` that is logged, and the message counts as
    consumed.

    Entering raises `LoginError` at a refusal that is not about the token, `LoginTimeout` when nobody is online after
    ``login_timeout`` seconds, `SessionEnded` for a user that was ended before.
    """

    def __init__(
        self,
        app_id: int,
        account: str,
        token: TokenSource,
        *,
        resource: str | None = None,
        addresses: Iterable[Address] = (),
        resolver: str = DEFAULT_RESOLVER,
        ssl: _ssl.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        websocket: bool = False,
        proxy: str | None = None,
        cache: bool | str | os.PathLike[str] = False,
        joined_groups: Iterable[int] = (),
        login_timeout: float = LOGIN_TIMEOUT,
        close_timeout: float = CLOSE_TIMEOUT,
        auto_acknowledge: bool = True,
        on_message: Handler | None = None,
        on_verdict: Handler | None = None,
        on_status: Handler | None = None,
        on_handler_error: Literal["close", "ack"] = "close",
        config: SessionConfig | None = None,
        trace: Trace | None = None,
    ) -> None:
        addresses = tuple(addresses)
        if websocket:
            need_websocket()
            if not addresses:
                raise LocalProtocolError("expected addresses: a resolver knows none for WebSocket", where="websocket")
        self._now = self._prepare()
        make_session = functools.partial(
            ClientSession,
            app_id,
            account,
            rng=SystemRandom(),
            now=self._now(),
            addresses=addresses,
            resolver=resolver,
            joined_groups=joined_groups,
            framing=Framing.WEBSOCKET if websocket else Framing.TCP,
            config=config,
            trace=trace,
        )
        self._cache: IdentityCache | None = None
        self._token_text: str | None = None
        self._session = make_session(resource=resource)
        if cache:
            folder = default_folder() if cache is True else Path(cache)
            self._cache = IdentityCache(folder, app_id, account, resource)
            self._session = self._cache.session(make_session)
            self._token_text = self._cache.token
        self._token = token
        self._config = config if config is not None else SessionConfig()
        self._tls = _ssl.create_default_context() if ssl is True else ssl or None
        self._server_hostname = server_hostname
        self._websocket = websocket
        self._proxy = check_proxy(proxy)
        self._login_timeout, self._close_timeout = login_timeout, close_timeout
        self._message_handler, self._verdict_handler, self._status_handler = on_message, on_verdict, on_status
        self._on_handler_error = on_handler_error
        self._inflow = Inflow(self._consumed, self._skipped, automatic=auto_acknowledge)
        self._unsettled: dict[str, Any] = {}  # packet ids, and who waits for their verdicts
        self._listeners: list[deque[SessionEvent]] = []
        self._status: Online | Offline | Ended = Offline()
        self._flush_due = self._room_wanted = False
        self._problem = ""
        self._error: BaseException | None = None

    @property
    def session(self) -> ClientSession:
        """The state machine underneath, to look at."""
        return self._session

    @property
    def online(self) -> bool:
        """Whether the user is logged in now."""
        return self._session.online

    @property
    def status(self) -> Online | Offline | Ended:
        """Logged in, not (any more), or ended."""
        return self._status

    def abort(self) -> None:
        """End everything at once, without a word to the server: what is under way fails. Never waits."""
        self._session.close(self._now())
        self._pump()
        self._stop()

    # ---------------------------------------------------------------------------------------------------------- sending

    def send_nowait(self, account: str, payload: bytes, **options: Unpack[SendOptions]) -> str:
        """Queue a message to a user; its verdict comes to ``on_verdict`` and `events`. Returns its packet id.

        Options: ``biz_type``, ``is_store``, ``packet_id``, ``timeout`` (seconds), as in `ClientSession.send`. Raises
        `QueueFull` when too many sends wait for their verdict: `wait_room`; `SessionEnded`.
        """
        try:
            packet_id = self._session.send(account, payload, now=self._now(), **options)
        except LocalProtocolError as error:
            raise self._send_error(error) from None
        if not self._flush_due:
            self._flush_soon()
        return packet_id

    def send_group_nowait(self, group_id: int, payload: bytes, **options: Unpack[SendOptions]) -> str:
        """Queue a message to a normal group; otherwise like `send_nowait`."""
        try:
            packet_id = self._session.send_group(group_id, payload, now=self._now(), **options)
        except LocalProtocolError as error:
            raise self._send_error(error) from None
        self._flush_soon()
        return packet_id

    def _deadline(self, options: SendOptions | OnlineOptions) -> float:
        timeout = options.get("timeout")
        return math.inf if timeout is None else self._now() + timeout

    def _shorten(self, options: SendOptions | OnlineOptions, deadline: float) -> None:
        """The time of a send goes on while it waits for room. Raises `SendTimeout` when it is over."""
        if deadline < math.inf:
            left = options["timeout"] = deadline - self._now()
            if left <= 0.0:
                raise SendTimeout("no room in time", packet_id=options.get("packet_id") or "", may_have_arrived=False)

    def _send_error(self, error: LocalProtocolError) -> MimcError:
        """Why the session did not take a message: perhaps somebody else is ending it."""
        if self._session.ended is not None:
            return ended_error(self._session.ended)
        if self._session.state is SessionState.LEAVING:
            return SessionEnded("expected a user who is not logging out", reason=EndReason.LOGGED_OUT)
        return error

    # -------------------------------------------------------------------------------------------------------- receiving

    def acknowledge(self, message: AnyMessage) -> None:
        """With ``auto_acknowledge=False``: this message is consumed. Its list is acknowledged when all of it is."""
        self._inflow.acknowledge(message)

    def skip(self, notice: TooManyWaiting) -> None:
        """Do without all that a limit notice speaks of; not answered, it is pulled."""
        self._inflow.skip(notice)

    def pull(self) -> None:
        """Ask the server for what waits; it pushes that by itself after a login."""
        self._session.pull(self._now())
        self._flush_soon()

    def _consumed(self, receipt: int) -> None:
        self._session.consumed(receipt, self._now())
        self._flush_soon()

    def _skipped(self, receipt: int) -> None:
        self._session.skip(receipt, self._now())
        self._flush_soon()

    # ------------------------------------------------------------------------------------------- events and requests

    def _pump(self) -> None:
        """Hand out events, do what is asked for, write, set the timer: after all but the queueing of a send."""
        session = self._session
        events = session.events()
        if events:
            self._dispatch(events)
        for request in session.requests():
            self._perform(request)
        if not self._flush_due:
            self._flush()

    def _dispatch(self, events: list[SessionEvent]) -> None:
        unsettled, handler, changed = self._unsettled, self._verdict_handler, False
        for event in events:
            if type(event) is not Acknowledged and not isinstance(event, (Rejected, Failed)):
                changed = True
                self._on_event(event)
                continue
            waiter = unsettled.pop(event.packet_id, None) if unsettled else None
            if waiter is not None:
                self._settle(waiter, event)
                continue
            if handler is not None:
                self._call(handler, event)
            if self._listeners:
                changed = True
                self._tell(event)
        if self._room_wanted and self._session.room_for(0):
            self._room_wanted = False
            self._wake_for_room()
        if changed:
            self._wake()

    def _tell(self, event: SessionEvent) -> None:
        for listener in self._listeners:
            listener.append(event)

    def _on_event(self, event: SessionEvent) -> None:
        if isinstance(event, (MessagesDelivered, TooManyWaiting)):
            self._inflow.add(event)
            return
        self._log_event(event)
        self._problem = problem_of(event) or self._problem
        if isinstance(event, (Online, Offline, Ended)):
            self._status = event
            self._remember(event)
            if self._status_handler is not None:
                self._call(self._status_handler, event)
        self._tell(event)

    def _log_event(self, event: SessionEvent) -> None:
        """What becomes of the user, with fields for log collectors. No event of this kind holds a secret or a text."""
        level = logging.WARNING if problem_of(event) else logging.INFO
        if _log.isEnabledFor(level):
            session, kind = self._session, type(event).__name__
            who = {"mimc_app_id": session.app_id, "mimc_account": session.account, "mimc_resource": session.resource}
            told = problem_of(event) or getattr(event, "error_type", "") or getattr(event, "reason", "")
            detail = told.value if isinstance(told, EndReason) else told
            fields = {**who, "mimc_event": kind, "mimc_detail": detail}
            _log.log(level, "%s: %s%s", session.account, kind, f": {detail}" if detail else "", extra=fields)

    def _remember(self, event: Online | Offline | Ended) -> None:
        if self._cache is not None and isinstance(event, Online):
            self._cache.save(self._session.resource, self._token_text, self._session.known_addresses)
        elif self._cache is not None and isinstance(event, Ended):
            self._cache.close()

    def _token_fetched(self, request_id: int, answer: Token | BaseException, now: float) -> None:
        """Tell the session, and keep the answer for the next time."""
        if self._cache is not None and not isinstance(answer, BaseException):
            self._token_text = token_text(answer)
        self._session.token_fetched(request_id, answer, now)

    def _call(self, handler: Handler, event: SessionEvent) -> None:
        try:
            handler(event)
        except Exception as error:
            self._fail(error)

    def _forgiven(self, error: Exception) -> bool:
        """The handler of a message raised: whether that is only logged."""
        if self._on_handler_error != "ack":
            return False
        _log.error("the handler of a message failed; the message counts as consumed", exc_info=error)
        return True

    def _fail(self, error: Exception) -> None:
        """A handler raised: the user ends with that error, once the events of this turn are handed out."""
        self._error = self._error or error
        self._soon(self.abort)

    def _check_alive(self) -> None:
        if self._session.ended is not None:
            raise ended_error(self._session.ended)

    def _perform(self, request: SessionRequest) -> None:
        match request:
            case FetchToken():
                self._fetch_token(request)
            case Resolve():
                self._resolve(request)
            case OpenLink():
                self._open_link(request)
            case CloseLink():
                self._close_link(request)

    # ------------------------------------------------------------------------------------------------ what differs

    @abc.abstractmethod
    def _prepare(self) -> Callable[[], float]:
        """Make ready what the adapter needs; gives its clock, in seconds of any origin."""

    @abc.abstractmethod
    def _fetch_token(self, request: FetchToken) -> None:
        """Begin to get a token answer."""

    @abc.abstractmethod
    def _resolve(self, request: Resolve) -> None:
        """Begin to ask the resolver."""

    @abc.abstractmethod
    def _open_link(self, request: OpenLink) -> None:
        """Begin to connect."""

    @abc.abstractmethod
    def _close_link(self, request: CloseLink) -> None:
        """Close a connection, if it is the one that is there."""

    @abc.abstractmethod
    def _flush(self) -> None:
        """Write what can be written, and see to it that `ClientSession.handle_timer` is called in time."""

    @abc.abstractmethod
    def _flush_soon(self) -> None:
        """`_flush` at the end of this turn, so that what is sent in one turn goes out in one write."""

    @abc.abstractmethod
    def _settle(self, waiter: Any, verdict: Verdict) -> None:
        """The verdict somebody waits for has come."""

    @abc.abstractmethod
    def _wake(self) -> None:
        """Wake whoever waits for an event."""

    @abc.abstractmethod
    def _wake_for_room(self) -> None:
        """Wake whoever waits until there is room for a send."""

    @abc.abstractmethod
    def _soon(self, callback: Callable[[], None]) -> None:
        """Call it after the present turn."""

    @abc.abstractmethod
    def _stop(self) -> None:
        """End all that runs."""
