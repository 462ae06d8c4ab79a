"""Where tokens and addresses come from in a test."""

from __future__ import annotations

from mimc_proto.session.requests import FetchToken
from mimc_proto.testing import Source


def test_planned_answers_come_first_and_once() -> None:
    source = Source[FetchToken](lambda request: f"answer {request.request_id}")
    error = OSError("no network")
    source.answers.extend([error, "planned"])
    requests = [FetchToken(request_id=number) for number in range(3)]
    assert [source.answer(request) for request in requests] == [error, "planned", "answer 2"]
    assert source.asked == requests
    assert source.delay == 0.0
