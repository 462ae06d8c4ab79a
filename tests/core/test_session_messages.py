"""Messages as applications see them: complete, with plain values where a sender left something out."""

from __future__ import annotations

from typing import Any

import pytest

from mimc_proto.packets import Group, P2PMessage, P2TMessage, Packet, UcMessage, User
from mimc_proto.packets import OnlineMessage as OnlinePacket
from mimc_proto.session.events import GroupMessage, Message, OnlineMessage, UnlimitedMessage
from mimc_proto.session.messages import to_message, to_online_message, to_unlimited_message

BOB = User(app_id=1, account="bob", uuid=77, resource="pc")
ALICE = User(app_id=1, account="alice")
GROUP = Group(app_id=1, topic_id=15)


def packet(body: Any, **changes: Any) -> Packet:
    return Packet(**{"packet_id": "p1", "sequence": 9, "timestamp": 1526354160772, "body": body, **changes})


def test_a_message_of_a_user_is_complete() -> None:
    body = P2PMessage(sender=BOB, recipient=ALICE, payload=b"hi", is_store=False, biz_type="TEXT")
    assert to_message(packet(body)) == Message(
        packet_id="p1",
        sequence=9,
        timestamp=1526354160772,
        from_account="bob",
        from_resource="pc",
        payload=b"hi",
        biz_type="TEXT",
        is_store=False,
        from_uuid=77,
    )


def test_a_message_to_a_group_names_the_group_too() -> None:
    body = P2TMessage(sender=BOB, recipient=GROUP, payload=b"hi", is_store=True, biz_type="TEXT")
    assert to_message(packet(body)) == GroupMessage(
        packet_id="p1",
        sequence=9,
        timestamp=1526354160772,
        from_account="bob",
        from_resource="pc",
        payload=b"hi",
        biz_type="TEXT",
        is_store=True,
        from_uuid=77,
        group_id=15,
    )


@pytest.mark.parametrize(("is_store", "stored"), [(None, True), (True, True), (False, False)])
def test_without_a_word_on_it_a_message_is_stored(is_store: bool | None, stored: bool) -> None:
    message = to_message(packet(P2PMessage(sender=BOB, recipient=ALICE, is_store=is_store)))
    assert message.is_store is stored


@pytest.mark.parametrize(
    "body", [P2PMessage(sender=User(), recipient=ALICE), P2TMessage(sender=User(), recipient=Group())]
)
def test_what_the_sender_left_out_is_empty_and_never_none(body: Any) -> None:
    message = to_message(packet(body, packet_id=None, timestamp=None))
    assert None not in message
    group = (0,) if isinstance(message, GroupMessage) else ()
    assert tuple(message) == ("", 9, 0, "", "", b"", "", True, 0, *group)


def test_an_online_message_is_complete_and_has_no_sequence() -> None:
    body = OnlinePacket(sender=BOB, recipient=ALICE, payload=b"hi", biz_type="TEXT")
    assert to_online_message(packet(body), body) == OnlineMessage(
        packet_id="p1",
        from_account="bob",
        from_resource="pc",
        payload=b"hi",
        biz_type="TEXT",
        from_uuid=77,
        timestamp=1526354160772,
    )


@pytest.mark.parametrize("sender", [None, User()])
def test_an_online_message_may_come_from_nobody(sender: User | None) -> None:
    body = OnlinePacket(sender=sender, recipient=ALICE)
    assert tuple(to_online_message(packet(body, packet_id=None, timestamp=None), body)) == ("", "", "", b"", "", 0, 0)


def test_a_message_of_an_unlimited_group_is_complete() -> None:
    whole = UcMessage(
        group=GROUP, payload=b"hi", sequence=3, is_store=True, user=BOB, timestamp=5, packet_id="u1", biz_type="TEXT"
    )
    assert to_unlimited_message(whole) == UnlimitedMessage(
        packet_id="u1",
        sequence=3,
        timestamp=5,
        from_account="bob",
        from_resource="pc",
        payload=b"hi",
        biz_type="TEXT",
        from_uuid=77,
        group_id=15,
    )


@pytest.mark.parametrize("user", [None, User()])
def test_a_message_of_an_unlimited_group_may_lack_almost_everything(user: User | None) -> None:
    bare = UcMessage(group=Group(), payload=b"hi", user=user)
    assert tuple(to_unlimited_message(bare)) == ("", 0, 0, "", "", b"hi", "", 0, 0)
