"""Calls that are committed together."""

import pytest
from mimc_server.store import StoreFull, UnknownUser
from support.store_bed import NOON, Bed


def test_calls_in_a_transaction_see_each_other_and_hold_when_it_is_over(bed: Bed) -> None:
    with bed.store.transaction():
        bed.login("bob")
        sent = bed.send("alice", "bob", b"hi")
        assert bed.payloads("bob") == [b"hi"]
        assert bed.ack("bob", sent.sequence) == 1
    assert bed.payloads("bob") == [b"hi"]
    assert bed.login("bob").position == 1


def test_an_unknown_user_undoes_nothing_but_its_own_call(bed: Bed) -> None:
    with bed.store.transaction():
        bed.send("alice", "bob", b"before")
        with pytest.raises(UnknownUser):
            bed.store.claim(1, "phone", "n1", NOON)
        bed.send("alice", "bob", b"after")
    assert bed.payloads("bob") == [b"before", b"after"]


def test_a_full_store_undoes_nothing_but_its_own_call(bed: Bed) -> None:
    bed.user("alice")
    bed.user("bob")
    object.__setattr__(bed.store.config, "max_users", 2)  # type: ignore[attr-defined]
    with bed.store.transaction():
        bed.send("alice", "bob", b"before")
        with pytest.raises(StoreFull):
            bed.user("carol")
    assert bed.payloads("bob") == [b"before"]


def test_a_store_that_is_closed_may_be_closed_again(bed: Bed) -> None:
    bed.store.close()
    bed.store.close()
