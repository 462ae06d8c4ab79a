"""What goes wrong with standard output ends a command without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

PING = "c2fe0005000000000d2301c6"
MIMC = [sys.executable, "-W", "error", "-m", "mimc_cli.main"]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MIMC, *arguments], stderr=subprocess.PIPE, text=True, timeout=60, check=False, **options)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        result = run("decode", PING, stdout=full)
    assert (result.returncode, result.stderr) == (
        2,
        "mimc: cannot write to standard output: No space left on device\n",
    )


@pytest.mark.parametrize("command", [["decode", PING], ["demo"]])
def test_output_that_nobody_reads_is_no_traceback(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = run(*command, stdout=writing)
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (141 if command[0] == "decode" else 0, "")


def test_closed_output_is_said_in_one_line() -> None:
    code = f"import sys; sys.stdout = None; from mimc_cli.main import mimc; mimc(['decode', '{PING}'])"
    result = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (2, "mimc: standard output is closed\n")
