"""Unlimited groups: online fan-out, nothing stored for the absent (wire.md section 6, clients.md rule 11)."""

from __future__ import annotations

import pytest
from mimc_server.service import ChangeMembership, CheckMembership, Dropped, ServiceConfig, StoreFailed
from mimc_server.store import AckCode
from support.service_bed import APP, Client, Town

from mimc_proto import ServerConfig
from mimc_proto.events import PacketReceived
from mimc_proto.packets import (
    Group,
    Packet,
    UcDismiss,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcOnlineUsersAnswer,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcPong,
    UcQuit,
    UcQuitAnswer,
    UcSequenceAck,
    User,
)


def payloads(client: Client) -> list[bytes]:
    return [message.payload for group in client.bodies(UcMessageList) for message in group.messages]


def online_users(client: Client, topic: int) -> int:
    client.forget()
    client.request(UcOnlineUsersQuery(group=Group(app_id=APP, topic_id=topic)))
    [answer] = client.bodies(UcOnlineUsersAnswer)
    return answer.user_count


def envelopes(client: Client) -> list[UcPacket]:
    packets = [event.packet.body for event in client.all(PacketReceived)]
    return [body for body in packets if isinstance(body, UcPacket)]


def test_a_join_is_answered_with_the_id_of_the_request_and_persists() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    alice = town.login("alice")
    packet_id = alice.join(topic)
    [envelope] = envelopes(alice)
    assert envelope.packet_id == packet_id
    assert envelope.user == User(app_id=APP, account="alice", uuid=alice.uuid, resource="pc")
    assert alice.bodies(UcJoinAnswer) == [
        UcJoinAnswer(group=Group(app_id=APP, topic_id=topic), code=AckCode.OK, text="")
    ]
    assert town.store.is_member(topic, alice.uuid, unlimited=True)


def test_a_join_puts_the_session_online_at_once() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    alice, bob = town.login("alice"), town.login("bob")
    alice.join(topic)
    bob.join(topic)
    bob.send_unlimited(topic, b"hello")
    assert payloads(alice) == [b"hello"]


def test_a_join_to_a_group_that_does_not_exist_is_refused() -> None:
    town = Town()
    alice = town.login("alice")
    alice.join(12345)
    [answer] = alice.bodies(UcJoinAnswer)
    assert answer.code == AckCode.NO_SUCH_GROUP
    assert answer.text


@pytest.mark.parametrize("topic", [None, 1 << 63])
def test_a_join_without_a_usable_topic_is_refused(topic: int | None) -> None:
    town = Town()
    alice = town.login("alice")
    alice.request(UcJoin(group=Group(app_id=APP, topic_id=topic)))
    [answer] = alice.bodies(UcJoinAnswer)
    assert answer.code == AckCode.BAD_REQUEST


def test_a_quit_persists_and_ends_delivery_to_all_resources() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    pc, phone, owner = town.login("alice", "pc"), town.login("alice", "phone"), town.login("owner")
    pc.join(topic)
    phone.join(topic)
    owner.ping_groups(topic)
    packet_id = pc.quit(topic)
    assert envelopes(pc)[-1].packet_id == packet_id
    assert [answer.code for answer in pc.bodies(UcQuitAnswer)] == [AckCode.OK]
    assert not town.store.is_member(topic, pc.uuid, unlimited=True)
    owner.send_unlimited(topic)
    assert payloads(owner) == [b"hi"]
    assert payloads(pc) == payloads(phone) == []


def test_the_owner_cannot_quit() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    owner = town.login("owner")
    owner.quit(topic)
    assert [answer.code for answer in owner.bodies(UcQuitAnswer)] == [AckCode.BAD_REQUEST]


def test_a_store_that_fails_refuses_a_join() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    alice = town.login("alice")
    town.node.failing = (ChangeMembership,)
    alice.join(topic)
    assert [answer.code for answer in alice.bodies(UcJoinAnswer)] == [AckCode.STORE_FAILED]
    assert town.node.said(StoreFailed)


def test_a_session_that_asks_faster_than_the_store_answers_is_refused() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    alice = town.login("alice")
    town.node.hold()
    for _ in range(65):
        alice.join(topic)
    alice.ping_groups(topic)
    assert [answer.code for answer in alice.bodies(UcJoinAnswer)] == [AckCode.TOO_MANY]
    assert len(alice.bodies(UcPong)) == 1
    town.node.release()
    assert len(alice.bodies(UcJoinAnswer)) == 65


def test_a_link_that_dies_during_a_join_is_not_online() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    alice, owner = town.login("alice"), town.login("owner")
    town.node.hold()
    alice.join(topic)
    alice.drop()
    town.node.release()
    owner.ping_groups(topic)
    assert online_users(owner, topic) == 1


def test_a_ping_is_answered_and_brings_messages_of_groups_one_is_in() -> None:
    town = Town()
    mine, other = town.group("owner", "alice", unlimited=True), town.group("owner", unlimited=True)
    alice, owner = town.login("alice"), town.login("owner")
    owner.ping_groups(mine, other)
    packet_id = alice.ping_groups(mine, other, mine, 999, 1 << 63)
    assert [envelope.packet_id for envelope in envelopes(alice)] == [packet_id]
    assert len(alice.bodies(UcPong)) == 1
    owner.send_unlimited(mine, b"mine")
    owner.send_unlimited(other, b"other")
    assert payloads(alice) == [b"mine"]


def test_an_empty_ping_is_answered() -> None:
    town = Town()
    alice = town.login("alice")
    alice.request(UcPing(groups=(Group(app_id=APP),)))
    assert len(alice.bodies(UcPong)) == 1


def test_a_member_who_has_not_pinged_is_not_online() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice, owner = town.login("alice"), town.login("owner")
    owner.send_unlimited(topic)
    assert payloads(alice) == []


def test_150_seconds_without_a_ping_end_it() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice, owner = town.login("alice"), town.login("owner")
    alice.ping_groups(topic)
    town.run_for(149.0)
    owner.ping_groups(topic)
    assert online_users(owner, topic) == 2
    alice.ping_groups(topic)
    town.run_for(149.0)
    assert online_users(owner, topic) == 2
    town.run_for(2.0)
    assert online_users(owner, topic) == 0
    owner.send_unlimited(topic)
    assert payloads(alice) == []


def test_the_end_of_a_session_ends_it() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice, owner = town.login("alice"), town.login("owner")
    alice.ping_groups(topic)
    owner.ping_groups(topic)
    alice.drop()
    assert online_users(owner, topic) == 1


def test_a_ping_whose_lookup_fails_is_answered_all_the_same() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    owner = town.login("owner")
    town.node.failing = (CheckMembership,)
    owner.ping_groups(topic)
    assert len(owner.bodies(UcPong)) == 1
    assert town.node.said(StoreFailed)


def test_a_ping_of_a_session_that_ended_meanwhile_does_nothing() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice, owner = town.login("alice"), town.login("owner")
    town.node.hold()
    alice.ping_groups(topic)
    alice.drop()
    town.node.release()
    assert online_users(owner, topic) == 0


def test_a_message_is_acknowledged_and_goes_to_all_who_are_online_the_sender_too() -> None:
    town = Town()
    topic = town.group("owner", "alice", "bob", unlimited=True)
    alice, bob = town.login("alice"), town.login("bob")
    alice.ping_groups(topic)
    bob.ping_groups(topic)
    packet_id = alice.send_unlimited(topic, b"hello")
    ack = alice.ack_of(packet_id)
    assert ack.code == AckCode.OK
    for client in (alice, bob):
        [found] = client.bodies(UcMessageList)
        [message] = found.messages
        assert found.max_sequence == message.sequence == ack.sequence
        assert message.packet_id == packet_id
        assert message.timestamp == ack.timestamp
        assert message.user == User(app_id=APP, account="alice", uuid=alice.uuid, resource="pc")
        assert found.group == Group(app_id=APP, topic_id=topic)


def test_downward_packets_name_the_receiver_as_their_user() -> None:
    town = Town()
    topic = town.group("owner", "alice", "bob", unlimited=True)
    alice, bob = town.login("alice"), town.login("bob")
    bob.ping_groups(topic)
    bob.forget()
    alice.send_unlimited(topic)
    assert [envelope.user.account for envelope in envelopes(bob)] == ["bob"]


def test_the_ack_is_for_the_outer_packet_id_and_the_list_has_the_inner_one() -> None:
    town = Town()
    topic = town.group("alice", unlimited=True)
    alice = town.login("alice")
    alice.ping_groups(topic)
    user = User(app_id=APP, account="alice", uuid=alice.uuid, resource="pc")
    message = UcMessage(group=Group(app_id=APP, topic_id=topic), payload=b"hi", packet_id="inner", user=user)
    envelope = UcPacket(user=user, packet_id="middle", body=message)
    alice.connection._enqueue(b"outer", Packet(packet_id="outer", body=envelope).encode(), False)
    town.settle()
    assert alice.ack_of("outer").code == AckCode.OK
    assert [uc.packet_id for found in alice.bodies(UcMessageList) for uc in found.messages] == ["inner"]


def test_sequences_of_groups_and_of_inboxes_rise_together() -> None:
    town = Town()
    one, other = town.group("alice", unlimited=True), town.group("alice", unlimited=True)
    alice = town.login("alice")
    ids = [alice.send_unlimited(one), alice.send_unlimited(other), alice.send("bob"), alice.send_unlimited(one)]
    sequences = [alice.ack_of(packet_id).sequence or 0 for packet_id in ids]
    assert sequences == sorted(set(sequences))


def test_who_is_not_a_member_cannot_send() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    alice = town.login("alice")
    assert alice.ack_of(alice.send_unlimited(topic)).code == AckCode.NOT_A_MEMBER
    assert alice.ack_of(alice.send_unlimited(999)).code == AckCode.NO_SUCH_GROUP


def test_an_acknowledgement_of_a_list_is_accepted() -> None:
    town = Town()
    topic = town.group("alice", unlimited=True)
    alice = town.login("alice")
    alice.ping_groups(topic)
    alice.send_unlimited(topic)
    alice.forget()
    alice.request(UcSequenceAck(group=Group(app_id=APP, topic_id=topic), sequence=1))
    assert alice.seen == []


def test_a_request_without_a_usable_id_is_ignored() -> None:
    town = Town()
    alice = town.login("alice")
    user = User(app_id=APP, account="alice", uuid=alice.uuid, resource="pc")
    for packet_id in ("", "p" * 1025):
        envelope = UcPacket(user=user, packet_id=packet_id, body=UcQuit(group=Group(app_id=APP, topic_id=1)))
        alice.connection._enqueue(b"outer", Packet(packet_id="outer", body=envelope).encode(), False)
        town.settle()
    assert alice.bodies(UcQuitAnswer) == []


def test_messages_that_wait_together_come_in_one_list() -> None:
    town = Town()
    topic = town.group("alice", unlimited=True)
    alice = town.login("alice")
    alice.ping_groups(topic)
    town.node.hold()
    alice.send_unlimited(topic)
    for _ in range(60):
        alice.send_unlimited(topic)
    town.node.release()
    assert [len(found.messages) for found in alice.bodies(UcMessageList)] == [1, 50, 10]


def test_large_messages_are_split_over_several_lists() -> None:
    town = Town()
    topic = town.group("alice", unlimited=True)
    alice = town.login("alice")
    alice.ping_groups(topic)
    town.node.hold()
    alice.send_unlimited(topic)
    for _ in range(6):
        alice.send_unlimited(topic, bytes(15_000))
    town.node.release()
    assert [len(found.messages) for found in alice.bodies(UcMessageList)] == [1, 4, 2]


def test_a_link_that_is_half_full_gets_no_lists_so_that_acks_have_room() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_pending=4)))
    topic = town.group("alice", "bob", unlimited=True)
    alice, bob = town.login("alice"), town.login("bob")
    bob.ping_groups(topic)
    bob.reading = False
    for _ in range(10):
        alice.send_unlimited(topic)
    assert len(town.node.said(Dropped)) == 7
    bob.reading = True
    town.settle()
    assert len(payloads(bob)) == 3


def test_members_who_are_removed_get_nothing_more() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice, owner = town.login("alice"), town.login("owner")
    alice.ping_groups(topic)
    town.store.remove_members(topic, [alice.uuid], unlimited=True)
    town.node.service.unlimited_left(APP, topic, (alice.uuid, 12345), town.now, town.wall_ms)
    owner.send_unlimited(topic)
    assert payloads(alice) == []


def test_members_hear_that_their_group_was_dissolved() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice, bob = town.login("alice"), town.login("bob")
    alice.ping_groups(topic)
    town.store.dismiss_group(topic, unlimited=True)
    town.node.service.unlimited_dismissed(APP, topic, town.now, town.wall_ms)
    town.settle()
    assert alice.bodies(UcDismiss) == [UcDismiss(group=Group(app_id=APP, topic_id=topic))]
    assert bob.bodies(UcDismiss) == []
    assert online_users(alice, topic) == 0
