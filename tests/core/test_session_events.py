"""What a session tells the application: one closed union, complete, and without secrets."""

from __future__ import annotations

import pickle
import typing
from typing import Any

import pytest

from mimc_proto._record import Record
from mimc_proto.errors import PacketError
from mimc_proto.packets import BadPacket, Packet
from mimc_proto.session import events
from mimc_proto.session.events import (
    Acknowledged,
    Ended,
    EndReason,
    Failed,
    FailReason,
    GroupDismissed,
    GroupMessage,
    LinkLost,
    LoginRefused,
    Message,
    MessagesDelivered,
    MessagesDropped,
    Offline,
    Online,
    OnlineMessage,
    Rejected,
    ResolverFailed,
    SessionEvent,
    TokenFailed,
    TooManyWaiting,
    UnlimitedMessage,
    Unreadable,
    Verdict,
)

SECRET = b"what alice wrote"
SENDER: dict[str, Any] = {"from_account": "bob", "from_resource": "pc", "from_uuid": 7, "biz_type": "TEXT"}
STORED: dict[str, Any] = {"packet_id": "p1", "sequence": 3, "timestamp": 5, "payload": SECRET, **SENDER}
MESSAGE: Any = Message(**STORED, is_store=True)
MESSAGES: list[Any] = [
    MESSAGE,
    GroupMessage(**STORED, is_store=True, group_id=9),
    UnlimitedMessage(**STORED, group_id=9),
    OnlineMessage(packet_id="p1", timestamp=5, payload=SECRET, **SENDER),
]
BROKEN = BadPacket(error=PacketError("expected UTF-8 text", where="MIMCPacket.packetId"))
EVENTS: list[Any] = [
    Acknowledged(packet_id="p", sequence=1, timestamp=2),
    Rejected(packet_id="p", code=5, message="blocked"),
    Failed(packet_id="p", reason=FailReason.TIMEOUT, may_have_arrived=True),
    MessagesDelivered(receipt=1, messages=tuple(MESSAGES)),
    TooManyWaiting(receipt=2, min_sequence=None, max_sequence=9),
    MessagesDropped(online=1, unlimited=0),
    GroupDismissed(group_id=9),
    Unreadable(packet=BROKEN),
    Online(uuid=7, resource="pc"),
    Offline(),
    LoginRefused(error_type="wait", error_reason="full", error_desc=""),
    TokenFailed(problem="token answer.code: expected 200, got 500"),
    ResolverFailed(problem="resolver: TimeoutError"),
    LinkLost(host="10.0.0.1", port=5222, problem="the peer closed the connection", retry_in=0.5),
    Ended(reason=EndReason.CLOSED),
]

every_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)


def test_the_union_names_every_event() -> None:
    made = {cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Record)}
    not_events = {Record, BadPacket, type(MESSAGE), GroupMessage, UnlimitedMessage, OnlineMessage, Packet}
    assert made - not_events == set(typing.get_args(SessionEvent)) == {type(event) for event in EVENTS}


def test_the_verdicts_are_events() -> None:
    assert set(typing.get_args(Verdict)) == {Acknowledged, Rejected, Failed}
    assert set(typing.get_args(Verdict)) < set(typing.get_args(SessionEvent))


@every_event
def test_an_event_cannot_be_changed_and_has_no_room_for_more(event: Any) -> None:
    for name in (*event.field_names[:1], "more"):
        with pytest.raises(AttributeError):
            setattr(event, name, 0)


@every_event
def test_an_event_is_made_of_named_fields_only(event: Any) -> None:
    assert type(event)(**{name: getattr(event, name) for name in event.field_names}) == event
    with pytest.raises(TypeError):
        type(event)(*event)


@every_event
def test_an_event_survives_pickling(event: Any) -> None:
    assert pickle.loads(pickle.dumps(event)) == event


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_the_text_of_a_message_is_in_no_repr(message: Any) -> None:
    for shown in (repr(message), repr(MessagesDelivered(receipt=1, messages=(message,))), f"{message}"):
        assert "alice" not in shown
        assert "<16 bytes>" in shown
        assert "bob" in shown


def test_messages_of_other_kinds_are_never_equal() -> None:
    group = GroupMessage(**STORED, is_store=True, group_id=9)
    assert tuple(group)[:-1] == tuple(MESSAGE)
    assert group != MESSAGE
    assert Message(**STORED, is_store=True) == MESSAGE


def test_every_reason_says_something_of_its_own() -> None:
    for reasons in (FailReason, EndReason):
        assert len({reason.value for reason in reasons}) == len(reasons)
        assert all(" " in reason.value for reason in reasons)


def test_the_reasons_of_a_failure_are_those_of_the_design() -> None:
    assert {reason.name for reason in FailReason} == {"TIMEOUT", "LINK_LOST", "KICKED", "CLOSED", "WITHDRAWN"}


def test_what_most_events_leave_out_has_a_default() -> None:
    assert Acknowledged(packet_id="p", sequence=1, timestamp=2).code == 0
    assert Acknowledged(packet_id="p", sequence=1, timestamp=2).conv_index is None
    assert Rejected(packet_id="p", code=5, message="blocked").may_have_arrived is False
    assert MessagesDelivered(receipt=1, messages=()).skipped == ()
    assert tuple(Offline()) == ("", "", "")
    assert tuple(Ended(reason=EndReason.LOGGED_OUT))[1:] == ("", "", "")
