"""The command line itself: inputs, options, output and exit status."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from mimc_cli.main import mimc
from support import vectors
from support.decoding import BODY_KEY, SECURITY_KEY, header, leaves, sealed, tcp, websocket
from support.decoding import run as mimc_run

from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import P2PMessage, Packet, User

ROOT = Path(__file__).parents[2]
CAPTURED = vectors.load("go")["captured_push"]
PING = EMPTY_FRAME.hex()
MESSAGE = Packet(packet_id="id_1", body=P2PMessage(recipient=User(account="bob"), payload="你好\x85\u2028".encode()))


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return mimc_run("decode", *arguments, stdin=stdin)


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code in (0, 1), result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def commands(result: Result) -> list[str | None]:
    return [shown.get("command") for shown in objects(result)]


# --------------------------------------------------------------------------------------------------------- input


HEX = [
    PING,
    PING.upper(),
    f"0x{PING}",
    PING[:8] + " " + PING[8:],
    ":".join(PING[n : n + 2] for n in range(0, 24, 2)),
    ", ".join(f"0x{PING[n : n + 2]}" for n in range(0, 24, 2)),
    f"\n  {PING}\r\n",
    f"# a ping, captured at 12:00\n{PING} # by hand: é\n",
    f"\N{BYTE ORDER MARK}{PING}",
]


@pytest.mark.parametrize("text", HEX)
def test_hex_is_read_however_it_is_written(text: str, tmp_path: Path) -> None:
    file = tmp_path / "frame.hex"
    file.write_text(text, encoding="utf-8")
    assert commands(run(str(file))) == ["PING"]
    assert commands(run(stdin=text.encode())) == ["PING"]


@pytest.mark.parametrize("text", HEX[:6])
def test_hex_is_read_from_an_argument(text: str) -> None:
    assert commands(run(text)) == ["PING"]


def test_an_unquoted_hex_dump_is_one_input() -> None:
    result = run("c2fe", "0005", "000", "00000", "0d2301c6")
    assert commands(result) == ["PING"]


def test_binary_is_read_from_a_file_and_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "frames.bin"
    file.write_bytes(EMPTY_FRAME * 2)
    assert commands(run(str(file))) == ["PING", "PING"]
    assert commands(run(stdin=EMPTY_FRAME * 3)) == ["PING"] * 3
    assert commands(run("-", stdin=EMPTY_FRAME)) == ["PING"]


def test_many_frames_of_both_framings_may_be_on_lines_or_not() -> None:
    packet = websocket(header("PING")).hex()
    assert commands(run(stdin=f"{PING}\n{packet}\n{PING}{packet}".encode())) == ["PING"] * 4


def test_several_inputs_are_named_and_share_what_they_reveal(tmp_path: Path) -> None:
    java = vectors.load("java")
    paths = []
    for number, frame in enumerate(java["frames"][:4]):
        paths.append(tmp_path / f"{number}.bin")
        paths[-1].write_bytes(bytes.fromhex(frame["frame"]))
    shown = objects(run(*map(str, paths)))
    assert [each["command"] for each in shown] == ["CONN", "CONN", "BIND", "BIND"]
    assert [each["source"] for each in shown] == [str(path) for path in paths]
    assert [each["frame"] for each in shown] == [1, 2, 3, 4]


def test_a_file_between_hex_arguments_is_its_own_input(tmp_path: Path) -> None:
    file = tmp_path / "frame.bin"
    file.write_bytes(EMPTY_FRAME)
    shown = objects(run(PING, str(file), PING))
    assert [each["source"] for each in shown] == ["argument", str(file), "argument"]


@pytest.mark.parametrize("data", [b"", b" \n", b"# nothing\n"])
def test_an_empty_input_prints_nothing_and_is_not_broken(data: bytes) -> None:
    result = run(stdin=data)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "is empty" in result.stderr


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def test_whoever_sits_at_a_terminal_is_told_what_is_read(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(Terminal(EMPTY_FRAME)))
    assert mimc(["decode"], standalone_mode=False) == 0
    output, told = capsysbinary.readouterr()
    assert b"Ctrl-D" in told
    assert json.loads(output)["command"] == "PING"


# -------------------------------------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["c2f"], "even number of hex digits, got 3"),
        (["nothing.here"], "expected the path of a file, '-' or hex digits, got 'nothing.here'"),
        (["n" * 100], "n..."),
        (["."], "expected a file, got the directory"),
        (["--body-key", "ab", "--challenge", "abcd", PING], "--body-key or --challenge, got both"),
        (["--body-key", "secretx", PING], "hex"),
        (["--body-key", "abc", PING], "even number"),
        (["--body-key", "", PING], "1 to 256 bytes"),
        (["--body-key", "ab" * 257, PING], "1 to 256 bytes"),
        (["--security-key", "secret-1", PING], "standard base64"),
        (["--security-key", "c2VjcmV0LTE", PING], "standard base64"),
        (["--security-key", "", PING], "1 to 254 bytes"),
        (["--challenge", "", PING], "1 to 256 characters"),
        (["--challenge", "secrét", PING], "ASCII"),
        (["--udid", "secrét", PING], "ASCII"),
        (["--udid", "s" * 1000, PING], "at most"),
        (["--direction", "sideways", PING], "sideways"),
        (["--plain", "MIMCNothing", PING], "MIMCNothing"),
        (["--max-bytes", "0", PING], "0"),
        (["--nothing", PING], "--nothing"),
    ],
)
def test_wrong_usage_ends_with_status_2_and_says_what_was_expected(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    for secret in ("secretx", "secret-1", "c2VjcmV0LTE", "secrét"):
        assert secret not in result.stderr


def test_an_odd_number_of_digits_in_a_file_is_wrong_usage(tmp_path: Path) -> None:
    file = tmp_path / "odd.hex"
    file.write_text("c2fe0")
    assert "got 5" in run(str(file)).stderr
    assert run(stdin=b"c2fe0").exit_code == 2


def test_an_input_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(EMPTY_FRAME * 2)
    result = run("--max-bytes", "23", str(file))
    assert result.exit_code == 2
    assert "at most 23 bytes" in result.stderr
    assert "--max-bytes" in result.stderr
    assert commands(run("--max-bytes", "24", str(file))) == ["PING", "PING"]


def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "forbidden.bin"
    file.write_bytes(EMPTY_FRAME)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    result = run(str(file))
    assert result.exit_code == 2
    assert "Permission denied" in result.stderr


# -------------------------------------------------------------------------------------------- options and output


def test_the_captured_frame_is_decoded_by_the_command_line_of_the_manual() -> None:
    result = run(
        "--body-key", CAPTURED["body_key_hex"], "--security-key", CAPTURED["security_key"], CAPTURED["frame_hex"]
    )
    assert result.exit_code == 0
    assert list(leaves(objects(result), "text")) == ["I'm OK!"]


def test_keys_in_hex_may_have_separators() -> None:
    frame = tcp(header("PING"), key=BODY_KEY).hex()
    assert commands(run("--body-key", "0x62:6f:64 79 21", frame)) == ["PING"]


def test_the_exit_status_is_1_if_anything_was_broken() -> None:
    assert run(PING + "00" + PING).exit_code == 1
    assert commands(run(PING + "00" + PING)) == ["PING", None, "PING"]
    assert run(PING + PING).exit_code == 0


@pytest.mark.parametrize("direction", ["up", "auto", "down"])
def test_the_direction_can_be_forced(direction: str) -> None:
    packet = websocket(header(cipher=None), MESSAGE.encode()).hex()
    result = run("--direction", direction, packet)
    assert objects(result)[0]["direction"] == ("down" if direction == "down" else "up")
    assert result.exit_code == (1 if direction == "down" else 0)


def test_text_stays_readable_and_one_object_stays_one_line() -> None:
    packet = websocket(
        header(cipher=None), Packet(body=P2PMessage(recipient=User(), payload="你好\u2028".encode())).encode()
    )
    result = run(packet.hex())
    assert "你好\\u2028" in result.stdout
    assert list(leaves(objects(result), "text")) == ["你好\u2028"]


def test_pretty_output_is_the_same_json() -> None:
    plain, pretty = run(PING), run("--pretty", PING)
    assert json.loads(pretty.stdout) == json.loads(plain.stdout)
    assert len(pretty.stdout.splitlines()) > 5


def test_secrets_are_masked_on_request() -> None:
    conn_answer = next(frame for frame in vectors.load("java")["frames"] if frame["dir"] == "OUT")["frame"]
    challenge = vectors.load("java")["challenge"]
    assert challenge in run(conn_answer).stdout
    assert challenge not in run("--hide-secrets", conn_answer).stdout


def test_a_bare_message_is_read_by_its_name_in_any_case() -> None:
    result = run("--plain", "mimcpacket", MESSAGE.encode().hex())
    [shown] = objects(result)
    assert shown["message"] == "MIMCPacket"
    assert shown["payload"]["MIMCPacket"]["packetId"] == "id_1"


def test_a_cut_bare_message_is_broken() -> None:
    assert run("--plain", "MIMCPacket", vectors.load("go")["captured_plain_truncated"]["hex"]).exit_code == 1


def test_help_and_version_are_there() -> None:
    for arguments in (["--help"], ["decode", "--help"], ["decode", "-h"], ["--version"]):
        result = mimc_run(*arguments)
        assert result.exit_code == 0
        assert "mimc" in result.stdout
    assert "--security-key" in mimc_run("decode", "--help").stdout


def process(*arguments: str | bytes, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    path = os.pathsep.join(map(str, [ROOT, ROOT / "cli", *filter(None, [os.environ.get("PYTHONPATH")])]))
    return subprocess.run(
        [sys.executable, "-m", "mimc_cli.main", "decode", *arguments],
        input=stdin,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
        check=False,
    )


def test_output_is_utf8_whatever_the_locale() -> None:
    packet = websocket(header(cipher=None), MESSAGE.encode())
    done = process(stdin=packet, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode())["command"] == "SECMSG"
    sealed_packet = websocket(header(dir_flag=4), sealed(Packet(body=P2PMessage(recipient=User(account="鲍勃")))))
    done = process("--security-key", SECURITY_KEY, stdin=sealed_packet, LC_ALL="C", PYTHONIOENCODING="ascii")
    assert "鲍勃".encode() in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any name")
def test_a_file_name_that_is_no_text_is_no_trouble(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.bin"
    Path(os.fsdecode(name)).write_bytes(EMPTY_FRAME)
    done = process(name, name)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(line)["command"] for line in done.stdout.splitlines()] == ["PING", "PING"]
