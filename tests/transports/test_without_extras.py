"""The adapters where libraries of extras are missing: what needs none of them works, what does says what to install."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from mimc_server.testing import LoopbackService

BLOCKED = ("httpx2", "trio", "uvloop", "websockets", "python_socks", "anyio", "click", "fastapi", "uvicorn")

PROGRAM = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None  # as if it were not installed
{body}
"""


def run(body: str, blocked: tuple[str, ...] = BLOCKED) -> str:
    """What a program says that has none of these libraries."""
    program = PROGRAM.format(blocked=blocked, body=body)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ENTER = {
    "asyncio": """
import asyncio
async def main():
    async with make():
        pass
run = lambda: asyncio.run(main())
""",
    "blocking": """
def run():
    with make():
        pass
""",
}


@pytest.mark.parametrize("module", ENTER)
def test_an_adapter_needs_no_extra(module: str) -> None:
    body = f"""
from mimc_transports.{module} import connect
from mimc_proto import LoginTimeout
import logging
logging.disable()
def make():
    return connect(1, "alice", lambda: "no answer", addresses=[("127.0.0.1", 1)], login_timeout=1.0)
{ENTER[module]}
try:
    run()
except LoginTimeout as error:
    print(error)
"""
    assert run(body).startswith("not online within 1 s; last problem: ")


@pytest.mark.parametrize(
    ("arguments", "error", "extra"),
    [
        ("websocket=True, addresses=[('fe', 443)]", "WebSocketExtraMissing", "websocket"),
        ("proxy='socks5://proxy:1080'", "ProxyExtraMissing", "proxy"),
    ],
)
def test_what_needs_an_extra_says_so_at_once(arguments: str, error: str, extra: str) -> None:
    body = f"""
from mimc_transports.blocking import connect
try:
    connect(1, "alice", "token", {arguments})
except ImportError as error:
    print(type(error).__name__, error)
"""
    assert run(body).startswith(error)
    assert run(body).endswith(f"pip install 'mimc-proto[{extra}]'")


def test_trio_is_needed_for_the_adapter_on_trio() -> None:
    body = """
try:
    import mimc_transports.trio
except ImportError as error:
    print(error)
"""
    assert run(body) == "the adapter on trio needs trio: pip install 'mimc-proto[trio]'"


TALK = {
    "asyncio": """
from mimc_transports.asyncio import connect
async def talk():
    async with connect(*who, addresses=[address]) as user:
        await user.send(who[1], b"to myself")
        print((await user.receive()).payload.decode())
import asyncio
asyncio.run(talk())
""",
    "trio": """
from mimc_transports.trio import connect
async def talk():
    async with connect(*who, addresses=[address]) as user:
        await user.send(who[1], b"to myself")
        print((await user.receive()).payload.decode())
import trio
trio.run(talk)
""",
    "blocking": """
from mimc_transports.blocking import connect
with connect(*who, addresses=[address]) as user:
    user.send(who[1], b"to myself")
    print(user.receive().payload.decode())
""",
}


@pytest.mark.parametrize("missing", ["httpx2", "trio", "uvloop", "websockets", "python_socks"])
def test_without_any_one_library_all_that_does_not_need_it_works(missing: str, service: LoopbackService) -> None:
    adapters = [name for name in TALK if name != missing and (name != "trio" or importlib.util.find_spec("trio"))]
    account = f"without-{missing}"
    head = f"who, address = ({service.app_id}, {account!r}, {service.token_answer(account)!r}), {service.address!r}\n"
    said = run(head + "".join(TALK[name] for name in adapters), (missing,))
    assert said.splitlines() == ["to myself"] * len(adapters)
