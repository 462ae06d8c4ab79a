"""Credentials: what is checked before anything is sent, and what is never shown."""

from __future__ import annotations

from typing import Any

import pytest

from mimc_proto import Credentials, CryptoError, LocalProtocolError
from mimc_proto.packets import User

ALICE = Credentials(
    app_id=1, account="alice", uuid=2, token="secret-token", security_key="XOF8dTB2dOVVkEdZB9O21w==", package="app"
)


def test_tokens_and_keys_are_not_shown() -> None:
    assert repr(ALICE) == ("Credentials(app_id=1, account='alice', uuid=2, token=***, security_key=***, package='app')")


def test_the_secret_is_the_decoded_security_key() -> None:
    assert ALICE.checked_secret() == bytes.fromhex("5ce17c75307674e55590475907d3b6d7") + b"_"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"token": ""}, "Credentials.token"),
        ({"token": "x" * 8193}, "Credentials.token"),
        ({"token": "secret-token\ud800"}, "Credentials.token"),
        ({"token": b"secret-token"}, "Credentials.token"),
        ({"account": "\ud800"}, "Credentials.account"),
        ({"account": ""}, "Credentials.account"),
        ({"package": 7}, "Credentials.package"),
        ({"security_key": "XOF8"[:3]}, "security key"),
    ],
)
def test_what_cannot_be_sent_is_named(change: dict[str, Any], where: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        ALICE.replace(**change).checked_secret()
    assert caught.value.where == where
    assert "secret-token" not in str(caught.value)


def test_the_channel_is_that_of_mimc_if_it_is_not_given() -> None:
    assert ALICE.chid == 9


def test_a_package_may_be_empty() -> None:
    assert ALICE.replace(package="").checked_secret()


def test_a_bad_key_is_a_crypto_error() -> None:
    with pytest.raises(CryptoError, match="base64"):
        ALICE.replace(security_key="not base64").checked_secret()


@pytest.mark.parametrize("change", [{"token": "t"}, {"security_key": "AAAA"}, {"chid": 10}])
def test_a_new_token_is_for_the_same_user(change: dict[str, Any]) -> None:
    assert ALICE.same_user(ALICE.replace(**change))


@pytest.mark.parametrize("change", [{"app_id": 5}, {"account": "bob"}, {"uuid": 5}, {"package": "other"}])
def test_another_identity_is_another_user(change: dict[str, Any]) -> None:
    assert not ALICE.same_user(ALICE.replace(**change))


def test_a_user_has_one_resource() -> None:
    assert ALICE.user("pc") == User(app_id=1, account="alice", uuid=2, resource="pc")
