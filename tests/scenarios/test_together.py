"""All five official clients on one service at once: it has to satisfy them all (clients.md)."""

from __future__ import annotations

import contextlib

import pytest
from support.official.client import Official, WebStage, online
from support.official.cpp import Cpp
from support.official.csharp import CSharp
from support.official.go import Go
from support.official.java import Java
from support.official.webjs import WebJs

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import OnlineMessage, P2PMessage, P2TMessage, Packet, UcJoinAnswer, UcMessageList

pytestmark = pytest.mark.anyio

Anyone = Cpp | CSharp | Go | Java | WebJs


def everybody(web_stage: WebStage) -> list[Anyone]:
    stage = web_stage.stage
    return [Go(stage, "go"), Java(stage, "java"), Cpp(stage, "cpp"), CSharp(stage, "csharp"), WebJs(web_stage, "web")]


async def all_online(web_stage: WebStage, stack: contextlib.AsyncExitStack) -> list[Anyone]:
    """Logged in, one after the other."""
    clients = everybody(web_stage)
    for client in clients:
        await stack.enter_async_context(online(client))
    return clients


async def received(client: Anyone, count: int) -> list[Packet]:
    """So many messages, each list acknowledged as this client does it."""
    packets: list[Packet] = []
    while len(packets) < count:
        packets += await client.messages()
        client.acknowledge()
    return packets


async def pong(client: Official) -> bool:
    """Whether what came next is the answer to a ping, of either kind."""
    data = await client.frame()
    return data == EMPTY_FRAME or client.peer.read(data).command == "PING"


async def test_each_of_them_can_write_to_each_other(web_stage: WebStage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = await all_online(web_stage, stack)
        for sender in clients:
            others = [client for client in clients if client is not sender]
            for receiver in others:
                payload = f"{sender.account} to {receiver.account}".encode()
                ack = await sender.acked(sender.send_to(receiver.account, payload))
                [packet] = await received(receiver, 1)
                assert isinstance(packet.body, P2PMessage)
                assert (packet.packet_id, packet.sequence) == (ack.packet_id, ack.sequence)
                assert (packet.body.payload, packet.body.sender) == (payload, sender.me)


async def test_what_each_acknowledged_in_its_own_way_does_not_come_again(web_stage: WebStage) -> None:
    """Own or copied uuid and resource, with and without the application, under ids of its own or of the list."""
    async with contextlib.AsyncExitStack() as stack:
        clients = await all_online(web_stage, stack)
        sender = Go(web_stage.stage, "somebody")
        await stack.enter_async_context(online(sender))
        for client in clients:
            await sender.acked(sender.send_to(client.account, b"once"))
            await received(client, 1)
            client.ping()
            assert await pong(client)
        resources = {client.account: client.peer.resource for client in clients}
        for client in clients:
            assert await client.leave() == []
        for client in everybody(web_stage):
            client.peer.resource = resources[client.account]
            await stack.enter_async_context(online(client))
            assert await client.leave() == []


async def test_a_message_of_each_reaches_all_others_of_a_group(web_stage: WebStage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = await all_online(web_stage, stack)
        [founder] = [client for client in clients if isinstance(client, Cpp)]
        made = await founder.create_topic("team", *(client.account for client in clients))
        team = int(made.data["topicInfo"]["topicId"])
        for sender in clients:
            await sender.acked(sender.send_group(team, sender.account.encode()))
            for receiver in clients:
                if receiver is not sender:
                    [packet] = await received(receiver, 1)
                    assert isinstance(packet.body, P2TMessage)
                    assert packet.body.payload == sender.account.encode()
        for client in clients:
            assert await client.leave() == []  # nobody got a message of his own


async def test_a_message_to_an_unlimited_group_reaches_all_who_know_such_groups(web_stage: WebStage) -> None:
    """Go and C++ do not."""
    async with contextlib.AsyncExitStack() as stack:
        clients = await all_online(web_stage, stack)
        members = [client for client in clients if isinstance(client, (Java, CSharp, WebJs))]
        crowd = await members[0].create_unlimited("crowd")
        for client in members:
            assert isinstance(await client.uc_answer(client.join(crowd)), UcJoinAnswer)
        for sender in members:
            sent = sender.send_unlimited(crowd, sender.account.encode())
            await sender.acked(sent if isinstance(sent, str) else sent[0])
            for member in members:
                listed = await member.uc_answer()
                assert isinstance(listed, UcMessageList)
                assert [message.payload for message in listed.messages] == [sender.account.encode()]
                member.acknowledge_unlimited(crowd, listed.max_sequence or 0)


async def test_an_online_message_reaches_clients_that_do_not_know_what_it_is(web_stage: WebStage) -> None:
    """As the type that it is, once, without a place in any list (rule 12)."""
    async with contextlib.AsyncExitStack() as stack:
        clients = await all_online(web_stage, stack)
        [sender] = [client for client in clients if isinstance(client, Java)]
        for client in clients:
            if client is not sender:
                packet_id = sender.send_online(client.account, b"now")
                packet = await client.packet()
                assert isinstance(packet.body, OnlineMessage)
                assert packet.packet_id == packet_id
                assert await client.leave() == []


async def test_the_clients_of_one_user_are_online_together(web_stage: WebStage) -> None:
    """Five resources of one account: each gets the message, and each acknowledges for itself."""
    stage = web_stage.stage
    async with contextlib.AsyncExitStack() as stack:
        mine = [Go(stage, "me"), Java(stage, "me"), Cpp(stage, "me"), CSharp(stage, "me"), WebJs(web_stage, "me")]
        for client in mine:
            await stack.enter_async_context(online(client))
        async with online(Java(stage, "bob")) as bob:
            await bob.acked(bob.send_to("me", b"to all of me"))
        found = [await received(client, 1) for client in mine]  # type: ignore[arg-type]
        assert {packets[0].sequence for packets in found} == {found[0][0].sequence}


async def test_every_kind_of_logout_ends_every_session(web_stage: WebStage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for client in await all_online(web_stage, stack):
            await client.log_out()
        assert web_stage.stage.sessions() == []
