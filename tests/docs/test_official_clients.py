"""The reference page on the official clients names every rule, and only tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/reference/official-clients.md").read_text("utf-8")
PLACES = sorted(set(re.findall(r"`([\w/.]+\.py)::(\w+)`", PAGE)))
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| rule", "| what differs"))
]
SCENARIOS = ["go", "java", "cpp", "csharp", "webjs"]


def functions_of(path: Path) -> set[str]:
    """Names of the test functions of a file, if there is one."""
    if not path.exists():
        return set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, functions)}


def test_every_rule_has_a_row() -> None:
    numbers = [row.split("|")[1].strip() for row in ROWS]
    assert [number for number in numbers if number.isdigit()] == [str(rule) for rule in range(1, 22)]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:30] for row in ROWS])
def test_every_row_names_a_test(row: str) -> None:
    assert re.search(r"`[\w/.]+\.py::test_\w+`", row)


@pytest.mark.parametrize(("path", "name"), PLACES, ids=[name for _, name in PLACES])
def test_every_test_that_is_named_exists(path: str, name: str) -> None:
    assert name in functions_of(TESTS / path)


@pytest.mark.parametrize("client", SCENARIOS)
def test_every_client_has_scenarios(client: str) -> None:
    assert functions_of(TESTS / f"scenarios/test_{client}.py")
