"""Every event of the service as a log line: its level, its fields, and how many of them there are."""

from __future__ import annotations

import logging
import typing
from typing import Any

import pytest
from mimc_server.observing import Journal, tell
from mimc_server.observing.journal import LOGGER
from mimc_server.observing.lines import FIELDS, TextFormatter
from mimc_server.service import (
    CallbackFailed,
    Dropped,
    EndReason,
    HintLost,
    LinkEnded,
    LoggedIn,
    LoggedOut,
    LoginRefused,
    MessageRefused,
    PacketIgnored,
    ServiceEvent,
    StoreFailed,
)
from mimc_server.settings import Log
from mimc_server.store import AckCode, Kind, StoreError

from mimc_proto.errors import QueueFull, RemoteProtocolError
from mimc_proto.events import CloseReason

WHO: dict[str, Any] = {"account": "alice", "uuid": 7, "resource": "pc"}
PAYLOAD = "what a message says"


def failure() -> Exception:
    try:
        raise KeyError(PAYLOAD)
    except KeyError as error:
        return error


EVENTS: list[tuple[ServiceEvent, str]] = [
    (
        LinkEnded(link_id=3, peer="192.0.2.1", reason=CloseReason.EOF),
        "DEBUG   link-ended link=3 peer=192.0.2.1 reason='the peer closed the connection'",
    ),
    (
        LinkEnded(
            link_id=3,
            peer="192.0.2.1",
            reason=CloseReason.PROTOCOL_ERROR,
            error=RemoteProtocolError("expected magic", where="frame", offset=0),
        ),
        "INFO    link-ended link=3 peer=192.0.2.1 reason='the peer broke the protocol'"
        " error='frame at byte 0: expected magic'",
    ),
    (
        LoggedIn(link_id=3, app_id=5, epoch=9, peer="192.0.2.1", **WHO),
        "INFO    login app=5 account=alice resource=pc uuid=7 link=3 peer=192.0.2.1",
    ),
    (
        LoggedOut(link_id=3, reason=EndReason.LOGGED_OUT, **WHO),
        "INFO    logout account=alice resource=pc uuid=7 link=3 reason='the client logged out'",
    ),
    (
        LoginRefused(link_id=3, reason="invalid-token", description="no application 5", peer="192.0.2.1"),
        "WARNING login-refused link=3 peer=192.0.2.1 reason=invalid-token description='no application 5'",
    ),
    (LoginRefused(link_id=3, reason="try-again"), "WARNING login-refused link=3 peer='' reason=try-again"),
    (
        MessageRefused(packet_id="p_1", kind=Kind.P2T, code=AckCode.NO_SUCH_GROUP, **WHO),
        "WARNING message-refused account=alice resource=pc uuid=7 packet=p_1 kind=P2T code=404 reason=NO_SUCH_GROUP",
    ),
    (PacketIgnored(link_id=3, what="RtsSignal"), "DEBUG   packet-ignored link=3 what=RtsSignal"),
    (
        Dropped(what="PacketAck", error=QueueFull("full", where="send"), **WHO),
        "WARNING packet-dropped account=alice resource=pc uuid=7 what=PacketAck error='send: full'",
    ),
    (HintLost(what="Committed"), "WARNING hint-lost what=Committed"),
    (
        StoreFailed(what="storing messages", error=StoreError("the disk is full")),
        "ERROR   store-failed what='storing messages' error='the disk is full'",
    ),
    (CallbackFailed(error=KeyError(PAYLOAD)), "ERROR   callback-failed error=KeyError"),
]


class Lines(logging.Handler):
    """What is logged, without its time."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(TextFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record).partition(" ")[2])


@pytest.fixture
def lines() -> typing.Iterator[list[str]]:
    handler = Lines()
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    yield handler.lines
    LOGGER.setLevel(level)
    LOGGER.removeHandler(handler)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("event", "line"), EVENTS, ids=[line.split()[1] for _, line in EVENTS])
def test_an_event_is_a_line(lines: list[str], event: ServiceEvent, line: str) -> None:
    Journal(Log(), Clock())(event)
    assert lines == [line]


def test_there_is_a_line_for_every_event() -> None:
    assert {type(event) for event, _ in EVENTS} == set(typing.get_args(ServiceEvent))


def test_a_callback_that_raised_is_told_by_its_place_and_not_by_its_words(lines: list[str]) -> None:
    Journal(Log(), Clock())(CallbackFailed(error=failure()))
    [line] = lines
    assert "test_journal.py:" in line
    assert PAYLOAD not in line


def test_below_the_level_nothing_is_made_and_nothing_counted(lines: list[str]) -> None:
    LOGGER.setLevel(logging.WARNING)
    journal = Journal(Log(rate=1, burst=1), Clock())
    for _ in range(10):
        journal(EVENTS[2][0])
    LOGGER.setLevel(logging.INFO)
    journal(EVENTS[2][0])
    assert lines == [EVENTS[2][1]]


def test_of_many_events_of_a_kind_few_are_written_and_the_next_line_says_how_many_were_not(lines: list[str]) -> None:
    clock = Clock()
    journal = Journal(Log(rate=2, burst=3), clock)
    refused, _ = EVENTS[5]
    for _ in range(10):
        journal(refused)
    assert len(lines) == 3
    journal(HintLost(what="Committed"))  # others have limits of their own
    assert lines[3:] == ["WARNING hint-lost what=Committed"]
    clock.now += 0.5
    journal(refused)
    journal(refused)
    assert lines[4:] == ["WARNING login-refused link=3 peer='' reason=try-again suppressed=7"]
    clock.now += 0.5
    journal(refused)
    assert lines[5:] == ["WARNING login-refused link=3 peer='' reason=try-again suppressed=1"]


def test_in_the_long_run_the_rate_is_kept(lines: list[str]) -> None:
    clock = Clock()
    journal = Journal(Log(rate=2, burst=3), clock)
    for _ in range(1000):
        journal(HintLost(what="Committed"))
        clock.now += 0.01
    assert 20 <= len(lines) <= 23  # ten seconds


def test_the_end_says_what_was_not_written(lines: list[str]) -> None:
    journal = Journal(Log(rate=1, burst=1), Clock())
    for _ in range(5):
        journal(HintLost(what="Committed"))
    journal.close()
    journal.close()
    assert lines == ["WARNING hint-lost what=Committed", "INFO    suppressed kind=hint-lost suppressed=4"]


def test_what_is_told_is_never_suppressed(lines: list[str]) -> None:
    for number in range(300):
        tell(logging.INFO, "admin", event=number)
    assert len(lines) == 300


def test_nobody_hears_of_it_who_does_not_listen(capsys: pytest.CaptureFixture[str]) -> None:
    Journal(Log(), Clock())(StoreFailed(what="x", error=StoreError("y")))
    assert capsys.readouterr() == ("", "")


def test_fields_are_attributes_of_the_record(caplog: pytest.LogCaptureFixture) -> None:
    Journal(Log(), Clock())(StoreFailed(what="x", error=StoreError("y")))
    assert getattr(caplog.records[0], FIELDS) == {"what": "x", "error": "y", "suppressed": None}
