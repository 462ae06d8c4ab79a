"""Each law, broken on purpose."""

from __future__ import annotations

from typing import Any

import pytest
from mimc_server.simulation.laws import Laws, Run, Said
from mimc_server.store import Kind, Member, NewMessage, Stored

from mimc_proto.session import (
    Acknowledged,
    Failed,
    FailReason,
    GroupMessage,
    Message,
    OnlineMessage,
    Rejected,
    UnlimitedMessage,
)

GROUP, UNLIMITED = 7, 8
MEMBERS = {GROUP: ["ann", "ben"], UNLIMITED: ["ann", "ben"]}


def world() -> tuple[Laws, Run, Run]:
    """Ann and Ben, who are online."""
    laws = Laws(MEMBERS)
    runs = [laws.begin(account, "pc", f"{account}/pc") for account in ("ann", "ben")]
    for run in runs:
        laws.online(run)
    return laws, runs[0], runs[1]


def said(laws: Laws, run: Run, kind: Kind = Kind.P2P, target: str | int = "ben", packet_id: str = "a") -> Said:
    """Ann says something, and it is on its way."""
    message = laws.say(kind, run.account, target, b"x", 0.0)
    laws.attempted(run, message, packet_id)
    return message


def stored(laws: Laws, message: Said, sequence: int = 1, **changes: Any) -> Said:
    fields: dict[str, Any] = {
        "app_id": 1,
        "sender": Member(uuid=1, account=message.sender),
        "resource": "pc",
        "epoch": 1,
        "packet_id": "a",
        "kind": message.kind,
        "target": message.target,
        "payload": message.payload,
        "biz_type": None,
        "is_store": True,
    }
    record = NewMessage(**{**fields, **changes})
    return laws.committed(record, Stored(sequence=sequence, timestamp=1, conv_index=1))


def given(message: Said, sequence: int = 1, sender: str = "ann", payload: bytes | None = None) -> Any:
    """What a receiver gets."""
    common: dict[str, Any] = {
        "packet_id": "a",
        "timestamp": 1,
        "from_account": sender,
        "from_resource": "pc",
        "payload": message.payload if payload is None else payload,
        "biz_type": "",
        "from_uuid": 1,
    }
    match message.kind:
        case Kind.P2P:
            return Message(sequence=sequence, is_store=True, **common)
        case Kind.P2T:
            return GroupMessage(sequence=sequence, is_store=True, group_id=int(message.target), **common)
        case Kind.UNLIMITED:
            return UnlimitedMessage(sequence=sequence, group_id=int(message.target), **common)
        case Kind.ONLINE:
            return OnlineMessage(**common)


def acked(sequence: int | None = 1) -> Acknowledged:
    return Acknowledged(packet_id="a", sequence=sequence, timestamp=1)


def failed(*, arrived: bool) -> Failed:
    return Failed(packet_id="a", reason=FailReason.TIMEOUT, may_have_arrived=arrived)


def broken(match: str) -> Any:
    return pytest.raises(Laws.Broken, match=match)


def test_a_message_that_is_stored_delivered_done_and_acknowledged_breaks_nothing() -> None:
    laws, ann, ben = world()
    targets: dict[Kind, str | int] = {
        Kind.P2P: "ben", Kind.P2T: GROUP, Kind.UNLIMITED: UNLIMITED, Kind.ONLINE: "ben",
    }  # fmt: skip
    for number, (kind, target) in enumerate(targets.items(), start=1):
        message = stored(laws, said(laws, ann, kind, target), number)
        assert laws.delivered(ben, given(message, number)) is message
        if kind <= Kind.P2T:
            laws.done(ben, message)
        else:
            laws.expect(message, ben)
        assert laws.settled(ann, acked(None if kind is Kind.ONLINE else number)) is message
    laws.ended(ann)
    laws.finish([ann, ben])


def test_a_verdict_comes_once_and_only_for_what_was_sent() -> None:
    laws, ann, _ = world()
    with broken("which waits for none"):
        laws.settled(ann, acked())
    message = said(laws, ann)
    with broken("the packet id a waits already"):
        laws.attempted(ann, message, "a")
    with broken(r"ended without a verdict for \['a'\]"):
        laws.ended(ann)
    with broken("message 1 has 1 attempts without a verdict"):
        laws.finish([])


def test_a_crash_leaves_no_verdict_and_the_message_may_arrive() -> None:
    laws, ann, ben = world()
    message = said(laws, ann)
    assert laws.crashed(ann) == 1
    laws.delivered(ben, given(stored(laws, message)))
    laws.done(ben, message)
    laws.finish([ben])


@pytest.mark.parametrize("sequence", [None, 2])
def test_what_is_acknowledged_is_stored_under_that_sequence(sequence: int | None) -> None:
    laws, ann, _ = world()
    stored(laws, said(laws, ann))
    with broken("was acknowledged with sequence"):
        laws.settled(ann, acked(sequence))


def test_an_online_message_is_acknowledged_when_a_receiver_has_it() -> None:
    laws, ann, _ben = world()
    said(laws, ann, Kind.ONLINE)
    with broken("online message 1 was acknowledged, and no receiver has it"):
        laws.settled(ann, acked(None))


def test_who_drops_online_messages_may_have_dropped_any() -> None:
    laws, ann, ben = world()
    laws.dropped(ben, 1, 0)
    said(laws, ann, Kind.ONLINE)
    laws.settled(ann, acked(None))
    said(laws, ann, Kind.ONLINE)
    with broken("online message 2 was acknowledged, and no receiver has it"):
        laws.settled(ann, acked(None))


REFUSED = [
    Rejected(packet_id="a", code=403, message=""),
    Failed(packet_id="a", reason=FailReason.TIMEOUT, may_have_arrived=False),
]


@pytest.mark.parametrize("verdict", REFUSED, ids=["rejected", "never sent"])
def test_what_was_refused_or_never_sent_is_neither_stored_nor_delivered(verdict: Rejected | Failed) -> None:
    laws, ann, ben = world()
    message = said(laws, ann)
    laws.settled(ann, verdict)
    with broken("is stored, but was refused or never sent"):
        stored(laws, message)
    with broken("which was refused or never sent"):
        laws.delivered(ben, given(message))
    stored(laws, said(laws, ann))
    with broken("is stored, but its sender was told otherwise"):
        laws.settled(ann, verdict)
    message = stored(laws, said(laws, ann), 2)
    laws.delivered(ben, given(message, 2))
    with broken("was given to a receiver, but its sender was told otherwise"):
        laws.settled(ann, verdict)


def test_what_may_have_arrived_may_arrive() -> None:
    laws, ann, _ = world()
    message = said(laws, ann)
    laws.settled(ann, failed(arrived=True))
    stored(laws, message)
    message = said(laws, ann)
    laws.settled(ann, failed(arrived=False))
    laws.attempted(ann, message, "a")  # sent again
    stored(laws, message, 2)
    laws.settled(ann, acked(2))


def test_a_message_is_stored_once_as_its_own_and_under_a_higher_sequence() -> None:
    laws, ann, _ = world()
    message = stored(laws, said(laws, ann), 5)
    with broken("is stored twice: as 5 and as 6"):
        stored(laws, message, 6)
    other = said(laws, ann, packet_id="b")
    with broken("sequence 6 comes after 6"):
        stored(laws, other, 6)
    with broken("is stored as another one's"):
        stored(laws, other, 7, target="carl")
    with broken("the store has a message that nobody sent: b'99 x'"):
        stored(laws, other, 7, payload=b"99 x")
    with broken("a message that nobody sent"):
        stored(laws, other, 7, payload=other.payload + b"y")


def test_an_online_message_may_pass_the_store_twice() -> None:
    laws, ann, _ = world()
    message = said(laws, ann, Kind.ONLINE)
    stored(laws, message, 1)
    stored(laws, message, 2)


@pytest.mark.parametrize(
    ("kind", "target", "problem"),
    [(Kind.P2P, "carl", "which is for carl"), (Kind.P2T, 9, "which is for 9"), (Kind.ONLINE, "carl", "for carl")],
)
def test_a_message_is_delivered_to_its_receivers(kind: Kind, target: str | int, problem: str) -> None:
    laws, ann, ben = world()
    laws._groups[9] = frozenset(["ann"])
    message = stored(laws, said(laws, ann, kind, target))
    with broken(problem):
        laws.delivered(ben, given(message))


def test_a_message_to_a_group_comes_to_its_sender_only_if_the_group_is_unlimited() -> None:
    laws, ann, _ = world()
    message = stored(laws, said(laws, ann, Kind.UNLIMITED, UNLIMITED))
    laws.delivered(ann, given(message))
    message = stored(laws, said(laws, ann, Kind.P2T, GROUP, "b"), 2)
    with broken("which is for 7"):
        laws.delivered(ann, given(message, 2))


def test_a_message_is_delivered_as_what_it_was_said() -> None:
    laws, ann, ben = world()
    message = stored(laws, said(laws, ann))
    with broken("which ann said as P2P"):
        laws.delivered(ben, given(message, sender="carl"))
    with broken("ben/pc was given a message that nobody sent"):
        laws.delivered(ben, given(message, payload=b"x 1"))
    with broken("whose sequence in the store is 1"):
        laws.delivered(ben, given(message, 2))
    message = stored(laws, said(laws, ann, Kind.UNLIMITED, UNLIMITED, "b"), 2)
    with broken("whose sequence in the store is 2"):
        laws.delivered(ben, given(message, 1))


def test_a_program_is_given_a_message_once_and_all_in_order() -> None:
    laws, ann, ben = world()
    first, second = (stored(laws, said(laws, ann, packet_id=str(number)), number) for number in (1, 2))
    laws.delivered(ben, given(second, 2))
    for message, sequence in ((first, 1), (second, 2)):
        with broken("twice, or out of order"):
            laws.delivered(ben, given(message, sequence))
    live = stored(laws, said(laws, ann, Kind.UNLIMITED, UNLIMITED, "c"), 3)
    laws.delivered(ben, given(live, 3))
    with broken("which it had before"):
        laws.delivered(ben, given(live, 3))


def test_a_later_program_may_be_given_again_what_an_earlier_one_had() -> None:
    laws, ann, ben = world()
    message = stored(laws, said(laws, ann))
    laws.delivered(ben, given(message))
    laws.delivered(laws.begin("ben", "pc", "ben/pc"), given(message))
    assert laws.again == 1


def test_whatever_is_stored_reaches_somebody_of_the_account() -> None:
    laws, ann, ben = world()
    message = stored(laws, said(laws, ann))
    laws.settled(ann, acked())
    laws.delivered(ben, given(message))
    with broken(r"ben never got what is stored: messages \[1\]"):  # he was given it, but was not through with it
        laws.finish([ann, ben])


def test_a_resource_gets_all_that_is_stored_after_its_first_login() -> None:
    laws, ann, ben = world()
    message = stored(laws, said(laws, ann))
    laws.settled(ann, acked())
    laws.delivered(ben, given(message))
    laws.done(ben, message)
    late = laws.begin("ben", "phone", "ben/phone")
    with broken("ben/phone was never online"):
        laws.finish([late])
    laws.online(late)
    laws.finish([late])
    message = stored(laws, said(laws, ann), 2)
    laws.settled(ann, acked(2))
    laws.delivered(ben, given(message, 2))
    laws.done(ben, message)
    with broken(r"ben/phone lacks messages that came after its first login: \[2\]"):
        laws.finish([ben, late])


def test_in_the_calm_everybody_hears_what_nobody_stores() -> None:
    laws, ann, ben = world()
    message = stored(laws, said(laws, ann, Kind.UNLIMITED, UNLIMITED))
    laws.settled(ann, acked())
    laws.expect(message, ben)
    with broken(r"ben/pc was online and did not get message 1 \(UNLIMITED\)"):
        laws.finish([ann, ben])


def test_who_drops_what_nobody_stores_may_have_dropped_what_is_missed_in_the_calm() -> None:
    laws, ann, ben = world()
    for number in (1, 2):
        message = stored(laws, said(laws, ann, Kind.UNLIMITED, UNLIMITED), number)
        laws.settled(ann, acked(number))
        laws.expect(message, ben)
    laws.dropped(ben, 0, 1)
    with broken("did not get message 2"):
        laws.finish([ann, ben])


def test_nobody_is_through_with_what_was_not_there() -> None:
    laws, ann, ben = world()
    laws.done(ben, said(laws, ann))
    laws.settled(ann, failed(arrived=True))
    with broken("ben/pc was through with what it never had"):
        laws.finish([])
