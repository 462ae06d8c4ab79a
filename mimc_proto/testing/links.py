"""Links on a pipe and a clock: what drives one, and a client's and a server's link joined together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ..client import ClientConnection
from ..config import ClientConfig, ServerConfig
from ..credentials import Credentials
from ..errors import RemoteProtocolError
from ..events import ClientEvent, ServerEvent
from ..framing import Framing
from ..server import ServerConnection
from ..states import ClientState, ServerState
from .clock import Alarm, VirtualClock
from .pipes import FaultyPipe, PipeEnd
from .streams import Conditions
from .users import example_user

__all__ = ["Endpoint", "LinkDriver", "LinkedPair", "Listener", "serve"]

CHALLENGE = "exampleChallenge"
E = TypeVar("E")


class Endpoint(Protocol):
    """One side of a connection: a link, or anything that takes bytes and gives frames like one."""

    def receive_data(self, data: bytes, now: float, /) -> None:
        """Bytes came (on WebSocket one message). May raise `RemoteProtocolError`."""

    def receive_eof(self, now: float, /) -> None:
        """The connection is gone: the peer closed it, or it was closed as `close_expected` said."""

    def send_failed(self, now: float, /) -> None:
        """The connection broke."""

    def data_to_send(self, max_bytes: int = 65536, /) -> list[bytes]:
        """Frames to write, each whole."""

    def get_timer(self) -> float | None:
        """When `handle_timer` wants to be called."""

    def handle_timer(self, now: float, /) -> None:
        """Do what is due."""

    def close_expected(self) -> float | None:
        """None, or the time by which to flush and close."""


class Listener(Protocol):
    """Where connections arrive: makes the server's side of each new one.

    ``wake()`` is for an endpoint that got something to send by another way than its own input and timer (another
    connection, say): its driver then looks after it within the same moment.
    """

    def accept(self, now: float, wake: Callable[[], None], /) -> Endpoint:
        """The endpoint of a connection that was just accepted."""


class LinkDriver(Generic[E]):
    """Drives an endpoint at an end of a pipe, by the rules of ``docs/how-to/drive-a-link.md``.

    ``take_events`` is called after everything that happens, and what it returns is collected in ``events``; what the
    peer broke is collected in ``errors``. After you called a verb of the endpoint, the next run of the clock notices;
    within a run call `wake`. ``name`` is what the clock's errors call it.
    """

    def __init__(
        self,
        clock: VirtualClock,
        end: PipeEnd,
        endpoint: Endpoint,
        take_events: Callable[[], list[E]] = list,
        *,
        name: str = "a link",
    ) -> None:
        self.endpoint = endpoint
        self.end = end
        self.events: list[E] = []
        self.errors: list[RemoteProtocolError] = []
        self._told_the_end = False
        self._clock = clock
        self._take_events = take_events
        self._alarm = Alarm(clock, self._timer, f"the timer of {name}")
        self._wake = Alarm(clock, self._step, f"{name}, woken")
        self._forget = clock.before_run(self._step)
        end.attach(self)
        self.wake()

    def wake(self) -> None:
        """Have the endpoint looked after at this moment, when the callback that runs is over."""
        self._wake.set(self._clock.now)

    # -------------------------------------------------------------------------------------- what the pipe tells it

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        try:
            self.endpoint.receive_data(data, self._clock.now)
        except RemoteProtocolError as error:
            self.errors.append(error)
        self._step()

    def eof_received(self) -> None:
        """The peer closed."""
        self._told_the_end = True
        self.endpoint.receive_eof(self._clock.now)
        self._step()

    def connection_lost(self) -> None:
        """The connection broke."""
        self._told_the_end = True
        self.endpoint.send_failed(self._clock.now)
        self._step()

    def writing_resumed(self) -> None:
        """There is room again."""
        self._step()

    # ----------------------------------------------------------------------------------------------------- driving

    def _timer(self) -> None:
        self.end.pump()  # bytes that wait come before the timer
        due = self.endpoint.get_timer()
        if due is not None and due <= self._clock.now and not self.end.closed:
            self.endpoint.handle_timer(self._clock.now)
        self._step()

    def _step(self) -> None:
        self.events += self._take_events()
        if self.end.closed:
            return
        while self.end.writable and (frames := self.endpoint.data_to_send(self.end.room)):
            self.end.write(frames)
        close_at, timer = self.endpoint.close_expected(), self.endpoint.get_timer()
        if close_at is None:
            self._alarm.set(timer)
        elif self.end.writable or close_at <= self._clock.now:
            self._close()
        else:
            self._alarm.set(close_at if timer is None else min(timer, close_at))

    def _close(self) -> None:
        self.end.close()
        if not self._told_the_end:
            self.endpoint.receive_eof(self._clock.now)  # the connection is gone for the link too
        self.events += self._take_events()
        self._alarm.set(None)
        self._wake.set(None)
        self._forget()


def serve(clock: VirtualClock, pipe: FaultyPipe, listener: Listener) -> LinkDriver[object]:
    """Have ``listener`` accept the server's end of a pipe, and drive what it makes."""
    drivers: list[LinkDriver[object]] = []
    endpoint = listener.accept(clock.now, lambda: drivers[0].wake() if drivers else None)
    drivers.append(LinkDriver(clock, pipe.server, endpoint, name="the server's link"))
    return drivers[0]


class LinkedPair:
    """A `ClientConnection` and a `ServerConnection` with a `FaultyPipe` between them::

        pair = LinkedPair()
        pair.login()
        packet_id = pair.client.send_p2p("bob", b"hi", now=pair.clock.now)
        pair.run_for(0.1)
        [received] = pair.server_events
        assert received.packet.packet_id == packet_id

    Verbs of ``client`` and ``server`` take effect at the next run. ``client_events``, ``server_events``,
    ``client_errors`` and ``server_errors`` grow; ``pipe`` takes the faults. ``user`` is who logs in.
    """

    def __init__(
        self,
        clock: VirtualClock | None = None,
        *,
        framing: Framing = Framing.TCP,
        conditions: Conditions | None = None,
        user: Credentials | None = None,
        resource: str = "pc",
        client_config: ClientConfig | None = None,
        server_config: ServerConfig | None = None,
    ) -> None:
        self.clock = clock = clock if clock is not None else VirtualClock()
        self.user = user if user is not None else example_user()
        self.pipe = FaultyPipe(clock, framing=framing, conditions=conditions)
        self.client = ClientConnection(
            resource=resource, id_prefix="examplePrefix", now=clock.now, framing=framing, config=client_config
        )
        self.server = ServerConnection(
            challenge=CHALLENGE, first_id=1, now=clock.now, framing=framing, config=server_config
        )
        self._client = LinkDriver[ClientEvent](
            clock, self.pipe.client, self.client, self.client.events, name="the client's link"
        )
        self._server = LinkDriver[ServerEvent](
            clock, self.pipe.server, self.server, self.server.events, name="the server's link"
        )
        self.client_events, self.client_errors = self._client.events, self._client.errors
        self.server_events, self.server_errors = self._server.events, self._server.errors

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.run_for(seconds)

    def run_until(self, goal: float | Callable[[], object], *, timeout: float = 600.0, what: str = "") -> None:
        """Run up to a time, or until something holds: `VirtualClock.run_until`."""
        self.clock.run_until(goal, timeout=timeout, what=what)

    def login(self, *, timeout: float = 30.0) -> None:
        """Run until the user is online on both sides; the events so far are forgotten.

        Raises `Stuck` if that takes more than ``timeout`` seconds, `LocalProtocolError` if the client is not in a
        state to log in, or the server refused the signature.
        """
        shaking = ClientState.HANDSHAKE
        self.run_until(lambda: self.client.state is not shaking, timeout=timeout, what="an answer to CONN")
        self.client.bind(self.user, now=self.clock.now)
        asked = (ServerState.BINDING, ServerState.CLOSED)
        self.run_until(lambda: self.server.state in asked, timeout=timeout, what="a BIND")
        self.accept()
        binding = ClientState.BINDING
        self.run_until(lambda: self.client.state is not binding, timeout=timeout, what="an answer to BIND")
        del self.client_events[:], self.server_events[:]

    def accept(self) -> bool:
        """Let the server accept the BIND that waits, if its signature is right: `ServerConnection.accept_bind`."""
        user = self.user
        return self.server.accept_bind(
            app_id=user.app_id,
            account=user.account,
            uuid=user.uuid,
            security_key=user.security_key,
            package=user.package,
            now=self.clock.now,
        )
