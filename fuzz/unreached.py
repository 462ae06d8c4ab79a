"""The lines of the core that no input reached, and why: what is left without a reason is to be looked at.

`python fuzz/unreached.py COVERAGE_FILE` reads the data of coverage.py, of a run in the root of the repository.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from coverage import Coverage

__all__ = ["Line", "missing", "reason", "report"]

ROOT = Path(__file__).parents[1]
CORE = "mimc_proto/*"
OMITTED = ["mimc_proto/testing/*", "mimc_proto/pb/*"]
"""What tests of other programs use, and what a tool has made."""


class Line(NamedTuple):
    """A line that was not run."""

    path: str
    number: int
    function: str
    text: str


class Rule(NamedTuple):
    """Lines of which path, function and text match are not reached for this reason."""

    reason: str
    path: str = ""
    function: str = ""
    text: str = ""

    def fits(self, line: Line) -> bool:
        """Whether it is about this line."""
        return all(
            re.search(pattern, value)
            for pattern, value in ((self.path, line.path), (self.function, line.function), (self.text, line.text))
        )


ARGUMENT = "a program's own argument that cannot be used: no peer decides it"
ASKED = "asked for by programs only, and changes nothing"
TRACE = "a trace hook, which these runs have none of"
LINKS = "asked for by programs that drive links themselves"
ERRORS = "errors of the adapters, which the core only declares"
CHECKED = "a link sees to it before it asks"
RULES = (
    Rule("RC4 in Python, for machines without the one in C", path="_rc4"),
    Rule("RC4 in Python, for machines without the one in C", path="crypto", text="ImportError|_rc4"),
    Rule("diagrams for the documentation", path="states", function="mermaid"),
    Rule(TRACE, text=r"self\._trace"),
    Rule(TRACE, function="data_to_send|encrypt_now", text="for frame in frames"),
    Rule(ARGUMENT, text=r"raise (LocalProtocolError|TypeError|QueueFull)|_header_too_long|except TypeError"),
    Rule(ARGUMENT, path="config"),
    Rule(ARGUMENT, path="crypto", function="^(rc4|_bad_key|_check_text|payload_key|bind_signature|BodyCipher)"),
    Rule(ARGUMENT, path="crypto", function="_signature|security_key_bytes"),
    Rule(ARGUMENT, path="schema", function="_cannot_encode|_to_message|_write|encode_enum|_shorten"),
    Rule(ARGUMENT, path="_answers", function="_ack|_check_owner|_list$|_notice|_message_list"),
    Rule(ARGUMENT, path="_requests", function="p2t|_complete"),
    Rule(ARGUMENT, path="_checks|access|resolver|backoff", function="link_secret|later|_checked|resolver_url|_is_base"),
    Rule(ARGUMENT, path="framing", function="join_body|encode_websocket_packet|feed|_header_too_long"),
    Rule(ARGUMENT, path="lists", function="_text"),
    Rule(
        ARGUMENT, path="session", function=r"\.(_account|_deadline|join_unlimited)$|^(described|_text)$|Tokens\._read"
    ),
    Rule(ARGUMENT, path="server", function="ServerConnection.send$"),
    Rule(ARGUMENT, path="client", function="_prepare"),
    Rule(ERRORS, path="errors"),
    Rule(ASKED, function=r"__(eq|ne|hash|reduce|repr)__"),
    Rule(ASKED, path="session/", function=r"\.(state|ended|known_addresses|room_for|unsettled|repeats)$"),
    Rule(ASKED, path="session/", function=r"\.(joined_groups|unconsumed|in_hand|full|joined)$"),
    Rule(ASKED, path="server", function="max_body"),
    Rule(LINKS, path="mimc_proto/(client|server|_link)", function="send_p2t|close|send_failed"),
    Rule(LINKS, path="_keepalive|server", function="handle_timer", text="^return$"),
    Rule(LINKS, path="lists", function="group_side"),
    Rule(CHECKED, path="encoders", function=r"\.learn$", text="^return None$"),
    Rule("no message of MIMC has such a field", path="wire", function="expected_wire_type", text="FIXED64"),
    Rule("more than fits into one input", path="schema", function="_read", text="MOST_ITEMS"),
    Rule("more than fits into one input", path="fast|memory|outbox", function="_party|add|_settle"),
)


def reason(line: Line) -> str:
    """Why it was not reached; "" if that is not known."""
    return next((rule.reason for rule in RULES if rule.fits(line)), "")


def missing(data_file: Path) -> tuple[list[Line], int]:
    """Lines of the core that were not run, and how many there are in all."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(ROOT):  # where the settings of coverage.py are
        coverage = Coverage(data_file=str(data_file.absolute()))
        coverage.load()
        output = Path(folder, "report.json")
        coverage.json_report(include=[CORE], omit=OMITTED, outfile=str(output))
        found = json.loads(output.read_bytes())
    lines: list[Line] = []
    for path, measured in found["files"].items():
        source = (ROOT / path).read_text().splitlines()
        for name, function in measured["functions"].items():
            lines += [Line(path, number, name, source[number - 1].strip()) for number in function["missing_lines"]]
    return sorted(lines), found["totals"]["num_statements"]


def report(data_file: Path) -> Iterator[str]:
    """How much was reached, why the rest was not, and the lines for which that is not known."""
    lines, total = missing(data_file)
    yield f"reached {total - len(lines)} of {total} lines of the core; of the others:"
    reasons = Counter(map(reason, lines))
    unknown = reasons.pop("", 0)
    yield from (f"{count:5} {why}" for why, count in reasons.most_common())
    yield f"{unknown:5} for no known reason"
    yield from (f"      {line.path}:{line.number} {line.function}: {line.text}" for line in lines if not reason(line))


if __name__ == "__main__":
    print(*report(Path(sys.argv[1])), sep="\n")
