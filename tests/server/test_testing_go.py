"""What the official Go client does from its first request on, by hand, against the whole service (clients.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import AsyncIterator

import httpx2
import pytest
from mimc_server.testing import LoopbackService
from support.wires import Wire, wire

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import Group as Topic
from mimc_proto.packets import Kick, P2PMessage, P2TMessage, PacketAck, User

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextlib.asynccontextmanager
async def go(service: LoopbackService, account: str, resource: str) -> AsyncIterator[Wire]:
    """Online as Go gets there: token, resolver, CONN, BIND."""
    body = {"appId": service.app_id, "appKey": service.app_key, "appSecret": service.app_secret, "appAccount": account}
    async with httpx2.AsyncClient(verify=False) as http:
        answer = (await http.post(f"{service.http_url}/api/account/token", json=body)).text
        data = json.loads(answer)["data"]
        query = urllib.parse.urlencode({"ver": "4.0", "type": "wifi", "list": data["feDomainName"]})
        resolved = (await http.get(f"{service.http_url}/gslb/?{query}")).json()
    assert resolved["S"] == "Ok"
    host, port = resolved["R"]["wifi"][data["feDomainName"]][0].split(":")
    async with wire((host, int(port))) as client:
        client.peer.prefix = f"mimc_go_{account}_"
        bound = await client.login(answer, resource)
        assert bound.result
        yield client


async def test_go_gets_a_token_with_every_field_of_the_type_that_it_insists_on() -> None:
    async with LoopbackService() as service:
        data = json.loads(service.token_answer("alice"))["data"]
    kinds = {name: type(value) for name, value in data.items()}
    text = ("appId", "appPackage", "appAccount", "miUserId", "miUserSecurityKey", "token", "feDomainName")
    assert kinds == {
        **dict.fromkeys(text, str),
        "relayDomainName": str,
        "miChid": int,
        "regionBucket": int,
    }


async def test_go_is_answered_each_of_its_pings() -> None:
    async with LoopbackService() as service, go(service, "alice", "mimc_go_abcdefghij") as alice:
        for _ in range(5):
            alice.write(alice.peer.command("PING"))
            assert await alice.frame() == EMPTY_FRAME


async def test_go_sends_a_message_and_gets_its_acknowledgement() -> None:
    async with LoopbackService() as service, go(service, "alice", "mimc_go_abcdefghij") as alice:
        packet_id = alice.send(P2PMessage(recipient=User(account="bob"), payload=b"hi", is_store=True))
        ack = (await alice.packet()).body
        [stored] = service.stored()
    assert isinstance(ack, PacketAck)
    assert (ack.packet_id, ack.sequence) == (packet_id, stored.sequence)
    assert (stored.sender, stored.target, stored.payload) == ("alice", "bob", b"hi")


async def test_go_gets_a_message_with_every_field_without_which_it_crashes() -> None:
    async with (
        LoopbackService() as service,
        go(service, "alice", "mimc_go_abcdefghij") as alice,
        go(service, "bob", "mimc_go_klmnopqrst") as bob,
    ):
        packet_id = alice.send(P2PMessage(recipient=User(account="bob"), payload=b"hi", is_store=True))
        [packet] = await bob.messages()
        compound = bob.compound
    assert isinstance(packet.body, P2PMessage)
    assert (packet.packet_id, packet.body.payload) == (packet_id, b"hi")
    assert packet.sequence == compound.max_sequence
    assert (compound.resource, compound.uuid) == ("mimc_go_klmnopqrst", bob.peer.uuid)
    assert packet.body.sender is not None
    assert packet.body.recipient is not None
    assert (packet.body.sender.account, packet.body.sender.uuid) == ("alice", alice.peer.uuid)
    assert packet.body.recipient.account == "bob"


async def test_what_go_has_acknowledged_does_not_come_again_at_its_next_login() -> None:
    async with LoopbackService() as service, go(service, "alice", "mimc_go_abcdefghij") as alice:
        async with go(service, "bob", "mimc_go_klmnopqrst") as bob:
            alice.send(P2PMessage(recipient=User(account="bob"), payload=b"first", is_store=True))
            await bob.messages()
            bob.acknowledge()
            bob.write(bob.peer.command("PING"))
            assert await bob.frame() == EMPTY_FRAME
        alice.send(P2PMessage(recipient=User(account="bob"), payload=b"second", is_store=True))
        await alice.packet()
        await alice.packet()
        async with go(service, "bob", "mimc_go_klmnopqrst") as bob:
            again = await bob.messages()
    assert [packet.body.payload for packet in again if isinstance(packet.body, P2PMessage)] == [b"second"]


async def test_go_sends_to_a_group_that_was_made_by_http() -> None:
    async with (
        LoopbackService() as service,
        go(service, "alice", "mimc_go_abcdefghij") as alice,
        go(service, "bob", "mimc_go_klmnopqrst") as bob,
    ):
        headers = {"appKey": service.app_key, "appSecret": service.app_secret, "appAccount": "alice"}
        async with httpx2.AsyncClient(verify=False) as http:
            body = {"topicName": "team", "accounts": "bob,carol"}
            made = await http.post(f"{service.http_url}/api/topic/{service.app_id}", json=body, headers=headers)
        topic = int(made.json()["data"]["topicInfo"]["topicId"])
        alice.send(P2TMessage(recipient=Topic(app_id=service.app_id, topic_id=topic), payload=b"all", is_store=True))
        [packet] = await bob.messages()
    assert isinstance(packet.body, P2TMessage)
    assert packet.body.payload == b"all"


async def test_go_logs_out_and_its_pings_are_answered_as_before() -> None:
    async with LoopbackService() as service, go(service, "alice", "mimc_go_abcdefghij") as alice:
        alice.write(alice.peer.command("UBND"))
        kick = Kick.decode((await alice.read("KICK")).payload)
        assert kick == Kick()
        alice.write(alice.peer.command("PING"))
        assert await alice.frame() == EMPTY_FRAME
        assert service.sessions() == []


async def test_go_that_was_taken_over_is_refused_on_its_old_link() -> None:
    async with (
        LoopbackService() as service,
        go(service, "alice", "mimc_go_abcdefghij") as old,
        go(service, "alice", "mimc_go_abcdefghij") as new,
    ):
        kick = Kick.decode((await old.read("KICK")).payload)
        assert (kick.type, kick.reason) == ("single-resource-kick", "single-resource-kick")
        old.write(old.peer.bind())
        refused = await old.read("BIND")
        assert b"single-resource-kick" in refused.payload
        new.write(new.peer.command("PING"))
        assert await new.frame() == EMPTY_FRAME


async def test_go_whose_token_expired_binds_again_on_the_same_link_with_a_new_one() -> None:
    async with LoopbackService() as service, go(service, "alice", "mimc_go_abcdefghij") as alice:
        service.expire_tokens("alice")
        kick = Kick.decode((await alice.read("KICK")).payload)
        assert kick.reason == "token-expired"
        alice.write(alice.peer.bind())
        assert b"token-expired" in (await alice.read("BIND")).payload
        alice.trust(await asyncio.to_thread(service.token("alice")))
        alice.write(alice.peer.bind())
        await alice.read("BIND")
        assert [session.account for session in service.sessions()] == ["alice"]
