"""Lists of messages are written as the schema would write them, each message once for all its lists."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import BYTES, SCALARS, STRING, UINT64

from mimc_proto.errors import LocalProtocolError
from mimc_proto.packets import Group, ListStatus, P2PMessage, P2TMessage, Packet, PacketList, User
from mimc_proto.packets.lists import ListEncoder, ListItem, group_side, list_item, user_side

texts = SCALARS[STRING]
names = texts.filter(bool)
ids = SCALARS[UINT64]
numbers = st.sampled_from([1, 127, 128, 1 << 28, (1 << 63) - 1]) | st.integers(1, (1 << 63) - 1)
sizes = st.sampled_from([bytes(size) for size in (127, 128, 1023, 1024, 1025, 16_383, 16_384, 20_000)])
payloads = SCALARS[BYTES] | sizes

ALICE = User(app_id=1, account="alice", uuid=2, resource="pc")
BOB = User(app_id=1, account="bob", uuid=3)


def side(user: User) -> bytes:
    return user_side(user.app_id or 0, user.account or "", user.uuid or 0, user.resource)


def item_of(packet: Packet) -> ListItem:
    """The item of a packet with all fields, made without the schema."""
    body = packet.body
    assert isinstance(body, (P2PMessage, P2TMessage))
    assert body.sender is not None
    to = body.recipient
    return list_item(
        packet.packet_id or "",
        packet.package or "",
        packet.sequence or 0,
        packet.timestamp or 0,
        packet.conv_index,
        side(body.sender),
        side(to) if isinstance(to, User) else group_side(to.app_id or 0, to.topic_id or 0),
        body.payload,
        body.is_store is not False,
        body.biz_type,
        to_group=isinstance(to, Group),
    )


senders = st.builds(User, app_id=ids, account=names, uuid=ids, resource=texts)
receivers = st.builds(User, app_id=ids, account=names, uuid=ids)
groups = st.builds(Group, app_id=ids, topic_id=ids)
rest: dict[str, Any] = {"payload": payloads, "is_store": st.booleans(), "biz_type": st.none() | texts}
bodies = st.builds(P2PMessage, sender=senders, recipient=receivers, **rest) | st.builds(
    P2TMessage, sender=senders, recipient=groups, **rest
)
packets = st.builds(
    Packet,
    packet_id=names,
    package=texts,
    sequence=numbers,
    timestamp=st.just(0) | numbers,
    conv_index=st.none() | st.just(0) | numbers,
    body=bodies,
)


def packet(body: Any = None, **changes: Any) -> Packet:
    body = body or P2PMessage(sender=ALICE, recipient=BOB, payload=b"hello", is_store=True, biz_type="TEXT")
    plain = {"packet_id": "p", "package": "app", "sequence": 7, "timestamp": 8, "conv_index": 1}
    return Packet(**{**plain, **changes}, body=body)


# --------------------------------------------------------------------------------------------------------------- items


@given(packets)
def test_a_message_is_written_as_the_schema_writes_it(whole: Packet) -> None:
    assert item_of(whole) == ListItem.of(whole)


@given(packets)
def test_an_item_is_a_field_of_a_list(whole: Packet) -> None:
    item = item_of(whole)
    assert PacketList.decode(item.field) == PacketList(packets=(whole,))
    assert (item.sequence, item.timestamp) == (whole.sequence, whole.timestamp)


@pytest.mark.parametrize("size", [*range(120, 132), *range(1000, 1032), *range(16_360, 16_392), 60_000])
def test_a_message_of_any_size_is_written_as_the_schema_writes_it(size: int) -> None:
    body = P2PMessage(sender=ALICE, recipient=BOB, payload=bytes(size), is_store=True)
    assert item_of(packet(body)) == ListItem.of(packet(body))


@pytest.mark.parametrize("is_store", [True, False])
@pytest.mark.parametrize("biz_type", [None, "", "TEXT", "b" * 300])
@pytest.mark.parametrize("conv_index", [None, 0, 1, 1023, 1024, (1 << 63) - 1])
def test_what_may_be_left_out_is_written_as_the_schema_writes_it(
    is_store: bool, biz_type: str | None, conv_index: int | None
) -> None:
    body = P2PMessage(sender=ALICE, recipient=BOB, payload=b"hello", is_store=is_store, biz_type=biz_type)
    whole = packet(body, conv_index=conv_index)
    assert item_of(whole) == ListItem.of(whole)


@pytest.mark.parametrize("name", ["sequence", "timestamp", "conv_index"])
@pytest.mark.parametrize("value", [*(1 << bits for bits in range(63)), *((1 << bits) - 1 for bits in range(1, 64))])
def test_a_number_of_any_length_is_written_as_the_schema_writes_it(name: str, value: int) -> None:
    whole = packet(**{name: value})
    assert item_of(whole) == ListItem.of(whole)


def test_an_item_leaves_out_what_nobody_knows() -> None:
    body = P2PMessage(sender=ALICE, recipient=BOB, payload=b"hello", unknown=b"\x90\x06\x01")
    assert ListItem.of(packet(body, unknown=b"\x90\x06\x01")) == ListItem.of(packet(body.replace(unknown=b"")))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"packet_id": ""}, "Packet"),
        ({"sequence": 0}, "Packet"),
        ({"sequence": -1}, "Packet"),
        ({"sequence": 1 << 63}, "Packet"),
        ({"timestamp": -1}, "Packet"),
        ({"timestamp": 1 << 63}, "Packet"),
        ({"packet_id": "\ud800"}, "Packet.packet_id"),
        ({"package": "\ud800"}, "Packet.package"),
        ({"body": P2PMessage(sender=ALICE, recipient=BOB, biz_type="\ud800")}, "bizType"),
        ({"body": P2PMessage(sender=ALICE.replace(account=""), recipient=BOB)}, "User.account"),
        ({"body": P2PMessage(sender=ALICE.replace(account="\ud800"), recipient=BOB)}, "User.account"),
        ({"body": P2PMessage(sender=ALICE.replace(resource="\ud800"), recipient=BOB)}, "User.resource"),
        ({"body": P2PMessage(sender=ALICE, recipient=BOB.replace(account=""))}, "User.account"),
    ],
)
def test_a_message_that_no_client_could_read_is_refused(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        item_of(packet(**changes))
    assert caught.value.where == where


# --------------------------------------------------------------------------------------------------------------- lists

OWNER = (5, "mimc_py_pc", "app")


def list_of(owner: tuple[int, str, str], outer_id: str, items: list[Packet], limit: int) -> Packet:
    """The packet that a `ListEncoder` of this owner writes."""
    uuid, resource, package = owner
    body = PacketList(uuid=uuid, resource=resource, max_sequence=limit, packets=tuple(items), status=ListStatus.NORMAL)
    newest = max(item.timestamp or 0 for item in items)
    return Packet(packet_id=outer_id, package=package, sequence=limit, timestamp=newest, body=body)


@given(st.tuples(ids, texts, texts), texts, st.lists(packets, min_size=1, max_size=4), numbers)
def test_a_list_is_written_as_the_schema_writes_it(
    owner: tuple[int, str, str], outer_id: str, items: list[Packet], limit: int
) -> None:
    encoded = ListEncoder(*owner).encode(outer_id.encode(), [item_of(item) for item in items], limit)
    assert encoded == list_of(owner, outer_id, items, limit).encode()


@pytest.mark.parametrize("count", [1, 2, 49, 50])
def test_a_list_of_any_length_is_written_as_the_schema_writes_it(count: int) -> None:
    items = [packet(sequence=7 + n, timestamp=900 - n) for n in range(count)]
    encoded = ListEncoder(*OWNER).encode(b"own", [item_of(item) for item in items], 6 + count)
    assert encoded == list_of(OWNER, "own", items, 6 + count).encode()


def test_one_item_goes_into_lists_of_many_receivers() -> None:
    item = item_of(packet())
    for uuid in range(3):
        owner = (uuid, f"pc{uuid}", "app")
        assert ListEncoder(*owner).encode(b"own", [item], 7) == list_of(owner, "own", [packet()], 7).encode()
