"""Messages on their way up: checked, stored, acknowledged."""

from __future__ import annotations

import pytest
from mimc_server.service import (
    Append,
    CallbackFailed,
    Dropped,
    MessageRefused,
    PacketIgnored,
    ServiceConfig,
    StoreFailed,
)
from mimc_server.store import AckCode, Appended, NewMessage, Refused, Store, Stored
from mimc_server.testing import ServiceWorld
from support.service_bed import APP, Client, Town, pushed

from mimc_proto import ServerConfig
from mimc_proto.packets import Group, P2PMessage, P2TMessage, PacketAck, RtsSignal, User


def raw(client: Client, body: object, packet_id: str | None) -> None:
    """A packet as it is, past the checks of our own client."""
    from mimc_proto.packets import Packet

    connection = client.connection
    packet = Packet(packet_id=packet_id, body=body).encode()  # type: ignore[arg-type]
    connection._enqueue(f"header{client.town.rng.getrandbits(30)}".encode(), packet, False)
    client.town.settle()


def to(account: str | None, payload: bytes = b"hi", **changes: object) -> P2PMessage:
    return P2PMessage(recipient=User(account=account), payload=payload, **changes)  # type: ignore[arg-type]


def test_a_message_is_acknowledged_once_it_is_stored() -> None:
    town = Town()
    alice = town.login("alice")
    town.node.hold()
    packet_id = alice.send("bob")
    assert alice.acks == []
    town.node.release()
    ack = alice.ack_of(packet_id)
    assert ack.code == AckCode.OK
    assert ack.error_message in (None, "")
    assert ack.sequence == town.wall_ms * 10_000 + 1


def test_the_receiver_need_not_exist() -> None:
    town = Town()
    alice = town.login("alice")
    assert alice.ack_of(alice.send("somebody new")).code == AckCode.OK


def test_a_repeat_gets_the_first_answer_and_is_delivered_once() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    for _ in range(2):
        alice.send("bob", packet_id="same")
    first, second = alice.acks
    assert (first.sequence, first.timestamp) == (second.sequence, second.timestamp)
    assert bob.payloads == [b"hi"]


def test_a_repeat_of_a_message_that_waits_gets_the_same_answer() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.node.hold()
    for _ in range(3):
        alice.send("bob", packet_id="same")
    town.node.release()
    assert len({ack.sequence for ack in alice.acks}) == 1
    assert len(alice.acks) == 3
    assert bob.payloads == [b"hi"]


def test_the_packet_cannot_say_who_sent_it() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    mallory = User(app_id=APP, account="mallory", uuid=1, resource="x")
    raw(alice, to("bob", sender=mallory), "p1")
    [message] = bob.messages
    assert message.sender is not None
    assert (message.sender.account, message.sender.uuid) == ("alice", alice.uuid)


def test_a_resource_of_the_receiver_is_only_a_hint() -> None:
    town = Town()
    alice, pc, phone = town.login("alice"), town.login("bob", "pc"), town.login("bob", "phone")
    raw(alice, P2PMessage(recipient=User(account="bob", resource="pc"), payload=b"hi"), "p1")
    assert pc.payloads == phone.payloads == [b"hi"]


def test_a_payload_over_the_limit_is_refused() -> None:
    town = Town(ServiceConfig(max_payload=100))
    alice = town.login("alice")
    assert alice.ack_of(alice.send("bob", bytes(100))).code == AckCode.OK
    ack = alice.ack_of(alice.send("bob", bytes(101)))
    assert ack.code == AckCode.TOO_LARGE
    assert ack.sequence == 0
    assert ack.error_message == "expected at most 100 bytes, got 101"
    assert [event.code for event in town.node.said(MessageRefused)] == [AckCode.TOO_LARGE]


@pytest.mark.parametrize(
    "body",
    [
        to(None),
        to(""),
        to("é" * 513),
        to("bob", biz_type="b" * 1025),
        P2TMessage(recipient=Group(app_id=APP), payload=b"hi"),
        P2TMessage(recipient=Group(app_id=APP, topic_id=1 << 63), payload=b"hi"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused(body: P2PMessage) -> None:
    town = Town()
    alice = town.login("alice")
    raw(alice, body, "p1")
    assert alice.ack_of("p1").code == AckCode.BAD_REQUEST


def test_a_long_packet_id_is_refused() -> None:
    town = Town()
    alice = town.login("alice")
    raw(alice, to("bob"), "p" * 1025)
    assert alice.ack_of("p" * 1025).code == AckCode.BAD_REQUEST


@pytest.mark.parametrize("packet_id", [None, "", "p" * 8193])
def test_a_message_that_no_ack_can_name_is_ignored(packet_id: str | None) -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    raw(alice, to("bob"), packet_id)
    assert alice.acks == []
    assert bob.payloads == []
    assert town.node.said(PacketIgnored)


def test_a_blocked_sender_is_told_so() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.store.block(bob.uuid, alice.uuid)
    assert alice.ack_of(alice.send("bob")).code == AckCode.BLOCKED
    assert bob.payloads == []


def test_a_store_that_fails_is_never_an_acceptance() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.node.failing = (Append,)
    ack = alice.ack_of(alice.send("bob", packet_id="p1"))
    assert (ack.code, ack.sequence) == (AckCode.STORE_FAILED, 0)
    assert [event.what for event in town.node.said(StoreFailed)] == ["storing messages"]
    town.node.failing = ()
    alice.forget()
    assert alice.ack_of(alice.send("bob", packet_id="p1")).code == AckCode.OK
    assert bob.payloads == [b"hi"]


def test_a_store_that_raises_what_it_should_not_fails_this_commit_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")

    def append(*_: object) -> list[Appended]:
        raise OSError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(town.store, "append", append)
        assert alice.ack_of(alice.send("bob", b"1")).code == AckCode.STORE_FAILED
    [failed] = town.node.said(StoreFailed)
    assert str(failed.error) == "the store raised OSError: disk I/O error"
    assert isinstance(failed.error.__cause__, OSError)
    assert alice.ack_of(alice.send("bob", b"2")).code == AckCode.OK
    assert bob.payloads == [b"2"]


def test_too_many_messages_of_an_account_are_refused_and_others_are_not() -> None:
    town = Town(ServiceConfig(max_waiting_of_account=3))
    alice, bob = town.login("alice"), town.login("bob")
    town.node.hold()
    for _ in range(5):
        alice.send("carol")
    bob.send("carol")
    assert [ack.code for ack in alice.acks] == [AckCode.TOO_MANY] * 2
    town.node.release()
    assert [ack.code for ack in alice.acks] == [AckCode.TOO_MANY] * 2 + [AckCode.OK] * 3
    assert [ack.code for ack in bob.acks] == [AckCode.OK]
    assert alice.ack_of(alice.send("carol")).code == AckCode.OK


@pytest.mark.parametrize(
    "config",
    [
        ServiceConfig(max_waiting=2),
        ServiceConfig(max_waiting_bytes=2 * 256 + 10),
        ServiceConfig(max_waiting_bytes_of_account=2 * 256 + 10),
    ],
)
def test_too_much_that_waits_is_refused(config: ServiceConfig) -> None:
    town = Town(config)
    alice = town.login("alice")
    town.node.hold()
    for _ in range(3):
        alice.send("bob")
    assert [ack.code for ack in alice.acks] == [AckCode.TOO_MANY]
    town.node.release()
    assert len(alice.acks) == 3


def test_an_answer_for_a_link_that_is_gone_goes_nowhere_and_the_message_is_stored() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    town.node.hold()
    alice.send("bob")
    alice.drop()
    town.node.release()
    assert alice.acks == []
    assert bob.payloads == [b"hi"]


def test_an_ack_that_finds_its_link_full_is_dropped_and_told() -> None:
    town = Town(ServiceConfig(link=ServerConfig(max_pending=1)))
    alice = town.login("alice")
    alice.reading = False
    alice.send("bob")
    alice.send("bob")
    assert [event.what for event in town.node.said(Dropped)] == ["PacketAck"]


def test_messages_to_a_normal_group_reach_its_other_members() -> None:
    town = Town()
    topic = town.group("alice", "bob", "carol")
    pc, phone = town.login("alice", "pc"), town.login("alice", "phone")
    bob, carol = town.login("bob"), town.login("carol")
    assert pc.ack_of(pc.send(topic, b"all")).code == AckCode.OK
    assert bob.payloads == carol.payloads == [b"all"]
    assert pc.payloads == phone.payloads == []
    [message] = bob.messages
    assert message.recipient == Group(app_id=APP, topic_id=topic)


def test_messages_to_a_normal_group_wait_for_absent_members() -> None:
    town = Town()
    topic = town.group("alice", "bob")
    alice = town.login("alice")
    alice.send(topic, b"1")
    alice.send("bob", b"2")
    assert town.login("bob").payloads == [b"1", b"2"]


def test_a_group_that_does_not_exist_and_one_that_one_is_not_in_refuse() -> None:
    town = Town()
    topic = town.group("bob")
    alice = town.login("alice")
    assert alice.ack_of(alice.send(12345)).code == AckCode.NO_SUCH_GROUP
    assert alice.ack_of(alice.send(topic)).code == AckCode.NOT_A_MEMBER


def test_a_message_of_the_applications_server_is_delivered_and_answered() -> None:
    town = Town()
    bob = town.login("bob")
    answers: list[Appended] = []
    town.node.service.push(pushed(town, "system", "bob", b"news"), answers.append, town.now, town.wall_ms)
    town.settle()
    assert bob.payloads == [b"news"]
    assert isinstance(answers[0], Stored)


def test_a_message_of_the_applications_server_may_be_refused() -> None:
    town = Town(ServiceConfig(max_payload=3, max_waiting=1))
    answers: list[Appended] = []
    for payload in (b"long", b"1", b"2"):
        message = pushed(town, "system", "bob", payload)
        town.node.service.push(message, answers.append, town.now, town.wall_ms)
    codes = [answer.code for answer in answers if isinstance(answer, Refused)]
    assert codes == [AckCode.TOO_LARGE, AckCode.TOO_MANY]


def test_an_application_that_fails_on_an_answer_costs_nobody_else_anything() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    answers: list[Appended] = []
    bug = RuntimeError("the application's bug")

    def fails(appended: Appended) -> None:
        answers.append(appended)
        raise bug

    town.node.hold()
    alice.send("carol")  # a commit runs: what follows is stored together
    for number, answered in enumerate((fails, fails, answers.append)):
        message = pushed(town, "system", "bob", b"%d" % number, f"push_{number}")
        town.node.service.push(message, answered, town.now, town.wall_ms)
    alice.send("bob", b"3")
    bob.acknowledge(0)  # the store is asked for this in the same breath
    town.node.release()

    assert [type(appended) for appended in answers] == [Stored] * 3
    assert [failed.error for failed in town.node.said(CallbackFailed)] == [bug, bug]
    assert [ack.code for ack in alice.acks] == [AckCode.OK] * 2
    assert bob.payloads == [b"0", b"1", b"2", b"3"]
    assert alice.ack_of(alice.send("bob", b"4")).code == AckCode.OK


def test_an_application_that_fails_on_a_refusal_is_told_so() -> None:
    town = Town(ServiceConfig(max_payload=3))
    bug = RuntimeError("the application's bug")

    def fails(_: Appended) -> None:
        raise bug

    town.node.service.push(pushed(town, "system", "bob", b"long"), fails, town.now, town.wall_ms)
    assert town.node.service.events() == [CallbackFailed(error=bug)]


def commits(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each commit has, from now on."""
    sizes: list[int] = []
    append = store.append

    def recorded(batch: list[NewMessage], wall_ms: int) -> list[Appended]:
        sizes.append(len(batch))
        return append(batch, wall_ms)

    monkeypatch.setattr(store, "append", recorded)
    return sizes


def test_what_came_from_many_links_before_the_store_is_asked_is_committed_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    town = Town()
    users = [town.login(f"user{number}") for number in range(10)]
    sizes = commits(town.store, monkeypatch)
    for user in users:
        user.send("bob", settle=False)
    town.settle()
    assert sizes == [10]
    assert len(town.login("bob").payloads) == 10


def test_a_driver_that_performs_requests_on_the_spot_commits_together_too(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ServiceWorld()
    users = [world.login(f"user{number}") for number in range(10)]
    bob = world.login("bob")
    sizes = commits(world._backend.store, monkeypatch)
    for user in users:
        user.session.send("bob", b"hi", now=world.clock.now)
    world.run_until(lambda: len(bob.messages) == 10)
    assert sizes == [10]


def test_a_commit_has_at_most_max_batch_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(ServiceConfig(max_batch=4))
    alice = town.login("alice")
    sizes = commits(town.store, monkeypatch)
    for _ in range(10):
        alice.send("bob", settle=False)
    town.settle()
    assert sizes == [4, 4, 2]


def test_packets_that_mean_nothing_to_a_service_are_ignored() -> None:
    town = Town()
    alice = town.login("alice")
    raw(alice, RtsSignal(payload=b"ring"), "p1")
    raw(alice, PacketAck(packet_id="p0", code=0), "p2")
    assert [event.what for event in town.node.said(PacketIgnored)] == ["RtsSignal", "PacketAck"]
    assert alice.online


def test_a_packet_that_cannot_be_read_is_ignored() -> None:
    town = Town()
    alice = town.login("alice")
    alice.connection._enqueue(b"h1", b"\xff\xff", False)
    town.settle()
    assert len(town.node.said(PacketIgnored)) == 1
    assert alice.ack_of(alice.send("bob")).code == AckCode.OK
