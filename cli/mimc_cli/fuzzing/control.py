"""A healthy link next to the one that is mutated: what happens there must not be felt here."""

from __future__ import annotations

from collections.abc import Callable

from mimc_proto import ClientConfig, ClientConnection, Credentials, Framing, RemoteProtocolError
from mimc_proto.events import (
    AckReceived,
    BindAccepted,
    BindRefused,
    HandshakeCompleted,
    Kicked,
    LinkClosed,
    MessagesReceived,
    PongReceived,
)
from mimc_proto.packets import SequenceAck

from .listening import Listener
from .speech import NOBODY
from .wires import Closed, Wire

__all__ = ["Control", "Unhealthy"]

LONG = 1e6
"""Seconds: the deadlines of the link itself do not count here."""


class Unhealthy(Exception):  # noqa: N818 (says what is the matter)
    """The healthy link is not any more: ``kind`` is that of the finding."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class Control:
    """A link that does all as it should: logged in, if there are credentials.

    Raises `Unhealthy` if the server does not let it, or not within ``timeout`` seconds.
    """

    def __init__(
        self,
        wire: Wire,
        framing: Framing,
        credentials: Credentials | None,
        resource: str,
        prefix: str,
        now: Callable[[], float],
        timeout: float,
    ) -> None:
        self._wire = wire
        self._now = now
        self._timeout = timeout
        self._listener = Listener(framing, credentials, resource)
        config = ClientConfig(handshake_timeout=LONG, login_timeout=LONG, answer_timeout=LONG, ping_interval=LONG)
        self._link = ClientConnection(resource=resource, id_prefix=prefix, now=now(), framing=framing, config=config)
        self.logged_in = credentials is not None
        self.round_trip = 0.0
        """Seconds that the last PING took."""
        try:
            self._until(HandshakeCompleted, "CONN")
            if credentials is not None:
                self._link.bind(credentials, now=now())
                self._until(BindAccepted, "BIND")
            self.check(message=True)
        except Unhealthy:
            wire.close()
            raise

    def close(self) -> None:
        """Without more ado."""
        self._wire.close()

    def check(self, *, message: bool) -> None:
        """PING, and a message to nobody if asked for: both are answered. Raises `Unhealthy`."""
        began = self._now()
        self._link.ping(now=began)
        self._until(PongReceived, "PING")
        self.round_trip = self._now() - began
        if message and self.logged_in:
            self._link.send_p2p(NOBODY, b"still there?", now=self._now())
            self._until(AckReceived, "a message")

    def _until(self, wanted: type, said: str) -> None:
        """Wait for an event, and acknowledge what comes meanwhile."""
        deadline = self._now() + self._timeout
        while True:
            try:
                if frames := self._link.data_to_send():
                    self._wire.send(frames)
                left = deadline - self._now()
                if left <= 0:
                    raise Unhealthy("control-silent", f"no answer to {said} on the healthy link")
                for data in self._wire.receive(left):
                    self._listener.feed(data)
                    self._link.receive_data(data, self._now())
            except Closed as error:
                raise Unhealthy(
                    "control-closed", error.problem or f"the healthy link was closed after {said}"
                ) from None
            except RemoteProtocolError as error:
                raise Unhealthy("bad-frame", f"on the healthy link: {self._fault() or error}") from None
            if self._found(wanted):
                return

    def _found(self, wanted: type) -> bool:
        found = False
        for event in self._link.events():
            if isinstance(event, Kicked | LinkClosed):
                raise Unhealthy("control-kicked", f"the healthy link was taken offline: {event!r}")
            if isinstance(event, BindRefused):
                raise Unhealthy("login", f"a good login was refused: {event.error_type!r}, {event.error_reason!r}")
            if isinstance(event, MessagesReceived):
                self._link.send(SequenceAck(sequence=event.max_sequence), now=self._now())
            found = found or isinstance(event, wanted)
        if fault := self._fault():
            raise Unhealthy("bad-frame", f"on the healthy link: {fault}")
        return found

    def _fault(self) -> str:
        faults, self._listener.faults = self._listener.faults, []
        return faults[0] if faults else ""
