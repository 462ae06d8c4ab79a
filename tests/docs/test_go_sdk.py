"""The page for those who come from the Go SDK names all of its manual, and what it points to exists and does that."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from mimc_transports.blocking import User, connect

from mimc_proto import SessionConfig
from mimc_proto.session import GroupMessage, Message

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "come-from-the-go-sdk.md").read_text("utf-8")
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
GO, HERE = ([row[side] for row in ROWS] for side in (0, 1))

CALLS = [
    "NewUser",
    "RegisterTokenDelegate",
    "RegisterStatusDelegate",
    "RegisterMessageDelegate",
    "InitAndSetup",
    "Login",
    "SendMessage",
    "SendGroupMessage",
    "HandleMessage",
    "HandleGroupMessage",
    "HandleServerAck",
    "HandleSendMessageTimeout",
    "HandleSendGroupMessageTimeout",
    "HandleChange",
    "FetchToken",
    "Logout",
]
FIELDS = ("PacketId", "Sequence", "Timestamp", "FromAccount", "FromResource", "GroupId", "Payload")


@pytest.mark.parametrize("name", [*CALLS, *FIELDS])
def test_every_call_and_field_of_the_manual_is_in_the_table(name: str) -> None:
    assert any(re.search(rf"\b{name}\(", cell) or f"`{name}`" in cell for cell in GO)


@pytest.mark.parametrize("cell", HERE)
def test_what_the_table_points_to_exists(cell: str) -> None:
    for name in re.findall(r"`user\.(\w+)", cell):
        assert hasattr(User, name)
    for name in re.findall(r"`(\w+)=`", cell):
        assert name in inspect.signature(connect).parameters
    for name in re.findall(r"`message\.(\w+)`", cell):
        assert hasattr(GroupMessage, name)
        assert hasattr(Message, name) or name == "group_id"


def test_a_message_is_given_up_when_the_page_says() -> None:
    assert f"after {SessionConfig().send_timeout:g} seconds" in PAGE


def test_the_program_behind_says_what_the_one_before_did(capsys: pytest.CaptureFixture[str]) -> None:
    [before] = re.findall(r"^```go\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    [after] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for name in CALLS:
        if name.startswith("Handle"):
            assert name in before
    exec(compile(after, "after", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    for line in ("online: True", "stored"):
        assert line in said
    assert any(line.startswith("alice hi") for line in said)
