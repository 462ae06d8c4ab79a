"""The test kit as a whole: what it exports, and stories that it tells in a few lines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mimc_proto.testing
from mimc_proto import ClientState, Framing
from mimc_proto.events import CloseReason, LinkClosed
from mimc_proto.testing import Conditions, LinkedPair, Side, Stream

OFFSETS = st.integers(0, 400)
FAULTS: st.SearchStrategy[Callable[[Stream], None]] = st.one_of(
    st.builds(lambda at, side: lambda stream: stream.cut(at, unaware=side), OFFSETS, st.none() | st.sampled_from(Side)),
    st.builds(lambda at, count: lambda stream: stream.drop(count, after_bytes=at), OFFSETS, st.none() | OFFSETS),
    st.builds(lambda at, mask: lambda stream: stream.corrupt(at, mask=mask), OFFSETS, st.integers(1, 255)),
    st.just(Stream.stall),
)


@pytest.mark.parametrize("name", mimc_proto.testing.__all__)
def test_everything_public_is_there_and_documented(name: str) -> None:
    item = getattr(mimc_proto.testing, name)
    if inspect.isclass(item):
        assert item.__doc__
        public = [value for key, value in vars(item).items() if inspect.isfunction(value) and not key.startswith("_")]
        assert all(value.__doc__ for value in public)


@pytest.mark.parametrize("framing", Framing)
def test_a_silent_line_is_noticed_and_given_up(framing: Framing) -> None:
    pair = LinkedPair(framing=framing, conditions=Conditions(latency=0.1))
    pair.login()
    pair.pipe.drop()
    pair.run_until(lambda: pair.client.state is ClientState.CLOSED)
    assert pair.client_events == [LinkClosed(reason=CloseReason.ANSWER_TIMEOUT)]
    assert 24.0 < pair.clock.now < 27.0


def test_a_conversation_is_the_same_every_time() -> None:
    def story() -> list[str]:
        pair = LinkedPair()
        pair.login()
        pair.pipe.up.corrupt(after_bytes=30)
        pair.client.send_p2p("bob", b"hi", now=pair.clock.now)
        pair.run_for(5.0)
        return [repr(event) for event in [*pair.server_events, *pair.client_events]]

    assert story() == story()


@pytest.mark.parametrize("framing", Framing)
@given(st.lists(FAULTS, max_size=3), st.lists(FAULTS, max_size=3), st.integers(1, 50), st.integers())
def test_whatever_befalls_the_line_both_links_end_once_or_live_on(
    framing: Framing, up: list[Callable[[Stream], None]], down: list[Callable[[Stream], None]], chunk: int, seed: int
) -> None:
    pair = LinkedPair(framing=framing, conditions=Conditions(latency=0.1, capacity=500, chunk=chunk, rng=Random(seed)))
    pair.login()
    for stream, faults in ((pair.pipe.up, up), (pair.pipe.down, down)):
        for fault in faults:
            fault(stream)
    for _ in range(5):
        pair.client.send_p2p("bob", bytes(50), now=pair.clock.now)
    pair.run_for(600.0)
    for events, link in ((pair.client_events, pair.client), (pair.server_events, pair.server)):
        ends = [event for event in events if isinstance(event, LinkClosed)]
        assert len(ends) == (link.state.name == "CLOSED")
        assert events[-1:] == ends or not ends
