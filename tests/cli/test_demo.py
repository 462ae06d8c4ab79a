"""`mimc demo` really runs, over real TCP on loopback; and what it shows is what it checks."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner, Result
from mimc_cli._extras import not_installed
from mimc_cli.demonstration import show, stage
from mimc_cli.demonstration.line import Line, Way
from mimc_cli.demonstration.steps import STEPS, captured, messages, trouble
from mimc_cli.main import mimc
from mimc_server.testing import LoopbackService

from mimc_proto.errors import SessionEnded
from mimc_proto.session.inbox import _Load


def run(*, color: bool = False, **environment: str) -> Result:
    return CliRunner().invoke(mimc, ["demo"], color=color, env=environment)


def only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo has this step."""
    monkeypatch.setattr(show, "STEPS", [(name, dict(STEPS)[name])])


def failure(name: str, monkeypatch: pytest.MonkeyPatch, patience: float = stage.PATIENCE) -> str:
    """What the demo, with this step alone, says went wrong."""
    only(name, monkeypatch)
    monkeypatch.setattr(stage, "PATIENCE", patience)
    result = run()
    assert result.exit_code == 1, result.output
    assert "demo OK" not in result.output
    found = re.search(f'^demo FAILED: step "{name}": (.*)', result.stderr, re.MULTILINE)
    assert found is not None, result.output
    return found[1]


# ------------------------------------------------------------------------------------------------------- what it shows


def test_the_demo_shows_everything_it_promises() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line[4:22].strip() for line in lines if line.startswith("ok")] == [
        "p2p",
        "group",
        "offline delivery",
        "two resources",
        "online message",
        "unlimited group",
        "send timeout",
        "takeover",
        "lost link",
        "slow consumer",
        "logout",
        "captured frame",
    ]
    assert "I'm OK!" in result.output
    assert lines[-1].startswith(f"demo OK: {len(STEPS)} steps")
    assert result.stderr == ""


def test_the_demo_counts_the_bytes_of_each_user(monkeypatch: pytest.MonkeyPatch) -> None:
    only("p2p", monkeypatch)
    rows = [line.split() for line in run().output.splitlines() if line.startswith("    ")]
    assert [row[0] for row in rows] == ["bytes", "alice", "bob"]
    assert all(int(count.replace(",", "")) > 500 for row in rows[1:] for count in row[1:])


def test_the_demo_is_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    only("captured frame", monkeypatch)
    assert "\x1b[32mok" in run(color=True, NO_COLOR="").output


def test_the_demo_has_no_colours_if_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    only("captured frame", monkeypatch)
    assert "\x1b" not in run(color=True, NO_COLOR="1").output


def test_the_demo_has_no_colours_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    only("captured frame", monkeypatch)
    assert "\x1b" not in run(NO_COLOR="").output


# --------------------------------------------------------------------------------------------- what does not happen


def test_the_demo_fails_if_a_login_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = LoopbackService.token_answer
    forged = "KAAAAA"
    monkeypatch.setattr(
        LoopbackService,
        "token_answer",
        lambda self, account: re.sub('(?<="token": ")[^"]*', forged, answer(self, account)),
    )
    problem = failure("p2p", monkeypatch, patience=2.0)
    assert problem.startswith("expected no error, got LoginTimeout not online within 2 s")
    assert forged not in problem


def test_the_demo_fails_if_a_step_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "STEP_LIMIT", 0.0)
    assert failure("p2p", monkeypatch) == "expected no error, got TimeoutError"


def test_the_demo_fails_if_a_message_does_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MEMBERS", ("bob",))
    assert failure("group", monkeypatch, patience=2.0) == (
        "expected 'Hi, all' from alice to reach carol/phone, got nothing within 2 s"
    )


def test_the_demo_fails_if_a_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoopbackService, "group", lambda self, owner, _: self.unlimited_group(owner))
    assert failure("group", monkeypatch).startswith("expected no error, got SendRejected refused with code")


def test_the_demo_fails_if_an_absent_user_acknowledges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "ABSENT", "alice")
    assert "got an ack" in failure("online message", monkeypatch)


def test_the_demo_fails_if_acks_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Way, "hold", Way.release)
    assert failure("send timeout", monkeypatch).startswith("expected no ack within 0.2 s")


def test_the_demo_fails_if_nobody_is_kicked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "SAME_RESOURCE", "tablet")
    problem = failure("takeover", monkeypatch, patience=2.0)
    assert problem == "expected the end of bob's first login, got nothing within 2 s"


def test_the_demo_fails_if_no_link_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "CUT_AFTER", 1_000_000)
    assert failure("lost link", monkeypatch) == (
        "expected a link of bob/phone to break within a frame; got None (bytes of bytes)"
    )


def test_the_demo_fails_if_a_slow_program_gets_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "SLOW_LIMIT", 1024)
    assert failure("slow consumer", monkeypatch).startswith("expected at most 1024 bytes for bob")


def test_the_demo_fails_if_a_slow_program_is_not_held_back_by_its_own_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Load, "fits", lambda *_: True)
    assert failure("slow consumer", monkeypatch).startswith("expected bob to take in at most 100 messages, and some")


def test_the_demo_fails_if_a_logout_does_not_wait_for_acks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "DRAIN", 0.0)
    assert failure("logout", monkeypatch) == (
        "the verdict of what was sent before the logout: expected ['Acknowledged'], got ['Failed']"
    )


def test_the_demo_fails_if_the_captured_frame_says_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "CAPTURED_TEXT", "something else")
    assert failure("captured frame", monkeypatch).startswith("expected the captured frame to say 'something else'")


def test_a_kick_that_no_step_expects_is_an_error() -> None:
    async def kicked() -> None:
        async with stage.Stage() as here, here.online("bob") as bob:
            here.service.kick("bob", reason="single-resource-kick")
            await trouble._end_of(bob)

    with pytest.raises(SessionEnded, match="another session took this resource"):
        asyncio.run(kicked())


def test_a_line_to_nowhere_ends_its_connections() -> None:
    async def connected() -> bytes:
        async with Line(("127.0.0.1", 1)) as line:
            reader, writer = await asyncio.open_connection(*line.address)
            got = await reader.read()
            writer.close()
            await writer.wait_closed()
            return got

    assert asyncio.run(connected()) == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_once_and_without_a_traceback() -> None:
    code = "from mimc_cli._output import say; say('one'); say('two')"
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (result.returncode, result.stderr) == (
        0,
        "mimc: cannot write to standard output: No space left on device\n",
    )


# ---------------------------------------------------------------------------------------------------- what is missing


def test_without_the_server_extra_the_demo_says_what_to_install() -> None:
    code = "import sys; sys.modules['fastapi'] = None; from mimc_cli.main import mimc; mimc(['demo'])"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert result.stderr.endswith(
        "Error: this needs fastapi, which is not installed: pip install 'mimc-proto[server]'\n"
    )


def test_a_module_of_our_own_that_is_missing_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mimc_cli.demonstration.show", None)
    result = CliRunner().invoke(mimc, ["demo"])
    assert isinstance(result.exception, ModuleNotFoundError)


def test_a_missing_library_is_named() -> None:
    with pytest.raises(click.UsageError, match="needs uvicorn, which is not installed"):
        not_installed(ModuleNotFoundError(name="uvicorn"))
