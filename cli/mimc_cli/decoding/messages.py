"""Protobuf to JSON by the records of the core, with the place of everything that is broken or odd.

Positions are counted from the start of the frame all the way down: encryption keeps positions, and a nested message
is a run of the bytes of the one around it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mimc_proto.errors import PacketError
from mimc_proto.packets import PacketList, WireRecord
from mimc_proto.packets.schema import Envelope
from mimc_proto.packets.wire import WIRE_TYPE_NAMES, WireField, text_fault, walk

from .findings import Findings
from .schema import ENUM, MESSAGE, STRING, Known, fields_of, message_name
from .values import bytes_value, is_text, masked, number_value

__all__ = ["MessageReader", "looks_like", "reads_as", "wire_types"]

MAX_DEPTH = 8
"""Payloads within payloads; MIMC has four (MIMCPacket, UCPacket, UCMessageList, text)."""

MAX_PAYLOAD = 15 * 1024
"""Bytes of an application's payload: official clients refuse to send more (wire.md section 1.1)."""

CONVINCING_TEXT = 4
"""Bytes of text that hardly come by chance where a string is expected."""


class _Body(NamedTuple):
    """The payload of an envelope (MIMCPacket, UCPacket): read last, for its type may come after it."""

    data: bytes
    base: int
    present: bool


class MessageReader:
    """Reads the messages of one frame into ``findings``."""

    def __init__(self, findings: Findings, *, hide_secrets: bool = False) -> None:
        self._findings = findings
        self._hide_secrets = hide_secrets

    def read(self, record: type[WireRecord], data: bytes, base: int, path: str = "", depth: int = 0) -> dict[str, Any]:
        """The fields of a message by their names on the wire, absent ones left out. ``base`` is its offset."""
        path = path or message_name(record)
        known_fields = fields_of(record)
        shown: dict[str, Any] = {}
        body = _Body(b"", base + len(data), present=False)
        whole = True
        try:
            for field in walk(data, base):
                known = known_fields.get(field.number)
                if not self._fits(known, field, path) or known is None:
                    continue
                if known.name == "payload" and issubclass(record, Envelope) and isinstance(field.value, bytes):
                    body = _Body(field.value, field.value_start, present=True)
                    shown.setdefault("payload", None)
                else:
                    self._store(shown, known, field, path, depth)
        except PacketError as error:
            whole = False
            self._findings.fault(path, base if error.offset is None else error.offset, error.problem)
        if whole:
            self._check_presence(record, shown, base + len(data), path)
        if issubclass(record, Envelope):
            self._read_body(record, shown, body, path, depth, whole=whole)
        return shown

    def _fits(self, known: Known | None, field: WireField, path: str) -> bool:
        """Whether protobuf takes the field for one of the message's."""
        came = WIRE_TYPE_NAMES[field.wire_type]
        if known is None:
            self._findings.note(f"{path}: unknown field {field.number} ({came}), ignored by receivers")
            return False
        if known.wire_type != field.wire_type:
            expected = WIRE_TYPE_NAMES[known.wire_type]
            self._findings.note(
                f"{path}.{known.name}: field {field.number} is {came} where {expected} is expected,"
                " ignored by receivers"
            )
            return False
        return True

    def _store(self, shown: dict[str, Any], known: Known, field: WireField, path: str, depth: int) -> None:
        name = known.name
        if known.repeated:
            items = shown.setdefault(name, [])
            items.append(self._value(known, field, f"{path}.{name}[{len(items)}]", depth))
            return
        value = self._value(known, field, f"{path}.{name}", depth)
        if name in shown:
            self._findings.note(f"{path}.{name}: comes more than once, the last one counts")
            if known.kind == MESSAGE:
                value = {**shown[name], **value}
        shown[name] = value

    def _value(self, known: Known, field: WireField, place: str, depth: int) -> Any:
        raw = field.value
        if not isinstance(raw, bytes):
            value = number_value(known, raw)
            if known.kind == ENUM and isinstance(value, int):
                self._findings.note(f"{place}: unknown value {value}")
            return value
        if known.kind == MESSAGE and known.record is not None:
            return self.read(known.record, raw, field.value_start, place, depth)
        fault = text_fault(raw, place, field.value_start) if known.kind == STRING else None
        if fault is not None:
            at = (fault.offset or 0) - field.value_start
            self._findings.fault(place, field.value_start + at, f"expected UTF-8 text, got byte {raw[at]:02x}")
        if known.secret and raw and self._hide_secrets:
            return masked(raw)
        if known.kind == STRING:
            return raw.decode(errors="replace")
        if len(raw) > MAX_PAYLOAD and known.name == "payload":
            self._findings.note(f"{place}: {len(raw)} bytes, official clients send at most {MAX_PAYLOAD}")
        return bytes_value(raw)

    def _check_presence(self, record: type[WireRecord], shown: dict[str, Any], end: int, path: str) -> None:
        for known in fields_of(record).values():
            if known.name in shown:
                continue
            if known.required:
                problem = f"expected the required field {known.number} ({known.name}), got none"
                self._findings.fault(f"{path}.{known.name}", end, problem)
            elif known.advised:
                self._findings.note(f"{path}.{known.name} is missing: mimc-proto refuses the packet")

    def _read_body(
        self, record: type[Envelope], shown: dict[str, Any], body: _Body, path: str, depth: int, *, whole: bool
    ) -> None:
        """What the payload of an envelope holds, by the envelope's type."""
        number = _type_number(record, shown.get("type"))
        inner = record.bodies.get(number) if number is not None else None
        if inner is None or not issubclass(inner, WireRecord):
            if body.present:
                shown["payload"] = bytes_value(body.data)
        elif depth >= MAX_DEPTH:
            shown["payload"] = bytes_value(body.data)
            self._findings.note(f"more than {MAX_DEPTH} payloads within each other: the rest is not decoded")
        elif body.present or whole:
            if inner is PacketList and depth:
                self._findings.note(f"{path}: a list within a list, skipped by receivers")
            name = message_name(inner)
            read = self.read(inner, body.data, body.base, f"{path}.payload.{name}", depth + 1)
            if body.present:
                shown["payload"] = {"size": len(body.data), name: read}


def _type_number(record: type[Envelope], shown: Any) -> int | None:
    """The number behind the type as it is shown; None if there is none."""
    if not isinstance(shown, str):
        return shown if isinstance(shown, int) else None
    values = next(known.values for known in fields_of(record).values() if known.name == "type")
    return next(number for number, name in values.items() if name == shown)


class _Look(NamedTuple):
    """What a run of bytes looks like when it is walked as a certain message."""

    complete: bool
    """It can be walked to its end."""
    pure: bool
    """Every field up to there is known, and its strings are text."""
    marker: bool
    """The field that tells the message was among them."""
    text: int
    """The longest text among the fields before the first odd one, in bytes."""


def looks_like(record: type[WireRecord], data: bytes, marker: str) -> bool:
    """Whether ``data`` is this message, perhaps a damaged one, rather than bytes in some encryption."""
    look = _look(record, data, marker, enough=CONVINCING_TEXT)
    return look.text >= CONVINCING_TEXT or (look.complete and (look.marker or look.text > 0))


def reads_as(record: type[WireRecord], data: bytes, marker: str) -> bool:
    """Whether ``data`` is this message without a doubt: encrypted bytes pass once in millions."""
    look = _look(record, data, marker)
    return look.complete and look.pure and look.marker


def _look(record: type[WireRecord], data: bytes, marker: str, enough: int | None = None) -> _Look:
    """Walks ``data`` to its end, or until it has seen ``enough`` bytes of one text."""
    known_fields = fields_of(record)
    pure, seen, text, complete = True, False, 0, True
    try:
        for field in walk(data):
            known = known_fields.get(field.number)
            if known is None or known.wire_type != field.wire_type:
                pure = False
                continue
            seen = seen or known.name == marker
            if known.kind == STRING and isinstance(field.value, bytes):
                pure = pure and _is_text(field.value)
                text = max(text, len(field.value)) if pure else text
                if enough is not None and text >= enough:
                    break
    except PacketError:
        complete = False
    return _Look(complete, pure, seen, text)


def _is_text(value: bytes) -> bool:
    try:
        return is_text(value.decode())
    except UnicodeDecodeError:
        return False


def wire_types(data: bytes) -> dict[int, int]:
    """The wire type of the first field of each number, as far as ``data`` can be walked."""
    found: dict[int, int] = {}
    try:
        for field in walk(data):
            found.setdefault(field.number, field.wire_type)
    except PacketError:
        pass
    return found
