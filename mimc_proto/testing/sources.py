"""Where a session in a test gets its tokens and addresses from, well or badly, soon or never."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from .._record import Record

__all__ = ["Answer", "Source"]

Answer = str | bytes | dict[str, object] | Exception
"""What a token endpoint or a resolver gives: a body, or an error."""

Q = TypeVar("Q", bound=Record)


class Source(Generic[Q]):
    """Answers requests for tokens or addresses: first those in ``answers``, one each, then ``default(request)``.

    ``delay`` in seconds; None answers never. ``asked`` are the requests so far::

        alice.tokens.answers.extend([OSError("no network"), token_answer("alice", token=7)])
        alice.tokens.delay = 2.0
    """

    def __init__(self, default: Callable[[Q], Answer]) -> None:
        self.default = default
        self.answers: deque[Answer] = deque()
        self.delay: float | None = 0.0
        self.asked: list[Q] = []

    def answer(self, request: Q) -> Answer:
        """The answer to one more request."""
        self.asked.append(request)
        return self.answers.popleft() if self.answers else self.default(request)
