"""Answers as tables for people, or as JSON lines for programs."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mimc_proto.errors import shown_name

from .._output import standard_output, to_line

__all__ = ["Shown"]

Row = Mapping[str, Any]

WIDEST = 60
"""Columns beyond which a cell does not make those below it wider."""


class Shown:
    """Where answers go: standard output, as JSON or not."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def rows(self, pages: Iterable[Sequence[Row]], columns: Mapping[str, str]) -> None:
        """A list, page by page; ``columns`` are the fields of a row with their headings."""
        with standard_output() as output:
            if self.as_json:
                output.writelines(to_line(dict(row)) for page in pages for row in page)
            else:
                output.writelines(_encoded(line) for line in _table(pages, columns))

    def fields(self, answer: Row, names: Mapping[str, str]) -> None:
        """One thing: a line for each of these fields, with its name; as JSON all of it."""
        with standard_output() as output:
            if self.as_json:
                output.write(to_line(dict(answer)))
                return
            width = max(map(len, names.values()))
            for field, name in names.items():
                output.write(_encoded(f"{name:<{width}}  {_cell(answer[field])}"))

    def more(self, pages: Iterable[Sequence[Row]], columns: Mapping[str, str]) -> None:
        """A list, if it is not empty, that belongs to what `fields` showed; JSON has it in there already."""
        if self.as_json:
            return
        with standard_output() as output:
            lines = _table(pages, columns)
            heading, *first = itertools.islice(lines, 2)
            if first:
                output.writelines(_encoded(line) for line in ("", heading, *first, *lines))

    def document(self, answer: Row) -> None:
        """Something that is JSON for people, too."""
        with standard_output() as output:
            output.write(to_line(dict(answer), pretty=not self.as_json))

    def text(self, text: str) -> None:
        """As it is."""
        with standard_output() as output:
            output.write(text.encode())

    def said(self, answer: Row, sentence: str) -> None:
        """What was done."""
        with standard_output() as output:
            output.write(to_line(dict(answer)) if self.as_json else _encoded(sentence))


def _encoded(line: str) -> bytes:
    return line.encode(errors="backslashreplace") + b"\n"


def _cell(value: object) -> str:
    """On one line, whatever a peer chose."""
    return "-" if value is None or value == "" else shown_name(str(value))


def _width(text: str) -> int:
    """Columns on a terminal: ideographs take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _table(pages: Iterable[Sequence[Row]], columns: Mapping[str, str]) -> Iterator[str]:
    """Columns are as wide as the rows so far have them."""
    widths = {field: len(heading) for field, heading in columns.items()}
    empty = True
    for page in pages:
        cells = [{field: _cell(row[field]) for field in columns} for row in page]
        for row in cells:
            for field, text in row.items():
                widths[field] = max(widths[field], min(_width(text), WIDEST))
        if empty:
            yield _line(columns, widths)
        empty = False
        for row in cells:
            yield _line(row, widths)


def _line(row: Mapping[str, str], widths: Mapping[str, int]) -> str:
    return "  ".join(text + " " * (widths[field] - _width(text)) for field, text in row.items()).rstrip()
