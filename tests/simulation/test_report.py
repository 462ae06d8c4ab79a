"""What a simulated day was like, as text, as JSON and as a picture."""

from __future__ import annotations

import json
import re
from functools import cache
from xml.etree import ElementTree as ET

import pytest
from mimc_server.simulation import Report, Scenario, Simulation, Times, draw
from mimc_server.simulation.tally import Tally
from mimc_server.simulation.trace import AT_ONCE, KEPT, Trace

from mimc_proto.testing import VirtualClock

SVG = "{http://www.w3.org/2000/svg}"


@cache
def report(faults: float = 8.0, activity: float = 6.0) -> Report:
    scenario = Scenario(clients=16, hours=0.5, seed=2, begin=9.5, activity=activity, faults=faults)
    return Simulation(scenario).run()


def test_the_text_says_what_happened_and_how_to_find_it_again() -> None:
    told = report()
    text = told.as_text()
    assert text.startswith("16 clients (")
    assert "0.5 hours from 09:30, seed 2; then 25 minutes of calm. Every law held.\n" in text
    rows = dict(re.findall(r"^(\w[\w ]+?)  +(.*)$", text, re.MULTILINE))
    assert rows["said"].startswith(f"{told.counts['said']:,}  p2p {told.counts['said: P2P']}")
    assert f"SHA-256 {told.trace_sha256}" in rows["trace"]
    assert "partition 1" in rows["faults"]
    assert max(map(len, text.splitlines())) < 320


def test_a_quiet_day_has_a_text_and_a_picture_as_well() -> None:
    told = report(0.0, 0.0)
    rows = dict(re.findall(r"^(\w[\w ]+?)  +(.*)$", told.as_text(), re.MULTILINE))
    assert rows["faults"] == "none"
    ET.fromstring(draw(told))


def test_the_json_has_all_numbers() -> None:
    told = report()
    found = json.loads(told.as_json())
    assert found["command"] == told.scenario.command
    assert found["scenario"]["clients"] == 16
    assert found["counts"] == {name: count for name, count in told.counts.items() if count}
    assert len(found["faults"]) == len(told.faults)
    assert found["seconds"]["delivery"]["samples"] == told.times["delivery"].samples
    for row in found["minutes"].values():
        assert len(row) == 55 == len(found["delivery_seconds_by_minute"])
    assert sum(found["minutes"]["said"]) == found["counts"]["said"]
    assert found["trace"] == {"lines": told.trace_lines, "sha256": told.trace_sha256}


def test_the_picture_shows_every_panel_and_every_fault() -> None:
    told = report()
    root = ET.fromstring(draw(told))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert texts[0] == "16 clients and one service, 0.5 hours, seed 2"
    for title in ("clients online", "messages a minute", "seconds to receivers who are online", "calm", "09:30"):
        assert title in texts
    moments = [fault for fault in told.faults if fault.begin == fault.end]
    assert len(list(root.iter(f"{SVG}circle"))) == len(moments)
    for fault in told.faults:
        assert fault.kind.value in texts
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for shape in root.iter(f"{SVG}rect"):
        if "x" in shape.attrib:
            assert 0.0 <= float(shape.attrib["x"]) <= float(shape.attrib["x"]) + float(shape.attrib["width"]) <= width
            assert 0.0 <= float(shape.attrib["y"]) <= float(shape.attrib["y"]) + float(shape.attrib["height"]) <= height


def test_a_long_day_is_drawn_in_columns_of_some_minutes() -> None:
    scenario = Scenario(clients=2, hours=30.0, seed=1, activity=0.0, faults=0.0)
    minutes = 1825
    never = Times(samples=0, median=0.0, p99=0.0, longest=0.0)
    told = Report(
        scenario=scenario,
        people=2,
        bots=0,
        faults=(),
        counts={},
        times={"acknowledgement": never, "delivery": never},
        minutes={"delivered": (1,) * 1800 + (7,) * 25},
        latencies=(never,) * minutes,
        trace_lines=0,
        trace_sha256="",
    )
    texts = [element.text for element in ET.fromstring(draw(told)).iter(f"{SVG}text")]
    assert "messages in 13 minutes" in texts
    assert "91" in texts  # more than the scale of the day has room for: seven in each of thirteen minutes
    assert texts.count("06:00") == 2


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([], (0, 0.0, 0.0, 0.0)),
        ([2.0], (1, 2.0, 2.0, 2.0)),
        ([float(number) for number in range(200, -1, -1)], (201, 100.0, 198.0, 200.0)),
    ],
)
def test_times_are_a_median_a_p99_and_the_longest(seconds: list[float], expected: tuple[float, ...]) -> None:
    assert tuple(Times.of(seconds)) == expected


def test_a_tally_counts_in_total_and_by_the_minute() -> None:
    tally = Tally(3)
    tally.count("a", 2)
    tally.at("a", 59.0)
    tally.at("a", 60.0, 4)
    tally.at("a", 999.0)
    tally.level("online", 61.0, 7)
    tally.level("online", 62.0, 5)
    tally.latency(130.0, 0.5)
    assert tally.counts == {"a": 8}
    assert tally.minutes == {"a": [1, 4, 1], "online": [0, 5, 0]}
    assert [list(times) for times in tally.latencies] == [[], [], [0.5]]
    assert list(tally.times["delivery"]) == [0.5]


def test_a_trace_is_written_in_pieces_hashed_and_remembered_at_its_end() -> None:
    clock = VirtualClock()
    written: list[str] = []
    trace, silent = Trace(clock, written.append), Trace(clock)
    for number in range(AT_ONCE + 1):
        clock.advance(0.25)
        for one in (trace, silent):
            one.tell("ann", "send", n=number)
    assert len(written) == 1
    assert trace.tail() == [
        f'{{"t":{(n + 1) / 4},"who":"ann","what":"send","n":{n}}}' for n in range(AT_ONCE + 1 - KEPT, AT_ONCE + 1)
    ]
    assert trace.close() == silent.close()
    assert "".join(written).count("\n") == trace.lines == AT_ONCE + 1
    assert json.loads(written[0].splitlines()[0]) == {"t": 0.25, "who": "ann", "what": "send", "n": 0}
