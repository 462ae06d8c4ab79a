"""The encoders of the hot path write what the schema would write of the same records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import BYTES, INT32, INT64, SCALARS, STRING, UINT64, mutated, records

from mimc_proto.errors import PacketError, RemoteProtocolError
from mimc_proto.framing import join_body, split_body
from mimc_proto.packets import Direction, Group, Header, P2PMessage, P2TMessage, Packet, PacketAck, SequenceAck, User
from mimc_proto.packets.encoders import AckEncoder, HeaderTemplate, MessageEncoder

texts = SCALARS[STRING]
payloads = SCALARS[BYTES] | st.sampled_from(
    [bytes(size) for size in (127, 128, 1023, 1024, 1025, 16383, 16384, 20_000)]
)

headers = records(Header)
go_up = Header(
    chid=9,
    uuid=5,
    server="xiaomi.com",
    resource="pc",
    cmd="SECMSG",
    id="id_1",
    dir_flag=Direction.CS_REQ,
    cipher=1,
)
webjs_up = Header(chid=9, uuid=5, server="xiaomi.com", resource="pc", cmd="SECMSG", id="id_1")
cloud_down = go_up.replace(subcmd="", dir_flag=Direction.SC_ONEWAY)
USUAL = [go_up, webjs_up, cloud_down]


# ------------------------------------------------------------------------------------------------------------- headers


@given(headers, texts)
@example(go_up, "x" * 127)
@example(go_up, "x" * 128)
@example(go_up, "x" * 1023)
@example(go_up, "x" * 1024)
@example(go_up, "x" * 20_000)
def test_a_template_writes_the_header_with_any_id(header: Header, packet_id: str) -> None:
    assert HeaderTemplate(header).encode(packet_id.encode()) == header.replace(id=packet_id).encode()


@given(headers, st.text(max_size=63), payloads)
@example(go_up, "x" * 127, b"")
@example(go_up, "x" * 128, b"")
@example(go_up, "x" * 255, b"")
def test_a_template_writes_the_body_of_a_frame_with_any_id(header: Header, packet_id: str, payload: bytes) -> None:
    whole = join_body(header.replace(id=packet_id).encode(), payload)
    assert HeaderTemplate(header).join(packet_id.encode(), payload) == whole


@given(headers, st.text(st.characters(codec="ascii"), max_size=127))
def test_a_template_recognises_the_header_with_any_short_id(header: Header, packet_id: str) -> None:
    assert HeaderTemplate(header).match(header.replace(id=packet_id).encode()) == packet_id


@given(headers, headers)
def test_a_template_recognises_no_other_header(header: Header, other: Header) -> None:
    packet_id = HeaderTemplate(header).match(other.encode())
    assert packet_id is None or other == header.replace(id=packet_id)


@given(headers, st.data())
def test_a_template_recognises_broken_bytes_only_if_they_are_the_same_header(
    header: Header, data: st.DataObject
) -> None:
    broken = data.draw(mutated(st.just(header.encode())))
    packet_id = HeaderTemplate(header).match(broken)
    assert packet_id is None or Header.decode(broken) == header.replace(id=packet_id)


@pytest.mark.parametrize("header", USUAL)
def test_a_template_recognises_no_cut_of_a_header(header: Header) -> None:
    whole = header.encode()
    template = HeaderTemplate(header)
    assert [template.match(whole[:end]) for end in range(len(whole))] == [None] * len(whole)


@pytest.mark.parametrize("header", USUAL)
def test_a_template_recognises_a_changed_header_only_by_its_id(header: Header) -> None:
    whole, template = header.encode(), HeaderTemplate(header)
    for place in range(len(whole)):
        for flipped in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            changed = whole[:place] + bytes([whole[place] ^ flipped]) + whole[place + 1 :]
            packet_id = template.match(changed)
            assert packet_id is None or Header.decode(changed) == header.replace(id=packet_id)


@pytest.mark.parametrize("header", USUAL)
def test_an_id_that_is_no_text_is_not_recognised(header: Header) -> None:
    whole = header.encode().replace(b"id_1", b"id_\xff")
    assert HeaderTemplate(header).match(whole) is None


@pytest.mark.parametrize("header", USUAL)
def test_an_id_of_128_bytes_is_left_to_the_schema(header: Header) -> None:
    assert HeaderTemplate(header).match(header.replace(id="x" * 128).encode()) is None


@pytest.mark.parametrize("header", USUAL)
@pytest.mark.parametrize("size", [128, 129, 200, 255])
def test_a_length_of_two_bytes_is_not_taken_for_one(header: Header, size: int) -> None:
    data = header.encode().replace(b":\x04id_1", b":" + bytes([size]) + b"\x01" * size)
    assert HeaderTemplate(header).match(data) is None


@pytest.mark.parametrize("header", USUAL)
def test_bytes_after_the_header_are_not_ignored(header: Header) -> None:
    assert HeaderTemplate(header).match(header.encode() + b"\x0a") is None


@pytest.mark.parametrize("header", USUAL)
def test_a_template_is_learnt_from_a_header_as_protobuf_writes_it(header: Header) -> None:
    template = HeaderTemplate.learn(header.encode(), header)
    assert template is not None
    assert template.match(header.replace(id="other").encode()) == "other"


def test_no_template_is_learnt_from_fields_in_another_order() -> None:
    data = bytes.fromhex("2a0141 3a0162 0809")
    assert HeaderTemplate.learn(data, Header.decode(data)) is None


def test_no_template_is_learnt_from_a_header_without_an_id() -> None:
    header = go_up.replace(id=None)
    assert HeaderTemplate.learn(header.encode(), header) is None


@given(headers)
def test_a_learnt_template_writes_the_header_it_was_learnt_from(header: Header) -> None:
    template = HeaderTemplate.learn(header.encode(), header)
    assert template is None or template.encode((header.id or "").encode()) == header.encode()


@pytest.mark.parametrize("header", USUAL)
def test_a_template_knows_whether_payloads_are_encrypted(header: Header) -> None:
    assert HeaderTemplate(header).cipher == header.cipher


# -------------------------------------------------------------------------------------------------------------- bodies


def slow_open(body: bytes, header: Header) -> tuple[str, bytes] | None:
    """Id and payload of a body with this header (but for its id), found without a template."""
    try:
        header_bytes, payload = split_body(body)
        found = Header.decode(header_bytes)
    except (RemoteProtocolError, PacketError):
        return None
    same = found.id is not None and found == header.replace(id=found.id)
    return (found.id or "", payload) if same else None


@given(headers, st.text(st.characters(codec="ascii"), max_size=127), st.binary(max_size=40))
def test_a_body_is_opened_into_id_and_payload(header: Header, packet_id: str, payload: bytes) -> None:
    body = join_body(header.replace(id=packet_id).encode(), payload)
    assert HeaderTemplate(header).open(body) == (packet_id, payload)


@given(headers, headers, st.binary(max_size=40))
def test_a_body_with_another_header_is_not_opened(header: Header, other: Header, payload: bytes) -> None:
    body = join_body(other.encode(), payload)
    assert HeaderTemplate(header).open(body) in (None, slow_open(body, header))


@given(st.sampled_from(USUAL), st.binary(max_size=40), st.data())
def test_broken_bodies_are_opened_only_as_they_would_be_without_a_template(
    header: Header, payload: bytes, data: st.DataObject
) -> None:
    body = data.draw(mutated(st.just(join_body(header.encode(), payload))))
    assert HeaderTemplate(header).open(body) in (None, slow_open(body, header))


@pytest.mark.parametrize("header", USUAL)
@pytest.mark.parametrize("payload", [b"", b"payload"])
def test_no_cut_or_changed_body_is_opened_wrongly(header: Header, payload: bytes) -> None:
    whole, template = join_body(header.encode(), payload), HeaderTemplate(header)
    changed = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    for body in [*changed, *(whole[:end] for end in range(len(whole))), whole + b"x"]:
        assert template.open(body) in (None, slow_open(body, header))


# ------------------------------------------------------------------------------------------------------------ messages

senders = st.builds(User, app_id=SCALARS[UINT64], account=texts, uuid=SCALARS[UINT64], resource=texts)


@given(senders, texts, texts, texts, payloads, st.booleans(), st.none() | texts)
def test_a_message_to_a_user_is_written_as_the_schema_writes_it(
    sender: User, package: str, packet_id: str, account: str, payload: bytes, is_store: bool, biz_type: str | None
) -> None:
    body = P2PMessage(
        sender=sender,
        recipient=User(app_id=sender.app_id, account=account),
        payload=payload,
        is_store=is_store,
        biz_type=biz_type,
    )
    encoded = MessageEncoder(sender, package).p2p(
        packet_id.encode(), account.encode(), payload, is_store, None if biz_type is None else biz_type.encode()
    )
    assert encoded == Packet(packet_id=packet_id, package=package, body=body).encode()


@given(senders, texts, texts, SCALARS[UINT64], payloads, st.booleans(), st.none() | texts)
def test_a_message_to_a_group_is_written_as_the_schema_writes_it(
    sender: User, package: str, packet_id: str, topic_id: int, payload: bytes, is_store: bool, biz_type: str | None
) -> None:
    body = P2TMessage(
        sender=sender,
        recipient=Group(app_id=sender.app_id, topic_id=topic_id),
        payload=payload,
        is_store=is_store,
        biz_type=biz_type,
    )
    encoded = MessageEncoder(sender, package).p2t(
        packet_id.encode(), topic_id, payload, is_store, None if biz_type is None else biz_type.encode()
    )
    assert encoded == Packet(packet_id=packet_id, package=package, body=body).encode()


@given(senders, texts, texts, st.integers(0, (1 << 63) - 1))
@example(User(app_id=0, account="", uuid=0, resource=""), "", "m", 0)
def test_a_sequence_ack_is_written_as_the_schema_writes_it(
    sender: User, package: str, packet_id: str, sequence: int
) -> None:
    body = SequenceAck(uuid=sender.uuid, resource=sender.resource, sequence=sequence, app_id=sender.app_id)
    encoded = MessageEncoder(sender, package).sequence_ack(packet_id.encode(), sequence)
    assert encoded == Packet(packet_id=packet_id, package=package, body=body).encode()


@pytest.mark.parametrize("is_store", [True, False])
@pytest.mark.parametrize("biz_type", [None, "", "TEXT"])
def test_one_encoder_writes_many_messages(is_store: bool, biz_type: str | None) -> None:
    sender = User(app_id=1, account="alice", uuid=2, resource="pc")
    encoder = MessageEncoder(sender, "app")
    biz = None if biz_type is None else biz_type.encode()
    for n in range(3):
        data = encoder.p2p(b"id_%d" % n, b"bob", b"hello", is_store, biz)
        packet = Packet.decode(data)
        assert packet.packet_id == f"id_{n}"
        assert packet.body == P2PMessage(
            sender=sender,
            recipient=User(app_id=1, account="bob"),
            payload=b"hello",
            is_store=is_store,
            biz_type=biz_type,
        )


# ---------------------------------------------------------------------------------------------------- acknowledgements


def ack_of(owner: tuple[int, str, str], **fields: Any) -> Packet:
    """The packet that an `AckEncoder` of this owner writes."""
    uuid, resource, package = owner
    body = PacketAck(
        packet_id=fields["packet_id"],
        uuid=uuid,
        resource=resource,
        sequence=fields["sequence"],
        timestamp=fields["timestamp"],
        package=package,
        error_message=fields["error_message"],
        code=fields["code"],
        conv_index=fields["conv_index"],
    )
    return Packet(
        packet_id=fields["outer_id"],
        package=package,
        sequence=fields["sequence"],
        timestamp=fields["timestamp"],
        body=body,
    )


def encode_ack(owner: tuple[int, str, str], **fields: Any) -> bytes:
    for name in ("outer_id", "packet_id", "error_message"):
        fields[name] = fields[name].encode()
    return AckEncoder(*owner).encode(**fields)


FIELDS: dict[str, Any] = {
    "outer_id": "o",
    "packet_id": "p",
    "sequence": 7,
    "timestamp": 8,
    "code": 0,
    "error_message": "",
    "conv_index": None,
}
OWNER = (5, "pc", "app")


@given(
    st.tuples(SCALARS[UINT64], texts, texts),
    st.fixed_dictionaries(
        {
            "outer_id": texts,
            "packet_id": texts,
            "sequence": SCALARS[INT64],
            "timestamp": SCALARS[INT64],
            "code": SCALARS[INT32],
            "error_message": texts,
            "conv_index": st.none() | SCALARS[INT64],
        }
    ),
)
def test_an_ack_is_written_as_the_schema_writes_it(owner: tuple[int, str, str], fields: dict[str, Any]) -> None:
    assert encode_ack(owner, **fields) == ack_of(owner, **fields).encode()


@pytest.mark.parametrize("name", ["sequence", "timestamp", "conv_index"])
@pytest.mark.parametrize(
    "value",
    [*(1 << bits for bits in range(63)), *((1 << bits) - 1 for bits in range(64)), -1, -(1 << 63)],
)
def test_a_number_of_any_length_is_written_as_the_schema_writes_it(name: str, value: int) -> None:
    fields = {**FIELDS, name: value}
    assert encode_ack(OWNER, **fields) == ack_of(OWNER, **fields).encode()


@pytest.mark.parametrize("code", [0, 1, 100, 127, 128, 200, 1023, 1024, (1 << 31) - 1, -1, -(1 << 31)])
def test_a_code_of_any_length_is_written_as_the_schema_writes_it(code: int) -> None:
    fields = {**FIELDS, "code": code}
    assert encode_ack(OWNER, **fields) == ack_of(OWNER, **fields).encode()


def test_rising_sequences_are_written_one_after_the_other() -> None:
    encoder = AckEncoder(*OWNER)
    for sequence in range(15_263_541_607_720_001, 15_263_541_607_720_001 + (1 << 30), 99_999_989):
        data = encoder.encode(b"o", b"p", sequence, sequence // 10_000, 0, b"", None)
        expected = ack_of(OWNER, **{**FIELDS, "sequence": sequence, "timestamp": sequence // 10_000})
        assert Packet.decode(data) == expected
