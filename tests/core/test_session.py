"""The package: everything a driver and an application need, under one name."""

from __future__ import annotations

import typing

from mimc_proto import session
from mimc_proto.session import SessionEvent, SessionRequest, Verdict


def test_everything_public_is_there_and_listed_in_order() -> None:
    assert all(getattr(session, name) is not None for name in session.__all__)
    assert sorted(session.__all__) == sorted(set(session.__all__))
    public = {
        name for name, value in vars(session).items() if not name.startswith("_") and not hasattr(value, "__path__")
    }
    modules = {name for name in public if getattr(session, name).__class__.__name__ == "module"}
    assert public - modules == set(session.__all__)


def test_every_event_and_request_can_be_imported_from_here() -> None:
    for union in (SessionEvent, SessionRequest, Verdict):
        assert {cls.__name__ for cls in typing.get_args(union)} <= set(session.__all__)


def test_every_public_class_and_function_is_documented() -> None:
    for name in session.__all__:
        value = getattr(session, name)
        if value.__class__ is type or callable(value):
            assert value.__doc__, name
