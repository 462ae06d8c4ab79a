"""Whatever a user sends, he says it himself, and what is others' stays theirs. On both stores, on virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mimc_server.store import StoreConfig
from support.service_bed import APP, Client, Town
from support.store_bed import STORES
from support.strategies import loose_packets

from mimc_proto.packets import (
    Group,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    Pull,
    SequenceAck,
    UcJoin,
    UcMessage,
    UcMessageList,
    UcOnlineUsersQuery,
    UcPacket,
    UcPing,
    UcQuit,
    User,
)

SECRET, FOR_BOB, OF_MALLORY = b"between alice and bob", b"unread", b"mallory says"
UUIDS = {account: 1_532_000_000_000_000 + number for number, account in enumerate(["alice", "bob", "mallory"])}
TOPICS = NORMAL, UNLIMITED = 2_135_000_000_000_000, 2_135_000_000_000_001
"""What both stores give first."""

accounts = st.sampled_from(["alice", "bob", "mallory", "stranger", "", "\0"])
names = st.sampled_from(["pc", "phone", ""])
resources = names | st.none()
numbers = st.sampled_from([*UUIDS.values(), 0, (1 << 64) - 1])
uuids = numbers | st.none()
apps = st.sampled_from([APP, APP + 1, None])
users = st.builds(User, app_id=apps, account=accounts, uuid=uuids, resource=resources)
groups = st.builds(Group, app_id=apps, topic_id=st.sampled_from([*TOPICS, 1, 0, (1 << 64) - 1, None]))
sequences = st.sampled_from([0, 1, -1, (1 << 63) - 1, 17_000_496_000_000_001])
payloads = st.just(OF_MALLORY)
uc_bodies = st.one_of(
    st.builds(UcPing, groups=st.lists(groups, max_size=3).map(tuple)),
    st.builds(UcJoin, group=groups.filter(lambda group: group.topic_id != UNLIMITED)),  # that he may
    st.builds(UcQuit, group=groups),
    st.builds(UcMessage, group=groups, payload=payloads, user=users, sequence=sequences),
    st.builds(UcOnlineUsersQuery, group=groups),
)
bodies: st.SearchStrategy[Any] = st.one_of(
    st.builds(P2PMessage, sender=users, recipient=users, payload=payloads, is_store=st.booleans()),
    st.builds(P2TMessage, sender=users, recipient=groups, payload=payloads, is_store=st.booleans()),
    st.builds(OnlineMessage, sender=users, recipient=users, payload=payloads),
    st.builds(SequenceAck, uuid=numbers, resource=names, sequence=sequences, app_id=apps),
    st.builds(Pull, uuid=numbers, resource=names, app_id=apps),
    st.builds(OnlineMessageAck, packet_id=st.sampled_from("abc"), uuid=numbers, resource=names, code=st.just(1)),
    st.builds(UcPacket, user=users, packet_id=st.sampled_from(["p1", "p2"]), body=uc_bodies),
)
meant = st.builds(
    lambda packet_id, body: Packet(packet_id=packet_id, body=body).encode(), st.sampled_from("abc"), bodies
)
packets = meant | meant | st.sampled_from([*range(13), 99]).flatmap(loose_packets)


def say(client: Client, packet: bytes, number: int) -> None:
    """Send it as it is, past the checks of our own client."""
    client.connection._enqueue(b"header%d" % number, packet, False)
    client.town.settle()


def senders(client: Client) -> list[tuple[bytes, User | None]]:
    """Of all messages that a client was given: what and from whom."""
    found = [(message.payload, message.sender) for message in client.messages]
    found += [(message.payload, message.sender) for message in client.bodies(OnlineMessage)]
    lists = client.bodies(UcMessageList)
    return found + [(message.payload, message.user) for compound in lists for message in compound.messages]


@pytest.mark.parametrize("store", STORES)
@given(st.lists(packets, min_size=1, max_size=8))
@settings(max_examples=settings().max_examples // 2)
def test_whatever_mallory_sends_he_says_it_and_changes_nothing_of_others(store: str, said: list[bytes]) -> None:
    town = Town(store=STORES[store](StoreConfig()))
    alice, bob, mallory = (town.login(account) for account in UUIDS)
    assert {client.account: client.uuid for client in (alice, bob, mallory)} == UUIDS
    assert (town.group("alice", "bob"), town.group("alice", "bob", unlimited=True)) == TOPICS
    alice.ping_groups(UNLIMITED)
    alice.send("bob", FOR_BOB)

    for number, packet in enumerate(said):
        say(mallory, packet, number)
    alice.send("bob", SECRET)
    alice.send(NORMAL, SECRET)
    alice.send_unlimited(UNLIMITED, SECRET)
    alice.request(OnlineMessage(recipient=User(account="bob"), payload=SECRET))

    # each message says who sent it, and nothing of what the others said came to mallory
    for client in (alice, bob):
        for payload, sender in senders(client):
            own = payload in (SECRET, FOR_BOB)
            assert sender is not None
            assert (sender.account, sender.uuid) == (("alice", alice.uuid) if own else ("mallory", mallory.uuid))
            assert (sender.app_id, sender.resource) == (APP, "pc")
    assert not {payload for payload, _ in senders(mallory)} & {SECRET, FOR_BOB}

    # what bob has not read is unread, and groups are as they were
    bob.drop()
    again = town.login("bob")
    assert [payload for payload in again.payloads if payload in (SECRET, FOR_BOB)] == [FOR_BOB, SECRET, SECRET]
    for topic, unlimited in ((NORMAL, False), (UNLIMITED, True)):
        members = town.store.members(topic, 0, 10, unlimited=unlimited)
        assert sorted(member.account for member in members) == ["alice", "bob"]
