"""The documentation does what it says: its Python runs, its commands run, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from mimc_cli.main import mimc

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def python_blocks() -> list[tuple[Path, str]]:
    return [(page, block) for page in PAGES for block in blocks(page, "python")]


def commands() -> list[str]:
    """Every `mimc` command that stands alone: without a pipe and without a file of the reader's."""
    lines = [line.strip() for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    lines = [line.partition(" #")[0].strip() for line in lines]
    return [line for line in lines if line.startswith("mimc ") and not re.search(r"[|<>]|\.bin|\.hex|-$", line)]


@pytest.mark.parametrize(
    "block", [block for _, block in python_blocks()], ids=[page.name for page, _ in python_blocks()]
)
def test_python_in_the_documentation_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "documentation", "exec"), {})
    assert capsys.readouterr().err == ""


def test_the_readme_shows_a_user_and_a_link(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for block in blocks(ROOT / "README.md", "python"):
        exec(compile(block, "README.md", "exec"), {})
        said.append(capsys.readouterr().out.splitlines())
    assert said == [["alice b'hello'"], ["b'hi'", "15263541607720001"]]


@pytest.mark.parametrize("command", commands())
def test_commands_in_the_documentation_run(command: str) -> None:
    result = CliRunner().invoke(mimc, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output


def test_there_are_commands_and_python_in_the_documentation() -> None:
    assert commands()
    assert python_blocks()


def test_links_in_the_documentation_lead_to_files() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken
