"""Sessions, acknowledgements, and where a resource begins to read."""

from collections.abc import Callable

from mimc_server.store import Claim, StoreConfig
from support.store_bed import DAY, NOON, Bed

WEEK = 7 * DAY


def where(claim: Claim) -> tuple[int, int]:
    return claim.position, claim.sequence


# ------------------------------------------------------------------------------------------------------- sessions


def test_epochs_rise_over_all_resources_and_users(bed: Bed) -> None:
    claims = [bed.login("alice"), bed.login("bob"), bed.login("alice", "pad"), bed.login("alice")]
    epochs = [claim.epoch for claim in claims]
    assert epochs == sorted(set(epochs))
    assert epochs[0] > 0


def test_an_epoch_is_not_given_again_when_its_cursor_has_expired(bed: Bed) -> None:
    old = bed.login("alice")
    bed.logout("alice")
    bed.now += WEEK
    bed.store.sweep(bed.now)
    assert bed.login("alice").epoch > old.epoch


def test_a_claim_names_the_node_that_is_displaced(bed: Bed) -> None:
    assert bed.login("alice", node="n1").previous_node == ""
    assert bed.login("alice", node="n2").previous_node == "n1"


def test_a_released_session_displaces_nobody(bed: Bed) -> None:
    bed.login("alice")
    bed.logout("alice")
    assert bed.login("alice").previous_node == ""


def test_an_old_session_cannot_release_the_new_one(bed: Bed) -> None:
    old = bed.login("alice", node="n1")
    bed.login("alice", node="n2")
    bed.store.release(bed.uuid("alice"), "phone", old.epoch, bed.now)
    bed.store.release(4711, "phone", old.epoch, bed.now)
    assert bed.login("alice").previous_node == "n2"


def test_a_node_that_starts_again_has_no_sessions(bed: Bed) -> None:
    bed.login("alice", node="n1")
    bed.login("bob", node="n2")
    bed.store.release_node("n1", bed.now)
    assert bed.login("alice").previous_node == ""
    assert bed.login("bob").previous_node == "n2"


def test_of_resources_that_a_node_gives_up_at_one_time_the_one_claimed_first_is_forgotten(
    make_bed: Callable[[StoreConfig], Bed],
) -> None:
    bed = make_bed(StoreConfig(max_resources=1))
    for resource in ("phone", "pad", "phone"):
        bed.login("bob", resource)
    bed.store.release_node("n1", bed.now)
    assert [bed.ack("bob", 0, resource) for resource in ("phone", "pad")] == [0, None]


def test_a_session_may_be_released_twice(bed: Bed) -> None:
    bed.login("alice")
    bed.logout("alice")
    bed.logout("alice")
    bed.store.release_node("n1", bed.now)
    assert bed.login("alice").previous_node == ""


# ------------------------------------------------------------------------------------------------ acknowledgements


def test_an_acknowledgement_moves_the_cursor_to_its_position(bed: Bed) -> None:
    bed.login("bob")
    sent = [bed.send("alice", "bob") for _ in range(3)]
    assert bed.ack("bob", sent[1].sequence) == 2
    assert where(bed.login("bob")) == (2, sent[1].sequence)


def test_a_cursor_never_goes_back(bed: Bed) -> None:
    bed.login("bob")
    sent = [bed.send("alice", "bob") for _ in range(3)]
    bed.ack("bob", sent[2].sequence)
    assert bed.ack("bob", sent[0].sequence) == 3
    assert where(bed.login("bob")) == (3, sent[2].sequence)


def test_a_sequence_between_two_messages_acknowledges_the_lower_one(bed: Bed) -> None:
    bed.login("bob")
    sent = [bed.send("alice", target) for target in ("bob", "carol", "bob")]
    assert bed.ack("bob", sent[1].sequence) == 1


def test_nothing_is_acknowledged_before_it_is_there(bed: Bed) -> None:
    bed.login("bob")
    newest = bed.send("alice", "bob")
    assert bed.ack("bob", (1 << 63) - 1) == 1
    bed.send("alice", "bob", b"later")
    claim = bed.login("bob")
    assert where(claim) == (1, newest.sequence)
    assert bed.payloads("bob", claim.position) == [b"later"]


def test_an_empty_inbox_has_nothing_to_acknowledge(bed: Bed) -> None:
    bed.login("bob")
    assert bed.ack("bob", 17) == 0
    assert where(bed.login("bob")) == (0, 0)


def test_acknowledgements_of_an_old_session_are_ignored(bed: Bed) -> None:
    old = bed.login("bob")
    bed.login("bob")
    sent = bed.send("alice", "bob")
    assert bed.ack("bob", sent.sequence, epoch=old.epoch) is None
    assert where(bed.login("bob")) == (0, 0)


def test_acknowledgements_of_nobody_are_ignored(bed: Bed) -> None:
    bed.login("bob")
    assert bed.ack("bob", 1, resource="pad", epoch=1) is None
    assert bed.ack("alice", 1, epoch=1) is None


def test_a_session_that_ended_still_acknowledges(bed: Bed) -> None:
    bed.login("bob")
    sent = bed.send("alice", "bob")
    bed.logout("bob")
    assert bed.ack("bob", sent.sequence) == 1


def test_resources_have_cursors_of_their_own(bed: Bed) -> None:
    bed.login("bob", "phone")
    bed.login("bob", "pad")
    sent = bed.send("alice", "bob")
    bed.ack("bob", sent.sequence, "phone")
    assert bed.login("bob", "phone").position == 1
    assert bed.login("bob", "pad").position == 0


# --------------------------------------------------------------------------------------------- where reading begins


def test_the_first_resource_gets_all_that_waited(bed: Bed) -> None:
    bed.send("alice", "bob", b"waiting")
    claim = bed.login("bob")
    assert where(claim) == (0, 0)
    assert bed.payloads("bob", claim.position) == [b"waiting"]


def test_a_new_resource_begins_at_what_any_other_ever_acknowledged(bed: Bed) -> None:
    bed.login("bob", "phone")
    bed.login("bob", "pad")
    sent = [bed.send("alice", "bob") for _ in range(3)]
    bed.ack("bob", sent[1].sequence, "phone")
    bed.ack("bob", sent[0].sequence, "pad")
    assert where(bed.login("bob", "new")) == (2, sent[1].sequence)


def test_the_floor_outlives_all_cursors(bed: Bed) -> None:
    bed.login("bob")
    sent = bed.send("alice", "bob")
    bed.ack("bob", sent.sequence)
    bed.logout("bob")
    bed.now += 100 * DAY
    bed.store.sweep(bed.now)
    later = bed.send("alice", "bob")
    claim = bed.login("bob", "new")
    assert where(claim) == (1, sent.sequence)
    assert [message.sequence for message in bed.inbox("bob", claim.position)] == [later.sequence]


def test_no_resource_begins_before_the_retention_swept_or_not(bed: Bed) -> None:
    old = bed.send("alice", "bob", b"old")
    bed.now += WEEK
    bed.send("alice", "bob", b"new")
    bed.now += 1
    assert where(bed.login("bob", "before the sweep")) == (1, old.sequence)
    bed.store.sweep(bed.now)
    assert where(bed.login("bob", "after the sweep")) == (1, old.sequence)


def test_a_message_of_exactly_the_retentions_age_is_still_delivered(bed: Bed) -> None:
    bed.send("alice", "bob", b"old")
    bed.now += WEEK
    bed.store.sweep(bed.now)
    assert bed.payloads("bob", bed.login("bob").position) == [b"old"]


def test_an_idle_cursor_lives_for_less_than_seven_days(bed: Bed) -> None:
    bed.login("bob", "phone")
    bed.login("bob", "pad")
    sent = bed.send("alice", "bob")
    bed.ack("bob", sent.sequence, "pad")
    bed.logout("bob", "phone")
    bed.now += WEEK - 1
    bed.store.sweep(bed.now)
    assert bed.login("bob", "phone").position == 0


def test_after_seven_idle_days_a_resource_is_a_new_one_swept_or_not(bed: Bed) -> None:
    bed.login("bob", "phone")
    bed.login("bob", "pad")
    bed.now += WEEK
    sent = bed.send("alice", "bob")
    bed.ack("bob", sent.sequence, "pad")
    bed.logout("bob", "phone")
    bed.now += WEEK
    assert bed.login("bob", "phone").position == 1


def test_a_session_is_not_idle_however_long_it_lasts(bed: Bed) -> None:
    session = bed.login("bob")
    bed.now += 30 * DAY
    bed.store.sweep(bed.now)
    sent = bed.send("alice", "bob")
    assert bed.ack("bob", sent.sequence) == 1
    assert bed.send("bob", "alice", epoch=session.epoch)


def test_logging_in_again_ends_idleness(bed: Bed) -> None:
    bed.login("bob")
    bed.logout("bob")
    bed.now += WEEK - 1
    bed.login("bob")
    bed.now += WEEK
    sent = bed.send("alice", "bob")
    assert bed.ack("bob", sent.sequence) == 1


def test_a_claim_counts_from_the_time_of_the_store_and_not_from_its_first_message(bed: Bed) -> None:
    assert bed.now == NOON
    claim = bed.login("bob")
    bed.send("alice", "bob", b"1")
    assert bed.payloads("bob", claim.position) == [b"1"]
