"""Notes that need more than one field: on the header's form and on lists of messages."""

from __future__ import annotations

import itertools
from typing import Any

from mimc_proto.errors import MimcError
from mimc_proto.packets import Command, Header

from .direction import DOWN, UP
from .findings import Findings

__all__ = ["advise_on_header", "advise_on_secmsg"]


def advise_on_header(encoded: bytes, header: dict[str, Any], direction: str, findings: Findings) -> None:
    """Unknown commands, a SECMSG without id, and a header that a Java client would not take."""
    command = header.get("cmd")
    if command is not None and command not in Command.__members__:
        findings.note(f"unknown command {command[:40]!r}, ignored by receivers")
    if command == Command.SECMSG and not header.get("id"):
        findings.note("ClientHeader.id is missing or empty: a SECMSG needs one for its payload key")
    if direction == UP:
        return
    try:
        canonical = Header.decode(encoded).encode()
    except MimcError:  # broken, which was reported with its place
        return
    if canonical != encoded:
        pairs = enumerate(zip(canonical, encoded, strict=False))
        first = next((n for n, (a, b) in pairs if a != b), min(len(canonical), len(encoded)))
        findings.note(
            f"ClientHeader is not canonical protobuf from its byte {first} on (ascending fields, minimal varints,"
            " dir_flag 1 to 6): Java checks the checksum over a header of its own making and resets the link"
        )


def advise_on_secmsg(payload: dict[str, Any], header: dict[str, Any], direction: str, findings: Findings) -> None:
    """What clients stumble over in lists of messages."""
    if direction != DOWN:
        return
    inner = payload.get("MIMCPacket", {}).get("payload")
    if not isinstance(inner, dict):
        return
    if "MIMCPacketList" in inner:
        messages = inner["MIMCPacketList"]
        _on_owner(messages, header, findings)
        _on_sequences("MIMCPacketList", messages, messages.get("packets", []), findings)
    inner = inner.get("UCPacket", {}).get("payload")
    if isinstance(inner, dict) and "UCMessageList" in inner:
        messages = inner["UCMessageList"]
        _on_sequences("UCMessageList", messages, messages.get("message", []), findings)


def _on_owner(messages: dict[str, Any], header: dict[str, Any], findings: Findings) -> None:
    for name in ("uuid", "resource"):
        if messages.get(name) != header.get(name):
            findings.note(
                f"MIMCPacketList.{name} is {messages.get(name)!r}, the header's {header.get(name)!r}:"
                " WebJS, Go and Java drop the list"
            )


def _on_sequences(where: str, messages: dict[str, Any], packets: list[dict[str, Any]], findings: Findings) -> None:
    sequences = [int(packet["sequence"]) for packet in packets if "sequence" in packet]
    if len(sequences) < len(packets):
        findings.note(f"{where}: a message without a sequence, clients take all such for repeats of one")
    if any(later <= earlier for earlier, later in itertools.pairwise(sequences)):
        findings.note(f"{where}: the sequences are not unique and ascending, clients drop repeats")
    if not sequences:
        return
    highest = messages.get("maxSequence")
    if highest is None:
        findings.note(f"{where}.maxSequence is missing: clients cannot acknowledge the list")
    elif int(highest) < max(sequences):
        findings.note(f"{where}.maxSequence is {highest}, below a message's {max(sequences)}")
