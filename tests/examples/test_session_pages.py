"""The pages about the session name all there is, with the defaults it has."""

from __future__ import annotations

import dataclasses
import enum
import re
import typing
from pathlib import Path

import pytest

import mimc_proto.session as mimc
from mimc_proto import ClientSession, SessionConfig
from mimc_proto._record import Record

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "session.md").read_text("utf-8")
CONTRACT = (DOCS / "how-to" / "embed-a-session.md").read_text("utf-8")

RECORDS = [*typing.get_args(mimc.SessionEvent), *typing.get_args(mimc.SessionRequest)]


def rows(section: str) -> dict[str, list[str]]:
    """The rows of a section's tables by their first cell."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return {re.split(r"[`(]", row[0])[1]: row[1:] for row in cells}


def test_every_setting_is_there_with_its_default() -> None:
    table, config = rows("Settings"), SessionConfig()
    assert set(table) == {field.name for field in dataclasses.fields(SessionConfig)}
    for field in dataclasses.fields(SessionConfig):
        value = getattr(config, field.name)
        if isinstance(value, enum.Enum):
            value = f"`{value.name}`"
        elif isinstance(value, frozenset):
            value = ", ".join(map(str, sorted(value)))
        elif isinstance(value, int):
            value = f"{value:_}"
        assert table[field.name][0] == str(value), field.name


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_event_and_request_is_there_with_its_fields(record: type[Record]) -> None:
    tables = rows("Requests") | rows("Events")
    cell = tables[record.__name__][0]
    told = ["error_type", "error_reason", "error_desc"]
    fields = list(record.field_names)
    if cell == "the same" or "the server's words" in cell:
        assert fields[-3:] == told
        fields = fields[:-3]
    assert re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", cell)) == fields


def test_every_verb_is_there() -> None:
    public = {name for name in dir(ClientSession) if not name.startswith("_")}
    assert public == {name for name in public if f"`{name}" in REFERENCE}


def test_the_contract_speaks_of_every_request_and_verdict() -> None:
    for record in (*typing.get_args(mimc.SessionRequest), *typing.get_args(mimc.Verdict)):
        assert f"`{record.__name__}" in CONTRACT
