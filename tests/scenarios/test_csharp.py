"""The official C# client against the whole service, from its first request to its logout."""

from __future__ import annotations

import pytest
from support.official.client import Stage, online
from support.official.csharp import CSharp
from support.official.virtual import OnNetwork, World

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import P2PMessage, PacketAck, UcJoinAnswer, UcMessageList, UcPacket, UcPong, UcQuitAnswer

pytestmark = pytest.mark.anyio


async def test_it_logs_in_without_an_sdk_and_with_attributes_that_it_only_signs(stage: Stage) -> None:
    """client_attrs and cloud_attrs are signed as empty and left out of BIND."""
    async with online(CSharp(stage, "alice", "Csharp")) as alice:
        assert [session.resource for session in stage.sessions()] == ["Csharp"]
        assert alice.topics == []


async def test_its_messages_are_acknowledged_and_its_milliseconds_do_not_count(stage: Stage) -> None:
    async with online(CSharp(stage, "alice")) as alice, online(CSharp(stage, "bob")) as bob:
        packet_id = alice.send_to("bob", b"hi", biz_type="TEXT")
        ack = await alice.acked(packet_id)
        [packet] = await bob.messages()
    assert isinstance(packet.body, P2PMessage)
    assert (packet.packet_id, packet.sequence, packet.timestamp) == (packet_id, ack.sequence, ack.timestamp)
    assert (packet.body.payload, packet.body.biz_type) == (b"hi", "TEXT")


async def test_what_it_acknowledges_without_naming_the_application_does_not_come_again(stage: Stage) -> None:
    async with online(CSharp(stage, "alice")) as alice:
        async with online(CSharp(stage, "bob", "Csharp")) as bob:
            await alice.acked(alice.send_to("bob", b"once"))
            await bob.messages()
            bob.acknowledge()
            bob.ping()
            assert await bob.frame() == EMPTY_FRAME
        async with online(CSharp(stage, "bob", "Csharp")) as bob:
            assert await bob.leave() == []


async def test_its_empty_frames_are_pings_and_are_answered_with_empty_frames(stage: Stage) -> None:
    """Every 15 s; rule 2."""
    async with online(CSharp(stage, "alice")) as alice:
        for _ in range(3):
            alice.ping()
            assert await alice.frame() == EMPTY_FRAME


async def test_a_group_may_be_made_by_one_who_names_its_owner_too(stage: Stage) -> None:
    """Its ``POST /api/uctopic`` has an ``ownerUuid`` in it (rest.md section 3)."""
    async with online(CSharp(stage, "alice")) as alice:
        topic_id = await alice.create_unlimited("crowd", ownerUuid=str(alice.peer.uuid))
        await alice.learn_topics()
        assert alice.topics == [topic_id]


async def test_it_hears_of_groups_that_http_told_it_of_once_it_has_pinged_them(stage: Stage) -> None:
    async with online(CSharp(stage, "alice")) as alice:
        crowd = await alice.create_unlimited("crowd")
    async with online(CSharp(stage, "alice")) as alice, online(CSharp(stage, "bob")) as bob:
        assert isinstance(await alice.uc_answer(alice.ping_groups()), UcPong)
        assert isinstance(await bob.uc_answer(bob.join(crowd)), UcJoinAnswer)
        assert bob.topics == []  # it does not know, and pings nothing until its next login
        await bob.acked(bob.send_unlimited(crowd, b"to all"))
        for member in (alice, bob):
            listed = await member.uc_answer()
            assert isinstance(listed, UcMessageList)
            assert [message.payload for message in listed.messages] == [b"to all"]
            member.acknowledge_unlimited(crowd, listed.max_sequence or 0)
        assert isinstance(await bob.uc_answer(bob.quit(crowd)), UcQuitAnswer)
        assert await alice.leave() == []


def test_a_ping_every_50_seconds_keeps_it_in_its_groups() -> None:
    world = World()
    crowd = world.unlimited_group("alice")
    alice = OnNetwork(world, CSharp(world, "alice"))
    alice.client.topics = [crowd]
    for _ in range(10):
        alice.client.ping_groups()
        for _ in range(3):
            world.run_for(50.0 / 3)
            alice.client.ping()
        alice.client.send_unlimited(crowd, b"still here?")
        world.run_for(0.0)
        bodies = [alice.client.peer.read_packet(frame).body for _, frame in alice.got if frame != EMPTY_FRAME]
        kinds = [type(body.body if isinstance(body, UcPacket) else body) for body in bodies]
        assert kinds == [UcPong, PacketAck, UcMessageList]
        alice.got.clear()


async def test_a_kick_is_ignored_by_it_and_its_messages_are_not_taken_any_more(stage: Stage) -> None:
    """It stays online in its own eyes and never sends again; what it pings is answered."""
    async with online(CSharp(stage, "alice")) as alice:
        stage.expire_tokens("alice")
        await alice.kicked()
        alice.send_to("bob", b"nobody said no")
        alice.ping()
        assert await alice.frame() == EMPTY_FRAME
        assert stage.sessions() == []


async def test_a_refused_bind_makes_it_clear_its_token(stage: Stage) -> None:
    """Its application has to call Login() again; the reason is one that it knows (rule 14)."""
    async with online(CSharp(stage, "alice")) as alice:
        stage.expire_tokens("alice")
        await alice.kicked()
        refused = await alice.bind()
        assert (refused.error_type, refused.error_reason) == ("token-expired", "token-expired")
        await alice.fetch_token(stage.app_id)
        assert (await alice.bind()).result


async def test_it_logs_out(stage: Stage) -> None:
    async with online(CSharp(stage, "alice")) as alice:
        await alice.log_out()
        assert stage.sessions() == []
