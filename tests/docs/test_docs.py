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
    """Every `mimc` command that stands alone: without a pipe and without a file of the reader's, and without a server
    that runs (tests/cli/test_admin.py has those)."""
    lines = [line.strip() for page in PAGES for block in blocks(page, "sh") for line in block.splitlines()]
    lines = [line.partition(" #")[0].strip() for line in lines]
    alone = r"mimc (?!admin )(?!.*([|<>]|\.bin|\.hex|-$))"
    return [line for line in lines if re.match(alone, line)]


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
def test_commands_in_the_documentation_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves until a signal says what it would serve, by the configuration of its page."""
    arguments = shlex.split(command)[1:]
    if arguments[0] == "serve":
        monkeypatch.chdir(tmp_path)
        [example] = blocks(ROOT / "docs" / "how-to" / "serve.md", "toml")
        (tmp_path / "mimc.toml").write_text(example, "utf-8")
        arguments.append("--print-config")
    result = CliRunner().invoke(mimc, arguments)
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
