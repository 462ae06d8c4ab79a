"""Every fuzz target on its seeds and on some mutations of them, the same in every run; and the mutators themselves."""

from __future__ import annotations

import os
from random import Random

import pytest
import stories
from conversations import ALICE, downward, keys, online_server, upward
from mimc_cli.fuzzing import join, mutate_stream, split
from smoke import smoke
from targets import TARGETS
from targets.links import _seen
from targets.sessions import _joined, _program_says, _session_says, _start_says

from mimc_proto import Framing
from mimc_proto.packets import BadPacket, Header, Packet
from mimc_proto.testing import FRONTEND, resolver_answer, token_answer

MUTATIONS = 20 * int(os.environ.get("MIMC_EXAMPLES", "10"))
"""More in `make prove`."""
SLOW = {"endpoints": 20, "decode": 5, "session_program": 5, "session_start": 4}
"""Those that take so many times as long as the others."""


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_law(name: str) -> None:
    smoke(name, MUTATIONS // SLOW.get(name, 1))


def test_stories_lead_to_what_they_were_made_for() -> None:
    """Most would lead nowhere if an id, a limit or the order of the chances were another."""
    [unread], [start] = stories.of_servers(), stories.of_starts()
    whole = _joined(token_answer(ALICE), resolver_answer({FRONTEND: [("10.0.0.1", 5222)]}), start)
    passed, dropped, long_id = map(_session_says, ([story] for story in stories.of_sessions()))
    crossed, again, left, _ = (_program_says(story, cut=False) for story in stories.of_programs())
    assert any(
        "expected it to read what it asked for" in said for said in _seen(online_server(), [unread], lambda _: None)
    )
    assert any("expected the user whose 1 packets wait" in said for said in _start_says(whole, cut=False))
    assert sum("MessagesDelivered" in said for said in passed) == 1
    assert any("MessagesDropped(online=1" in said for said in dropped)
    assert any("MessagesDelivered" in said for said in long_id)
    assert sum("FetchToken" in said for said in crossed) == 1
    assert any("MessagesDropped(online=0, unlimited=3" in said for said in again)
    assert any("MessagesDelivered" in said and "sequence=4" in said for said in again)
    assert any("LOGGED_OUT" in said for said in left)


@pytest.mark.parametrize("framing", Framing)
def test_a_conversation_is_the_same_when_it_was_taken_apart(framing: Framing) -> None:
    for stream in upward(framing) + downward(framing):
        assert join(split(stream, keys(framing)), keys(framing)) == stream


def test_a_mutation_is_the_same_for_the_same_chance() -> None:
    [stream, *_], known = upward(Framing.TCP), keys(Framing.TCP)
    for seed in range(50):
        assert mutate_stream(stream, known, Random(seed)) == mutate_stream(stream, known, Random(seed))


def test_most_mutations_get_behind_the_encryption() -> None:
    """A flipped bit of a frame fails at its checksum; these are read, and what they hold is another thing."""
    known, stream = keys(Framing.TCP), upward(Framing.TCP)[6]
    before = split(stream, known)
    headers, packets, unreadable = 0, 0, 0
    for seed in range(400):
        pieces = split(mutate_stream(stream, known, Random(seed)), known)
        unreadable += any(piece.raw is not None for piece in pieces)
        headers += any(piece.header not in [other.header for other in before] for piece in pieces)
        packets += any(piece.payload not in [other.payload for other in before] for piece in pieces)
    assert (headers > 40, packets > 120, unreadable < 160) == (True, True, True)


def test_a_mutated_packet_is_still_a_packet_now_and_then_and_now_and_then_it_is_not() -> None:
    known, stream = keys(Framing.TCP), upward(Framing.TCP)[1]
    good = bad = 0
    for seed in range(300):
        for piece in split(mutate_stream(stream, known, Random(seed)), known)[2:]:
            try:
                if Header.decode(piece.header).cmd == "SECMSG":
                    good += not isinstance(Packet.decode(piece.payload), BadPacket)
            except Exception:
                bad += 1
    assert good > 30
    assert bad > 10
