"""COMPOUND as a client reads it."""

from __future__ import annotations

from typing import Any

import pytest

from mimc_proto._lists import read_list
from mimc_proto.errors import PacketError
from mimc_proto.events import LimitReached, MessagesReceived
from mimc_proto.packets import (
    BadPacket,
    Group,
    ListStatus,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketList,
    RtsSignal,
    UnknownBody,
    User,
)

ALICE, BOB = User(account="alice"), User(account="bob")


def message(sequence: int | None, text: bytes = b"hi", **changes: Any) -> Packet:
    body = P2PMessage(sender=ALICE, recipient=BOB, payload=text)
    return Packet(packet_id=f"p{sequence}", sequence=sequence, timestamp=1, body=body.replace(**changes))


def listed(*packets: Packet | BadPacket, **changes: Any) -> PacketList:
    whole = PacketList(uuid=7, resource="pc", max_sequence=9, packets=packets, status=ListStatus.NORMAL)
    return whole.replace(**changes)


def read(*packets: Packet | BadPacket, **changes: Any) -> MessagesReceived:
    event = read_list(listed(*packets, **changes), 7, "pc")
    assert isinstance(event, MessagesReceived)
    return event


def test_messages_come_in_ascending_sequence() -> None:
    assert read(message(5), message(3), message(4)).packets == (message(3), message(4), message(5))


def test_messages_of_users_and_groups_come_together() -> None:
    group = Packet(packet_id="g", sequence=2, body=P2TMessage(sender=ALICE, recipient=Group(topic_id=1)))
    assert read(message(3), group).packets == (group, message(3))


def test_each_sequence_comes_once() -> None:
    assert len(read(message(3, b"one"), message(3, b"two")).packets) == 1


@pytest.mark.parametrize("status", [None, ListStatus.NORMAL, 77])
def test_a_status_that_is_no_limit_is_normal(status: int | None) -> None:
    assert read(message(3), status=status).max_sequence == 9


def test_other_packets_are_skipped_and_kept() -> None:
    others = (
        Packet(sequence=1, body=RtsSignal()),
        Packet(sequence=2, body=UnknownBody(type=77)),
        BadPacket(error=PacketError("broken"), inside_list=True),
    )
    event = read(message(3), *others)
    assert event.packets == (message(3),)
    assert event.skipped == others


@pytest.mark.parametrize(
    ("packet", "missing"), [(message(None), "sequence"), (message(3, sender=None), "from")], ids=["sequence", "from"]
)
def test_a_message_that_lacks_what_it_needs_is_skipped_as_bad(packet: Packet, missing: str) -> None:
    event = read(packet)
    assert event.packets == ()
    [bad] = event.skipped
    assert isinstance(bad, BadPacket)
    assert bad.inside_list
    assert bad.packet_id == packet.packet_id
    assert bad.sequence == packet.sequence
    assert str(bad.error) == f"MIMCPacket.COMPOUND.packets: expected {missing}, got none"


def test_a_limit_notice_tells_how_far_it_goes() -> None:
    notice = listed(status=ListStatus.EXCEED_COUNT_LIMIT, min_sequence=4)
    assert read_list(notice, 7, "pc") == LimitReached(min_sequence=4, max_sequence=9)


@pytest.mark.parametrize("change", [{"uuid": 8}, {"uuid": None}, {"resource": "phone"}, {"resource": None}])
def test_a_list_for_another_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PacketError, match=r"^MIMCPacket.COMPOUND: expected a list for 7/pc"):
        read_list(listed(message(3), **change), 7, "pc")


def test_a_list_that_cannot_be_acknowledged_is_refused() -> None:
    with pytest.raises(PacketError) as caught:
        read_list(listed(message(3), max_sequence=None), 7, "pc")
    assert caught.value.where == "MIMCPacket.COMPOUND.maxSequence"


def test_the_first_of_two_with_one_sequence_counts_and_the_other_is_kept() -> None:
    event = read(message(3, b"one"), message(3, b"two"))
    assert event.packets == (message(3, b"one"),)
    assert event.skipped == (message(3, b"two"),)


def test_a_peers_text_does_not_fill_the_log() -> None:
    with pytest.raises(PacketError) as caught:
        read_list(listed(message(3), resource="x\n" * 100_000), 7, "pc")
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)
