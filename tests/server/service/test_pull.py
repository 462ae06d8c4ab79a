"""PULL and limit notices (clients.md rule 10, wire.md section 5)."""

from __future__ import annotations

from mimc_server.service import ReadInbox, ServiceConfig
from mimc_server.store import InboxPage
from support.service_bed import Client, Town

from mimc_proto import ServerConfig
from mimc_proto.events import LimitReached, MessagesReceived
from mimc_proto.packets import Pull


def waiting(town: Town, account: str, count: int) -> None:
    """That many messages lie in an inbox."""
    alice = town.login("alice")
    for number in range(count):
        alice.send(account, b"%d" % number, settle=False)
    town.settle()
    alice.drop()


def pull(client: Client) -> None:
    client.request(Pull())


def test_a_pull_brings_everything_again_that_is_not_acknowledged() -> None:
    town = Town()
    waiting(town, "bob", 3)
    bob = town.login("bob")
    bob.acknowledge(bob.all(MessagesReceived)[0].packets[0].sequence)
    bob.forget()
    pull(bob)
    assert bob.payloads == [b"1", b"2"]


def test_a_pull_with_nothing_waiting_brings_nothing() -> None:
    town = Town()
    bob = town.login("bob")
    pull(bob)
    assert bob.payloads == []


def test_repeated_pulls_are_answered_with_growing_gaps() -> None:
    town = Town()
    waiting(town, "bob", 1)
    bob = town.login("bob")
    times = []
    for _ in range(120):
        before = len(bob.payloads)
        pull(bob)
        town.run_for(0.125)
        times += [town.now] * (len(bob.payloads) - before)
    assert times == [0.125, 1.0, 3.0, 7.0, 12.0]


def test_pulls_that_come_after_an_acknowledgement_are_not_slowed_down_for_long() -> None:
    town = Town()
    waiting(town, "bob", 2)
    bob = town.login("bob")
    for _ in range(4):
        pull(bob)
        town.run_for(5.0)
    bob.acknowledge(bob.all(MessagesReceived)[0].packets[0].sequence)
    pull(bob)
    bob.forget()
    pull(bob)
    town.run_for(1.0)
    assert bob.payloads == [b"1"]


def test_a_pull_that_waits_is_answered_as_soon_as_something_is_acknowledged() -> None:
    town = Town()
    waiting(town, "bob", 2)
    bob = town.login("bob")
    pull(bob)
    pull(bob)
    bob.acknowledge(bob.all(MessagesReceived)[0].packets[0].sequence)
    bob.forget()
    town.run_for(0.0)
    assert bob.payloads == [b"1"]


def test_a_new_login_forgets_the_pace() -> None:
    town = Town()
    waiting(town, "bob", 1)
    bob = town.login("bob")
    for _ in range(3):
        pull(bob)
    bob.drop()
    town.run_for(10.0)
    bob = town.login("bob")
    bob.forget()
    pull(bob)
    assert bob.payloads == [b"0"]


def test_few_messages_come_without_a_notice() -> None:
    town = Town(ServiceConfig(notice_after=5))
    waiting(town, "bob", 5)
    bob = town.login("bob")
    assert bob.all(LimitReached) == []
    assert len(bob.payloads) == 5


def test_many_messages_give_a_notice_and_no_messages() -> None:
    town = Town(ServiceConfig(notice_after=5))
    waiting(town, "bob", 6)
    bob = town.login("bob")
    [notice] = bob.all(LimitReached)
    assert notice.min_sequence is not None
    assert notice.max_sequence - notice.min_sequence == 5
    assert bob.payloads == []


def test_while_a_notice_waits_nothing_comes() -> None:
    town = Town(ServiceConfig(notice_after=5))
    waiting(town, "bob", 6)
    bob = town.login("bob")
    town.login("alice").send("bob", b"new")
    town.run_for(20.0)
    assert bob.payloads == []
    assert len(bob.all(LimitReached)) == 1


def test_a_pull_answers_a_notice_with_the_messages() -> None:
    town = Town(ServiceConfig(notice_after=5, window=4))
    waiting(town, "bob", 20)
    bob = town.login("bob")
    pull(bob)
    while len(bob.payloads) < 20:
        bob.acknowledge()
    assert bob.payloads == [b"%d" % number for number in range(20)]
    assert len(bob.all(LimitReached)) == 1


def test_an_acknowledgement_of_the_notice_skips_what_waited() -> None:
    town = Town(ServiceConfig(notice_after=5))
    waiting(town, "bob", 6)
    bob = town.login("bob")
    alice = town.login("alice")
    alice.send("bob", b"after the notice")
    [notice] = bob.all(LimitReached)
    bob.acknowledge(notice.max_sequence)
    assert bob.payloads == [b"after the notice"]
    alice.send("bob", b"new")
    assert bob.payloads == [b"after the notice", b"new"]


def test_an_acknowledgement_of_what_was_delivered_before_does_not_answer_a_notice() -> None:
    town = Town(ServiceConfig(notice_after=5, window=2))
    alice, bob = town.login("alice"), town.login("bob")
    for number in range(20):
        alice.send("bob", b"%d" % number)
    first = [packet.sequence for event in bob.all(MessagesReceived) for packet in event.packets]
    bob.acknowledge(first[0])
    assert len(bob.all(LimitReached)) == 1
    bob.acknowledge(first[1])
    assert len(bob.payloads) == 2
    assert len(bob.all(LimitReached)) == 1


def test_a_new_login_answers_a_notice_with_another() -> None:
    town = Town(ServiceConfig(notice_after=5))
    waiting(town, "bob", 6)
    town.login("bob").drop()
    assert len(town.login("bob").all(LimitReached)) == 1


def test_a_notice_that_finds_its_link_full_comes_later() -> None:
    town = Town(ServiceConfig(notice_after=2, link=ServerConfig(max_pending=1)))
    waiting(town, "bob", 3)
    bob = town.open("bob")
    bob.reading = False
    bob.connection.bind(town.credentials("bob"), town.now)
    town.settle()
    bob.reading = True
    town.settle()
    assert len(bob.all(LimitReached)) == 1


def test_a_pull_of_a_session_that_has_ended_is_not_answered() -> None:
    town = Town()
    waiting(town, "bob", 1)
    bob = town.login("bob")
    pull(bob)
    pull(bob)
    bob.drop()
    town.run_for(10.0)
    assert len(bob.payloads) == 2


def test_messages_that_were_all_removed_are_no_backlog() -> None:
    town = Town()
    alice, bob = town.login("alice"), town.login("bob")
    for _ in range(4):
        alice.send("bob", is_store=False)
        bob.acknowledge()
    read = ReadInbox(request_id=1, receiver=bob.uuid, after_position=0, max_messages=9, max_bytes=999, notice_after=2)
    page = read.perform(town.store, town.wall_ms)
    assert page == InboxPage(messages=(), examined=4, more=False)
