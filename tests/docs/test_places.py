"""Pages that say where a claim is tested name only tests that there are, and at least one for each claim."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PLACE = re.compile(r"`([\w/.]+\.py)::(\w+)`")
WHERE = "where it is tested"


class Row(NamedTuple):
    """A row of a table whose last column says where something is tested."""

    page: str
    claim: str
    where: str


def rows(page: Path) -> list[Row]:
    found: list[Row] = []
    inside = False
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[-1] == WHERE:
            inside = True
        elif inside and set(line) - set("|- "):
            found.append(Row(page.name, cells[0], cells[-1]))
    return found


def functions_of(path: Path) -> set[str]:
    """Names of the test functions of a file, if there is one."""
    if not path.exists():
        return set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, functions)}


PAGES = sorted(page for page in ROOT.glob("docs/**/*.md") if PLACE.search(page.read_text("utf-8")))
ROWS = [row for page in PAGES for row in rows(page)]
PLACES = sorted({place for page in PAGES for place in PLACE.findall(page.read_text("utf-8"))})


def test_there_are_pages_with_tables_of_claims() -> None:
    assert {"official-clients.md", "security.md"} <= {row.page for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.page}: {row.claim[:30]}" for row in ROWS])
def test_every_claim_names_a_test(row: Row) -> None:
    assert PLACE.search(row.where)


@pytest.mark.parametrize(("path", "name"), PLACES, ids=[name for _, name in PLACES])
def test_every_test_that_is_named_exists(path: str, name: str) -> None:
    assert name in functions_of(TESTS / path)
