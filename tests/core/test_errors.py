"""Errors say what, where and at which byte, and survive pickling and copying."""

import copy
import pickle

import pytest

from mimc_proto.errors import (
    CryptoError,
    LocalProtocolError,
    MimcError,
    PacketError,
    ProtocolError,
    QueueFull,
    RemoteProtocolError,
    shown,
    shown_name,
)

PROTOCOL_ERRORS = [ProtocolError, LocalProtocolError, CryptoError, QueueFull, RemoteProtocolError, PacketError]


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
@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
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


@pytest.mark.parametrize("cls", [LocalProtocolError, RemoteProtocolError, PacketError])
def test_who_is_to_blame_can_be_told_from_the_type(cls: type[ProtocolError]) -> None:
    others = {LocalProtocolError, RemoteProtocolError, PacketError} - {cls}
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
    assert shown("x" * 79) == "'" + "x" * 76 + "..."
    assert shown_name("PING") == "PING"
    assert shown_name(None) == "None"
    assert shown_name("X\nERROR") == "'X\\nERROR'"
    assert len(shown_name("x" * 1000)) == 80
