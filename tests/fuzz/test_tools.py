"""What runs the targets: dictionaries, long runs that go on, replays, and the reasons for what was not reached."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import dictionaries
import prove
import pytest
import replay
import smoke
import targets
import unreached
from targets import TARGETS, Target
from targets.websocket import _client_says, _server_says

from mimc_proto.packets.wire import encode_varint

ENTRY = re.compile(r'"(\\x[0-9a-f]{2})+"')


@pytest.mark.parametrize("name", TARGETS)
def test_a_dictionary_is_one_for_libfuzzer(name: str) -> None:
    lines = dictionaries.dictionary(TARGETS[name].seeds()).splitlines()
    assert len(lines) > 50
    assert all(map(ENTRY.fullmatch, lines))
    assert len(set(lines)) == len(lines)


def test_a_dictionary_holds_the_words_of_what_is_fuzzed() -> None:
    assert b'"miUserSecurityKey"' in dictionaries.words(TARGETS["token_json"].seeds())
    assert b"Upgrade: websocket\r\n" in dictionaries.words(TARGETS["websocket_server"].seeds())
    words = dictionaries.words(TARGETS["packet"].seeds())
    assert {b"\xc2\xfe\x00\x05", encode_varint(1 << 31), b"token-expired"} <= set(words)


@pytest.mark.parametrize(("says", "name"), [(_client_says, "websocket_client"), (_server_says, "websocket_server")])
def test_the_seeds_of_websocket_get_behind_the_handshake(says: Callable[[list[bytes]], Any], name: str) -> None:
    opened = [says([seed])[1] for seed in TARGETS[name].seeds()]
    assert opened.count(True) >= 5


# -------------------------------------------------------------------------------------------------------- long runs


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two targets instead of all, one of which breaks now and then, and a folder of its own."""

    def run(data: bytes) -> None:
        assert data[:1] != b"\x01", "a law"

    def mutate(data: bytes, rng: Random) -> bytes:
        return bytes([rng.randrange(40)]) + data[:1]

    found = {
        "good": Target(lambda _: None, mutate, lambda: [b"a"], 2),
        "bad": Target(run, mutate, lambda: [b"b"], 1),
    }
    for module in (targets, prove, smoke, replay):
        monkeypatch.setattr(module, "TARGETS", found)
    monkeypatch.setattr(prove, "WORK", tmp_path)
    monkeypatch.setattr(prove, "BATCH", 100)
    return tmp_path


def test_a_long_run_counts_and_goes_on_where_it_was_stopped(work: Path) -> None:
    file = work / "prove.json"
    whole, first = prove.Progress.load(file, 5), prove.Progress.load(file, 5)
    prove.prove(first, 600, file)
    assert first.inputs == {"good": 400, "bad": 200}
    again = prove.Progress.load(file, None)
    assert again == first
    prove.prove(again, 1200, file)
    prove.prove(whole, 1200, work / "other.json")
    assert again == whole
    assert again.findings["good"] == 0
    assert 0 < again.findings["bad"] < 40
    assert sum(again.codes.values()) == again.total == 1200


def test_what_breaks_a_law_is_kept_and_can_be_replayed(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = prove.Progress.load(work / "prove.json", 5)
    prove.prove(progress, 3000, work / "prove.json")
    kept = replay.inputs([str(work)])
    assert 0 < len(kept) <= min(progress.findings["bad"], prove.MOST_KEPT)
    assert {(name, path.read_bytes()[:1]) for name, path in kept} == {("bad", b"\x01")}
    assert re.search(r"bad: AssertionError at .*test_tools.py:\d+: .*\(seed \d+\): a law", capsys.readouterr().out)


def test_another_seed_is_another_run(work: Path) -> None:
    file = work / "prove.json"
    prove.prove(prove.Progress.load(file, 5), 100, file)
    with pytest.raises(SystemExit, match="expected the seed 5, with which"):
        prove.Progress.load(file, 6)
    kept = json.loads(file.read_bytes())
    del kept["inputs"]["bad"], kept["batches"]["bad"], kept["findings"]["bad"]  # it came later
    file.write_text(json.dumps(kept))
    assert prove.Progress.load(file, 5).next_target() == "bad"


# ------------------------------------------------------------------------------------------------------- not reached


@pytest.mark.parametrize(
    ("path", "function", "text", "reason"),
    [
        ("mimc_proto/_rc4.py", "ARC4.encrypt", "i = 0", "RC4 in Python"),
        ("mimc_proto/client.py", "ClientConnection.ping", "raise LocalProtocolError(", "a program's own argument"),
        ("mimc_proto/_link.py", "Link._on_frame", 'self._trace("in", "x", self._now)', "a trace hook"),
        (
            "mimc_proto/session/session.py",
            "ClientSession.unsettled",
            "return len(self._outbox)",
            "asked for by programs",
        ),
        ("mimc_proto/framing.py", "TcpDecoder.next_body", "return None", ""),
    ],
)
def test_every_line_has_its_reason_or_none(path: str, function: str, text: str, reason: str) -> None:
    found = unreached.reason(unreached.Line(path, 1, function, text))
    assert found.startswith(reason)
    assert bool(found) == bool(reason)
