"""Hosts and ports without sockets: who listens where, which of them cannot be reached, and all connections."""

from __future__ import annotations

from collections.abc import Callable

from .._record import Record
from ..errors import LocalProtocolError
from ..framing import Framing
from .clock import Scheduled, VirtualClock
from .links import LinkDriver, Listener, serve
from .pipes import FaultyPipe
from .streams import Conditions

__all__ = ["Attempt", "Network"]

OS_TIMEOUT = 127.0
"""Seconds after which Linux gives a connection up that nobody answers (tcp_syn_retries 6)."""


class Attempt(Record):
    """Somebody tried to connect: ``at`` in seconds, and where to."""

    __slots__ = ()
    at: float
    host: str
    port: int


class _Place:
    """What happens to those who connect to one address."""

    __slots__ = ("delay", "fault", "listener")

    def __init__(self) -> None:
        self.listener: Listener | None = None
        self.fault: Exception | None = None
        self.delay = 0.0


class Network:
    """Connects sessions to listeners by host and port; every connection is a `FaultyPipe`::

        network = Network(clock)
        network.listen("10.0.0.1", 5222, ScriptedServer(clock))
        network.refuse("10.0.0.1", 5222)
        clock.run_for(30.0)
        network.restore("10.0.0.1", 5222)
        ...
        network.pipe.cut()

    ``pipes`` are all connections so far, the newest last, ``links`` what drives their server sides, ``attempts`` all
    tries. ``conditions`` hold for new pipes and may be changed.
    """

    def __init__(
        self, clock: VirtualClock, *, framing: Framing = Framing.TCP, conditions: Conditions | None = None
    ) -> None:
        self.clock = clock
        self.framing = framing
        self.conditions = conditions if conditions is not None else Conditions()
        self.pipes: list[FaultyPipe] = []
        self.links: list[LinkDriver[object]] = []
        self.attempts: list[Attempt] = []
        self._places: dict[tuple[str, int], _Place] = {}

    @property
    def pipe(self) -> FaultyPipe:
        """The newest connection. Raises `LocalProtocolError` if there was none."""
        if not self.pipes:
            raise LocalProtocolError("expected a connection, none was made so far", where="Network.pipe")
        return self.pipes[-1]

    def listen(self, host: str, port: int, listener: Listener) -> None:
        """Have ``listener`` accept what connects to this address, in place of one before."""
        self._place(host, port).listener = listener

    def refuse(self, host: str, port: int, error: Exception | None = None) -> None:
        """Let connecting to this address fail at once, with ``error`` (by default ConnectionRefusedError)."""
        self._place(host, port).fault = error if error is not None else ConnectionRefusedError("refused")

    def black_hole(self, host: str, port: int) -> None:
        """Let nobody answer at this address: connecting fails after 127 s with TimeoutError, as in Linux."""
        self._place(host, port).fault = TimeoutError("nobody answered")

    def delay(self, host: str, port: int, seconds: float) -> None:
        """Let connecting to this address take so long."""
        self._place(host, port).delay = seconds

    def restore(self, host: str, port: int) -> None:
        """End `refuse`, `black_hole` and `delay`."""
        place = self._place(host, port)
        place.fault, place.delay = None, 0.0

    def connect(
        self, host: str, port: int, opened: Callable[[FaultyPipe], object], failed: Callable[[Exception], object]
    ) -> Scheduled:
        """Connect, and call ``opened(pipe)`` or ``failed(error)``, never from within; cancel what is returned to stop.

        An address at which nobody listens refuses.
        """
        self.attempts.append(Attempt(at=self.clock.now, host=host, port=port))
        place = self._place(host, port)
        fault = place.fault if place.listener is not None else ConnectionRefusedError("nobody listens")
        delay = OS_TIMEOUT if isinstance(fault, TimeoutError) else place.delay

        def finish() -> None:
            listener = place.listener
            if fault is not None or listener is None:
                failed(fault if fault is not None else ConnectionRefusedError("nobody listens"))
                return
            pipe = FaultyPipe(self.clock, framing=self.framing, conditions=self.conditions)
            self.pipes.append(pipe)
            self.links.append(serve(self.clock, pipe, listener))
            opened(pipe)

        return self.clock.call_later(delay, finish, f"connecting to {host}:{port}")

    def _place(self, host: str, port: int) -> _Place:
        return self._places.setdefault((host, port), _Place())
