"""Expectations of what an input does in each state of a link, as a text that people can read and tests can run.

An input is a line of its own, with ``[tcp]`` or ``[websocket]`` behind it if only that framing knows it. Indented
below it: states, two spaces or more, what happens there:

- ``refused``: LocalProtocolError, and nothing at all has changed;
- ``deaf``: nothing at all happens;
- ``fatal``: RemoteProtocolError, the link is over;
- ``STATE +Event >FRAME @timer``: the state after it (``=`` the same), the events, the frames that are sent and the
  time of the next timer, each but the first left out where there is none, and the timer where it is the state's own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mimc_proto import Framing


class Case(NamedTuple):
    """One pair of state and input on one framing, and what happens."""

    framing: Framing
    item: str
    state: str
    verdict: str  # "refused", "deaf", "fatal" or "steps"
    next_state: str
    events: list[str]
    frames: list[str]
    timer: str  # "" for that of the state

    def __str__(self) -> str:
        return f"{self.framing.value}-{self.state}-{self.item}"


def cases(text: str, states: list[str]) -> list[Case]:
    """The cases of a text. Each input says of every state, once, what happens."""
    found: list[Case] = []
    for block in re.split(r"\n(?=\S)", text.strip()):
        head, *lines = block.splitlines()
        name, only = re.fullmatch(r"(.*?)(?: \[(tcp|websocket)\])?", head).groups()  # type: ignore[union-attr]
        framings = [Framing(only)] if only else list(Framing)
        told: list[str] = []
        for line in lines:
            where, what = re.split(r"\s{2,}", line.strip(), maxsplit=1)
            told += where.split()
            found += [_case(framing, name, state, what) for framing in framings for state in where.split()]
        assert sorted(told) == sorted(states), f"{name}: {told}"
    return found


def _case(framing: Framing, item: str, state: str, what: str) -> Case:
    if what in ("refused", "deaf", "fatal"):
        return Case(framing, item, state, what, "", [], [], "")
    next_state, *parts = what.split()
    marked: dict[str, list[str]] = {"+": [], ">": [], "@": []}
    for part in parts:
        marked[part[0]].append(part[1:])
    timer = marked["@"][0] if marked["@"] else ""
    return Case(
        framing, item, state, "steps", state if next_state == "=" else next_state, marked["+"], marked[">"], timer
    )
