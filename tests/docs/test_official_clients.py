"""The reference page on the official clients names every rule, and every client has scenarios of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/reference/official-clients.md").read_text("utf-8")
SCENARIOS = ["go", "java", "cpp", "csharp", "webjs"]


def test_every_rule_has_a_row() -> None:
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [str(rule) for rule in range(1, 22)]


@pytest.mark.parametrize("client", SCENARIOS)
def test_every_client_has_scenarios(client: str) -> None:
    assert re.search(r"^(async )?def test_", (TESTS / f"scenarios/test_{client}.py").read_text("utf-8"), re.MULTILINE)
