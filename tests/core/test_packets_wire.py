"""Protobuf's wire format: fields are walked in order, and the first broken byte is found."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import any_field, loose_messages, mutated

from mimc_proto import pb
from mimc_proto.errors import PacketError
from mimc_proto.packets.wire import (
    FIXED32,
    FIXED64,
    GROUP_END,
    GROUP_START,
    LENGTH,
    MAX_FIELD_NUMBER,
    VARINT,
    WIRE_TYPE_NAMES,
    WireField,
    encode_tag,
    encode_varint,
    expected_wire_type,
    find_fault,
    read_varint,
    text_fault,
    walk,
)

UINT64 = st.integers(0, (1 << 64) - 1)
fields = st.lists(any_field(st.integers(1, MAX_FIELD_NUMBER), st.just(b"")), max_size=5)


def walk_error(data: str) -> PacketError:
    with pytest.raises(PacketError) as caught:
        list(walk(bytes.fromhex(data)))
    return caught.value


def fault(data: str, message: Any = pb.MIMCPacket, where: str = "MIMCPacket") -> PacketError:
    found = find_fault(bytes.fromhex(data), message.DESCRIPTOR, where)
    assert found is not None
    return found


# ----------------------------------------------------------------------------------------------------------- varints


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        ((1 << 64) - 1, "ffffffffffffffffff01"),
        (-1, "ffffffffffffffffff01"),
        (-(1 << 63), "80808080808080808001"),
    ],
)
def test_a_varint_has_seven_bits_a_byte_and_negative_numbers_ten_bytes(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded


@given(UINT64, st.binary(max_size=3))
@example(127, b"")
@example(128, b"")
def test_a_varint_reads_back_wherever_it_stands(value: int, around: bytes) -> None:
    encoded = encode_varint(value)
    assert read_varint(around + encoded + around, len(around)) == (value, len(around) + len(encoded))


@given(st.integers(-(1 << 63), -1))
def test_a_negative_number_reads_back_as_its_64_bits(value: int) -> None:
    assert read_varint(encode_varint(value), 0)[0] == value + (1 << 64)


def test_bits_beyond_the_64th_are_dropped() -> None:
    assert read_varint(bytes.fromhex("ffffffffffffffffff7f"), 0) == ((1 << 64) - 1, 10)


@pytest.mark.parametrize("data", ["", "80", "ffff"])
def test_a_varint_cut_off_is_an_error_at_the_end(data: str) -> None:
    with pytest.raises(PacketError) as caught:
        read_varint(bytes.fromhex(data), 0)
    expected = f"byte {len(data) // 2}: a varint is cut off by the end of the message"
    assert str(caught.value) == expected


def test_a_varint_of_more_than_ten_bytes_is_an_error_where_it_begins() -> None:
    with pytest.raises(PacketError) as caught:
        read_varint(b"\x01" + b"\x80" * 10 + b"\x01", 1)
    assert str(caught.value) == "byte 1: expected a varint of at most 10 bytes"


def test_a_tag_is_number_and_wire_type() -> None:
    assert encode_tag(1, LENGTH) == b"\x0a"
    assert encode_tag(MAX_FIELD_NUMBER, FIXED32) == bytes.fromhex("fdffffff0f")


# ------------------------------------------------------------------------------------------------------------ walking


def test_fields_come_with_their_places() -> None:
    data = bytes.fromhex("0801 12026869 190102030405060708 2501020304")
    assert list(walk(data)) == [
        WireField(1, VARINT, 1, 0, 1, 2),
        WireField(2, LENGTH, b"hi", 2, 4, 6),
        WireField(3, FIXED64, bytes(range(1, 9)), 6, 7, 15),
        WireField(4, FIXED32, bytes(range(1, 5)), 15, 16, 20),
    ]


def test_places_count_from_a_base() -> None:
    assert list(walk(b"\x08\x01\x12\x00", 100)) == [
        WireField(1, VARINT, 1, 100, 101, 102),
        WireField(2, LENGTH, b"", 102, 104, 104),
    ]


def test_an_empty_message_has_no_fields() -> None:
    assert list(walk(b"")) == []


def test_a_group_is_one_field_with_its_inside_and_its_end() -> None:
    data = bytes.fromhex("0b 1001 1b 1c 0c 2801")
    assert list(walk(data)) == [
        WireField(1, GROUP_START, bytes.fromhex("1001 1b 1c 0c"), 0, 1, 6),
        WireField(5, VARINT, 1, 6, 7, 8),
    ]


def test_a_group_may_hold_any_field() -> None:
    data = bytes.fromhex("0b 0801 110102030405060708 1a026869 2501020304 0c")
    assert [field.end for field in walk(data)] == [len(data)]


def test_groups_nested_a_thousand_deep_are_walked() -> None:
    data = b"\x0b" * 1000 + b"\x0c" * 1000
    assert [field.end for field in walk(data)] == [2000]


@given(fields)
def test_the_fields_of_a_message_are_all_walked_and_cover_it(parts: list[bytes]) -> None:
    data = b"".join(parts)
    found = list(walk(data))
    assert [data[field.start : field.end] for field in found] == parts


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("08", "byte 1: a varint is cut off by the end of the message"),
        ("80", "byte 1: a varint is cut off by the end of the message"),
        ("0800 12056869", "byte 3: field 2 announces 5 bytes, only 2 are left"),
        ("1901020304", "byte 1: field 3 announces 8 bytes, only 4 are left"),
        ("250102", "byte 1: field 4 announces 4 bytes, only 2 are left"),
        ("00", "byte 0: expected a field number of 1 to 536870911, got 0"),
        ("0800 8280808010", "byte 2: expected a field number of 1 to 536870911, got 536870912"),
        ("0e", "byte 0: expected a wire type of 0 to 5, got 6 in field 1"),
        ("0f", "byte 0: expected a wire type of 0 to 5, got 7 in field 1"),
        ("0c", "byte 0: field 1 ends a group that was not begun"),
        ("0801 0c", "byte 2: field 1 ends a group that was not begun"),
        ("0b", "byte 1: group 1 is cut off by the end of the message"),
        ("0b13", "byte 2: group 2 is cut off by the end of the message"),
        ("0b14", "byte 1: field 2 ends another group than the one begun"),
        ("0b08", "byte 2: a varint is cut off by the end of the message"),
        ("0b12056869", "byte 2: field 2 announces 5 bytes, only 2 are left"),
        ("0880808080808080808080 01", "byte 1: expected a varint of at most 10 bytes"),
    ],
)
def test_the_first_broken_byte_is_named(data: str, message: str) -> None:
    assert str(walk_error(data)) == message


def test_fields_before_a_broken_one_are_still_given() -> None:
    walked = walk(bytes.fromhex("0801 0f"))
    assert next(walked).number == 1
    with pytest.raises(PacketError):
        next(walked)


def test_broken_bytes_are_counted_from_the_base() -> None:
    with pytest.raises(PacketError) as caught:
        list(walk(b"\x08\x01\x0f", 100))
    assert caught.value.offset == 102


@given(st.binary(max_size=60))
def test_garbage_is_walked_to_its_end_or_to_a_packet_error_inside_it(data: bytes) -> None:
    end = 0
    broken: int | None = len(data)
    try:
        for field in walk(data):
            assert field.start == end
            end = field.end
    except PacketError as error:
        broken = error.offset
    assert broken is not None
    assert end <= broken <= len(data)


# ------------------------------------------------------------------------------------------------------- find_fault


@pytest.mark.parametrize(
    ("kind", "wire_type"),
    [
        (FieldDescriptor.TYPE_STRING, LENGTH),
        (FieldDescriptor.TYPE_BYTES, LENGTH),
        (FieldDescriptor.TYPE_MESSAGE, LENGTH),
        (FieldDescriptor.TYPE_DOUBLE, FIXED64),
        (FieldDescriptor.TYPE_FIXED64, FIXED64),
        (FieldDescriptor.TYPE_SFIXED64, FIXED64),
        (FieldDescriptor.TYPE_FLOAT, FIXED32),
        (FieldDescriptor.TYPE_FIXED32, FIXED32),
        (FieldDescriptor.TYPE_SFIXED32, FIXED32),
        (FieldDescriptor.TYPE_INT64, VARINT),
        (FieldDescriptor.TYPE_UINT32, VARINT),
        (FieldDescriptor.TYPE_SINT64, VARINT),
        (FieldDescriptor.TYPE_BOOL, VARINT),
        (FieldDescriptor.TYPE_ENUM, VARINT),
    ],
)
def test_every_protobuf_type_has_its_wire_type(kind: int, wire_type: int) -> None:
    assert expected_wire_type(kind) == wire_type


def test_every_wire_type_has_a_name() -> None:
    assert len(WIRE_TYPE_NAMES) == 6
    assert WIRE_TYPE_NAMES[GROUP_END] == "group end"


def test_a_whole_message_has_no_fault() -> None:
    data = pb.MIMCPacket(packetId="a", payload=b"\xff\xff").SerializeToString()
    assert find_fault(data, pb.MIMCPacket.DESCRIPTOR, "MIMCPacket") is None


def test_a_fault_after_whole_text_and_a_whole_nested_message_is_found() -> None:
    error = fault("0a03120161 2a0178 08", pb.MIMCP2PMessage, "MIMCP2PMessage")
    assert (error.where, error.offset) == ("MIMCP2PMessage", 9)


def test_a_fault_in_the_message_itself_is_named_by_the_message() -> None:
    assert str(fault("0a0161 2a05")) == "MIMCPacket at byte 4: field 5 announces 5 bytes, only 0 are left"


def test_a_fault_in_a_nested_message_is_named_down_to_it_and_counted_from_the_outermost() -> None:
    error = fault("0a04 0801 1205", pb.MIMCP2PMessage, "MIMCP2PMessage")
    assert str(error) == "MIMCP2PMessage.from at byte 5: field 2 announces 5 bytes, only 0 are left"


def test_broken_text_is_named_by_its_field_and_first_bad_byte() -> None:
    assert str(fault("0a0361ff62")) == "MIMCPacket.packetId at byte 3: expected UTF-8 text"


def test_broken_text_in_a_nested_message_is_found() -> None:
    error = fault("1800 0a04 1202 61ff", pb.MIMCP2PMessage, "MIMCP2PMessage")
    assert str(error) == "MIMCP2PMessage.from.appAccount at byte 7: expected UTF-8 text"


def test_the_first_of_two_faults_is_found() -> None:
    assert fault("0a01ff 1201ff").where == "MIMCPacket.packetId"


def test_unknown_fields_and_other_wire_types_hold_no_text() -> None:
    data = bytes.fromhex("0a0161 0801 7a01ff 1d01020304 0b1a01ff0c")
    assert find_fault(data, pb.MIMCPacket.DESCRIPTOR, "MIMCPacket") is None


def test_a_text_field_of_another_wire_type_is_no_fault_of_its_text() -> None:
    assert find_fault(bytes.fromhex("0805"), pb.MIMCPacket.DESCRIPTOR, "MIMCPacket") is None


def test_a_fault_is_counted_from_a_base() -> None:
    found = find_fault(b"\x0a\x01\xff", pb.MIMCPacket.DESCRIPTOR, "MIMCPacket", 100)
    assert found is not None
    assert found.offset == 102


@pytest.mark.parametrize("message", [pb.MIMCPacket, pb.MIMCP2PMessage, pb.MIMCPacketList, pb.ClientHeader])
@given(data=st.data())
def test_what_protobuf_refuses_has_a_fault_and_what_it_takes_has_broken_text_at_most(
    message: Any, data: st.DataObject
) -> None:
    # Short enough for protobuf's own limits (tags of five bytes, a hundred groups) not to matter.
    encoded = data.draw(mutated(loose_messages(message)) | loose_messages(message) | st.binary(max_size=4))
    found = find_fault(encoded, message.DESCRIPTOR, "it")
    try:
        message.FromString(encoded)
    except DecodeError:
        assert found is not None or overlong_tag(encoded)
    else:
        assert found is None or found.problem == "expected UTF-8 text"


def overlong_tag(data: bytes) -> bool:
    """Whether a tag may have been written with more bytes than it needs, which protobuf refuses at times."""
    return any(data[n] & 0x80 and data[n + 1] in (0, 0x80) for n in range(len(data) - 1))


@given(st.text(st.characters(codec="utf-8")))
def test_text_in_utf_8_has_no_fault(text: str) -> None:
    assert text_fault(text.encode(), "it") is None


@pytest.mark.parametrize(("value", "offset"), [(b"\xff", 0), (b"ab\xc3", 2), (b"a\xed\xa0\x80", 1), (b"\xc0\x80", 0)])
def test_text_that_is_no_utf_8_has_a_fault_at_its_first_bad_byte(value: bytes, offset: int) -> None:
    for found, base in ((text_fault(value, "it"), 0), (text_fault(value, "it", 10), 10)):
        assert found is not None
        assert (found.where, found.offset) == ("it", base + offset)
