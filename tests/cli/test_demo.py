"""`mimc demo` really runs, over real TCP on loopback."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from mimc_cli import demo
from mimc_cli.demonstration.service import Account, Service
from mimc_cli.main import mimc

from mimc_proto.packets import Packet


def test_the_demo_shows_everything_it_promises() -> None:
    result = CliRunner().invoke(mimc, ["demo"])
    assert result.exit_code == 0, result.output
    for line in (
        "alice: online",
        "server: bob/demo-bob is online, 1 waiting",
        "bob <- alice: Are you there? This waits for you.",
        "alice <- bob: 你好, Alice",
        "bob <- alice: Now straight through.",
        "alice <- bob (group): Hello, group.",
        "alice: logged out",
        "bob: logged out",
    ):
        assert line in result.output.splitlines()
    assert result.output.splitlines()[-1].startswith("demo OK: 4 messages")
    assert "I'm OK!" in result.output


def test_the_demo_fails_if_it_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0)
    result = CliRunner().invoke(mimc, ["demo"])
    assert result.exit_code == 1
    assert "demo FAILED: the conversation took too long" in result.output


def test_the_demo_fails_if_a_message_arrives_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    deliver = Service._deliver

    def changed(receiver: Account, packets: list[Packet]) -> None:
        deliver(receiver, [packet.replace(body=packet.body.replace(payload=b"?")) for packet in packets])

    monkeypatch.setattr(Service, "_deliver", staticmethod(changed))
    result = CliRunner().invoke(mimc, ["demo"])
    assert result.exit_code == 1
    assert "demo FAILED: bob expected 'Are you there? This waits for you.' from alice" in result.output


def test_the_demo_fails_if_a_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TOPIC", 16)
    result = CliRunner().invoke(mimc, ["demo"])
    assert result.exit_code == 1
    assert "demo FAILED: bob expected the ack" in result.output


def test_the_demo_fails_if_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    client = demo.Client.__init__

    def with_another_token(self: demo.Client, credentials: object, say: object) -> None:
        client(self, credentials.replace(token="forged"), say)  # type: ignore[attr-defined, arg-type]

    monkeypatch.setattr(demo.Client, "__init__", with_another_token)
    result = CliRunner().invoke(mimc, ["demo"])
    assert result.exit_code == 1
    assert "demo FAILED: alice expected BindAccepted, got BindRefused" in result.output


def test_the_demo_fails_if_the_captured_frame_says_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "CAPTURED_TEXT", "something else")
    result = CliRunner().invoke(mimc, ["demo"])
    assert result.exit_code == 1
    assert "demo FAILED: the captured frame does not decode" in result.output
