"""What must hold whatever happens, checked as it happens: `LawBroken` says which law, when, and how to see it again.

Told what programs send, what they are told, and what the store commits, this knows who is owed what. It knows no
machine's inside: a law that is broken is one that an application would notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mimc_proto.errors import MimcError
from mimc_proto.session import (
    Acknowledged,
    GroupMessage,
    Message,
    OnlineMessage,
    UnlimitedMessage,
    Verdict,
)

from ..store import Kind, NewMessage, Stored
from .scenario import Scenario

__all__ = ["LawBroken", "Laws", "Run", "Said"]

AnyMessage = Message | GroupMessage | OnlineMessage | UnlimitedMessage
_KINDS: dict[type[AnyMessage], Kind] = {
    Message: Kind.P2P,
    GroupMessage: Kind.P2T,
    UnlimitedMessage: Kind.UNLIMITED,
    OnlineMessage: Kind.ONLINE,
}

SHOWN = 40
"""Lines of the trace that an error shows."""


class LawBroken(MimcError):  # noqa: N818 (what happened)
    """A law does not hold. ``at`` is in virtual seconds, ``tail`` the trace's last lines, ``scenario`` what to run
    again."""

    def __init__(self, problem: str, scenario: Scenario, at: float, tail: Sequence[str]) -> None:
        self.problem, self.scenario, self.at, self.tail = problem, scenario, at, list(tail)
        shown = "\n".join(f"    {line}" for line in self.tail[-SHOWN:])
        super().__init__(
            f"{problem}\n  after {at:.6f} virtual seconds of: {scenario.command}\n  the end of the trace:\n{shown}"
        )


class _Broken(Exception):  # noqa: N818
    """Becomes a `LawBroken` where time and trace are known."""


class Said:
    """One message that somebody wanted to send, in one or more attempts."""

    __slots__ = (
        "arrived",
        "attempts",
        "kind",
        "number",
        "payload",
        "possible",
        "sender",
        "sequence",
        "since",
        "target",
    )

    def __init__(self, number: int, kind: Kind, sender: str, target: str | int, payload: bytes, since: float) -> None:
        self.number, self.kind, self.sender, self.target, self.payload = number, kind, sender, target, payload
        self.since = since
        """When it was said first, in seconds."""
        self.attempts = 0
        """Attempts without a verdict."""
        self.possible = False
        """Whether an attempt may have arrived, as far as its verdict says or because there will be none."""
        self.sequence: int | None = None
        """What the store gave it."""
        self.arrived = False

    @property
    def impossible(self) -> bool:
        """Whether it must never arrive: all attempts were refused, or certainly never sent."""
        return not self.attempts and not self.possible


class Run:
    """What the laws know of one program: one session object."""

    __slots__ = ("account", "dropped", "highest", "live", "name", "resource", "seat", "waiting")

    def __init__(self, account: str, resource: str, name: str, seat: _Seat) -> None:
        self.account, self.resource, self.name, self.seat = account, resource, name, seat
        self.dropped = 0
        """How many messages that nobody stores it let go, because too many waited."""
        self.highest = 0
        """The sequence of the last stored message that it was given."""
        self.live: set[int] = set()
        """Numbers of the messages that it was given which nobody stores for it."""
        self.waiting: dict[str, Said] = {}
        """Attempts without a verdict, by packet id."""


class _Seat:
    """A resource of an account, over all programs that have it."""

    __slots__ = ("born", "done", "given")

    def __init__(self) -> None:
        self.born: int | None = None
        """The newest sequence there was when it was online for the first time."""
        self.given: set[int] = set()
        self.done: set[int] = set()
        """Numbers of stored messages that it was given, and that its applications were through with."""


class Laws:
    """Checks all along, and at the end (`finish`). Raises `_Broken`, which `Simulation` turns into `LawBroken`."""

    Broken = _Broken

    def __init__(self, groups: Mapping[int, Iterable[str]]) -> None:
        """``groups``: the accounts in each group, normal or unlimited, by id."""
        self.said: list[Said] = []
        self.again = 0
        """Stored messages given to a later program on the same resource, because an earlier one was not through."""
        self._groups = {topic: frozenset(members) for topic, members in groups.items()}
        self._seats: dict[tuple[str, str], _Seat] = {}
        self._inboxes: dict[str, list[Said]] = {}
        self._drops: dict[str, int] = {}
        self._last_sequence = 0
        self._expected: list[tuple[Said, Run]] = []

    # ------------------------------------------------------------------------------------------------------- sending

    def say(self, kind: Kind, sender: str, target: str | int, filler: bytes, now: float) -> Said:
        """A new message. Its payload is its number and ``filler``."""
        number = len(self.said) + 1
        said = Said(number, kind, sender, target, b"%d %b" % (number, filler), now)
        self.said.append(said)
        return said

    def attempted(self, run: Run, said: Said, packet_id: str) -> None:
        """A program sends it."""
        if packet_id in run.waiting:
            raise _Broken(f"{run.name}: the packet id {packet_id} waits already")
        said.attempts += 1
        run.waiting[packet_id] = said

    def settled(self, run: Run, verdict: Verdict) -> Said:
        """A verdict came: exactly one for each attempt."""
        said = run.waiting.pop(verdict.packet_id, None)
        if said is None:
            raise _Broken(f"{run.name}: a verdict for {verdict.packet_id}, which waits for none: {verdict}")
        said.attempts -= 1
        if isinstance(verdict, Acknowledged):
            said.possible = True
            self._acknowledged(run, said, verdict)
        else:
            said.possible = said.possible or verdict.may_have_arrived
        if said.impossible and (said.arrived or said.sequence is not None):
            what = "was given to a receiver" if said.arrived else "is stored"
            raise _Broken(f"message {said.number} {what}, but its sender was told otherwise: {verdict}")
        return said

    def _acknowledged(self, run: Run, said: Said, verdict: Acknowledged) -> None:
        if said.kind is Kind.ONLINE:
            if not said.arrived and not self._dropped(str(said.target)):
                raise _Broken(f"online message {said.number} was acknowledged, and no receiver has it")
        elif verdict.sequence is None or verdict.sequence != said.sequence:
            raise _Broken(
                f"{run.name}: message {said.number} was acknowledged with sequence {verdict.sequence},"
                f" but the store has it with {said.sequence}"
            )

    def _dropped(self, account: str) -> bool:
        """Whether it may be one that a program had and dropped: nobody knows which those were."""
        left = self._drops.get(account, 0)
        self._drops[account] = left - 1
        return left > 0

    def ended(self, run: Run) -> None:
        """The session has ended: no verdict may be missing."""
        if run.waiting:
            raise _Broken(f"{run.name} ended without a verdict for {sorted(run.waiting)}")

    def crashed(self, run: Run) -> int:
        """The program is gone; how many attempts will never have a verdict."""
        for said in run.waiting.values():
            said.attempts -= 1
            said.possible = True
        count = len(run.waiting)
        run.waiting = {}
        return count

    # ------------------------------------------------------------------------------------------------------ the store

    def committed(self, message: NewMessage, stored: Stored) -> Said:
        """The store has a message that is no repeat."""
        said = self._known(message.payload, "the store has")
        if message.sender.account != said.sender or message.target != said.target or message.kind is not said.kind:
            raise _Broken(f"message {said.number} is stored as another one's: {message}")
        if said.impossible:
            raise _Broken(f"message {said.number} is stored, but was refused or never sent")
        if stored.sequence <= self._last_sequence:
            raise _Broken(f"sequence {stored.sequence} comes after {self._last_sequence}")
        self._last_sequence = stored.sequence
        if said.kind is Kind.ONLINE:  # nothing of it is kept, so a repeat is not known
            return said
        if said.sequence is not None:
            raise _Broken(f"message {said.number} is stored twice: as {said.sequence} and as {stored.sequence}")
        said.sequence = stored.sequence
        for account in self._receivers(said):
            self._inboxes.setdefault(account, []).append(said)
        return said

    def _receivers(self, said: Said) -> Iterable[str]:
        """In whose inboxes it lies."""
        if said.kind is Kind.P2P:
            return (str(said.target),)
        return self._groups[int(said.target)] - {said.sender} if said.kind is Kind.P2T else ()

    # ------------------------------------------------------------------------------------------------------ receiving

    def begin(self, account: str, resource: str, name: str) -> Run:
        """A program starts."""
        return Run(account, resource, name, self._seats.setdefault((account, resource), _Seat()))

    def online(self, run: Run) -> None:
        """It is logged in: what is stored from now on has to reach this resource."""
        if run.seat.born is None:
            run.seat.born = self._last_sequence

    def delivered(self, run: Run, message: AnyMessage) -> Said:
        """A program was given a message."""
        said = self._known(message.payload, f"{run.name} was given")
        problem = self._wrong(run, said, message)
        if problem is not None:
            raise _Broken(f"{run.name} was given message {said.number} ({message}), {problem}")
        said.arrived = True
        return said

    def _wrong(self, run: Run, said: Said, message: AnyMessage) -> str | None:
        if _KINDS[type(message)] is not said.kind or message.from_account != said.sender:
            return f"which {said.sender} said as {said.kind.name}"
        if not self._is_for(run.account, said, message):
            return f"which is for {said.target}"
        if said.impossible:
            return "which was refused or never sent"
        if isinstance(message, (Message, GroupMessage)):
            return self._stored_one_is_wrong(run, said, message.sequence)
        if isinstance(message, UnlimitedMessage):
            if message.sequence != said.sequence:
                return f"whose sequence in the store is {said.sequence}"
            if said.number in run.live:
                return "which it had before"
        run.live.add(said.number)
        return None

    def _is_for(self, account: str, said: Said, message: AnyMessage) -> bool:
        if isinstance(message, (Message, OnlineMessage)):
            return said.target == account
        here = message.group_id == said.target and account in self._groups[message.group_id]
        return here and (said.kind is Kind.UNLIMITED or said.sender != account)

    def _stored_one_is_wrong(self, run: Run, said: Said, sequence: int) -> str | None:
        if sequence != said.sequence:
            return f"whose sequence in the store is {said.sequence}"
        if sequence <= run.highest:
            return f"though it has {run.highest} already: twice, or out of order"
        run.highest = sequence
        self.again += said.number in run.seat.given
        run.seat.given.add(said.number)
        return None

    def dropped(self, run: Run, online: int, unlimited: int) -> None:
        """A program has dropped so many messages that nobody stores, because too many waited for its application."""
        run.dropped += online + unlimited
        self._drops[run.account] = self._drops.get(run.account, 0) + online

    def done(self, run: Run, said: Said) -> None:
        """The application is through with a stored message."""
        run.seat.done.add(said.number)

    def _known(self, payload: bytes, who: str) -> Said:
        number = payload.partition(b" ")[0]
        said = self.said[int(number) - 1] if number.isdigit() and 0 < int(number) <= len(self.said) else None
        if said is None or said.payload != payload:
            raise _Broken(f"{who} a message that nobody sent: {payload[:40]!r}")
        return said

    # --------------------------------------------------------------------------------------------------------- the end

    def expect(self, said: Said, run: Run) -> None:
        """All is well, and ``run`` is online: it has to get this, though nobody stores it."""
        self._expected.append((said, run))

    def finish(self, runs: Iterable[Run]) -> None:
        """All has come to rest, and these programs are online."""
        for said in self.said:
            if said.attempts:
                raise _Broken(f"message {said.number} has {said.attempts} attempts without a verdict")
        for (account, resource), seat in self._seats.items():
            if not seat.done <= seat.given:
                raise _Broken(f"{account}/{resource} was through with what it never had")
        by_account: dict[str, set[int]] = {}
        for (account, _), seat in self._seats.items():
            by_account.setdefault(account, set()).update(seat.done)
        for account, inbox in self._inboxes.items():
            missing = [said.number for said in inbox if said.number not in by_account.get(account, ())]
            if missing:
                raise _Broken(f"{account} never got what is stored: messages {missing[:10]}")
        for run in runs:
            born = run.seat.born
            if born is None:
                raise _Broken(f"{run.name} was never online")
            inbox = self._inboxes.get(run.account, [])
            lacks = [s.number for s in inbox if (s.sequence or 0) > born and s.number not in run.seat.done]
            if lacks:
                raise _Broken(f"{run.name} lacks messages that came after its first login: {lacks[:10]}")
        for said, run in self._expected:
            if said.number in run.live:
                continue
            run.dropped -= 1  # it may have been one of these: nobody knows which they were
            if run.dropped < 0:
                raise _Broken(f"{run.name} was online and did not get message {said.number} ({said.kind.name})")
