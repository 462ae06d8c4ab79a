"""The official Java client 2.0.8 against the whole service, from its first request to its logout."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from mimc_server.service import ServiceConfig
from support.official.client import Stage, online
from support.official.java import Java, JavaPeer
from support.official.recorded import RecordedService, answer_to
from support.official.virtual import OnNetwork, World
from support.vectors import load

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import (
    OnlineMessage,
    OnlineMessageAck,
    P2PMessage,
    Packet,
    PacketAck,
    PacketList,
    UcJoinAnswer,
    UcMessageList,
    UcPacket,
    UcPong,
    UcQuitAnswer,
)

pytestmark = pytest.mark.anyio

SESSION = load("java")
FRAMES = [(entry["dir"], entry["cmd"], bytes.fromhex(entry["frame"])) for entry in SESSION["frames"]]
SENT = [frame for direction, _, frame in FRAMES if direction == "IN"]
CONN, BIND, P2P, P2T, ONLINE, PULL, JOIN, UC_MESSAGE, UC_SEQ_ACK, PING, QUIT, UBND = SENT
GOT = [frame for direction, _, frame in FRAMES if direction == "OUT"]
GOT_CONN, GOT_BIND, GOT_P2P, GOT_P2T, GOT_ONLINE, GOT_JOIN, GOT_UC_ACK, GOT_UC_LIST, GOT_QUIT, GOT_KICK = GOT
APP_ID, ACCOUNT, UUID, RESOURCE = 2882303761517669588, "alice", 14241911555171127, "JwfaodAW"
NOW = 1_795_461_068_094
TEAM, CROWD = 21351198708203520, 27000000000000002


# ----------------------------------------------------------------------------------------------- its recorded session


def service() -> RecordedService:
    """With the user of the recording and his groups, and bob."""
    config = ServiceConfig(host="stub-fe-1")
    recorded = RecordedService(APP_ID, "com.x.stub", SESSION["challenge"], NOW, config)
    token = SESSION["sigBase"].partition("&token=")[2].rpartition("&")[0]
    recorded.add_user(ACCOUNT, UUID, token, SESSION["securityKey"])
    recorded.add_user("bob", 77, "of bob", SESSION["securityKey"])
    recorded.add_group(TEAM, ACCOUNT, "bob")
    recorded.add_group(CROWD, "bob", unlimited=True)
    return recorded


async def client(recorded: RecordedService, account: str, uuid: int, token: str, resource: str = RESOURCE) -> Java:
    """One of them, connected; CONN is still to come."""
    java = Java(recorded, account, resource)
    java.peer.challenge, java.peer.security_key = SESSION["challenge"], SESSION["securityKey"]
    java.peer.uuid, java.peer.token = uuid, token
    java.data = {"appPackage": recorded.package}
    await java.connect(*recorded.address)
    return java


def same(mine: Packet, recorded: bytes, java: Java, **free: Any) -> bool:
    """Whether a packet is the recorded one, but for what a service is free to choose: ids and numbers of its own.

    ``free`` are values of the body, or of what is in a UC packet, that the recording's stub gave otherwise.
    """
    theirs = java.peer.read_packet(recorded)
    body: Any = theirs.body
    if isinstance(body, UcPacket):
        assert isinstance(mine.body, UcPacket)
        body = body.replace(packet_id=mine.body.packet_id, body=body.body.replace(**free))
    else:
        body = body.replace(**free)
    own = {"packet_id": mine.packet_id, "sequence": mine.sequence, "timestamp": mine.timestamp}
    return mine == theirs.replace(body=body, **own)


async def test_its_recorded_session_frame_by_frame() -> None:
    """All that it sent, unmodified, and its answers against those that it got then."""
    recorded = service()
    async with recorded.running():
        bob = await client(recorded, "bob", 77, "of bob", "phone")
        await bob.conn()
        assert (await bob.bind()).result
        java = await client(recorded, ACCOUNT, UUID, "")
        java.write(CONN)
        answer = await java.read("CONN")
        assert answer.payload == java.peer.read(GOT_CONN).payload
        java.peer.encrypt_bodies()
        java.write(BIND)
        assert await java.frame() == GOT_BIND == answer_to(java.peer, BIND, b"\x08\x01")
        for frame, got in ((P2P, GOT_P2P), (P2T, GOT_P2T)):
            java.write(frame)
            ack = await java.packet()
            assert isinstance(ack.body, PacketAck)
            numbers = {"sequence": ack.sequence, "timestamp": NOW, "conv_index": 1}
            assert same(ack, got, java, **numbers)
            await bob.messages()
        java.write(ONLINE)
        bob.answer_online(await bob.packet())
        assert same(await java.packet(), GOT_ONLINE, java)
        java.write(PULL)  # nothing waits: nothing comes
        java.write(JOIN)
        assert same(await java.packet(), GOT_JOIN, java, text="")
        java.write(UC_MESSAGE)
        ack = await java.packet()
        assert same(ack, GOT_UC_ACK, java, sequence=ack.sequence, timestamp=NOW, conv_index=1)
        listed = await java.packet()
        assert isinstance(listed.body, UcPacket)
        [message] = java.peer.read_packet(GOT_UC_LIST).body.body.messages  # type: ignore[union-attr]
        message = message.replace(sequence=ack.sequence, timestamp=NOW)
        assert same(listed, GOT_UC_LIST, java, messages=(message,), max_sequence=ack.sequence)
        java.write(UC_SEQ_ACK, PING)
        assert await java.frame() == EMPTY_FRAME
        java.write(QUIT)
        assert same(await java.packet(), GOT_QUIT, java, text="")
        java.write(UBND)
        assert await java.frame() == GOT_KICK == answer_to(java.peer, UBND, command="KICK")
        assert [session.account for session in recorded.sessions()] == ["bob"]
        assert await java.leave() == []
        assert await bob.leave() == []


async def test_the_client_of_these_scenarios_makes_the_recorded_frames() -> None:
    """Byte by byte: it stands for the original."""
    made: list[bytes] = []
    recorded = service()
    java = Java(recorded, ACCOUNT, RESOURCE)
    peer = java.peer
    assert isinstance(peer, JavaPeer)
    peer.prefix, java.data = "PGHGKkjGMWyZLzF-", {"appPackage": recorded.package}
    peer.challenge, peer.security_key = SESSION["challenge"], SESSION["securityKey"]
    peer.uuid, [peer.token] = UUID, [token for token, claims in recorded.tokens.items() if claims.uuid == UUID]
    java.write = lambda *frames: made.extend(frames)  # type: ignore[method-assign]
    java.write(peer.conn(), peer.bind())
    java.send_to("bob", b"hello", conversation=True, biz_type="TEXT")
    java.send_group(TEAM, b"grp")
    java.send_online("bob", b"now")
    java.pull()
    java.join(CROWD)
    java.send_unlimited(CROWD, b"big")
    java.acknowledge_unlimited(CROWD, 1)
    peer.numbers = itertools.count(6)
    java.ping()
    java.quit(CROWD)
    java.write(peer.command("UBND"))
    assert made == SENT


# ----------------------------------------------------------------------------------------- its whole life, over HTTP


async def test_it_logs_in_with_an_application_id_that_is_text_and_asks_for_its_groups_before_conn(stage: Stage) -> None:
    """The resolver is asked with many other keys, for two domains at once, and with a trailing ``&``."""
    async with online(Java(stage, "bob")) as bob:
        crowd = await bob.create_unlimited("crowd")
        async with online(Java(stage, "alice", "pc_java")) as alice:
            assert alice.topics == []
            assert [session.resource for session in stage.sessions() if session.account == "alice"] == ["pc_java"]
            assert (await alice.uc_answer(alice.join(crowd))).code == 0
        async with online(Java(stage, "alice", "pc_java")) as alice:
            assert alice.topics == [str(crowd)]


async def test_its_conn_names_nobody_and_is_answered_under_no_id(stage: Stage) -> None:
    """No chid, resource, id or dir_flag; a counter for a uuid."""
    async with online(Java(stage, "alice")) as alice:
        again = Java(stage, "alice")
        again.data = alice.data
        host, port = await again.resolve(*again.resolver_request())
        await again.connect(host, port)
        again.write(again.peer.conn())
        header = (await again.read("CONN")).header
        assert header is not None
        assert (header.id, header.resource or "") == ("", "")
        assert await again.leave() == []


async def test_its_messages_arrive_and_are_acknowledged_with_every_field_that_it_names(stage: Stage) -> None:
    """Conversation, isStore and bizType are there even if they say nothing."""
    async with online(Java(stage, "alice")) as alice, online(Java(stage, "bob")) as bob:
        packet_id = alice.send_to("bob", "hé\N{GRINNING FACE}".encode(), conversation=True)
        ack = await alice.acked(packet_id)
        [packet] = await bob.messages()
    assert isinstance(packet.body, P2PMessage)
    assert (packet.packet_id, packet.sequence, packet.body.is_store) == (packet_id, ack.sequence, True)
    assert (packet.body.payload.decode(), packet.body.biz_type) == ("hé\N{GRINNING FACE}", "")


async def test_what_it_acknowledges_under_the_lists_own_id_does_not_come_again(stage: Stage) -> None:
    """The key of that packet comes from the id of the COMPOUND's header (rule 6)."""
    async with online(Java(stage, "alice")) as alice:
        async with online(Java(stage, "bob", "phone")) as bob:
            await alice.acked(alice.send_to("bob", b"first"))
            await bob.messages()
            bob.acknowledge()
            bob.ping()
            assert await bob.frame() == EMPTY_FRAME
        await alice.acked(alice.send_to("bob", b"second"))
        async with online(Java(stage, "bob", "phone")) as bob:
            again = await bob.messages()
    assert [packet.body.payload for packet in again if isinstance(packet.body, P2PMessage)] == [b"second"]


async def test_what_its_application_refuses_comes_again_when_it_pulls(stage: Stage) -> None:
    """How repeated PULLs are paced is tested in tests/server/service/test_pull.py (rule 10)."""
    async with online(Java(stage, "alice")) as alice, online(Java(stage, "bob")) as bob:
        await alice.acked(alice.send_to("bob", b"no"))
        first = await bob.messages()
        bob.pull()
        assert await bob.messages() == first


async def test_an_online_message_reaches_every_session_and_the_answer_of_each_comes_back(stage: Stage) -> None:
    """To the session that sent it, by the uuid and resource that the answer names (rule 12)."""
    async with (
        online(Java(stage, "alice", "pc")) as alice,
        online(Java(stage, "alice", "tablet")) as other,
        online(Java(stage, "bob", "phone")) as phone,
        online(Java(stage, "bob", "watch")) as watch,
    ):
        packet_id = alice.send_online("bob", b"now")
        for bob in (phone, watch):
            packet = await bob.packet()
            assert isinstance(packet.body, OnlineMessage)
            assert (packet.packet_id, packet.body.payload) == (packet_id, b"now")
            bob.answer_online(packet)
            verdict = (await alice.packet()).body
            assert isinstance(verdict, OnlineMessageAck)
            assert (verdict.packet_id, verdict.code, verdict.error_message) == (packet_id, 1, "RECEIVED")
        assert await other.leave() == []


async def test_each_of_its_packets_about_unlimited_groups_is_answered_but_the_acknowledgement(stage: Stage) -> None:
    """Within 5 s, or it drops the link (rule 1); JOIN and QUIT are answered under the id inside (rule 11)."""
    async with online(Java(stage, "bob")) as bob, online(Java(stage, "alice")) as alice:
        crowd = await bob.create_unlimited("crowd")
        assert isinstance(await alice.uc_answer(alice.join(crowd)), UcJoinAnswer)
        assert isinstance(await alice.uc_answer(alice.ping_groups(crowd)), UcPong)
        packet_id = alice.send_unlimited(crowd, b"to all")
        ack = await alice.acked(packet_id)
        listed = await alice.uc_answer()
        assert isinstance(listed, UcMessageList)
        assert [(item.packet_id, item.sequence) for item in listed.messages] == [(packet_id, ack.sequence)]
        alice.acknowledge_unlimited(crowd, listed.max_sequence or 0)
        assert isinstance(await alice.uc_answer(alice.quit(crowd)), UcQuitAnswer)


async def test_sequences_of_its_groups_never_collide(stage: Stage) -> None:
    """It keeps one set of seen sequences for all unlimited groups (rule 11)."""
    async with online(Java(stage, "alice")) as alice:
        crowds = [await alice.create_unlimited(f"crowd {n}") for n in range(3)]
        seen = []
        for crowd in crowds * 2:
            await alice.uc_answer(alice.ping_groups(*crowds))
            await alice.acked(alice.send_unlimited(crowd, b"hi"))
            seen.append((await alice.uc_answer()).max_sequence)
    assert seen == sorted(set(seen))


async def test_an_expired_token_makes_it_bind_again_on_its_link_with_a_new_one(stage: Stage) -> None:
    """At once or 5 s after its last BIND, which is the same to the service."""
    async with online(Java(stage, "alice")) as alice:
        stage.expire_tokens("alice")
        assert (await alice.kicked()).reason == "token-expired"
        await alice.fetch_token(str(stage.app_id))
        assert (await alice.bind()).result
        assert len(stage.sessions()) == 1


async def test_taken_over_it_opens_another_link_and_idles_there(stage: Stage) -> None:
    """With CONN and without BIND (rule 4); until when it may is tested in tests/traces/test_java.py."""
    async with online(Java(stage, "alice", "phone")) as old, online(Java(stage, "alice", "phone")) as new:
        kick = await old.kicked()
        assert (kick.type, kick.reason) == ("single-resource-kick", "single-resource-kick")
        idle = Java(stage, "alice", "phone")
        idle.data = old.data
        await idle.open()
        new.ping()
        assert await new.frame() == EMPTY_FRAME
        idle.write(EMPTY_FRAME)
        assert await idle.frame() == EMPTY_FRAME
        assert await idle.leave() == []
        assert len(stage.sessions()) == 1


async def test_logged_out_by_an_empty_kick_it_may_bind_again_on_the_same_link(stage: Stage) -> None:
    """The link is kept (rule 3)."""
    async with online(Java(stage, "alice")) as alice:
        await alice.log_out()
        assert stage.sessions() == []
        assert (await alice.bind()).result


async def test_the_largest_message_that_it_sends_is_delivered(stage: Stage) -> None:
    async with online(Java(stage, "alice")) as alice, online(Java(stage, "bob")) as bob:
        await alice.acked(alice.send_to("bob", bytes(15_360)))
        [packet] = await bob.messages()
    assert isinstance(packet.body, P2PMessage)
    assert len(packet.body.payload) == 15_360


def test_it_may_be_silent_for_180_seconds_again_and_again() -> None:
    """And still gets its messages (rule 17); WebJS does the same."""
    world = World()
    alice = OnNetwork(world, Java(world, "alice"))
    for _ in range(5):
        world.run_for(180.0)
        alice.client.ping()
        world.run_for(0.0)
        assert [frame for _, frame in alice.got] == [EMPTY_FRAME]
        alice.got.clear()
    world.login("bob").session.send("alice", b"still there?", now=world.clock.now)
    world.run_for(0.0)
    _, packet = alice.packet()
    assert isinstance(packet.body, PacketList)


def test_the_link_on_which_it_idles_is_closed_after_minutes_and_not_at_once() -> None:
    """Rules 4 and 15: closed at once it would be back 170 times a second."""
    world = World()
    alice = OnNetwork(world, Java(world, "alice"), bind=False)
    start = world.clock.now
    world.run_for(239.9)
    assert alice.ended is None
    world.run_for(600.0)
    assert alice.ended == start + 240.0
