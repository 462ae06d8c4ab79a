"""Every fuzz target on its seeds and on some mutations of them, the same in every run; and the mutators themselves."""

from __future__ import annotations

import os
from random import Random

import pytest
from conversations import downward, keys, upward
from mimc_cli.fuzzing import join, mutate_stream, split
from smoke import smoke
from targets import TARGETS

from mimc_proto import Framing
from mimc_proto.packets import BadPacket, Header, Packet

MUTATIONS = 20 * int(os.environ.get("MIMC_EXAMPLES", "10"))
"""More in `make prove`."""
SLOW = {"endpoints": 20, "decode": 5, "session_program": 5, "session_start": 4}
"""Those that take so many times as long as the others."""


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_law(name: str) -> None:
    smoke(name, MUTATIONS // SLOW.get(name, 1))


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
