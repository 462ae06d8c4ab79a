"""Settings with which messages would be lost, or receivers be stuck, are refused."""

from __future__ import annotations

from typing import Any

import pytest
from mimc_server.service import ServiceConfig
from mimc_server.store import Appended
from support.service_bed import Town, pushed

from mimc_proto import LocalProtocolError, ServerConfig

LEAST_LIST = 15_360 + 3 * 1024 + 1024 + 4096 + 160 + 4096
"""Of a largest payload, the names that a message may have, and what surrounds it."""


def test_the_defaults_are_good() -> None:
    assert ServiceConfig() == ServiceConfig(link=ServerConfig())


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"max_payload": 70_000, "link": ServerConfig(max_frame=100_000)}, "max_list_bytes"),
        ({"link": ServerConfig(max_list_bytes=15_360)}, "max_list_bytes"),
        ({"link": ServerConfig(max_list_bytes=LEAST_LIST - 1)}, "max_list_bytes"),
        ({"link": ServerConfig(max_pending_bytes=65_535)}, "max_pending_bytes"),
    ],
)
def test_a_message_that_fits_no_list_and_a_list_that_fits_no_link_are_refused(
    settings: dict[str, Any], where: str
) -> None:
    with pytest.raises(LocalProtocolError, match=rf"ServiceConfig\.link\.{where}: expected at least \d+"):
        ServiceConfig(**settings)


def test_the_largest_message_reaches_its_receiver_with_the_least_settings() -> None:
    link = ServerConfig(max_list_bytes=LEAST_LIST, max_pending_bytes=LEAST_LIST)
    town = Town(ServiceConfig(link=link))
    receiver, sender = "r" * 1024, "s" * 1024
    online = town.login(receiver, "o" * 128)
    message = pushed(town, sender, receiver, bytes(15_360), "p" * 1024)
    message = message.replace(biz_type="b" * 1024, resource="x" * 3000)
    answers: list[Appended] = []
    town.node.service.push(message, answers.append, town.now, town.wall_ms)
    town.settle()
    late = town.login(receiver, "late")
    assert [len(payload) for payload in online.payloads + late.payloads] == [15_360] * 2
