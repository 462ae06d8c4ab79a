"""The official C++ client 1.0.1 against the whole service, from its first request to its logout."""

from __future__ import annotations

import pytest
from support.official.client import Stage, online
from support.official.cpp import Cpp
from support.official.virtual import OnNetwork, World

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Kick, OnlineMessage, P2PMessage, P2TMessage, Packet, PacketAck, PacketList
from mimc_proto.testing import Conditions

pytestmark = pytest.mark.anyio
LATENCY = 0.05


async def test_it_logs_in_by_a_resolver_that_knows_frontend_and_relay(stage: Stage) -> None:
    """The URL has no scheme, so it is plain HTTP; without addresses of the relay it refuses (rule 13)."""
    async with online(Cpp(stage, "alice", "cpp_resource")) as alice:
        [session] = stage.sessions()
        assert len(alice.peer.udid) == 10
    assert (session.account, session.resource) == ("alice", "cpp_resource")


async def test_each_connection_has_an_udid_of_its_own_which_is_in_the_body_key(stage: Stage) -> None:
    """Rule 8; what was sealed with another key would break the link."""
    async with online(Cpp(stage, "alice")) as one, online(Cpp(stage, "bob")) as other:
        assert one.peer.udid != other.peer.udid
        await one.acked(one.send_to("bob", b"hi"))
        assert len(await other.messages()) == 1


async def test_its_attributes_are_signed_with_their_trailing_comma(stage: Stage) -> None:
    async with online(Cpp(stage, "alice", attributes="version:1,os:linux,")):
        assert len(stage.sessions()) == 1


async def test_an_account_that_is_not_ascii_makes_groups_by_its_base64(stage: Stage) -> None:
    """``appAccountEncode: base64`` (rest.md, Auth)."""
    async with online(Cpp(stage, "用户-é")) as alice, online(Cpp(stage, "bob")) as bob:
        made = (await alice.create_topic("team", "bob")).data
        assert made["topicInfo"]["ownerAccount"] == "用户-é"
        await alice.acked(alice.send_group(int(made["topicInfo"]["topicId"]), b"all"))
        [packet] = await bob.messages()
    assert isinstance(packet.body, P2TMessage)
    assert packet.body.sender == alice.me


async def test_the_ack_is_for_the_packets_id_which_is_never_that_of_its_header(stage: Stage) -> None:
    """And a timestamp in seconds means nothing: that of the service counts, in milliseconds (rule 6)."""
    async with online(Cpp(stage, "alice")) as alice, online(Cpp(stage, "bob")) as bob:
        ack = await alice.acked(alice.send_to("bob", b"hi"))
        [packet] = await bob.messages()
    assert packet.packet_id == ack.packet_id
    assert packet.timestamp == ack.timestamp
    assert (ack.timestamp or 0) > 1_700_000_000_000


async def test_its_empty_frames_are_pings_and_are_answered_with_empty_frames(stage: Stage) -> None:
    """Every 15 s, before CONN is answered too (rule 2)."""
    async with online(Cpp(stage, "alice")) as alice:
        for _ in range(3):
            alice.ping()
            assert await alice.frame() == EMPTY_FRAME


async def test_it_sends_bind_again_every_6_seconds_and_nothing_comes_twice(stage: Stage) -> None:
    """While an answer is late; it removes no repeats, for its list of those is never filled.

    Several in one read: tests/server/service/test_official_clients.py.
    """
    async with online(Cpp(stage, "bob")) as bob, online(Cpp(stage, "alice")) as alice:
        for _ in range(3):
            assert (await alice.bind()).result
        await bob.acked(bob.send_to("alice", b"once"))
        assert len(await alice.messages()) == 1
        alice.acknowledge()
        assert (await alice.bind()).result
        assert len(stage.sessions()) == 2
        assert await alice.leave() == []


async def test_what_waited_comes_at_login_and_once(stage: Stage) -> None:
    async with online(Cpp(stage, "bob")) as bob:
        await bob.acked(bob.send_to("alice", b"first"))
        await bob.acked(bob.send_to("alice", b"second"))
        async with online(Cpp(stage, "alice", "cpp_resource")) as alice:
            packets = await alice.messages()
            alice.acknowledge()
            alice.ping()
            assert await alice.frame() == EMPTY_FRAME
        async with online(Cpp(stage, "alice", "cpp_resource")) as alice:
            assert await alice.leave() == []
    assert [packet.body.payload for packet in packets if isinstance(packet.body, P2PMessage)] == [b"first", b"second"]


async def test_it_gets_online_messages_and_answers_none(stage: Stage) -> None:
    """Nor does it wait for an answer: the one who sends hears nothing (rule 12)."""
    async with online(Cpp(stage, "alice")) as alice, online(Cpp(stage, "bob")) as bob:
        packet_id = alice.send_online("bob", b"now")
        packet = await bob.packet()
        assert await alice.leave() == []
    assert isinstance(packet.body, OnlineMessage)
    assert (packet.packet_id, packet.body.payload) == (packet_id, b"now")


async def test_an_expired_token_makes_it_bind_again_within_5_seconds_with_a_new_one(stage: Stage) -> None:
    """It reads the KICK as an answer to BIND: error_type is the reason (rule 4)."""
    async with online(Cpp(stage, "alice")) as alice:
        stage.expire_tokens("alice")
        assert (await alice.kicked()).reason == "token-expired"
        await alice.fetch_token(stage.app_id)
        assert (await alice.bind()).result


async def test_taken_over_it_binds_again_and_is_kept_away(stage: Stage) -> None:
    async with online(Cpp(stage, "alice", "cpp")) as old, online(Cpp(stage, "alice", "cpp")) as new:
        assert (await old.kicked()).reason == "single-resource-kick"
        assert (await old.bind()).error_type == "single-resource-kick"
        new.ping()
        assert await new.frame() == EMPTY_FRAME


async def test_it_is_logged_out_by_an_empty_kick_and_its_link_is_kept(stage: Stage) -> None:
    """Rule 3."""
    async with online(Cpp(stage, "alice")) as alice:
        await alice.log_out()
        assert stage.sessions() == []
        alice.ping()
        assert await alice.frame() == EMPTY_FRAME


# --------------------------------------------------------------------- its own test suite, which waits only so long


class Two:
    """Alice and bob on a network that takes its time, and a service that must not."""

    def __init__(self) -> None:
        self.world = World(conditions=Conditions(latency=LATENCY))
        self.alice = OnNetwork(self.world, Cpp(self.world, "alice"))
        self.bob = OnNetwork(self.world, Cpp(self.world, "bob"))

    def sent(self, packet_id: str, payload: bytes, *, group: bool = False) -> None:
        """What alice has just sent is acknowledged and delivered once, each after one way up and one way down."""
        due = self.world.clock.now + 2 * LATENCY
        self.world.run_for(1.0)
        at, ack = self.alice.packet()
        assert isinstance(ack.body, PacketAck)
        assert at == pytest.approx(due)
        assert (ack.body.packet_id, ack.body.code) == (packet_id, 0)
        at, packet = self.bob.packet()
        assert isinstance(packet.body, PacketList)
        [item] = packet.body.packets
        assert isinstance(item, Packet)
        assert isinstance(item.body, P2TMessage if group else P2PMessage)
        assert at == pytest.approx(due)
        assert (item.packet_id, item.body.payload) == (packet_id, payload)
        assert self.alice.got == self.bob.got == []


def test_p2p_send_one_msg_of_its_suite() -> None:
    """`testP2PSendOneMsg`: acknowledged within 0.4 s, delivered within 0.6 s. The service adds nothing of its own."""
    two = Two()
    for n in range(3):
        two.sent(two.alice.client.send_to("bob", b"message %d" % n), b"message %d" % n)


def test_send_group_message_of_its_suite() -> None:
    """`testSendGroupMessage`: the same times for a normal group."""
    two = Two()
    topic_id = two.world.group("alice", ["bob"])
    for n in range(3):
        two.sent(two.alice.client.send_group(topic_id, b"message %d" % n), b"message %d" % n, group=True)


def test_logout_of_its_suite() -> None:
    """Offline within 0.4 s of logout: the KICK that says so comes by return."""
    two = Two()
    due = two.world.clock.now + 2 * LATENCY
    two.alice.client.write(two.alice.client.peer.command("UBND"))
    two.world.run_for(1.0)
    [(at, frame)] = two.alice.got
    found = two.alice.client.peer.read(frame)
    assert at == pytest.approx(due)
    assert (found.command, Kick.decode(found.payload)) == ("KICK", Kick())
    assert [session.account for session in two.world.sessions()] == ["bob"]


def test_messages_that_waited_come_with_the_answer_to_bind() -> None:
    """No later than that, in one list, which is why it need not ask for them (rule 10)."""
    two = Two()
    for n in range(3):
        two.alice.client.send_to("carol", b"%d" % n)
    two.world.run_for(1.0)
    carol = OnNetwork(two.world, Cpp(two.world, "carol"))
    at_login = two.world.clock.now
    two.world.run_for(1.0)
    at, packet = carol.packet()
    assert at == at_login
    assert isinstance(packet.body, PacketList)
    assert len(packet.body.packets) == 3
