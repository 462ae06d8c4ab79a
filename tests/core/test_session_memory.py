"""What was delivered already: never forgotten while the server may push it again, and never kept for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mimc_proto.session.memory import AT_ONCE, Recent, Seen


def seen(*sequences: int, least: int = 3) -> Seen:
    memory = Seen(least)
    for sequence in sequences:
        memory.add([sequence])
    return memory


def known(memory: Seen, *sequences: int) -> list[int]:
    return [sequence for sequence in sequences if sequence in memory.known]


def test_everything_delivered_is_known() -> None:
    memory = seen(1, 2, 3, 4, 5)
    assert known(memory, *range(7)) == [1, 2, 3, 4, 5]
    assert len(memory.known) == 5


def test_sequences_of_a_list_are_delivered_together() -> None:
    memory = Seen(3)
    memory.add(range(1, 1000))
    memory.confirm(990)
    assert list(memory.known) == [*range(991, 1000)]


def test_a_sequence_is_no_watermark() -> None:
    assert known(seen(10), 9, 10, 11) == [10]


def test_without_a_confirmed_acknowledgement_nothing_is_forgotten() -> None:
    assert len(seen(*range(1, 1001)).known) == 1000


def test_a_confirmed_acknowledgement_lets_all_but_the_last_be_forgotten() -> None:
    memory = seen(1, 2, 3, 4, 5)
    memory.confirm(5)
    assert known(memory, 1, 2, 3, 4, 5) == [3, 4, 5]


def test_what_is_behind_the_acknowledgement_is_kept() -> None:
    memory = seen(1, 2, 3, 4, 5, 6, 7)
    memory.confirm(2)
    assert known(memory, *range(8)) == [3, 4, 5, 6, 7]


def test_what_comes_later_pushes_the_confirmed_out_a_few_at_once() -> None:
    memory = seen(1, 2, 3)
    memory.confirm(1000)
    for sequence in range(4, 4 + AT_ONCE):
        memory.add([sequence])
    assert len(memory.known) == 3 + AT_ONCE
    memory.add([1000])
    assert known(memory, *range(1001)) == [2 + AT_ONCE, 3 + AT_ONCE, 1000]


def test_what_comes_later_pushes_nothing_unconfirmed_out() -> None:
    memory = seen(1, 2, 3)
    memory.confirm(1)
    for sequence in range(4, 5 + AT_ONCE):
        memory.add([sequence])
    assert known(memory, *range(5 + AT_ONCE)) == [*range(2, 5 + AT_ONCE)]


def test_an_older_confirmation_takes_none_back() -> None:
    memory = seen(1, 2, 3)
    memory.confirm(3)
    memory.confirm(1)
    for sequence in range(4, 5 + AT_ONCE):
        memory.add([sequence])
    assert known(memory, 1, 2, 3) == []


def test_a_sequence_that_comes_twice_counts_once() -> None:
    memory = seen(1, 2, 3, 3, 3)
    assert len(memory.known) == 3
    memory.confirm(3)
    assert known(memory, 1, 2, 3) == [1, 2, 3]


def test_sequences_out_of_order_are_forgotten_in_the_order_of_their_delivery() -> None:
    memory = seen(9, 1, 2, 3, 4)
    memory.confirm(4)
    assert known(memory, 9, 1, 2, 3, 4) == [9, 1, 2, 3, 4]
    memory.confirm(9)
    assert known(memory, 9, 1, 2, 3, 4) == [2, 3, 4]


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(["deliver", "confirm"]), st.integers(1, 40)), max_size=60),
)
def test_what_may_come_again_and_the_last_few_are_always_known(least: int, steps: list[tuple[str, int]]) -> None:
    memory, order, confirmed = Seen(least), list[int](), 0
    for step, sequence in steps:
        if step == "confirm":
            memory.confirm(sequence)
            confirmed = max(confirmed, sequence)
        elif sequence not in memory.known:
            memory.add([sequence])
            order.append(sequence)
        assert all(last in memory.known for last in order[-least:])
        assert all(delivered in memory.known for delivered in order if delivered > confirmed)


@given(st.integers(1, 8), st.integers(1, 200), st.integers(1, 10))
def test_with_rising_sequences_and_confirmations_it_stays_small(least: int, count: int, every: int) -> None:
    memory = Seen(least)
    for sequence in range(1, count + 1):
        memory.add([sequence])
        if sequence % every == 0:
            memory.confirm(sequence)
    assert len(memory.known) <= least + every + AT_ONCE


def test_the_last_few_keys_are_new_once() -> None:
    memory = Recent[str](2)
    assert [memory.add(key) for key in ("a", "b", "a", "b")] == [True, True, False, False]


def test_a_key_that_was_pushed_out_is_new_again() -> None:
    memory = Recent[str](2)
    assert [memory.add(key) for key in ("a", "b", "c", "a")] == [True, True, True, True]
    assert not memory.add("c")


def test_a_repeat_does_not_make_a_key_younger() -> None:
    memory = Recent[str](2)
    assert [memory.add(key) for key in ("a", "b", "a", "c", "a")] == [True, True, False, True, True]
