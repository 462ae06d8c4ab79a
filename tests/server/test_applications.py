"""Applications, and how they are found."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mimc_server.applications import Application, Applications
from support.store_bed import APP

from mimc_proto.errors import LocalProtocolError


def application(**changes: Any) -> Application:
    return Application.of(
        **{"app_id": APP, "app_key": "key", "app_secret": "secret", "package": "com.example", **changes}
    )


def test_an_application_knows_its_key_and_secret() -> None:
    assert application().check("key", "secret")


@given(app_key=st.text(st.characters()), app_secret=st.text(st.characters()))
def test_any_other_key_or_secret_is_refused(app_key: str, app_secret: str) -> None:
    assert application().check(app_key, "secret") == (app_key == "key")
    assert application().check("key", app_secret) == (app_secret == "secret")
    assert not application().check("secret", "key")


@pytest.mark.parametrize(
    "wrong",
    [
        {"app_id": 0},
        {"app_id": 1 << 63},
        {"app_key": ""},
        {"app_secret": ""},
        {"app_secret": "\ud800"},
        {"package": ""},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_application_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        application(**wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_neither_a_repr_nor_the_record_itself_holds_key_or_secret() -> None:
    it = application(app_key="the key", app_secret="the secret")
    assert "com.example" in repr(it)
    for shown in (repr(it), repr(tuple(it))):
        assert "the key" not in shown
        assert "the secret" not in shown
    assert it.secret_digest.hex() not in repr(it)


def test_applications_with_the_same_key_and_secret_have_other_digests() -> None:
    one, other = application(), application(app_id=APP + 1)
    assert one.key_digest != other.key_digest
    assert one.key_digest != one.secret_digest


def test_an_application_is_found_by_its_id_and_secret_or_by_its_secret_alone() -> None:
    one, other = application(), application(app_id=APP + 1, app_key="another", package="com.example.other")
    served = Applications([one])
    served.add(other)
    assert list(served) == [one, other]
    assert served.with_secret(APP, "key", "secret") == one
    assert served.with_secret(None, "another", "secret") == other
    assert served.with_secret(APP, "another", "secret") is None
    assert served.with_secret(None, "key", "wrong") is None
    assert served.with_secret(APP + 2, "key", "secret") is None
    assert (served.get(APP), served.get(APP + 2)) == (one, None)
    assert (served.package_of(APP + 1), served.package_of(APP + 2)) == ("com.example.other", None)


def test_an_application_that_is_added_again_replaces_the_first() -> None:
    served = Applications([application()])
    served.add(application(app_secret="a new one"))
    assert served.with_secret(APP, "key", "secret") is None
    assert served.with_secret(APP, "key", "a new one") is not None


def test_an_application_that_was_removed_is_not_served() -> None:
    served = Applications([application()])
    served.remove(APP)
    served.remove(APP)
    assert list(served) == []
    assert served.package_of(APP) is None
