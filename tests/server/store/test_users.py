"""Users, revoked tokens, blocks."""

from collections.abc import Callable

import pytest
from mimc_server.store import StoreConfig, StoreFull, UnknownUser
from support.store_bed import APP, NOON, Bed

NOBODY = 4711


def test_an_account_keeps_its_uuid(bed: Bed) -> None:
    assert bed.user("alice") == bed.user("alice")


def test_accounts_have_uuids_of_their_own_also_across_applications(bed: Bed) -> None:
    users = [bed.user("alice"), bed.user("bob"), bed.user("alice", app_id=2)]
    assert len({user.uuid for user in users}) == 3


def test_a_uuid_looks_like_the_official_ones_and_survives_javascript(bed: Bed) -> None:
    uuid = bed.uuid("alice")
    assert len(str(uuid)) == 16
    assert uuid < 2**53


def test_a_user_is_found_by_its_uuid_in_its_application_only(bed: Bed) -> None:
    alice = bed.user("alice")
    assert bed.store.find_user(APP, alice.uuid) == alice
    assert bed.store.find_user(2, alice.uuid) is None
    assert bed.store.find_user(APP, NOBODY) is None


def test_a_full_store_makes_no_more_users_but_knows_those_it_has(make_bed: Callable[[StoreConfig], Bed]) -> None:
    bed = make_bed(StoreConfig(max_users=1))
    alice = bed.user("alice")
    with pytest.raises(StoreFull, match=r"StoreConfig\.max_users"):
        bed.user("bob")
    assert bed.user("alice") == alice


def test_no_tokens_are_revoked_at_first(bed: Bed) -> None:
    assert bed.store.tokens_good_from(bed.uuid("alice")) == 0
    assert bed.store.tokens_good_from(NOBODY) == 0


def test_a_revocation_is_never_taken_back(bed: Bed) -> None:
    alice = bed.uuid("alice")
    bed.store.revoke_tokens(alice, NOON)
    bed.store.revoke_tokens(alice, NOON - 1)
    assert bed.store.tokens_good_from(alice) == NOON


def test_a_block_goes_one_way_and_can_be_lifted(bed: Bed) -> None:
    alice, bob = bed.uuid("alice"), bed.uuid("bob")
    bed.store.block(alice, bob)
    assert bed.store.is_blocked(alice, bob)
    assert not bed.store.is_blocked(bob, alice)
    bed.store.unblock(alice, bob)
    assert not bed.store.is_blocked(alice, bob)
    assert not bed.store.is_blocked(NOBODY, bob)


def test_changing_a_user_that_does_not_exist_is_an_error(bed: Bed) -> None:
    alice = bed.uuid("alice")
    for change in (
        lambda: bed.store.revoke_tokens(NOBODY, NOON),
        lambda: bed.store.block(NOBODY, alice),
        lambda: bed.store.block(alice, NOBODY),
        lambda: bed.store.unblock(NOBODY, alice),
        lambda: bed.store.claim(NOBODY, "phone", "n1", NOON),
    ):
        with pytest.raises(UnknownUser, match="4711"):
            change()
