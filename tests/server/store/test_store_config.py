"""The settings of a store."""

from typing import Any

import pytest
from mimc_server.store import StoreConfig

from mimc_proto.errors import LocalProtocolError


@pytest.mark.parametrize(
    "wrong", [{"retention": 0}, {"repeat_window": "a day"}, {"max_users": 0}, {"max_bytes": 1.5}], ids=str
)
def test_a_setting_out_of_range_is_named(wrong: dict[str, Any]) -> None:
    [name] = wrong
    with pytest.raises(LocalProtocolError, match=rf"StoreConfig\.{name}"):
        StoreConfig(**wrong)


def test_a_store_may_be_as_large_as_a_database_can_be() -> None:
    assert StoreConfig(max_bytes=1 << 44).max_bytes == 16 * 1024**4
    with pytest.raises(LocalProtocolError, match="from 1 to 17592186044416"):
        StoreConfig(max_bytes=(1 << 44) + 1)


def test_the_horizon_is_the_lowest_sequence_within_the_retention() -> None:
    assert StoreConfig(retention=1.5).horizon(2_000) == 500 * 10_000
