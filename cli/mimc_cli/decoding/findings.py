"""What there is to say about one frame: what is broken, what is only advice, what was assumed."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Fault", "Findings"]

SHOWN_NOTES = 50
SHOWN_FAULTS = 10


class Fault(NamedTuple):
    """Something broken; ``offset`` of the byte counts from the start of the frame."""

    offset: int
    where: str
    problem: str


class Findings:
    """Collects while a frame is read. Both lists are bounded when shown: a hostile frame has one per byte."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.assumed: list[str] = []
        self._notes: dict[str, int] = {}
        self._muted = False

    def fault(self, where: str, offset: int, problem: str) -> None:
        """Something that makes receivers refuse the frame or the packet."""
        if not self._muted:
            self.faults.append(Fault(offset, where, problem))

    def note(self, text: str) -> None:
        """Advice: the frame is not broken by it."""
        if not self._muted:
            self._notes[text] = self._notes.get(text, 0) + 1

    def assume(self, text: str) -> None:
        """Something that neither the frame nor the command line says for certain."""
        self.assumed.append(text)

    def mute(self) -> None:
        """Ignore further faults and notes: the frame is cut off, and they would only be consequences of that."""
        self._muted = True

    def to_json(self, input_offset: int) -> dict[str, Any]:
        """The entries of the frame's JSON object; ``input_offset`` is where the frame starts in the input."""
        shown: dict[str, Any] = {}
        if self.assumed:
            shown["assumed"] = self.assumed
        if self._notes:
            shown["notes"] = self._shown_notes()
        # stable: of several faults at one byte the one found first comes first
        faults = [_fault_json(fault, input_offset) for fault in sorted(self.faults, key=lambda fault: fault.offset)]
        if faults:
            shown["broken"] = faults[0]
        if len(faults) > 1:
            shown["also_broken"] = faults[1 : SHOWN_FAULTS + 1]
        if len(faults) > SHOWN_FAULTS + 1:
            shown["more_broken"] = len(faults) - SHOWN_FAULTS - 1
        return shown

    def _shown_notes(self) -> list[str]:
        notes = [text if count == 1 else f"{text} ({count} times)" for text, count in self._notes.items()]
        if len(notes) > SHOWN_NOTES:
            notes[SHOWN_NOTES:] = [f"and {len(notes) - SHOWN_NOTES} more notes"]
        return notes


def _fault_json(fault: Fault, input_offset: int) -> dict[str, Any]:
    return {
        "where": fault.where,
        "offset": fault.offset,
        "input_offset": input_offset + fault.offset,
        "problem": fault.problem,
    }
