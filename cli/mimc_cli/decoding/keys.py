"""The keys of what is decoded: those given, and those that a CONN and its answer in the input reveal."""

from __future__ import annotations

from typing import NamedTuple

from mimc_proto.crypto import BodyCipher, body_key, payload_key
from mimc_proto.errors import CryptoError
from mimc_proto.framing import Framing

__all__ = ["BodyOpener", "Keys"]

SHORTEST_CHALLENGE = 2
"""Characters; half of a shorter one is an empty key, which crashes the Go client (wire.md section 3)."""


class BodyOpener(NamedTuple):
    """What opens the bodies of TCP frames, if anything does.

    ``certain``: a body that does not open is broken. Not so if the udid was only assumed to be empty.
    """

    cipher: BodyCipher | None
    certain: bool = True
    assumed: str = ""
    problem: str = ""


class _Seen(NamedTuple):
    text: str
    frame: int


class Keys:
    """Raises `CryptoError` if a key that was given cannot be one."""

    def __init__(
        self,
        *,
        body_key: bytes | None = None,
        challenge: str | None = None,
        udid: str | None = None,
        security_key: str | None = None,
    ) -> None:
        self._given = BodyCipher(body_key) if body_key is not None else None
        self._challenge, self._udid = challenge, udid
        self.security_key = security_key
        self._conn: dict[Framing, _Seen] = {}
        self._answer: dict[Framing, _Seen] = {}
        self._opener: BodyOpener | None = None
        if challenge is not None:
            _derive(challenge, udid or "")
        if security_key is not None:
            payload_key(security_key, "id")
        self.advice = _advice(challenge)

    def see_conn(self, framing: Framing, udid: str, frame: int) -> None:
        """A CONN opens a connection: its udid takes part in the key."""
        self._conn[framing] = _Seen(udid, frame)
        self._opener = None

    def see_answer(self, framing: Framing, challenge: str, frame: int) -> None:
        """The answer to CONN brings the challenge."""
        self._answer[framing] = _Seen(challenge, frame)
        self._opener = None

    def take_advice(self) -> str:
        """What there is to say about the given keys; once."""
        advice, self.advice = self.advice, ""
        return advice

    def challenge(self, framing: Framing) -> str | None:
        """The challenge that a BIND of this framing signs."""
        if self._challenge is not None:
            return self._challenge
        seen = self._answer.get(framing)
        return seen.text if seen is not None else None

    def body_opener(self) -> BodyOpener:
        """For the next TCP frame."""
        if self._opener is None:
            self._opener = BodyOpener(self._given) if self._given is not None else self._derived()
        return self._opener

    def payload_key(self, header_id: str) -> bytes | None:
        """Of one SECMSG; None without a security key. Raises `CryptoError` if the id cannot be part of a key."""
        return payload_key(self.security_key, header_id) if self.security_key is not None else None

    def _derived(self) -> BodyOpener:
        answer, conn = self._answer.get(Framing.TCP), self._conn.get(Framing.TCP)
        if self._challenge is not None:
            challenge, source, certain = self._challenge, "--challenge", True
        elif answer is not None:
            challenge, source = answer.text, f"the challenge in frame {answer.frame}"
            certain = self._udid is not None or conn is not None
        else:
            return BodyOpener(None)
        if self._udid is not None:
            udid, udid_source = self._udid, "--udid"
        elif conn is not None:
            udid, udid_source = conn.text, f"the udid in frame {conn.frame}"
        else:
            udid, udid_source = "", "an empty udid (no CONN before this frame)"
        assumed = f"body key: from {source} and {udid_source}"
        if (source, udid_source) == ("--challenge", "--udid"):
            assumed = ""  # nothing is assumed
        try:
            return BodyOpener(BodyCipher(_derive(challenge, udid)), certain, assumed)
        except CryptoError as error:
            return BodyOpener(None, certain, assumed, str(error))


def _derive(challenge: str, udid: str) -> bytes:
    return body_key(challenge, udid)


def _advice(challenge: str | None) -> str:
    if challenge is None or len(challenge) >= SHORTEST_CHALLENGE:
        return ""
    return short_challenge(len(challenge))


def short_challenge(size: int) -> str:
    """The note on a challenge that works here and crashes others."""
    return f"the challenge has {size} characters: with fewer than {SHORTEST_CHALLENGE} the Go client crashes"
