"""What is tried against a server: a case is one connection, and what is said on it. Cases can be kept in files."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

from .speech import Speaker
from .stream import FuzzKeys, Piece, mutate_pieces

__all__ = ["Case", "CaseError", "Phase", "Step", "load", "make", "save"]

MOST_STEPS = 8
"""Mutated inputs on one connection."""
VERSION = 1


class CaseError(ValueError):
    """A file that is none of ours."""


class Phase(enum.Enum):
    """Which part of a connection is mutated; what comes before is said as clients say it."""

    CONN = "conn"
    BIND = "bind"
    READY = "ready"
    """After the answer to CONN: nobody is logged in."""
    ONLINE = "online"


@dataclasses.dataclass(frozen=True)
class Step:
    """One mutated input: frames, taken apart and plain. Of CONN and BIND only the seed of their mutation is known
    before, for they depend on the connection, and a BIND holds a token, which no file should."""

    pieces: tuple[Piece, ...] = ()
    seed: int = 0

    def said(self, phase: Phase, whole: Piece, keys: FuzzKeys) -> list[Piece]:
        """The frames; ``whole`` is the CONN or BIND of this connection."""
        if phase in (Phase.CONN, Phase.BIND):
            return mutate_pieces([whole], keys, Random(self.seed))
        return list(self.pieces)


@dataclasses.dataclass(frozen=True)
class Case:
    """One connection."""

    number: int
    phase: Phase
    steps: tuple[Step, ...]


def make(number: int, rng: Random, speaker: Speaker, keys: FuzzKeys, *, logs_in: bool) -> Case:
    """The case of this chance. ``keys`` are any of the framing's."""
    chance = rng.random()
    if chance < 0.1:
        phase = Phase.CONN
    elif chance < 0.25:
        phase = Phase.BIND
    else:
        phase = Phase.ONLINE if logs_in and chance < 0.9 else Phase.READY
    if phase in (Phase.CONN, Phase.BIND):
        return Case(number, phase, (Step(seed=rng.getrandbits(32)),))
    said = speaker.after_login() if phase is Phase.ONLINE else speaker.before_login()
    steps = []
    for _ in range(rng.randrange(1, MOST_STEPS + 1)):
        start = [rng.choice(said) for _ in range(rng.choice((1, 1, 1, 2, 4)))]
        pieces = mutate_pieces(start, keys, rng)
        steps.append(Step(tuple(pieces)))
        if not whole(pieces):  # nothing behind it would be read as a frame
            break
    return Case(number, phase, tuple(steps))


def whole(pieces: Iterable[Piece]) -> bool:
    """Whether all of them are whole frames, so that what follows them is read."""
    return all(piece.raw is None for piece in pieces)


# --------------------------------------------------------------------------------------------------------------- files


def save(path: Path, case: Case, about: dict[str, object]) -> None:
    """JSON lines: what it is ``about``, then a line for each step. Raises `OSError`."""
    lines: list[dict[str, object]] = [
        {"mimc_fuzz": VERSION, **about, "case": case.number, "phase": case.phase.value},
        *[_step_to_json(step) for step in case.steps],
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def load(path: Path) -> tuple[Case, dict[str, object]]:
    """The case of a file, and what it is about. Raises `CaseError`, `OSError`."""
    try:
        about, *lines = [json.loads(line) for line in path.read_text().splitlines()]
        if about.pop("mimc_fuzz") != VERSION:
            raise CaseError(f"expected version {VERSION} of a reproducer")
        case = Case(int(about.pop("case")), Phase(about.pop("phase")), tuple(map(_step_from_json, lines)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CaseError(f"expected a reproducer of `mimc fuzz`, got {type(error).__name__}: {error}") from None
    return case, about


def _step_to_json(step: Step) -> dict[str, object]:
    return {"pieces": [_piece_to_json(piece) for piece in step.pieces]} if step.pieces else {"seed": step.seed}


def _piece_to_json(piece: Piece) -> dict[str, object]:
    """Hex of what it holds; a piece of nothing is an empty frame."""
    shown: dict[str, object] = {}
    for name in ("header", "payload", "body", "raw"):
        value = getattr(piece, name)
        if value or (value is not None and name in ("body", "raw")):
            shown[name] = value.hex()
    return shown if piece.encrypted else {**shown, "encrypted": False}


def _step_from_json(line: dict[str, object]) -> Step:
    pieces = line.get("pieces", [])
    if not isinstance(pieces, list):
        raise CaseError("expected a list of pieces")
    return Step(tuple(map(_piece_from_json, pieces)), int(str(line.get("seed", 0))))


def _piece_from_json(shown: dict[str, object]) -> Piece:
    values = {name: bytes.fromhex(str(shown[name])) for name in ("header", "payload", "body", "raw") if name in shown}
    return Piece(**values, encrypted=bool(shown.get("encrypted", True)))
