"""The official Go client: its keys, signatures and whole frames come out byte for byte, and are read in full."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pytest
from support.vectors import load

from mimc_proto import _rc4
from mimc_proto.crypto import (
    BodyCipher,
    _signature,
    bind_signature,
    body_key,
    payload_key,
    rc4,
    verify_bind_signature,
)
from mimc_proto.errors import CryptoError, PacketError
from mimc_proto.framing import EMPTY_FRAME, TcpDecoder, encode_tcp_frame, join_body, split_body
from mimc_proto.packets import (
    Bind,
    BindAnswer,
    Conn,
    ConnAnswer,
    Direction,
    Group,
    Header,
    Kick,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    SequenceAck,
    User,
    WireRecord,
)
from mimc_proto.packets.fast import decode_packet

GO: dict[str, Any] = load("go")

FRAMES = [
    pytest.param(kind, {**entry, "variant": number}, id=f"{kind}-{number}")
    for packets in (GO["client_packets"], GO["server_packets"])
    for kind, entries in packets.items()
    for number, entry in enumerate(entries)
]


def named(name: str, id_of: Callable[[dict[str, Any]], str] | None = None) -> pytest.MarkDecorator:
    entries = GO[name]
    return pytest.mark.parametrize(
        "entry", entries, ids=[id_of(entry) if id_of else str(n) for n, entry in enumerate(entries)]
    )


def frames_of(*kinds: str) -> list[Any]:
    return [param for param in FRAMES if param.values[0] in kinds]


SECMSGS = frames_of("SECMSG_P2P", "SECMSG_P2T", "SECMSG_SEQUENCE_ACK", "SECMSG_PACKET_ACK", "SECMSG_COMPOUND")


# ------------------------------------------------------------------------------------------------------ cryptography


@named("rc4", lambda entry: f"{entry['key_len']}-byte key, {len(entry['plain_hex']) // 2} bytes")
class TestRc4:
    def test_rc4_encrypts_like_the_client(self, entry: dict[str, Any]) -> None:
        key, plain = bytes.fromhex(entry["key_hex"]), bytes.fromhex(entry["plain_hex"])
        if len(key) > 256:
            with pytest.raises(CryptoError, match="256 bytes, got 300"):
                rc4(key, plain)
            key = key[:256]
        assert rc4(key, plain).hex() == entry["cipher_hex"]

    def test_the_reference_in_python_encrypts_like_the_client(self, entry: dict[str, Any]) -> None:
        key, plain = bytes.fromhex(entry["key_hex"])[:256], bytes.fromhex(entry["plain_hex"])
        assert _rc4.ARC4(key).encrypt(plain).hex() == entry["cipher_hex"]

    def test_a_body_cipher_encrypts_like_the_client(self, entry: dict[str, Any]) -> None:
        key, plain = bytes.fromhex(entry["key_hex"])[:256], bytes.fromhex(entry["plain_hex"])
        assert BodyCipher(key).apply(plain).hex() == entry["cipher_hex"]


@named("adler32")
def test_adler_32_is_that_of_the_client(entry: dict[str, Any]) -> None:
    checksum = zlib.adler32(bytes.fromhex(entry["data_hex"]))
    assert (checksum, checksum.to_bytes(4, "big").hex()) == (entry["adler32"], entry["wire_hex"])


@pytest.mark.parametrize(("kind", "entry"), FRAMES)
def test_a_frame_ends_in_the_checksum_of_the_client(kind: str, entry: dict[str, Any]) -> None:
    assert entry["frame_hex"].endswith(f"{entry['adler32']:08x}"), kind


@named("body_key")
def test_a_body_key_is_that_of_the_client(entry: dict[str, Any]) -> None:
    assert body_key(entry["challenge"], entry["udid"]).hex() == entry["key_hex"]


REFUSED_KEYS = ("nopad", "emptykey", "urlsafe")


@named("payload_key", lambda entry: ascii(entry["header_id"]))
def test_a_payload_key_is_that_of_the_client_unless_its_base64_is_bad(entry: dict[str, Any]) -> None:
    if entry["header_id"] in REFUSED_KEYS:
        with pytest.raises(CryptoError, match="security key"):
            payload_key(entry["security_key"], entry["header_id"])
    else:
        assert payload_key(entry["security_key"], entry["header_id"]).hex() == entry["recv_key_hex"]


def test_line_breaks_in_a_security_key_are_skipped_as_the_client_does() -> None:
    [entry] = [entry for entry in GO["payload_key"] if entry["header_id"] == "nl"]
    assert "\n" in entry["security_key"]
    assert payload_key(entry["security_key"], "nl").hex() == entry["recv_key_hex"]


def signature_fields(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "token": entry["token"],
        "challenge": entry["challenge"],
        "chid": entry["chid"],
        "uuid": int(entry["uuid"]),
        "resource": entry["resource"],
        "packet_id": entry["id"],
        "security_key": entry["security_key"],
        "kick": entry["kick"],
        "method": entry["method"],
        "client_attrs": entry["client_attrs"],
        "cloud_attrs": entry["cloud_attrs"],
    }


@named("bind_sig")
def test_a_signature_is_that_of_the_client(entry: dict[str, Any]) -> None:
    if entry["server"] == "xiaomi.com":
        assert bind_signature(**signature_fields(entry)) == entry["sig"]
    # Other servers are signed by the raw function only.
    signed = {
        "challenge": entry["challenge"],
        "chid": str(entry["chid"]),
        "client_attrs": entry["client_attrs"],
        "cloud_attrs": entry["cloud_attrs"],
        "from": f"{entry['uuid']}@xiaomi.com/{entry['resource']}",
        "id": entry["id"],
        "kick": entry["kick"],
        "to": entry["server"],
        "token": entry["token"],
    }
    assert _signature(entry["method"], signed, entry["security_key"]) == entry["sig"]


def test_the_signature_of_a_real_login_verifies() -> None:
    [entry] = [entry for entry in GO["bind_sig"] if entry["server"] == "xiaomi.com"]
    assert verify_bind_signature(entry["sig"], **signature_fields(entry))


# ------------------------------------------------------------------------------------------------------------- frames


def header_of(entry: dict[str, Any]) -> Header:
    header = entry["header"]
    return Header(
        chid=header["chid"],
        uuid=int(header["uuid"]),
        server=header["server"],
        resource=header["resource"],
        cmd=header["cmd"],
        subcmd=header.get("subcmd"),
        id=header["id"],
        dir_flag=header["dir_flag"],
        cipher=header["cipher"],
    )


def me(entry: dict[str, Any]) -> User:
    who = entry["in"]
    return User(app_id=int(who["app_id"]), account=who["account"], uuid=int(who["uuid"]), resource=who["resource"])


def to_go_user(entry: dict[str, Any]) -> User:
    return User(app_id=int(entry["in"]["app_id"]), account=entry["to"], uuid=0, resource="")


def bind_of(entry: dict[str, Any]) -> Bind:
    who, header = entry["in"], entry["header"]
    signature = bind_signature(
        token=who["token"],
        challenge=who["challenge"],
        chid=header["chid"],
        uuid=int(who["uuid"]),
        resource=who["resource"],
        packet_id=header["id"],
        security_key=who["security_key"],
    )
    return Bind(token=who["token"], kick="0", method="XIAOMI-PASS", client_attrs="", cloud_attrs="", sig=signature)


def payload_of(kind: str, entry: dict[str, Any]) -> WireRecord | None:
    """The payload of a frame of the client, from what went into it."""
    who = entry["in"]
    upward = {"packet_id": entry["header"]["id"], "package": who["package"]}
    match kind:
        case "CONN":
            conn = entry["xmmsg_conn"]
            return Conn(version=conn["version"], os=conn["os"], udid=conn["udid"], sdk=conn["sdk"])
        case "BIND":
            return bind_of(entry)
        case "PING" | "UBND" | "PONG_WITH_HEADER":
            return None
        case "SECMSG_P2P":
            p2p = P2PMessage(
                sender=me(entry),
                recipient=to_go_user(entry),
                payload=bytes.fromhex(entry["msg_hex"]),
                is_store=entry["is_store"],
                biz_type=entry["biz_type"],
            )
            return Packet(**upward, body=p2p)
        case "SECMSG_P2T":
            p2t = P2TMessage(
                sender=me(entry),
                recipient=Group(app_id=int(who["app_id"]), topic_id=int(entry["topic_id"])),
                payload=bytes.fromhex(entry["msg_hex"]),
                is_store=entry["is_store"],
                biz_type=entry["biz_type"],
            )
            return Packet(**upward, body=p2t)
        case "SECMSG_SEQUENCE_ACK":
            listed = entry["list"]
            sequence = int(listed["maxSequence"])
            ack = SequenceAck(
                uuid=int(listed["uuid"]), resource=listed["resource"], sequence=sequence, app_id=int(who["app_id"])
            )
            return Packet(**upward, sequence=sequence, body=ack)
        case "CONN_RESP":
            return ConnAnswer(challenge=who["challenge"], host="fe-1")
        case "BIND_RESP_OK":
            return BindAnswer(result=True)
        case "BIND_RESP_FAIL":
            return BindAnswer(result=False, error_type="token-expired", error_reason="r", error_desc="过期")
        case "KICK":  # encoded as a login answer: see the README of the vectors
            return BindAnswer(result=False, error_type="kick", error_reason="multi-login", error_desc="d")
        case "SECMSG_PACKET_ACK":
            return ack_of(entry)
        case "SECMSG_COMPOUND":
            return compound_of(entry)
    raise AssertionError(kind)


def ack_of(entry: dict[str, Any]) -> Packet:
    who = entry["in"]
    ack = PacketAck(
        packet_id="mimc_go_abcdefghij_3",
        uuid=int(who["uuid"]),
        resource=who["resource"],
        sequence=15263040872000001,
        timestamp=1526304087200,
        package=who["package"],
    )
    return Packet(
        packet_id=entry["header"]["id"],
        package=who["package"],
        sequence=15263040872000001,
        timestamp=1526304087200,
        body=ack,
    )


def compound_of(entry: dict[str, Any]) -> Packet:
    who = entry["in"]
    app_id, package = int(who["app_id"]), who["package"]
    # It holds what the client sends in the same variant, the other way round.
    p2p_sent = GO["client_packets"]["SECMSG_P2P"][entry["variant"]]
    p2t_sent = GO["client_packets"]["SECMSG_P2T"][entry["variant"]]
    sender = User(app_id=app_id, account=p2p_sent["to"], uuid=77, resource="pc_java")
    p2p = P2PMessage(
        sender=sender,
        recipient=User(app_id=app_id, account=who["account"], uuid=int(who["uuid"])),
        payload=bytes.fromhex(p2p_sent["msg_hex"]),
        is_store=p2p_sent["is_store"],
    )
    p2t = P2TMessage(
        sender=sender,
        recipient=Group(app_id=app_id, topic_id=int(p2t_sent["topic_id"])),
        payload=bytes.fromhex(p2t_sent["msg_hex"]),
        is_store=p2t_sent["is_store"],
        biz_type="TEXT",
    )
    first = Packet(
        packet_id="SNojTVePKxAkYKe-2",
        package=package,
        sequence=15263541607720001,
        timestamp=1526354160772,
        body=p2p,
    )
    second = Packet(
        packet_id="SNojTVePKxAkYKe-3",
        package=package,
        sequence=15263541607720002,
        timestamp=1526354160773,
        body=p2t,
    )
    listed = PacketList(
        uuid=int(who["uuid"]), resource=who["resource"], max_sequence=15263541607720002, packets=(first, second)
    )
    return Packet(
        packet_id="SNojTVePKxAkYKe-2",
        package=package,
        sequence=15263541607720002,
        timestamp=1526354160773,
        body=listed,
    )


def body_cipher(entry: dict[str, Any]) -> BodyCipher | None:
    return None if entry["body_in_clear"] else BodyCipher(bytes.fromhex(entry["body_key_hex"]))


def decoded(entry: dict[str, Any]) -> tuple[Header, bytes]:
    """The header and the plain payload of a whole frame."""
    decoder = TcpDecoder(1 << 20)
    decoder.feed(bytes.fromhex(entry["frame_hex"]))
    body = decoder.next_body()
    assert body is not None
    assert decoder.pending == 0
    cipher = body_cipher(entry)
    header_bytes, payload = split_body(cipher.apply(body) if cipher else body)
    assert header_bytes.hex() == entry["header_hex"]
    header = Header.decode(header_bytes)
    if header.cipher:
        assert header.id
        payload = rc4(payload_key(entry["in"]["security_key"], header.id), payload)
    return header, payload


@pytest.mark.parametrize(("kind", "entry"), FRAMES)
class TestFrames:
    def test_the_frame_is_encoded_byte_for_byte(self, kind: str, entry: dict[str, Any]) -> None:
        header, record = header_of(entry), payload_of(kind, entry)
        payload = b"" if record is None else record.encode()
        assert payload.hex() == entry["payload_plain_hex"]
        if header.cipher:
            key = payload_key(entry["in"]["security_key"], entry["header"]["id"])
            assert key.hex() == entry["payload_key_hex"]
            payload = rc4(key, payload)
        body = join_body(header.encode(), payload)
        assert len(body) == entry["body_len"]
        cipher = body_cipher(entry)
        assert encode_tcp_frame(cipher.apply(body) if cipher else body).hex() == entry["frame_hex"]

    def test_the_frame_is_decoded_in_full(self, kind: str, entry: dict[str, Any]) -> None:
        header, payload = decoded(entry)
        assert header == header_of(entry)
        assert payload.hex() == entry["payload_plain_hex"]
        record = payload_of(kind, entry)
        if record is not None:
            assert type(record).decode(payload) == record

    def test_the_body_key_is_derived_from_challenge_and_udid(self, kind: str, entry: dict[str, Any]) -> None:
        challenge = entry["in"]["challenge"]
        if entry["body_in_clear"]:
            assert kind in ("CONN", "CONN_RESP")
        elif challenge.isascii():
            assert body_key(challenge, entry["in"]["udid"]).hex() == entry["body_key_hex"]
        else:  # the client's own slip, not the protocol's: see the README of the vectors
            with pytest.raises(CryptoError, match="ASCII"):
                body_key(challenge, entry["in"]["udid"])


@pytest.mark.parametrize(("kind", "entry"), SECMSGS)
def test_the_hot_path_reads_the_same(kind: str, entry: dict[str, Any]) -> None:
    _, payload = decoded(entry)
    assert decode_packet(payload) == payload_of(kind, entry)


@pytest.mark.parametrize("entry", GO["client_packets"]["BIND"])
def test_the_signature_of_a_login_verifies(entry: dict[str, Any]) -> None:
    header, payload = decoded(entry)
    bind, who = Bind.decode(payload), entry["in"]
    assert header.chid is not None
    assert header.uuid is not None
    assert header.resource is not None
    assert header.id is not None
    assert verify_bind_signature(
        bind.sig,
        token=bind.token,
        challenge=who["challenge"],
        chid=header.chid,
        uuid=header.uuid,
        resource=header.resource,
        packet_id=header.id,
        security_key=who["security_key"],
        kick=bind.kick or "",
    )


@pytest.mark.parametrize("entry", GO["server_packets"]["KICK"])
def test_a_kick_shows_its_reason_and_description(entry: dict[str, Any]) -> None:
    _, payload = decoded(entry)
    kick = Kick.decode(payload)
    assert (kick.type, kick.reason, kick.desc) == (None, "kick", "multi-login")


def test_the_empty_ping_is_the_shortest_frame() -> None:
    frame = bytes.fromhex(GO["empty_ping"]["frame_hex"])
    assert frame == EMPTY_FRAME == encode_tcp_frame(b"")
    decoder = TcpDecoder(0)
    decoder.feed(frame)
    assert decoder.next_body() == b""


# ----------------------------------------------------------------------------------------------------------- the cloud


def captured() -> tuple[Header, bytes]:
    return decoded({**GO["captured_push"], "body_in_clear": False, "in": GO["captured_push"]})


def test_the_header_of_the_real_cloud_is_read() -> None:
    header, _ = captured()
    assert header == Header(
        chid=9,
        uuid=6874178410250240,
        server="xiaomi.com",
        resource="pc_java",
        cmd="SECMSG",
        subcmd="",
        id="4f27f5823256",
        dir_flag=Direction.SC_ONEWAY,
        cipher=1,
    )


def test_the_push_of_the_real_cloud_is_read_down_to_its_text() -> None:
    _, payload = captured()
    assert payload.hex() == GO["captured_push"]["mimc_packet_hex"]
    packet = Packet.decode(payload)
    assert isinstance(packet.body, PacketList)
    [inner] = packet.body.packets
    assert isinstance(inner, Packet)
    assert inner.body == P2PMessage(
        sender=User(app_id=2882303761517613988, account="linbin", uuid=6874178410250241, resource="pc_java"),
        recipient=User(app_id=2882303761517613988, account="leijun", uuid=6874178410250240),
        payload=b"I'm OK!",
        is_store=True,
    )


def test_the_sequence_of_the_real_cloud_is_made_of_its_time() -> None:
    packet = Packet.decode(captured()[1])
    assert isinstance(packet.body, PacketList)
    assert packet.timestamp is not None
    assert packet.sequence == packet.body.max_sequence == packet.timestamp * 10_000 + 1


def test_the_push_of_the_real_cloud_is_encoded_byte_for_byte() -> None:
    header, payload = captured()
    entry = GO["captured_push"]
    encrypted = rc4(payload_key(entry["security_key"], header.id or ""), Packet.decode(payload).encode())
    body = join_body(header.encode(), encrypted)
    assert encode_tcp_frame(BodyCipher(bytes.fromhex(entry["body_key_hex"])).apply(body)).hex() == entry["frame_hex"]


@pytest.mark.parametrize("decode", [Packet.decode, decode_packet])
def test_the_cut_off_packet_of_the_real_cloud_ends_in_a_clear_error(decode: Any) -> None:
    with pytest.raises(PacketError) as caught:
        decode(bytes.fromhex(GO["captured_plain_truncated"]["hex"]))
    assert str(caught.value) == "MIMCPacket at byte 52: field 5 announces 97 bytes, only 16 are left"
