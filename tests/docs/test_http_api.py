"""The page on the HTTP endpoints names all of them and all codes, and its examples answer what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mimc_server.http import AnswerCode
from mimc_server.testing import LoopbackService
from mimc_transports.blocking import connect
from support.http_town import document

PAGE = (Path(__file__).parents[2] / "docs/reference/http-api.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```sh\n(.*?)^```\n\n```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
DIFFERS = {"appPackage", "miUserSecurityKey", "token", "feDomainName", "relayDomainName", "sequence", "ts", "timestamp"}
DIFFERS |= {"appId"}
"""What is another one in every service, or at every time; and addresses."""


def test_every_endpoint_is_there() -> None:
    listed = {f"{method.upper()} {path}" for path, item in document()["paths"].items() for method in item}
    named = {re.split(r"\?", place)[0] for place in re.findall(r"`((?:GET|POST|PUT|DELETE) [^`]+)`", PAGE)}
    assert named == listed


def test_every_code_is_there() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE)}
    assert codes == {code.value for code in AnswerCode} | {405}


def comparable(value: Any, key: str = "") -> Any:
    """Without what differs but by its type."""
    if isinstance(value, dict):
        return {name: comparable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [comparable(item, key) for item in value]
    address = isinstance(value, str) and re.fullmatch(r"127\.0\.0\.1:\d+", value)
    return type(value) if key in DIFFERS or address else value


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl, as its reader does")
def test_the_examples_answer_what_the_page_says() -> None:
    assert len(EXAMPLES) > 5
    with LoopbackService.in_thread() as service:
        variables = {"URL": service.http_url, "APP": str(service.app_id), "KEY": service.app_key}
        environment = {**os.environ, **variables, "SECRET": service.app_secret}
        for command, answer in EXAMPLES:
            if "queryOnCount" in command:  # what the reader has seen: the program that the server printed has sent this
                token, addresses = service.token("alice"), [service.address]
                with connect(service.app_id, "alice", token, addresses=addresses) as alice:
                    alice.send("bob", b"hi")
            shell = ["bash", "-c", command]
            run = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=30, check=True)
            assert comparable(json.loads(run.stdout)) == comparable(json.loads(answer)), command
