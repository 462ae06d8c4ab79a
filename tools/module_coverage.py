"""Check that each core module is covered, every line and branch, by its own test file.

mimc_proto/a.py belongs to tests/core/test_a.py, mimc_proto/sub/a.py to test_sub_a.py and
mimc_proto/sub/__init__.py to test_sub.py; leading underscores are dropped. Coverage that another module's
tests happen to give proves nothing about a module, so only what ran in tests of its own file counts, and what
ran at import.

Reads the data of `pytest --cov --cov-context=test`.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from coverage import Coverage

CORE = Path("mimc_proto")
OTHERS = ("transports/mimc_transports", "server/mimc_server", "cli/mimc_cli")
OTHERS_FLOOR = 90.0  # percent: drivers have branches that only a failing kernel or network takes

AT_IMPORT = "^$"  # coverage's context for what runs outside of any test


def report(include: list[str], contexts: list[str] | None = None) -> dict[str, Any]:
    """Coverage's own JSON report of these files."""
    coverage = Coverage()
    coverage.load()
    with TemporaryDirectory() as directory:
        output = Path(directory, "report.json")
        coverage.json_report(include=include, contexts=contexts, outfile=str(output))
        result: dict[str, Any] = json.loads(output.read_bytes())
    return result


def test_file(module: Path) -> Path | None:
    """The test file a module belongs to; None for the list of exports, which importing it covers."""
    parts = module.relative_to(CORE).with_suffix("").parts
    if parts[-1] == "__init__":
        parts = parts[:-1]
    if not parts:
        return None
    return Path("tests/core", "_".join(["test", *(part.lstrip("_") for part in parts)]) + ".py")


def gaps(module: Path) -> str:
    """What is missing for this module, "" if nothing is."""
    tests = test_file(module)
    if tests and not tests.exists():
        return f"there is no {tests}"
    contexts = [AT_IMPORT, f"^{tests}::"] if tests else [AT_IMPORT]
    [found] = report([str(module)], contexts)["files"].values()
    lines = ", ".join(map(str, found["missing_lines"]))
    # A negative line stands for leaving the function or module.
    branches = ", ".join(
        f"{start}->{end if end > 0 else 'exit'}"
        for start, end in found["missing_branches"]
        if start not in found["missing_lines"]
    )
    missing = [f"{what} {where}" for what, where in (("lines", lines), ("branches", branches)) if where]
    return f"{tests or 'importing it'} misses {'; '.join(missing)}" if missing else ""


def others_percent() -> float:
    percent: float = report([f"{package}/*" for package in OTHERS])["totals"]["percent_covered"]
    return percent


def main() -> None:
    problems = [f"{module}: {gap}" for module in sorted(CORE.rglob("*.py")) if (gap := gaps(module))]
    others = others_percent()
    if others < OTHERS_FLOOR:
        problems.append(f"{', '.join(OTHERS)}: {others:.1f} % together, at least {OTHERS_FLOOR:.0f} % wanted")
    if problems:
        sys.exit("\n".join(["coverage:", *problems]))
    print(f"coverage: every core module 100 % by its own tests, the rest {others:.1f} %")


if __name__ == "__main__":
    main()
