"""RC4 in Python alone: the reference for what the C implementation does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimc_proto._rc4 import ARC4

KNOWN = [
    # RFC 6229, the keystream from its first byte
    ("0102030405", bytes(16), "b2396305f03dc027ccc3524a0a1118a8"),
    ("0102030405060708", bytes(16), "97ab8a1bf0afb96132f2f67258da15a8"),
    ("0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", bytes(16), "eaa6bd25880bf93d3f5d1e4ca2611d91"),
    (b"Secret".hex(), b"Attack at dawn", "45a01f645fc35b383552544b9bf5"),
]


@pytest.mark.parametrize(("key", "data", "expected"), KNOWN)
def test_known_keystreams_come_out(key: str, data: bytes, expected: str) -> None:
    assert ARC4(bytes.fromhex(key)).encrypt(data).hex() == expected


def test_nothing_encrypts_to_nothing() -> None:
    assert ARC4(b"k").encrypt(b"") == b""


@given(st.binary(min_size=1, max_size=256), st.binary(max_size=300))
def test_encrypting_twice_gives_the_data_back(key: bytes, data: bytes) -> None:
    assert ARC4(key).encrypt(ARC4(key).encrypt(data)) == data


@given(st.binary(min_size=1, max_size=256), st.binary(max_size=300), st.binary(max_size=300))
def test_the_keystream_goes_on_from_call_to_call(key: bytes, first: bytes, second: bytes) -> None:
    cipher = ARC4(key)
    assert cipher.encrypt(first) + cipher.encrypt(second) == ARC4(key).encrypt(first + second)


@given(st.binary(min_size=1, max_size=256), st.lists(st.binary(max_size=300), max_size=3))
def test_it_does_what_the_c_implementation_does(key: bytes, pieces: list[bytes]) -> None:
    arc4 = pytest.importorskip("arc4", reason="a wheel of arc4, or a compiler, is not everywhere")
    ours, theirs = ARC4(key), arc4.ARC4(key)
    assert [ours.encrypt(piece) for piece in pieces] == [theirs.encrypt(piece) for piece in pieces]
