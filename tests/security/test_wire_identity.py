"""What a user sends is his, and what he asks for is his own, whatever his packets say of themselves."""

from __future__ import annotations

from typing import Any

import pytest
from mimc_server.store import AckCode, Conversation, HistoryMessage, Kind
from support.http_town import APP, OTHER
from support.wired_town import WiredTown, heard, messages, sent
from support.wires import Wire

from mimc_proto.packets import (
    Group,
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    P2TMessage,
    Packet,
    PacketAck,
    PacketList,
    Pull,
    SequenceAck,
    UcJoin,
    UcJoinAnswer,
    UcMessage,
    UcMessageList,
    UcPacket,
    UcPing,
    UcQuit,
    UcQuitAnswer,
    User,
)

pytestmark = pytest.mark.anyio

ALL = 1 << 62


def pretended(town: WiredTown) -> list[User | None]:
    """Who mallory says he is."""
    bob = town.member("bob").uuid
    return [
        None,
        User(app_id=APP.app_id, account="bob", uuid=bob, resource="pc"),
        User(app_id=APP.app_id, account="bob"),
        User(app_id=APP.app_id, account="mallory", uuid=bob),
        User(app_id=APP.app_id, account="mallory", resource="another"),
        User(app_id=OTHER.app_id, account="mallory"),
        User(app_id=0, account="", uuid=0, resource=""),
        User(uuid=(1 << 64) - 1),
        User(uuid=0, account="\0" * 100, resource="x" * 5000),
    ]


def kept(town: WiredTown, conversation: Conversation) -> list[HistoryMessage]:
    return town.store.history(conversation, 0, ALL, 1000)


def assert_mallorys(town: WiredTown, sender: User | None) -> None:
    assert sender is not None
    uuid = town.member("mallory").uuid
    assert sender == User(app_id=APP.app_id, account="mallory", uuid=uuid, resource="pc")


# ------------------------------------------------------------------------------------------------- who it comes from


async def test_a_message_to_a_user_is_its_senders(town: WiredTown) -> None:
    async with town.online("mallory") as mallory, town.online("alice") as alice, town.online("bob") as bob:
        pretences = pretended(town)
        for sender in pretences:
            body = P2PMessage(sender=sender, recipient=User(account="alice"), payload=b"hi")
            assert (await sent(mallory, body)).code == AckCode.OK
        got = await messages(alice)
        assert len(got) == len(pretences)
        for packet in got:
            assert isinstance(packet.body, P2PMessage)
            assert_mallorys(town, packet.body.sender)
        assert await heard(bob) == []
    one, other = town.member("mallory"), town.member("alice")
    conversation = Conversation(app_id=APP.app_id, kind=Kind.P2P, one=one.uuid, other=other.uuid)
    assert {(message.sender, message.resource) for message in kept(town, conversation)} == {(one, "pc")}
    of_bob = Conversation(app_id=APP.app_id, kind=Kind.P2P, one=town.member("bob").uuid, other=other.uuid)
    assert kept(town, of_bob) == []


async def test_a_message_to_a_group_is_its_senders_who_has_to_be_in_it(town: WiredTown) -> None:
    topic, foreign = town.make_group("alice", "mallory"), town.make_group("alice", "bob")
    async with town.online("mallory") as mallory, town.online("alice") as alice:
        pretences = pretended(town)
        for sender in pretences:
            for topic_id, code in ((topic, AckCode.OK), (foreign, AckCode.NOT_A_MEMBER)):
                recipient = Group(app_id=APP.app_id, topic_id=topic_id)
                answer = await sent(mallory, P2TMessage(sender=sender, recipient=recipient, payload=b"hi"))
                assert answer.code == code
        got = await messages(alice)
        assert len(got) == len(pretences)
        for packet in got:
            assert isinstance(packet.body, P2TMessage)
            assert_mallorys(town, packet.body.sender)
            assert packet.body.recipient.topic_id == topic
    of_foreign = Conversation(app_id=APP.app_id, kind=Kind.P2T, one=foreign)
    assert kept(town, of_foreign) == []


def unlimited(body: Any, user: User | None, packet_id: str = "inner") -> UcPacket:
    return UcPacket(user=user or User(), packet_id=packet_id, body=body)


async def test_a_message_to_an_unlimited_group_is_its_senders_who_has_to_be_in_it(town: WiredTown) -> None:
    topic, foreign = (town.make_group("alice", unlimited=True) for _ in range(2))
    town.store.add_members(topic, [town.member("mallory").uuid], unlimited=True)
    async with town.online("mallory") as mallory, town.online("alice") as alice:
        groups = tuple(Group(app_id=APP.app_id, topic_id=topic_id) for topic_id in (topic, foreign))
        alice.send(unlimited(UcPing(groups=groups), None))
        await heard(alice)
        pretences = pretended(town)
        for number, user in enumerate(pretences):
            for group, code in zip(groups, (AckCode.OK, AckCode.NOT_A_MEMBER), strict=True):
                message = UcMessage(group=group, payload=b"%d" % number, user=user, sequence=7, timestamp=7)
                assert (await sent(mallory, unlimited(message, user))).code == code
        got = [packet.body for packet in await messages(alice)]
        assert len(got) == len(pretences)
        for body in got:
            assert isinstance(body, UcMessage)
            assert_mallorys(town, body.user)
            assert (body.group.topic_id, body.sequence == 7) == (topic, False)


async def test_an_online_message_is_its_senders(town: WiredTown) -> None:
    async with town.online("mallory") as mallory, town.online("alice") as alice, town.online("bob"):
        pretences = pretended(town)
        for sender in pretences:
            mallory.send(OnlineMessage(sender=sender, recipient=User(account="alice"), payload=b"hi"))
            await heard(mallory)
        got = [packet.body for packet in await heard(alice)]
        assert len(got) == len(pretences)
        for body in got:
            assert isinstance(body, OnlineMessage)
            assert_mallorys(town, body.sender)


async def test_the_header_of_a_packet_cannot_say_whose_it_is_either(town: WiredTown) -> None:
    bob = town.member("bob").uuid
    async with town.online("mallory") as mallory, town.online("alice") as alice, town.online("bob") as other:
        body = P2PMessage(recipient=User(account="alice"), payload=b"hi")
        headers: list[dict[str, Any]] = [{"uuid": bob, "resource": "pc"}, {"uuid": 0, "resource": ""}, {"chid": 7}]
        for header in headers:
            answer = await sent(mallory, body, **header)
            assert (answer.code, answer.uuid, answer.resource) == (AckCode.OK, mallory.peer.uuid, "pc")
        for packet in await messages(alice):
            assert isinstance(packet.body, P2PMessage)
            assert_mallorys(town, packet.body.sender)
        assert await heard(other) == []


async def test_the_package_and_the_numbers_of_a_packet_are_the_services(town: WiredTown) -> None:
    async with town.online("mallory") as mallory, town.online("alice") as alice:
        body = P2PMessage(recipient=User(account="alice"), payload=b"hi")
        lie = Packet(packet_id="p1", package="com.other", sequence=ALL, timestamp=7, conv_index=7, body=body)
        mallory.write(mallory.peer.send(lie.encode()))
        await heard(mallory)
        [packet] = await messages(alice)
        assert (packet.package, packet.sequence, packet.timestamp) == (APP.package, town.now * 10_000 + 1, town.now)
        assert packet.conv_index == 1


# -------------------------------------------------------------------------------------------------- other applications


async def test_another_application_is_another_world(town: WiredTown) -> None:
    """Accounts and groups of the same names; neither the recipient's appId nor the group's leads over."""
    theirs = town.make_group("alice", app_id=OTHER.app_id)
    their_unlimited = town.make_group("alice", unlimited=True, app_id=OTHER.app_id)
    async with (
        town.online("mallory") as mallory,
        town.online("alice") as alice,
        town.online("alice", app_id=OTHER.app_id) as other,
        town.online("mallory", app_id=OTHER.app_id) as other_mallory,
    ):
        for recipient in (User(app_id=OTHER.app_id, account="alice"), User(account="alice", uuid=other.peer.uuid)):
            assert (await sent(mallory, P2PMessage(recipient=recipient, payload=b"hi"))).code == AckCode.OK
            mallory.send(OnlineMessage(recipient=recipient, payload=b"hi"))
        for app_id in (APP.app_id, OTHER.app_id):
            to_group = P2TMessage(recipient=Group(app_id=app_id, topic_id=theirs), payload=b"hi")
            assert (await sent(mallory, to_group)).code == AckCode.NO_SUCH_GROUP
            group = Group(app_id=app_id, topic_id=their_unlimited)
            said = UcMessage(group=group, payload=b"hi")
            assert (await sent(mallory, unlimited(said, None))).code == AckCode.NO_SUCH_GROUP
        mallory.send(OnlineMessageAck(packet_id="p1", uuid=other_mallory.peer.uuid, resource="pc", code=1))
        await heard(mallory)
        assert len(await messages(alice)) == 4
        assert await heard(other) == await heard(other_mallory) == []


async def test_of_a_group_of_another_application_nothing_is_told_not_even_that_it_is(town: WiredTown) -> None:
    theirs = town.make_group("alice", unlimited=True, app_id=OTHER.app_id)
    async with town.online("mallory") as mallory:
        for request, answer in ((UcJoin, UcJoinAnswer), (UcQuit, UcQuitAnswer)):
            said = []
            for topic_id in (theirs, 1):
                mallory.send(unlimited(request(group=Group(app_id=OTHER.app_id, topic_id=topic_id)), None))
                [packet] = await heard(mallory)
                assert isinstance(packet.body, UcPacket)
                body = packet.body.body
                assert isinstance(body, answer)
                said.append((body.code, (body.text or "").replace(str(topic_id), "")))
            assert said[0] == said[1]
    assert [member.account for member in town.store.members(theirs, 0, 10, unlimited=True)] == ["alice"]


# ------------------------------------------------------------------------------------------------------- what is asked


async def test_nobody_acknowledges_for_somebody_else(town: WiredTown) -> None:
    bob = town.member("bob").uuid
    async with town.online("bob"):
        pass  # bob has a cursor
    async with town.online("mallory") as mallory, town.online("alice") as alice:
        for _ in range(3):
            assert (await sent(alice, P2PMessage(recipient=User(account="bob"), payload=b"for bob"))).code == 0
        for resource in ("pc", "phone", ""):
            mallory.send(SequenceAck(uuid=bob, resource=resource, sequence=ALL, app_id=APP.app_id))
        mallory.write(mallory.peer.send(SequenceAck(uuid=bob, resource="pc", sequence=ALL), uuid=bob, resource="pc"))
        await heard(mallory)
    async with town.online("bob") as late:
        assert len(await messages(late)) == 3


async def test_nobody_pulls_for_somebody_else(town: WiredTown) -> None:
    bob = town.member("bob").uuid
    async with town.online("mallory") as mallory, town.online("bob") as other, town.online("alice") as alice:
        assert (await sent(alice, P2PMessage(recipient=User(account="bob"), payload=b"for bob"))).code == 0
        assert (await sent(alice, P2PMessage(recipient=User(account="mallory"), payload=b"for mallory"))).code == 0
        assert len(await heard(other)) == 1  # and not acknowledged
        await heard(mallory)
        mallory.send(Pull(uuid=bob, resource="pc", app_id=APP.app_id))
        [packet] = await heard(mallory)
        assert isinstance(packet.body, PacketList)
        assert (packet.body.uuid, packet.body.resource) == (mallory.peer.uuid, "pc")
        [inner] = packet.body.packets
        assert isinstance(inner, Packet)
        assert isinstance(inner.body, P2PMessage)
        assert inner.body.payload == b"for mallory"
        assert await heard(other) == []


async def test_only_who_was_sent_an_online_message_answers_it(town: WiredTown) -> None:
    async with (
        town.online("alice") as alice,
        town.online("bob") as bob,
        town.online("mallory") as mallory,
    ):
        packet_id = alice.send(OnlineMessage(recipient=User(account="bob"), payload=b"hi"))
        await heard(alice)
        answer = OnlineMessageAck(packet_id=packet_id, uuid=alice.peer.uuid, resource="pc", code=1)
        mallory.send(answer)
        await heard(mallory)
        assert await heard(alice) == []
        bob.send(answer)
        await heard(bob)
        assert [packet.packet_id for packet in await heard(alice)] == [packet_id]


async def test_who_is_in_no_group_hears_nothing_of_it_however_he_asks(town: WiredTown) -> None:
    normal, open_one = town.make_group("alice", "bob"), town.make_group("alice", unlimited=True)
    async with town.online("mallory") as mallory, town.online("alice") as alice:
        alice.send(unlimited(UcPing(groups=(Group(topic_id=open_one),)), None))
        await heard(alice)
        alice_user = User(app_id=APP.app_id, account="alice", uuid=alice.peer.uuid, resource="pc")
        for topic_id in (normal, open_one):
            mallory.send(unlimited(UcPing(groups=(Group(app_id=APP.app_id, topic_id=topic_id),)), alice_user))
        mallory.send(unlimited(UcJoin(group=Group(app_id=APP.app_id, topic_id=normal)), alice_user))
        answers = [packet.body.body for packet in await heard(mallory) if isinstance(packet.body, UcPacket)]
        [joined] = [answer for answer in answers if isinstance(answer, UcJoinAnswer)]
        assert joined.code == AckCode.NO_SUCH_GROUP  # a normal group is no unlimited one
        to_group = P2TMessage(recipient=Group(topic_id=normal), payload=b"secret")
        assert (await sent(alice, to_group)).code == AckCode.OK
        said = UcMessage(group=Group(topic_id=open_one), payload=b"secret")
        assert (await sent_to_unlimited(alice, said)) == AckCode.OK
        assert await heard(mallory) == []


async def sent_to_unlimited(client: Wire, message: UcMessage) -> int | None:
    """The code of the answer; the sender gets the message itself as well."""
    packet_id = client.send(unlimited(message, None))
    packets = await heard(client)
    assert any(isinstance(packet.body, UcPacket) and isinstance(packet.body.body, UcMessageList) for packet in packets)
    [ack] = [packet.body for packet in packets if isinstance(packet.body, PacketAck)]
    assert ack.packet_id == packet_id
    return ack.code
