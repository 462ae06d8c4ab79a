"""The official Go client against the whole service, from its first request to its logout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from mimc_server.store import AckCode
from support.official.client import Stage, online
from support.official.go import Go
from support.official.http import ask
from support.official.recorded import RecordedService, answer_to
from support.vectors import load

from mimc_proto import pb
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import BindAnswer, ConnAnswer, P2PMessage, P2TMessage, Packet, PacketAck, PacketList, User

pytestmark = pytest.mark.anyio

VECTORS = load("go")["client_packets"]
VARIANTS = [n for n, entry in enumerate(VECTORS["BIND"]) if entry["in"]["challenge"].isascii()]
RECEIVED = 1_526_354_160_772
"""Unix time in milliseconds at which sequences begin with the one that the recorded SEQUENCE_ACKs are about."""

SENDER = 77
"""Uuid of who has left messages."""


# ------------------------------------------------------------------------------------------------ its recorded frames


@dataclasses.dataclass
class Recorded:
    """One variant of the recording: its frames, and who sent them."""

    variant: int

    @property
    def given(self) -> dict[str, Any]:
        given: dict[str, Any] = VECTORS["BIND"][self.variant]["in"]
        return given

    def entry(self, kind: str) -> dict[str, Any]:
        entry: dict[str, Any] = VECTORS[kind][self.variant]
        return entry

    def frame(self, kind: str) -> bytes:
        return bytes.fromhex(self.entry(kind)["frame_hex"])

    def service(self) -> RecordedService:
        given = self.given
        service = RecordedService(int(given["app_id"]), given["package"], given["challenge"], RECEIVED)
        service.add_user(given["account"], int(given["uuid"]), given["token"], given["security_key"])
        service.add_user("another", SENDER, "of another", given["security_key"])
        service.add_group(self.topic_id, given["account"], "another")
        return service

    def client(self, service: RecordedService) -> Go:
        """Somebody who reads what is sent to it."""
        go, given = Go(service, self.given["account"], self.given["resource"]), self.given
        go.peer.challenge, go.peer.security_key = given["challenge"], given["security_key"]
        go.peer.uuid, go.peer.token = int(given["uuid"]), given["token"]
        go.data = {"appPackage": given["package"]}
        go.peer.encrypt_bodies()
        return go

    @property
    def payload(self) -> bytes:
        return bytes.fromhex(self.entry("SECMSG_P2P")["msg_hex"])

    @property
    def topic_id(self) -> int:
        return int(self.entry("SECMSG_P2T")["topic_id"])

    @property
    def biz_type(self) -> dict[str, str]:
        biz_type = self.entry("SECMSG_P2P")["biz_type"]
        return {} if biz_type is None else {"biz_type": biz_type}

    def leave_messages(self, service: RecordedService) -> list[int]:
        """What waits at login, some to be acknowledged and one to stay; the sequences."""
        acknowledged = int(self.entry("SECMSG_SEQUENCE_ACK")["list"]["maxSequence"]) - RECEIVED * 10_000
        return [
            service.add_message("another", self.given["account"], f"pc-{n}", b"%d" % n) for n in range(acknowledged + 1)
        ]

    async def shake_hands(self, go: Go) -> None:
        """CONN as it was recorded, but with the udid that the other frames belong to."""
        conn = self.frame("CONN")
        found = go.peer.read(conn)
        message = pb.XMMsgConn.FromString(found.payload)
        key, go.peer.body_key = go.peer.body_key, None
        if message.udid != self.given["udid"]:
            message.udid = self.given["udid"]
            conn = go.peer.raw(found.header_bytes, message.SerializeToString())
        go.write(conn)
        await go.read("CONN")
        go.peer.body_key = key

    async def logged_in(self, service: RecordedService) -> Go:
        """On a new link, by its recorded BIND: all links of this service have the recorded challenge."""
        go = self.client(service)
        await go.connect(*service.address)
        await self.shake_hands(go)
        bind = self.frame("BIND")
        go.write(bind)
        assert await go.frame() == answer_to(go.peer, bind, b"\x08\x01")
        return go

    def expected_list(self, own_id: str | None, sequences: list[int], first: int = 0) -> Packet:
        """What waits from the first one on, in one COMPOUND."""
        account, uuid, app_id = self.given["account"], int(self.given["uuid"]), int(self.given["app_id"])
        numbers = {"package": self.given["package"], "timestamp": RECEIVED}
        packets = tuple(
            Packet(
                packet_id=f"pc-{n}",
                sequence=sequence,
                conv_index=n + 1,
                body=P2PMessage(
                    sender=User(app_id=app_id, account="another", uuid=SENDER, resource="pc"),
                    recipient=User(app_id=app_id, account=account, uuid=uuid),
                    payload=b"%d" % n,
                    is_store=True,
                ),
                **numbers,
            )
            for n, sequence in enumerate(sequences, first)
        )
        body = PacketList(
            uuid=uuid, resource=self.given["resource"], max_sequence=sequences[-1], packets=packets, status=1
        )
        return Packet(packet_id=own_id, sequence=sequences[-1], body=body, **numbers)

    def expected_ack(self, kind: str, own_id: str | None, nth: int) -> Packet:
        """For the nth message of all, the first of its conversation."""
        numbers = {"package": self.given["package"], "sequence": RECEIVED * 10_000 + nth, "timestamp": RECEIVED}
        body = PacketAck(
            packet_id=self.entry(kind)["header"]["id"],
            uuid=int(self.given["uuid"]),
            resource=self.given["resource"],
            error_message="",
            code=0,
            conv_index=1,
            **numbers,
        )
        return Packet(packet_id=own_id, body=body, **numbers)

    def repeat_id(self, go: Go, kind: str) -> None:
        """Have the next id be that of the recorded frame."""
        name, _, count = self.entry(kind)["header"]["id"].rpartition("_")
        go.peer.prefix, go.peer.count = f"{name}_", int(count) - 1


async def test_its_recorded_conn_is_answered_with_the_challenge() -> None:
    """Whatever its udid, which is what distinguishes the recorded ones."""
    for variant in range(len(VECTORS["CONN"])):
        recorded = Recorded(0)
        service = recorded.service()
        async with service.running():
            go = recorded.client(service)
            await go.connect(*service.address)
            go.peer.body_key = None
            request = bytes.fromhex(VECTORS["CONN"][variant]["frame_hex"])
            go.write(request)
            expected = ConnAnswer(challenge=recorded.given["challenge"], host="mimc").encode()
            assert await go.frame() == answer_to(go.peer, request, expected)
            await go.leave()


@pytest.mark.parametrize("variant", VARIANTS)
async def test_its_recorded_session_from_conn_to_ubnd(variant: int) -> None:
    recorded = Recorded(variant)
    service = recorded.service()
    waiting = recorded.leave_messages(service)
    async with service.running():
        go = await recorded.logged_in(service)
        pushed = await go.packet()
        assert pushed == recorded.expected_list(pushed.packet_id, waiting)
        go.write(recorded.frame("SECMSG_SEQUENCE_ACK"))
        for nth, kind in enumerate(("SECMSG_P2P", "SECMSG_P2T"), len(waiting) + 1):
            go.write(recorded.frame(kind))
            ack = await go.packet()
            assert ack == recorded.expected_ack(kind, ack.packet_id, nth)
        go.write(recorded.frame("PING"))
        assert await go.frame() == EMPTY_FRAME
        ubnd = recorded.frame("UBND")
        go.write(ubnd)
        assert await go.frame() == answer_to(go.peer, ubnd, command="KICK")
        go.write(recorded.frame("PING"))  # it does not know that it is offline (rule 20)
        assert await go.frame() == EMPTY_FRAME
        assert service.sessions() == []
        assert await go.leave() == []
        again = await recorded.logged_in(service)
        rest = await again.packet()
        assert rest == recorded.expected_list(rest.packet_id, waiting[-1:], len(waiting) - 1)
        assert await again.leave() == []


@pytest.mark.parametrize("variant", VARIANTS)
async def test_the_client_of_these_scenarios_makes_the_recorded_frames(variant: int) -> None:
    """Byte by byte: it stands for the original."""
    recorded = Recorded(variant)
    service = recorded.service()
    go = recorded.client(service)
    made: list[bytes] = []
    go.write = lambda *frames: made.extend(frames)  # type: ignore[method-assign]
    acts: dict[str, Callable[[], object]] = {
        "BIND": lambda: go.write(go.peer.bind()),
        "PING": go.ping,
        "UBND": lambda: go.write(go.peer.command("UBND")),
        "SECMSG_P2P": lambda: go.send_to(recorded.entry("SECMSG_P2P")["to"], recorded.payload, **recorded.biz_type),
        "SECMSG_P2T": lambda: go.send_group(recorded.topic_id, recorded.payload, **recorded.biz_type),
        "SECMSG_SEQUENCE_ACK": go.acknowledge,
    }
    go.compound = PacketList(
        uuid=go.peer.uuid,
        resource=go.peer.resource,
        max_sequence=int(recorded.entry("SECMSG_SEQUENCE_ACK")["list"]["maxSequence"]),
    )
    for kind, act in acts.items():
        recorded.repeat_id(go, kind)
        act()
        assert made.pop() == recorded.frame(kind), kind
    recorded.repeat_id(go, "CONN")
    go.peer.udid, go.peer.body_key = recorded.entry("CONN")["xmmsg_conn"]["udid"], None
    assert go.peer.conn() == recorded.frame("CONN")


# ----------------------------------------------------------------------------------------- its whole life, over HTTP


async def test_it_logs_in_with_an_application_id_that_is_a_number_and_asks_the_resolver_over_plain_http(
    stage: Stage,
) -> None:
    async with online(Go(stage, "alice")) as alice:
        [session] = stage.sessions()
        assert alice.resolver_request()[0] == f"/gslb/?ver=4.0&type=wifi&list={alice.data['feDomainName']}"
    assert (session.account, session.resource, session.uuid) == ("alice", alice.peer.resource, alice.peer.uuid)


async def test_its_messages_are_acknowledged_and_arrive_with_every_field_without_which_it_crashes(
    stage: Stage,
) -> None:
    """`check_frame` looks at the fields, of all that comes in any scenario (rule 19)."""
    async with online(Go(stage, "alice")) as alice, online(Go(stage, "bob")) as bob:
        packet_id = alice.send_to("bob", b"hi")
        ack = await alice.acked(packet_id)
        [packet] = await bob.messages()
        bob.acknowledge()
        bob.ping()
        assert await bob.frame() == EMPTY_FRAME
    assert (packet.packet_id, packet.sequence) == (packet_id, ack.sequence)
    assert isinstance(packet.body, P2PMessage)
    assert (packet.body.payload, packet.body.sender) == (b"hi", alice.me)


async def test_what_it_has_acknowledged_does_not_come_again_at_its_next_login(stage: Stage) -> None:
    async with online(Go(stage, "alice")) as alice:
        async with online(Go(stage, "bob", "mimc_go_klmnopqrst")) as bob:
            await alice.acked(alice.send_to("bob", b"first"))
            await bob.messages()
            bob.acknowledge()
            bob.ping()
            assert await bob.frame() == EMPTY_FRAME
        await alice.acked(alice.send_to("bob", b"second"))
        async with online(Go(stage, "bob", "mimc_go_klmnopqrst")) as bob:
            again = await bob.messages()
    assert [packet.body.payload for packet in again if isinstance(packet.body, P2PMessage)] == [b"second"]


async def test_it_sends_to_a_group_that_was_made_over_http(stage: Stage) -> None:
    async with online(Go(stage, "alice")) as alice, online(Go(stage, "bob")) as bob:
        headers = {"appKey": stage.app_key, "appSecret": stage.app_secret, "appAccount": "alice"}
        body = {"topicName": "team", "accounts": "bob,carol"}
        made = await ask(stage.http_url, "POST", f"/api/topic/{stage.app_id}", headers, body)
        topic_id = int(made.data["topicInfo"]["topicId"])
        await alice.acked(alice.send_group(topic_id, b"all"))
        [packet] = await bob.messages()
    assert isinstance(packet.body, P2TMessage)
    assert (packet.body.payload, packet.body.recipient.topic_id) == (b"all", topic_id)


async def test_every_ping_of_its_many_is_answered(stage: Stage) -> None:
    """Every 3 s, before BIND too; the time between them is tested in tests/traces/test_go.py."""
    async with online(Go(stage, "alice")) as alice:
        for _ in range(5):
            alice.ping()
            assert await alice.frame() == EMPTY_FRAME


async def test_nothing_comes_between_the_answer_to_conn_and_its_bind(stage: Stage) -> None:
    """It installs the body key up to a second late, and would reset the link (wire.md section 3)."""
    async with online(Go(stage, "bob")) as bob:
        await bob.acked(bob.send_to("alice", b"waits for her"))
        alice = Go(stage, "alice")
        await alice.fetch_token(stage.app_id)
        await alice.connect(*await alice.resolve(*alice.resolver_request()))
        await alice.conn()
        assert await alice.leave() == []


async def test_messages_that_it_queued_before_it_had_a_token_arrive_as_its_users(stage: Stage) -> None:
    """They have uuid 0 in header and ``from`` (rule 20)."""
    async with online(Go(stage, "alice")) as alice, online(Go(stage, "bob")) as bob:
        nobody = User(app_id=stage.app_id, account="alice", uuid=0, resource="")
        body = P2PMessage(sender=nobody, recipient=User(app_id=stage.app_id, account="bob", uuid=0), payload=b"early")
        packet_id = alice.peer.next_id()
        packet = Packet(packet_id=packet_id, package=alice.data["appPackage"], body=body)
        alice.write(alice.peer.send(packet.encode(), packet_id, uuid=0, resource=""))
        await alice.acked(packet_id)
        [received] = await bob.messages()
    assert isinstance(received.body, P2PMessage)
    assert received.body.sender == alice.me


async def test_a_message_larger_than_any_other_client_would_send_is_refused_and_the_link_lives_on(stage: Stage) -> None:
    """It has no limit of its own."""
    async with online(Go(stage, "alice")) as alice:
        packet_id = alice.send_to("bob", bytes(15_361))
        refused = (await alice.packet()).body
        alice.ping()
        assert await alice.frame() == EMPTY_FRAME
    assert isinstance(refused, PacketAck)
    assert (refused.packet_id, refused.code) == (packet_id, AckCode.TOO_LARGE)
    assert refused.error_message


async def test_a_kick_makes_it_bind_again_at_once_and_only_a_new_token_lets_it_in(stage: Stage) -> None:
    async with online(Go(stage, "alice")) as alice:
        stage.expire_tokens("alice")
        assert (await alice.kicked()).reason == "token-expired"
        refused = await alice.bind()
        assert (refused.result, refused.error_type, refused.error_reason) == (False, "token-expired", "token-expired")
        await alice.fetch_token(stage.app_id)
        assert (await alice.bind()).result
        assert [session.account for session in stage.sessions()] == ["alice"]


async def test_taken_over_it_binds_again_at_once_and_is_kept_away(stage: Stage) -> None:
    resource = "mimc_go_abcdefghij"
    async with online(Go(stage, "alice", resource)) as old, online(Go(stage, "alice", resource)) as new:
        kick = await old.kicked()
        assert (kick.type, kick.reason) == ("single-resource-kick", "single-resource-kick")
        refused = await old.bind()
        assert (refused.result, refused.error_type) == (False, "single-resource-kick")
        new.ping()
        assert await new.frame() == EMPTY_FRAME
        assert len(stage.sessions()) == 1


async def test_logged_out_it_goes_on_pinging_and_is_answered(stage: Stage) -> None:
    async with online(Go(stage, "alice")) as alice:
        await alice.log_out()
        for _ in range(3):
            alice.ping()
            assert await alice.frame() == EMPTY_FRAME
        assert stage.sessions() == []
        assert await alice.leave() == []


async def test_a_signature_that_is_wrong_makes_it_fetch_another_token(stage: Stage) -> None:
    """It wants ``auto`` as the type with ``invalid-token`` as the reason (rule 14)."""
    async with online(Go(stage, "alice")) as alice:
        alice.write(alice.peer.bind(sig="AAAAAAAAAAAAAAAAAAAAAAAAAAA="))
        refused = BindAnswer.decode((await alice.read("BIND")).payload)
        assert (refused.result, refused.error_type, refused.error_reason) == (False, "auto", "invalid-token")
        await alice.fetch_token(stage.app_id)
        assert (await alice.bind()).result
