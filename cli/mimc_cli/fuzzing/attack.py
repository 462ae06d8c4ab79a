"""One case against a server: what is said on a link of its own, and whether the server bears it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

from mimc_proto import Credentials, CryptoError, Framing, PacketError
from mimc_proto.crypto import body_key
from mimc_proto.packets import BindAnswer, Conn, Header, Packet, PacketList

from .cases import Case, Phase, whole
from .listening import Heard, Listener
from .speech import Speaker
from .stream import Piece, frame_of
from .wires import Closed, Wire

__all__ = ["Attack", "Server", "Verdict"]


@dataclasses.dataclass(frozen=True)
class Server:
    """How to reach it, who logs in, and how patient to be.

    ``now`` and ``sleep`` are in seconds of one clock, ``answer_timeout`` is what a server has to answer within.
    """

    dial: Callable[[], Wire]
    framing: Framing
    credentials: Credentials | None
    now: Callable[[], float]
    sleep: Callable[[float], None]
    answer_timeout: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Something that a server should not do: a word for its kind, and what happened."""

    kind: str
    detail: str


class Attack:
    """Runs a case on a new link. ``pace`` is called before each input, ``wait`` are seconds to wait for an answer to
    a CONN that may be none any more.

    `run` gives the first thing that was wrong, None if the server bore it all.
    """

    def __init__(self, server: Server, resource: str, prefix: str, *, pace: Callable[[], None], wait: float) -> None:
        self._server = server
        self._pace = pace
        self._wait = wait
        self._listener = Listener(server.framing, server.credentials, resource)
        self._speaker = Speaker(server.framing, server.credentials, resource, prefix)
        self._wire: Wire | None = None
        self._sequence = 0
        self._may_log_in = self._logged_in = self._forged = False

    def run(self, case: Case) -> Verdict | None:
        """Say it all, and ask whether the server is still there. Raises `OSError` if no link comes about."""
        self._wire = self._server.dial()
        try:
            verdict = self._run(case)
        except Closed as error:  # its right, whatever was said to it
            verdict = Verdict("bad-frame", error.problem) if error.problem else None
        finally:
            self._wire.close()
        if self._forged:
            return Verdict("forged", "a login was accepted whose token or signature was changed")
        faults = self._listener.faults
        return Verdict("bad-frame", faults[0]) if faults else verdict

    def _run(self, case: Case) -> Verdict | None:
        try:
            verdict = self._begin(case.phase)
        except Closed as error:
            verdict = Verdict("refused", error.problem or "a new connection was closed before anything was mutated")
        if verdict is not None:
            return verdict
        if not self._say_steps(case):
            return None  # it may rightly wait for the rest of a frame
        self._say([self._speaker.command("PING")])
        if not self._hear(lambda heard: heard.pong):
            return Verdict("silent", "neither an answer to the PING behind whole frames, nor the end of the connection")
        return None

    def _begin(self, phase: Phase) -> Verdict | None:
        """All as clients do it, up to what is mutated."""
        if phase is Phase.CONN:
            return None
        self._say([self._speaker.conn()])
        if not self._hear(lambda heard: heard.command == "CONN"):
            return Verdict("silent", "no answer to a CONN as clients send it")
        return self._log_in() if phase is Phase.ONLINE else None

    def _log_in(self) -> Verdict | None:
        self._may_log_in = True
        self._say([self._speaker.bind(self._listener.challenge)])
        if not self._hear(lambda heard: heard.command == "BIND"):
            return Verdict("silent", "no answer to a BIND as clients send it")
        if not self._logged_in:
            return Verdict("login", "a good login was refused")
        self._listen(0.0)
        if self._sequence:
            self._say([self._speaker.acknowledge(self._sequence)])
        return None

    def _say_steps(self, case: Case) -> bool:
        """Whether what follows is read, and its answers can be."""
        speaker, listener = self._speaker, self._listener
        for step in case.steps:
            self._pace()
            start = speaker.conn() if case.phase is Phase.CONN else speaker.bind(listener.challenge)
            pieces = step.said(case.phase, start, listener.keys)
            self._say(pieces)
            if case.phase is Phase.CONN:
                udid = _udid(pieces)
                if udid is None:
                    return False
                listener.udid = udid
            elif case.phase is Phase.BIND:
                self._may_log_in = any(speaker.may_log_in(piece, listener.challenge) for piece in pieces)
            self._listen(self._wait if case.phase is Phase.CONN else 0.0)  # its answer has the key of all else
            if not whole(pieces) or not listener.challenge:
                return False
        return True

    def _say(self, pieces: list[Piece]) -> None:
        assert self._wire is not None  # run() has set it
        self._wire.send([frame_of(piece, self._listener.keys) for piece in pieces])

    def _listen(self, seconds: float) -> None:
        """Take in what comes, until nothing does for so many seconds; a server that never ends is not heard out."""
        deadline = self._server.now() + self._server.answer_timeout
        while self._take(seconds) and self._server.now() < deadline:
            pass

    def _take(self, seconds: float) -> list[Heard]:
        assert self._wire is not None  # run() has set it
        heard = [frame for data in self._wire.receive(seconds) for frame in self._listener.feed(data)]
        for frame in heard:
            self._note(frame)
        if self._listener.broken:
            raise Closed  # nothing more can be read; what was wrong is noted
        return heard

    def _hear(self, wanted: Callable[[Heard], bool]) -> bool:
        """Whether such a frame comes in time."""
        deadline = self._server.now() + self._server.answer_timeout
        while (left := deadline - self._server.now()) > 0:
            if any(map(wanted, self._take(left))):
                return True
        return False

    def _note(self, heard: Heard) -> None:
        with contextlib.suppress(PacketError):  # the listener has noted that
            if heard.command == "BIND" and BindAnswer.decode(heard.payload).result:
                self._logged_in = True
                self._forged = self._forged or not self._may_log_in
            elif heard.command == "SECMSG" and self._server.credentials is not None:
                body = Packet.decode(heard.payload).body
                if isinstance(body, PacketList):
                    self._sequence = max(self._sequence, body.max_sequence or 0)


def _udid(pieces: list[Piece]) -> str | None:
    """What a mutated CONN puts into the key; None if that cannot be told."""
    try:
        [piece] = pieces
        if piece.body is not None or Header.decode(piece.header).cmd != "CONN":
            return None
        udid = Conn.decode(piece.payload).udid or ""
        body_key("any", udid)
    except (ValueError, PacketError, CryptoError):
        return None
    return udid
