"""What the adapters tell: `logging` under ``mimc`` with fields, ``trace=`` with frames, and no secret in either."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest
from support.proxies import SocksProxy
from support.town import QUICK, Back, Town

FIELDS = {"mimc_app_id", "mimc_account", "mimc_resource", "mimc_event", "mimc_detail"}


def test_what_becomes_of_a_user_is_logged_with_fields(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        addresses = [("127.0.0.1", 1), town.service.address]
        async with town.user("alice", addresses=addresses):
            pass

    with caplog.at_level("INFO", "mimc"):
        town.adapter.run(story)
    told = [(record.levelname, record.mimc_event) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [("WARNING", "LinkLost"), ("INFO", "Online"), ("INFO", "Offline"), ("INFO", "Ended")]
    for record in caplog.records:
        assert record.name == "mimc.user"
        assert set(vars(record)) >= FIELDS
        assert (record.mimc_app_id, record.mimc_resource) == (town.service.app_id, "pc")  # type: ignore[attr-defined]
        assert record.mimc_account == town.name("alice")  # type: ignore[attr-defined]
    assert "127.0.0.1:1: " in caplog.records[0].mimc_detail  # type: ignore[attr-defined]


def test_every_frame_is_traced(town: Town) -> None:
    lines: list[tuple[str, str, float]] = []

    async def story() -> None:
        async with town.user("alice", trace=lambda *line: lines.append(line)) as alice:
            await alice.send(town.name("alice"), b"to myself")
            await alice.receive()

    town.adapter.run(story)
    came = [summary.split()[0] for direction, summary, _ in lines if direction == "in"]
    assert came[:2] == ["CONN", "BIND"]
    assert came.count("SECMSG") == 2  # the acknowledgement, and the list
    went = [summary for direction, summary, _ in lines if direction == "out"]
    assert len(went) >= 4  # CONN, BIND, the message, UBND
    assert all(summary.endswith(" bytes") for summary in went)
    times = [now for *_, now in lines]
    assert times == sorted(times)


def test_nothing_secret_is_told(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    """Not the token, its key, nor what is said: neither when a token cannot be used, nor when a link is lost."""
    told: list[object] = []
    back = Back(town.adapter)
    answer = town.service.token_answer(town.name("alice"))
    data = json.loads(answer)["data"]
    secrets = (data["token"], data["miUserSecurityKey"], "what nobody may read")
    answers = [answer.replace("appAccount", "account"), data["token"], *[answer] * 3]

    async def story() -> None:
        with SocksProxy() as proxy:
            options = {"on_status": back.on_status, "trace": lambda *line: told.append(line), "proxy": proxy.url}
            user = town.user("alice", token=lambda: answers.pop(0), config=QUICK, **options)
            async with user:
                await user.send(town.name("alice"), secrets[-1].encode())
                inner = getattr(user, "inner", user)
                told.extend((repr(inner), repr(inner.session), repr(await user.receive())))
                proxy.cut()
                await back.wait()

    with caplog.at_level(logging.DEBUG):
        town.adapter.run(story)
    assert caplog.text.count("TokenFailed") == 2
    assert "LinkLost" in caplog.text
    text = "".join(map(str, (caplog.text, told, [vars(record) for record in caplog.records])))
    for secret in secrets:
        assert secret not in text


def test_nothing_is_said_where_nobody_asked_to_hear_it() -> None:
    program = """
from mimc_transports.blocking import connect
try:
    with connect(1, "alice", lambda: "no answer", addresses=[("127.0.0.1", 1)], login_timeout=0.2):
        pass
except TimeoutError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout + done.stderr == ""
