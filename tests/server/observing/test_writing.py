"""Lines on their way out: nobody who logs waits for whoever reads."""

from __future__ import annotations

import io
import json
import logging
import threading
from typing import Literal

import pytest
from mimc_server.observing import LineHandler, logging_to, tell
from mimc_server.settings import Log

TIMEOUT = 10.0


class HeldStream(io.StringIO):
    """Like a terminal after Ctrl-S: the first line hangs until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.held = threading.Event()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        self.held.set()
        assert self.released.wait(TIMEOUT)
        return super().write(text)


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("mimc.server", logging.INFO, "here.py", 1, text, (), None)


def test_all_lines_are_written_in_their_order_before_the_end() -> None:
    stream = io.StringIO()
    handler = LineHandler(stream)
    for number in range(100):
        handler.handle(record(str(number)))
    handler.close()
    assert stream.getvalue().split() == [str(number) for number in range(100)]


def test_who_logs_does_not_wait_and_lines_that_find_no_room_are_counted() -> None:
    stream = HeldStream()
    handler = LineHandler(stream, most_waiting=2)
    handler.handle(record("first"))
    assert stream.held.wait(TIMEOUT)
    for number in range(5):
        handler.handle(record(str(number)))
    stream.released.set()
    handler.close()
    assert stream.getvalue().splitlines() == [
        "first",
        "0",
        "3 lines were lost here: what reads them is too slow",
        "1",
    ]


def test_the_end_does_not_wait_for_a_stream_that_hangs() -> None:
    stream = HeldStream()
    handler = LineHandler(stream, most_waiting=1, patience=0.01)
    handler.handle(record("first"))
    assert stream.held.wait(TIMEOUT)
    handler.close()  # there is room for the end
    handler.close()  # and now there is none
    stream.released.set()


def test_a_stream_that_fails_is_no_reason_to_stop() -> None:
    class Full(io.StringIO):
        failed = False

        def write(self, text: str) -> int:
            if not self.failed:
                self.failed = True
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    handler = LineHandler(stream)
    handler.handle(record("lost"))
    handler.handle(record("written"))
    handler.close()
    assert stream.getvalue() == "written\n"


def test_what_cannot_be_formatted_is_told_as_logging_does(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LineHandler(io.StringIO())
    handler.handle(logging.LogRecord("mimc.server", logging.INFO, "here.py", 1, "%d", ("x",), None))
    handler.close()
    assert "TypeError" in capsys.readouterr().err


def test_this_project_logs_at_its_level_and_others_from_warning_on() -> None:
    stream = io.StringIO()
    root, own = logging.getLogger(), logging.getLogger("mimc")
    before = (root.level, own.level, list(root.handlers))
    with logging_to(stream, Log(format="json", level="debug")):
        logging.getLogger("mimc.server").debug("one")
        logging.getLogger("elsewhere").info("nothing")
        logging.getLogger("elsewhere").warning("two")
    assert (root.level, own.level, list(root.handlers)) == before
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["one", "two"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_strangers_make_a_library_say_fills_no_disk(form: Literal["text", "json"]) -> None:
    stream, clock = io.StringIO(), [0.0]
    with logging_to(stream, Log(format=form, rate=1, burst=2), lambda: clock[0]):
        for _ in range(5):
            logging.getLogger("asyncio").error("no descriptors")
            tell(logging.INFO, "login")
        logging.getLogger("elsewhere").error("of another")
        clock[0] = 1.0
        for _ in range(3):
            logging.getLogger("asyncio").error("no descriptors")
    told = [line.split(" ", 1)[1] if form == "text" else said(line) for line in stream.getvalue().splitlines()]
    assert [line for line in told if "login" not in line] == {
        "text": [
            "ERROR   asyncio: no descriptors",
            "ERROR   asyncio: no descriptors",
            "ERROR   elsewhere: of another",
            "ERROR   asyncio: no descriptors suppressed=3",
            "INFO    suppressed kind=asyncio suppressed=2",
        ],
        "json": [
            "asyncio no descriptors",
            "asyncio no descriptors",
            "elsewhere of another",
            "asyncio no descriptors 3",
            "mimc.server suppressed asyncio 2",
        ],
    }[form]
    assert len(told) == 5 + 5


def said(line: str) -> str:
    """All of a line but when it was written, and its level."""
    return " ".join(str(value) for name, value in json.loads(line).items() if name not in ("time", "level"))
