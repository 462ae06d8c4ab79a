"""What schemathesis makes of the OpenAPI document: requests that it allows and requests that it forbids.

No answer is an error of the server's, and each is one that the document describes. A part of what a request names is
what there is (an application, groups, users), so that requests get past the door, by token and by secret alike.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import os
from collections.abc import Callable, MutableMapping
from random import Random
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from mimc_server.http import AnswerCode
from mimc_server.store import Group, Kind, StoreConfig
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.http_town import APP, BY_SECRET, LOGIN, NOON, HttpTown, document
from support.store_bed import STORES

EXAMPLES = int(os.environ.get("MIMC_EXAMPLES", "50")) // 5
"""Of each endpoint; more in `make prove`."""

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""Those of schemathesis that hold for us. The others take the HTTP status for the outcome, which is in `code` here."""

QUIT = "DELETE /api/topic/{appId}/{topicId}/account"
"""Documented to answer with code 500 to an owner."""

ACCOUNTS = ["alice", "bob", "carol", "alice,bob", "stranger"]


@functools.cache
def operations() -> dict[str, Any]:
    """By method and path."""
    schema = schemathesis.openapi.from_dict(document())
    found = list(schema.get_all_operations())
    assert all(isinstance(result, Ok) for result in found)
    return {result.ok().label: result.ok() for result in found if isinstance(result, Ok)}


@functools.cache
def cases(label: str, mode: GenerationMode) -> st.SearchStrategy[Case[Any]]:
    """Requests that the document allows (positive) or forbids."""
    strategy: st.SearchStrategy[Case[Any]] = operations()[label].as_strategy(generation_mode=mode)
    return strategy


LABELS = sorted(operations())
FORBIDDABLE = [label for label in LABELS if operations()[label].definition.raw.keys() & {"parameters", "requestBody"}]


def made_town(store: str) -> HttpTown:
    """Alice has groups of both kinds, and bob and she said something."""
    town = HttpTown(STORES[store](StoreConfig()))
    members = [town.member(account).uuid for account in ("alice", "bob", "carol")]
    for unlimited in (False, True):
        made = town.store.create_group(APP.app_id, members[0], "team", members, NOON, unlimited=unlimited)
        assert isinstance(made, Group)
        town.say("alice", made.topic_id, kind=Kind.UNLIMITED if unlimited else Kind.P2T)
    town.say("alice", "bob")
    return town


def topics(town: HttpTown) -> list[str]:
    """The ids of alice's groups, those made by earlier requests among them."""
    alice = town.member("alice").uuid
    groups = [group for kind in (False, True) for group in town.store.groups_of(APP.app_id, alice, unlimited=kind)]
    return [str(group.topic_id) for group in groups] or ["1"]


def real(town: HttpTown) -> dict[str, list[Any]]:
    """What there is, by the names of fields, headers and parameters."""
    return {
        "appId": [str(APP.app_id), APP.app_id],
        "appKey": [LOGIN["appKey"]],
        "appSecret": [LOGIN["appSecret"]],
        "appAccount": ["alice", "stranger"],
        "topicId": topics(town),
        "ownerUuid": [town.member("bob").uuid],
        "startUuid": ["0"],
        "accounts": ["bob", *ACCOUNTS],
        **dict.fromkeys(("account", "toAccount", "fromAccount", "ownerAccount"), ACCOUNTS),
        "utcFromTime": [NOON - 1, str(NOON)],
        "utcToTime": [NOON + 1, str(NOON + 1)],
        "count": [1, 200],
        "startSeq": [0],
        "stopSeq": [(1 << 63) - 1],
    }


def make_real(case: Case[Any], town: HttpTown, choose: Callable[[list[Any]], Any]) -> None:
    """Have a request name what there is, where ``choose`` gives something."""
    for part in (case.path_parameters, case.headers, case.query, case.body):
        if isinstance(part, MutableMapping):
            for name, values in real(town).items():
                chosen = choose(values) if name in part else None
                if chosen is not None:
                    part[name] = chosen if part is case.body else str(chosen)


def some(data: st.DataObject) -> Callable[[list[Any]], Any]:
    """In most places."""
    return lambda values: data.draw(st.sampled_from(values)) if data.draw(st.integers(0, 4)) else None


def sent(town: HttpTown, case: Case[Any], credentials: dict[str, str]) -> httpx2.Response:
    """The answer to a request."""
    wanted = case.as_transport_kwargs(base_url="http://127.0.0.1", headers=credentials)
    wanted.pop("cookies", None)
    headers = [
        (name.encode(), value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)
        for name, value in wanted.pop("headers").items()
        if value is not None
    ]
    if "data" in wanted:
        wanted["content"] = wanted.pop("data")
    return asyncio.run(town.ask(wanted.pop("method"), wanted.pop("url"), headers=headers, **wanted))


def by_token(town: HttpTown, account: str) -> dict[str, str]:
    return {"token": town.token(account)}


def by_secret(_: HttpTown, account: str) -> dict[str, str]:
    encoded = base64.b64encode(account.encode()).decode()
    return {**BY_SECRET, "appAccount": encoded, "appAccountEncode": "base64"}


callers = st.tuples(st.sampled_from([by_token, by_secret]), st.sampled_from(["alice", "alice", "bob", "mallory"]))


def check(case: Case[Any], response: httpx2.Response) -> int:
    """The outcome, after what holds for any answer."""
    case.validate_response(response, checks=CHECKS)
    code: int = 200 if case.operation.label == "GET /gslb" else response.json()["code"]
    assert code in [code.value for code in AnswerCode]
    assert code != AnswerCode.FAILED or case.operation.label == QUIT, response.text
    return code


@pytest.mark.parametrize("label", LABELS)
@given(data=st.data(), store=st.sampled_from(sorted(STORES)), caller=callers)
@settings(max_examples=EXAMPLES)
def test_what_the_document_allows_is_answered_as_it_says(
    label: str, data: st.DataObject, store: str, caller: Any
) -> None:
    town = made_town(store)
    case = data.draw(cases(label, GenerationMode.POSITIVE))
    make_real(case, town, some(data))
    credentials, account = caller
    check(case, sent(town, case, credentials(town, account)))


@pytest.mark.parametrize("label", FORBIDDABLE)
@given(data=st.data(), store=st.sampled_from(sorted(STORES)), caller=callers)
@settings(max_examples=EXAMPLES)
def test_what_the_document_forbids_is_refused(label: str, data: st.DataObject, store: str, caller: Any) -> None:
    town = made_town(store)
    case = data.draw(cases(label, GenerationMode.NEGATIVE))
    credentials, account = caller
    response = sent(town, case, credentials(town, account))
    if response.status_code in (404, 405):  # a path parameter that made another path of it
        assert response.json()["code"] == response.status_code
    elif label != "GET /gslb":  # where nothing is forbidden
        assert check(case, response) != AnswerCode.OK


@given(data=st.data(), store=st.sampled_from(sorted(STORES)))
@settings(max_examples=max(2, EXAMPLES))
def test_any_sequence_of_requests_is_answered_as_the_document_says(data: st.DataObject, store: str) -> None:
    """Groups are made, changed and dismissed, members come and go: each request finds what those before it left."""
    town = made_town(store)
    for label in data.draw(st.lists(st.sampled_from(LABELS), min_size=3, max_size=10)):
        case = data.draw(cases(label, GenerationMode.POSITIVE))
        make_real(case, town, some(data))
        credentials, account = data.draw(callers)
        check(case, sent(town, case, credentials(town, account)))


@pytest.mark.parametrize("label", LABELS)
def test_a_request_that_names_what_there_is_gets_past_the_door(label: str) -> None:
    """Or all that was found out above would be that everything is refused."""
    kind = -1 if "uctopic" in label or "p2u" in label else 0  # which of alice's groups

    def succeeds(case: Case[Any]) -> bool:
        town = made_town("memory")
        make_real(case, town, lambda values: values[kind] if values == topics(town) else values[0])
        account = "bob" if label == QUIT else "alice"
        return check(case, sent(town, case, by_token(town, account))) == AnswerCode.OK

    find(
        cases(label, GenerationMode.POSITIVE),
        succeeds,
        settings=settings(max_examples=50, phases=[Phase.generate], database=None),
        random=Random(1),
    )
