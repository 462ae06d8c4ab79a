"""What a session asks its driver to do."""

from __future__ import annotations

import typing
from typing import Any

import pytest

from mimc_proto._record import Record
from mimc_proto.session import requests
from mimc_proto.session.requests import CloseLink, FetchToken, OpenLink, Resolve, SessionRequest

REQUESTS: list[Record] = [
    FetchToken(request_id=1),
    Resolve(request_id=2, url="https://resolver.example/"),
    OpenLink(link_id=3, host="10.0.0.1", port=5222),
    CloseLink(link_id=3, flush_until=7.5),
]


def test_the_union_names_every_request() -> None:
    made = {cls for cls in vars(requests).values() if isinstance(cls, type) and issubclass(cls, Record)} - {Record}
    assert made == set(typing.get_args(SessionRequest)) == {type(request) for request in REQUESTS}


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_has_nothing_but_plain_values_and_cannot_be_changed(request_: Any) -> None:
    assert all(isinstance(value, (int, float, str)) for value in request_)
    with pytest.raises(AttributeError):
        setattr(request_, request_.field_names[0], 0)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_a_request_has_an_id_first(request_: Any) -> None:
    assert request_.field_names[0] in ("request_id", "link_id")


def test_requests_of_other_kinds_are_never_equal() -> None:
    assert FetchToken(request_id=1) != (1,)
    assert FetchToken(request_id=1) == FetchToken(request_id=1)
