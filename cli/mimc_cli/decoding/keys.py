"""The keys of what is decoded: those given, and those that a CONN and its answer in the input reveal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from mimc_proto.crypto import BodyCipher, payload_key
from mimc_proto.crypto import body_key as derive_body_key
from mimc_proto.errors import CryptoError
from mimc_proto.framing import Framing

from .findings import Findings

__all__ = ["SHORTEST_CHALLENGE", "BodyOpener", "Keys", "short_challenge"]

SHORTEST_CHALLENGE = 2
"""Characters; half of a shorter one is an empty key, which crashes the Go client (wire.md section 3)."""


CONNECTIONS = 4
"""How many of the last connections in the input are remembered."""


class BodyOpener(NamedTuple):
    """A key for the bodies of TCP frames; ``source`` tells where it is from, unless from the command line alone."""

    cipher: BodyCipher
    source: str = ""


class _Seen(NamedTuple):
    text: str
    source: str


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
        self.given = body_key is not None or challenge is not None
        """Whether a body has to open: a key from the input may be another connection's."""
        self.security_key = security_key
        self._body_key, self._challenge, self._udid = body_key, challenge, udid
        self._challenges: dict[Framing, list[_Seen]] = {framing: [] for framing in Framing}
        self._udids: list[_Seen] = []
        self._openers: list[BodyOpener] | None = None
        self._advised = False
        self.problem = ""
        """Why a challenge in the input gives no key."""
        if challenge is not None:
            derive_body_key(challenge, udid or "")
        if security_key is not None:
            payload_key(security_key, "id")

    def see_conn(self, framing: Framing, udid: str, frame: int) -> None:
        """A CONN opens a connection: its udid takes part in the key."""
        if framing is Framing.TCP:
            _remember(self._udids, _Seen(udid, f"the udid in frame {frame}"))
            self._openers = None

    def see_answer(self, framing: Framing, challenge: str, frame: int) -> None:
        """The answer to CONN brings the challenge."""
        _remember(self._challenges[framing], _Seen(challenge, f"the challenge in frame {frame}"))
        self._openers = None

    def advise(self, findings: Findings) -> None:
        """Note, once, what there is to say about the keys given."""
        if not self._advised and self._challenge is not None and len(self._challenge) < SHORTEST_CHALLENGE:
            findings.note(short_challenge(len(self._challenge)))
        self._advised = True

    def challenges(self, framing: Framing) -> list[str]:
        """The challenges that a BIND of this framing may sign, the likeliest first."""
        if self._challenge is not None:
            return [self._challenge]
        return [seen.text for seen in self._challenges[framing]]

    def body_openers(self) -> list[BodyOpener]:
        """The keys that may open the next TCP body, the likeliest first."""
        if self._openers is None:
            given = self._body_key
            self._openers = list(self._derived()) if given is None else [BodyOpener(BodyCipher(given))]
        return self._openers

    def prefer(self, opener: BodyOpener) -> None:
        """This one has opened a body: try it first from now on."""
        openers = self.body_openers()
        if opener is not openers[0]:
            openers.remove(opener)
            openers.insert(0, opener)

    def payload_key(self, header_id: str) -> bytes | None:
        """Of one SECMSG; None without a security key. Raises `CryptoError` if the id cannot be part of a key."""
        return payload_key(self.security_key, header_id) if self.security_key is not None else None

    def _derived(self) -> Iterator[BodyOpener]:
        """From every challenge with every udid: which belong together cannot be told when connections mix."""
        challenges, udids = self._challenges[Framing.TCP], [*self._udids, _Seen("", "an empty udid")]
        if self._challenge is not None:
            challenges = [_Seen(self._challenge, "--challenge")]
        if self._udid is not None:
            udids = [_Seen(self._udid, "--udid")]
        self.problem = ""
        tried = set()
        for challenge, udid in itertools.product(challenges, udids):
            if (challenge.text, udid.text) in tried:
                continue
            tried.add((challenge.text, udid.text))
            by_user = (challenge.source, udid.source) == ("--challenge", "--udid")
            try:
                cipher = BodyCipher(derive_body_key(challenge.text, udid.text))
            except CryptoError as error:
                self.problem = str(error)
            else:
                yield BodyOpener(cipher, "" if by_user else f"{challenge.source} and {udid.source}")


def _remember(seen: list[_Seen], new: _Seen) -> None:
    """Newest first, and not without end."""
    seen.insert(0, new)
    del seen[CONNECTIONS:]


def short_challenge(size: int) -> str:
    """The note on a challenge that works here and crashes others."""
    return f"the challenge has {size} characters: with fewer than {SHORTEST_CHALLENGE} the Go client crashes"
