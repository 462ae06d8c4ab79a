"""The diagrams in the documentation are those of the tables."""

import re
from pathlib import Path

import pytest

from mimc_proto.states import CLIENT_TABLE, SERVER_TABLE, SESSION_TABLE, mermaid

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "states.md"


@pytest.mark.parametrize(
    ("index", "drawn"),
    [(0, mermaid(CLIENT_TABLE)), (1, mermaid(SERVER_TABLE)), (2, mermaid(SESSION_TABLE))],
    ids=["client", "server", "session"],
)
def test_the_page_shows_the_diagram_of_the_table(index: int, drawn: str) -> None:
    diagrams = re.findall(r"```mermaid\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    assert len(diagrams) == 3
    assert diagrams[index] == drawn
