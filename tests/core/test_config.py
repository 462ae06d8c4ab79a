"""A config checks itself when it is made, and says which setting is wrong and what it may be."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimc_proto.config import KIB, MIB, ClientConfig, Delivery, ServerConfig, SessionConfig
from mimc_proto.errors import LocalProtocolError

Config = type[ClientConfig] | type[ServerConfig]
CONFIGS: list[Config] = [ClientConfig, ServerConfig]


def settings_of(kind: str) -> list[Any]:
    return [
        pytest.param(cls, field.name, id=f"{cls.__name__}.{field.name}")
        for cls in CONFIGS
        for field in dataclasses.fields(cls)
        if field.type == kind
    ]


TIMES = settings_of("float")
COUNTS = settings_of("int")


def make(cls: Config, name: str, value: object) -> Any:
    return cls(**{name: value})  # type: ignore[arg-type]


def test_the_defaults_of_a_client_are_those_of_the_specification() -> None:
    config = ClientConfig()
    assert (config.handshake_timeout, config.login_timeout) == (5, 5)
    assert (config.ping_interval, config.answer_timeout) == (15, 10)
    assert (config.max_frame, config.max_payload) == (1_048_576, 15_360)
    assert (config.max_pending, config.max_pending_bytes) == (4096, 4 * MIB)


def test_the_defaults_of_a_server_are_those_of_the_specification() -> None:
    config = ServerConfig()
    assert (config.handshake_timeout, config.bind_timeout) == (10, 240)
    assert (config.idle_timeout, config.close_delay) == (240, 1)
    assert (config.max_frame_unbound, config.max_frame) == (4096, 65_536)
    assert (config.max_list_messages, config.max_list_bytes) == (50, 65_536)
    assert (config.max_pending, config.max_pending_bytes) == (4096, 4 * MIB)


def test_a_server_outwaits_clients_that_ping_every_180_seconds() -> None:
    config = ServerConfig()
    assert min(config.idle_timeout, config.bind_timeout) > 180


@pytest.mark.parametrize(("cls", "name"), TIMES)
@pytest.mark.parametrize("value", [0.001, 1, 2.5, 86_400 * 366])
def test_a_time_may_be_a_millisecond_to_a_year(cls: Config, name: str, value: float) -> None:
    assert getattr(make(cls, name, value), name) == value


@pytest.mark.parametrize(("cls", "name"), TIMES)
@pytest.mark.parametrize(
    "value",
    [0, -1, 0.0009, 86_400 * 366 + 1, float("nan"), float("inf"), float("-inf"), True, "5", None, b"5", 5j, [5]],
    ids=repr,
)
def test_any_other_time_is_refused_by_the_name_of_its_setting(cls: Config, name: str, value: object) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make(cls, name, value)
    assert str(caught.value) == (f"{cls.__name__}.{name}: expected seconds from 0.001 to 31622400, got {value!r}")


@pytest.mark.parametrize(("cls", "name"), COUNTS)
@pytest.mark.parametrize("value", [1, 1000, 2**31])
def test_a_count_may_be_one_to_two_billion(cls: Config, name: str, value: int) -> None:
    assert getattr(make(cls, name, value), name) == value


@pytest.mark.parametrize(("cls", "name"), COUNTS)
@pytest.mark.parametrize("value", [0, -1, 2**31 + 1, 1.0, float("nan"), float("inf"), True, "5", None, b"5"], ids=repr)
def test_any_other_count_is_refused_by_the_name_of_its_setting(cls: Config, name: str, value: object) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make(cls, name, value)
    assert str(caught.value) == (f"{cls.__name__}.{name}: expected a whole number from 1 to 2147483648, got {value!r}")


def test_every_setting_is_a_time_or_a_count() -> None:
    assert len(TIMES) + len(COUNTS) == sum(len(dataclasses.fields(cls)) for cls in CONFIGS)


@given(
    st.sampled_from(CONFIGS).flatmap(lambda cls: st.tuples(st.just(cls), st.sampled_from(dataclasses.fields(cls)))),
    st.floats() | st.integers(),
)
def test_a_config_that_was_made_holds_usable_numbers_only(setting: tuple[Config, Any], value: float) -> None:
    cls, field = setting
    refused = ""
    try:
        config = make(cls, field.name, value)
    except LocalProtocolError as error:
        refused = error.where
    assert refused == f"{cls.__name__}.{field.name}" or 0 < getattr(config, field.name) <= 2**31


@pytest.mark.parametrize("cls", CONFIGS)
def test_settings_have_to_be_named(cls: Any) -> None:
    with pytest.raises(TypeError, match="positional"):
        cls(5.0)


@pytest.mark.parametrize("cls", CONFIGS)
def test_an_unknown_setting_is_refused_by_its_name(cls: Any) -> None:
    with pytest.raises(TypeError, match="'timeout'"):
        cls(timeout=5.0)


@pytest.mark.parametrize("cls", CONFIGS)
def test_a_config_cannot_be_changed(cls: Config) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().handshake_timeout = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("cls", CONFIGS)
def test_replacing_a_setting_checks_it_too(cls: Config) -> None:
    with pytest.raises(LocalProtocolError, match="max_frame"):
        dataclasses.replace(cls(), max_frame=0)


@pytest.mark.parametrize("cls", CONFIGS)
def test_configs_of_the_same_settings_are_equal(cls: Config) -> None:
    assert cls(max_frame=1) == cls(max_frame=1) != cls()


# ---------------------------------------------------------------------------------------------------------- sessions

OWN = [field for field in dataclasses.fields(SessionConfig) if field.name not in ClientConfig.__dataclass_fields__]
PAIRS = [
    ("login_gap", "longest_login_gap"),
    ("token_backoff", "longest_token_backoff"),
    ("connect_backoff", "longest_connect_backoff"),
    ("low_messages", "high_messages"),
    ("low_bytes", "high_bytes"),
    ("remembered", "max_remembered"),
]


def refusal(**changes: Any) -> LocalProtocolError:
    with pytest.raises(LocalProtocolError) as caught:
        SessionConfig(**changes)
    return caught.value


def test_the_timings_of_a_session_are_those_of_the_specification() -> None:
    config = SessionConfig()
    assert (config.connect_timeout, config.login_timeout, config.login_gap) == (5, 5, 5)
    assert (config.token_timeout, config.resolve_timeout, config.pull_interval) == (30, 5, 1)
    assert (config.ping_interval, config.answer_timeout) == (15, 10)
    assert (config.send_timeout, config.online_timeout, config.group_ping_interval) == (10, 10, 10)
    assert (config.token_backoff, config.longest_token_backoff) == (0.1, 30)
    assert (config.connect_backoff, config.longest_connect_backoff) == (1, 30)
    assert (config.longest_login_gap, config.stable_after) == (60, 10)


def test_the_limits_of_a_session_are_those_of_the_design() -> None:
    config = SessionConfig()
    assert (config.max_pending, config.max_pending_bytes) == (4096, 4 * MIB)
    assert (config.high_messages, config.high_bytes) == (1024, MIB)
    assert (config.low_messages, config.low_bytes) == (256, 256 * KIB)
    assert (config.remembered, config.max_remembered, config.max_frame) == (256, 64 * KIB, MIB)
    assert config.max_groups == 1024
    assert config.delivery is Delivery.AT_MOST_ONCE
    assert config.accepted_codes == {0, 100, 200}


def test_a_session_gives_its_links_their_settings() -> None:
    assert isinstance(SessionConfig(), ClientConfig)
    for field in dataclasses.fields(ClientConfig):
        assert getattr(SessionConfig(), field.name) == field.default


@pytest.mark.parametrize("field", [field for field in OWN if field.type in ("int", "float")], ids=lambda f: f.name)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5", None], ids=repr)
def test_a_session_refuses_what_is_no_time_or_count(field: Any, value: object) -> None:
    wanted = "seconds from 0.001" if field.type == "float" else "a whole number from 1"
    error = refusal(**{field.name: value})
    assert error.where == f"SessionConfig.{field.name}"
    assert error.problem.startswith(f"expected {wanted}")
    assert error.problem.endswith(f"got {value!r}")


def test_every_setting_of_a_session_is_checked() -> None:
    others = {field.name for field in OWN if field.type not in ("int", "float")}
    assert others == {"delivery", "accepted_codes"}


@pytest.mark.parametrize("value", ["at-most-once", None, True, 1])
def test_delivery_is_one_of_the_two(value: Any) -> None:
    error = refusal(delivery=value)
    assert str(error) == f"SessionConfig.delivery: expected a Delivery, got {value!r}"


@pytest.mark.parametrize(
    "value", [{0}, [0], (), frozenset({"0"}), frozenset({True}), frozenset({0.0}), None, 0], ids=repr
)
def test_codes_of_acceptance_are_a_frozenset_of_numbers(value: Any) -> None:
    error = refusal(accepted_codes=value)
    assert error.where == "SessionConfig.accepted_codes"
    assert error.problem == f"expected a frozenset of whole numbers, got {value!r}"


@pytest.mark.parametrize("value", [frozenset(), frozenset({0}), frozenset({-1, 7})])
def test_any_codes_may_mean_acceptance(value: frozenset[int]) -> None:
    assert SessionConfig(accepted_codes=value).accepted_codes == value


@pytest.mark.parametrize(("small", "large"), PAIRS)
def test_what_grows_ends_above_where_it_begins(small: str, large: str) -> None:
    assert SessionConfig(**{small: 7, large: 7})  # type: ignore[arg-type]
    error = refusal(**{small: 8, large: 7})
    assert str(error) == f"SessionConfig.{small}: expected at most {large} (7), got 8"


def test_a_payload_leaves_room_for_the_names_around_it() -> None:
    assert SessionConfig(max_payload=54 * KIB).max_payload == 55_296
    error = refusal(max_payload=54 * KIB + 1)
    assert str(error) == "SessionConfig.max_payload: expected at most 55296 bytes, got 55297"


def test_a_session_config_cannot_be_changed_and_replacing_checks_it() -> None:
    config = SessionConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.login_gap = 1.0  # type: ignore[misc]
    with pytest.raises(LocalProtocolError, match="low_messages"):
        dataclasses.replace(config, low_messages=2000)


def test_the_names_of_the_delivery_policies_are_those_of_the_documentation() -> None:
    assert [policy.value for policy in Delivery] == ["at-most-once", "at-least-once"]
