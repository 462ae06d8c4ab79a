"""Errors say what, where and at which byte, and survive pickling and copying."""

import copy
import pickle

import pytest

from mimc_proto.errors import (
    CryptoError,
    LocalProtocolError,
    LoginError,
    LoginTimeout,
    MimcError,
    PacketError,
    ProtocolError,
    QueueFull,
    RemoteProtocolError,
    ResolverError,
    SendError,
    SendFailed,
    SendRejected,
    SendTimeout,
    SessionEnded,
    TokenError,
    shown,
    shown_name,
)
from mimc_proto.session.events import EndReason

PROTOCOL_ERRORS = [
    ProtocolError,
    LocalProtocolError,
    CryptoError,
    QueueFull,
    RemoteProtocolError,
    PacketError,
    TokenError,
    ResolverError,
]
REFUSED = {"error_type": "wait", "error_reason": "maintenance", "error_desc": "back soon"}
OUTCOMES = [
    LoginError("the login was refused: maintenance", **REFUSED),
    LoginTimeout("nobody was online within 10 s; the last problem: resolver: TimeoutError", **REFUSED),
    SendError("the message is lost", packet_id="m_1"),
    SendRejected(packet_id="m_1", code=5, text="blocked", may_have_arrived=True),
    SendFailed("the link was lost before the acknowledgement", packet_id="m_1", may_have_arrived=True),
    SendTimeout("no acknowledgement in time", packet_id="m_1", may_have_arrived=False),
    SessionEnded("another session took this resource", reason=EndReason.KICKED),
]
COPIES = [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]


def test_an_error_without_a_place_is_just_its_problem() -> None:
    assert str(ProtocolError("expected 1, got 2")) == "expected 1, got 2"


def test_an_error_names_its_place_before_its_problem() -> None:
    assert str(ProtocolError("expected 1, got 2", where="ClientHeader.cmd")) == "ClientHeader.cmd: expected 1, got 2"


def test_an_error_names_the_byte_within_its_place() -> None:
    assert str(ProtocolError("expected 1, got 2", where="frame", offset=4)) == "frame at byte 4: expected 1, got 2"


def test_byte_zero_is_a_byte_like_any_other() -> None:
    assert str(ProtocolError("expected 1, got 2", where="frame", offset=0)) == "frame at byte 0: expected 1, got 2"


def test_an_error_may_know_the_byte_and_not_the_place() -> None:
    assert str(ProtocolError("a varint is cut off", offset=7)) == "byte 7: a varint is cut off"


def test_problem_place_and_byte_can_be_read_one_by_one() -> None:
    error = PacketError("expected UTF-8 text", where="MIMCPacket.packetId", offset=3)
    assert (error.problem, error.where, error.offset) == ("expected UTF-8 text", "MIMCPacket.packetId", 3)


def test_the_place_cannot_be_given_by_position() -> None:
    with pytest.raises(TypeError, match="positional"):
        ProtocolError("expected 1, got 2", "frame")  # type: ignore[call-arg]


@pytest.mark.parametrize("cls", PROTOCOL_ERRORS)
@pytest.mark.parametrize("clone", COPIES)
def test_an_error_that_was_copied_or_pickled_says_the_same(cls: type[ProtocolError], clone: object) -> None:
    assert callable(clone)
    original = cls("expected 1, got 2", where="frame", offset=4)
    twin = clone(original)
    assert type(twin) is cls
    assert (twin.problem, twin.where, twin.offset, str(twin)) == ("expected 1, got 2", "frame", 4, str(original))


@pytest.mark.parametrize("cls", PROTOCOL_ERRORS)
def test_everything_raised_on_purpose_is_a_mimc_error(cls: type[ProtocolError]) -> None:
    assert issubclass(cls, MimcError)


def test_a_key_that_cannot_be_used_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="RC4 key"):
        raise CryptoError("expected 1 to 256 bytes, got 0", where="RC4 key")


@pytest.mark.parametrize("cls", [CryptoError, QueueFull])
def test_mistakes_of_the_caller_are_local_errors(cls: type[ProtocolError]) -> None:
    assert issubclass(cls, LocalProtocolError)


@pytest.mark.parametrize("cls", [LocalProtocolError, RemoteProtocolError, PacketError, TokenError, ResolverError])
def test_who_is_to_blame_can_be_told_from_the_type(cls: type[ProtocolError]) -> None:
    others = {LocalProtocolError, RemoteProtocolError, PacketError, TokenError, ResolverError} - {cls}
    assert not any(issubclass(cls, other) for other in others)


def test_errors_that_say_the_same_are_equal() -> None:
    one, same = (PacketError("broken", where="here", offset=3) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != PacketError("broken", where="here", offset=4)
    assert one != RemoteProtocolError("broken", where="here", offset=3)
    assert one != ("broken", "here", 3)


def test_what_an_error_shows_is_short_and_on_one_line() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert shown("x" * 78) == "'" + "x" * 78 + "'"
    assert shown("x" * 79) == "'" + "x" * 76 + "..."
    assert shown_name("PING") == "PING"
    assert shown_name(None) == "None"
    assert shown_name("X\nERROR") == "'X\\nERROR'"
    assert shown_name("x" * 80) == "x" * 80
    assert len(shown_name("x" * 81)) == len(shown_name("x" * 1000)) == 80


# ----------------------------------------------------------------------------------- what applications get to see


@pytest.mark.parametrize("error", OUTCOMES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("clone", COPIES)
def test_the_outcome_of_a_login_or_a_send_survives_copying_and_pickling(clone: object, error: MimcError) -> None:
    assert callable(clone)
    error.add_note("seen by a worker")
    twin = clone(error)
    assert type(twin) is type(error)
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
    assert twin is not error


@pytest.mark.parametrize("error", OUTCOMES, ids=lambda error: type(error).__name__)
def test_the_outcome_of_a_login_or_a_send_is_no_breach_of_the_protocol(error: MimcError) -> None:
    assert isinstance(error, MimcError)
    assert not isinstance(error, ProtocolError)


def test_a_refused_login_has_the_frontends_words() -> None:
    error = LoginError("the login was refused: maintenance", **REFUSED)
    assert (error.error_type, error.error_reason, error.error_desc) == ("wait", "maintenance", "back soon")
    assert str(error) == "the login was refused: maintenance"


def test_a_login_without_the_frontends_words_has_none() -> None:
    error = LoginTimeout("nobody was online within 10 s")
    assert (error.error_type, error.error_reason, error.error_desc) == ("", "", "")
    assert str(error) == "nobody was online within 10 s"


def test_a_login_that_took_too_long_is_a_login_error_and_a_timeout() -> None:
    for caught in (LoginError, TimeoutError):
        with pytest.raises(caught, match="nobody was online"):
            raise LoginTimeout("nobody was online within 10 s")


@pytest.mark.parametrize("cls", [SendRejected, SendFailed, SendTimeout])
def test_whatever_became_of_a_send_is_a_send_error(cls: type[SendError]) -> None:
    assert issubclass(cls, SendError)


def test_a_send_without_an_ack_in_time_is_a_failure_and_a_timeout() -> None:
    for caught in (SendFailed, TimeoutError):
        with pytest.raises(caught, match="no acknowledgement"):
            raise SendTimeout("no acknowledgement in time", packet_id="m_1", may_have_arrived=True)


def test_a_refused_send_says_why_and_which() -> None:
    error = SendRejected(packet_id="m_1", code=5, text="blocked by the receiver")
    assert str(error) == "refused with code 5: blocked by the receiver (packet m_1)"
    assert (error.packet_id, error.code, error.text) == ("m_1", 5, "blocked by the receiver")
    assert error.may_have_arrived is False


def test_a_refusal_without_a_reason_says_so() -> None:
    assert str(SendRejected(packet_id="m_1", code=5, text="")) == "refused with code 5: no reason given (packet m_1)"


@pytest.mark.parametrize(
    ("arrived", "told"), [(True, "it may have arrived"), (False, "it was never sent")], ids=["taken", "queued"]
)
def test_a_failed_send_says_whether_the_message_may_have_arrived(arrived: bool, told: str) -> None:
    error = SendFailed("the link was lost", packet_id="m_1", may_have_arrived=arrived)
    assert str(error) == f"the link was lost; {told} (packet m_1)"
    assert error.may_have_arrived is arrived


def test_a_message_that_never_got_an_id_is_not_named() -> None:
    error = SendTimeout("no room in time", packet_id="", may_have_arrived=False)
    assert str(error) == "no room in time; it was never sent"


def test_a_servers_reason_stays_on_one_line_and_ends() -> None:
    error = SendRejected(packet_id="m\n1", code=5, text="no\n" * 1000)
    assert len(str(error)) < 200
    assert "\n" not in str(error)
    assert error.text == "no\n" * 1000


def test_a_session_that_ended_says_why() -> None:
    error = SessionEnded("another session took this resource", reason=EndReason.KICKED)
    assert (str(error), error.reason) == ("another session took this resource", EndReason.KICKED)
    assert SessionEnded("closed").reason is None
