"""However a stream is cut into reads, a link does the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.conversations import STATES, frame_kinds, talk_in, verb_names

from mimc_proto import Framing


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Any, list[tuple[list[str], str | None]]]:
    """A state, and turns: frames that come together, then something the driver does."""
    state = draw(st.sampled_from(STATES))
    frames = st.lists(st.sampled_from(frame_kinds(state)), max_size=6)
    return state, draw(st.lists(st.tuples(frames, st.none() | st.sampled_from(verb_names(state))), max_size=6))


def play(state: Any, turns: list[tuple[list[str], str | None]], cut: Any) -> tuple[Any, ...]:
    """All that can be seen of a link after a conversation, whose reads are cut by ``cut``."""
    talk = talk_in(state, Framing.TCP)
    for frames, verb in turns:
        talk.now += 1.0
        for piece in cut(b"".join(talk.frame(kind) for kind in frames)):
            talk.receive(piece)
        talk.take()
        if verb is not None:
            talk.act(verb)
        talk.take()
    return talk.seen()


@given(conversations(), st.randoms(use_true_random=False), st.sampled_from([2, 10, 200]))
def test_a_conversation_is_the_same_however_its_reads_are_cut(conversation: Any, random: Any, mean: int) -> None:
    def pieces(data: bytes) -> list[bytes]:
        found, position = [], 0
        while position < len(data):
            end = position + random.randint(0, 2 * mean)
            found.append(data[position:end])
            position = end
        return found

    state, turns = conversation
    assert play(state, turns, pieces) == play(state, turns, lambda data: [data])


@given(conversations())
def test_a_conversation_is_the_same_byte_by_byte(conversation: Any) -> None:
    state, turns = conversation

    def single(data: bytes) -> list[bytes]:
        return [data[n : n + 1] for n in range(len(data))]

    assert play(state, turns, single) == play(state, turns, lambda data: [data])


@given(conversations(), st.sampled_from([1, 100, 1 << 30]))
def test_a_conversation_is_the_same_however_much_is_written_at_a_time(conversation: Any, most: int) -> None:
    state, turns = conversation
    streams = []
    for size in (65536, most):
        talk = talk_in(state, Framing.WEBSOCKET)
        for frames, verb in turns:
            for kind in frames:
                talk.receive(talk.frame(kind))
            if verb is not None:
                talk.act(verb)
            while taken := talk.link.data_to_send(size):
                talk.output += taken
        streams.append(talk.seen())
    assert streams[0] == streams[1]
