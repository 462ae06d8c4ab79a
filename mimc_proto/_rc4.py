"""RC4 in Python alone: the reference for the tests, and the fallback where arc4 cannot be installed."""

from __future__ import annotations

__all__ = ["ARC4"]


class ARC4:
    """One RC4 keystream, with the interface of the ``arc4`` package; the key has 1 to 256 bytes."""

    __slots__ = ("_i", "_j", "_state")

    def __init__(self, key: bytes) -> None:
        state = list(range(256))
        j = 0
        for i in range(256):
            j = (j + state[i] + key[i % len(key)]) & 255
            state[i], state[j] = state[j], state[i]
        self._state = state
        self._i = self._j = 0

    def encrypt(self, data: bytes) -> bytes:
        """The next bytes of the keystream over ``data``."""
        state, i, j = self._state, self._i, self._j
        out = bytearray(data)
        for n, byte in enumerate(data):
            i = (i + 1) & 255
            a = state[i]
            j = (j + a) & 255
            b = state[i] = state[j]
            state[j] = a
            out[n] = byte ^ state[(a + b) & 255]
        self._i, self._j = i, j
        return bytes(out)
