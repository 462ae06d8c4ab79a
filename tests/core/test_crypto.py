"""RC4, the two keys and the signature: right values for good input, typed errors without secrets for bad."""

from __future__ import annotations

import base64
import gc
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mimc_proto import _rc4, crypto
from mimc_proto.crypto import (
    BodyCipher,
    bind_signature,
    body_key,
    payload_key,
    rc4,
    security_key_bytes,
    verify_bind_signature,
)
from mimc_proto.errors import CryptoError

KEY = b"0123456789abcdef"
SECURITY_KEY = base64.b64encode(KEY).decode()

keys = st.binary(min_size=1, max_size=256)
sizes = st.integers(0, 5000) | st.sampled_from([0, 1, 255, 256, 257, 1023, 1024, 1025, 4095, 4096, 4097, 9000])
# Letters of which no four stand in a row in any message of ours.
secrets = st.text("QXZJVK", min_size=4, max_size=300)


def leaks(secret: str, *texts: str) -> bool:
    """Whether four characters in a row of a secret can be seen."""
    windows = {secret[start : start + 4] for start in range(len(secret) - 3)}
    return any(window in text for window in windows for text in texts)


def refusal(function: Callable[..., Any], *arguments: Any, **named: Any) -> CryptoError:
    with pytest.raises(CryptoError) as caught:
        function(*arguments, **named)
    return caught.value


@pytest.fixture
def without_arc4(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is where arc4 cannot be installed, under another name."""
    monkeypatch.setitem(sys.modules, "arc4", None)
    assert crypto.__file__
    spec = importlib.util.spec_from_file_location("mimc_proto.crypto_without_arc4", crypto.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --------------------------------------------------------------------------------------------------------------- RC4


@pytest.mark.parametrize(
    ("key", "data", "expected"),
    [(b"Key", b"Plaintext", "bbf316e8d940af0ad3"), (b"Wiki", b"pedia", "1021bf0420"), (b"\x01" * 5, b"", "")],
)
def test_known_texts_encrypt_to_known_bytes(key: bytes, data: bytes, expected: str) -> None:
    assert rc4(key, data).hex() == expected


@given(keys, st.binary(max_size=600))
def test_rc4_is_what_the_reference_in_python_gives(key: bytes, data: bytes) -> None:
    assert rc4(key, data) == _rc4.ARC4(key).encrypt(data)


@given(keys, st.binary(max_size=600))
def test_encrypting_twice_gives_the_data_back(key: bytes, data: bytes) -> None:
    assert rc4(key, rc4(key, data)) == data


@pytest.mark.parametrize("size", [1, 2, 5, 256])
def test_a_key_of_1_to_256_bytes_works(size: int) -> None:
    key = bytes(range(size))
    assert rc4(key, rc4(key, b"hello")) == BodyCipher(key).apply(rc4(key, b"hello")) == b"hello"


@pytest.mark.parametrize("cipher", [lambda key: rc4(key, b"x"), BodyCipher], ids=["rc4", "BodyCipher"])
@pytest.mark.parametrize("size", [0, 257, 300])
def test_a_key_of_another_size_is_refused(cipher: Any, size: int) -> None:
    assert str(refusal(cipher, bytes(size))) == f"RC4 key: expected a key of 1 to 256 bytes, got {size}"


@pytest.mark.parametrize("cipher", [lambda key: rc4(key, b"x"), BodyCipher], ids=["rc4", "BodyCipher"])
@pytest.mark.parametrize("key", ["text", None, 5, bytearray(b"key")], ids=repr)
def test_a_key_that_is_no_bytes_is_refused(cipher: Any, key: Any) -> None:
    expected = f"RC4 key: expected a key of 1 to 256 bytes, got {type(key).__name__}"
    assert str(refusal(cipher, key)) == expected


@pytest.mark.parametrize("cipher", [lambda data: rc4(KEY, data), BodyCipher(KEY).apply], ids=["rc4", "BodyCipher"])
@pytest.mark.parametrize("data", ["text", None, 5], ids=repr)
def test_data_that_is_no_bytes_is_a_type_error(cipher: Any, data: Any) -> None:
    with pytest.raises(TypeError, match=r"bytes|len"):
        cipher(data)


def test_without_arc4_everything_works_the_same(without_arc4: ModuleType) -> None:
    data = bytes(range(256)) * 20
    assert without_arc4.ARC4 is _rc4.ARC4
    assert without_arc4.rc4(KEY, data) == rc4(KEY, data)
    assert without_arc4.BodyCipher(KEY).apply(data) == BodyCipher(KEY).apply(data)
    assert without_arc4.body_key("abcdefghij", "") == body_key("abcdefghij", "")


# ---------------------------------------------------------------------------------------------------------- body key


def test_the_body_key_is_the_second_halves_under_the_whole_challenge() -> None:
    assert body_key("abcdefghij", "1234567890abcdef") == rc4(b"abcdefghij", b"fghij" + b"90abcdef")


def test_each_half_is_cut_at_its_own_length() -> None:
    assert body_key("abc", "12345") == rc4(b"abc", b"bc" + b"345")


@pytest.mark.parametrize(("challenge", "size"), [("a", 1), ("ab", 1), ("abc", 2), ("abcdefghij", 5)])
def test_without_a_udid_the_body_key_is_half_as_long_as_the_challenge(challenge: str, size: int) -> None:
    assert len(body_key(challenge, "")) == size


@pytest.mark.parametrize("size", [0, 257])
def test_a_challenge_of_another_size_is_refused(size: int) -> None:
    assert str(refusal(body_key, "c" * size, "")) == f"challenge: expected 1 to 256 characters, got {size}"


@given(st.integers(1, 256), st.integers(0, 600))
@example(256, 256)
@example(256, 257)
@example(255, 256)
@example(255, 257)
@example(1, 510)
@example(1, 511)
def test_a_udid_is_refused_exactly_when_the_key_would_be_too_long(challenge: int, udid: int) -> None:
    size = challenge - challenge // 2 + udid - udid // 2
    if size <= 256:
        assert len(body_key("c" * challenge, "u" * udid)) == size
    else:
        error = refusal(body_key, "c" * challenge, "u" * udid)
        most = int(error.problem.split()[3])
        assert str(error) == f"udid: expected at most {most} characters, got {udid}"
        assert len(body_key("c" * challenge, "u" * most)) in (255, 256)


@pytest.mark.parametrize(("challenge", "udid", "where"), [("héllo", "", "challenge"), ("hello", "ü", "udid")])
def test_a_body_key_wants_ascii(challenge: str, udid: str, where: str) -> None:
    assert str(refusal(body_key, challenge, udid)) == f"{where}: expected ASCII characters only"


@pytest.mark.parametrize(
    ("challenge", "udid", "message"),
    [
        (b"abc", "", "challenge: expected text, got bytes"),
        (None, "", "challenge: expected text, got NoneType"),
        ("abc", None, "udid: expected text, got NoneType"),
        ("abc", b"", "udid: expected text, got bytes"),
    ],
)
def test_a_body_key_wants_text(challenge: Any, udid: Any, message: str) -> None:
    assert str(refusal(body_key, challenge, udid)) == message


# ------------------------------------------------------------------------------------------------------- payload key


def test_the_payload_key_is_the_security_key_an_underscore_and_the_packet_id() -> None:
    assert payload_key(SECURITY_KEY, "mimc_go_1") == KEY + b"_mimc_go_1"


def test_a_packet_id_takes_part_as_utf_8() -> None:
    assert payload_key(SECURITY_KEY, "中文") == KEY + b"_" + "中文".encode()


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_line_breaks_in_a_security_key_are_skipped(line_break: str) -> None:
    assert payload_key(SECURITY_KEY[:8] + line_break + SECURITY_KEY[8:] + line_break, "1") == KEY + b"_1"


BAD_BASE64 = [
    "QQ",  # no padding
    "QQ=",
    "AAAA=",  # surplus padding
    "AAAA====",
    "QQ==QQ==",
    "====",
    "-_-_",  # the alphabet for URLs
    "QQ ==",
    " QQ==",
    "Q===",
    "QQ==\t",
    "é===",
    "\ud800===",
]


@pytest.mark.parametrize("text", BAD_BASE64)
def test_a_security_key_in_other_base64_is_refused(text: str) -> None:
    error = refusal(payload_key, text, "1")
    assert str(error) == "security key: expected standard base64 with its padding"


@pytest.mark.parametrize("size", [0, 255, 300])
def test_a_security_key_of_another_size_is_refused(size: int) -> None:
    error = refusal(security_key_bytes, base64.b64encode(bytes(size)).decode())
    assert str(error) == f"security key: expected 1 to 254 bytes in base64, got {size}"


@pytest.mark.parametrize("size", [1, 254])
def test_a_security_key_leaves_room_for_a_packet_id(size: int) -> None:
    text = base64.b64encode(bytes(size)).decode()
    assert len(payload_key(text, "1")) == size + 2


def test_a_payload_key_over_256_bytes_is_refused() -> None:
    assert len(payload_key(SECURITY_KEY, "i" * 239)) == 256
    error = refusal(payload_key, SECURITY_KEY, "i" * 240)
    assert str(error) == "RC4 key: expected a key of 1 to 256 bytes, got 257"


def test_an_empty_packet_id_is_refused() -> None:
    assert str(refusal(payload_key, SECURITY_KEY, "")) == "packet id: expected a header id, got an empty one"


def test_a_packet_id_that_utf_8_cannot_carry_is_refused() -> None:
    assert str(refusal(payload_key, SECURITY_KEY, "\ud800")) == "packet id: expected text that UTF-8 can carry"


@pytest.mark.parametrize(
    ("security_key", "packet_id", "message"),
    [
        (None, "1", "security key: expected text, got NoneType"),
        (b"QQ==", "1", "security key: expected text, got bytes"),
        (SECURITY_KEY, b"1", "packet id: expected text, got bytes"),
        (SECURITY_KEY, 1, "packet id: expected text, got int"),
    ],
)
def test_a_payload_key_wants_text(security_key: Any, packet_id: Any, message: str) -> None:
    assert str(refusal(payload_key, security_key, packet_id)) == message


@given(st.binary(min_size=1, max_size=254))
def test_every_security_key_of_a_token_is_accepted(secret: bytes) -> None:
    assert security_key_bytes(base64.b64encode(secret).decode()) == secret + b"_"


# --------------------------------------------------------------------------------------------------------- signature

FIELDS: dict[str, Any] = {
    "token": "tok/+=",
    "challenge": "a1B2c3D4e5",
    "chid": 9,
    "uuid": 6874178410250240,
    "resource": "pc_java",
    "packet_id": "mimc_go_abcdefghij_2",
    "security_key": SECURITY_KEY,
}
CHANGES = {
    "token": "other",
    "challenge": "other",
    "chid": 10,
    "uuid": 1,
    "resource": "other",
    "packet_id": "other",
    "security_key": "other",
    "kick": "1",
    "method": "OTHER",
    "client_attrs": "a",
    "cloud_attrs": "a",
}


def test_the_signature_covers_the_method_the_fields_by_name_and_the_key_as_text() -> None:
    text = (
        "XIAOMI-PASS&challenge=a1B2c3D4e5&chid=9&client_attrs=&cloud_attrs="
        "&from=6874178410250240@xiaomi.com/pc_java&id=mimc_go_abcdefghij_2&kick=0&to=xiaomi.com&token=tok/+="
        f"&{SECURITY_KEY}"
    )
    expected = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
    assert bind_signature(**FIELDS) == expected


def test_the_method_is_signed_in_upper_case() -> None:
    assert bind_signature(**FIELDS, method="xiaomi-pass") == bind_signature(**FIELDS)


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_takes_part_in_the_signature(name: str) -> None:
    assert bind_signature(**{**FIELDS, name: CHANGES[name]}) != bind_signature(**FIELDS)


def test_a_signature_verifies() -> None:
    assert verify_bind_signature(bind_signature(**FIELDS), **FIELDS) is True


@pytest.mark.parametrize("name", CHANGES)
def test_a_signature_of_other_fields_does_not_verify(name: str) -> None:
    assert verify_bind_signature(bind_signature(**FIELDS), **{**FIELDS, name: CHANGES[name]}) is False


def test_an_empty_kick_is_verified_as_a_zero() -> None:
    assert verify_bind_signature(bind_signature(**FIELDS, kick="0"), **FIELDS, kick="") is True


def test_an_empty_kick_is_signed_as_it_is() -> None:
    assert bind_signature(**FIELDS, kick="") != bind_signature(**FIELDS, kick="0")


@pytest.mark.parametrize("signature", ["", "é", "\ud800", "A" * 28], ids=ascii)
def test_any_other_text_is_no_signature(signature: str) -> None:
    assert verify_bind_signature(signature, **FIELDS) is False


@pytest.mark.parametrize("name", ["token", "challenge", "resource", "packet_id", "client_attrs", "security_key"])
def test_text_that_utf_8_cannot_carry_is_not_signed(name: str) -> None:
    error = refusal(bind_signature, **{**FIELDS, name: "\ud800"})
    assert str(error) == "BIND signature: expected text that UTF-8 can carry"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("token", None, "token: expected text, got NoneType"),
        ("packet_id", b"1", "id: expected text, got bytes"),
        ("challenge", 1.5, "challenge: expected text, got float"),
        ("method", None, "method: expected text, got NoneType"),
        ("security_key", b"key", "security key: expected text, got bytes"),
    ],
)
def test_a_signature_wants_text(name: str, value: Any, message: str) -> None:
    assert str(refusal(bind_signature, **{**FIELDS, name: value})) == message


# ------------------------------------------------------------------------------------------------------- body cipher


@given(keys, sizes)
def test_a_body_is_encrypted_by_rc4_from_its_first_byte(key: bytes, size: int) -> None:
    body = bytes(n & 255 for n in range(size))
    assert BodyCipher(key).apply(body) == rc4(key, body)


@given(keys, st.lists(st.none() | sizes, max_size=30))
def test_what_was_encrypted_before_makes_no_difference(key: bytes, steps: list[int | None]) -> None:
    cipher = BodyCipher(key)
    for size in steps:
        if size is None:
            cipher.trim()
        else:
            assert cipher.apply(bytes(size)) == rc4(key, bytes(size))


def test_a_trimmed_cipher_computes_its_keystream_again() -> None:
    cipher = BodyCipher(KEY)
    before = cipher.apply(bytes(300))
    cipher.trim()
    assert cipher.apply(bytes(300)) == before == rc4(KEY, bytes(300))


def test_more_sizes_than_are_remembered_make_no_difference() -> None:
    cipher = BodyCipher(KEY)
    for size in [*range(40), *range(1000, 1050), *range(40, 0, -1), 4096, 4097, 1, 2]:
        assert cipher.apply(bytes(size)) == rc4(KEY, bytes(size))


def test_the_keystream_of_a_body_of_at_most_4_kib_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []

    def counted(key: bytes, data: bytes) -> bytes:
        computed.append(len(data))
        return rc4(key, data)

    monkeypatch.setattr(crypto, "rc4", counted)
    cipher = BodyCipher(KEY)
    for size in (100, 256, 1, 256, 255):
        cipher.apply(bytes(size))
    assert computed == [256]
    for size in (4095, 4096, 4000, 4096, 1):
        cipher.apply(bytes(size))
    assert computed == [256, 4096]
    cipher.trim()
    cipher.apply(bytes(4097))
    cipher.apply(bytes(1))
    assert computed == [256, 4096, 4097, 256]


def memory(thing: object) -> int:
    """Bytes that are reached from it, classes aside."""
    seen: dict[int, object] = {}
    reached = [thing]
    while reached:
        one = reached.pop()
        if id(one) not in seen and not isinstance(one, type):
            seen[id(one)] = one
            reached += gc.get_referents(one)
    return sum(map(sys.getsizeof, seen.values()))


def test_a_body_cipher_keeps_little_and_after_a_trim_nothing() -> None:
    cipher = BodyCipher(KEY)
    new = memory(cipher)
    for size in range(1, 4200):
        cipher.apply(bytes(size))
    assert 4096 < memory(cipher) - new < 2.5 * 4096
    cipher.trim()
    assert memory(cipher) - new == 0


@given(keys, sizes)
def test_applying_a_body_cipher_twice_gives_the_body_back(key: bytes, size: int) -> None:
    cipher = BodyCipher(key)
    body = bytes(n * 7 & 255 for n in range(size))
    assert cipher.apply(cipher.apply(body)) == body


@given(keys, st.binary(max_size=64))
def test_two_ciphers_of_one_key_understand_each_other(key: bytes, body: bytes) -> None:
    assert BodyCipher(key).apply(BodyCipher(key).apply(body)) == body


# ----------------------------------------------------------------------------------------------------------- secrets


def test_a_body_cipher_does_not_show_its_key() -> None:
    assert repr(BodyCipher(b"QXZJVKQXZJ")) == "BodyCipher(***)"


@given(secrets)
@example("QXZJ" * 100)
def test_no_error_shows_a_security_key(secret: str) -> None:
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (security_key_bytes, (secret + "$",)),
        (security_key_bytes, (secret.encode(),)),
        (security_key_bytes, (base64.b64encode(secret.encode() * 70).decode(),)),
        (payload_key, (base64.b64encode(KEY).decode(), secret * 60)),
        (rc4, (secret.encode() * 65, b"")),
        (rc4, (secret, b"")),
        (body_key, (secret * 65, "")),
        (body_key, (secret + "é", "")),
        (body_key, (secret[:4], secret * 128)),
    ]
    for function, arguments in calls:
        error = refusal(function, *arguments)
        assert not leaks(secret, str(error), repr(error), repr(error.args))


@given(secrets)
def test_no_error_of_a_signature_shows_a_token_or_key(secret: str) -> None:
    signed = {**FIELDS, "token": secret, "security_key": secret}
    for changes in ({"resource": "\ud800"}, {"token": secret.encode()}, {"security_key": secret.encode()}):
        error = refusal(bind_signature, **{**signed, **changes})
        assert not leaks(secret, str(error), repr(error))


SIGNED: dict[str, Any] = {
    "token": "t",
    "challenge": "c",
    "chid": 9,
    "uuid": 1,
    "resource": "r",
    "packet_id": "p",
    "security_key": "AAAA",
}


@pytest.mark.parametrize("field", ["token", "challenge", "resource", "packet_id", "security_key", "method", "kick"])
def test_only_texts_are_signed(field: str) -> None:
    name = {"packet_id": "id", "security_key": "security key"}.get(field, field)
    with pytest.raises(CryptoError, match=f"^{name}: expected text, got int"):
        bind_signature(**{**SIGNED, field: 5})


@pytest.mark.parametrize("field", ["chid", "uuid"])
def test_only_numbers_are_signed_as_numbers(field: str) -> None:
    with pytest.raises(CryptoError, match=f"^{field}: expected an integer, got str"):
        bind_signature(**{**SIGNED, field: "9"})


def test_what_is_no_text_is_no_signature() -> None:
    with pytest.raises(CryptoError, match=r"^signature: expected text, got NoneType"):
        verify_bind_signature(None, **SIGNED)  # type: ignore[arg-type]
