"""What is shown depends on the keys there are, on the direction, and on what is secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.decoding import BODY_KEY, SECURITY_KEY, decode, decode_one, header, leaves, notes, sealed, tcp, websocket

from mimc_proto.crypto import bind_signature, body_key
from mimc_proto.packets import Bind, BindAnswer, Conn, ConnAnswer, Kick, P2PMessage, Packet, UploadRequest, User

CHALLENGE, UDID = "dPPqorAbuIg5x7Qe", "0123456789"
MESSAGE = Packet(packet_id="id_1", body=P2PMessage(recipient=User(account="bob"), payload="grüß dich 你好".encode()))
TEXT = "grüß dich 你好"


def conn(udid: str = UDID) -> bytes:
    return tcp(header("CONN", dir_flag=2), Conn(version=106, udid=udid).encode())


def conn_answer(challenge: str = CHALLENGE) -> bytes:
    return tcp(header("CONN", dir_flag=6), ConnAnswer(challenge=challenge).encode())


def ping(key: bytes) -> bytes:
    return tcp(header("PING", dir_flag=2), key=key)


# ------------------------------------------------------------------------------------------------------ body key


def test_without_a_key_the_outside_of_an_encrypted_frame_is_shown() -> None:
    frame = ping(BODY_KEY)
    shown = decode_one(frame)
    assert "broken" not in shown
    assert shown["encryption"] == {"body": "closed"}
    assert shown["sizes"] == {"frame": len(frame), "body": len(frame) - 12}
    assert shown["checksum"]["valid"] is True
    assert "--body-key" in notes(shown)
    assert "--challenge" in notes(shown)


def test_a_body_opens_with_its_key() -> None:
    shown = decode_one(ping(BODY_KEY), body_key=BODY_KEY)
    assert shown["encryption"] == {"body": "opened"}
    assert shown["command"] == "PING"


def test_a_body_opens_with_challenge_and_udid() -> None:
    frame = ping(body_key(CHALLENGE, UDID))
    assert decode_one(frame, challenge=CHALLENGE, udid=UDID)["command"] == "PING"


def test_with_a_wrong_key_the_body_is_broken() -> None:
    shown = decode_one(ping(BODY_KEY), body_key=b"another")
    assert shown["broken"]["where"] == "body"
    assert shown["broken"]["offset"] == 8
    assert "does not open with this key" in shown["broken"]["problem"]
    assert shown["encryption"] == {"body": "closed"}


def test_a_conn_is_plain_whatever_key_is_given() -> None:
    for frame in (conn(), conn_answer()):
        shown = decode_one(frame, body_key=BODY_KEY)
        assert shown["command"] == "CONN"
        assert "broken" not in shown
        assert "notes" not in shown


def test_another_command_without_encryption_is_shown_with_a_note() -> None:
    shown = decode_one(tcp(header("PING")), body_key=BODY_KEY)
    assert shown["command"] == "PING"
    assert "not encrypted" in notes(shown)


def test_a_conn_and_its_answer_open_what_follows() -> None:
    objects = decode(conn() + conn_answer() + ping(body_key(CHALLENGE, UDID)))
    assert objects[2]["command"] == "PING"
    assert objects[2]["assumed"][0] == "body key: from the challenge in frame 2 and the udid in frame 1"


def test_what_comes_before_the_answer_stays_closed() -> None:
    objects = decode(ping(body_key(CHALLENGE, UDID)) + conn() + conn_answer())
    assert objects[0]["encryption"] == {"body": "closed"}
    assert "broken" not in objects[0]


def test_an_answer_alone_opens_what_a_client_without_udid_sends() -> None:
    objects = decode(conn_answer() + ping(body_key(CHALLENGE, "")))
    assert objects[1]["command"] == "PING"
    assert "an empty udid" in objects[1]["assumed"][0]


def test_a_body_that_needs_an_unknown_udid_is_closed_and_not_broken() -> None:
    objects = decode(conn_answer() + ping(body_key(CHALLENGE, UDID)))
    assert "broken" not in objects[1]
    assert "--udid" in notes(objects[1])


def test_a_body_of_another_connection_than_the_one_in_the_input_is_not_broken() -> None:
    shown = decode(conn() + conn_answer() + ping(BODY_KEY))[2]
    assert "broken" not in shown
    assert shown["encryption"] == {"body": "closed"}
    assert "another connection's" in notes(shown)


def test_a_given_challenge_has_to_open_every_body() -> None:
    shown = decode(conn() + conn_answer() + ping(BODY_KEY), challenge=CHALLENGE)[2]
    assert "does not open with this key" in shown["broken"]["problem"]


def test_connections_may_mix_in_one_input() -> None:
    other = "another-challenge"
    keys = [body_key(CHALLENGE, UDID), body_key(other, ""), body_key(CHALLENGE, UDID)]
    data = conn() + conn("") + conn_answer(other) + conn_answer() + b"".join(map(ping, keys))
    assert [shown["command"] for shown in decode(data)] == ["CONN"] * 4 + ["PING"] * 3


def test_only_the_last_connections_of_an_input_are_remembered() -> None:
    answers = [f"challenge-{number}" for number in range(5)]
    data = b"".join(map(conn_answer, answers)) + b"".join(ping(body_key(answer, "")) for answer in answers)
    assert [shown["command"] for shown in decode(data)[5:]] == [None] + ["PING"] * 4


def test_a_given_challenge_is_completed_by_the_udid_in_the_input() -> None:
    objects = decode(conn() + ping(body_key(CHALLENGE, UDID)), challenge=CHALLENGE)
    assert objects[1]["command"] == "PING"
    assert objects[1]["assumed"][0] == "body key: from --challenge and the udid in frame 1"


def test_a_given_udid_is_completed_by_the_challenge_in_the_input() -> None:
    objects = decode(conn_answer() + ping(body_key(CHALLENGE, UDID)), udid=UDID)
    assert objects[1]["command"] == "PING"


def test_a_second_connection_has_its_own_key() -> None:
    second = "another-challenge"
    data = conn() + conn_answer() + ping(body_key(CHALLENGE, UDID))
    data += conn("") + conn_answer(second) + ping(body_key(second, ""))
    assert [shown["command"] for shown in decode(data)] == ["CONN", "CONN", "PING"] * 2


def test_a_challenge_that_gives_no_key_is_told() -> None:
    objects = decode(conn_answer("schlüssel") + ping(BODY_KEY))
    assert "ASCII" in notes(objects[1])
    assert not any("broken" in shown for shown in objects)


@pytest.mark.parametrize("challenge", ["", "x"])
def test_a_short_challenge_is_advice(challenge: str) -> None:
    shown = decode_one(conn_answer(challenge))
    assert f"the challenge has {len(challenge)} characters" in notes(shown)
    assert "broken" not in shown


def test_a_short_challenge_that_was_given_is_noted_once() -> None:
    objects = decode(ping(body_key("x", "")) * 2, challenge="x", udid="")
    assert [("the challenge has 1" in notes(shown)) for shown in objects] == [True, False]
    assert [shown["command"] for shown in objects] == ["PING", "PING"]


# ------------------------------------------------------------------------------------- security key and direction


def secmsg(payload: bytes, **fields: Any) -> bytes:
    return websocket(header(**fields), payload)


def test_without_the_security_key_a_secmsg_shows_its_header() -> None:
    shown = decode_one(secmsg(sealed(MESSAGE), dir_flag=4))
    assert "broken" not in shown
    assert shown["header"]["id"] == "id_1"
    assert shown["encryption"]["payload"] == "closed"
    assert "--security-key" in notes(shown)


@pytest.mark.parametrize("flag", range(1, 7))
def test_an_encrypted_secmsg_is_opened_both_ways(flag: int) -> None:
    shown = decode_one(secmsg(sealed(MESSAGE), dir_flag=flag), security_key=SECURITY_KEY)
    assert list(leaves(shown, "text")) == [TEXT]
    assert shown["direction"] == ("up" if flag <= 3 else "down")
    assert shown["assumed"] == [f"direction {shown['direction']}: dir_flag is {shown['header']['dir_flag']}"]


def test_with_a_wrong_security_key_the_payload_is_broken() -> None:
    frame = secmsg(sealed(MESSAGE), dir_flag=4)
    shown = decode_one(frame, security_key="AAAAAAAAAAAAAAAAAAAAAA==")
    assert shown["broken"]["where"] == "payload"
    assert shown["broken"]["offset"] == 14 + shown["sizes"]["header"]
    assert "does not open with this security key" in shown["broken"]["problem"]


@pytest.mark.parametrize("cipher", [None, 0])
def test_a_plain_payload_without_dir_flag_went_up_and_needs_no_key(cipher: int | None) -> None:
    shown = decode_one(secmsg(MESSAGE.encode(), cipher=cipher))
    assert shown["direction"] == "up"
    assert list(leaves(shown, "text")) == [TEXT]
    assert "plain" in shown["assumed"][0]


def test_an_encrypted_payload_without_dir_flag_and_cipher_went_down() -> None:
    shown = decode_one(secmsg(sealed(MESSAGE), cipher=None), security_key=SECURITY_KEY)
    assert shown["direction"] == "down"
    assert list(leaves(shown, "text")) == [TEXT]


def test_a_plain_payload_downwards_is_broken_and_still_shown() -> None:
    for key in (None, SECURITY_KEY):
        shown = decode_one(secmsg(MESSAGE.encode(), dir_flag=4), security_key=key)
        assert "clients decrypt all of them downwards" in shown["broken"]["problem"]
        assert list(leaves(shown, "text")) == [TEXT]


def test_an_encrypted_payload_upwards_without_cipher_is_broken_and_still_shown() -> None:
    shown = decode_one(secmsg(sealed(MESSAGE), dir_flag=2, cipher=0), security_key=SECURITY_KEY)
    assert "expected a plain payload" in shown["broken"]["problem"]
    assert list(leaves(shown, "text")) == [TEXT]


@pytest.mark.parametrize("key", [None, SECURITY_KEY])
def test_a_payload_upwards_that_is_neither_plain_nor_encrypted_is_broken_at_its_byte(key: str | None) -> None:
    payload = b"\x12\x00\xff\xff"
    shown = decode_one(secmsg(payload, dir_flag=2, cipher=0), security_key=key)
    assert shown["broken"]["where"] == "MIMCPacket"
    assert shown["broken"]["offset"] == 14 + shown["sizes"]["header"] + len(payload)
    assert shown["broken"]["problem"] == "a varint is cut off by the end of the message"


def test_a_forced_direction_overrides_the_flag() -> None:
    shown = decode_one(secmsg(MESSAGE.encode(), dir_flag=4, cipher=0), direction="up")
    assert shown["direction"] == "up"
    assert shown["assumed"] == ["direction up: --direction, against SC_ONEWAY in dir_flag"]
    assert "broken" not in shown


@pytest.mark.parametrize("cipher", [0, 1])
def test_a_forced_direction_counts_for_both_framings(cipher: int) -> None:
    head = header(cipher=cipher, dir_flag=6)
    payload = sealed(MESSAGE) if cipher else MESSAGE.encode()
    for frame in (tcp(head, payload, key=BODY_KEY), websocket(head, payload)):
        shown = decode_one(frame, body_key=BODY_KEY, security_key=SECURITY_KEY, direction="up")
        assert shown["direction"] == "up"
        assert list(leaves(shown, "text")) == [TEXT]


DIRECTIONS: list[tuple[str, bytes, str]] = [
    ("CONN", Conn(version=106).encode(), "up"),
    ("CONN", Conn(sdk=33).encode(), "up"),
    ("CONN", b"", "up"),
    ("CONN", ConnAnswer(challenge=CHALLENGE).encode(), "down"),
    ("BIND", Bind(token="t", sig="s").encode(), "up"),
    ("BIND", b"\x32\x01s", "up"),
    ("BIND", BindAnswer(result=True).encode(), "down"),
    ("BIND", b"", "down"),
    ("BIND", b"\x0a\xff", "down"),
    ("CONN", b"\x08\x6a\xff", "up"),
    ("KICK", Kick(type="t").encode(), "down"),
    ("NOTIFY", b"", "down"),
    ("SYNC", b"", "down"),
    ("CTRL", b"", "down"),
    ("UBND", b"", "up"),
    ("PING", b"", "unknown"),
    ("WHAT", b"", "unknown"),
]


@pytest.mark.parametrize(("command", "payload", "direction"), DIRECTIONS)
def test_without_dir_flag_command_and_fields_tell_the_direction(command: str, payload: bytes, direction: str) -> None:
    shown = decode_one(websocket(header(command), payload))
    assert shown["direction"] == direction
    assert shown["assumed"][0].startswith(f"direction {direction}: ")


def test_a_dir_flag_that_mimc_does_not_have_says_nothing() -> None:
    shown = decode_one(websocket(header("KICK", dir_flag=9)))
    assert shown["header"]["dir_flag"] == 9
    assert shown["direction"] == "down"
    assert "unknown value 9" in notes(shown)


def test_an_id_that_makes_no_key_keeps_the_payload_closed() -> None:
    for packet_id in (None, "", "i" * 300):
        shown = decode_one(secmsg(sealed(MESSAGE), dir_flag=4, id=packet_id), security_key=SECURITY_KEY)
        assert shown["encryption"]["payload"] == "closed"
        assert "no key can be made" in notes(shown)
        assert "broken" not in shown
        assert ("ClientHeader.id is missing" in notes(shown)) == (not packet_id)


# ----------------------------------------------------------------------------------------- signatures and secrets

TOKEN = "secret-token"
SIGNATURE = bind_signature(
    token=TOKEN, challenge=CHALLENGE, chid=9, uuid=7, resource="pc", packet_id="b", security_key=SECURITY_KEY
)


def bind(**changes: Any) -> bytes:
    fields: dict[str, Any] = {"token": TOKEN, "sig": SIGNATURE, "kick": "0", "method": "XIAOMI-PASS"}
    return websocket(header("BIND", id="b"), Bind(**{**fields, **changes}).encode())


@pytest.mark.parametrize("kick", ["0", "", None])
def test_a_signature_is_verified_and_an_empty_kick_counts_as_0(kick: str | None) -> None:
    shown = decode_one(bind(kick=kick), challenge=CHALLENGE, security_key=SECURITY_KEY)
    assert shown["signature"] == "valid"
    assert "notes" not in shown


@pytest.mark.parametrize("changes", [{"token": "other"}, {"sig": "AAAA"}, {"kick": "1"}, {"method": None}])
def test_a_wrong_signature_is_advice(changes: dict[str, Any]) -> None:
    shown = decode_one(bind(**changes), challenge=CHALLENGE, security_key=SECURITY_KEY)
    assert shown["signature"] == "wrong"
    assert "signature" in notes(shown)
    assert "broken" not in shown


@pytest.mark.parametrize("keys", [{}, {"challenge": CHALLENGE}, {"security_key": SECURITY_KEY}])
def test_a_signature_is_unchecked_without_both_keys(keys: dict[str, str]) -> None:
    assert decode_one(bind(), **keys)["signature"] == "unchecked"


def test_a_bind_that_cannot_be_read_is_unchecked() -> None:
    frame = websocket(header("BIND", dir_flag=2), b"\x0a\xff")
    shown = decode_one(frame, challenge=CHALLENGE, security_key=SECURITY_KEY)
    assert shown["signature"] == "unchecked"
    assert "broken" in shown


def test_the_challenge_of_an_answer_in_the_input_verifies_a_signature() -> None:
    answer = websocket(header("CONN"), ConnAnswer(challenge=CHALLENGE).encode())
    other = websocket(header("CONN"), ConnAnswer(challenge="another").encode())
    assert decode(answer + bind(), security_key=SECURITY_KEY)[1]["signature"] == "valid"
    assert decode(answer + other + bind(), security_key=SECURITY_KEY)[2]["signature"] == "valid"
    assert decode(other + bind(), security_key=SECURITY_KEY)[1]["signature"] == "wrong"


SECRETS = [
    (bind(), "XMMsgBind", "token", TOKEN),
    (bind(), "XMMsgBind", "sig", SIGNATURE),
    (
        websocket(header("CONN"), ConnAnswer(challenge=CHALLENGE, session_key=b"top secret").encode()),
        "XMMsgConnResp",
        "challenge",
        CHALLENGE,
    ),
    (
        websocket(header("SYNC"), UploadRequest(url="http://example.com/", token=TOKEN).encode()),
        "XMMsgU",
        "token",
        TOKEN,
    ),
]


@pytest.mark.parametrize(("frame", "message", "field", "secret"), SECRETS)
def test_secrets_are_masked_on_request(frame: bytes, message: str, field: str, secret: str) -> None:
    masked = decode_one(frame, hide_secrets=True)
    assert masked["payload"][message][field] == f"*** ({len(secret)} bytes)"
    assert secret not in json.dumps(masked)
    assert decode_one(frame)["payload"][message][field] == secret


def test_a_session_key_is_masked_on_request() -> None:
    frame = websocket(header("CONN"), ConnAnswer(challenge=CHALLENGE, session_key=b"top\0secret").encode())
    assert decode_one(frame, hide_secrets=True)["payload"]["XMMsgConnResp"]["sessionKey"] == "*** (10 bytes)"
    shown = decode_one(frame)["payload"]["XMMsgConnResp"]["sessionKey"]
    assert shown == {"size": 10, "base64": "dG9wAHNlY3JldA=="}
