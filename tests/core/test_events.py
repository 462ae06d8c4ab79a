"""Events are records; those that a client has to decide on say what it should do."""

import pickle
import typing
from typing import Any, assert_never

import pytest

from mimc_proto import events
from mimc_proto._record import Record
from mimc_proto.errors import PacketError
from mimc_proto.events import (
    AckReceived,
    BadPacket,
    BindAccepted,
    BindRefused,
    BindRequested,
    ClientConnected,
    ClientEvent,
    CloseReason,
    HandshakeCompleted,
    Ignored,
    Kicked,
    LimitReached,
    LinkClosed,
    MessagesReceived,
    PacketReceived,
    PingReceived,
    PongReceived,
    ServerEvent,
    Unbound,
)
from mimc_proto.packets import Bind, Conn, Kick, Packet, PacketAck, Pull

PACKET = Packet(packet_id="a_1", body=Pull())
BIND = Bind(token="the token", sig="the signature")

EXAMPLES: list[ClientEvent | ServerEvent] = [
    HandshakeCompleted(host="fe-1"),
    BindAccepted(),
    BindRefused(error_type="auto", error_reason="invalid-token", error_desc="old"),
    PongReceived(),
    Kicked(kick=Kick(reason="token-expired")),
    AckReceived(ack=PacketAck(packet_id="a_1", sequence=7)),
    MessagesReceived(packets=(PACKET,), skipped=(), max_sequence=7),
    LimitReached(min_sequence=1, max_sequence=9),
    PacketReceived(id="h_1", packet=PACKET),
    Ignored(command="NOTIFY", id="h_2", size=12),
    LinkClosed(reason=CloseReason.EOF, unread=3),
    ClientConnected(conn=Conn(version=106)),
    BindRequested(bind=BIND, uuid=5, resource="pc", chid=9, id="h_3"),
    PingReceived(),
    Unbound(),
]
REASONS = [
    ("token-expired", "", True),
    ("", "token-expired", True),
    ("invalid-token", "", True),
    ("auto", "invalid-token", True),
    ("single-resource-kick", "", False),
    ("wait", "other", False),
    ("", "", False),
]


def test_what_an_event_does_not_say_is_nothing() -> None:
    assert LinkClosed(reason=CloseReason.EOF).unread == 0
    assert Ignored(command="NOTIFY").size == 0
    refused = BindRefused()
    assert (refused.error_type, refused.error_reason, refused.error_desc) == ("", "", "")


def members(union: Any) -> set[type[Record]]:
    return set(typing.get_args(union))


def test_every_event_class_is_in_a_union() -> None:
    public = {getattr(events, name) for name in events.__all__} - {ClientEvent, ServerEvent, CloseReason}
    assert members(ClientEvent) | members(ServerEvent) == public


def test_there_is_an_example_of_every_event_here() -> None:
    shown = {type(event) for event in EXAMPLES}
    assert shown | {BadPacket} == members(ClientEvent) | members(ServerEvent)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_survives_pickling(event: Record) -> None:
    assert pickle.loads(pickle.dumps(event)) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_can_be_a_key(event: Record) -> None:
    assert event in {event: 1}


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_has_no_dict(event: Record) -> None:
    assert not hasattr(event, "__dict__")


def test_a_client_can_match_its_events_exhaustively() -> None:
    def name(event: ClientEvent) -> str:
        match event:
            case HandshakeCompleted() | BindAccepted() | BindRefused() | PongReceived() | Kicked():
                return "session"
            case AckReceived() | MessagesReceived() | LimitReached() | PacketReceived() | BadPacket() | Ignored():
                return "packets"
            case LinkClosed(reason=reason):
                return reason.name
            case _:
                assert_never(event)

    assert name(LinkClosed(reason=CloseReason.EOF)) == "EOF"


def test_a_server_can_match_its_events_exhaustively() -> None:
    def name(event: ServerEvent) -> str:
        match event:
            case ClientConnected() | BindRequested() | PingReceived() | Unbound():
                return "session"
            case PacketReceived() | BadPacket() | Ignored():
                return "packets"
            case LinkClosed(reason=reason):
                return reason.name
            case _:
                assert_never(event)

    assert name(Unbound()) == "session"


@pytest.mark.parametrize(("kind", "reason", "token"), REASONS)
def test_a_refused_login_says_whether_a_new_token_may_help(kind: str, reason: str, token: bool) -> None:
    assert BindRefused(error_type=kind, error_reason=reason).token_refused is token


@pytest.mark.parametrize(("kind", "reason", "token"), REASONS)
def test_a_kick_says_whether_a_new_token_is_needed(kind: str, reason: str, token: bool) -> None:
    assert Kicked(kick=Kick(type=kind, reason=reason)).token_refused is token


def test_an_empty_kick_asks_for_no_new_token() -> None:
    assert Kicked(kick=Kick()).token_refused is False


@pytest.mark.parametrize(
    ("kind", "reason", "taken"),
    [
        ("single-resource-kick", "", True),
        ("auto", "single-resource-kick", True),
        ("single-resource-kick", "single-resource-kick", True),
        ("auto", "invalid-token", False),
        ("", "", False),
    ],
)
class TestTakenOver:
    def test_a_refused_login_says_whether_another_session_holds_the_resource(
        self, kind: str, reason: str, taken: bool
    ) -> None:
        assert BindRefused(error_type=kind, error_reason=reason).taken_over is taken

    def test_a_kick_says_whether_another_session_took_the_resource(self, kind: str, reason: str, taken: bool) -> None:
        assert Kicked(kick=Kick(type=kind, reason=reason)).taken_over is taken


def test_an_empty_kick_is_no_takeover() -> None:
    assert Kicked(kick=Kick()).taken_over is False


def test_the_description_of_a_kick_decides_nothing() -> None:
    kicked = Kicked(kick=Kick(desc="single-resource-kick token-expired"))
    assert (kicked.token_refused, kicked.taken_over) == (False, False)


def test_a_login_request_shows_neither_token_nor_signature() -> None:
    event = BindRequested(bind=BIND, uuid=5, resource="pc", chid=9, id="h_3")
    assert repr(event) == "BindRequested(bind=Bind(token=***, sig=***), uuid=5, resource='pc', chid=9, id='h_3')"


def test_a_bad_packet_shows_where_it_is_broken() -> None:
    error = PacketError("expected UTF-8 text", where="MIMCPacket.packetId", offset=2)
    assert "MIMCPacket.packetId" in repr(BadPacket(error=error, header_id="h_1"))


def test_the_reason_of_an_end_reads_as_a_sentence() -> None:
    assert all(" " in reason.value for reason in CloseReason)
