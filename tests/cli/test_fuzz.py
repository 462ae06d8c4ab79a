"""`mimc fuzz`: what it finds in broken servers, and that it finds nothing in healthy ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from mimc_cli.fuzzing import Piece
from mimc_cli.fuzzing.campaign import Campaign, Finding, Unreachable
from mimc_cli.fuzzing.cases import Case, CaseError, Phase, Step, load, save
from support.fuzzed_server import FuzzedServer, Gullible, ServerWire
from support.links import SECURITY_KEY, TOKEN

from mimc_proto import Framing, ServerState
from mimc_proto.framing import EMPTY_FRAME
from mimc_proto.packets import OnlineMessage, P2PMessage, Packet, Pull


def campaign(server: FuzzedServer, folder: Path, seed: int = 1) -> Campaign:
    return Campaign(server.server, seed=seed, rate=1000.0, folder=folder, about={"framing": "tcp"})


def findings(server: FuzzedServer, folder: Path, enough: int = 1, seed: int = 1) -> list[Finding]:
    """The first ones of at most 250 cases."""
    running = campaign(server, folder, seed)
    for _, _ in zip(range(250), running.run(1e6), strict=False):
        if len(running.findings) >= enough:
            break
    return running.findings


def is_pull(packet: Packet) -> bool:
    return isinstance(packet.body, Pull)


# ------------------------------------------------------------------------------------------------------------ findings


@pytest.mark.parametrize("framing", Framing)
@pytest.mark.parametrize("logs_in", [True, False])
def test_a_healthy_server_bears_it_all(framing: Framing, logs_in: bool, tmp_path: Path) -> None:
    assert findings(FuzzedServer(framing=framing, logs_in=logs_in), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_dies_of_a_field_is_found_and_the_field_is_named(tmp_path: Path) -> None:
    def fault(server: FuzzedServer, _: ServerWire, packet: Packet) -> None:
        if isinstance(packet.body, P2PMessage) and packet.body.biz_type not in ("TEXT", None):
            server.die()
            server.back_at = server.now + 1.0

    found = findings(FuzzedServer(fault), tmp_path)
    first = found[0]
    assert {finding.verdict.kind for finding in found} <= {"control-closed", "refused"}
    assert first.again
    [step] = first.case.steps
    [piece] = step.pieces
    body = Packet.decode(piece.payload).body
    assert isinstance(body, P2PMessage)
    assert body.biz_type != "TEXT"


def test_a_server_that_does_not_come_back_ends_the_run(tmp_path: Path) -> None:
    def fault(server: FuzzedServer, _: ServerWire, packet: Packet) -> None:
        if is_pull(packet):
            server.die()

    server = FuzzedServer(fault)
    running = campaign(server, tmp_path)
    list(running.run(1e6))
    assert running.gone
    [finding] = running.findings
    assert (finding.verdict.kind, finding.again) == ("control-closed", False)
    assert finding.path is not None
    assert finding.path.exists()


def test_a_link_that_hangs_is_found(tmp_path: Path) -> None:
    def fault(_: FuzzedServer, wire: ServerWire, packet: Packet) -> None:
        wire.mute = isinstance(packet.body, OnlineMessage)

    finding = findings(FuzzedServer(fault), tmp_path)[0]
    assert (finding.verdict.kind, finding.again) == ("silent", True)
    assert len(finding.case.steps) == 1


def test_a_server_that_hangs_as_a_whole_is_found(tmp_path: Path) -> None:
    def fault(server: FuzzedServer, _: ServerWire, packet: Packet) -> None:
        for wire in server.wires:
            wire.mute = is_pull(packet)

    assert findings(FuzzedServer(fault), tmp_path)[0].verdict.kind == "control-silent"


def test_a_healthy_link_that_is_kicked_is_found(tmp_path: Path) -> None:
    def fault(server: FuzzedServer, wire: ServerWire, packet: Packet) -> None:
        for other in server.wires:
            if other is not wire and is_pull(packet) and other.link.state is ServerState.BOUND:
                other.link.kick("kicked", now=server.now)

    assert findings(FuzzedServer(fault), tmp_path)[0].verdict.kind == "control-kicked"


def wrong_checksum(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 1])


def test_a_wrong_checksum_is_found(tmp_path: Path) -> None:
    def fault(_: FuzzedServer, wire: ServerWire, packet: Packet) -> None:
        if is_pull(packet):
            wire.change = wrong_checksum

    finding = findings(FuzzedServer(fault), tmp_path)[0]
    assert (finding.verdict.kind, finding.again) == ("bad-frame", True)
    assert "Adler-32" in finding.verdict.detail


def test_a_login_with_a_changed_signature_that_is_accepted_is_found(tmp_path: Path) -> None:
    found = findings(FuzzedServer(link=Gullible), tmp_path)
    assert {finding.verdict.kind for finding in found} == {"forged"}
    assert found[0].case.phase is Phase.BIND
    assert found[0].again


def test_findings_that_look_the_same_are_kept_three_times(tmp_path: Path) -> None:
    assert len(findings(FuzzedServer(link=Gullible), tmp_path, enough=4)) == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_a_server_that_lets_nobody_in_is_no_finding(tmp_path: Path) -> None:
    server = FuzzedServer()
    server.die()
    with pytest.raises(Unreachable):
        campaign(server, tmp_path)
    refusing = FuzzedServer(change=lambda _: EMPTY_FRAME)
    with pytest.raises(Unreachable, match="no answer to CONN"):
        campaign(refusing, tmp_path)


def test_a_server_that_closes_new_links_is_found(tmp_path: Path) -> None:
    """It has closed them before anything was mutated there, because of what was said on others."""

    def fault(server: FuzzedServer, _: ServerWire, packet: Packet) -> None:
        server.full = is_pull(packet)

    kinds = {finding.verdict.kind for finding in findings(FuzzedServer(fault), tmp_path, enough=3)}
    assert "refused" in kinds


def test_a_new_link_that_is_never_answered_is_found(tmp_path: Path) -> None:
    def fault(server: FuzzedServer, _: ServerWire, packet: Packet) -> None:
        server.quiet = is_pull(packet)

    finding = findings(FuzzedServer(fault), tmp_path)[0]
    assert (finding.verdict.kind, finding.verdict.detail) == ("silent", "no answer to a CONN as clients send it")


def test_a_good_login_that_is_refused_or_never_answered_is_found(tmp_path: Path) -> None:
    def refuse(server: FuzzedServer, _: ServerWire, packet: Packet) -> None:
        server.lets_in = not is_pull(packet)

    assert {finding.verdict.kind for finding in findings(FuzzedServer(refuse), tmp_path)} == {"login"}

    def forget(server: FuzzedServer, _: ServerWire, packet: Packet) -> None:
        server.lets_in = None if is_pull(packet) else True

    assert {finding.verdict.kind for finding in findings(FuzzedServer(forget), tmp_path)} == {"silent"}


# --------------------------------------------------------------------------------------------------------- reproducers


def test_a_reproducer_shows_the_same_on_another_server_and_holds_no_secret(tmp_path: Path) -> None:
    for finding in findings(FuzzedServer(link=Gullible), tmp_path):
        assert finding.path is not None
        text = finding.path.read_text()
        for secret in (TOKEN, SECURITY_KEY):
            assert secret not in text
            assert secret.encode().hex() not in text
        case, about = load(finding.path)
        assert case == finding.case
        assert about["kind"] == "forged"
        verdict = campaign(FuzzedServer(link=Gullible), tmp_path, seed=99).replay(case)
        assert verdict == finding.verdict
        assert campaign(FuzzedServer(), tmp_path, seed=99).replay(case) is None


def test_the_same_seed_makes_the_same_cases(tmp_path: Path) -> None:
    def fault(_: FuzzedServer, wire: ServerWire, packet: Packet) -> None:
        wire.mute = is_pull(packet)

    runs = [findings(FuzzedServer(fault), tmp_path / str(number), enough=3) for number in range(2)]
    assert [finding.case for finding in runs[0]] == [finding.case for finding in runs[1]] != []
    other = findings(FuzzedServer(fault), tmp_path, enough=3, seed=2)
    assert [finding.case for finding in other] != [finding.case for finding in runs[0]]


PIECES = (Piece(), Piece(b"h", b"p", False), Piece(body=b""), Piece(raw=b"\xff"), Piece(b"h"))
CASES = [Case(1, Phase.CONN, (Step(seed=5),)), Case(2, Phase.ONLINE, (Step(PIECES), Step(PIECES[:1])))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.phase.value)
def test_a_case_is_the_same_when_it_was_kept(case: Case, tmp_path: Path) -> None:
    save(tmp_path / "case", case, {"kind": "silent"})
    assert load(tmp_path / "case") == (case, {"kind": "silent"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "no JSON",
        '{"mimc_fuzz": 2}',
        '{"mimc_fuzz": 1, "case": 1, "phase": "other"}',
        '{"mimc_fuzz": 1, "case": 1, "phase": "conn"}\n{"pieces": 5}',
        '{"mimc_fuzz": 1, "case": 1, "phase": "conn"}\n{"pieces": [{"header": "xx"}]}',
    ],
)
def test_what_is_no_reproducer_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(CaseError):
        load(tmp_path / "file")
