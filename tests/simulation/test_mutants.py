"""The laws are no decoration: machines with a mistake in them are found out within a few seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mimc_server.service import Append, Service, StoreRequest
from mimc_server.simulation import LawBroken, Scenario, Simulation
from mimc_server.store import Acknowledgement, Appended, Claim, MemoryStore, NewMessage, Stored

from mimc_proto.session import ClientSession, Failed, FailReason, MessagesDelivered, SessionEvent
from mimc_proto.session.memory import Seen

SEEDS = range(1, 6)


class AcknowledgesBeforeTheCommit(Service):
    """It guesses the sequence, and leaves the store to do its work later."""

    wall_ms = 0

    def receive_data(self, link_id: int, data: Any, now: float, wall_ms: int) -> None:
        self.wall_ms, self.now = wall_ms, now
        super().receive_data(link_id, data, now, wall_ms)

    def store_requests(self) -> list[StoreRequest]:
        requests = super().store_requests()
        for request in requests:
            if isinstance(request, Append):
                first = self.wall_ms * 10_000 + 1
                answers = [
                    Stored(sequence=first + number, timestamp=self.wall_ms, conv_index=1)
                    for number in range(len(request.batch))
                ]
                self.store_answered(request.request_id, answers, self.now, self.wall_ms)
        return requests


class LosesAFrame(Service):
    """Now and then a link loses a list."""

    frames = 0

    def data_to_send(self, link_id: int, max_bytes: int = 65536) -> list[bytes]:
        frames = super().data_to_send(link_id, max_bytes)
        self.frames += len(frames)
        if frames and len(frames[-1]) > 250 and self.frames % 37 == 0:
            frames.pop()
        return frames


class Slips(Service):
    """It raises when a link ends."""

    def link_lost(self, link_id: int, now: float, wall_ms: int, **_: Any) -> None:
        raise ZeroDivisionError


class KnowsNoRepeats(MemoryStore):
    """What is sent again is stored again."""

    count = 0

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        renamed = []
        for message in batch:
            self.count += 1
            renamed.append(message.replace(packet_id=f"{message.packet_id}#{self.count}"))
        return super().append(renamed, wall_ms)


class ForgetsWhatWaits(MemoryStore):
    """A session that logs in begins at the end of its inbox."""

    def claim(self, uuid: int, resource: str, node: str, wall_ms: int) -> Claim:
        position, sequence = self.inbox_end(uuid)
        return super().claim(uuid, resource, node, wall_ms).replace(position=position, sequence=sequence)


class AcknowledgesTooMuch(MemoryStore):
    """An acknowledgement covers all there is, not all that was delivered."""

    def acknowledge(self, acks: list[Acknowledgement], wall_ms: int) -> list[int | None]:
        return super().acknowledge([ack.replace(sequence=(1 << 62) - 1) for ack in acks], wall_ms)


class LosesACommit(MemoryStore):
    """It says that a message is stored, and no inbox has it."""

    count = 0

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        self.count += 1
        if self.count % 50:
            return super().append(batch, wall_ms)
        sent_to_nobody = [message.replace(target="nobody") for message in batch if type(message.target) is str]
        return (
            super().append(sent_to_nobody, wall_ms)
            if len(sent_to_nobody) == len(batch)
            else super().append(batch, wall_ms)
        )


class FollowsTheClock(MemoryStore):
    """Sequences go back with the wall clock."""

    def append(self, batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        for application in self._numbers.values():
            application.last_sequence = min(application.last_sequence, wall_ms * 10_000)
        return super().append(batch, wall_ms)


class RemembersNothing(ClientSession):
    """It takes every list for a new one."""

    __slots__ = ()

    def receive_data(self, link_id: int, data: Any, now: float) -> None:
        self._inbox.seen = Seen(self._config.remembered)
        super().receive_data(link_id, data, now)


class RemembersForOneLink(ClientSession):
    """A new link, a new memory."""

    __slots__ = ()

    def link_opened(self, link_id: int, now: float) -> None:
        self._inbox.seen = Seen(self._config.remembered)
        super().link_opened(link_id, now)


class AcknowledgesAtOnce(ClientSession):
    """As Go, C# and WebJS do: before the application has the messages."""

    __slots__ = ()

    def events(self) -> list[SessionEvent]:
        events = super().events()
        for event in events:
            if isinstance(event, MessagesDelivered):
                super().consumed(event.receipt, self._now)
        return events

    def consumed(self, receipt: int, now: float) -> None:
        pass


class TakesWhatComesAfterADroppedList(ClientSession):
    """What it dropped is then acknowledged with the rest."""

    __slots__ = ()

    def receive_data(self, link_id: int, data: Any, now: float) -> None:
        self._inbox.dropped = None
        super().receive_data(link_id, data, now)


class IsTooSure(ClientSession):
    """What fails was never sent, it says."""

    __slots__ = ()

    def events(self) -> list[SessionEvent]:
        events = super().events()
        return [event.replace(may_have_arrived=False) if isinstance(event, Failed) else event for event in events]


class SwallowsVerdicts(ClientSession):
    """It says nothing of what a lost link took with it."""

    __slots__ = ()

    def events(self) -> list[SessionEvent]:
        return [e for e in super().events() if not (isinstance(e, Failed) and e.reason is FailReason.LINK_LOST)]


class RepeatsVerdicts(ClientSession):
    """It says what failed twice."""

    __slots__ = ()

    def events(self) -> list[SessionEvent]:
        return [event for event in super().events() for _ in range(2 if isinstance(event, Failed) else 1)]


NEVER_GOT = "never got what is stored|lacks messages that came after"
TWICE = "twice, or out of order"
MUTANTS: list[tuple[dict[str, Callable[..., Any]], str]] = [
    ({"service": AcknowledgesBeforeTheCommit}, "was acknowledged with sequence"),
    ({"service": LosesAFrame}, f"{TWICE}|{NEVER_GOT}|without a verdict"),
    ({"service": Slips}, "expected machines that never raise, got ZeroDivisionError"),
    ({"store": KnowsNoRepeats}, "is stored twice"),
    ({"store": ForgetsWhatWaits}, NEVER_GOT),
    ({"store": AcknowledgesTooMuch}, NEVER_GOT),
    ({"store": LosesACommit}, f"{NEVER_GOT}|is stored twice"),
    ({"store": FollowsTheClock}, "sequence [0-9]+ comes after"),
    ({"session": RemembersNothing}, TWICE),
    ({"session": RemembersForOneLink}, TWICE),
    ({"session": AcknowledgesAtOnce}, NEVER_GOT),
    ({"session": TakesWhatComesAfterADroppedList}, f"{NEVER_GOT}|{TWICE}"),
    ({"session": IsTooSure}, "but its sender was told otherwise|which was refused or never sent|was refused or never"),
    ({"session": SwallowsVerdicts}, "without a verdict|does not rest"),
    ({"session": RepeatsVerdicts}, "a verdict for .* which waits for none"),
]


@pytest.mark.parametrize(("part", "problem"), MUTANTS, ids=[next(iter(part.values())).__name__ for part, _ in MUTANTS])
def test_a_mistake_in_a_machine_is_found_within_five_seeds(part: dict[str, Callable[..., Any]], problem: str) -> None:
    for seed in SEEDS:
        scenario = Scenario(clients=24, hours=0.3, seed=seed, begin=10.0, activity=60.0, faults=10.0)
        made: dict[str, Any] = {name: make() if name == "store" else make for name, make in part.items()}
        try:
            Simulation(scenario, **made).run()
        except LawBroken as broken:
            with pytest.raises(LawBroken, match=problem):
                raise broken
            return
    pytest.fail("no law was broken")
