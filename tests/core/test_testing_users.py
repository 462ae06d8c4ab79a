"""Example users, and the answers that real parsers read back."""

from __future__ import annotations

import json

import pytest

from mimc_proto.errors import TokenError
from mimc_proto.session.resolver import parse_resolver_answer
from mimc_proto.session.tokens import parse_token_answer
from mimc_proto.testing import APP_ID, FRONTEND, example_user, resolver_answer, token_answer


def test_the_same_name_gives_the_same_user_and_another_name_another() -> None:
    assert example_user("alice") == example_user()
    assert example_user("alice").uuid != example_user("bob").uuid
    assert example_user("alice").checked_secret()


def test_a_token_can_be_renewed() -> None:
    old, new = example_user("alice"), example_user("alice", token="renewed")
    assert old.same_user(new)
    assert new.token == "renewed"


@pytest.mark.parametrize("user", ["bob", example_user("bob")])
def test_a_token_answer_is_read_back_as_its_user(user: str) -> None:
    answer = parse_token_answer(token_answer(user), app_id=APP_ID, account="bob")
    assert answer.credentials == example_user("bob")
    assert answer.fe_domain == FRONTEND


def test_a_token_answer_can_be_spoiled() -> None:
    with pytest.raises(TokenError, match="miUserId"):
        parse_token_answer(token_answer("alice", miUserId="no number"), app_id=APP_ID, account="alice")
    assert "token" not in json.loads(token_answer("alice", omit=["token"]))["data"]
    assert json.loads(token_answer("alice", domain="other.example"))["data"]["feDomainName"] == "other.example"


def test_a_resolver_answer_is_read_back_as_its_addresses() -> None:
    pairs = (("10.0.0.1", 5222), ("::1", 80))
    answer = resolver_answer({"fe.example": pairs, "relay.example": []})
    assert parse_resolver_answer(answer, "fe.example") == pairs
    assert json.loads(answer)["R"]["wifi"]["relay.example"] == []
