"""UC PING names groups: which of them the store is asked about, and when (clients.md rule 11)."""

from __future__ import annotations

import pytest
from mimc_server.service import CheckMembership, OnlineAcked
from support.service_bed import APP, Client, Town

from mimc_proto.packets import (
    Group,
    OnlineMessageAck,
    Packet,
    UcJoin,
    UcJoinAnswer,
    UcMessageList,
    UcPacket,
    UcPing,
    UcPong,
    User,
)


def asked(town: Town) -> list[tuple[int, ...]]:
    """What the store is to look up, while it is held."""
    return [request.topic_ids for request in town.node.held or [] if isinstance(request, CheckMembership)]


def payloads(client: Client) -> list[bytes]:
    return [message.payload for found in client.bodies(UcMessageList) for message in found.messages]


def official(client: Client, packet_id: str, body: UcPing | UcJoin) -> None:
    """With an id that our own client would not use."""
    user = User(app_id=APP, account=client.account, uuid=client.uuid, resource="pc")
    envelope = UcPacket(user=user, packet_id=packet_id, body=body)
    client.connection._enqueue(b"outer", Packet(packet_id="outer", body=envelope).encode(), False)
    client.town.settle()


def test_the_store_is_asked_about_a_limited_number_of_groups_for_one_ping() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.hold()
    alice.ping_groups(*range(1, 1100))
    assert [len(topics) for topics in asked(town)] == [1024]


def test_pings_take_turns_so_that_groups_of_no_use_do_not_keep_others_out() -> None:
    town = Town()
    alice = town.login("alice")
    topic = town.group("alice", unlimited=True)
    left_over = range(1, 1025)
    assert topic > max(left_over)
    for _ in range(2):
        alice.ping_groups(*left_over, topic)
    alice.send_unlimited(topic)
    assert payloads(alice) == [b"hi"]


def test_turns_come_round() -> None:
    town = Town()
    alice = town.login("alice")
    named = range(1, 1501)
    town.node.hold()
    for _ in range(3):
        alice.ping_groups(*named)
    first, second, third = asked(town)
    assert set(first) | set(second) == set(named)
    assert set(second) | set(third) == set(named)


def test_a_group_that_one_is_in_is_looked_up_once_in_a_while() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice = town.login("alice")
    alice.ping_groups(topic)
    town.node.hold()
    town.run_for(150.0)
    alice.ping_groups(topic)
    assert asked(town) == []
    town.run_for(1.0)
    alice.ping_groups(topic)
    assert asked(town) == [(topic,)]


def test_a_member_stays_online_over_being_looked_up() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice, owner = town.login("alice"), town.login("owner")
    alice.ping_groups(topic)
    for _ in range(20):
        town.run_for(50.0)
        alice.ping_groups(topic)
        owner.send_unlimited(topic)
    assert len(payloads(alice)) == 20


def test_groups_that_one_is_in_are_looked_up_before_others() -> None:
    town = Town()
    topic = town.group("owner", "alice", unlimited=True)
    alice = town.login("alice")
    alice.ping_groups(topic)
    town.run_for(151.0)
    town.node.hold()
    alice.ping_groups(*range(1, 1500), topic)
    [topics] = asked(town)
    assert topics[0] == topic
    assert len(topics) == 1024


def test_looking_up_groups_that_one_is_in_does_not_cost_the_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_server.service.unlimited.MOST_GROUPS", 2)
    town = Town()
    mine = [town.group("owner", "alice", unlimited=True) for _ in range(2)]
    alice = town.login("alice")
    alice.ping_groups(*mine)
    alice.ping_groups(1, 2, 3, 4, *mine)
    town.run_for(151.0)
    alice.ping_groups(1, 2, 3, 4, *mine)
    town.node.hold()
    alice.ping_groups(1, 2, 3, 4, *mine)
    assert asked(town) == [(3, 4)]


def test_no_more_groups_that_one_is_in_are_looked_up_at_once_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimc_server.service.unlimited.MOST_GROUPS", 2)
    town = Town()
    mine = [town.group("owner", "alice", unlimited=True) for _ in range(3)]
    alice = town.login("alice")
    for _ in range(2):
        alice.ping_groups(*mine)
    town.run_for(151.0)
    alice.ping_groups(*mine)
    town.node.hold()
    alice.ping_groups(*mine)
    assert asked(town) == [(mine[2],)]


def test_a_request_whose_id_no_answer_could_repeat_is_not_performed() -> None:
    town = Town()
    topic = town.group("owner", unlimited=True)
    alice = town.login("alice")
    join = UcJoin(group=Group(app_id=APP, topic_id=topic))
    official(alice, "p" * 129, UcPing(groups=()))
    official(alice, "p" * 129, join)
    assert alice.bodies(UcPong) == []
    assert not town.store.is_member(topic, alice.uuid, unlimited=True)

    official(alice, "p" * 128, UcPing(groups=()))
    official(alice, "p" * 128, join)
    assert len(alice.bodies(UcPong)) == len(alice.bodies(UcJoinAnswer)) == 1
    assert town.store.is_member(topic, alice.uuid, unlimited=True)


def test_an_ack_of_an_online_message_whose_id_could_not_be_repeated_goes_nowhere() -> None:
    town = Town()
    alice = town.login("alice")
    for length in (128, 129):
        ack = OnlineMessageAck(packet_id="p" * length, uuid=1, resource="elsewhere", code=1)
        alice.connection._enqueue(b"outer%d" % length, Packet(packet_id="outer", body=ack).encode(), False)
        town.settle()
    assert [len(hint.packet_id) for hint in town.node.published if isinstance(hint, OnlineAcked)] == [128]
