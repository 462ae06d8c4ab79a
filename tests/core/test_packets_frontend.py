"""Headers and the payloads of the handshake, byte for byte."""

import pytest

from mimc_proto import pb
from mimc_proto.errors import PacketError
from mimc_proto.packets import (
    Bind,
    BindAnswer,
    Command,
    Conn,
    ConnAnswer,
    Direction,
    Header,
    Kick,
    KickReason,
    Notify,
    PingStats,
    PushServiceConfig,
    UploadRequest,
    WireRecord,
)

WIRE: list[tuple[WireRecord, str]] = [
    (
        Header(
            chid=9,
            uuid=-1,
            server="s",
            resource="r",
            cmd="PING",
            subcmd="",
            id="i",
            dir_flag=Direction.CS_REQ,
            cipher=1,
            err_code=-1,
            err_str="e",
        ),
        "0809 10ffffffffffffffffff01 1a0173 220172 2a0450494e47 3200 3a0169 4002 4801 50ffffffffffffffffff01 5a0165",
    ),
    (
        Conn(
            version=106,
            model="m",
            os="o",
            udid="u",
            sdk=33,
            connpt="c",
            host="h",
            locale="l",
            psc=PushServiceConfig(fetch_bucket=True, use_bucket_v2=False, client_version=1, cloud_version=2, dots=3),
            andver=0,
            public_key_n=b"n",
            public_key_e=b"e",
        ),
        "086a 12016d 1a016f 220175 2821 320163 3a0168 42016c 4a0a08011000180120022803 5000 5a016e 620165",
    ),
    (
        ConnAnswer(challenge="c", host="h", psc=PushServiceConfig(), session_key=b"k"),
        "0a0163 120168 1a00 22016b",
    ),
    (
        Bind(token="t", kick="0", method="m", client_attrs="", cloud_attrs="", sig="s", sso=False),
        "0a0174 120130 1a016d 2200 2a00 320173 3800",
    ),
    (BindAnswer(result=False, error_type="t", error_reason="r", error_desc="d"), "0800 120174 1a0172 220164"),
    (PingStats(stats=b"s", psc=PushServiceConfig(dots=1)), "0a0173 12022801"),
    (Notify(err_code=-1, err_str="e"), "08ffffffffffffffffff01 120165"),
    (Kick(type="t", reason="r", desc="d"), "0a0174 120172 1a0164"),
    (
        UploadRequest(url="u", token="t", start=1, end=2, force=True, maxlen=3),
        "0a0175 120174 1801 2002 2801 3003",
    ),
]


@pytest.mark.parametrize(("record", "encoded"), WIRE, ids=lambda value: type(value).__name__)
def test_a_record_is_written_as_the_official_clients_write_it(record: WireRecord, encoded: str) -> None:
    assert record.encode() == bytes.fromhex(encoded)


@pytest.mark.parametrize(("record", "encoded"), WIRE, ids=lambda value: type(value).__name__)
def test_a_record_is_read_as_the_official_clients_write_it(record: WireRecord, encoded: str) -> None:
    assert type(record).decode(bytes.fromhex(encoded)) == record


def test_the_commands_are_those_of_the_specification() -> None:
    assert [str(command) for command in Command] == [
        *["CONN", "BIND", "PING", "UBND", "SECMSG", "KICK", "NOTIFY", "CTRL", "SYNC"]
    ]


def test_a_command_that_nobody_knows_is_text() -> None:
    assert Header.decode(bytes.fromhex("2a0457484154")).cmd == "WHAT"


def test_a_command_decodes_equal_to_its_member() -> None:
    assert Header.decode(Header(cmd=Command.PING).encode()).cmd == Command.PING


@pytest.mark.parametrize("flag", list(Direction))
def test_a_direction_is_a_member(flag: Direction) -> None:
    assert Header.decode(Header(cmd="PING", dir_flag=int(flag)).encode()).dir_flag is flag


def test_the_directions_are_those_of_protobuf() -> None:
    assert {flag.name: int(flag) for flag in Direction} == dict(pb.MSG_DIR_FLAG.items())


def test_the_reasons_of_a_kick_are_those_of_the_specification() -> None:
    assert [str(reason) for reason in KickReason] == ["single-resource-kick", "token-expired", "invalid-token"]


def test_a_header_needs_its_command_only() -> None:
    assert Header.decode(bytes.fromhex("2a0450494e47")) == Header(cmd="PING")
    with pytest.raises(PacketError, match=r"ClientHeader\.cmd"):
        Header.decode(bytes.fromhex("0809"))


def test_a_kick_may_be_empty() -> None:
    assert Kick.decode(b"") == Kick()


def test_a_kick_written_as_a_login_answer_can_be_read() -> None:
    answer = BindAnswer(result=False, error_type="kick", error_reason="multi-login", error_desc="d")
    kick = Kick.decode(answer.encode())
    assert (kick.type, kick.reason, kick.desc) == (None, "kick", "multi-login")


def test_a_ping_may_be_empty() -> None:
    assert PingStats.decode(b"") == PingStats()


def test_an_uuid_of_a_header_is_signed() -> None:
    lowest, highest = Header(cmd="A", uuid=-(1 << 63)), Header(cmd="A", uuid=(1 << 63) - 1)
    assert [Header.decode(header.encode()) for header in (lowest, highest)] == [lowest, highest]


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (Bind(token="tok", sig="sig"), "Bind(token=***, sig=***)"),
        (ConnAnswer(challenge="abc", session_key=b"key"), "ConnAnswer(challenge=***, session_key=***)"),
        (UploadRequest(url="u", token="tok"), "UploadRequest(url='u', token=***)"),
    ],
)
def test_keys_and_tokens_are_not_shown(record: WireRecord, shown: str) -> None:
    assert repr(record) == shown
