"""The official WebJS client 1.0.3 against the whole service, from its first request to its logout."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from support.official.client import WebStage, online
from support.official.cpp import Cpp
from support.official.java import Java
from support.official.recorded import RecordedService, answer_to
from support.official.webjs import USER_AGENT, WebJs, WebJsPeer
from support.vectors import load

from mimc_proto import Framing, pb
from mimc_proto.packets import (
    P2PMessage,
    P2TMessage,
    Packet,
    UcDismiss,
    UcJoinAnswer,
    UcMessageList,
    UcPong,
    UcQuitAnswer,
)

pytestmark = pytest.mark.anyio

VECTORS = {entry["name"]: entry for entry in load("webjs")}
CHALLENGE, KEY = VECTORS["C2S BIND"]["challenge"], VECTORS["C2S BIND"]["security_key"]
BOBS_KEY = VECTORS["S2C SECMSG/COMPOUND"]["rc4_key_base64"]
APP_ID, ALICE, BOB = 2882303761517669588, 10054342014057971, 10683227407793882
RESOURCE, TEAM, CROWD = "4eccc97c41f6b9e0815db3fe80057180", 900000000000000002, 900000000000000003
NOW = 1_795_460_037_776


def frame(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["hex"])


# ------------------------------------------------------------------------------------------------ its recorded frames


def recorded_service() -> RecordedService:
    """With the users and groups of the recording."""
    recorded = RecordedService(APP_ID, "com.example.mimc", CHALLENGE, NOW)
    bind = pb.XMMsgBind.FromString(WebJsPeer().read(frame("C2S BIND")).payload)
    recorded.add_user("alice", ALICE, bind.token, KEY)
    recorded.add_user("bob", BOB, "of bob", BOBS_KEY)
    recorded.add_group(TEAM, "alice", "bob")
    recorded.add_group(CROWD, "alice", "bob", unlimited=True)
    return recorded


def recorded_client(stage: WebStage, account: str) -> WebJs:
    """One of the two, who knows token and keys."""
    web = WebJs(stage, account, RESOURCE if account == "alice" else "webB")
    web.data = {"appPackage": "com.example.mimc"}
    web.peer.challenge = CHALLENGE
    web.peer.uuid, web.peer.security_key = (ALICE, KEY) if account == "alice" else (BOB, BOBS_KEY)
    return web


def check_includes(mine: Any, theirs: Any) -> None:
    """What the client got then, it gets from us, but for ids and numbers that each service gives itself."""
    for name in type(theirs).field_names:
        value, got = getattr(mine, name), getattr(theirs, name)
        if got is None or name in ("sequence", "max_sequence", "timestamp", "packet_id"):
            assert got is None or value is not None
        elif hasattr(type(got), "field_names"):
            check_includes(value, got)
        elif isinstance(got, tuple):
            for one, other in zip(value, got, strict=True):
                check_includes(one, other)
        else:
            assert value == got, name


def check_like(mine: Packet, web: WebJs, name: str) -> None:
    """Whether a packet is like a recorded one."""
    theirs = web.peer.read_packet(frame(f"S2C SECMSG/{name}"))
    assert type(mine.body) is type(theirs.body)
    check_includes(mine, theirs)


async def test_its_recorded_frames_from_conn_to_the_end_of_its_group() -> None:
    """All that there are, unmodified; alice's BIND is in the recording, bob's is made here."""
    recorded = recorded_service()
    async with recorded.running():
        address = await recorded.runner.listen("127.0.0.1", 0, framing=Framing.WEBSOCKET)
        stage = WebStage(recorded, address)
        bob, alice = recorded_client(stage, "bob"), recorded_client(stage, "alice")
        bob.peer.token = "of bob"
        await bob.connect(*address)
        await bob.conn()
        assert (await bob.bind()).result
        await alice.connect(*address)
        conn, bind, ping = frame("C2S CONN"), frame("C2S BIND"), frame("C2S PING")
        alice.write(conn)
        assert (await alice.read("CONN")).payload == b"\x0a\x0c" + CHALLENGE.encode() + b"\x12\x04mimc"
        alice.write(ping)  # it has uuid 0 and another resource: it may come before there is a token
        pong = (await alice.read("PING")).header
        assert pong is not None
        assert (pong.id, pong.uuid) == ("web17954602357441", 0)
        alice.write(bind)
        assert await alice.frame() == answer_to(alice.peer, bind, b"\x08\x01")
        alice.write(frame("C2S SECMSG/P2P_MESSAGE"))
        await alice.acked("web17954600377732")
        check_like(await bob.packet(), bob, "COMPOUND")
        alice.write(frame("C2S SECMSG/P2T_MESSAGE"))
        await alice.acked("web179546003825510")
        [message] = await bob.messages()
        assert isinstance(message.body, P2TMessage)
        alice.join(CROWD)
        check_like(await alice.packet(), alice, "UC_PACKET/JOIN_RESP")
        alice.write(frame("C2S SECMSG/UC_PACKET/PING"))  # it names the group twice
        assert isinstance(await alice.uc_answer("web179546004760738"), UcPong)
        outer, _ = alice.send_unlimited(CROWD, "uc hello 世界".encode(), biz_type="U")
        await alice.acked(outer)
        check_like(await alice.packet(), alice, "UC_PACKET/MESSAGE_LIST")
        bob.write(frame("C2S SECMSG/UC_PACKET/QUIT"))
        assert (await bob.uc_answer("web179546003847916")).code == 0
        recorded.dismiss(CROWD)
        check_like(await alice.packet(), alice, "UC_PACKET/DISMISS")
        assert await alice.leave() == await bob.leave() == []


async def test_the_client_of_these_scenarios_makes_the_recorded_frames() -> None:
    """Byte by byte: it stands for the original."""
    recorded = recorded_service()
    alice = recorded_client(WebStage(recorded, ("", 0)), "alice")
    bob = recorded_client(WebStage(recorded, ("", 0)), "bob")
    [alice.peer.token] = [token for token, claims in recorded.tokens.items() if claims.uuid == ALICE]
    made: list[bytes] = []
    ids: list[str] = []
    for web in (alice, bob):
        web.write = lambda *frames: made.extend(frames)  # type: ignore[method-assign]
        web.peer.next_id = lambda: ids.pop()  # type: ignore[method-assign]
    acts: dict[str, Callable[[], object]] = {
        "CONN": lambda: alice.write(alice.peer.conn()),
        "BIND": lambda: alice.write(alice.peer.bind()),
        "SECMSG/P2P_MESSAGE": lambda: alice.send_to("bob", b"hello", biz_type="TEXT"),
        "SECMSG/P2T_MESSAGE": lambda: alice.send_group(TEAM, b"group hi", biz_type="G"),
        "SECMSG/UC_PACKET/PING": lambda: alice.ping_groups(CROWD, CROWD),
        "SECMSG/UC_PACKET/QUIT": lambda: bob.quit(CROWD),
    }
    for name, act in acts.items():
        header = alice.peer.read(frame(f"C2S {name}")).header
        assert header is not None
        ids.append(header.id or "")
        act()
        assert made.pop() == frame(f"C2S {name}"), name


# ------------------------------------------------------------------------------------ its whole life, over the network


async def test_a_page_of_any_origin_logs_in(web_stage: WebStage) -> None:
    """CORS before each request, a free ``Origin`` on the WebSocket (rule 18); its resource is md5 of the browser."""
    async with online(WebJs(web_stage, "alice")) as alice:
        [session] = web_stage.stage.sessions()
        assert session.resource == hashlib.md5(USER_AGENT.encode(), usedforsecurity=False).hexdigest()
        assert alice.topics == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_page_may_send_every_header_of_the_rest_api(web_stage: WebStage, method: str) -> None:
    """Rule 18."""
    alice = WebJs(web_stage, "alice")
    headers = "content-type token topicId startUuid appId appKey appSecret appAccount appAccountEncode"
    await alice.preflight(method, "/api/uctopic", *headers.split())


async def test_what_it_sends_plain_arrives_and_what_it_gets_is_encrypted(web_stage: WebStage) -> None:
    """Rule 7, which `check_frame` has an eye on; to a client on TCP and back."""
    async with online(WebJs(web_stage, "alice")) as alice, online(Java(web_stage.stage, "bob")) as bob:
        packet_id = alice.send_to("bob", b"hi", biz_type="TEXT")
        await alice.acked(packet_id)
        [packet] = await bob.messages()
        assert isinstance(packet.body, P2PMessage)
        assert (packet.packet_id, packet.body.payload, packet.body.sender) == (packet_id, b"hi", alice.me)
        await bob.acked(bob.send_to("alice", b"hello"))
        [packet] = await alice.messages()
        assert isinstance(packet.body, P2PMessage)
        assert packet.body.payload == b"hello"


async def test_a_message_with_characters_that_it_drops_reaches_it_whole(web_stage: WebStage) -> None:
    """It decodes UTF-8 by itself and loses characters of 4 bytes: that is its own loss, and costs nobody the rest."""
    text = "before \N{GRINNING FACE} after"
    async with online(WebJs(web_stage, "alice")) as alice, online(Java(web_stage.stage, "bob")) as bob:
        await bob.acked(bob.send_to("alice", text.encode()))
        await bob.acked(bob.send_to("alice", b"\xff no text at all"))
        payloads: list[bytes] = []
        while len(payloads) < 2:
            payloads += [packet.body.payload for packet in await alice.messages()]  # type: ignore[union-attr]
    assert payloads == [text.encode(), b"\xff no text at all"]


async def test_sequences_of_messages_to_it_and_to_its_groups_are_of_one_space(web_stage: WebStage) -> None:
    """It keeps one set of seen sequences for both, for ever."""
    stage = web_stage.stage
    async with online(WebJs(web_stage, "alice")) as alice, online(Cpp(stage, "bob")) as bob:
        team = int((await bob.create_topic("team", "alice")).data["topicInfo"]["topicId"])
        seen: list[int] = []
        for n in range(4):
            await bob.acked(bob.send_to("alice", b"hi") if n % 2 else bob.send_group(team, b"hi all"))
            seen += [packet.sequence or 0 for packet in await alice.messages()]
    assert seen == sorted(set(seen))
    assert len(seen) == 4


async def test_what_waited_for_it_comes_without_being_asked_for(web_stage: WebStage) -> None:
    """It never pulls; it acknowledges each list before its application has it (rule 10)."""
    async with online(Java(web_stage.stage, "bob")) as bob:
        for n in range(5):
            await bob.acked(bob.send_to("alice", b"%d" % n))
    async with online(WebJs(web_stage, "alice")) as alice:
        packets = await alice.messages()
        alice.acknowledge()
        alice.ping()
        assert (await alice.read("PING")).payload == b""
    async with online(WebJs(web_stage, "alice")) as alice:
        assert await alice.leave() == []
    assert [packet.body.payload for packet in packets] == [b"0", b"1", b"2", b"3", b"4"]  # type: ignore[union-attr]


async def test_its_two_ids_of_a_message_are_told_apart(web_stage: WebStage) -> None:
    """The one outside is acknowledged, the one inside is what receivers see."""
    async with online(WebJs(web_stage, "alice")) as alice:
        crowd = await alice.create_unlimited("crowd")
        assert isinstance(await alice.uc_answer(alice.ping_groups(crowd)), UcPong)
        outer, inner = alice.send_unlimited(crowd, b"to all")
        assert outer != inner
        await alice.acked(outer)
        listed = await alice.uc_answer()
        assert isinstance(listed, UcMessageList)
        assert [message.packet_id for message in listed.messages] == [inner]
        alice.acknowledge_unlimited(crowd, listed.max_sequence or 0)


async def test_it_goes_on_pinging_a_group_that_it_has_left_and_hears_nothing_of_it(web_stage: WebStage) -> None:
    async with online(WebJs(web_stage, "alice", "pc")) as alice, online(WebJs(web_stage, "bob")) as bob:
        crowd = await bob.create_unlimited("crowd")
        await bob.uc_answer(bob.ping_groups(crowd))
        assert isinstance(await alice.uc_answer(alice.join(crowd)), UcJoinAnswer)
        assert isinstance(await alice.uc_answer(alice.quit(crowd)), UcQuitAnswer)
        for _ in range(3):
            assert isinstance(await alice.uc_answer(alice.ping_groups(crowd)), UcPong)
        outer, _ = bob.send_unlimited(crowd, b"to those who are left")
        await bob.acked(outer)
        assert await alice.leave() == []


async def test_its_groups_are_known_again_after_a_new_login_by_its_ping(web_stage: WebStage) -> None:
    """A ping that says so is all that tells the service (wire.md section 6)."""
    async with online(WebJs(web_stage, "alice", "pc")) as alice, online(WebJs(web_stage, "bob")) as bob:
        crowd = await bob.create_unlimited("crowd")
        await alice.uc_answer(alice.join(crowd))
        await alice.leave()
        async with online(WebJs(web_stage, "alice", "pc")) as again:
            assert again.topics == [crowd]
            await again.uc_answer(again.ping_groups())
            await bob.acked(bob.send_unlimited(crowd, b"to all")[0])
            assert isinstance(await again.uc_answer(), UcMessageList)


async def test_two_pages_of_one_browser_are_one_resource(web_stage: WebStage) -> None:
    """The older one is told, and never connects again by itself."""
    async with online(WebJs(web_stage, "alice")) as old, online(WebJs(web_stage, "alice")) as new:
        kick = await old.kicked()
        assert (kick.type, kick.reason) == ("single-resource-kick", "single-resource-kick")
        new.ping()
        assert (await new.read("PING")).payload == b""


async def test_its_socket_is_closed_after_it_logged_out(web_stage: WebStage) -> None:
    """UBND is answered with an empty KICK first (rule 3)."""
    async with online(WebJs(web_stage, "alice")) as alice:
        await alice.log_out()
        assert await alice.ended() == b""
        assert web_stage.stage.sessions() == []


async def test_a_group_that_its_owner_dismisses_over_http_is_gone_for_those_who_are_online(web_stage: WebStage) -> None:
    """They hear it as UC DISMISS (wire.md section 6); the id is in a header."""
    async with online(WebJs(web_stage, "alice")) as alice, online(Java(web_stage.stage, "bob")) as bob:
        crowd = await alice.create_unlimited("crowd")
        for member in (alice, bob):
            assert isinstance(await member.uc_answer(member.join(crowd)), UcJoinAnswer)
        answer = await alice.as_page("DELETE", "/api/uctopic", token=alice.data["token"], topicId=str(crowd))
        assert answer.data is None
        for member in (alice, bob):
            told = await member.uc_answer()
            assert isinstance(told, UcDismiss)
            assert told.group == member.group(crowd)
        await alice.learn_topics()
        assert alice.topics == []
        assert isinstance(await bob.uc_answer(bob.ping_groups(crowd)), UcPong)  # it does not know yet
