"""The codec of all records: what goes out comes back, what a peer got wrong is a `PacketError`, what the caller got
wrong a `LocalProtocolError` that names the field."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import BOOL, BYTES, ENUM, INT32, INT64, MESSAGE, STRING, UINT32, UINT64, example
from support.strategies import (
    comparable,
    encode_field,
    holds_bad_packet,
    loose_messages,
    mutated,
    outcome,
    records,
    wire_records,
)

from mimc_proto import pb
from mimc_proto.errors import LocalProtocolError, PacketError
from mimc_proto.packets import (
    Bind,
    ConnAnswer,
    Direction,
    Group,
    Header,
    Kick,
    ListStatus,
    P2PMessage,
    P2PPush,
    Packet,
    PacketList,
    PacketType,
    Pull,
    RtsSignal,
    UcPacket,
    UcPing,
    UcPong,
    UnknownBody,
    UploadRequest,
    User,
    WireRecord,
)
from mimc_proto.packets.schema import BadPacket, Envelope, Field, text, without_unknown
from mimc_proto.packets.wire import FIXED32, FIXED64, GROUP_START, LENGTH, VARINT, expected_wire_type, walk

# So many classes have enough examples together.
each_a_few = settings(max_examples=settings().max_examples // 3 + 1)
every_record = pytest.mark.parametrize("cls", wire_records(), ids=lambda cls: cls.__name__)


def fields_where(**wanted: Any) -> list[Any]:
    return [
        pytest.param(cls, field, id=f"{cls.__name__}.{field.name}")
        for cls in wire_records()
        for field in cls.wire_fields
        if all(getattr(field, name) == value for name, value in wanted.items())
    ]


EVERY_FIELD = fields_where()


def packet_error(cls: type[WireRecord], data: bytes) -> PacketError:
    with pytest.raises(PacketError) as caught:
        cls.decode(data)
    return caught.value


def local_error(record: WireRecord) -> LocalProtocolError:
    with pytest.raises(LocalProtocolError) as caught:
        record.encode()
    return caught.value


def encode_value(field: Field, value: int | bytes) -> bytes:
    return encode_field(field.number, expected_wire_type(field.kind), value)


# -------------------------------------------------------------------------------------------------------- round trip


@every_record
@each_a_few
@given(data=st.data())
def test_what_is_encoded_decodes_to_the_same_record(cls: type[WireRecord], data: st.DataObject) -> None:
    record = data.draw(records(cls))
    assert comparable(cls.decode(record.encode())) == comparable(record)


@every_record
def test_a_record_with_all_its_fields_decodes_to_the_same_record(cls: type[WireRecord]) -> None:
    record = example(cls, full=True)
    assert cls.decode(record.encode()) == record


@every_record
def test_fields_are_written_in_ascending_order(cls: type[WireRecord]) -> None:
    record = example(cls, full=True).replace(unknown=b"\x98\x06\x01")
    if issubclass(cls, Envelope):  # an unknown type is an unknown field, and so comes last
        record = record.replace(body=RtsSignal() if cls is Packet else UcPong())
    numbers = [field.number for field in walk(record.encode())]
    assert numbers == sorted(numbers)
    assert len(numbers) > 1


@every_record
def test_a_field_left_out_is_not_written(cls: type[WireRecord]) -> None:
    required = {field.number for field in cls.wire_fields if field.required or field.default == b""}
    if issubclass(cls, Envelope):
        required |= {cls.message.DESCRIPTOR.fields_by_name[name].number for name in ("type", "payload")}
    assert {field.number for field in walk(example(cls).encode())} == required


@every_record
@each_a_few
@given(data=st.data())
def test_whatever_bytes_come_there_is_a_record_or_a_packet_error(cls: type[WireRecord], data: st.DataObject) -> None:
    encoded = data.draw(mutated(loose_messages(cls.message)) | loose_messages(cls.message) | st.binary(max_size=60))
    try:
        record = cls.decode(encoded)
    except PacketError as error:
        assert (error.offset or 0) <= len(encoded)  # noqa: PT017 (there may be none)
        return
    if not holds_bad_packet(record):
        assert comparable(cls.decode(record.encode())) == comparable(record)


@every_record
def test_a_record_survives_copying_and_pickling(cls: type[WireRecord]) -> None:
    record = example(cls, full=True)
    assert copy.copy(record) == copy.deepcopy(record) == pickle.loads(pickle.dumps(record)) == record


@every_record
def test_a_record_has_no_dict_and_cannot_be_changed(cls: type[WireRecord]) -> None:
    record = example(cls)
    assert not hasattr(record, "__dict__")
    with pytest.raises(AttributeError):
        record.unknown = b""  # type: ignore[attr-defined]


@every_record
def test_every_field_of_the_message_is_one_of_the_record(cls: type[WireRecord]) -> None:
    known = {field.wire_name for field in cls.wire_fields}
    if issubclass(cls, Envelope):
        known |= {"type", "payload"}
    assert known == set(cls.message.DESCRIPTOR.fields_by_name)


# ---------------------------------------------------------------------------------------------------- missing fields


@pytest.mark.parametrize(("cls", "field"), fields_where(required=True))
def test_a_required_field_that_did_not_come_is_named(cls: type[WireRecord], field: Field) -> None:
    whole = example(cls, full=True).encode()
    without = b"".join(whole[found.start : found.end] for found in walk(whole) if found.number != field.number)
    name = cls.message.DESCRIPTOR.name
    assert str(packet_error(cls, without)) == f"{name}.{field.wire_name}: expected this required field, got none"


@pytest.mark.parametrize(("cls", "field"), fields_where(required=True))
def test_a_required_field_that_is_none_cannot_be_encoded(cls: type[WireRecord], field: Field) -> None:
    error = local_error(example(cls).replace(**{field.name: None}))
    assert error.where == f"{cls.__name__}.{field.name}"
    assert error.problem.endswith(
        "got NoneType" if field.name in ("token", "sig", "challenge") else ("None", "NoneType")
    )


@pytest.mark.parametrize(("cls", "field"), [*fields_where(default=b""), *fields_where(default=())])
def test_a_field_with_a_default_is_not_none(cls: type[WireRecord], field: Field) -> None:
    assert local_error(example(cls).replace(**{field.name: None})).where == f"{cls.__name__}.{field.name}"


@pytest.mark.parametrize(("cls", "field"), fields_where(required=False, default=None))
def test_an_optional_field_that_did_not_come_is_none(cls: type[WireRecord], field: Field) -> None:
    assert getattr(cls.decode(example(cls).encode()), field.name) is None


@pytest.mark.parametrize(
    ("cls", "field"),
    [param for kind in (INT64, UINT64, INT32, UINT32, BOOL) for param in fields_where(required=False, kind=kind)],
)
def test_a_zero_that_came_is_not_none(cls: type[WireRecord], field: Field) -> None:
    data = example(cls).encode() + encode_value(field, 0)
    value = getattr(cls.decode(data), field.name)
    assert value == 0
    assert value is not None


@pytest.mark.parametrize(("cls", "field"), fields_where(required=False, kind=STRING))
def test_an_empty_text_that_came_is_not_none(cls: type[WireRecord], field: Field) -> None:
    assert getattr(cls.decode(example(cls).encode() + encode_value(field, b"")), field.name) == ""


def test_the_message_is_named_as_it_is_asked_for() -> None:
    with pytest.raises(PacketError) as caught:
        Header.decode(b"", "frame 7")
    assert str(caught.value) == "frame 7.cmd: expected this required field, got none"


# -------------------------------------------------------------------------------------------------------- broken text


@pytest.mark.parametrize(("cls", "field"), fields_where(kind=STRING))
def test_broken_text_is_named_by_its_field_and_first_bad_byte(cls: type[WireRecord], field: Field) -> None:
    error = packet_error(cls, example(cls).encode() + encode_value(field, b"a\xff"))
    name = cls.message.DESCRIPTOR.name
    assert str(error) == f"{name}.{field.wire_name} at byte 1: expected UTF-8 text"


def test_broken_text_in_a_nested_message_is_named_down_to_it() -> None:
    data = bytes.fromhex("1200 0a03 1201 ff")
    assert str(packet_error(P2PMessage, data)) == ("MIMCP2PMessage.from.appAccount at byte 0: expected UTF-8 text")


def test_broken_text_in_a_repeated_message_is_named_by_its_index() -> None:
    data = bytes.fromhex("1200 1203 1201 ff")
    assert packet_error(P2PPush, data).where == "P2PPushMesage.to[1].appAccount"


def test_text_that_protobuf_hands_out_as_text_is_taken_as_it_is() -> None:
    assert text("米聊", "it") == "米聊"


# ------------------------------------------------------------------------------------------------------- broken bytes


def test_bytes_that_are_no_message_are_an_error_at_the_first_broken_one() -> None:
    error = packet_error(Header, bytes.fromhex("2a0141 1a7f"))
    assert str(error) == "ClientHeader at byte 4: field 3 announces 127 bytes, only 0 are left"


def test_bytes_that_only_protobuf_minds_are_an_error_too() -> None:
    too_deep = bytes.fromhex("2a0141") + b"\xa3\x06" * 200 + b"\xa4\x06" * 200
    assert str(packet_error(Header, too_deep)) == "ClientHeader at byte 0: expected a protobuf message"


# -------------------------------------------------------------------------------------------------------------- enums


@pytest.mark.parametrize("number", [7, 99, -1, -(1 << 31), (1 << 31) - 1, 0])
def test_an_enum_number_that_nobody_knows_is_a_plain_number(number: int) -> None:
    header = Header(cmd="SECMSG", dir_flag=number)
    decoded = Header.decode(header.encode())
    assert decoded == header
    assert type(decoded.dir_flag) is int


@pytest.mark.parametrize("flag", list(Direction))
def test_an_enum_number_that_is_known_is_a_member(flag: Direction) -> None:
    assert Header.decode(Header(cmd="SECMSG", dir_flag=int(flag)).encode()).dir_flag is flag


def test_a_negative_enum_number_may_come_in_32_bits() -> None:
    assert Header.decode(bytes.fromhex("2a0141 40feffffff0f")) == Header(cmd="A", dir_flag=-2)


def test_of_several_unknown_enum_numbers_the_last_counts() -> None:
    assert Header.decode(bytes.fromhex("2a0141 4063 4064")) == Header(cmd="A", dir_flag=100)


def test_a_known_enum_number_wins_over_an_unknown_one() -> None:
    header = Header.decode(bytes.fromhex("2a0141 4002 4064"))
    assert header.dir_flag is Direction.CS_REQ


class Status(WireRecord, message=pb.MIMCPacketList, enums={"status": ListStatus}):
    """No record of MIMC requires an enum."""

    __slots__ = ()
    status: ListStatus | int
    unknown: bytes = b""


def test_a_required_enum_may_be_unknown_but_has_to_come() -> None:
    assert Status.decode(bytes.fromhex("2863")) == Status(status=99)
    assert str(packet_error(Status, b"")) == "MIMCPacketList.status: expected this required field, got none"


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1, 1 << 40, 1.0, "CS_REQ", b"\2", [2]], ids=repr)
def test_an_enum_field_takes_32_bits_and_nothing_else(value: Any) -> None:
    error = local_error(Header(cmd="A", dir_flag=value))
    assert error.where == "Header.dir_flag"
    assert error.problem.startswith("expected an enum member or its number, got ")


# ----------------------------------------------------------------------------------------------------- unknown fields


@every_record
@pytest.mark.parametrize(
    ("wire_type", "value"),
    [
        (VARINT, 0),
        (VARINT, (1 << 64) - 1),
        (FIXED64, bytes(range(8))),
        (LENGTH, b"anything"),
        (GROUP_START, b""),
        (GROUP_START, bytes.fromhex("0801 110102030405060708 1a026869 2501020304 2b3001 2c")),
        (FIXED32, bytes(range(4))),
    ],
)
def test_a_field_that_nobody_knows_survives(cls: type[WireRecord], wire_type: int, value: int | bytes) -> None:
    unknown = encode_field(2000, wire_type, value)
    record = example(cls).replace(unknown=unknown)
    assert cls.decode(record.encode()) == record


def test_unknown_fields_are_written_last() -> None:
    header = Header.decode(bytes.fromhex("9006012a0141"))
    assert header == Header(cmd="A", unknown=bytes.fromhex("900601"))
    assert header.encode() == bytes.fromhex("2a0141900601")


def test_unknown_fields_of_nested_messages_stay_where_they_were() -> None:
    message = P2PMessage(recipient=User(unknown=b"\x90\x06\x01"))
    assert P2PMessage.decode(message.encode()) == message


@pytest.mark.parametrize("field", ["0a0161", "1807"], ids=["a text for a number", "a number for a text"])
def test_a_known_field_of_another_wire_type_is_an_unknown_one(field: str) -> None:
    unknown = bytes.fromhex(field)
    assert Header.decode(unknown + bytes.fromhex("2a0141")) == Header(cmd="A", unknown=unknown)


@pytest.mark.parametrize("field", ["420161", "4563000000"], ids=["length-delimited", "32-bit"])
def test_an_enum_field_of_another_wire_type_is_an_unknown_one(field: str) -> None:
    assert Header.decode(bytes.fromhex("2a0141") + bytes.fromhex(field)) == Header(
        cmd="A", unknown=bytes.fromhex(field)
    )


@pytest.mark.parametrize("value", ["text", None, 5])
def test_unknown_fields_have_to_be_bytes(value: Any) -> None:
    expected = f"Header.unknown: expected bytes, got {type(value).__name__}"
    assert str(local_error(Header(cmd="A", unknown=value))) == expected


# ------------------------------------------------------------------------------------------------------- wrong values

WRONG: dict[int, list[Any]] = {
    INT64: [1 << 63, -(1 << 63) - 1, "5", 1.5, b"5"],
    UINT64: [1 << 64, -1, "5", 1.5, b"5"],
    INT32: [1 << 31, -(1 << 31) - 1, "5", 1.5, b"5"],
    UINT32: [1 << 32, -1, "5", 1.5, b"5"],
    BOOL: ["yes", 2, 1 << 64, b"1"],
    STRING: [5, b"bytes", "\ud800", ["text"]],
    BYTES: ["text", 5, bytearray(b"bytes"), ["bytes"]],
    MESSAGE: ["text", 5, b"", {}, Kick()],
    ENUM: ["text", 1.5, b"1", 1 << 31],
}
WANTED = {
    INT64: "an integer of 64 bits",
    UINT64: "an integer of 0 to 2**64 - 1",
    INT32: "an integer of 32 bits",
    UINT32: "an integer of 0 to 2**32 - 1",
    BOOL: "True or False",
    STRING: "text that UTF-8 can carry",
    BYTES: "bytes",
    ENUM: "an enum member or its number",
}


@pytest.mark.parametrize(("cls", "field"), EVERY_FIELD)
def test_a_value_of_the_wrong_kind_is_refused_by_the_name_of_its_field(cls: type[WireRecord], field: Field) -> None:
    wanted = WANTED.get(field.kind) or (field.record.__name__ if field.record else "")
    if field.repeated:
        wanted = f"a tuple of {wanted}"
    for value in WRONG[field.kind]:
        given = (value,) if field.repeated else value
        error = local_error(example(cls).replace(**{field.name: given}))
        assert error.where == f"{cls.__name__}.{field.name}"
        assert error.problem.startswith(f"expected {wanted}, got ")


@pytest.mark.parametrize(("cls", "field"), fields_where(repeated=True))
@pytest.mark.parametrize("value", [5, None, "text"])
def test_a_repeated_field_wants_a_tuple(cls: type[WireRecord], field: Field, value: Any) -> None:
    error = local_error(example(cls).replace(**{field.name: value}))
    assert str(error).startswith(f"{cls.__name__}.{field.name}: expected a tuple of ")


def test_a_wrong_value_in_a_nested_record_is_named_by_that_record() -> None:
    error = local_error(P2PMessage(recipient=User(uuid=-1)))
    assert str(error) == "User.uuid: expected an integer of 0 to 2**64 - 1, got -1"


def test_a_long_wrong_value_is_shown_by_its_beginning() -> None:
    error = local_error(Header(cmd="A", chid="x" * 1000))  # type: ignore[arg-type]
    assert str(error) == f"Header.chid: expected an integer of 32 bits, got '{'x' * 76}..."


def test_wrong_bytes_are_shown_by_their_length() -> None:
    error = local_error(Header(cmd="A", chid=b"secret"))  # type: ignore[arg-type]
    assert str(error) == "Header.chid: expected an integer of 32 bits, got <6 bytes>"


# ---------------------------------------------------------------------------------------------------------- envelopes


@pytest.mark.parametrize("cls", [Packet, UcPacket])
@pytest.mark.parametrize("number", [0, 13, 99, -1, -(1 << 31), (1 << 31) - 1])
def test_a_body_of_a_type_that_nobody_knows_survives(cls: type[Envelope], number: int) -> None:
    packet = example(cls).replace(body=UnknownBody(type=number, payload=b"anything"))
    assert cls.decode(packet.encode()) == packet


@pytest.mark.parametrize("cls", [Packet, UcPacket])
def test_the_type_of_an_envelope_is_required(cls: type[Envelope]) -> None:
    whole = example(cls).encode()
    number = cls.message.DESCRIPTOR.fields_by_name["type"].number
    without = b"".join(whole[found.start : found.end] for found in walk(whole) if found.number != number)
    name = cls.message.DESCRIPTOR.name
    assert str(packet_error(cls, without)) == f"{name}.type: expected this required field, got none"


@pytest.mark.parametrize("cls", [Packet, UcPacket])
def test_every_type_of_an_envelope_has_its_class(cls: type[Envelope]) -> None:
    kind = cls.message.DESCRIPTOR.fields_by_name["type"].enum_type
    assert set(cls.bodies) == set(kind.values_by_number)
    assert {number: body for body, number in cls.numbers.items()} == cls.bodies


def test_a_fault_in_a_body_is_named_by_the_type() -> None:
    error = packet_error(Packet, bytes.fromhex("2001 2a04 0a02 0801"))
    assert str(error) == "MIMCPacket.P2P_MESSAGE.to: expected this required field, got none"


def test_a_fault_in_the_body_of_a_body_is_named_by_both_types() -> None:
    user, join = bytes.fromhex("0a00"), bytes.fromhex("1003 1a00 220161")
    error = packet_error(Packet, bytes.fromhex("2008") + encode_field(5, LENGTH, user + join))
    assert str(error) == "MIMCPacket.UC_PACKET.JOIN.group: expected this required field, got none"


def test_a_payload_that_did_not_come_is_an_empty_one() -> None:
    assert Packet.decode(bytes.fromhex("2007")) == Packet(body=RtsSignal())
    assert Packet.decode(bytes.fromhex("2063")) == Packet(body=UnknownBody(type=99))


def test_a_known_type_wins_over_an_unknown_one() -> None:
    assert Packet.decode(bytes.fromhex("2063 2007")) == Packet(body=RtsSignal())


def test_an_opaque_body_keeps_its_payload() -> None:
    packet = UcPacket(user=User(), packet_id="a", body=UcPong(payload=b"\xff\xfe"))
    assert UcPacket.decode(packet.encode()) == packet


@pytest.mark.parametrize("body", [None, "text", Kick(), UcPing(), BadPacket(error=PacketError("broken"))], ids=repr)
def test_what_is_no_body_is_refused_with_those_that_are(body: Any) -> None:
    error = local_error(Packet(body=body))
    assert error.where == "Packet.body"
    assert error.problem.startswith("expected one of OnlineMessage, OnlineMessageAck, P2PMessage, ")
    assert error.problem.endswith(f", UnknownBody; got {type(body).__name__}")


@pytest.mark.parametrize("number", ["x", None, 1 << 31, -(1 << 31) - 1, 1.5, [1]], ids=repr)
def test_the_type_of_an_unknown_body_is_a_number_of_32_bits(number: Any) -> None:
    error = local_error(Packet(body=UnknownBody(type=number)))
    assert str(error) == f"UnknownBody.type: expected an integer of 32 bits, got {number!r}"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (RtsSignal(payload="the text"), "RtsSignal.payload"),  # type: ignore[arg-type]
        (UnknownBody(type=99, payload="the text"), "UnknownBody.payload"),  # type: ignore[arg-type]
        (UnknownBody(type=1, payload="the text"), "UnknownBody.payload"),  # type: ignore[arg-type]
    ],
)
def test_an_opaque_payload_has_to_be_bytes(body: Any, where: str) -> None:
    assert str(local_error(Packet(body=body))) == f"{where}: expected bytes, got str"


# ------------------------------------------------------------------------------------------------------------ secrets

SECRET = "QXZJVKWYQXZJVKWY"
SECRET_FIELDS = [
    pytest.param(cls, field, id=f"{cls.__name__}.{field.name}")
    for cls in wire_records()
    for field in cls.wire_fields
    if field.name in cls._secret
]


def test_the_records_with_secrets_are_known() -> None:
    assert {param.id for param in SECRET_FIELDS} == {
        "Bind.token",
        "Bind.sig",
        "ConnAnswer.challenge",
        "ConnAnswer.session_key",
        "UploadRequest.token",
    }


@pytest.mark.parametrize(("cls", "field"), SECRET_FIELDS)
@pytest.mark.parametrize(
    "disguise",
    [
        str,
        str.encode,
        lambda text: (text,),
        lambda text: [text],
        lambda text: {text: text},
        lambda text: text + "\ud800",
    ],
    ids=["text", "bytes", "tuple", "list", "dict", "broken text"],
)
def test_neither_a_repr_nor_an_error_shows_a_secret(cls: type[WireRecord], field: Field, disguise: Any) -> None:
    record = example(cls).replace(**{field.name: disguise(SECRET)})
    assert "QXZJ" not in repr(record)
    try:
        record.encode()
    except LocalProtocolError as error:
        problem = f"{error} {error!r} {error.args}"
    else:
        problem = ""
    assert "QXZJ" not in problem


@pytest.mark.parametrize(
    "record", [Bind(token=SECRET, sig=SECRET), ConnAnswer(challenge=SECRET), UploadRequest(token=SECRET)]
)
@given(cut=st.integers(0, 60), flip=st.integers(0, 479))
def test_no_error_of_decoding_shows_a_secret(record: WireRecord, cut: int, flip: int) -> None:
    data = bytearray(record.encode())
    data[flip // 8 % len(data)] ^= 1 << flip % 8
    shown = str(outcome(type(record).decode, bytes(data[:cut])))
    assert "PacketError" not in shown or "QXZJ" not in shown


@pytest.mark.parametrize("payload", ["QXZJ the text of a message", ("QXZJ",), ["QXZJ"]])
def test_no_error_shows_the_text_of_a_message(payload: Any) -> None:
    assert "QXZJ" not in str(local_error(P2PMessage(recipient=User(), payload=payload)))


# -------------------------------------------------------------------------------------------------------- bad packets


def test_a_field_may_be_required_of_a_peer_though_a_caller_may_leave_it_out() -> None:
    assert Pull().uuid is None
    with pytest.raises(PacketError, match="uuid: expected this required field, got none"):
        Pull.decode(b"")


def test_a_bad_packet_inside_a_list_has_no_header_of_its_own() -> None:
    assert BadPacket(error=PacketError("broken"), inside_list=True).header_id == ""


def test_a_bad_packet_is_a_whole_one_unless_a_list_says_so() -> None:
    assert BadPacket(error=PacketError("broken")).inside_list is False


def test_a_bad_packet_cannot_be_encoded() -> None:
    error = local_error(PacketList(packets=(BadPacket(error=PacketError("broken")),)))
    assert error.where == "PacketList.packets"


def test_repeated_records_may_come_as_any_sequence() -> None:
    assert UcPing(groups=[Group(topic_id=1)]).encode() == UcPing(groups=(Group(topic_id=1),)).encode()  # type: ignore[arg-type]


def test_status_and_type_decode_to_members() -> None:
    packet = Packet(body=PacketList(status=2))
    decoded = Packet.decode(packet.encode())
    assert isinstance(decoded.body, PacketList)
    assert decoded.body.status is ListStatus.EXCEED_COUNT_LIMIT
    assert Packet.numbers[PacketList] == PacketType.COMPOUND


@pytest.mark.parametrize(("size", "offset"), [(16 * 1024, 16 * 1024), (16 * 1024 + 1, 0)])
def test_the_place_is_only_searched_for_in_messages_of_a_usual_size(size: int, offset: int) -> None:
    """The tag at the end is cut off; in a longer message nobody looks for it."""
    head = len(encode_field(99, LENGTH, bytes(16_000))) - 16_000
    data = encode_field(99, LENGTH, bytes(size - head - 1)) + b"\x2a"
    assert len(data) == size
    with pytest.raises(PacketError) as caught:
        Packet.decode(data)
    assert caught.value.offset == offset


def test_a_message_of_too_many_unknown_fields_is_refused() -> None:
    field = encode_field(99, VARINT, 1)
    assert User.decode(field * 256).unknown == field * 256
    with pytest.raises(PacketError, match=r"^MIMCUser: expected at most 256 unknown fields, got 257"):
        User.decode(field * 257)


def test_only_bytes_are_decoded() -> None:
    with pytest.raises(LocalProtocolError, match=r"^MIMCPacket: expected bytes, got str"):
        Packet.decode("abc")  # type: ignore[arg-type]


def test_unknown_fields_inside_that_are_no_protobuf_are_the_callers_mistake() -> None:
    broken = P2PMessage(recipient=User(unknown=b"\xff\xff"))
    with pytest.raises(LocalProtocolError, match=r"P2PMessage\.recipient"):
        broken.encode()


def test_unknown_fields_can_be_dropped_at_every_depth() -> None:
    user = User(account="a", unknown=b"\xf8\x06\x01")
    ping = UcPing(groups=(Group(topic_id=1, unknown=b"\xf8\x06\x01"),), unknown=b"\xf8\x06\x01")
    packet = Packet(body=UcPacket(user=user, packet_id="p", body=ping), unknown=b"\xf8\x06\x01")
    clean = UcPacket(user=User(account="a"), packet_id="p", body=UcPing(groups=(Group(topic_id=1),)))
    assert without_unknown(packet) == Packet(body=clean)


def test_a_field_that_comes_too_often_is_refused() -> None:
    group = encode_field(1, LENGTH, b"")
    assert len(UcPing.decode(group * 4096).groups) == 4096
    with pytest.raises(PacketError, match=r"^UCPing\.group: expected at most 4096 of these, got 4097"):
        UcPing.decode(group * 4097)
