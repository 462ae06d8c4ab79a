"""Ctrl-C ends a program on each adapter: nothing hangs, nothing is left, and nothing but KeyboardInterrupt is told."""

from __future__ import annotations

import signal
import subprocess
import sys

from mimc_server.testing import LoopbackService
from support.adapters import Adapter

ASYNC = """
async def main():
    async with connect(*who, addresses=[address]) as user:
        print("online", flush=True)
        async for message in user:
            print("a message")
"""

PROGRAMS = {
    "asyncio": ASYNC + "import asyncio\nasyncio.run(main())",
    "eager": ASYNC
    + "import asyncio\nloop = asyncio.new_event_loop()\nloop.set_task_factory(asyncio.eager_task_factory)\n"
    + "asyncio.Runner(loop_factory=lambda: loop).run(main())",
    "uvloop": ASYNC + "import uvloop\nuvloop.run(main())",
    "trio": ASYNC + "import trio\ntrio.run(main)",
    "blocking": """
with connect(*who, addresses=[address]) as user:
    print("online", flush=True)
    for message in user:
        print("a message")
""",
}


def test_ctrl_c_ends_the_program(adapter: Adapter, service: LoopbackService) -> None:
    name = f"alice-{adapter.name}"
    head = (  # the first line, because what a shell runs in the background is deaf to Ctrl-C, and so are its children
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from {adapter.module} import connect\n"
        f"who, address = ({service.app_id}, {name!r}, {service.token_answer(name)!r}), {service.address!r}\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", head + PROGRAMS[adapter.name]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "online\n"
            program.send_signal(signal.SIGINT)
            said, told = program.communicate(timeout=30)
        finally:
            program.kill()
    assert said == ""
    assert told.rstrip().splitlines()[-1] == "KeyboardInterrupt"
    assert "Warning" not in told
    assert "never" not in told
    assert "destroyed" not in told
    assert program.returncode == -signal.SIGINT
